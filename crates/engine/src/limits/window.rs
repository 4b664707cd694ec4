//! Exact sliding windows over the instants at which requests were admitted.
//!
//! In any span of one second at most N and in any span of sixty seconds at most M: a request may
//! come in exactly when the N-th newest admission is a second old and the M-th newest is a minute
//! old. One list of instants answers both. A span is half open: what came in at 0.0 s leaves room
//! at 1.0 s. Counters of fixed spans, or rates (token buckets), admit up to twice as much around
//! an edge or refuse what the contract allows; a list admits neither more nor less.

use std::collections::VecDeque;

use super::Tick;

/// A second, in microseconds.
pub(super) const SECOND_US: u64 = 1_000_000;
/// Sixty of them.
pub(super) const MINUTE_US: u64 = 60 * SECOND_US;

/// The admissions of the last minute (or second), oldest first.
#[derive(Debug, Default)]
pub(super) struct Window {
    times: Times,
    moved_to: Tick,
    in_last_second: u32,
}

/// How long until a window has room, and which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Second { wait_us: u64 },
    Minute { wait_us: u64 },
}

impl Window {
    /// Moves the window to `now` and forgets what is older than `keep_us`. Gives the instant that a
    /// decision is to be made and recorded at: threads read the clock before they reach the lock,
    /// so another may have come later and been first; the order is that of the decisions.
    pub(super) fn advance(&mut self, now: Tick, keep_us: u64) -> Tick {
        let now = now.max(self.moved_to);
        self.moved_to = now;
        let Some(newest) = self.times.newest() else {
            return now;
        };
        if newest.plus_us(keep_us) <= now {
            self.times = Times::default();
            self.in_last_second = 0;
            return now;
        }
        let gone = self.times.partition_point(|at| at.plus_us(keep_us) <= now);
        self.times.drop_oldest(gone);
        self.in_last_second = self.in_last_second.min(self.in_last_minute());
        if newest.plus_us(SECOND_US) <= now {
            self.in_last_second = 0;
        } else {
            // The newest is within the second, so this ends.
            let len = self.times.len();
            while self.times.at(len - self.in_last_second as usize).plus_us(SECOND_US) <= now {
                self.in_last_second -= 1;
            }
        }
        now
    }

    /// What stands in the way of one more at `now` (as [`Window::advance`] gave it); the longer
    /// wait if both do.
    pub(super) fn full(&self, now: Tick, per_second: u32, per_minute: u32) -> Option<Full> {
        let second_us = self.wait_us(now, per_second, self.in_last_second, SECOND_US);
        let minute_us = self.wait_us(now, per_minute, self.in_last_minute(), MINUTE_US);
        match (second_us, minute_us) {
            (None, None) => None,
            (Some(wait_us), None) => Some(Full::Second { wait_us }),
            (Some(second_us), Some(minute_us)) if second_us > minute_us => Some(Full::Second { wait_us: second_us }),
            (_, Some(wait_us)) => Some(Full::Minute { wait_us }),
        }
    }

    fn wait_us(&self, now: Tick, limit: u32, taken: u32, span_us: u64) -> Option<u64> {
        if taken < limit {
            return None;
        }
        // With room for none (which no policy says) the wait is a whole span, again and again.
        let leaves = if limit == 0 { now } else { self.times.at(self.times.len() - limit as usize) };
        Some(leaves.plus_us(span_us).since_us(now))
    }

    /// Records an admission at `now` (as [`Window::advance`] gave it).
    pub(super) fn admit(&mut self, now: Tick) {
        debug_assert!(self.moved_to == now, "a window is advanced before it admits");
        self.times.push(now);
        self.in_last_second += 1;
    }

    /// Takes an admission back as if it had never been. Nothing happens where it is forgotten.
    pub(super) fn take_back(&mut self, at: Tick) {
        let index = self.times.partition_point(|other| other < at);
        if index == self.times.len() || self.times.at(index) != at {
            return;
        }
        if self.times.len() - index <= self.in_last_second as usize {
            self.in_last_second -= 1;
        }
        self.times.remove(index);
    }

    /// Admissions in the last second, as of the last [`Window::advance`].
    pub(super) fn in_last_second(&self) -> u32 {
        self.in_last_second
    }

    /// Admissions that are kept, as of the last [`Window::advance`].
    pub(super) fn in_last_minute(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }

    /// When room for one more than now frees in the last second; 0 where none is taken.
    pub(super) fn second_frees_in_us(&self, now: Tick, limit: u32) -> u64 {
        self.frees_in_us(now, limit, self.in_last_second, SECOND_US)
    }

    /// When room for one more than now frees in the last minute; 0 where none is taken.
    pub(super) fn minute_frees_in_us(&self, now: Tick, limit: u32) -> u64 {
        self.frees_in_us(now, limit, self.in_last_minute(), MINUTE_US)
    }

    fn frees_in_us(&self, now: Tick, limit: u32, taken: u32, span_us: u64) -> u64 {
        // More than the limit may be taken where it was lowered since; then those must leave first.
        match taken.min(limit) {
            0 => 0,
            counted => self.times.at(self.times.len() - counted as usize).plus_us(span_us).since_us(now),
        }
    }

    /// The newest admission that is kept.
    pub(super) fn newest(&self) -> Option<Tick> {
        self.times.newest()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.times {
            Times::Few { .. } => 0,
            Times::Many(times) => times.capacity() * size_of::<Tick>(),
        }
    }
}

/// Admissions that fit beside each other without an allocation: most keys of a large gateway send
/// now and then.
const FEW: usize = 3;
/// A ring that is emptier than a quarter gives half of its memory back, but not below this.
const SHRINK_ABOVE: usize = 64;

/// Instants in order, oldest first.
#[derive(Debug)]
enum Times {
    Few { len: u8, at: [Tick; FEW] },
    Many(VecDeque<Tick>),
}

impl Default for Times {
    fn default() -> Self {
        Times::Few { len: 0, at: [Tick(0); FEW] }
    }
}

impl Times {
    fn len(&self) -> usize {
        match self {
            Times::Few { len, .. } => usize::from(*len),
            Times::Many(times) => times.len(),
        }
    }

    /// The instant at a place below [`Times::len`].
    fn at(&self, index: usize) -> Tick {
        match self {
            Times::Few { at, .. } => at[index],
            Times::Many(times) => times[index],
        }
    }

    fn newest(&self) -> Option<Tick> {
        self.len().checked_sub(1).map(|last| self.at(last))
    }

    fn push(&mut self, tick: Tick) {
        match self {
            Times::Few { len, at } if usize::from(*len) < FEW => {
                at[usize::from(*len)] = tick;
                *len += 1;
            }
            Times::Few { at, .. } => {
                let mut times = VecDeque::with_capacity(4 * FEW);
                times.extend(at.iter().copied());
                times.push_back(tick);
                *self = Times::Many(times);
            }
            Times::Many(times) => times.push_back(tick),
        }
    }

    fn remove(&mut self, index: usize) {
        match self {
            Times::Few { len, at } => {
                at.copy_within(index + 1..usize::from(*len), index);
                *len -= 1;
            }
            Times::Many(times) => {
                times.remove(index);
            }
        }
    }

    fn drop_oldest(&mut self, gone: usize) {
        match self {
            Times::Few { len, at } => {
                at.copy_within(gone..usize::from(*len), 0);
                *len -= u8::try_from(gone).expect("no more go than there are few");
            }
            Times::Many(times) => {
                times.drain(..gone);
                if times.capacity() > SHRINK_ABOVE && times.len() < times.capacity() / 4 {
                    times.shrink_to(times.capacity() / 2);
                }
            }
        }
    }

    /// How many at the beginning satisfy `earlier`, which holds for the oldest and then no more.
    fn partition_point(&self, earlier: impl Fn(Tick) -> bool) -> usize {
        match self {
            Times::Few { len, at } => at[..usize::from(*len)].partition_point(|tick| earlier(*tick)),
            // On a busy key little has left since the last request: look at the front first.
            Times::Many(times) if times.front().is_some_and(|oldest| !earlier(*oldest)) => 0,
            Times::Many(times) => times.partition_point(|tick| earlier(*tick)),
        }
    }
}
