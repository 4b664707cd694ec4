//! What was recorded a moment ago and nobody has claimed yet, in memory.
//!
//! Mostly an event is posted in the instant after its commit. Reading it back, on a thread of its own
//! and beside whatever else reads there, would then take longer than to post it. So an endpoint's new
//! deliveries are kept as they are recorded, and a claim is answered with them, but only while they
//! are known to be *all* of its first attempts that wait: otherwise an older one in the store would be
//! overtaken. That is known after a claim has read everything that waits, as long as what is recorded
//! since is kept here without a gap. Whatever makes it doubtful (too much of it, a claim given back,
//! a change of what waits by other ways) empties this place, and the next claim reads the store, which
//! is the truth. Nothing here outlives the process, and nothing has to.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use turnpike_domain::time::UnixMs;

use crate::deliveries::{DeliveryKey, Due};
use crate::endpoints::EndpointId;

/// Deliveries kept of one endpoint: as many as a claim takes. One with more waiting has a backlog.
const KEPT_MAX: usize = 256;

/// Bytes kept of all endpoints together.
const BYTES_MAX: usize = 8 << 20;

/// The store is read at least so often, whatever is known here: nothing waits longer for a mistake.
const TRUSTED_MS: i64 = 60_000;

/// New deliveries of all endpoints.
#[derive(Default)]
pub(super) struct Fresh {
    endpoints: HashMap<EndpointId, Kept>,
    bytes: usize,
    /// Counts the claims that read the store.
    looks: u64,
}

/// New deliveries of one endpoint, oldest first.
struct Kept {
    known: Known,
    waiting: VecDeque<Due>,
}

/// What is known of an endpoint of which new deliveries are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// A claim of this number reads what waits; what is recorded meanwhile is kept.
    Reading(u64),
    /// Since then what is kept is all that waits.
    AllSince(UnixMs),
}

impl Fresh {
    /// A claim begins to read what waits of an endpoint. Returns its number.
    pub(super) fn reading(&mut self, endpoint: EndpointId) -> u64 {
        self.forget(endpoint);
        self.looks += 1;
        self.endpoints.insert(endpoint, Kept { known: Known::Reading(self.looks), waiting: VecDeque::new() });
        self.looks
    }

    /// It ended. Where it read all that waits, what is recorded from then on is handed out from here.
    pub(super) fn read(&mut self, endpoint: EndpointId, number: u64, is_all: bool, now: UnixMs) {
        let Some(kept) = self.endpoints.get_mut(&endpoint).filter(|kept| kept.known == Known::Reading(number)) else { return };
        if is_all {
            kept.known = Known::AllSince(now);
        } else {
            self.forget(endpoint);
        }
    }

    /// A claim found these in the store: of what is kept, those that were recorded while it read.
    pub(super) fn found(&mut self, endpoint: EndpointId, found: &[Due]) {
        let Some(kept) = self.endpoints.get_mut(&endpoint).filter(|kept| !kept.waiting.is_empty()) else { return };
        let found: HashSet<DeliveryKey> = found.iter().map(|due| due.key).collect();
        let bytes = &mut self.bytes;
        kept.waiting.retain(|due| {
            let is_new = !found.contains(&due.key);
            if !is_new {
                *bytes -= size(due);
            }
            is_new
        });
    }

    /// Whether new deliveries of this endpoint are kept.
    pub(super) fn keeps(&self, endpoint: EndpointId) -> bool {
        self.endpoints.contains_key(&endpoint)
    }

    /// Keeps what was committed; `None` where it was not known in time that it is to be kept.
    pub(super) fn add(&mut self, endpoint: EndpointId, due: Option<Due>) {
        let Some(kept) = self.endpoints.get_mut(&endpoint) else { return };
        match due {
            Some(due) if kept.waiting.len() < KEPT_MAX && self.bytes + size(&due) <= BYTES_MAX => {
                self.bytes += size(&due);
                kept.waiting.push_back(due);
            }
            _ => self.forget(endpoint),
        }
    }

    /// Up to `limit` of what waits, where all of that is here.
    pub(super) fn take(&mut self, endpoint: EndpointId, now: UnixMs, limit: usize) -> Option<Vec<Due>> {
        let kept = self.endpoints.get_mut(&endpoint)?;
        let Known::AllSince(since) = kept.known else { return None };
        if !(0..TRUSTED_MS).contains(&(now.0 - since.0)) {
            return None;
        }
        let taken: Vec<Due> = kept.waiting.drain(..limit.min(kept.waiting.len())).collect();
        self.bytes -= taken.iter().map(size).sum::<usize>();
        Some(taken)
    }

    /// More may wait of this endpoint than is kept.
    pub(super) fn forget(&mut self, endpoint: EndpointId) {
        if let Some(kept) = self.endpoints.remove(&endpoint) {
            self.bytes -= kept.waiting.iter().map(size).sum::<usize>();
        }
    }

    /// What waits may have changed by other ways, of any endpoint.
    pub(super) fn forget_all(&mut self) {
        self.endpoints.clear();
        self.bytes = 0;
    }
}

fn size(due: &Due) -> usize {
    size_of::<Due>() + due.body.as_ref().map_or(0, Vec::len)
}
