//! Instants as the records keep them: milliseconds of Unix time, given from outside.

use serde::{Deserialize, Serialize};

/// A wall-clock instant in milliseconds since 1970-01-01T00:00:00Z.
///
/// Only for records and prices. Deadlines and windows use monotonic time, which this is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

/// Milliseconds in a UTC day.
pub const DAY_MS: i64 = 86_400_000;

/// A day of UTC, counted from 1970-01-01. Day tables and `dailyLimit` go by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcDay(pub i32);

impl UnixMs {
    /// The UTC day that holds this instant.
    #[must_use]
    pub fn day(self) -> UtcDay {
        UtcDay(i32::try_from(self.0.div_euclid(DAY_MS)).unwrap_or(i32::MAX))
    }

    /// This instant moved by `ms` (which may be negative); stays at the ends of the range.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> UnixMs {
        UnixMs(self.0.saturating_add(ms))
    }

    /// Reads an RFC 3339 instant, or a date, which is its midnight in UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<UnixMs> {
        let at = match text.parse::<jiff::civil::Date>() {
            Ok(date) if text.len() == "2026-10-01".len() => date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
            _ => text.parse::<jiff::Timestamp>().ok()?,
        };
        Some(UnixMs(at.as_millisecond()))
    }

    /// RFC 3339 in UTC with milliseconds and `Z`, the form of every surface (management-api rule 8).
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map(|at| format!("{at:.3}")).unwrap_or_else(|_| "9999-12-31T23:59:59.999Z".to_owned())
    }
}

impl UtcDay {
    /// The first instant of this day.
    #[must_use]
    pub fn start(self) -> UnixMs {
        UnixMs(i64::from(self.0) * DAY_MS)
    }

    /// The day after this one.
    #[must_use]
    pub fn next(self) -> UtcDay {
        UtcDay(self.0.saturating_add(1))
    }

    /// `20261122`: how day tables are named.
    #[must_use]
    pub fn compact(self) -> String {
        jiff::Timestamp::from_millisecond(self.start().0)
            .map(|at| at.strftime("%Y%m%d").to_string())
            .unwrap_or_else(|_| "99991231".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_shown_in_utc_with_milliseconds() {
        assert_eq!(UnixMs(1_795_392_000_123).to_rfc3339(), "2026-11-23T00:00:00.123Z");
        assert_eq!(UnixMs(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_date_and_an_instant_are_read() {
        assert_eq!(UnixMs::parse("2026-11-23"), Some(UnixMs(1_795_392_000_000)));
        assert_eq!(UnixMs::parse("2026-11-23T00:00:00.123Z"), Some(UnixMs(1_795_392_000_123)));
        assert_eq!(UnixMs::parse("tomorrow"), None);
    }

    #[test]
    fn a_day_begins_at_midnight_and_names_its_tables() {
        let at = UnixMs(1_795_391_999_999);
        assert_eq!(at.day().compact(), "20261122");
        assert_eq!(at.plus_ms(1).day(), at.day().next());
        assert_eq!(UnixMs(-1).day(), UtcDay(-1));
    }
}
