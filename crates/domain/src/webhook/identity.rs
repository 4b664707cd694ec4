//! What makes an item the same when Meta repeats it.
//!
//! Meta repeats a whole POST for up to seven days, cuts batches anew, and sends to every app that is
//! subscribed, so what surrounds an item says nothing. What does:
//!
//! | item | the same if these are |
//! | --- | --- |
//! | message, echo | field, number, wamid and type; of an edit or a revocation also what it is about, and when |
//! | status | field, number, wamid, status; in a group also the participant |
//! | anything else | field, account, number, the entry's `time`, and the item's JSON, however it is spaced, escaped and ordered |
//!
//! So two changes of one template that differ only in `entry.time` are two, and chunks of a history
//! are told apart by what they hold. Two equal `errors` of a number bear no time and are one.

use super::item::{Item, Place};
use super::view::{Content, Message, View};
use crate::json::{Document, Kind, Value};

impl Item<'_> {
    /// The bytes that decide whether this is a repeat: equal for what Meta sends again, different
    /// for anything else. To be hashed with the application, and with whose app secret signed it:
    /// what a customer's own app reports must not hide what the operator's app reports of the same.
    #[must_use]
    pub fn identity(&self) -> Vec<u8> {
        let mut parts = Parts(Vec::with_capacity(160));
        let number = self.phone_number_id.as_deref().or(self.waba_id.as_deref()).unwrap_or_default();
        match (&self.view, &self.wamid) {
            (View::Message(message), Some(wamid)) => message_identity(&mut parts, "message", number, self, wamid, message),
            (View::Echo(message), Some(wamid)) => message_identity(&mut parts, "echo", number, self, wamid, message),
            (View::Status(status), Some(wamid)) => {
                for part in ["status", &self.field, number, wamid, &status.name] {
                    parts.add(part);
                }
                if status.group_id.is_some() {
                    parts.add(self.user.as_ref().and_then(|user| user.key()).unwrap_or_default());
                }
            }
            _ => {
                let list = match self.parts.place {
                    Place::Element(list) | Place::Member(list) => list,
                    Place::Entry | Place::Change | Place::Value => "",
                };
                let waba = self.waba_id.as_deref().unwrap_or_default();
                let number = self.phone_number_id.as_deref().unwrap_or_default();
                for part in ["change", &self.field, waba, number, self.parts.shell.time.unwrap_or_default(), list] {
                    parts.add(part);
                }
                match Document::scan_leniently(self.parts.own) {
                    Ok(document) => write_canonical(document.root(), &mut parts.0),
                    // Not an object: it is what it is.
                    Err(_) => parts.add(self.parts.own),
                }
            }
        }
        parts.0
    }
}

fn message_identity(parts: &mut Parts, what: &str, number: &str, item: &Item<'_>, wamid: &str, message: &Message<'_>) {
    for part in [what, &item.field, number, wamid, &message.type_name] {
        parts.add(part);
    }
    if let Content::Edit { original_message_id, .. } | Content::Revoke { original_message_id } = &message.content {
        parts.add(original_message_id);
        let at = item.at.map_or(0, |at| at.0);
        parts.add(itoa::Buffer::new().format(at));
    }
}

/// Texts one after the other, each behind its length, so that no two lists of texts are one.
struct Parts(Vec<u8>);

impl Parts {
    fn add(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// Writes a value so that how it was spaced and escaped, and the order of its members, do not show.
/// The scanner bounds the depth.
fn write_canonical(value: Value<'_>, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::Object => {
            let mut members: Vec<_> = value.members().map(|(name, value)| (name.text(), value)).collect();
            // Stable: of a name that occurs twice the order stays.
            members.sort_by(|one, other| one.0.cmp(&other.0));
            out.push(b'{');
            for (name, value) in members {
                write_text(&name, out);
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Kind::Array => {
            out.push(b'[');
            value.elements().for_each(|element| write_canonical(element, out));
            out.push(b']');
        }
        Kind::Plain | Kind::Escaped => write_text(&value.text(), out),
        Kind::Null | Kind::False | Kind::True | Kind::Number => {
            out.push(b'#');
            write_text(value.raw(), out);
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
#[path = "tests/identity.rs"]
mod tests;
