//! When a delivery is tried again: the Standard Webhooks schedule, spread by chance, stretched by
//! what the endpoint asks (contract §7).

use crate::time::UnixMs;

/// What an endpoint's answer means for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// 2xx: it took it, whatever became of the rest of its answer.
    Delivered,
    /// Try again by the schedule. Redirects are here too: they are never followed.
    Retry(Pace),
    /// 410: nobody wants these events any more; the endpoint is disabled.
    Gone,
}

/// How hard an endpoint is pressed after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pace {
    /// By the schedule.
    Usual,
    /// By the schedule, but not before its floor: the endpoint was overwhelmed (429, 503) or did
    /// not answer in time.
    Gentle,
}

/// What the status of an answer means. Where there was none, a timeout is
/// `Retry(Pace::Gentle)` and everything else `Retry(Pace::Usual)`.
#[must_use]
pub fn classify(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        410 => Verdict::Gone,
        429 | 503 => Verdict::Retry(Pace::Gentle),
        _ => Verdict::Retry(Pace::Usual),
    }
}

/// When a delivery is tried, from its making on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    waits_ms: Box<[u64]>,
    floor_ms: u64,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Waits after the 1st, 2nd … failed attempt: 75 h 35 min 5 s in all (Standard Webhooks).
const STANDARD_MS: [u64; 9] = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// Soonest retry after [`Pace::Gentle`] (reliability §c4).
const STANDARD_FLOOR_MS: u64 = MINUTE;

/// Most waits of a schedule.
pub const WAITS_MAX: usize = 50;
/// Longest wait of a schedule: 7 days.
pub const WAIT_MAX_MS: u64 = 7 * 24 * HOUR;

/// Jitter, in parts of a thousand to either side.
const JITTER_PERMILLE: u64 = 200;

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule { waits_ms: Box::new(STANDARD_MS), floor_ms: STANDARD_FLOOR_MS }
    }
}

impl Schedule {
    /// A schedule of one's own: the waits after each failed attempt, and the soonest retry after
    /// [`Pace::Gentle`]. The first attempt is at once; no waits means one attempt.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence part.
    pub fn new(waits_ms: &[u64], floor_ms: u64) -> Result<Schedule, &'static str> {
        if waits_ms.len() > WAITS_MAX {
            return Err("must have at most 50 waits");
        }
        if waits_ms.iter().chain([&floor_ms]).any(|wait| *wait > WAIT_MAX_MS) {
            return Err("must not have a wait of more than 7 days");
        }
        Ok(Schedule { waits_ms: waits_ms.into(), floor_ms })
    }

    /// How long to wait after the `attempts`-th attempt (from 1) failed, in milliseconds; `None`
    /// where the schedule is over and the delivery is a dead letter.
    ///
    /// `retry_after_ms` is what the endpoint asked for; it is followed between one and two steps.
    /// `random` is any 64 random bits.
    #[must_use]
    pub fn wait_ms(&self, attempts: u16, pace: Pace, retry_after_ms: Option<u64>, random: u64) -> Option<u64> {
        let step = *self.waits_ms.get(usize::from(attempts).checked_sub(1)?)?;
        // Spread over [1 - jitter, 1 + jitter], in parts of a thousand.
        let spread = 1_000 - JITTER_PERMILLE + random % (2 * JITTER_PERMILLE + 1);
        let spread_step = step * spread / 1_000;
        let wait = match retry_after_ms {
            None => spread_step,
            Some(asked) => spread_step.max(asked.clamp(step, 2 * step)),
        };
        Some(if pace == Pace::Gentle { wait.max(self.floor_ms) } else { wait })
    }
}

/// Reads `Retry-After`: seconds, or an HTTP date; in milliseconds from `now`. `None` where it is
/// neither; 0 where the date is past.
#[must_use]
pub fn retry_after_ms(value: &str, now: UnixMs) -> Option<u64> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are for ever; the caller's clamp decides.
        return Some(value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(SECOND));
    }
    let at = http_date(value)?;
    Some(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0))
}

/// One of the three forms of RFC 9110 §5.6.7. The weekday is not compared: it decides nothing.
fn http_date(value: &str) -> Option<UnixMs> {
    let (_, fixdate) = value.split_once(", ").unwrap_or(("", value));
    let civil = ["%d %b %Y %H:%M:%S GMT", "%d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| jiff::civil::DateTime::strptime(form, fixdate).ok())?;
    let at = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UnixMs(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIDDLE: u64 = JITTER_PERMILLE;

    #[test]
    fn the_standard_schedule_lasts_75_hours_35_minutes_and_5_seconds() {
        let schedule = Schedule::default();
        let waits: Vec<u64> = (1..).map_while(|attempts| schedule.wait_ms(attempts, Pace::Usual, None, MIDDLE)).collect();
        assert_eq!(waits.len(), STANDARD_MS.len(), "a tenth attempt is the last");
        assert_eq!(waits.iter().sum::<u64>(), 75 * HOUR + 35 * MINUTE + 5 * SECOND);
        assert_eq!(waits[0], 5 * SECOND);
        assert_eq!(schedule.wait_ms(0, Pace::Usual, None, 0), None, "no attempt has failed yet");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_in_any_of_the_three_forms() {
        let now = UnixMs(784_111_777_000);
        for (value, wait_s) in [
            ("0", 0),
            ("120", 120),
            (" 7\t", 7),
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
            ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
            ("Sun Nov  6 08:50:37 1994", 60),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("Sat, 05 Nov 1994 08:49:37 GMT", 0),
        ] {
            assert_eq!(retry_after_ms(value, now), Some(wait_s * SECOND), "{value}");
        }
        for value in ["", " ", "-1", "1.5", "soon", "1e3", "+5", "Sun, 06 Nov 1994", "Sun, 31 Feb 1994 08:49:37 GMT", "٣"] {
            assert_eq!(retry_after_ms(value, now), None, "{value}");
        }
        assert_eq!(retry_after_ms("99999999999999999999999", now), Some(u64::MAX));
    }

    #[test]
    fn a_status_decides_what_becomes_of_a_delivery() {
        for status in 200..300 {
            assert_eq!(classify(status), Verdict::Delivered);
        }
        for status in [100, 199, 300, 301, 307, 400, 401, 404, 409, 411, 500, 502, 504, 599, 999, 0] {
            assert_eq!(classify(status), Verdict::Retry(Pace::Usual), "{status}");
        }
        assert_eq!((classify(429), classify(503)), (Verdict::Retry(Pace::Gentle), Verdict::Retry(Pace::Gentle)));
        assert_eq!(classify(410), Verdict::Gone);
    }

    #[test]
    fn a_schedule_of_ones_own_is_bounded() {
        assert_eq!(Schedule::new(&[], 0).expect("one attempt").wait_ms(1, Pace::Usual, None, MIDDLE), None);
        assert!(Schedule::new(&[0; WAITS_MAX + 1], 0).is_err());
        assert!(Schedule::new(&[WAIT_MAX_MS + 1], 0).is_err() && Schedule::new(&[], u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn a_wait_stays_near_its_step(attempts in 1u16..10, random: u64, asked: Option<u64>, gentle: bool) {
            let schedule = Schedule::default();
            let step = STANDARD_MS[usize::from(attempts) - 1];
            let pace = if gentle { Pace::Gentle } else { Pace::Usual };
            let wait = schedule.wait_ms(attempts, pace, asked, random).expect("within the schedule");
            let (least, most) = if asked.is_some() { (step, 2 * step) } else { (step * 8 / 10, step * 12 / 10) };
            let floor = if gentle { STANDARD_FLOOR_MS } else { 0 };
            prop_assert!(wait >= least.max(floor) && wait <= most.max(floor), "{} of {}", wait, step);
        }
    }
}
