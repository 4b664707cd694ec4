//! Interactive messages: what each kind must have, and its limits.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::part::{Family, Part};
use crate::graph::error::GraphError;

/// Body characters; Meta's newer list page allows a list this many, and the
/// others 1,024.
const LIST_BODY_MAX: usize = 4_096;
const BODY_MAX: usize = 1_024;
const HEADER_MAX: usize = 60;
const FOOTER_MAX: usize = 60;

const KINDS: &[&str] = &[
    "address_message",
    "button",
    "call_permission_request",
    "carousel",
    "catalog_message",
    "contact_request",
    "cta_url",
    "flow",
    "list",
    "location_request_message",
    "order_details",
    "order_status",
    "product",
    "product_list",
    "request_contact_info",
    "voice_call",
];

/// Checks `interactive`; gives its kind.
pub(super) fn check(message: &Map<String, Value>) -> Result<&'static str, GraphError> {
    let interactive = Part::of_message(message, "interactive", Family::WhatsApp)?;
    let kind = interactive.word("type", KINDS)?;
    header(&interactive, kind)?;
    body(&interactive, kind)?;
    if let Some(footer) = interactive.optional_object("footer")? {
        footer.text("text", FOOTER_MAX)?;
    }
    let action = interactive.object("action")?;
    match kind {
        "button" => buttons(&action, 3)?,
        "list" => list(&action)?,
        "cta_url" => cta_url(&action)?,
        "flow" => flow(&action)?,
        "product" => {
            action.text("catalog_id", 256)?;
            action.text("product_retailer_id", 256)?;
        }
        "product_list" => {
            action.text("catalog_id", 256)?;
            product_sections(&action)?;
        }
        "catalog_message" => named(&action, &["catalog_message"])?,
        "location_request_message" => named(&action, &["send_location"])?,
        "call_permission_request" => named(&action, &["call_permission_request"])?,
        "contact_request" | "request_contact_info" => named(&action, &["request_contact_info"])?,
        "address_message" => {
            named(&action, &["address_message"])?;
            action.object("parameters")?.word("country", &["IN", "SG"])?;
        }
        "voice_call" => voice_call(&action)?,
        "order_details" => {
            named(&action, &["review_and_pay"])?;
            action.object("parameters")?.text("reference_id", 256)?;
        }
        "order_status" => {
            named(&action, &["review_order"])?;
            action.object("parameters")?.text("reference_id", 256)?;
        }
        _ => carousel(&action)?,
    }
    Ok(kind)
}

fn header(interactive: &Part<'_>, kind: &str) -> Result<(), GraphError> {
    let Some(header) = interactive.optional_object("header")? else {
        return if kind == "product_list" { Err(interactive.missing("header")) } else { Ok(()) };
    };
    let allowed: &[&'static str] = match kind {
        "list" | "product_list" => &["text"],
        "product" | "catalog_message" => {
            return Err(interactive.wrong("header", &format!("is not allowed for the type {kind}.")));
        }
        _ => &["text", "image", "video", "document"],
    };
    match header.word("type", allowed)? {
        "text" => header.text("text", HEADER_MAX).map(|_| ()),
        media => {
            let media = header.object(media)?;
            media.check_media()?;
            if media.has("caption") {
                return Err(media.wrong("caption", "is not allowed in a header."));
            }
            Ok(())
        }
    }
}

fn body(interactive: &Part<'_>, kind: &str) -> Result<(), GraphError> {
    let longest = if kind == "list" { LIST_BODY_MAX } else { BODY_MAX };
    match interactive.optional_object("body")? {
        Some(body) => body.text("text", longest).map(|_| ()),
        None if matches!(kind, "product" | "call_permission_request" | "order_status") => Ok(()),
        None => Err(interactive.missing("body")),
    }
}

fn buttons(action: &Part<'_>, most: usize) -> Result<(), GraphError> {
    let mut ids = HashSet::new();
    let mut titles = HashSet::new();
    for button in action.objects("buttons", 1, most)? {
        if button.has("type") {
            button.word("type", &["reply", "quick_reply"])?;
        } else {
            return Err(button.missing("type"));
        }
        let reply = match button.optional_object("quick_reply")? {
            Some(quick_reply) => quick_reply,
            None => button.object("reply")?,
        };
        let id = reply.text("id", 256)?;
        if id.trim() != id {
            return Err(reply.wrong("id", "must not begin or end with a space."));
        }
        let title = match reply.text("title", 20) {
            Ok(title) => title,
            // The one place where Meta's sentence is widely known.
            Err(_) => return Err(GraphError::new(131_009, "Button title length invalid. Min length: 1, Max length: 20")),
        };
        if !ids.insert(id) {
            return Err(reply.wrong("id", "must be unique among the buttons."));
        }
        if !titles.insert(title) {
            return Err(reply.wrong("title", "must be unique among the buttons."));
        }
    }
    Ok(())
}

fn list(action: &Part<'_>) -> Result<(), GraphError> {
    action.text("button", 20)?;
    let sections = action.objects("sections", 1, 10)?;
    let mut rows = 0;
    let mut ids = HashSet::new();
    for section in &sections {
        let title = section.optional_text("title", 24)?.unwrap_or_default();
        if title.is_empty() && sections.len() > 1 {
            return Err(section.missing("title"));
        }
        for row in section.objects("rows", 1, 10)? {
            rows += 1;
            if !ids.insert(row.text("id", 200)?) {
                return Err(row.wrong("id", "must be unique among the rows."));
            }
            row.text("title", 24)?;
            row.optional_text("description", 72)?;
        }
    }
    if rows > 10 {
        return Err(GraphError::new(131_009, format!("Total row count exceed max allowed count: 10, given: {rows}")));
    }
    Ok(())
}

fn cta_url(action: &Part<'_>) -> Result<(), GraphError> {
    named(action, &["cta_url"])?;
    let parameters = action.object("parameters")?;
    parameters.text("display_text", 20)?;
    parameters.check_link("url")
}

fn flow(action: &Part<'_>) -> Result<(), GraphError> {
    named(action, &["flow"])?;
    let parameters = action.object("parameters")?;
    parameters.word("flow_message_version", &["3"])?;
    match (parameters.optional_text("flow_id", 256)?, parameters.optional_text("flow_name", 256)?) {
        (None, None) => return Err(parameters.missing("flow_id")),
        (Some(_), Some(_)) => return Err(parameters.wrong("flow_name", "must not be given together with flow_id.")),
        _ => {}
    }
    parameters.text("flow_cta", 30)?;
    parameters.optional_text("flow_token", 4_096)?;
    if parameters.has("mode") {
        parameters.word("mode", &["draft", "published"])?;
    }
    if parameters.has("flow_action") {
        parameters.word("flow_action", &["navigate", "data_exchange"])?;
    }
    if let Some(payload) = parameters.optional_object("flow_action_payload")? {
        payload.optional_text("screen", 256)?;
        if payload.optional_object("data")?.is_some_and(|data| data.members.is_empty()) {
            return Err(payload.wrong("data", "must not be an empty object."));
        }
    }
    Ok(())
}

/// Sections of products; also the payload of a template's product list button.
pub(super) fn product_sections(action: &Part<'_>) -> Result<(), GraphError> {
    let sections = action.objects("sections", 1, 10)?;
    let mut products = 0;
    for section in &sections {
        let title = section.optional_text("title", 24)?.unwrap_or_default();
        if title.is_empty() && sections.len() > 1 {
            return Err(section.missing("title"));
        }
        for item in section.objects("product_items", 1, 30)? {
            products += 1;
            item.text("product_retailer_id", 256)?;
        }
    }
    if products > 30 {
        return Err(action.wrong("sections", &format!("must have at most 30 products, they have {products}.")));
    }
    Ok(())
}

fn voice_call(action: &Part<'_>) -> Result<(), GraphError> {
    named(action, &["voice_call"])?;
    let Some(parameters) = action.optional_object("parameters")? else { return Ok(()) };
    parameters.optional_text("display_text", 20)?;
    if parameters.has("ttl_minutes") && !(1.0..=43_200.0).contains(&parameters.number("ttl_minutes")?) {
        return Err(parameters.wrong("ttl_minutes", "must be between 1 and 43200."));
    }
    Ok(())
}

fn carousel(action: &Part<'_>) -> Result<(), GraphError> {
    let mut indexes = HashSet::new();
    for card in action.objects("cards", 2, 10)? {
        let index = card.number("card_index")?;
        if !(0.0..10.0).contains(&index) || index.fract() != 0.0 || !indexes.insert(index.to_bits()) {
            return Err(card.wrong("card_index", "must be a whole number from 0 to 9, given once."));
        }
        let kind = card.word("type", &["cta_url", "product", "quick_reply", "button"])?;
        let card_action = card.object("action")?;
        if kind == "product" {
            card_action.text("catalog_id", 256)?;
            card_action.text("product_retailer_id", 256)?;
            continue;
        }
        let header = card.object("header")?;
        let media = header.word("type", &["image", "video"])?;
        header.object(media)?.check_media()?;
        if let Some(body) = card.optional_object("body")? {
            let text = body.text("text", 160)?;
            if text.matches('\n').count() > 2 {
                return Err(body.wrong("text", "must have at most 2 line breaks."));
            }
        }
        if card_action.has("buttons") { buttons(&card_action, 3)? } else { cta_url(&card_action)? }
    }
    Ok(())
}

fn named(action: &Part<'_>, names: &[&'static str]) -> Result<(), GraphError> {
    action.word("name", names).map(|_| ())
}
