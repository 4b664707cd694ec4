//! Meta's rates: a number's throughput and the pair rate.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::GraphError;

/// Messages of one number in any second (Meta's default throughput).
const NUMBER_PER_SECOND: usize = 80;

/// Messages to one user that may come at once.
const PAIR_BURST: u32 = 45;

/// How long one more takes to become free.
const PAIR_REFILL: Duration = Duration::from_secs(6);

/// Pairs past which full buckets are forgotten, so that memory follows the
/// active ones.
const PAIRS_SWEEP: usize = 10_000;

/// Counts messages per number and per (number, user).
#[derive(Default)]
pub(crate) struct Limits {
    inner: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    numbers: HashMap<String, VecDeque<Instant>>,
    /// Until when each pair's bucket is being refilled. A bucket that is full
    /// again needs no entry.
    pairs: HashMap<(String, String), Instant>,
}

impl Limits {
    /// Counts a message, or says which of Meta's rates it breaks.
    pub(crate) fn take(&self, number: &str, user: &str, now: Instant) -> Result<(), GraphError> {
        let mut counts = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = counts.numbers.entry(number.to_owned()).or_default();
        while sent.front().is_some_and(|first| now.duration_since(*first) >= Duration::from_secs(1)) {
            sent.pop_front();
        }
        if sent.len() >= NUMBER_PER_SECOND {
            return Err(GraphError::usual(130_429));
        }
        sent.push_back(now);

        if counts.pairs.len() >= PAIRS_SWEEP {
            counts.pairs.retain(|_, full_at| *full_at > now);
        }
        let full_at = counts.pairs.entry((number.to_owned(), user.to_owned())).or_insert(now);
        let after = (*full_at).max(now) + PAIR_REFILL;
        if after.duration_since(now) > PAIR_REFILL * PAIR_BURST {
            return Err(GraphError::usual(131_056));
        }
        *full_at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_has_eighty_a_second_in_any_second() {
        let limits = Limits::default();
        let start = Instant::now();
        for n in 0..80 {
            assert_eq!(limits.take("1", &n.to_string(), start + Duration::from_millis(n)), Ok(()));
        }
        let refused = limits.take("1", "x", start + Duration::from_millis(999)).expect_err("the 81st in a second");
        assert_eq!(refused.code, 130_429);
        assert_eq!(limits.take("2", "x", start + Duration::from_millis(999)), Ok(()));
        assert_eq!(limits.take("1", "x", start + Duration::from_secs(1)), Ok(()));
    }

    #[tokio::test]
    async fn a_pair_has_a_burst_of_45_and_then_one_every_six_seconds() {
        let limits = Limits::default();
        let start = Instant::now();
        for _ in 0..45 {
            assert_eq!(limits.take("1", "2", start), Ok(()));
        }
        assert_eq!(limits.take("1", "2", start).expect_err("the 46th at once").code, 131_056);
        assert_eq!(limits.take("1", "3", start), Ok(()));
        let later = start + Duration::from_secs(6);
        assert_eq!(limits.take("1", "2", later), Ok(()));
        assert_eq!(limits.take("1", "2", later).expect_err("one had become free").code, 131_056);
    }
}
