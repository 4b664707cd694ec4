//! The admission gate of sends: past a number in flight, a send is refused at once.
//!
//! Without it an overloaded gateway answers everybody late, callers give up and ask again, and
//! nobody is served. A refusal costs a few microseconds and tells when to come back. Intake and
//! operations never pass here: what Meta reports must be heard, and an operator must get in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use turnpike_domain::refusal::Refusal;

use crate::error::busy_wait_ms;

/// Sends in flight at once, unless configured: what one node sends in a second (about 8,000) times
/// half a second, which is a slow answer of Meta's. Beyond it more sends in flight only wait for
/// each other. It is below the limit of connections, so that HTTP/1.1 callers, who hold one
/// connection per send, still leave room for look-ups, intake and operators.
pub const SENDS_IN_FLIGHT: usize = 4_096;

/// The gate; cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    inside: AtomicUsize,
    draining: AtomicBool,
    refused: AtomicU64,
}

/// A send's place inside; leaving is dropping it.
#[derive(Debug)]
pub struct Permit(Arc<Inner>);

impl Gate {
    /// A gate for `limit` sends in flight.
    #[must_use]
    pub fn new(limit: usize) -> Gate {
        let inner = Inner { limit, inside: AtomicUsize::new(0), draining: AtomicBool::new(false), refused: AtomicU64::new(0) };
        Gate(Arc::new(inner))
    }

    /// Lets one send in, or refuses it with GW_004 and a wait of 1–5 s.
    pub fn enter(&self) -> Result<Permit, Refusal> {
        let inner = &self.0;
        if inner.inside.fetch_add(1, Ordering::AcqRel) >= inner.limit || inner.draining.load(Ordering::Acquire) {
            inner.inside.fetch_sub(1, Ordering::AcqRel);
            let count = inner.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::Overloaded { retry_after_ms: busy_wait_ms(count) });
        }
        Ok(Permit(inner.clone()))
    }

    /// From now on nobody is let in; those inside finish.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Whether nobody is let in any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Sends in flight.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.0.inside.load(Ordering::Acquire)
    }

    /// Sends refused since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_limit_sends_are_refused_until_one_leaves() {
        let gate = Gate::new(2);
        let first = gate.enter().expect("there is room");
        let _second = gate.enter().expect("there is room");
        let Err(Refusal::Overloaded { retry_after_ms }) = gate.enter() else { panic!("a third was let in") };
        assert!((1_000..=5_000).contains(&retry_after_ms));
        drop(first);
        let _third = gate.enter().expect("one has left");
        assert_eq!((gate.inside(), gate.refused()), (2, 1));
    }

    #[test]
    fn a_draining_gate_lets_nobody_in() {
        let gate = Gate::new(2);
        let inside = gate.enter().expect("there is room");
        gate.drain();
        assert!(gate.enter().is_err());
        assert_eq!(gate.inside(), 1);
        drop(inside);
        assert_eq!(gate.inside(), 0);
    }
}
