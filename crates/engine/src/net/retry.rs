//! How often we try to connect again, and how long we wait before.
//!
//! Only what proves that nothing was sent is tried again (see [`super`]), at most twice a request,
//! after a random wait so that requests that failed together do not come back together, and out of
//! a budget of a tenth of the host's requests, so that a host in trouble is not stormed
//! (reliability §e).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::entropy::Entropy;

/// Connecting again, at most so often a request.
pub(super) const RETRIES_MAX: u32 = 2;

/// No try begins later than this: name, connection and handshake may take 9 s together, and all must
/// be over within the 20 s that a caller waits. Else he would hear "unknown" of what never left.
pub(super) const BEGIN_WITHIN: Duration = Duration::from_secs(8);

/// What a request puts into the budget, in thousandths of a retry.
const DEPOSIT: i64 = 100;
/// What a retry takes out.
const RETRY: i64 = 1_000;
/// What the budget holds at most, and at first: a quiet gateway must be able to retry too.
const BUDGET_MAX: i64 = 10 * RETRY;

/// The retries of one host.
#[derive(Debug)]
pub(super) struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Budget {
        Budget(AtomicI64::new(BUDGET_MAX))
    }
}

impl Budget {
    /// A request begins.
    pub(super) fn deposit(&self) {
        // Two threads may both see room and overshoot by a deposit each; no matter.
        if self.0.load(Ordering::Relaxed) < BUDGET_MAX {
            self.0.fetch_add(DEPOSIT, Ordering::Relaxed);
        }
    }

    /// Takes one retry, if there is one.
    pub(super) fn take(&self) -> bool {
        self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left >= RETRY).then(|| left - RETRY)).is_ok()
    }
}

/// A wait between `min` and `max`, every length as likely.
pub(super) fn jittered(min: Duration, max: Duration, entropy: &dyn Entropy) -> Duration {
    let span_us = u64::try_from(max.saturating_sub(min).as_micros()).unwrap_or(u64::MAX);
    min + Duration::from_micros(entropy.below(span_us.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_tenth_of_the_requests_may_be_retried_beyond_the_first_ten() {
        let budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.take()).count(), 10);
        for _ in 0..50 {
            budget.deposit();
        }
        assert_eq!((0..100).filter(|_| budget.take()).count(), 5);
        for _ in 0..10_000 {
            budget.deposit();
        }
        assert_eq!((0..100).filter(|_| budget.take()).count(), 10, "a quiet hour does not pile up retries");
    }

    #[test]
    fn a_wait_lies_between_its_ends_and_uses_them() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let chance = SeededEntropy::new(3);
        let waits: Vec<Duration> = (0..2_000).map(|_| jittered(min, max, &chance)).collect();
        assert!(waits.iter().all(|wait| (min..=max).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(150)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(950)));
        assert_eq!(jittered(max, max, &chance), max);
    }
}
