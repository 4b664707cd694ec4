//! Meta's own checks of a message, with Meta's errors.
//!
//! A limit of which two figures are about is the laxer one here: the simulator
//! must not refuse what Meta may take.

mod interactive;
mod part;
mod plain;
mod template;

use serde_json::{Map, Value};

use crate::graph::error::GraphError;
use crate::graph::messages::Endpoint;
use crate::graph::templates::Templates;
use crate::wamid;

/// A message that Meta would take.
#[derive(Debug)]
pub(crate) struct Checked {
    /// What `contacts[].input` echoes.
    pub(crate) input: String,
    /// Digits, or a business-scoped user id.
    pub(crate) user: String,
    /// Whether `user` is a phone number.
    pub(crate) by_phone: bool,
    /// `type`.
    pub(crate) kind: &'static str,
    pub(crate) template_category: Option<String>,
}

/// Types that the Cloud API knows, in the order of Meta's own message.
const TYPES: &[&str] =
    &["audio", "contacts", "document", "image", "interactive", "location", "reaction", "sticker", "template", "text", "video"];

/// `biz_opaque_callback_data`, in characters.
const CALLBACK_DATA_MAX: usize = 512;

/// Interactive kinds that Direct Send takes.
const DIRECT_KINDS: &[&str] = &["button", "cta_url", "voice_call"];

/// Checks a message.
pub(crate) fn message(
    members: &Map<String, Value>,
    endpoint: Endpoint,
    version: &str,
    templates: &Templates,
) -> Result<Checked, GraphError> {
    product(members)?;
    let (input, user, by_phone) = recipient(members)?;
    let kind = kind(members)?;
    common(members)?;
    if endpoint == Endpoint::Marketing {
        marketing_members(members, kind)?;
    }
    let mut template_category = None;
    let mut interactive_kind = "";
    match kind {
        "template" => template_category = Some(template::check(members, templates)?),
        "interactive" => interactive_kind = interactive::check(members)?,
        kind => plain::check(members, kind)?,
    }
    direct_send(members, kind, interactive_kind, by_phone)?;
    if let Some(category) = &template_category {
        if endpoint == Endpoint::Marketing && !template::is(category, "MARKETING") {
            return Err(GraphError::usual(if major(version) >= 23 { 134_100 } else { 131_055 }));
        }
        if !by_phone && template::is(category, "AUTHENTICATION") {
            return Err(GraphError::usual(131_062));
        }
    }
    Ok(Checked { input, user, by_phone, kind, template_category })
}

/// What any type may have beside its payload.
fn common(members: &Map<String, Value>) -> Result<(), GraphError> {
    let there = |name: &str| members.get(name).filter(|value| !value.is_null());
    match there("recipient_type").map(Value::as_str) {
        None => {}
        Some(Some(kind)) if kind.eq_ignore_ascii_case("individual") => {}
        // Nobody has made a group here, so none is known.
        Some(Some(kind)) if kind.eq_ignore_ascii_case("group") => return Err(GraphError::usual(131_041)),
        Some(_) => return Err(GraphError::parameter("Param recipient_type must be one of {INDIVIDUAL, GROUP}")),
    }
    match there("biz_opaque_callback_data") {
        None => {}
        Some(Value::String(data)) if data.chars().count() <= CALLBACK_DATA_MAX => {}
        Some(Value::String(_)) => {
            return Err(GraphError::parameter("Param biz_opaque_callback_data must be at most 512 characters long."));
        }
        Some(_) => return Err(GraphError::parameter("Param biz_opaque_callback_data must be a string.")),
    }
    match there("recipient_identity_key_hash") {
        None | Some(Value::String(_)) => {}
        Some(_) => return Err(GraphError::parameter("Param recipient_identity_key_hash must be a string.")),
    }
    match there("context") {
        None => Ok(()),
        Some(Value::Object(context)) => match context.get("message_id").and_then(Value::as_str) {
            Some(id) if wamid::plausible(id) => Ok(()),
            Some(_) => Err(GraphError::new(131_009, "Param context['message_id'] is not a valid message id.")),
            None => Err(GraphError::parameter("The parameter context['message_id'] is required.")),
        },
        Some(_) => Err(GraphError::parameter("Param context must be a JSON object.")),
    }
}

fn marketing_members(members: &Map<String, Value>, kind: &str) -> Result<(), GraphError> {
    if kind != "template" {
        return Err(GraphError::parameter("Message must be a template message."));
    }
    match members.get("product_policy") {
        None => {}
        Some(Value::String(policy)) if matches!(policy.as_str(), "CLOUD_API_FALLBACK" | "STRICT") => {}
        Some(_) => {
            return Err(GraphError::new(131_009, "Param product_policy must be one of {CLOUD_API_FALLBACK, STRICT}"));
        }
    }
    match members.get("message_activity_sharing") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(_) => Err(GraphError::new(131_009, "Param message_activity_sharing must be a boolean.")),
    }
}

/// A free-form message with `category` is business-initiated.
fn direct_send(members: &Map<String, Value>, kind: &str, interactive_kind: &str, by_phone: bool) -> Result<(), GraphError> {
    let ttl = members.get("ttl_seconds");
    let Some(category) = members.get("category") else {
        return match ttl {
            None => Ok(()),
            Some(_) => Err(GraphError::parameter("Param ttl_seconds needs a category.")),
        };
    };
    let category = category.as_str().unwrap_or_default().to_ascii_lowercase();
    let allowed_ttl = match category.as_str() {
        "utility" => 30..=43_200,
        "authentication" => 30..=900,
        _ => return Err(GraphError::parameter("Param category must be one of {UTILITY, AUTHENTICATION}")),
    };
    let can = kind == "text" || kind == "interactive" && DIRECT_KINDS.contains(&interactive_kind);
    if !can {
        return Err(GraphError::parameter("Param category is not supported for this type of message."));
    }
    if category == "authentication" && !by_phone {
        return Err(GraphError::usual(131_062));
    }
    match ttl.map(Value::as_u64) {
        None => Ok(()),
        Some(Some(seconds)) if allowed_ttl.contains(&seconds) => Ok(()),
        Some(_) => {
            Err(GraphError::parameter(format!("Param ttl_seconds must be between {} and {}.", allowed_ttl.start(), allowed_ttl.end())))
        }
    }
}

/// `v23.0` → 23.
fn major(version: &str) -> u32 {
    version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// Checks a read mark, with or without typing.
pub(crate) fn mark(members: &Map<String, Value>) -> Result<(), GraphError> {
    product(members)?;
    if members.get("status").and_then(Value::as_str) != Some("read") {
        return Err(GraphError::parameter("Param status must be one of {READ}"));
    }
    match members.get("message_id").and_then(Value::as_str) {
        None | Some("") => Err(GraphError::parameter("The parameter message_id is required.")),
        Some(id) if !wamid::plausible(id) => Err(GraphError::new(131_009, "Invalid message id.")),
        Some(_) => match members.get("typing_indicator") {
            None => Ok(()),
            Some(typing) if typing.get("type").and_then(Value::as_str) == Some("text") => Ok(()),
            Some(_) => Err(GraphError::parameter("Param typing_indicator['type'] must be one of {TEXT}")),
        },
    }
}

fn product(members: &Map<String, Value>) -> Result<(), GraphError> {
    match members.get("messaging_product") {
        None => Err(GraphError::parameter("The parameter messaging_product is required.")),
        Some(Value::String(product)) if product.eq_ignore_ascii_case("whatsapp") => Ok(()),
        Some(_) => Err(GraphError::parameter("Param messaging_product must be one of {WHATSAPP}")),
    }
}

/// `to` wins over `recipient`. Gives what was written, the user, and whether the
/// user is a phone number.
fn recipient(members: &Map<String, Value>) -> Result<(String, String, bool), GraphError> {
    let there = |name: &str| members.get(name).filter(|value| !value.is_null() && *value != "");
    match (there("to"), there("recipient")) {
        (Some(to), _) => {
            let input = match to {
                Value::String(to) => to.clone(),
                Value::Number(to) => to.to_string(),
                _ => return Err(GraphError::parameter("Param to must be a string.")),
            };
            let digits = phone_digits(&input).ok_or_else(|| GraphError::new(131_009, "Param to is not a valid phone number."))?;
            Ok((input, digits, true))
        }
        (None, Some(Value::String(id))) if is_business_scoped(id) => Ok((id.clone(), id.clone(), false)),
        (None, Some(_)) => Err(GraphError::new(131_009, "Param recipient is not a valid business-scoped user ID.")),
        (None, None) => Err(GraphError::parameter("The parameter to is required.")),
    }
}

/// `+1 (650) 555-1234` → `16505551234`.
fn phone_digits(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text.strip_prefix('+').unwrap_or(text);
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    let only_separators = rest.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-' | '(' | ')' | '.'));
    (only_separators && (5..=15).contains(&digits.len()) && !digits.starts_with('0')).then_some(digits)
}

/// `US.13491208655302741918`, or `US.ENT.…` for a parent one.
fn is_business_scoped(id: &str) -> bool {
    let Some((country, rest)) = id.split_once('.') else { return false };
    country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn kind(members: &Map<String, Value>) -> Result<&'static str, GraphError> {
    let asked = match members.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        None => "text",
        Some(_) => "",
    };
    TYPES.iter().copied().find(|known| known.eq_ignore_ascii_case(asked)).ok_or_else(|| {
        let known = TYPES.join(", ").to_ascii_uppercase();
        GraphError::parameter(format!("Param type must be one of {{{known}}} - got \"{asked}\"."))
    })
}
