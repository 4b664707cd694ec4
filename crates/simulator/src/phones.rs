//! The users on the other side: who wrote when, and what we sent them.
//!
//! Meta answers 200 to a free-form message outside the window too, and fails it
//! later by webhook (131047). So the window never decides an answer here; it is
//! told, with every accepted message, to [`Events`], from where statuses go out.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use crate::config::Window;

/// How long a user's message keeps the window open.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// How long ago a user of whom nothing is known wrote, where windows are open.
const UNSCRIPTED_WROTE_AGO: SignedDuration = SignedDuration::from_mins(1);

/// Told of what happens on the other side. Called before the answer goes out
/// (a status may overtake the answer at Meta too), so it must not block.
pub trait Events: Send + Sync {
    /// A message was taken and got its id.
    fn accepted(&self, message: &Accepted);
}

/// A message that was answered (or would have been, but for a fault) with an id.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// When it was taken.
    pub at: Timestamp,
    /// The id of the sending number.
    pub phone_number_id: String,
    /// The user: digits, or a business-scoped user id.
    pub user: String,
    /// The id that it got.
    pub wamid: String,
    /// `type` of the message.
    pub kind: String,
    /// The category of its template, where it is one.
    pub template_category: Option<String>,
    /// What every status of it must carry.
    pub biz_opaque_callback_data: Option<String>,
    /// Whether the user had written in the last 24 hours.
    pub window_open: bool,
}

/// When each user last wrote to each number.
pub(crate) struct Phones {
    unscripted: Window,
    wrote: Mutex<HashMap<(String, String), Timestamp>>,
}

impl Phones {
    pub(crate) fn new(unscripted: Window) -> Phones {
        Phones { unscripted, wrote: Mutex::new(HashMap::new()) }
    }

    /// A user wrote (or called, or tapped a button) at `at`.
    pub(crate) fn wrote(&self, phone_number_id: &str, user: &str, at: Timestamp) {
        let mut wrote = self.wrote.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        wrote.insert((phone_number_id.to_owned(), user.to_owned()), at);
    }

    /// Whether free-form messages to the user are delivered at `at`.
    pub(crate) fn window_open(&self, phone_number_id: &str, user: &str, at: Timestamp) -> bool {
        let wrote = self.wrote.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = if wrote.is_empty() { None } else { wrote.get(&(phone_number_id.to_owned(), user.to_owned())).copied() };
        let last = match (last, self.unscripted) {
            (Some(last), _) => last,
            (None, Window::Open) => at - UNSCRIPTED_WROTE_AGO,
            (None, Window::Closed) => return false,
        };
        at.duration_since(last) < WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_opens_the_window_for_a_day_and_for_that_user_only() {
        let at = Timestamp::from_second(1_790_000_000).expect("a date of this century");
        let phones = Phones::new(Window::Closed);
        assert!(!phones.window_open("1", "905321234567", at));
        phones.wrote("1", "905321234567", at);
        assert!(phones.window_open("1", "905321234567", at + SignedDuration::from_hours(23)));
        assert!(!phones.window_open("1", "905321234567", at + SignedDuration::from_hours(24)));
        assert!(!phones.window_open("1", "905321234568", at));
        assert!(!phones.window_open("2", "905321234567", at));
    }

    #[test]
    fn an_unscripted_user_has_written_a_minute_ago_where_windows_are_open() {
        let at = Timestamp::from_second(1_790_000_000).expect("a date of this century");
        assert!(Phones::new(Window::Open).window_open("1", "2", at));
    }
}
