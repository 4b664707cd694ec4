//! Reads the `template` of a message: whether it is well-formed, and what of it the template check
//! will compare with the approved definition (meta-cloud-api §1.5).
//!
//! Refused here is what no definition could make right. What depends on the definition (how many
//! variables, which medium, which button) is left to the template check, whose answer is GW_001.

use super::media::{self, Caption};
use super::place::{Faults, List, Optional, Place, Required, char_count, one_of};
use super::template_use::{ButtonKind, ButtonUse, CardUse, ComponentKind, ComponentUse, ParameterKind, ParameterUse, TemplateUse};
use super::{commerce, plain};
use crate::json::Value;

/// Longest template name.
const NAME_CHARS_MAX: usize = 512;
/// Longer than any language code that Meta knows (`en_US`, `fil`, `prs_AF`).
const LANGUAGE_CHARS_MAX: usize = 15;
/// Longest text for the header's variable.
const HEADER_TEXT_CHARS_MAX: usize = 60;
/// Longest text for any other variable: the laxer of Meta's two figures. The template check knows
/// the body around it.
const TEXT_CHARS_MAX: usize = 32_768;
/// Longest run of spaces in a text parameter.
const SPACES_MAX: usize = 4;
/// Longest payload of a quick reply.
const PAYLOAD_CHARS_MAX: usize = 256;
/// Longest coupon code: the laxer of Meta's two figures.
const COUPON_CHARS_MAX: usize = 20;
/// Cards of a carousel.
const CARDS_MIN: usize = 2;
pub(super) const CARDS_MAX: usize = 10;

/// The `template` of the body. What it gives is whole only where no fault was noted.
pub(super) fn read(root: &Place<'_>, faults: &mut Faults) -> TemplateUse {
    let Some(template) = root.object("template", Required, faults) else { return TemplateUse::default() };
    let mut used = TemplateUse::default();
    if let Some(name) = template.string("name", Required, 1..=NAME_CHARS_MAX, faults) {
        used.name = name.text().into_owned();
        if !used.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
            template.fault("name", "must consist of a-z, 0-9 and _ only", faults);
        }
    }
    if let Some(language) = template.object("language", Required, faults) {
        if let Some(code) = language.string("code", Required, 1..=LANGUAGE_CHARS_MAX, faults) {
            used.language = code.text().into_owned();
            if !used.language.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
                language.fault("code", "must be a language code as the template has it, such as en_US or tr", faults);
            }
        }
        language.word("policy", Optional, &["deterministic"], faults);
    }
    if let Some(list) = template.list("components", Optional, 0..=usize::MAX, faults) {
        used.components = components(&list, Within::Message, faults);
    }
    used
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Message,
    Card,
}

impl Within {
    fn kinds(self) -> &'static [ComponentKind] {
        match self {
            Within::Message => ComponentKind::ALL,
            Within::Card => &[ComponentKind::Header, ComponentKind::Body, ComponentKind::Button],
        }
    }
}

fn components(list: &List<'_>, within: Within, faults: &mut Faults) -> Vec<ComponentUse> {
    list.objects(faults).iter().filter_map(|place| component(place, within, faults)).collect()
}

fn component(place: &Place<'_>, within: Within, faults: &mut Faults) -> Option<ComponentUse> {
    let kind = word(place, "type", within.kinds(), ComponentKind::parse, ComponentKind::as_str, faults)?;
    let mut used = ComponentUse::new(kind);
    match kind {
        ComponentKind::Button => {
            let kind = word(place, "sub_type", ButtonKind::ALL, ButtonKind::parse, ButtonKind::as_str, faults);
            let index = place.integer_or_digits("index", Required, 0..=9, faults);
            if let (Some(kind), Some(index)) = (kind, index.and_then(|index| u8::try_from(index).ok())) {
                used.button = Some(ButtonUse { kind, index });
            }
        }
        ComponentKind::Carousel => {
            if let Some(cards) = place.list("cards", Required, CARDS_MIN..=CARDS_MAX, faults) {
                used.cards = cards.objects(faults).iter().filter_map(|place| card(place, faults)).collect();
            }
        }
        _ => {}
    }
    let one_only = matches!(
        (kind, used.button.map(|button| button.kind)),
        (ComponentKind::Header | ComponentKind::LimitedTimeOffer, _)
            | (_, Some(ButtonKind::Url | ButtonKind::QuickReply | ButtonKind::CopyCode | ButtonKind::Flow))
    );
    let most = if one_only { 1 } else { usize::MAX };
    if let Some(parameters) = place.list("parameters", Optional, 0..=most, faults) {
        used.parameters = parameters.objects(faults).iter().filter_map(|place| parameter(place, &used, faults)).collect();
    }
    Some(used)
}

fn card(place: &Place<'_>, faults: &mut Faults) -> Option<CardUse> {
    let index = place.integer_or_digits("card_index", Required, 0..=9, faults);
    let components = place.list("components", Required, 1..=usize::MAX, faults).map(|list| components(&list, Within::Card, faults));
    Some(CardUse { index: u8::try_from(index?).ok()?, components: components? })
}

/// The kinds that can stand in a component at all; `None` where Meta may allow any.
fn kinds_within(component: &ComponentUse) -> Option<&'static [ParameterKind]> {
    use ParameterKind::{CouponCode, Currency, DateTime, Document, Gif, Image, Location, Product, Text, Video};
    match (component.kind, component.button.map(|button| button.kind)) {
        (ComponentKind::Header, _) => Some(&[Text, Currency, DateTime, Image, Video, Document, Gif, Location, Product]),
        (ComponentKind::Body, _) => Some(&[Text, Currency, DateTime]),
        (_, Some(ButtonKind::Url)) => Some(&[Text]),
        (_, Some(ButtonKind::CopyCode)) => Some(&[CouponCode]),
        (_, Some(ButtonKind::Flow | ButtonKind::Catalog | ButtonKind::Mpm)) => Some(&[ParameterKind::Action]),
        _ => None,
    }
}

fn parameter(place: &Place<'_>, component: &ComponentUse, faults: &mut Faults) -> Option<ParameterUse> {
    let allowed = kinds_within(component).unwrap_or(ParameterKind::ALL);
    let kind = word(place, "type", allowed, ParameterKind::parse, ParameterKind::as_str, faults)?;
    let name = place.filled("parameter_name", Optional, faults).map(|name| name.text().into_owned());
    // The payload stands in the field that the kind names.
    let field = kind.as_str();
    let text = match kind {
        ParameterKind::Text => text(place, component.kind, faults),
        ParameterKind::Payload => place.string(field, Required, 0..=PAYLOAD_CHARS_MAX, faults),
        ParameterKind::CouponCode => place.string(field, Required, 1..=COUPON_CHARS_MAX, faults),
        ParameterKind::Currency => {
            let currency = place.object(field, Required, faults)?;
            if let Some(code) = currency.string("code", Required, 3..=3, faults)
                && !code.text().bytes().all(|byte| byte.is_ascii_alphabetic())
            {
                currency.fault("code", "must be a currency code of ISO 4217, such as USD", faults);
            }
            currency.integer_or_digits("amount_1000", Required, i64::MIN..=i64::MAX, faults);
            currency.filled("fallback_value", Required, faults)
        }
        ParameterKind::DateTime => place.object(field, Required, faults)?.filled("fallback_value", Required, faults),
        ParameterKind::Image | ParameterKind::Video | ParameterKind::Document | ParameterKind::Gif => {
            if let Some(medium) = place.object(field, Required, faults) {
                media::check(&medium, Caption::Refused, faults);
                medium.any_string("filename", Optional, faults);
            }
            None
        }
        ParameterKind::Location => {
            if let Some(location) = place.object(field, Required, faults) {
                plain::coordinates(&location, faults);
            }
            None
        }
        ParameterKind::Product => {
            if let Some(product) = place.object(field, Required, faults) {
                product.filled("catalog_id", Optional, faults);
                product.filled("product_retailer_id", Required, faults);
            }
            None
        }
        ParameterKind::Action => {
            if let Some(action) = place.object(field, Required, faults) {
                action_fields(&action, component, faults);
            }
            None
        }
        ParameterKind::LimitedTimeOffer => {
            if let Some(offer) = place.object(field, Required, faults) {
                offer.integer_or_digits("expiration_time_ms", Required, 1..=i64::MAX, faults);
            }
            None
        }
        ParameterKind::TapTargetConfiguration | ParameterKind::OrderStatus | ParameterKind::TtlMinutes => None,
    };
    Some(ParameterUse { kind, name, text_chars: text.map(char_count) })
}

/// The text of a variable. Meta refuses line breaks, tabs and long runs of spaces in it.
fn text<'q>(place: &'q Place<'_>, component: ComponentKind, faults: &mut Faults) -> Option<Value<'q>> {
    let most = if component == ComponentKind::Header { HEADER_TEXT_CHARS_MAX } else { TEXT_CHARS_MAX };
    let value = place.string("text", Required, 1..=most, faults)?;
    let text = value.text();
    if text.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | b'\t')) {
        place.fault("text", "must not contain line breaks or tabs", faults);
        return None;
    }
    if memchr::memmem::find(text.as_bytes(), &[b' '; SPACES_MAX + 1]).is_some() {
        place.fault("text", format!("must not contain more than {SPACES_MAX} spaces in a row"), faults);
        return None;
    }
    Some(value)
}

fn action_fields(action: &Place<'_>, component: &ComponentUse, faults: &mut Faults) {
    match component.button.map(|button| button.kind) {
        Some(ButtonKind::Flow) => {
            action.any_string("flow_token", Optional, faults);
            action.object("flow_action_data", Optional, faults);
        }
        Some(ButtonKind::Catalog) => {
            action.filled("thumbnail_product_retailer_id", Optional, faults);
        }
        Some(ButtonKind::Mpm) => {
            action.filled("thumbnail_product_retailer_id", Required, faults);
            commerce::product_sections(action, faults);
        }
        _ => {}
    }
}

/// A required word of a closed set, in any case.
fn word<T: Copy + PartialEq>(
    place: &Place<'_>,
    name: &str,
    known: &[T],
    parse: fn(&str) -> Option<T>,
    spelled: fn(T) -> &'static str,
    faults: &mut Faults,
) -> Option<T> {
    let text = place.any_string(name, Required, faults)?.text();
    let word = parse(&text).filter(|word| known.contains(word));
    if word.is_none() {
        let words: Vec<&str> = known.iter().map(|one| spelled(*one)).collect();
        place.fault(name, one_of(&words), faults);
    }
    word
}
