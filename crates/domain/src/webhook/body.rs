//! The bytes of a delivery: Meta's own JSON, cut down to one item (contract §7).
//!
//! Members are spliced as they stand, never parsed and written again: numbers keep their digits and
//! texts their escapes. What stands beside the item in the same array is left out, and so are other
//! users' contacts.

use super::item::{Edit, Edited, Item, Place};

/// What a delivery changes in Meta's bytes. The default changes nothing: that is what is kept of
/// an item in quarantine, since it can be read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyChanges<'c> {
    /// What becomes of a status' `biz_opaque_callback_data`.
    pub callback_data: CallbackData<'c>,
    /// What becomes of the `url` of media.
    pub media: MediaUrls<'c>,
}

/// What becomes of `biz_opaque_callback_data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallbackData<'c> {
    /// It stays: the message is not ours.
    #[default]
    AsItCame,
    /// It goes: the caller had given none.
    Removed,
    /// It becomes the caller's own.
    Restored(&'c str),
}

/// What becomes of the `url` of media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaUrls<'c> {
    /// They stay.
    #[default]
    AsTheyCame,
    /// They go: this gateway does not know its own address.
    Removed,
    /// They become this, followed by the media id: `https://host/v1/wa/media/`. Media without an id
    /// lose theirs.
    Under(&'c str),
}

impl Item<'_> {
    /// The delivery's bytes: one payload of Meta's shape that holds this item alone.
    #[must_use]
    pub fn body(&self, changes: &BodyChanges<'_>) -> Vec<u8> {
        let (parts, shell) = (&self.parts, &*self.parts.shell);
        let contacts: usize = parts.contacts.iter().map(|contact| contact.len() + 1).sum();
        let mut out = Vec::with_capacity(shell.bytes + contacts + parts.own.len() + parts.edits.len() * URL_BYTES);
        let mut push = |text: &str| out.extend_from_slice(text.as_bytes());
        push("{\"object\":");
        push(shell.object);
        push(",\"entry\":[");
        if parts.place == Place::Entry {
            push(parts.own);
            push("]}");
            return out;
        }
        push("{");
        for member in &*shell.entry {
            push(member);
            push(",");
        }
        push("\"changes\":[");
        if parts.place == Place::Change {
            push(parts.own);
            push("]}]}");
            return out;
        }
        push("{");
        for member in &shell.change {
            push(member);
            push(",");
        }
        push("\"value\":");
        let (before, after) = match parts.place {
            Place::Element(list) => (Some(list), ("[", "]}")),
            Place::Member(name) => (Some(name), ("", "}")),
            Place::Entry | Place::Change | Place::Value => (None, ("", "")),
        };
        if let Some(name) = before {
            push("{");
            for member in &shell.value {
                push(member);
                push(",");
            }
            if !parts.contacts.is_empty() {
                push("\"contacts\":[");
                for (index, contact) in parts.contacts.iter().enumerate() {
                    push(if index == 0 { "" } else { "," });
                    push(contact);
                }
                push("],");
            }
            push("\"");
            push(name);
            push("\":");
        }
        push(after.0);
        write_edited(&mut out, parts.own, &parts.edits, changes);
        out.extend_from_slice(after.1.as_bytes());
        out.extend_from_slice(b"}]}]}");
        out
    }
}

/// Room for one URL of ours.
const URL_BYTES: usize = 128;

/// Writes an item's own bytes with what a delivery changes of them.
fn write_edited(out: &mut Vec<u8>, own: &str, edits: &[Edit<'_>], changes: &BodyChanges<'_>) {
    let mut copied = 0;
    for edit in edits {
        let replacement = match (&edit.what, changes.callback_data, changes.media) {
            (Edited::CallbackData, CallbackData::AsItCame, _) | (Edited::MediaUrl(_), _, MediaUrls::AsTheyCame) => continue,
            (Edited::CallbackData, CallbackData::Restored(text), _) => Some(json_string(text)),
            (Edited::MediaUrl(Some(id)), _, MediaUrls::Under(base)) => Some(json_string(&media_url(base, id))),
            (Edited::CallbackData, CallbackData::Removed, _) | (Edited::MediaUrl(_), _, _) => None,
        };
        let place = if replacement.is_some() { &edit.value } else { &edit.member };
        out.extend_from_slice(own.get(copied..place.start).unwrap_or_default().as_bytes());
        out.extend_from_slice(replacement.unwrap_or_default().as_bytes());
        copied = place.end;
    }
    out.extend_from_slice(&own.as_bytes()[copied..]);
}

/// A text as JSON in ASCII, as Meta writes its own: receivers may count on it.
fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            ' '..='~' => json.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    json.push_str("\\u");
                    for shift in [12, 8, 4, 0] {
                        json.push(char::from(b"0123456789abcdef"[usize::from(*unit >> shift & 15)]));
                    }
                }
            }
        }
    }
    json.push('"');
    json
}

/// Our URL of a medium. Ids are digits; should one ever hold anything else, it stays one segment.
fn media_url(base: &str, id: &str) -> String {
    let mut url = String::with_capacity(base.len() + id.len());
    url.push_str(base);
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            for digit in [byte >> 4, byte & 15] {
                url.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    url
}

#[cfg(test)]
#[path = "tests/body.rs"]
mod tests;
