//! Template messages: a template's name, and what fills its places (meta-cloud-api §1.5).
//!
//! How many places there are and of which kind is the template's to say; the gateway compares before
//! money moves, and answers GW_001 (contract §3.2).

use serde_json::{Map, Value, json};
use turnpike_domain::message::{ButtonKind, ComponentKind, ParameterKind};

use super::schema::{Object, any_integer, filled, list, named, object, said, string, text, word, word_in_any_case};

/// Adds the schemas of template messages.
pub(super) fn add(schemas: &mut Map<String, Value>) {
    schemas.insert("Template".to_owned(), template());
    schemas.insert("TemplateComponent".to_owned(), component());
    schemas.insert("TemplateParameter".to_owned(), parameter());
}

fn template() -> Value {
    let name = json!({"type": "string", "pattern": "^[a-z0-9_]+$", "minLength": 1, "maxLength": 512});
    let code = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "minLength": 1, "maxLength": 15, "examples": ["en_US"]});
    let language = object().with("code", code).may("policy", word(&["deterministic"])).schema();
    object().with("name", name).with("language", language).may("components", list(named("TemplateComponent"), 0..=usize::MAX)).schema()
}

fn component() -> Value {
    let kinds: Vec<&str> = ComponentKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let buttons: Vec<&str> = ButtonKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let inside = json!({"allOf": [named("TemplateComponent"), {"properties": {"type": word_in_any_case(&["header", "body", "button"])}}]});
    let card = object().with("card_index", place(9)).with("components", list(inside, 1..=usize::MAX)).schema();
    object()
        .about(
            "A header, the body, one button, or the cards of a carousel. `sub_type` and `index` belong to a button, `cards` to a carousel.",
        )
        .with("type", word_in_any_case(&kinds))
        .may("sub_type", word_in_any_case(&buttons))
        .may("index", place(9))
        .may("parameters", list(named("TemplateParameter"), 0..=usize::MAX))
        .may("cards", list(card, 2..=10))
        .and("allOf", Value::Array(rules()))
        .schema()
}

/// What a component needs and may have by its type, and a button by its own.
fn rules() -> Vec<Value> {
    let header = ["text", "currency", "date_time", "image", "video", "document", "gif", "location", "product"];
    let in_header = json!({"properties": {"type": word_in_any_case(&header), "text": {"maxLength": 60}}});
    let catalog = object().may("thumbnail_product_retailer_id", filled());
    let several = object().with("thumbnail_product_retailer_id", filled()).with("sections", named("ProductSections"));
    let flow = object().may("flow_token", string()).may("flow_action_data", json!({"type": "object"}));
    let of = |kind: &str| json!({"properties": {"type": word_in_any_case(&[kind])}});
    let action = |action: Object| json!({"properties": {"type": word_in_any_case(&["action"]), "action": action.schema()}});
    let button = json!({"sub_type": {"type": "string"}, "index": {"not": {"type": "null"}}});
    vec![
        when("type", "button", json!({"required": ["sub_type", "index"], "properties": button})),
        when("type", "carousel", json!({"required": ["cards"], "properties": {"cards": {"type": "array"}}})),
        when("type", "header", parameters(1, in_header)),
        when("type", "body", json!({"properties": {"parameters": {"items": {"properties": {"type": word_in_any_case(&header[..3])}}}}})),
        when("type", "limited_time_offer", parameters(1, json!({}))),
        when("sub_type", "url", parameters(1, of("text"))),
        when("sub_type", "quick_reply", parameters(1, json!({}))),
        when("sub_type", "copy_code", parameters(1, of("coupon_code"))),
        when("sub_type", "flow", parameters(1, action(flow))),
        when("sub_type", "catalog", parameters(usize::MAX, action(catalog))),
        when("sub_type", "mpm", parameters(usize::MAX, action(several))),
    ]
}

/// A rule for those whose `member` is `word`.
fn when(member: &str, word: &str, then: Value) -> Value {
    json!({"if": {"required": [member], "properties": {member: word_in_any_case(&[word])}}, "then": then})
}

/// At most so many parameters, each of this kind.
fn parameters(most: usize, of: Value) -> Value {
    let mut parameters = json!({"items": of});
    if most < usize::MAX {
        parameters["maxItems"] = json!(most);
    }
    json!({"properties": {"parameters": parameters}})
}

/// A number from 0, or its digits.
fn place(most: i64) -> Value {
    json!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": most}, {"type": "string", "pattern": "^[+-]?0*[0-9]$"}]})
}

/// A value: `type` names the member that holds it.
fn parameter() -> Value {
    let kinds: Vec<Value> = ParameterKind::ALL.iter().map(|kind| parameter_of(*kind)).collect();
    json!({"anyOf": kinds})
}

fn parameter_of(kind: ParameterKind) -> Value {
    let whole = || json!({"anyOf": [any_integer(), {"type": "string", "pattern": "^[+-]?[0-9]+$"}]});
    let value = match kind {
        ParameterKind::Text => {
            let mut text = text(1..=32_768);
            text["not"] = json!({"pattern": "[\\n\\r\\t]| {5}"});
            said(text, "No line breaks, no tabs, at most four spaces in a row; at most 60 characters in a header.")
        }
        ParameterKind::Payload => text(0..=256),
        ParameterKind::CouponCode => text(1..=20),
        ParameterKind::Currency => object()
            .with("fallback_value", filled())
            .with("code", json!({"type": "string", "pattern": "^[A-Za-z]{3}$"}))
            .with("amount_1000", whole())
            .schema(),
        ParameterKind::DateTime => object().with("fallback_value", filled()).schema(),
        ParameterKind::Image | ParameterKind::Video | ParameterKind::Document | ParameterKind::Gif => named("Medium"),
        ParameterKind::Location => named("Location"),
        ParameterKind::Product => object().with("product_retailer_id", filled()).may("catalog_id", filled()).schema(),
        ParameterKind::Action => said(json!({"type": "object"}), "Of a flow, catalog, multi-product or order button."),
        ParameterKind::LimitedTimeOffer => {
            let after_1970 = json!({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[+]?0*[1-9][0-9]*$"}]});
            object().with("expiration_time_ms", after_1970).schema()
        }
        ParameterKind::TapTargetConfiguration | ParameterKind::OrderStatus | ParameterKind::TtlMinutes => json!({}),
    };
    let parameter = object()
        .with("type", word_in_any_case(&[kind.as_str()]))
        .may("parameter_name", said(filled(), "For templates with named variables."));
    match kind {
        ParameterKind::TapTargetConfiguration | ParameterKind::OrderStatus | ParameterKind::TtlMinutes => {
            parameter.seldom(kind.as_str(), value)
        }
        _ => parameter.with(kind.as_str(), value),
    }
    .schema()
}
