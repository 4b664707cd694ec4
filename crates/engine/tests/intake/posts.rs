//! What Meta posts, written and signed as Meta does it.

use bytes::Bytes;
use serde_json::{Value, json};
use turnpike_domain::send::Mode;
use turnpike_domain::webhook::{EventKind, hub_signature};
use turnpike_engine::directory::App;
use turnpike_engine::intake::TakenIn;
use turnpike_engine::secret::Secret;
use turnpike_engine::settings::MetaApp;
use turnpike_store::events::EventRecord;

use crate::house::{House, NOON, Plan};

/// The operator's app, its secret and the one before.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const OLD_SECRET: &str = "fedcba9876543210fedcba9876543210";
/// A customer's own app.
pub(crate) const CUSTOMERS_APP: &str = "777";
pub(crate) const CUSTOMERS_SECRET: &str = "77777777777777777777777777777777";
/// The built-in simulator's, as the house has it.
pub(crate) const SANDBOX_SECRET: &str = "sbx_test";

/// The house's first number and account.
pub(crate) const NUMBER: &str = "1001";
pub(crate) const WABA: &str = "2001";

/// Meta's timestamp for noon.
pub(crate) const NOON_S: i64 = NOON.0 / 1_000;

fn app(id: &str, secrets: &[&str], customer: bool) -> MetaApp {
    MetaApp {
        id: id.to_owned(),
        secrets: secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect(),
        verify_token: Secret::new(format!("the words of {id}")),
        customer,
    }
}

/// A house that Meta's webhooks reach: one app of the operator's, one of a customer's.
pub(crate) fn house() -> House {
    planned(|_| ())
}

pub(crate) fn planned(change: impl FnOnce(&mut Plan)) -> House {
    House::planned(|plan| {
        plan.settings.meta_apps = vec![app("42", &[SECRET, OLD_SECRET], false), app(CUSTOMERS_APP, &[CUSTOMERS_SECRET], true)];
        plan.settings.public_url = "https://gateway.example.org".to_owned();
        change(plan);
    })
}

/// The bytes as Meta writes them: ASCII alone, slashes escaped.
pub(crate) fn as_meta_writes(value: &Value) -> Bytes {
    let mut bytes = String::new();
    for c in value.to_string().chars() {
        match c {
            '/' => bytes.push_str("\\/"),
            c if c.is_ascii() => bytes.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| bytes.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    Bytes::from(bytes)
}

/// Posts bytes with the signature of `secret`.
pub(crate) async fn post_bytes(house: &House, secret: &str, body: Bytes) -> TakenIn {
    let signature = hub_signature(secret.as_bytes(), &body);
    house.engine().take_in([signature.as_bytes()], body).await
}

/// Posts a payload with the signature of `secret`.
pub(crate) async fn post_by(house: &House, secret: &str, payload: &Value) -> TakenIn {
    post_bytes(house, secret, as_meta_writes(payload)).await
}

/// Posts a payload of the operator's app; it is taken.
pub(crate) async fn post(house: &House, payload: &Value) {
    assert_eq!(post_by(house, SECRET, payload).await, TakenIn::Durable);
}

/// A payload of one change of one account.
pub(crate) fn change(waba: &str, field: &str, value: Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": waba, "changes": [{"field": field, "value": value}]}]})
}

/// A payload of several entries.
pub(crate) fn together(payloads: &[Value]) -> Value {
    let entries: Vec<&Value> = payloads.iter().flat_map(|payload| payload["entry"].as_array().expect("a list")).collect();
    json!({"object": "whatsapp_business_account", "entry": entries})
}

fn metadata(number: &str) -> Value {
    json!({"display_phone_number": "15550001000", "phone_number_id": number})
}

/// A value of the field `messages` of a number, with one more member.
pub(crate) fn value_of(number: &str, name: &str, member: Value) -> Value {
    let mut value = json!({"messaging_product": "whatsapp", "metadata": metadata(number)});
    value[name] = member;
    value
}

/// A message from a user whose number shows.
pub(crate) fn text_from(number: &str, waba: &str, from: &str, wamid: &str, at_s: i64) -> Value {
    message_of(
        number,
        waba,
        json!([{"profile": {"name": "Ayşe"}, "wa_id": from}]),
        json!({"from": from, "id": wamid,
        "timestamp": at_s.to_string(), "type": "text", "text": {"body": "Merhaba / hello"}}),
    )
}

/// A message with its contacts.
pub(crate) fn message_of(number: &str, waba: &str, contacts: Value, message: Value) -> Value {
    let mut value = value_of(number, "messages", json!([message]));
    value["contacts"] = contacts;
    change(waba, "messages", value)
}

/// A status, still without price or failure.
pub(crate) fn status(wamid: &str, status: &str, token: Option<&str>) -> Value {
    let mut json = json!({"id": wamid, "status": status, "timestamp": NOON_S.to_string(), "recipient_id": crate::house::TO});
    if let Some(token) = token {
        json["biz_opaque_callback_data"] = json!(token);
    }
    json
}

/// The status with a price.
pub(crate) fn priced(mut status: Value, kind: &str, category: &str) -> Value {
    status["pricing"] = json!({"billable": kind == "regular", "pricing_model": "PMP", "type": kind, "category": category});
    status
}

/// The status with a failure.
pub(crate) fn failed(mut status: Value, code: i64, title: &str) -> Value {
    status["errors"] = json!([{"code": code, "title": title, "message": title, "error_data": {"details": "said by a test"}}]);
    status
}

/// A payload of statuses of the first number.
pub(crate) fn statuses(list: Vec<Value>) -> Value {
    statuses_of(NUMBER, WABA, list)
}

/// A payload of statuses of a number.
pub(crate) fn statuses_of(number: &str, waba: &str, list: Vec<Value>) -> Value {
    change(waba, "messages", value_of(number, "statuses", Value::Array(list)))
}

/// All events of an application, oldest first, with their bodies opened.
pub(crate) async fn events_of(house: &House, app: &App) -> Vec<(EventRecord, Value)> {
    let mut found = Vec::new();
    let mut after = Some(turnpike_store::events::EventKey(0));
    loop {
        let (events, next) =
            house.engine().store().events_after(app.row.organization, app.row.key, after, 500).await.expect("the store answers");
        if events.is_empty() {
            return found;
        }
        after = Some(next);
        for event in events {
            let sealed = event.body.as_deref().expect("it is kept");
            let body = house.engine().open_event_body(app.row.organization, app.row.key, sealed).expect("sealed for its owner");
            found.push((event, serde_json::from_slice(&body).expect("JSON")));
        }
    }
}

/// What happened to an application, in a word each.
pub(crate) async fn kinds_of(house: &House, app: &App) -> Vec<(EventKind, Mode)> {
    events_of(house, app).await.into_iter().map(|(event, _)| (event.kind, event.mode)).collect()
}

/// How many parts of webhooks are in quarantine.
pub(crate) async fn quarantined(house: &House) -> usize {
    house.engine().quarantined(None, 500).await.expect("the store answers").len()
}
