//! The free service messages of a month.
//!
//! Since 2026-10-01 a service message is charged inside the window too, but for the first 1,000 of a
//! business number and month. How Meta's webhooks show the free ones is not documented; here they
//! bear what a free message bore before. That being a guess, none is free unless asked for
//! ([`crate::Config::free_service_messages`]).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::Offset;

/// What each number has had of it.
pub(crate) struct Allowance {
    a_month: u32,
    taken: Mutex<HashMap<String, Taken>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Taken {
    year: i16,
    month: i8,
    messages: u32,
}

impl Allowance {
    pub(crate) fn new(a_month: u32) -> Allowance {
        Allowance { a_month, taken: Mutex::new(HashMap::new()) }
    }

    /// Takes one message of the month (in UTC); `false` where it has none left.
    pub(crate) fn take(&self, phone_number_id: &str, at: Timestamp) -> bool {
        if self.a_month == 0 {
            return false;
        }
        let day = Offset::UTC.to_datetime(at);
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let none = Taken { year: day.year(), month: day.month(), messages: 0 };
        let taken = all.entry(phone_number_id.to_owned()).or_insert(none);
        if (taken.year, taken.month) != (none.year, none.month) {
            *taken = none;
        }
        let free = taken.messages < self.a_month;
        taken.messages += u32::from(free);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_own_and_each_month_anew() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let allowance = Allowance::new(2);
        let october = at("2026-10-31T23:59:59Z");
        assert_eq!([0; 3].map(|_| allowance.take("1", october)), [true, true, false]);
        assert!(allowance.take("2", october));
        assert!(allowance.take("1", at("2026-11-01T00:00:00Z")));
        assert!(!Allowance::new(0).take("1", october));
    }
}
