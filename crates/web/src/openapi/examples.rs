//! Requests to copy, one for each thing that people send most.

use serde_json::{Map, Value, json};

/// What `POST /v1/wa/message` takes.
pub(super) fn sends() -> Map<String, Value> {
    let mut all = messages();
    let read = json!({"messaging_product": "whatsapp", "status": "read", "typing_indicator": {"type": "text"},
        "message_id": "wamid.HBgMOTA1MzIxMjM0NTY3FQIAEhgUM0E1RjY3RDhFMTIzNDU2Nzg5QUIA"});
    all.insert("read mark".to_owned(), json!({"summary": "Mark a message as read and show that you are typing", "value": read}));
    all
}

/// Messages, which can be checked as well.
pub(super) fn messages() -> Map<String, Value> {
    let buttons = json!({"type": "button", "body": {"text": "Is Thursday between 9 and 12 fine?"}, "action": {"buttons": [
        {"type": "reply", "reply": {"id": "thursday", "title": "Yes"}},
        {"type": "reply", "reply": {"id": "another_day", "title": "Another day"}},
    ]}});
    let template = json!({"name": "shipping_update", "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": [
        {"type": "text", "text": "TR-4711"}, {"type": "text", "text": "on its way"}, {"type": "text", "text": "Thursday"},
    ]}]});
    let list = json!({"type": "list", "body": {"text": "What is it about?"}, "action": {"button": "Choose", "sections": [
        {"rows": [{"id": "order", "title": "An order", "description": "Where it is, when it comes"}, {"id": "bill", "title": "A bill"}]},
    ]}});
    let picture = json!({"link": "https://shop.example.com/parcel.jpg", "caption": "Packed and ready"});
    [
        ("text", "A text", json!({"body": "Your parcel leaves us today.", "preview_url": false})),
        ("template", "A template with three variables", template),
        ("image", "A picture by link", picture),
        ("interactive", "Reply buttons", buttons),
        ("interactive", "A list to choose from", list),
    ]
    .into_iter()
    .map(|(kind, summary, content)| {
        let value = json!({"messaging_product": "whatsapp", "to": "905321234567", "type": kind, kind: content});
        (summary.to_lowercase(), json!({"summary": summary, "value": value}))
    })
    .collect()
}
