//! Meta's own checks of a message, with Meta's errors.
//!
//! A limit of which two figures are about is the laxer one here: the simulator
//! must not refuse what Meta may take.

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

/// Checks a message.
pub(crate) fn message(members: &Map<String, Value>, endpoint: Endpoint, templates: &Templates) -> Result<Checked, GraphError> {
    product(members)?;
    let (input, user, by_phone) = recipient(members)?;
    let kind = kind(members)?;
    let template_category = None;
    let _ = (endpoint, templates);
    Ok(Checked { input, user, by_phone, kind, template_category })
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

/// `to` wins over `recipient`.
fn recipient(members: &Map<String, Value>) -> Result<(String, String, bool), GraphError> {
    match (members.get("to"), members.get("recipient")) {
        (Some(Value::String(to)), _) if !to.is_empty() => {
            let digits: String = to.chars().filter(char::is_ascii_digit).collect();
            Ok((to.clone(), digits, true))
        }
        (_, Some(Value::String(bsuid))) if !bsuid.is_empty() => Ok((bsuid.clone(), bsuid.clone(), false)),
        _ => Err(GraphError::parameter("The parameter to is required.")),
    }
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
