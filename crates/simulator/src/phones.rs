//! The users on the other side: who wrote when, and what we sent them.
//!
//! Meta answers 200 to a free-form message outside the window too, and fails it
//! later by webhook (131047). So the window never decides an answer here; it is
//! told, with every accepted message, to [`Events`], from where statuses go out.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::config::Window;
use crate::forgetting::Names;

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

/// How long an answer to somebody who came by an advertisement may take to open a
/// free entry point, and how long that stays open.
const ENTRY_ANSWER: SignedDuration = SignedDuration::from_hours(24);
const ENTRY_OPEN: SignedDuration = SignedDuration::from_hours(72);

/// What each user did with each number. Users go by one key, however addressed.
pub(crate) struct Phones {
    unscripted: Window,
    inner: Mutex<Doings>,
}

#[derive(Default)]
struct Doings {
    wrote: HashMap<(String, String), Timestamp>,
    /// When they came by an advertisement.
    entered: HashMap<(String, String), Timestamp>,
    /// Until when nothing is charged.
    free_until: HashMap<(String, String), Timestamp>,
    /// Who wants no marketing.
    stopped: HashSet<(String, String)>,
}

impl Phones {
    pub(crate) fn new(unscripted: Window) -> Phones {
        Phones { unscripted, inner: Mutex::new(Doings::default()) }
    }

    /// A user wrote (or called, or tapped a button) at `at`.
    pub(crate) fn wrote(&self, phone_number_id: &str, user: &str, at: Timestamp) {
        self.lock().wrote.insert(pair(phone_number_id, user), at);
    }

    /// Whether free-form messages to the user are delivered at `at`.
    pub(crate) fn window_open(&self, phone_number_id: &str, user: &str, at: Timestamp) -> bool {
        let doings = self.lock();
        let last = if doings.wrote.is_empty() { None } else { doings.wrote.get(&pair(phone_number_id, user)).copied() };
        let last = match (last, self.unscripted) {
            (Some(last), _) => last,
            (None, Window::Open) => at - UNSCRIPTED_WROTE_AGO,
            (None, Window::Closed) => return false,
        };
        at.duration_since(last) < WINDOW
    }

    /// A user wrote from an advertisement.
    pub(crate) fn entered(&self, phone_number_id: &str, user: &str, at: Timestamp) {
        self.lock().entered.insert(pair(phone_number_id, user), at);
    }

    /// The business wrote; gives until when that is free, where it is.
    pub(crate) fn answered(&self, phone_number_id: &str, user: &str, at: Timestamp) -> Option<Timestamp> {
        let mut doings = self.lock();
        if doings.entered.is_empty() && doings.free_until.is_empty() {
            return None;
        }
        let pair = pair(phone_number_id, user);
        if let Some(until) = doings.free_until.get(&pair).filter(|until| at < **until) {
            return Some(*until);
        }
        let entered = doings.entered.remove(&pair)?;
        if at.duration_since(entered) > ENTRY_ANSWER {
            return None;
        }
        let until = at + ENTRY_OPEN;
        doings.free_until.insert(pair, until);
        Some(until)
    }

    /// A user wants marketing no more, or again.
    pub(crate) fn wants_marketing(&self, phone_number_id: &str, user: &str, wants: bool) {
        let pair = pair(phone_number_id, user);
        let mut doings = self.lock();
        if wants {
            doings.stopped.remove(&pair);
        } else {
            doings.stopped.insert(pair);
        }
    }

    /// Whether the user wants no marketing of this number.
    pub(crate) fn has_stopped(&self, phone_number_id: &str, user: &str) -> bool {
        let doings = self.lock();
        !doings.stopped.is_empty() && doings.stopped.contains(&pair(phone_number_id, user))
    }

    /// Forgets what a user did; how many things that were.
    pub(crate) fn forget(&self, names: &Names) -> usize {
        let mut doings = self.lock();
        let count = |doings: &Doings| doings.wrote.len() + doings.entered.len() + doings.free_until.len() + doings.stopped.len();
        let before = count(&doings);
        doings.wrote.retain(|(_, user), _| !names.are(user));
        doings.entered.retain(|(_, user), _| !names.are(user));
        doings.free_until.retain(|(_, user), _| !names.are(user));
        doings.stopped.retain(|(_, user)| !names.are(user));
        before - count(&doings)
    }

    fn lock(&self) -> MutexGuard<'_, Doings> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pair(phone_number_id: &str, user: &str) -> (String, String) {
    (phone_number_id.to_owned(), user.to_owned())
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

    #[test]
    fn an_answer_within_a_day_to_one_who_came_by_an_advertisement_is_free_for_three() {
        let at = Timestamp::from_second(1_790_000_000).expect("a date of this century");
        let phones = Phones::new(Window::Open);
        assert_eq!(phones.answered("1", "2", at), None);
        phones.entered("1", "2", at);
        let answered = at + SignedDuration::from_hours(20);
        let until = answered + SignedDuration::from_hours(72);
        assert_eq!(phones.answered("1", "2", answered), Some(until));
        assert_eq!(phones.answered("1", "2", until - SignedDuration::from_secs(1)), Some(until));
        assert_eq!(phones.answered("1", "2", until), None);
        phones.entered("1", "3", at);
        assert_eq!(phones.answered("1", "3", at + SignedDuration::from_hours(25)), None);
    }
}
