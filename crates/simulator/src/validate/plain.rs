//! Text, media, places, contact cards and reactions.

use serde_json::{Map, Value};

use super::part::{Family, Part};
use crate::graph::error::GraphError;
use crate::wamid;

const TEXT_MAX: usize = 4_096;
const CAPTION_MAX: usize = 1_024;

/// Contact cards in one message.
const CONTACTS_MAX: usize = 257;

/// The longest emoji sequences (families, flags of regions) have about a dozen
/// scalars.
const EMOJI_SCALARS_MAX: usize = 16;

const NAME_PARTS: &[&str] = &["first_name", "last_name", "middle_name", "prefix", "suffix"];

/// Checks the payload of a message of this (known) type.
pub(super) fn check(message: &Map<String, Value>, kind: &str) -> Result<(), GraphError> {
    match kind {
        "text" => text(&Part::of_message(message, "text", Family::Graph)?),
        "location" => location(&Part::of_message(message, "location", Family::Graph)?),
        "reaction" => reaction(&Part::of_message(message, "reaction", Family::Graph)?),
        "contacts" => contacts(message),
        _ => media(&Part::of_message(message, kind, Family::Graph)?, kind),
    }
}

fn text(text: &Part<'_>) -> Result<(), GraphError> {
    text.text("body", TEXT_MAX)?;
    text.optional_bool("preview_url")
}

fn media(media: &Part<'_>, kind: &str) -> Result<(), GraphError> {
    media.check_media()?;
    if matches!(kind, "image" | "video" | "document") {
        media.optional_text("caption", CAPTION_MAX)?;
    }
    if kind == "document" {
        media.optional_text("filename", 240)?;
    }
    if kind == "audio" {
        media.optional_bool("voice")?;
    }
    Ok(())
}

/// A place; also the payload of a template's location header.
pub(super) fn location(location: &Part<'_>) -> Result<(), GraphError> {
    for (name, most) in [("latitude", 90.0), ("longitude", 180.0)] {
        if location.number(name)?.abs() > most {
            return Err(location.wrong(name, &format!("must be between -{most} and {most}.")));
        }
    }
    location.optional_text("name", 1_000)?;
    location.optional_text("address", 1_000)?;
    Ok(())
}

fn reaction(reaction: &Part<'_>) -> Result<(), GraphError> {
    let id = reaction.text("message_id", 512)?;
    if !wamid::plausible(id) {
        return Err(GraphError::new(131_009, "Param reaction['message_id'] is not a valid message id."));
    }
    // The empty string takes a reaction back, so it is not a missing one.
    let emoji = reaction.optional_text("emoji", 64)?.ok_or_else(|| reaction.missing("emoji"))?;
    let looks_like_one = emoji.is_empty() || !emoji.is_ascii() && emoji.chars().count() <= EMOJI_SCALARS_MAX;
    if !looks_like_one {
        return Err(GraphError::new(131_009, "Param reaction['emoji'] must be a single emoji."));
    }
    Ok(())
}

fn contacts(message: &Map<String, Value>) -> Result<(), GraphError> {
    let part = Part::whole(message, Family::Graph);
    for contact in part.objects("contacts", 1, CONTACTS_MAX)? {
        let name = contact.object("name")?;
        name.text("formatted_name", 1_024)?;
        let mut parts = 0;
        for part in NAME_PARTS {
            parts += usize::from(name.optional_text(part, 1_024)?.is_some_and(|text| !text.is_empty()));
        }
        if parts == 0 {
            let known = NAME_PARTS.join(", ");
            return Err(name.wrong_at(&name.path, &format!("must have at least one of {{{known}}} beside formatted_name.")));
        }
        if let Some(birthday) = contact.optional_text("birthday", 10)?
            && !is_date(birthday)
        {
            return Err(contact.wrong("birthday", "must be a date of the form YYYY-MM-DD."));
        }
        for (list, member) in [("phones", "phone"), ("emails", "email"), ("urls", "url"), ("addresses", "street")] {
            for item in contact.objects(list, 0, 100)? {
                item.optional_text(member, 1_024)?;
                item.optional_text("type", 256)?;
            }
        }
        if let Some(organization) = contact.optional_object("org")? {
            for member in ["company", "department", "title"] {
                organization.optional_text(member, 1_024)?;
            }
        }
    }
    Ok(())
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10
}
