//! The fields of Meta's webhooks that are no messages and no statuses, each with a value as Meta's
//! documents show it, so that a receiver can be tried with every one of them by its name alone.
//!
//! They are examples: nothing here changes with them. A template's state, a user's wish about marketing
//! and calls have routes of their own, which do what they tell.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::numbers;
use crate::users::Person;

/// Whom and what an example is about.
pub(crate) struct About<'a> {
    /// The business's number.
    pub(crate) number: &'a str,
    pub(crate) user: &'a Person,
    pub(crate) at: Timestamp,
    /// A message id of its own.
    pub(crate) wamid: String,
}

/// A field that can be asked for by its name.
#[derive(Serialize)]
pub(crate) struct Field {
    /// As `changes[].field` names it.
    pub(crate) field: &'static str,
    /// Whether its value has the envelope of messages (`messaging_product`, `metadata`); the others are
    /// about the account.
    pub(crate) of_a_number: bool,
    summary: &'static str,
    #[serde(skip)]
    value: fn(&About<'_>) -> Value,
}

/// The field of this name.
pub(crate) fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.field == name)
}

impl Field {
    /// Its example.
    pub(crate) fn example(&self, about: &About<'_>) -> Value {
        (self.value)(about)
    }
}

const fn of_account(field: &'static str, summary: &'static str, value: fn(&About<'_>) -> Value) -> Field {
    Field { field, of_a_number: false, summary, value }
}

const fn of_number(field: &'static str, summary: &'static str, value: fn(&About<'_>) -> Value) -> Field {
    Field { field, of_a_number: true, summary, value }
}

/// All of them, in the order in which people look for them.
pub(crate) const FIELDS: &[Field] = &[
    of_account("message_template_status_update", "a template was approved, rejected, paused", |_| {
        template(json!({"event": "APPROVED", "reason": "NONE", "message_template_category": "UTILITY"}))
    }),
    of_account("message_template_quality_update", "a template's quality changed", |_| {
        template(json!({"previous_quality_score": "GREEN", "new_quality_score": "YELLOW"}))
    }),
    of_account("message_template_components_update", "a template was edited", |_| {
        template(json!({
            "message_template_element": "Your order {{1}} has left our house.",
            "message_template_title": "On its way",
            "message_template_footer": "Thank you",
            "message_template_buttons": [
                {"message_template_button_type": "URL", "message_template_button_text": "Track", "message_template_button_url": "https://example.com/{{1}}"},
            ],
        }))
    }),
    of_account("template_category_update", "a template's category changed, or will", |about| {
        template(json!({"new_category": "MARKETING", "previous_category": "UTILITY", "category_update_timestamp": about.at.as_second()}))
    }),
    of_account("account_update", "something happened to the account", |about| {
        let expires = about.at.as_second() + 7 * 24 * 3_600;
        json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": [
            {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": expires, "remediation": "Appeal in Business Support Home."},
        ]})
    }),
    of_account("account_review_update", "the account's review was decided", |_| json!({"decision": "APPROVED"})),
    of_account("account_alerts", "something about the account needs attention", |about| {
        json!({"entity_type": "PHONE_NUMBER", "entity_id": about.number, "alert_info": {
            "alert_severity": "WARNING", "alert_status": "ACTIVE", "alert_type": "PROFILE_PICTURE_LOST",
            "alert_description": "The profile picture of the number was lost.",
        }})
    }),
    of_account(
        "account_settings_update",
        "a setting of a number changed",
        |about| json!({"phone_number_settings": {"phone_number_id": about.number, "calling": {"status": "ENABLED"}}, "timestamp": seconds(about), "type": "phone_number_settings"}),
    ),
    of_account(
        "business_capability_update",
        "the business may send more, or less",
        |_| json!({"max_daily_conversations_per_business": 2_000, "max_phone_numbers_per_waba": 25}),
    ),
    of_account(
        "business_username_update",
        "the business's username was decided on",
        |about| json!({"display_phone_number": digits(about), "username": "jaspers_market", "status": "approved"}),
    ),
    of_account(
        "phone_number_name_update",
        "a number's name was decided on",
        |about| json!({"display_phone_number": digits(about), "decision": "APPROVED", "requested_verified_name": "Jasper's Market", "rejection_reason": null}),
    ),
    of_account(
        "phone_number_quality_update",
        "a number's throughput or quality changed",
        |about| json!({"display_phone_number": digits(about), "event": "THROUGHPUT_UPGRADE", "max_daily_conversations_per_business": 2_000}),
    ),
    of_account(
        "security",
        "a number's PIN was changed, or is to be",
        |about| json!({"display_phone_number": digits(about), "event": "PIN_CHANGED", "requester": "100000000000099"}),
    ),
    of_account("flows", "a flow's state or health changed", |_| {
        json!({"event": "FLOW_STATUS_CHANGE", "flow_id": "6627390910605886", "old_status": "DRAFT", "new_status": "PUBLISHED",
               "message": "Flow was published"})
    }),
    of_account("payment_configuration_update", "a payment configuration changed", |about| {
        json!({"configuration_name": "shop", "provider_name": "razorpay", "provider_mid": "mid_1", "status": "Active",
               "created_timestamp": about.at.as_second(), "updated_timestamp": about.at.as_second()})
    }),
    of_account(
        "partner_solutions",
        "a partner's solution changed; for partners alone",
        |_| json!({"event": "SOLUTION_CREATED", "solution_id": "774485461512159", "solution_status": "INITIATED"}),
    ),
    of_number("user_preferences", "a user wants marketing no more, or again", |about| {
        let mut wish = json!({"user_id": about.user.user_id, "detail": "User requested to stop marketing messages",
                              "category": "marketing_messages", "value": "stop", "timestamp": about.at.as_second()});
        if let Some(phone) = about.user.visible_phone() {
            wish["wa_id"] = phone.into();
        }
        json!({"contacts": [contact(about)], "user_preferences": [wish]})
    }),
    of_number("user_id_update", "a user's business-scoped id changed", |about| {
        json!({"contacts": [contact(about)], "user_id_update": [
            {"previous_user_id": about.user.user_id, "current_user_id": format!("{}0", about.user.user_id), "timestamp": seconds(about)},
        ]})
    }),
    of_number("calls", "a user calls", |about| {
        let id = about.wamid.replacen("wamid.", "wacid.", 1);
        json!({"contacts": [contact(about)], "calls": [
            {"id": id, "from": about.user.key(), "to": digits(about), "event": "connect", "direction": "USER_INITIATED", "timestamp": seconds(about)},
        ]})
    }),
    of_number("smb_message_echoes", "the business wrote in its own app (coexistence)", |about| {
        json!({"message_echoes": [
            {"from": digits(about), "to": about.user.key(), "to_user_id": about.user.user_id, "id": about.wamid, "timestamp": seconds(about),
             "type": "text", "text": {"body": "We are open until six."}},
        ]})
    }),
    of_number("smb_app_state_sync", "a contact of the business's own app (coexistence)", |about| {
        json!({"state_sync": [
            {"type": "contact", "contact": {"full_name": about.user.name, "first_name": about.user.name, "phone_number": about.user.key()},
             "action": "add", "metadata": {"timestamp": seconds(about)}},
        ]})
    }),
    of_number("history", "chats from before the number was connected (coexistence)", |about| {
        json!({"history": [{"metadata": {"phase": 0, "chunk_order": 1, "progress": 55}, "threads": [{"id": about.user.key(), "messages": [
            {"from": about.user.key(), "id": about.wamid, "timestamp": seconds(about), "type": "text", "text": {"body": "Are you open?"},
             "history_context": {"status": "READ"}},
        ]}]}]})
    }),
    of_number(
        "group_lifecycle_update",
        "a group was made or deleted",
        |about| json!({"groups": [{"timestamp": seconds(about), "group_id": GROUP, "type": "group_create", "request_id": "r-1", "subject": "Neighbours"}]}),
    ),
    of_number("group_participants_update", "users came into a group, or left it", |about| {
        json!({"groups": [{"timestamp": seconds(about), "group_id": GROUP, "type": "group_participants_add", "reason": "invite_link",
                           "added_participants": [{"wa_id": about.user.key()}]}]})
    }),
    of_number("group_settings_update", "a group's name or picture changed", |about| {
        json!({"groups": [{"timestamp": seconds(about), "group_id": GROUP, "type": "group_settings_update", "request_id": "r-2",
                           "group_subject": {"text": "Neighbours", "update_successful": true}}]})
    }),
    of_number(
        "group_status_update",
        "a group was suspended, or is free again",
        |about| json!({"groups": [{"timestamp": seconds(about), "group_id": GROUP, "type": "group_suspend"}]}),
    ),
    of_number("automatic_events", "Meta saw a purchase or a lead in a chat", |about| {
        json!({"contacts": [contact(about)], "automatic_events": [
            {"id": about.wamid, "event_name": "LeadSubmitted", "timestamp": about.at.as_second(), "ctwa_clid": "Aff-n8ZTODiE79d22KtAwQKj9e"},
        ]})
    }),
    of_number("tracking_events", "a click on a link of a marketing message", |about| {
        json!({"contacts": [contact(about)], "tracking_events": [
            {"event_name": "ad_click", "timestamp": about.at.as_second(), "tracking_data": {"click_id": "IwAR1"}},
        ]})
    }),
    of_number("standby", "a message that Meta's own agent answers", |about| {
        json!({"contacts": [contact(about)], "messages": [
            {"from": about.user.key(), "from_user_id": about.user.user_id, "id": about.wamid, "timestamp": seconds(about), "type": "text",
             "text": {"body": "Which shoes run small?"}},
        ]})
    }),
];

/// A group of nobody's.
const GROUP: &str = "Y2FwaV9ncm91cDoxNTU1MDEwMDAwMQ";

/// What every field about a template names.
fn template(mut value: Value) -> Value {
    value["message_template_id"] = 1_689_556_908_129_832_u64.into();
    value["message_template_name"] = "order_confirmation".into();
    value["message_template_language"] = "en_US".into();
    value
}

fn digits(about: &About<'_>) -> String {
    numbers::own_digits(about.number)
}

fn contact(about: &About<'_>) -> Value {
    about.user.contact(about.user.visible_phone())
}

/// The time as a text of seconds, as messages have it.
fn seconds(about: &About<'_>) -> String {
    about.at.as_second().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_one_example_which_is_an_object() {
        let users = crate::users::Users::default();
        let user = users.find("905321234567").expect("a number");
        let about = About { number: "1001", user: &user, at: Timestamp::UNIX_EPOCH, wamid: "wamid.X".to_owned() };
        for (n, field) in FIELDS.iter().enumerate() {
            assert!(field.example(&about).is_object() && !field.summary.is_empty(), "{}", field.field);
            assert!(FIELDS[n + 1..].iter().all(|other| other.field != field.field), "{} twice", field.field);
        }
    }
}
