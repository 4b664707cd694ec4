//! The `webhooks` section: what the gateway posts to a customer's endpoint (contract §7).
//!
//! The body is Meta's own JSON, cut down to one message, status or change; its inner shape is Meta's to
//! say and may grow any day, so only what the gateway itself goes by is described.

use serde_json::{Map, Value, json};
use turnpike_domain::send::MessageState;
use turnpike_domain::webhook::{EventKind, StatusKind};

use super::headers::asked;
use super::schema::{amount, any_integer, filled, integer, list, named, object, or_null, said, string, time, word, words};

/// Adds the schemas of events.
pub(super) fn add(schemas: &mut Map<String, Value>) {
    let mut put = |name: &str, schema: Value| drop(schemas.insert(name.to_owned(), schema));
    put("MessageEvent", of_meta(message_value()));
    put("StatusEvent", of_meta(status_value()));
    put("ChangeEvent", of_meta(json!({"type": "object"})));
    put("GatewayEvent", gateway_event());
}

/// One webhook for each kind of event.
pub(super) fn webhooks() -> Map<String, Value> {
    EventKind::ALL.iter().map(|kind| (kind.as_str().to_owned(), json!({"post": post(*kind)}))).collect()
}

/// The schema of a kind's body.
pub(super) fn schema_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Messages | EventKind::ButtonReply | EventKind::ListReply => "MessageEvent",
        EventKind::MessageStatus | EventKind::Read => "StatusEvent",
        EventKind::Gateway => "GatewayEvent",
        _ => "ChangeEvent",
    }
}

fn post(kind: EventKind) -> Value {
    json!({
        "operationId": format!("on_{}", kind.as_str().replace('.', "_")),
        "tags": ["Webhooks"],
        "summary": summary(kind),
        "security": [],
        "parameters": headers(kind),
        "requestBody": {"required": true, "content": {"application/json": {"schema": named(schema_of(kind))}}},
        "responses": {
            "2XX": {"description": "Taken. Answer within 15 seconds, better within 5: store it, answer, then work."},
            "410": {"description": "Switches the endpoint off; what waits for it is kept."},
            "default": {"description": "Tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, then a dead letter."},
        },
    })
}

fn summary(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Messages => "A message from a user",
        EventKind::ButtonReply => "A tap on a reply button",
        EventKind::ListReply => "A choice from a list",
        EventKind::MessageStatus => "A message of yours was sent, delivered, or failed",
        EventKind::Read => "A message of yours was read, or played",
        EventKind::MessageTemplateStatus => "A template was approved, rejected, paused …",
        EventKind::Account => "Something happened to the WhatsApp Business Account",
        EventKind::UserPreferences => "A user stopped or resumed marketing",
        EventKind::TemplateCategory => "A template's category changed, or will",
        EventKind::PhoneQuality => "The quality or throughput of the number changed",
        EventKind::MessageEchoes => "A message that was sent from the WhatsApp Business app",
        EventKind::History => "Chats from before the number was connected",
        EventKind::Calls => "A call",
        EventKind::Flows => "A flow's state or health",
        EventKind::Other => "Anything of Meta's that has no name here yet",
        EventKind::Gateway => "Something that the gateway itself has to say",
    }
}

fn headers(kind: EventKind) -> Vec<Value> {
    let id = "The same on every attempt and replay: tell repeats by it.";
    let signature = "Standard Webhooks: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; two while a secret is being changed.";
    let metas = "As Meta signs: `sha256=` and hex of HMAC-SHA256 over the body; the key is the whole `whsec_…` text.";
    let mut headers = vec![
        asked("webhook-id", id, filled()),
        asked("webhook-timestamp", "Seconds since 1970, of this attempt.", any_integer()),
        asked("webhook-signature", signature, filled()),
        asked("X-Hub-Signature-256", metas, filled()),
        asked("Authorization", "`Bearer whb_…`: says that it is us. It can be switched off.", string()),
        asked("X-Gateway-Event", "The kind of event.", word(&[kind.as_str()])),
        asked("X-Gateway-Application", "The `appId`.", string()),
        asked("X-Gateway-Mode", "On what is not live.", word(&["sandbox"])),
    ];
    if matches!(kind, EventKind::MessageStatus | EventKind::Read) {
        headers.push(asked("X-Message-Id", "The gateway's id of the message.", json!({"type": "string", "format": "uuid"})));
    }
    headers
}

/// Meta's envelope round one change.
fn of_meta(value: Value) -> Value {
    let change = object().with("field", filled()).with("value", value).schema();
    let entry = object().with("id", said(string(), "The WABA's id.")).with("changes", list(change, 1..=1)).schema();
    object().with("object", string()).with("entry", list(entry, 1..=1)).schema()
}

fn metadata() -> Value {
    object().with("phone_number_id", filled()).seldom("display_phone_number", string()).schema()
}

fn message_value() -> Value {
    let message = object()
        .with("id", said(filled(), "The wamid."))
        .with("type", said(string(), "`text`, `image`, `interactive` …; the member of that name holds it."))
        .with("timestamp", said(string(), "Seconds since 1970."))
        .seldom("from", said(string(), "The user's number, where it is visible."))
        .seldom("from_user_id", said(string(), "The user's business-scoped id."))
        .schema();
    object()
        .with("messaging_product", word(&["whatsapp"]))
        .with("metadata", metadata())
        .seldom("contacts", list(json!({"type": "object"}), 0..=usize::MAX))
        .with("messages", list(message, 1..=1))
        .schema()
}

fn status_value() -> Value {
    let pricing = object().seldom("type", string()).seldom("billable", json!({"type": "boolean"})).seldom("category", string()).schema();
    let status = object()
        .with("id", said(filled(), "The wamid."))
        .with("status", words(StatusKind::ALL, StatusKind::as_str))
        .with("timestamp", said(string(), "Seconds since 1970. Order by it, and never move a message backwards."))
        .seldom("recipient_id", string())
        .seldom("biz_opaque_callback_data", said(string(), "Your own, as you sent it."))
        .seldom("pricing", pricing)
        .seldom("errors", list(json!({"type": "object"}), 0..=usize::MAX))
        .schema();
    object()
        .with("messaging_product", word(&["whatsapp"]))
        .with("metadata", metadata())
        .seldom("contacts", list(json!({"type": "object"}), 0..=usize::MAX))
        .with("statuses", list(status, 1..=1))
        .schema()
}

/// The gateway's own events, in Meta's envelope under our name.
fn gateway_event() -> Value {
    let fields = [
        ("message_resolved", message_resolved()),
        ("endpoint_disabled", endpoint().with("reason", string()).schema()),
        ("endpoint_failing", endpoint().schema()),
        ("backlog_overflow", backlog_overflow()),
        ("balance_low", balance_low()),
        ("test", json!({"type": "object"})),
    ];
    let change = |(field, value): (&'static str, Value)| object().with("field", word(&[field])).with("value", value).schema();
    let changes = json!({"anyOf": fields.map(change)});
    let entry = object()
        .with("id", said(string(), "The `appId`."))
        .with("time", said(any_integer(), "Seconds since 1970."))
        .with("changes", list(changes, 1..=1))
        .schema();
    object().with("object", word(&["turnpike"])).with("entry", list(entry, 1..=1)).schema()
}

fn message_resolved() -> Value {
    object()
        .about("A message whose outcome was unknown (GW_003) has one.")
        .with("message_id", json!({"type": "string", "format": "uuid"}))
        .with("wamid", or_null(string()))
        .with("state", words(MessageState::ALL, MessageState::as_str))
        .with("resolution", or_null(word(&["accepted", "failed", "refused", "presumed_not_sent"])))
        .with("evidence", or_null(word(&["late_answer", "status", "operator", "presumed"])))
        .with("reason", or_null(string()))
        .with("resolved_at", or_null(time()))
        .with("to", or_null(string()))
        .with("biz_opaque_callback_data", or_null(string()))
        .with("money", named("Money"))
        .schema()
}

fn endpoint() -> super::schema::Object {
    object()
        .with("endpoint_id", said(json!({}), "The endpoint's id."))
        .with("name", string())
        .with("failing_since", or_null(time()))
        .with("at", time())
}

fn backlog_overflow() -> Value {
    let count = || integer(0..=i64::MAX);
    endpoint()
        .with("dead_letters", said(count(), "How many events were given up untried."))
        .with("beyond_number", count())
        .with("beyond_age", count())
        .with("number_max", count())
        .with("age_max_seconds", count())
        .schema()
}

fn balance_low() -> Value {
    object()
        .with("mode", word(&["live", "sandbox"]))
        .with("available", amount())
        .with("below", or_null(amount()))
        .with("currency", or_null(string()))
        .with("at", time())
        .schema()
}
