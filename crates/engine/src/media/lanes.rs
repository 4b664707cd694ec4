//! How many files may be under way at once, and what is counted of them.
//!
//! A file holds a connection on either side for seconds or minutes, and an upload up to 100 MB of
//! disk. So there is a number for the node, and a smaller one for each application, that one tenant's
//! files do not keep everybody else's out.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hashbrown::HashMap;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use turnpike_domain::ids::ApplicationId;
use turnpike_domain::refusal::{LimitKind, Refusal};

/// Downloads at once on a node. Each has some 200 KiB in memory and two sockets.
const DOWNLOADS_MAX: u32 = 256;
/// Downloads at once of one application: a burst of received pictures, not the whole node.
const DOWNLOADS_PER_APPLICATION_MAX: u32 = 32;
/// Uploads at once on a node: with 100 MB each they take 1.6 GB of disk.
const UPLOADS_MAX: u32 = 16;
/// Uploads at once of one application.
const UPLOADS_PER_APPLICATION_MAX: u32 = 4;

/// What a full lane is told to wait: most files take about a second.
const FULL_RETRY_MS: u64 = 1_000;

/// The lanes of a node.
#[derive(Default)]
pub struct Lanes {
    downloads: Arc<Lane>,
    uploads: Arc<Lane>,
    calls: Family<CallLabels, Counter<u64, AtomicU64>>,
    bytes: Family<DirectionLabel, Counter<u64, AtomicU64>>,
    under_way: Family<DirectionLabel, Gauge>,
}

/// What is asked of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Download,
    Upload,
    Delete,
}

impl Call {
    fn as_str(self) -> &'static str {
        match self {
            Call::Download => "download",
            Call::Upload => "upload",
            Call::Delete => "delete",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabel {
    direction: &'static str,
}

#[derive(Debug, Default)]
struct Lane(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    all: u32,
    by_application: HashMap<ApplicationId, u32>,
}

/// A file's place in its lane; leaving is dropping it.
#[derive(Debug)]
pub(super) struct Place {
    lane: Arc<Lane>,
    application: ApplicationId,
    /// What passed.
    bytes: Counter<u64, AtomicU64>,
    under_way: Gauge,
}

impl Lanes {
    /// Registers what is counted: no ids, no types.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("media_calls", "Calls about media files, by what was asked and how it ended", self.calls.clone());
        registry.register("media_bytes", "Bytes of media files that passed", self.bytes.clone());
        registry.register("media_transfers", "Media files under way now", self.under_way.clone());
    }

    /// Counts how a call ended; a download that breaks off later counts as given.
    pub(super) fn count(&self, call: Call, refusal: Option<&Refusal>) {
        let result = match refusal {
            None => "done",
            Some(Refusal::NotFound | Refusal::FileExpired) => "not_found",
            Some(Refusal::Limited { .. } | Refusal::Overloaded { .. }) => "limited",
            Some(Refusal::NotSent { .. }) => "failed",
            Some(Refusal::MetaRefused(_)) => "meta_refused",
            Some(_) => "refused",
        };
        self.calls.get_or_create(&CallLabels { call: call.as_str(), result }).inc();
    }

    /// A place for a download.
    ///
    /// # Errors
    /// RATE_001 `concurrency` for the application, GW_004 for the node.
    pub(super) fn download(&self, application: ApplicationId) -> Result<Place, Refusal> {
        self.enter(&self.downloads, application, "download", DOWNLOADS_MAX, DOWNLOADS_PER_APPLICATION_MAX)
    }

    /// A place for an upload.
    ///
    /// # Errors
    /// As for [`Lanes::download`].
    pub(super) fn upload(&self, application: ApplicationId) -> Result<Place, Refusal> {
        self.enter(&self.uploads, application, "upload", UPLOADS_MAX, UPLOADS_PER_APPLICATION_MAX)
    }

    fn enter(
        &self,
        lane: &Arc<Lane>,
        application: ApplicationId,
        direction: &'static str,
        max: u32,
        own_max: u32,
    ) -> Result<Place, Refusal> {
        {
            let mut inside = lane.0.lock();
            if inside.all >= max {
                return Err(Refusal::Overloaded { retry_after_ms: FULL_RETRY_MS });
            }
            let own = inside.by_application.entry(application).or_default();
            if *own >= own_max {
                return Err(Refusal::Limited { limit: LimitKind::Concurrency, retry_after_ms: FULL_RETRY_MS });
            }
            *own += 1;
            inside.all += 1;
        }
        let label = DirectionLabel { direction };
        let under_way = self.under_way.get_or_create(&label).clone();
        under_way.inc();
        Ok(Place { lane: Arc::clone(lane), application, bytes: self.bytes.get_or_create(&label).clone(), under_way })
    }
}

impl Place {
    /// Counts bytes that passed.
    pub(super) fn passed(&self, bytes: u64) {
        self.bytes.inc_by(bytes);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.under_way.dec();
        let mut inside = self.lane.0.lock();
        inside.all -= 1;
        if let Some(own) = inside.by_application.get_mut(&self.application) {
            *own -= 1;
            if *own == 0 {
                inside.by_application.remove(&self.application);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_applications_uploads_leave_room_for_anothers() {
        let lanes = Lanes::default();
        let mut own: Vec<Place> =
            (0..UPLOADS_PER_APPLICATION_MAX).map(|_| lanes.upload(ApplicationId(1)).expect("there is room")).collect();
        assert!(matches!(lanes.upload(ApplicationId(1)), Err(Refusal::Limited { limit: LimitKind::Concurrency, .. })));
        let other = lanes.upload(ApplicationId(2)).expect("another's files have room");
        own.pop();
        own.push(lanes.upload(ApplicationId(1)).expect("one has left"));
        drop((own, other));
        assert!(lanes.uploads.0.lock().by_application.is_empty(), "who has left is forgotten");
        assert_eq!(lanes.uploads.0.lock().all, 0);
    }

    #[test]
    fn a_node_takes_no_more_than_its_disk_holds() {
        let lanes = Lanes::default();
        let all: Vec<Place> = (0..UPLOADS_MAX).map(|n| lanes.upload(ApplicationId(n.into())).expect("there is room")).collect();
        assert!(matches!(lanes.upload(ApplicationId(99)), Err(Refusal::Overloaded { .. })));
        assert!(lanes.download(ApplicationId(99)).is_ok(), "downloads are another lane");
        drop(all);
        assert!(lanes.upload(ApplicationId(99)).is_ok());
    }
}
