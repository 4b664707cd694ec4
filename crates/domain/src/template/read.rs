//! Reads a definition in the form that `GET /{waba}/message_templates` gives it.
//!
//! Tolerant on purpose: Meta adds component types without notice, and a template that we half know
//! must stay usable. Only without a name or a language is a definition worth nothing.

use serde_json::Value;

use super::{ButtonNeed, HeaderNeed, OfferNeed, Parts, TemplateDefinition, TemplateStatus, Variables};
use crate::send::Category;

/// Why a definition cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableTemplate {
    /// Not JSON, or no object.
    #[error("the template is not a JSON object")]
    NotAnObject,
    /// Without name or language nothing can refer to it.
    #[error("the template has no {0}")]
    Missing(&'static str),
}

impl TemplateDefinition {
    /// Reads Meta's JSON of one template.
    ///
    /// # Errors
    /// Where it is no object or lacks name or language.
    pub fn parse(json: &str) -> Result<TemplateDefinition, UnreadableTemplate> {
        let item: Value = serde_json::from_str(json).map_err(|_| UnreadableTemplate::NotAnObject)?;
        TemplateDefinition::from_value(&item)
    }

    /// Reads one item of Meta's list of templates.
    ///
    /// # Errors
    /// Where it is no object or lacks name or language.
    pub fn from_value(item: &Value) -> Result<TemplateDefinition, UnreadableTemplate> {
        if !item.is_object() {
            return Err(UnreadableTemplate::NotAnObject);
        }
        let required = |name: &'static str| text(item, name).map(str::to_owned).ok_or(UnreadableTemplate::Missing(name));
        let category = text(item, "category").and_then(category_of);
        let style = match text(item, "parameter_format") {
            Some(word) if word.eq_ignore_ascii_case("NAMED") => Style::Named,
            Some(word) if word.eq_ignore_ascii_case("POSITIONAL") => Style::Positional,
            _ => Style::AsWritten,
        };
        Ok(TemplateDefinition {
            id: text(item, "id").map(str::to_owned),
            name: required("name")?,
            language: required("language")?,
            status: status_of(text(item, "status").unwrap_or("")),
            category,
            quality: item.get("quality_score").and_then(|score| text(score, "score").or(score.as_str())).map(str::to_owned),
            parts: template_parts(item, style, category == Some(Category::Authentication)),
        })
    }
}

/// How the variables of a template are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Positional,
    Named,
    /// Meta did not say: the text itself shows it.
    AsWritten,
}

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of.get(name)?.as_str()
}

fn items<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Meta's `type` and `format` words, whose case is not significant.
fn word(of: &Value, name: &str) -> String {
    text(of, name).unwrap_or("").to_ascii_uppercase()
}

fn category_of(word: &str) -> Option<Category> {
    // A template cannot be of the two categories that Meta derives from a delivery.
    Category::parse(&word.to_ascii_lowercase())
        .filter(|category| matches!(category, Category::Marketing | Category::Utility | Category::Authentication))
}

fn status_of(word: &str) -> TemplateStatus {
    match word.to_ascii_uppercase().as_str() {
        "APPROVED" => TemplateStatus::Approved,
        "PAUSED" => TemplateStatus::Paused,
        "DISABLED" => TemplateStatus::Disabled,
        status @ ("PENDING" | "REJECTED" | "IN_APPEAL" | "PENDING_DELETION" | "DELETED" | "LIMIT_EXCEEDED" | "ARCHIVED") => {
            TemplateStatus::NotApproved(status.to_owned())
        }
        status => TemplateStatus::Unclear(status.to_owned()),
    }
}

fn template_parts(item: &Value, style: Style, authentication: bool) -> Parts {
    // Every template has a body. Where the answer shows none, it showed us less than there is.
    let mut parts = Parts { body: Variables::Unknown, ..Parts::default() };
    if item.get("components").is_some_and(Value::is_array) {
        read_parts(&mut parts, item, style, authentication);
    } else {
        parts.header = Some(HeaderNeed::Unknown);
        parts.has_unknown = true;
    }
    parts
}

fn card_parts(card: &Value, style: Style) -> Parts {
    let mut parts = Parts::default();
    read_parts(&mut parts, card, style, false);
    parts
}

fn read_parts(parts: &mut Parts, holder: &Value, style: Style, authentication: bool) {
    for component in items(holder, "components") {
        match word(component, "type").as_str() {
            "HEADER" => parts.header = Some(header_of(component, style)),
            "BODY" => parts.body = body_of(component, style, authentication),
            "FOOTER" => {}
            "BUTTONS" => parts.buttons.extend(items(component, "buttons").iter().map(button_of)),
            "CAROUSEL" => parts.cards = Some(items(component, "cards").iter().map(|card| card_parts(card, style)).collect()),
            "LIMITED_TIME_OFFER" => parts.limited_time_offer = Some(offer_of(component)),
            _ => parts.has_unknown = true,
        }
    }
}

fn header_of(component: &Value, style: Style) -> HeaderNeed {
    match word(component, "format").as_str() {
        "TEXT" => HeaderNeed::Text(variables_of(text(component, "text").unwrap_or(""), style)),
        "IMAGE" => HeaderNeed::Image,
        "VIDEO" => HeaderNeed::Video,
        "DOCUMENT" => HeaderNeed::Document,
        "GIF" => HeaderNeed::Gif,
        "LOCATION" => HeaderNeed::Location,
        "PRODUCT" => HeaderNeed::Product,
        _ => HeaderNeed::Unknown,
    }
}

fn body_of(component: &Value, style: Style, authentication: bool) -> Variables {
    match text(component, "text") {
        Some(body) => variables_of(body, style),
        // Meta writes the text of authentication templates itself, always with the code as its one
        // variable, and leaves it out of some answers.
        None if authentication => Variables::Positional(1),
        None => Variables::Unknown,
    }
}

fn offer_of(component: &Value) -> OfferNeed {
    let expires = component.get("limited_time_offer").and_then(|offer| offer.get("has_expiration")).and_then(Value::as_bool);
    OfferNeed { expires: expires.unwrap_or(false) }
}

fn button_of(button: &Value) -> ButtonNeed {
    match word(button, "type").as_str() {
        // How Meta lists the button that an authentication template was made with.
        "URL" if text(button, "url").is_some_and(|url| url.starts_with("https://www.whatsapp.com/otp/")) => ButtonNeed::OneTimePassword,
        "URL" if text(button, "url").is_some_and(|url| url.contains("{{")) => ButtonNeed::UrlWithVariable,
        // An example without a visible variable: Meta may or may not expect a value.
        "URL" if !items(button, "example").is_empty() => ButtonNeed::Unknown,
        "URL" if text(button, "url").is_some() => ButtonNeed::StaticUrl,
        "OTP" => ButtonNeed::OneTimePassword,
        "QUICK_REPLY" => ButtonNeed::QuickReply,
        "COPY_CODE" => ButtonNeed::CopyCode,
        "FLOW" => ButtonNeed::Flow,
        "CATALOG" => ButtonNeed::Catalog,
        "MPM" => ButtonNeed::MultiProduct,
        "SPM" => ButtonNeed::SingleProduct,
        "PHONE_NUMBER" => ButtonNeed::PhoneNumber,
        "VOICE_CALL" => ButtonNeed::VoiceCall,
        "REQUEST_CONTACT_INFO" => ButtonNeed::RequestContactInfo,
        _ => ButtonNeed::Unknown,
    }
}

/// The variables that stand in a text as `{{1}}` or `{{name}}`.
fn variables_of(text: &str, style: Style) -> Variables {
    let mut names: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(place) = rest.find("{{") {
        let after = &rest[place + 1..];
        let Some((name, behind)) = after[1..].split_once("}}") else { break };
        let name = name.trim();
        // Braces around anything else are text that Meta shows as it stands.
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            if !names.contains(&name) {
                names.push(name);
            }
            rest = behind;
        } else {
            rest = after;
        }
    }
    if names.is_empty() {
        return Variables::None;
    }
    let numbers: Option<Vec<usize>> = names.iter().map(|name| name.parse().ok()).collect();
    match (style, numbers) {
        (Style::Positional | Style::AsWritten, Some(mut numbers)) => {
            numbers.sort_unstable();
            // Meta demands numbers from 1 without gaps; with others we do not know what it counts.
            let gapless = numbers.iter().enumerate().all(|(place, number)| *number == place + 1);
            if gapless { Variables::Positional(numbers.len()) } else { Variables::Unknown }
        }
        (Style::Named, _) => Variables::Named(names.iter().map(|name| (*name).to_owned()).collect()),
        (Style::AsWritten, None) if names.iter().all(|name| name.parse::<usize>().is_err()) => {
            Variables::Named(names.iter().map(|name| (*name).to_owned()).collect())
        }
        (Style::Positional | Style::AsWritten, None) => Variables::Unknown,
    }
}
