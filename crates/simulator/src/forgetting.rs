//! Forgetting one user: whoever tries the other side with a real person's number can have it back out.
//!
//! A user is in the record of requests, in what is remembered beyond a restart, in files that they sent
//! or were sent, and in what is still to be told. A recorded request that names them stays as a husk (when, which method), so that counts stay
//! true; everything else of it goes. Names are the number, the business-scoped id and its parent, and
//! each is found as a word of its own, also within a message id, where Meta hides the number. A username
//! is not looked for: it may be any word, and nothing is sent to one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Record;
use crate::exchange::World;
use crate::memory::Memory;
use crate::record::{RecordError, Recorder};
use crate::server::Simulator;
use crate::users::{User, Users};

/// All names of one user.
pub(crate) struct Names(Vec<String>);

impl Names {
    /// Those of the user whom `name` names: a number or a business-scoped id.
    pub(crate) fn of(users: &Users, name: &str) -> Names {
        let given = name.trim().trim_start_matches('+').to_owned();
        let mut names = vec![given];
        if let Some(person) = users.find(name) {
            names.extend(person.phone);
            names.push(person.user_id);
            names.extend(person.parent_user_id);
        }
        names.retain(|name| !name.is_empty());
        names.sort();
        names.dedup();
        Names(names)
    }

    /// Whether one of them is this.
    pub(crate) fn are(&self, name: &str) -> bool {
        let name = name.trim_start_matches('+');
        self.0.iter().any(|known| known == name)
    }

    /// Whether one of them stands in these bytes.
    pub(crate) fn stand_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|name| holds(bytes, name.as_bytes())) || self.stand_in_an_id(bytes)
    }

    /// Whether a message id in these bytes was made for the user.
    fn stand_in_an_id(&self, bytes: &[u8]) -> bool {
        const BEGIN: &[u8] = b"wamid.";
        let mut rest = bytes;
        while let Some(place) = rest.windows(BEGIN.len()).position(|window| window == BEGIN) {
            rest = &rest[place + BEGIN.len()..];
            let mut id: Vec<u8> = Vec::new();
            for byte in rest {
                match byte {
                    // JSON and Meta's spelling of it may write `\/`.
                    b'\\' => {}
                    byte if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=') => id.push(*byte),
                    _ => break,
                }
            }
            let hidden = STANDARD.decode(&id).unwrap_or_default();
            if self.0.iter().any(|name| hidden.windows(name.len()).any(|window| window == name.as_bytes())) {
                return true;
            }
        }
        false
    }
}

/// Whether a name stands in these bytes as a word of its own, not within a longer number.
fn holds(bytes: &[u8], name: &[u8]) -> bool {
    let is_of_a_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.windows(name.len()).enumerate().any(|(place, window)| {
        window == name
            && !is_of_a_word(place.checked_sub(1).and_then(|before| bytes.get(before)))
            && !is_of_a_word(bytes.get(place + name.len()))
    })
}

/// A running simulator's way to forget, which outlives the borrow of it.
#[derive(Clone)]
pub struct Forgetter(Arc<World>);

impl Forgetter {
    /// Forgets the user whom this number or business-scoped id names: recorded requests become husks;
    /// messages, windows, preferences, declarations and files go, and so does what was still to be told of
    /// them.
    /// Returns how many things went.
    ///
    /// # Errors
    /// When a file cannot be written anew; then done again it finds what is left.
    pub async fn forget(&self, name: &str) -> Result<usize, RecordError> {
        forget(&self.0, name).await
    }
}

impl Simulator {
    /// What forgets users, for as long as the simulator runs.
    pub fn forgetter(&self) -> Forgetter {
        Forgetter(Arc::clone(&self.world))
    }
}

pub(crate) async fn forget(world: &World, name: &str) -> Result<usize, RecordError> {
    let names = Names::of(&world.users, name);
    // First what would write more of them, then what is written.
    let mut gone = world.webhooks.forget(&names);
    gone += world.sent.forget(&names);
    gone += world.media.forget(&names);
    gone += world.phones.forget(&names);
    gone += world.users.forget(&names);
    gone += world.forget_remembered(&names)?;
    gone += world.record.husk(Arc::new(names)).await?;
    Ok(gone)
}

/// Forgets a user in the files of a simulator that does not run.
///
/// # Errors
/// When they are in use, or cannot be read or written.
pub async fn forget_at_rest(record: &Record, name: &str) -> Result<usize, RecordError> {
    if let Record::File(path) = record
        && !path.exists()
    {
        return Ok(0);
    }
    let recorder = Recorder::open(record, None)?;
    let (memory, past) = Memory::open(record)?;
    let users = Users::default();
    for user in past.users {
        // What cannot be declared is no user that could be found.
        let _: Result<_, String> = users.define(User::clone(&user));
    }
    let names = Names::of(&users, name);
    Ok(memory.forget(&names)? + recorder.husk(Arc::new(names)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wamid;

    #[test]
    fn a_user_is_found_by_every_name_as_a_word_and_within_message_ids() {
        let users = Users::default();
        let names = Names::of(&users, "+905321234567");
        let id = wamid::inbound("905321234567", [7; 9]);
        for text in [r#"{"to":"+905321234567"}"#, r#"{"from":"905321234567"}"#, r#"{"user_id":"TR.905321234567"}"#, &id] {
            assert!(names.stand_in(text.as_bytes()), "{text}");
        }
        let escaped = format!(r#"{{"message_id":"{}"}}"#, id.replace('/', r"\/"));
        assert!(names.stand_in(escaped.as_bytes()), "{escaped}");
        let other = wamid::inbound("905321234568", [7; 9]);
        for text in [r#"{"to":"9053212345678"}"#, r#"{"id":"1905321234567"}"#, &other, "wamid.", "wamid.905", ""] {
            assert!(!names.stand_in(text.as_bytes()), "{text}");
        }
        assert!(Names::of(&users, "TR.905321234567").stand_in(b"905321234567"), "an id that is made from a number names it");
    }
}
