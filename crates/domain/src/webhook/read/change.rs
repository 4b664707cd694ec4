//! Changes: what is neither a message nor a status (meta-cloud-api §5.6, §5.7).

use super::Found;
use super::contacts::user;
use super::message::mark_media;
use super::source::{Source, get};
use crate::json::{Kind, Value};
use crate::webhook::event::EventKind;
use crate::webhook::view::{
    AccountChange, AppState, CallEvent, CapabilityChange, FlowEvent, HistoryChunk, NumberChange, SecurityChange, TemplateChange, Text,
    UserPreference, View, Wish,
};

/// A value that is one item as a whole.
pub(super) fn read<'t>(source: Source<'t>, field: &str, value: Value<'_>) -> Found<'t> {
    if value.kind() != Kind::Object {
        return Found::plain(kind_of(field), View::Other);
    }
    let view = match field {
        "message_template_status_update"
        | "message_template_quality_update"
        | "message_template_components_update"
        | "template_category_update" => View::Template(Box::new(template(source, value))),
        "account_update" | "account_review_update" | "account_alerts" | "account_settings_update" => View::Account(account(source, value)),
        "phone_number_name_update" | "phone_number_quality_update" => View::Number(NumberChange {
            event: source.member(value, "event").or_else(|| source.member(value, "decision")).unwrap_or_default(),
            limit: source.member(value, "current_limit").or_else(|| source.member(value, "max_daily_conversations_per_business")),
            requested_name: source.member(value, "requested_verified_name"),
            rejection_reason: source.member(value, "rejection_reason"),
        }),
        "business_capability_update" => View::Capability(CapabilityChange {
            max_daily_conversations: source
                .member(value, "max_daily_conversations_per_business")
                .or_else(|| source.member(value, "max_daily_conversation_per_phone")),
            max_phone_numbers: source
                .integer(value, "max_phone_numbers_per_business")
                .or_else(|| source.integer(value, "max_phone_numbers_per_waba")),
        }),
        "security" => {
            View::Security(SecurityChange { event: source.member_or_empty(value, "event"), requester: source.member(value, "requester") })
        }
        "flows" => View::Flow(FlowEvent {
            event: source.member_or_empty(value, "event"),
            flow_id: source.member(value, "flow_id"),
            message: source.member(value, "message"),
        }),
        _ if get(value, "errors").is_some_and(|errors| errors.kind() == Kind::Array) => View::Errors(source.errors(value)),
        _ => View::Other,
    };
    // Troubles of a number and empty lists are no messages, whatever the field.
    let kind = if matches!(field, "messages" | "standby") { EventKind::Other } else { kind_of(field) };
    Found { at: source.timestamp(value), ..Found::plain(kind, view) }
}

/// What a field's changes are, as subscriptions name them (contract §7).
fn kind_of(field: &str) -> EventKind {
    match field {
        "message_template_status_update" => EventKind::MessageTemplateStatus,
        "template_category_update" => EventKind::TemplateCategory,
        "account_update"
        | "account_review_update"
        | "account_alerts"
        | "account_settings_update"
        | "business_capability_update"
        | "phone_number_name_update"
        | "security" => EventKind::Account,
        "phone_number_quality_update" => EventKind::PhoneQuality,
        "user_preferences" => EventKind::UserPreferences,
        "smb_message_echoes" | "message_echoes" => EventKind::MessageEchoes,
        "history" => EventKind::History,
        "calls" => EventKind::Calls,
        "flows" => EventKind::Flows,
        _ => EventKind::Other,
    }
}

fn template<'t>(source: Source<'t>, value: Value<'_>) -> TemplateChange<'t> {
    let text = |name: &str| source.member(value, name);
    TemplateChange {
        id: source.member_or_empty(value, "message_template_id"),
        name: source.member_or_empty(value, "message_template_name"),
        language: source.member_or_empty(value, "message_template_language"),
        event: text("event"),
        reason: text("reason"),
        category: text("message_template_category"),
        new_category: text("new_category"),
        previous_category: text("previous_category"),
        correct_category: text("correct_category"),
        new_quality: text("new_quality_score"),
        previous_quality: text("previous_quality_score"),
    }
}

fn account<'t>(source: Source<'t>, value: Value<'_>) -> AccountChange<'t> {
    // Newer pages nest what an alert says (meta-cloud-api §5.6).
    let alert = get(value, "alert_info").unwrap_or(value);
    let event = ["event", "decision"].iter().find_map(|name| source.member(value, name)).or_else(|| source.member(alert, "alert_type"));
    let nested = |object: &str, name: &str| get(value, object).and_then(|object| source.member(object, name));
    let restrictions = get(value, "restriction_info").into_iter().flat_map(Value::elements);
    AccountChange {
        event: event.unwrap_or_default(),
        waba_id: nested("waba_info", "waba_id"),
        ban_state: nested("ban_info", "waba_ban_state"),
        violation: nested("violation_info", "violation_type"),
        restrictions: restrictions.filter_map(|restriction| source.member(restriction, "restriction_type")).collect(),
        severity: source.member(alert, "alert_severity"),
        description: source.member(alert, "alert_description"),
    }
}

/// One element of `user_preferences`.
pub(super) fn user_preference<'t>(source: Source<'t>, element: Value<'_>) -> Found<'t> {
    let value = source.member_or_empty(element, "value");
    let wish = match &*value {
        "stop" => Wish::Stop,
        "resume" | "signup" => Wish::Resume,
        _ => Wish::Other,
    };
    let view = View::UserPreference(UserPreference {
        wish,
        category: source.member_or_empty(element, "category"),
        value,
        detail: source.member(element, "detail"),
    });
    Found {
        user: user(source, element, ["wa_id", "user_id", "parent_user_id"]),
        at: source.timestamp(element),
        ..Found::plain(EventKind::UserPreferences, view)
    }
}

/// One element of `history`: a chunk of the chats from before.
pub(super) fn history<'t>(source: Source<'t>, chunk: Value<'_>) -> Found<'t> {
    let metadata = get(chunk, "metadata");
    let number = |name: &str| metadata.and_then(|metadata| source.integer(metadata, name));
    let mut edits = Vec::new();
    let mut users: Vec<Text<'t>> = Vec::new();
    for thread in get(chunk, "threads").into_iter().flat_map(Value::elements) {
        users.extend(source.member(thread, "id").filter(|id| !id.is_empty()));
        for message in get(thread, "messages").into_iter().flat_map(Value::elements) {
            mark_media(source, message, chunk.span().start, &mut edits);
        }
    }
    let view = View::History(HistoryChunk {
        phase: number("phase"),
        chunk_order: number("chunk_order"),
        progress: number("progress"),
        users,
        errors: source.errors(chunk),
    });
    Found { edits, ..Found::plain(EventKind::History, view) }
}

/// One element of `state_sync`.
pub(super) fn app_state<'t>(source: Source<'t>, element: Value<'_>) -> Found<'t> {
    let contact = get(element, "contact");
    let view = View::AppState(AppState {
        kind: source.member_or_empty(element, "type"),
        action: source.member_or_empty(element, "action"),
        name: contact.and_then(|contact| source.member(contact, "full_name")),
    });
    Found {
        user: contact.and_then(|contact| user(source, contact, ["phone_number", "user_id", "parent_user_id"])),
        at: get(element, "metadata").and_then(|metadata| source.timestamp(metadata)),
        ..Found::plain(EventKind::Other, view)
    }
}

/// One element of `calls`, or of `statuses` beside it.
pub(super) fn call<'t>(source: Source<'t>, list: &str, element: Value<'_>) -> Found<'t> {
    let is_inbound = match source.member(element, "direction").as_deref() {
        Some("USER_INITIATED") => Some(true),
        Some("BUSINESS_INITIATED") => Some(false),
        _ => None,
    };
    let names = match (list, is_inbound) {
        ("statuses", _) => ["recipient_id", "recipient_user_id", "recipient_parent_user_id"],
        (_, Some(false)) => ["to", "to_user_id", "to_parent_user_id"],
        _ => ["from", "from_user_id", "from_parent_user_id"],
    };
    let view = View::Call(CallEvent {
        id: source.member_or_empty(element, "id"),
        event: source.member(element, "event").or_else(|| source.member(element, "status")).unwrap_or_default(),
        is_inbound,
    });
    Found { user: user(source, element, names), at: source.timestamp(element), ..Found::plain(EventKind::Calls, view) }
}
