//! Whatever a client's bug makes of a message, the answer is Meta's yes or no.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use turnpike_simulator::{Config, demo_templates};

use crate::client::{read_answer, request_bytes, start};

fn messages() -> Vec<Value> {
    let wamid = "wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0QUQ2MjA4NEYyRkExNjMyREUA";
    let payloads = [
        json!({"type": "text", "text": {"body": "Hi", "preview_url": true}, "context": {"message_id": wamid}}),
        json!({"type": "document", "document": {"link": "https://example.com/a", "caption": "x", "filename": "a.pdf"}}),
        json!({"type": "location", "location": {"latitude": 1, "longitude": 2, "name": "a", "address": "b"}}),
        json!({"type": "reaction", "reaction": {"message_id": wamid, "emoji": "👍"}}),
        json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "A B", "first_name": "A"},
            "phones": [{"phone": "+1"}], "org": {"company": "x"}, "birthday": "2000-01-01"}]}),
        json!({"type": "interactive", "interactive": {"type": "list", "header": {"type": "text", "text": "h"},
            "body": {"text": "b"}, "footer": {"text": "f"}, "action": {"button": "o", "sections": [
                {"title": "s", "rows": [{"id": "1", "title": "r", "description": "d"}]}]}}}),
        json!({"type": "interactive", "interactive": {"type": "flow", "body": {"text": "b"}, "action": {"name": "flow",
            "parameters": {"flow_message_version": "3", "flow_id": "1", "flow_cta": "c",
                "flow_action_payload": {"screen": "s", "data": {"a": 1}}}}}}),
        json!({"type": "interactive", "interactive": {"type": "carousel", "body": {"text": "b"}, "action": {"cards": [
            {"card_index": 0, "type": "product", "action": {"catalog_id": "1", "product_retailer_id": "2"}},
            {"card_index": 1, "type": "product", "action": {"catalog_id": "1", "product_retailer_id": "3"}}]}}}),
        json!({"type": "template", "template": {"name": "promo_announcement", "language": {"code": "en_US"}, "components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/a"}}]},
            {"type": "body", "parameters": [{"type": "text", "text": "a"},
                {"type": "currency", "currency": {"fallback_value": "$1", "code": "USD", "amount_1000": 1000}}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "x"}]}]}}),
        json!({"status": "read", "message_id": wamid, "typing_indicator": {"type": "text"}}),
        json!({"type": "text", "text": {"body": "Hi"}, "category": "utility", "ttl_seconds": 60,
            "biz_opaque_callback_data": "x", "recipient_identity_key_hash": "y", "recipient_type": "individual"}),
    ];
    payloads
        .into_iter()
        .map(|mut message| {
            message["messaging_product"] = "whatsapp".into();
            message["to"] = "905321234567".into();
            message
        })
        .collect()
}

/// Every place in a value, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, inner)| places(inner, &format!("{at}/{name}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, inner)| places(inner, &format!("{at}/{n}"), found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_member_may_be_anything_and_the_answer_stays_metas() {
    let simulator = start(Config { seed_templates: demo_templates(), ..Config::default() }).await;
    let mut connection = TcpStream::connect(simulator.address()).await.expect("the simulator listens");
    let strange = [
        Value::Null,
        json!(""),
        json!(" "),
        json!(0),
        json!(-1.5e300),
        json!(true),
        json!([]),
        json!([[]]),
        json!([null]),
        json!({}),
        json!({"type": {"type": null}}),
        json!("\u{0}\u{202e}\n"),
        json!("x".repeat(40_000)),
        json!("{{1}}{{"),
    ];
    let mut asked = 0;
    let mut refused = 0;
    for message in messages() {
        let mut all = Vec::new();
        places(&message, "", &mut all);
        for place in &all {
            for value in &strange {
                let mut mangled = message.clone();
                *mangled.pointer_mut(place).expect("a place of this message") = value.clone();
                let sent = request_bytes("POST", "/v23.0/1/messages", "authorization: Bearer x\r\n", &mangled.to_string());
                connection.write_all(&sent).await.expect("the connection stays");
                let answer = read_answer(&mut connection).await;
                asked += 1;
                if answer.status == 200 {
                    continue;
                }
                refused += 1;
                assert!((400..500).contains(&answer.status), "{place} = {value}: {}", answer.status);
                let error = &answer.json()["error"];
                assert!(error["code"].is_u64() && error["message"].is_string(), "{place} = {value}: {error}");
            }
        }
    }
    assert!(asked > 1_500 && refused > asked / 2, "{refused} of {asked} refused");
    assert_eq!(simulator.request_count(), asked);
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused() {
    let simulator = start(Config::default()).await;
    let mut connection = TcpStream::connect(simulator.address()).await.expect("the simulator listens");
    for body in ["", "{", "[]", "7", "\"x\"", "null", "to=905321234567&type=text", "\u{feff}{}"] {
        let sent = request_bytes("POST", "/v23.0/1/messages", "authorization: Bearer x\r\n", body);
        connection.write_all(&sent).await.expect("the connection stays");
        let answer = read_answer(&mut connection).await;
        assert_eq!((answer.status, answer.code()), (400, 100), "{body}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let sent = request_bytes("POST", "/v23.0/1/messages", "authorization: Bearer x\r\n", &deep);
    connection.write_all(&sent).await.expect("the connection stays");
    assert_eq!(read_answer(&mut connection).await.status, 400, "depth is no danger");
    assert_eq!(simulator.request_count(), 9);
    assert_eq!(simulator.requests(9).len(), 9, "and the record of it can be read back");
}
