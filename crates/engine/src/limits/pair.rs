//! The pair rate: a bucket of 45 messages per sending number and recipient, one more every 6 s.
//!
//! A bucket that fills at a fixed rate is one number: the instant at which it would be full again
//! (its theoretical arrival time). Each message moves that instant by one interval; the bucket is
//! empty when it lies a whole bucket ahead, and there is nothing to remember once it has passed.

use turnpike_domain::ids::ApplicationId;
use turnpike_store::messages::Hash16;

use super::Tick;
use super::shards::{Forget, Spread, mix};

/// What one pair may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairRate {
    /// Messages that may follow each other at once.
    pub burst: u32,
    /// One more after this, in microseconds.
    pub interval_us: u64,
}

impl Default for PairRate {
    /// 45 and one per 6 s (contract §4).
    fn default() -> Self {
        PairRate { burst: 45, interval_us: 6_000_000 }
    }
}

impl PairRate {
    /// How far the bucket may be drawn on before a message.
    fn tolerance_us(self) -> u64 {
        u64::from(self.burst.saturating_sub(1)) * self.interval_us
    }

    /// How far back a send still matters.
    pub(super) fn remembered_us(self) -> u64 {
        u64::from(self.burst) * self.interval_us
    }
}

/// One pair's bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    full_again: Tick,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn full(now: Tick) -> Bucket {
        Bucket { full_again: now }
    }

    /// How long until the bucket has a message to give.
    pub(super) fn wait_us(&self, rate: PairRate, now: Tick) -> Option<u64> {
        let drawn_us = self.full_again.since_us(now);
        (drawn_us > rate.tolerance_us()).then(|| drawn_us - rate.tolerance_us())
    }

    /// Takes one.
    pub(super) fn draw(&mut self, rate: PairRate, now: Tick) {
        self.full_again = self.full_again.max(now).plus_us(rate.interval_us);
    }

    /// Gives one back.
    pub(super) fn give_back(&mut self, rate: PairRate) {
        self.full_again = Tick(self.full_again.0.saturating_sub(rate.interval_us));
    }
}

impl Forget for Bucket {
    fn is_idle(&self, now: Tick) -> bool {
        self.full_again <= now
    }
}

/// A number and a recipient. The recipient is a keyed hash already; the number is mixed in, which
/// keeps 128 bits of distance between any two pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PairKey(u64, u64);

impl PairKey {
    pub(super) fn new(application: ApplicationId, recipient: Hash16) -> PairKey {
        let whole = u128::from_le_bytes(recipient);
        let low = u64::try_from(whole & u128::from(u64::MAX)).expect("masked to 64 bits");
        let high = u64::try_from(whole >> 64).expect("shifted to 64 bits");
        let number = application.0.cast_unsigned();
        PairKey(low ^ mix(number), high ^ mix(!number))
    }
}

impl Spread for PairKey {
    fn spread(&self) -> u64 {
        mix(self.0)
    }
}
