//! The simulator's one place that reads the clock and starts tasks.
//!
//! It is a program of its own and so has no clock given to it; keeping the
//! reads here keeps everything else a function of its arguments. Two times are
//! read: the wall clock's, for the record of requests, and [`SimulatedClock`]'s,
//! which everything that Meta would date or delay goes by.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

/// A wait is cut into pieces of at most this much real time, since no timer
/// reaches further than some years.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Simulated time may be this many times faster than real time at most.
pub(crate) const SPEED_MAX: f64 = 1_000_000.0;

/// The wall clock's time, for `at` in the record.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// RFC 3339 in UTC with milliseconds, as the record writes it.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A time in JSON, to the last digit.
pub(crate) mod as_text {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }

    /// The same where there may be none.
    pub(crate) mod or_none {
        use super::{Deserializer, Serializer, Timestamp, de};
        use serde::{Deserialize as _, Serialize as _};

        pub(crate) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            at.map(|at| at.to_string()).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
        }
    }
}

/// Starts a task on the runtime that we were started on.
#[expect(clippy::disallowed_methods, reason = "the simulator has no engine to track its tasks; its accept loop owns them by handle")]
pub(crate) fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}

/// Time as Meta's side sees it: it begins with the wall clock's, runs `speed`
/// times as fast, and can be put forward.
pub(crate) struct SimulatedClock {
    base: Mutex<Base>,
    /// Changes when the clock was put forward or changed its speed, so that
    /// those who wait look again.
    changed: watch::Sender<()>,
}

#[derive(Clone, Copy)]
struct Base {
    real: Instant,
    simulated: Timestamp,
    speed: f64,
}

impl Base {
    fn at(&self, real: Instant) -> Timestamp {
        let passed = real.saturating_duration_since(self.real).as_secs_f64() * self.speed;
        let passed = SignedDuration::try_from_secs_f64(passed).unwrap_or(SignedDuration::MAX);
        self.simulated.checked_add(passed).unwrap_or(Timestamp::MAX)
    }
}

impl SimulatedClock {
    /// A clock that shows the wall clock's time now. A speed that cannot be
    /// (negative, not a number) is taken for 1.
    pub(crate) fn new(speed: f64) -> SimulatedClock {
        let base = Base { real: Instant::now(), simulated: now(), speed: usable_speed(speed).unwrap_or(1.0) };
        SimulatedClock { base: Mutex::new(base), changed: watch::Sender::new(()) }
    }

    /// The simulated time.
    pub(crate) fn now(&self) -> Timestamp {
        self.read().at(Instant::now())
    }

    /// How many times as fast as real time it runs.
    pub(crate) fn speed(&self) -> f64 {
        self.read().speed
    }

    /// Runs at another speed from now on; `false` where that is no speed.
    pub(crate) fn set_speed(&self, speed: f64) -> bool {
        let Some(speed) = usable_speed(speed) else { return false };
        self.rebase(|base| base.speed = speed);
        true
    }

    /// Puts the clock forward.
    pub(crate) fn advance(&self, by: SignedDuration) {
        self.rebase(|base| base.simulated = base.simulated.checked_add(by).unwrap_or(base.simulated));
    }

    /// Returns once the simulated time is `at` or later.
    pub(crate) async fn sleep_until(&self, at: Timestamp) {
        let mut changed = self.changed.subscribe();
        loop {
            let base = self.read();
            let missing = at.duration_since(base.at(Instant::now()));
            if missing <= SignedDuration::ZERO {
                return;
            }
            let real = Duration::try_from_secs_f64(missing.as_secs_f64() / base.speed).unwrap_or(WAIT_MAX);
            // A timer fires on whole milliseconds; a little late beats looking twice.
            let real = real.min(WAIT_MAX) + Duration::from_micros(200);
            tokio::select! {
                () = tokio::time::sleep(real) => {}
                // The sender is ours, so it is still there.
                _ = changed.changed() => {}
            }
        }
    }

    fn rebase(&self, change: impl FnOnce(&mut Base)) {
        {
            let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
            let real = Instant::now();
            base.simulated = base.at(real);
            base.real = real;
            change(&mut base);
        }
        self.changed.send_replace(());
    }

    fn read(&self) -> Base {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usable_speed(speed: f64) -> Option<f64> {
    (speed.is_finite() && speed > 0.0 && speed <= SPEED_MAX).then_some(speed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_passes_in_a_second_at_speed_sixty() {
        let clock = SimulatedClock::new(60.0);
        let start = clock.now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now().duration_since(start).as_secs(), 60);
        assert!(clock.set_speed(1.0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now().duration_since(start).as_secs(), 61);
        assert!(!clock.set_speed(0.0) && !clock.set_speed(f64::NAN) && !clock.set_speed(-1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn putting_the_clock_forward_wakes_those_who_wait() {
        let clock = SimulatedClock::new(1.0);
        let in_a_week = clock.now() + SignedDuration::from_hours(24 * 7);
        tokio::join!(clock.sleep_until(in_a_week), async { clock.advance(SignedDuration::from_hours(24 * 7)) });
        assert!(clock.now() >= in_a_week);
    }
}
