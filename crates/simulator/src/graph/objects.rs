//! `GET /{version}/{id}`: numbers and WABAs, field by field.
//!
//! Nothing declares ids here, so the fields that are asked for tell which of the
//! two an id is; where both have them all, it is a number.

use serde_json::{Map, Value, json};

use super::Found;
use super::error::GraphError;
use super::request::GraphRequest;
use super::subscriptions;
use crate::exchange::World;

/// What Meta gives of a number when no fields are named.
const NUMBER_DEFAULT: &[&str] =
    &["verified_name", "code_verification_status", "display_phone_number", "quality_rating", "platform_type", "throughput"];

/// What Meta gives of a WABA when no fields are named.
const WABA_DEFAULT: &[&str] = &["name", "timezone_id", "message_template_namespace"];

/// Fields that Meta knows and that have no value here, so that asking for them is
/// no mistake: they are left out, as Meta leaves out what is not set.
const NUMBER_UNSET: &[&str] = &[
    "certificate",
    "eligibility_for_api_business_global_search",
    "host_platform",
    "new_certificate",
    "new_display_name",
    "search_visibility",
    "username",
    CONFIGURATION,
];

/// Where a number's events go; left out where they go nowhere.
const CONFIGURATION: &str = "webhook_configuration";

/// The same of a WABA.
const WABA_UNSET: &[&str] = &[
    "analytics",
    "auth_international_rate_eligibility",
    "linked_commerce_account",
    "on_behalf_of_business_info",
    "owner_business_info",
    "pricing_analytics",
    "purchase_order_number",
    "template_analytics",
];

/// Answers for a number or a WABA.
pub(super) fn read(world: &World, request: &GraphRequest<'_>) -> Result<Found, GraphError> {
    let id = request.object_id;
    let fields: Vec<String> = split_fields(&request.query("fields").unwrap_or_default());
    let mut number = number(id);
    if fields.iter().any(|field| field == CONFIGURATION)
        && let Some(configured) = subscriptions::configured(world, id)
    {
        number.insert(CONFIGURATION.to_owned(), configured);
    }
    let waba = waba(id, &world.wabas.timezone_id(id));
    let has_all = |object: &Map<String, Value>, unset: &[&str]| {
        fields.iter().all(|field| object.contains_key(field) || unset.contains(&field.as_str()))
    };
    let is_waba =
        world.templates.is_waba(id) || world.wabas.is_declared(id) || !has_all(&number, NUMBER_UNSET) && has_all(&waba, WABA_UNSET);
    let node = if is_waba {
        Node { kind: "WhatsAppBusinessAccount", object: waba, default: WABA_DEFAULT, unset: WABA_UNSET }
    } else {
        Node { kind: "WhatsAppBusinessPhoneNumber", object: number, default: NUMBER_DEFAULT, unset: NUMBER_UNSET }
    };
    node.select(&fields).map(|selected| Found::json(&selected))
}

/// An object of the Graph, and which of its fields there are.
pub(super) struct Node<'a> {
    /// Its type, as Meta's errors name it.
    pub(super) kind: &'static str,
    pub(super) object: Map<String, Value>,
    /// Shown when no fields are named.
    pub(super) default: &'a [&'a str],
    /// Known, and left out where `object` has no value.
    pub(super) unset: &'a [&'a str],
}

impl Node<'_> {
    /// `id` and the fields that are asked for, or Meta's error for one that
    /// nobody has.
    pub(super) fn select(&self, fields: &[String]) -> Result<Value, GraphError> {
        let mut selected = Map::new();
        if fields.is_empty() {
            for field in self.default {
                if let Some(value) = self.object.get(*field) {
                    selected.insert((*field).to_owned(), value.clone());
                }
            }
        }
        for field in fields {
            match self.object.get(field) {
                Some(value) => {
                    selected.insert(field.clone(), value.clone());
                }
                None if self.unset.contains(&field.as_str()) => {}
                None => {
                    return Err(GraphError::parameter(format!("Tried accessing nonexisting field ({field}) on node type ({})", self.kind)));
                }
            }
        }
        if let Some(id) = self.object.get("id") {
            selected.insert("id".to_owned(), id.clone());
        }
        Ok(Value::Object(selected))
    }
}

/// `a,b{c,d},e.limit(1)` → `a`, `b`, `e`: what is asked of sub-objects is not
/// narrowed down.
pub(super) fn split_fields(fields: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut depth = 0_usize;
    for character in fields.chars() {
        match character {
            '{' | '(' => depth += 1,
            '}' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ if depth == 0 => name.push(character),
            _ => {}
        }
    }
    names.push(name);
    names.iter().map(|name| name.split('.').next().unwrap_or_default().trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// A number: its digits end in those of its id, so that two look different.
fn number(id: &str) -> Map<String, Value> {
    let tail: String = id.chars().filter(char::is_ascii_digit).collect();
    let tail = format!("{:0>4}", &tail[tail.len().saturating_sub(4)..]);
    object(json!({
        "id": id,
        "display_phone_number": format!("+1 555-010-{tail}"),
        "verified_name": "Simulated Business",
        "quality_rating": "GREEN",
        "code_verification_status": "VERIFIED",
        "name_status": "APPROVED",
        "new_name_status": "NONE",
        "status": "CONNECTED",
        "platform_type": "CLOUD_API",
        "throughput": {"level": "STANDARD"},
        "account_mode": "LIVE",
        "is_official_business_account": false,
        "is_on_biz_app": false,
        "is_pin_enabled": true,
        "whatsapp_business_manager_messaging_limit": "TIER_100K",
        "messaging_limit_tier": "TIER_100K",
        "last_onboarded_time": "2026-01-01T00:00:00+0000",
        "country_code": "US",
        "country_dial_code": "1",
        "health_status": health("PHONE_NUMBER", id),
    }))
}

fn waba(id: &str, timezone_id: &str) -> Map<String, Value> {
    object(json!({
        "id": id,
        "name": "Simulated Business",
        "currency": "USD",
        "timezone_id": timezone_id,
        "message_template_namespace": "5e1c4ed0_51a7_4b7e_9d53_0a5e1c7b2f10",
        "account_review_status": "APPROVED",
        "business_verification_status": "verified",
        "country": "US",
        "ownership_type": "SELF_OWNED",
        "primary_business_location": "US",
        "status": "ACTIVE",
        "marketing_messages_lite_api_status": "ONBOARDED",
        "marketing_messages_onboarding_status": "ONBOARDED",
        "disable_marketing_messages_on_cloud_api": false,
        "health_status": health("WABA", id),
    }))
}

fn health(entity: &str, id: &str) -> Value {
    json!({
        "can_send_message": "AVAILABLE",
        "entities": [{"entity_type": entity, "id": id, "can_send_message": "AVAILABLE"}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_outside_of_braces_only() {
        assert_eq!(split_fields("id, throughput{level,x},edge.limit(5),name"), ["id", "throughput", "edge", "name"]);
        assert!(split_fields("").is_empty());
    }

    #[test]
    fn a_field_that_nobody_has_is_named() {
        let node = Node { kind: "Number", object: number("1"), default: NUMBER_DEFAULT, unset: NUMBER_UNSET };
        let selected = node.select(&["certificate".to_owned()]).expect("a field that Meta knows");
        assert_eq!(selected, json!({"id": "1"}));
        let error = node.select(&["id".to_owned(), "colour".to_owned()]).expect_err("no colour");
        assert!(error.body("t").to_string().contains("(colour)"));
    }
}
