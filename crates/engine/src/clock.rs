//! What time it is, as a thing one is given.
//!
//! Records, prices and message ids need the wall clock; deadlines do not (they go by tokio's
//! instants, so that a paused runtime drives them). Everything that asks for the time asks a
//! [`Clock`], so a test can set it, and a simulation can let it drift. [`SystemClock`] is the one
//! place in the workspace's library code that reads the machine's clock.

use std::sync::atomic::{AtomicI64, Ordering};

use turnpike_domain::time::UnixMs;

/// Tells the wall-clock time.
pub trait Clock: Send + Sync {
    /// Now, in milliseconds of Unix time.
    fn now(&self) -> UnixMs;

    /// Now in nanoseconds of Unix time, and a larger number on every call of this clock: ids of
    /// fake messages are made of it and must be unique (contract §3.3).
    fn unix_nanos(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock {
    last_nanos: AtomicI64,
}

impl SystemClock {
    /// The machine's clock.
    #[must_use]
    pub fn new() -> SystemClock {
        SystemClock::default()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        UnixMs(machine_nanos() / NANOS_PER_MS)
    }

    fn unix_nanos(&self) -> i64 {
        strictly_later(&self.last_nanos, machine_nanos())
    }
}

/// A clock that stands where it was put, and moves when it is told to.
#[derive(Debug)]
pub struct TestClock {
    set_to_ms: AtomicI64,
    last_nanos: AtomicI64,
}

impl TestClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn at(at: UnixMs) -> TestClock {
        TestClock { set_to_ms: AtomicI64::new(at.0), last_nanos: AtomicI64::new(0) }
    }

    /// Puts the clock to `at`, forwards or backwards.
    pub fn set(&self, at: UnixMs) {
        self.set_to_ms.store(at.0, Ordering::SeqCst);
    }

    /// Moves the clock by `ms`; a negative number moves it back.
    pub fn advance(&self, ms: i64) {
        self.set_to_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMs {
        UnixMs(self.set_to_ms.load(Ordering::SeqCst))
    }

    fn unix_nanos(&self) -> i64 {
        strictly_later(&self.last_nanos, self.now().0.saturating_mul(NANOS_PER_MS))
    }
}

const NANOS_PER_MS: i64 = 1_000_000;

#[expect(clippy::disallowed_methods, reason = "this is the seam that everything else takes the time from")]
fn machine_nanos() -> i64 {
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

/// `nanos`, or the number after the last one given out where the clock did not move forward.
fn strictly_later(last: &AtomicI64, nanos: i64) -> i64 {
    let mut seen = last.load(Ordering::Relaxed);
    loop {
        let next = nanos.max(seen.saturating_add(1));
        match last.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return next,
            Err(now_seen) => seen = now_seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_is_in_this_century() {
        let clock = SystemClock::new();
        assert!(clock.now() > UnixMs(1_700_000_000_000), "{:?}", clock.now());
        assert!(clock.now() < UnixMs(4_102_444_800_000), "{:?}", clock.now());
    }

    #[test]
    fn nanoseconds_never_repeat_though_the_clock_stands_or_goes_back() {
        let clock = TestClock::at(UnixMs(5));
        let first = clock.unix_nanos();
        assert_eq!(first, 5_000_000);
        assert_eq!(clock.unix_nanos(), first + 1);
        clock.set(UnixMs(1));
        assert_eq!(clock.unix_nanos(), first + 2);
        clock.set(UnixMs(6));
        assert_eq!(clock.unix_nanos(), 6_000_000);
    }
}
