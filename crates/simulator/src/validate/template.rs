//! Template messages against their definition.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::interactive::product_sections;
use super::part::{Family, Part};
use super::plain;
use crate::graph::error::GraphError;
use crate::graph::templates::Templates;

/// Body characters after substitution, where there is more than a body.
const BODY_MAX: usize = 1_024;
/// The same, where the body is all there is.
const ONLY_BODY_MAX: usize = 32_768;
const HEADER_MAX: usize = 60;
/// One-time codes and coupon codes.
const OTP_MAX: usize = 15;
const COUPON_MAX: usize = 20;
const PAYLOAD_MAX: usize = 256;

const COMPONENTS: &[&str] = &["body", "button", "carousel", "header", "limited_time_offer", "tap_target_configuration"];

/// Checks `template`; gives its category.
pub(super) fn check(message: &Map<String, Value>, templates: &Templates) -> Result<String, GraphError> {
    let template = Part::of_message(message, "template", Family::Graph)?;
    let name = template.text("name", 512)?;
    let language = template.object("language")?;
    let code = language.text("code", 32)?;
    if language.has("policy") {
        language.word("policy", &["deterministic"])?;
    }
    let Some(definition) = templates.sendable(name, code) else {
        return Err(GraphError::new(132_001, format!("template name ({name}) does not exist in {code}")));
    };
    match definition.status.as_str() {
        "APPROVED" => {}
        "PAUSED" => return Err(GraphError::usual(132_015)),
        "DISABLED" => return Err(GraphError::usual(132_016)),
        _ => return Err(GraphError::new(132_001, format!("template name ({name}) is not approved in {code}"))),
    }
    let named = definition.parameter_format.eq_ignore_ascii_case("NAMED");
    let given = template.objects("components", 0, 32)?;
    components(&template, &given, &definition.components, named, true)?;
    Ok(definition.category)
}

/// Checks given components against defined ones: a message's, or a card's.
fn components(holder: &Part<'_>, given: &[Part<'_>], defined: &[Value], named: bool, whole: bool) -> Result<(), GraphError> {
    let find = |kind: &str| defined.iter().find(|component| kind_of(component) == kind);
    let mut header = None;
    let mut body = None;
    let mut carousel = None;
    let mut offer = None;
    let mut buttons = Vec::new();
    for component in given {
        let slot = match component.word("type", COMPONENTS)? {
            "header" => &mut header,
            "body" => &mut body,
            "carousel" => &mut carousel,
            "limited_time_offer" => &mut offer,
            "button" => {
                buttons.push(component);
                continue;
            }
            _ => continue,
        };
        if slot.replace(component).is_some() {
            return Err(component.wrong("type", "must be given once."));
        }
    }
    check_header(holder, header, find("HEADER"), named)?;
    let alone = whole && defined.len() == 1;
    check_body(holder, body, find("BODY"), named, alone)?;
    check_buttons(&buttons, find("BUTTONS"))?;
    check_offer(offer, find("LIMITED_TIME_OFFER"))?;
    check_carousel(holder, carousel, find("CAROUSEL"), named)
}

fn check_header(holder: &Part<'_>, given: Option<&Part<'_>>, defined: Option<&Value>, named: bool) -> Result<(), GraphError> {
    let parameters = parameters_of(given)?;
    let format = defined.and_then(|header| header["format"].as_str()).unwrap_or("TEXT").to_ascii_uppercase();
    if defined.is_none() || format == "TEXT" {
        let text = defined.and_then(|header| header["text"].as_str()).unwrap_or_default();
        let filled = fill("header", holder, text, &parameters, named)?;
        return if filled > HEADER_MAX { Err(too_long("header", filled, HEADER_MAX)) } else { Ok(()) };
    }
    let expected = match format.as_str() {
        // A moving picture goes over as the video that it is at Meta too.
        "GIF" => &["gif", "video"][..],
        "IMAGE" => &["image"],
        "VIDEO" => &["video"],
        "DOCUMENT" => &["document"],
        "LOCATION" => &["location"],
        _ => &["product"],
    };
    match parameters.as_slice() {
        [] => Err(mismatch("header", &format, "UNKNOWN")),
        [parameter] => {
            let kind = parameter.text("type", 64)?;
            if !expected.contains(&kind.to_ascii_lowercase().as_str()) {
                return Err(mismatch("header", &format, &kind.to_ascii_uppercase()));
            }
            let payload = parameter.object(kind)?;
            match expected[0] {
                "location" => plain::location(&payload),
                "product" => payload.text("product_retailer_id", 256).map(|_| ()),
                _ => payload.check_media(),
            }
        }
        more => Err(count("header", more.len(), 1)),
    }
}

fn check_body(holder: &Part<'_>, given: Option<&Part<'_>>, defined: Option<&Value>, named: bool, alone: bool) -> Result<(), GraphError> {
    let parameters = parameters_of(given)?;
    let text = defined.and_then(|body| body["text"].as_str()).unwrap_or_default();
    let filled = fill("body", holder, text, &parameters, named)?;
    let longest = if alone { ONLY_BODY_MAX } else { BODY_MAX };
    if filled > longest { Err(too_long("body", filled, longest)) } else { Ok(()) }
}

/// Checks text parameters against a text's variables; gives the characters that
/// the text has with them.
fn fill(place: &str, holder: &Part<'_>, text: &str, parameters: &[Part<'_>], named: bool) -> Result<usize, GraphError> {
    let variables = variables(text);
    if parameters.len() != variables.len() {
        return Err(count(place, parameters.len(), variables.len()));
    }
    let mut unfilled: BTreeSet<&str> = variables.iter().copied().collect();
    let mut length = variables.iter().fold(text.chars().count(), |left, variable| {
        // The variable's name and its four braces go.
        left.saturating_sub(variable.chars().count() + 4)
    });
    for parameter in parameters {
        let shown = shown_text(place, parameter)?;
        length += shown.chars().count();
        if named {
            let name = parameter.optional_text("parameter_name", 256)?.unwrap_or_default();
            if name.is_empty() {
                return Err(GraphError::new(100, format!("{place}: Parameter name is missing or empty")));
            }
            if !unfilled.remove(name) {
                return Err(GraphError::new(
                    100,
                    format!("{place}: the template has no (other) parameter named {name} at {}", holder.at("components")),
                ));
            }
        }
    }
    Ok(length)
}

/// What a text, currency or date parameter puts into the text.
fn shown_text<'a>(place: &str, parameter: &Part<'a>) -> Result<&'a str, GraphError> {
    let kind = parameter.text("type", 64)?.to_ascii_lowercase();
    let shown = match kind.as_str() {
        "text" => match parameter.get("text") {
            Some(Value::String(text)) if !text.is_empty() => text.as_str(),
            Some(Value::String(_)) | None => {
                return Err(GraphError::new(131_008, "Parameter of type text is missing text value"));
            }
            Some(_) => return Err(parameter.wrong("text", "must be a string.")),
        },
        "currency" => {
            let currency = parameter.object("currency")?;
            let code = currency.text("code", 3)?;
            if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(currency.wrong("code", "must be an ISO 4217 code."));
            }
            currency.number("amount_1000")?;
            currency.text("fallback_value", 1_024)?
        }
        "date_time" => parameter.object("date_time")?.text("fallback_value", 1_024)?,
        other => return Err(mismatch(place, "TEXT", &other.to_ascii_uppercase())),
    };
    if shown.contains(['\n', '\r', '\t']) || shown.contains("     ") {
        return Err(GraphError::new(
            132_018,
            format!("{place}: Param text cannot have new-line/tab characters or more than 4 consecutive spaces"),
        ));
    }
    Ok(shown)
}

fn check_buttons(given: &[&Part<'_>], defined: Option<&Value>) -> Result<(), GraphError> {
    let none = Vec::new();
    let defined = defined.and_then(|buttons| buttons["buttons"].as_array()).unwrap_or(&none);
    let mut seen = HashSet::new();
    for component in given {
        let index = index_of(component)?;
        let Some(button) = defined.get(index) else {
            return Err(component.wrong("index", &format!("is out of bounds: the template has {} buttons.", defined.len())));
        };
        if !seen.insert(index) {
            return Err(component.wrong("index", "must be given once."));
        }
        check_button(component, button, index)?;
    }
    for (index, button) in defined.iter().enumerate() {
        let kind = kind_of(button);
        let needed = match kind.as_str() {
            "URL" => is_dynamic(button),
            "OTP" | "COPY_CODE" | "MPM" => true,
            _ => false,
        };
        if needed && !seen.contains(&index) {
            return Err(GraphError::new(131_008, format!("buttons: Button at index {index} of type {kind} requires a parameter")));
        }
    }
    Ok(())
}

fn check_button(component: &Part<'_>, button: &Value, index: usize) -> Result<(), GraphError> {
    let kind = kind_of(button);
    let sub_type = component.text("sub_type", 64)?.to_ascii_lowercase();
    let expected = match kind.as_str() {
        "URL" | "OTP" => "url",
        "QUICK_REPLY" => "quick_reply",
        "COPY_CODE" => "copy_code",
        "FLOW" => "flow",
        "CATALOG" => "catalog",
        "MPM" => "mpm",
        "VOICE_CALL" => "voice_call",
        "ORDER_DETAILS" => "order_details",
        _ => "",
    };
    if sub_type != expected {
        return Err(GraphError::new(132_018, format!("buttons: Button at index {index} is of type {kind}, the message says {sub_type}")));
    }
    let parameters = parameters_of(Some(component))?;
    let takes = match kind.as_str() {
        "URL" if !is_dynamic(button) => 0,
        "VOICE_CALL" => 2,
        _ => 1,
    };
    if parameters.len() > takes {
        return Err(GraphError::new(
            132_018,
            format!("buttons: Button at index {index} takes {takes} parameters, {} were given", parameters.len()),
        ));
    }
    let Some(parameter) = parameters.first() else {
        return match kind.as_str() {
            "URL" if !is_dynamic(button) => Ok(()),
            "QUICK_REPLY" | "FLOW" | "CATALOG" | "VOICE_CALL" => Ok(()),
            _ => Err(GraphError::new(131_008, format!("buttons: Button at index {index} of type {kind} requires a parameter"))),
        };
    };
    let (member, longest) = match kind.as_str() {
        "OTP" => ("text", OTP_MAX),
        "URL" if button["otp_type"].is_string() => ("text", OTP_MAX),
        "URL" => ("text", 2_000),
        "QUICK_REPLY" => ("payload", PAYLOAD_MAX),
        "COPY_CODE" => ("coupon_code", COUPON_MAX),
        "FLOW" | "CATALOG" | "MPM" | "ORDER_DETAILS" => ("action", 0),
        _ => return Ok(()),
    };
    let given = parameter.text("type", 64)?;
    if given != member {
        return Err(mismatch(&format!("button at index {index}"), &member.to_ascii_uppercase(), &given.to_ascii_uppercase()));
    }
    if member == "action" {
        let action = parameter.object("action")?;
        return if kind == "MPM" { product_sections(&action) } else { Ok(()) };
    }
    let text = parameter.text(member, longest)?;
    if member == "text" && text.contains(['\n', '\r', '\t']) {
        return Err(GraphError::new(132_018, format!("buttons: the parameter of the button at index {index} has a line break")));
    }
    Ok(())
}

fn check_offer(given: Option<&Part<'_>>, defined: Option<&Value>) -> Result<(), GraphError> {
    let expires = defined.is_some_and(|offer| offer["limited_time_offer"]["has_expiration"] == true);
    let parameters = parameters_of(given)?;
    match (parameters.as_slice(), expires) {
        ([], false) => Ok(()),
        ([], true) => Err(GraphError::new(131_008, "limited_time_offer: expiration_time_ms is required")),
        ([parameter], true) => {
            parameter.word("type", &["limited_time_offer"])?;
            parameter.object("limited_time_offer")?.number("expiration_time_ms").map(|_| ())
        }
        (given, expires) => Err(count("limited_time_offer", given.len(), usize::from(expires))),
    }
}

fn check_carousel(holder: &Part<'_>, given: Option<&Part<'_>>, defined: Option<&Value>, named: bool) -> Result<(), GraphError> {
    let none = Vec::new();
    let defined = defined.and_then(|carousel| carousel["cards"].as_array()).unwrap_or(&none);
    let cards = match given {
        Some(carousel) => carousel.objects("cards", 0, 10)?,
        None => Vec::new(),
    };
    if cards.len() != defined.len() {
        return Err(count("carousel", cards.len(), defined.len()));
    }
    let mut seen = HashSet::new();
    for card in &cards {
        let index = match card.get("card_index") {
            Some(Value::Number(index)) => index.as_u64(),
            Some(Value::String(index)) => index.parse().ok(),
            _ => return Err(card.missing("card_index")),
        };
        let definition = index.and_then(|index| defined.get(usize::try_from(index).ok()?));
        let Some(definition) = definition.filter(|_| seen.insert(index)) else {
            return Err(card.wrong("card_index", &format!("must be 0 to {}, each once.", defined.len().saturating_sub(1))));
        };
        let definition = definition["components"].as_array().unwrap_or(&none);
        components(holder, &card.objects("components", 0, 16)?, definition, named, false)?;
    }
    Ok(())
}

fn parameters_of<'a>(component: Option<&Part<'a>>) -> Result<Vec<Part<'a>>, GraphError> {
    match component {
        Some(component) => component.objects("parameters", 0, 1_024),
        None => Ok(Vec::new()),
    }
}

/// `"0"` or `0`.
fn index_of(component: &Part<'_>) -> Result<usize, GraphError> {
    let index = match component.get("index") {
        None => return Err(component.missing("index")),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().and_then(|index| usize::try_from(index).ok()),
    };
    index.filter(|index| *index < 10).ok_or_else(|| component.wrong("index", "must be 0 to 9."))
}

/// `type` of a defined component or button, in capitals.
fn kind_of(defined: &Value) -> String {
    defined["type"].as_str().unwrap_or_default().to_ascii_uppercase()
}

fn is_dynamic(button: &Value) -> bool {
    button["url"].as_str().is_some_and(|url| url.contains("{{"))
}

/// The names between double braces, each once, in their order.
fn variables(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        rest = &rest[start + 2..];
        let Some(end) = rest.find("}}") else { break };
        let name = &rest[..end];
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !found.contains(&name) {
            found.push(name);
        }
        rest = &rest[end + 2..];
    }
    found
}

fn count(place: &str, given: usize, expected: usize) -> GraphError {
    GraphError::new(
        132_000,
        format!("{place}: number of localizable_params ({given}) does not match the expected number of params ({expected})"),
    )
}

fn mismatch(place: &str, expected: &str, given: &str) -> GraphError {
    GraphError::new(132_012, format!("{place}: Format mismatch, expected {expected}, received {given}"))
}

fn too_long(place: &str, has: usize, longest: usize) -> GraphError {
    GraphError::new(132_005, format!("{place}: the text has {has} characters with its parameters, at most {longest} are allowed"))
}

/// Whether the category is one, whatever its case.
pub(super) fn is(category: &str, wanted: &str) -> bool {
    category.eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::templates::TemplateSeed;

    #[test]
    fn variables_are_found_once_and_in_order() {
        assert_eq!(variables("{{2}} and {{1}}, {{2}} again, {{not one}} {{"), ["2", "1"]);
        assert_eq!(variables("Hello {{first_name}}"), ["first_name"]);
    }

    #[test]
    fn a_seed_is_read_from_what_meta_lists() {
        let seed: TemplateSeed = serde_json::from_value(serde_json::json!({
            "name": "a", "language": "en", "category": "UTILITY", "id": "1", "components": []
        }))
        .expect("a template as Meta lists it");
        assert_eq!((seed.status.as_str(), seed.parameter_format.as_str()), ("APPROVED", "POSITIONAL"));
    }
}
