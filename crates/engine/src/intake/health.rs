//! Since when intake cannot be relied on, if so.
//!
//! A message without a status is presumed not sent only if its status would have been heard
//! (reliability §c2). So every POST that could not be taken opens a gap, the next that could be
//! closes it, and a gap is written down; a heartbeat does the same for the time in which no process
//! was there to notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use turnpike_domain::time::UnixMs;

use crate::Engine;

/// When the open gap began; [`NONE`] while all is well.
pub(crate) struct Health(AtomicI64);

const NONE: i64 = i64::MIN;

impl Default for Health {
    fn default() -> Health {
        Health(AtomicI64::new(NONE))
    }
}

impl Health {
    /// A POST could not be taken.
    pub(super) fn failed(&self, now: UnixMs) {
        // Only the first of a row begins the gap; losing the race means that another did.
        let _ = self.0.compare_exchange(NONE, now.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A POST was taken: the gap that ends with it.
    fn worked(&self) -> Option<UnixMs> {
        if self.0.load(Ordering::Relaxed) == NONE {
            return None;
        }
        Some(self.0.swap(NONE, Ordering::Relaxed)).filter(|since| *since != NONE).map(UnixMs)
    }

    /// Whether a gap is open.
    pub(crate) fn is_failing(&self) -> bool {
        self.0.load(Ordering::Relaxed) != NONE
    }
}

impl Engine {
    /// Notes that a POST is on disk.
    pub(super) fn intake_worked(self: &Arc<Self>) {
        let Some(since) = self.intake.health.worked() else { return };
        let until = self.clock.now();
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = engine.store.intake_was_down(since, until).await {
                tracing::warn!(error = %error, "noting that intake was down; it is noted once the next webhook is taken");
                engine.intake.health.failed(since);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_lasts_from_the_first_failure_to_the_next_success() {
        let health = Health::default();
        assert_eq!(health.worked(), None);
        health.failed(UnixMs(5));
        health.failed(UnixMs(9));
        assert!(health.is_failing());
        assert_eq!(health.worked(), Some(UnixMs(5)));
        assert_eq!(health.worked(), None);
    }
}
