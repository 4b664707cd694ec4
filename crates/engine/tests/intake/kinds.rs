//! Every field of Meta's becomes an event of its kind, whole, for its own application.

use serde_json::{Value, json};
use turnpike_domain::send::Mode;
use turnpike_domain::webhook::EventKind;

use crate::posts::*;

/// Field, value and the kind that customers subscribe to.
fn samples() -> Vec<(&'static str, Value, EventKind)> {
    let from = "905551112233";
    let contacts = json!([{"profile": {"name": "Ayşe"}, "wa_id": from, "user_id": "TR.1349"}]);
    let of_message = |number: usize, message: Value| {
        let mut message = message;
        message["from"] = json!(from);
        message["id"] = json!(format!("wamid.{number}"));
        message["timestamp"] = json!(NOON_S.to_string());
        let mut value = value_of(NUMBER, "messages", json!([message]));
        value["contacts"] = contacts.clone();
        value
    };
    let messages = [
        (json!({"type": "text", "text": {"body": "hello"}}), EventKind::Messages),
        (
            json!({"type": "image", "image": {"id": "77", "mime_type": "image/jpeg", "sha256": "x=", "url": "https://lookaside.fbsbx.com/x"}}),
            EventKind::Messages,
        ),
        (
            json!({"type": "audio", "audio": {"id": "78", "mime_type": "audio/ogg; codecs=opus", "sha256": "x=", "voice": true}}),
            EventKind::Messages,
        ),
        (json!({"type": "location", "location": {"latitude": 41.0, "longitude": 29.0}}), EventKind::Messages),
        (
            json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "B"}, "phones": [{"phone": "+90 555"}]}]}),
            EventKind::Messages,
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "yes", "title": "Yes"}}}),
            EventKind::ButtonReply,
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "r", "title": "Row"}}}),
            EventKind::ListReply,
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{}"}}}),
            EventKind::Messages,
        ),
        (json!({"type": "button", "button": {"payload": "p", "text": "Yes"}}), EventKind::Messages),
        (json!({"type": "reaction", "reaction": {"message_id": "wamid.X", "emoji": "👍"}}), EventKind::Messages),
        (json!({"type": "order", "order": {"catalog_id": "1", "product_items": []}}), EventKind::Messages),
        (json!({"type": "system", "system": {"type": "customer_identity_changed", "body": "changed"}}), EventKind::Messages),
        (json!({"type": "unsupported", "errors": [{"code": 131_051, "title": "Unsupported"}]}), EventKind::Messages),
        (
            json!({"type": "edit", "edit": {"original_message_id": "wamid.0", "message": {"type": "text", "text": {"body": "hi"}}}}),
            EventKind::Messages,
        ),
        (json!({"type": "revoke", "revoke": {"original_message_id": "wamid.0"}}), EventKind::Messages),
        (json!({"type": "of_tomorrow", "of_tomorrow": {"x": 1}}), EventKind::Messages),
    ];
    let mut samples: Vec<_> =
        messages.into_iter().enumerate().map(|(number, (message, kind))| ("messages", of_message(number, message), kind)).collect();
    let echo = json!([{"from": "15550001000", "to": from, "id": "wamid.E", "timestamp": NOON_S.to_string(), "type": "text", "text": {"body": "x"}}]);
    let preference = json!([{"wa_id": from, "detail": "d", "category": "marketing_messages", "value": "stop", "timestamp": NOON_S}]);
    samples.extend([
        ("messages", value_of(NUMBER, "statuses", json!([status("wamid.S", "delivered", None)])), EventKind::MessageStatus),
        ("messages", value_of(NUMBER, "statuses", json!([status("wamid.S", "read", None)])), EventKind::Read),
        ("messages", value_of(NUMBER, "statuses", json!([status("wamid.S", "played", None)])), EventKind::Read),
        ("messages", value_of(NUMBER, "statuses", json!([failed(status("wamid.S", "failed", None), 131_026, "Undeliverable")])), EventKind::MessageStatus),
        ("user_preferences", value_of(NUMBER, "user_preferences", preference), EventKind::UserPreferences),
        ("smb_message_echoes", value_of(NUMBER, "message_echoes", echo), EventKind::MessageEchoes),
        ("history", value_of(NUMBER, "history", json!([{"metadata": {"phase": 0, "chunk_order": 1, "progress": 10}, "threads": []}])), EventKind::History),
        ("message_template_status_update", json!({"event": "APPROVED", "message_template_id": 7, "message_template_name": "order", "message_template_language": "en_US"}), EventKind::MessageTemplateStatus),
        ("template_category_update", json!({"message_template_id": 7, "message_template_name": "order", "message_template_language": "en_US", "new_category": "MARKETING", "previous_category": "UTILITY"}), EventKind::TemplateCategory),
        ("account_update", json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}}), EventKind::Account),
        ("phone_number_quality_update", json!({"display_phone_number": "15550001000", "event": "THROUGHPUT_UPGRADE"}), EventKind::PhoneQuality),
        ("calls", value_of(NUMBER, "calls", json!([{"id": "wacid.1", "from": from, "event": "connect", "timestamp": NOON_S.to_string(), "direction": "USER_INITIATED"}])), EventKind::Calls),
        ("flows", json!({"event": "FLOW_STATUS_CHANGE", "message": "m", "flow_id": "9"}), EventKind::Flows),
        ("of_tomorrow", json!({"anything": {"at": "all"}}), EventKind::Other),
    ]);
    samples
}

#[test]
fn every_field_becomes_an_event_of_its_kind_for_its_application() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        let samples = samples();
        for (field, value, _) in &samples {
            post(&house, &change(WABA, field, value.clone())).await;
        }
        let events = events_of(&house, &app).await;
        assert_eq!(events.len(), samples.len(), "quarantined: {}", quarantined(&house).await);
        for ((event, body), (field, value, kind)) in events.iter().zip(&samples) {
            assert_eq!((event.kind, event.mode), (*kind, Mode::Live), "{field} {value}");
            let delivered = &body["entry"][0]["changes"][0];
            assert_eq!((&body["entry"][0]["id"], &delivered["field"]), (&json!(WABA), &json!(field)));
            // Everything but the address of media is Meta's own.
            let mut expected = value.clone();
            if let Some(media) = expected.pointer_mut("/messages/0/image/url") {
                *media = json!("https://gateway.example.org/v1/wa/media/77");
            }
            assert_eq!(delivered["value"], expected, "{field}");
        }
        assert_eq!(quarantined(&house).await, 0);
    });
    house.finish();
}

#[test]
fn each_event_of_a_batch_stands_alone_and_a_repeat_of_any_part_changes_nothing() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        let payloads: Vec<Value> = samples().into_iter().map(|(field, value, _)| change(WABA, field, value)).collect();
        post(&house, &together(&payloads)).await;
        let first = events_of(&house, &app).await;
        assert_eq!(first.len(), payloads.len());
        post(&house, &together(&payloads)).await;
        for payload in &payloads {
            post(&house, payload).await;
        }
        assert_eq!(events_of(&house, &app).await.len(), first.len());
    });
    house.finish();
}

#[test]
fn a_template_that_changes_at_meta_is_read_again() {
    let house = house();
    house.run(async {
        let before = house.meta.asked_for_templates();
        let value = |event: &str| json!({"event": event, "message_template_id": 7, "message_template_name": "order", "message_template_language": "en_US"});
        for event in ["PENDING", "APPROVED", "PAUSED"] {
            post(&house, &change(WABA, "message_template_status_update", value(event))).await;
        }
        house.until("the templates are read again", || async { house.meta.asked_for_templates() > before }).await;
        house.quiet().await;
        assert_eq!(house.meta.asked_for_templates(), before + 1, "once for all of them");
    });
    house.finish();
}
