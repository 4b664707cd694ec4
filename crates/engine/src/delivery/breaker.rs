//! Whether an endpoint is tried at all: a breaker of its own for each.
//!
//! An endpoint that does not answer would otherwise keep eight attempts hanging for fifteen seconds
//! each. Open, it costs one probe now and then, and its events wait in the store with their schedule.

use std::time::Duration;

use turnpike_domain::time::UnixMs;

use super::settings::DeliverySettings;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breaker {
    /// Attempts pass; failures in a row weigh so much.
    Closed(u32),
    /// None passes until then.
    Open { until: UnixMs, wait: Duration },
    /// One passed and has not ended.
    HalfOpen { wait: Duration },
}

impl Breaker {
    /// Whether any attempt passes, or one probe.
    pub(super) fn allows(self, now: UnixMs) -> bool {
        match self {
            Breaker::Closed(_) => true,
            Breaker::Open { until, .. } => until <= now,
            Breaker::HalfOpen { .. } => false,
        }
    }

    /// Whether attempts pass freely.
    pub(super) fn is_closed(self) -> bool {
        matches!(self, Breaker::Closed(_))
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self) {
        if let Breaker::Open { wait, .. } = *self {
            *self = Breaker::HalfOpen { wait };
        }
    }

    /// The probe did not come about.
    pub(super) fn not_begun(&mut self, now: UnixMs) {
        if let Breaker::HalfOpen { wait } = *self {
            *self = Breaker::Open { until: now, wait };
        }
    }

    /// An attempt ended, well or with a failure of this weight; returns until when the breaker is open, where this opened it.
    pub(super) fn ended(&mut self, failure: Option<u32>, now: UnixMs, settings: &DeliverySettings) -> Option<UnixMs> {
        let Some(weight) = failure else {
            *self = Breaker::Closed(0);
            return None;
        };
        let wait = match *self {
            Breaker::Closed(failures) if failures + weight < settings.breaker_failures => {
                *self = Breaker::Closed(failures + weight);
                return None;
            }
            Breaker::Closed(_) => settings.breaker_open,
            // One that was under way when it opened says nothing new.
            Breaker::Open { .. } => return None,
            Breaker::HalfOpen { wait } => (wait * 2).min(settings.breaker_open_max),
        };
        let until = now.plus_ms(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        *self = Breaker::Open { until, wait };
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_a_row_of_failures_probes_once_and_waits_longer_each_time() {
        let settings = DeliverySettings::default();
        let mut breaker = Breaker::Closed(0);
        for _ in 1..settings.breaker_failures {
            assert_eq!(breaker.ended(Some(1), UnixMs(0), &settings), None);
        }
        assert!(breaker.allows(UnixMs(0)));
        assert_eq!(breaker.ended(Some(1), UnixMs(0), &settings), Some(UnixMs(15_000)));
        assert!(!breaker.allows(UnixMs(14_999)) && breaker.allows(UnixMs(15_000)));
        assert_eq!(breaker.ended(Some(1), UnixMs(100), &settings), None, "one that was under way changes nothing");
        breaker.begin();
        assert!(!breaker.allows(UnixMs(1 << 40)), "one probe at a time");
        assert_eq!(breaker.ended(Some(1), UnixMs(20_000), &settings), Some(UnixMs(50_000)));
        breaker.begin();
        assert_eq!(breaker.ended(None, UnixMs(60_000), &settings), None);
        assert!(breaker.is_closed() && breaker.allows(UnixMs(60_000)));
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew() {
        let settings = DeliverySettings::default();
        let mut breaker = Breaker::Closed(0);
        for _ in 0..10 {
            for _ in 1..settings.breaker_failures {
                breaker.ended(Some(1), UnixMs(0), &settings);
            }
            breaker.ended(None, UnixMs(0), &settings);
        }
        assert!(breaker.is_closed());
    }
}
