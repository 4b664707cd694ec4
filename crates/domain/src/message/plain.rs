//! The message types without an inner structure of their own: text, location, contacts, reaction
//! (meta-cloud-api §1.3).

use super::place::{Faults, Optional, Place, Required};
use crate::json::Kind;

/// Longest text message [seed].
pub(super) const TEXT_CHARS_MAX: usize = 4096;

/// Most contacts of one message; Meta's pages say 257, its OpenAPI file 5.
const CONTACTS_MAX: usize = 257;

/// More scalar values than any one emoji has: the longest are families and flags of about ten.
const EMOJI_CHARS_MAX: usize = 20;

pub(super) fn text(root: &Place<'_>, chars_max: usize, faults: &mut Faults) {
    let Some(text) = root.object("text", Required, faults) else { return };
    text.string("body", Required, 1..=chars_max, faults);
    text.boolean("preview_url", Optional, faults);
}

pub(super) fn location(root: &Place<'_>, faults: &mut Faults) {
    if let Some(location) = root.object("location", Required, faults) {
        coordinates(&location, faults);
    }
}

/// A place on Earth, of a message or of a template's header.
pub(super) fn coordinates(location: &Place<'_>, faults: &mut Faults) {
    degrees(location, "latitude", 90.0, faults);
    degrees(location, "longitude", 180.0, faults);
    location.any_string("name", Optional, faults);
    location.any_string("address", Optional, faults);
}

/// Degrees as a number or, as Meta also takes them, a numeric string.
fn degrees(location: &Place<'_>, name: &str, max: f64, faults: &mut Faults) {
    let Some(value) = location.field(name) else {
        location.fault(name, "is required", faults);
        return;
    };
    let number = match value.kind() {
        Kind::Number => value.raw().parse::<f64>().ok(),
        Kind::Plain | Kind::Escaped => value.text().trim().parse::<f64>().ok(),
        _ => None,
    };
    if !number.is_some_and(|degrees| degrees.abs() <= max) {
        location.fault(name, format!("must be a number from -{max} to {max}"), faults);
    }
}

pub(super) fn contacts(root: &Place<'_>, faults: &mut Faults) {
    let Some(list) = root.list("contacts", Required, 1..=CONTACTS_MAX, faults) else { return };
    for contact in list.objects(faults) {
        if let Some(name) = contact.object("name", Required, faults) {
            name.filled("formatted_name", Required, faults);
            let parts = ["first_name", "last_name", "middle_name", "prefix", "suffix"];
            for part in parts {
                name.any_string(part, Optional, faults);
            }
            if !parts.iter().any(|part| name.has(part)) {
                name.fault_here(format!("must have, beside formatted_name, at least one of {}", parts.join(", ")), faults);
            }
        }
        if let Some(birthday) = contact.any_string("birthday", Optional, faults)
            && !is_date(&birthday.text())
        {
            contact.fault("birthday", "must be a date as YYYY-MM-DD", faults);
        }
        if let Some(org) = contact.object("org", Optional, faults) {
            strings(&org, &["company", "department", "title"], faults);
        }
        for (name, fields) in [
            ("phones", &["phone", "type", "wa_id"][..]),
            ("emails", &["email", "type"]),
            ("urls", &["url", "type"]),
            ("addresses", &["street", "city", "state", "zip", "country", "country_code", "type"]),
        ] {
            if let Some(list) = contact.list(name, Optional, 0..=usize::MAX, faults) {
                for entry in list.objects(faults) {
                    strings(&entry, fields, faults);
                }
            }
        }
    }
}

fn strings(place: &Place<'_>, names: &[&str], faults: &mut Faults) {
    for name in names {
        place.any_string(name, Optional, faults);
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

pub(super) fn reaction(root: &Place<'_>, faults: &mut Faults) {
    let Some(reaction) = root.object("reaction", Required, faults) else { return };
    reaction.filled("message_id", Required, faults);
    // An empty emoji takes the reaction back.
    if let Some(emoji) = reaction.string("emoji", Required, 0..=EMOJI_CHARS_MAX, faults)
        && !may_be_emoji(&emoji.text())
    {
        reaction.fault("emoji", "must be one emoji, or empty to remove the reaction", faults);
    }
}

/// Whether a text may be an emoji. Which sequences are one changes with every Unicode version, so
/// only what certainly is none is refused: words, digits alone, white space. Keycaps begin with an
/// ASCII character and need more behind it.
fn may_be_emoji(text: &str) -> bool {
    text.is_empty()
        || (!text.is_ascii()
            && text.chars().all(|character| matches!(character, '0'..='9' | '#' | '*') || !character.is_ascii())
            && !text.chars().any(char::is_whitespace))
}
