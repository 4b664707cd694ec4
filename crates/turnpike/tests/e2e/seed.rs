//! The founding examples, in our own words, against `turnpike demo`: each answers 200 with the
//! promised members and no others, and the simulator has received what Meta would have.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Ask, Client};
use crate::process::{Process, text_of};

/// A demo and what it announced.
struct Demo {
    _process: Process,
    api: Client,
    simulator: Client,
    announced: Value,
}

impl Demo {
    fn start(folder: &TempDir) -> Demo {
        let data = text_of(&folder.path().join("demo"));
        let arguments = ["--json", "--listen", "127.0.0.1:0", "--data", &data].map(str::to_owned);
        let (process, announced) = Process::announcing("demo", &arguments, &[]);
        let url = |name: &str| announced[name].as_str().unwrap_or_else(|| panic!("{name} in {announced}")).to_owned();
        let (api, simulator) = (Client::of_url(&url("address")), Client::of_url(&url("simulator")));
        Demo { _process: process, api, simulator, announced }
    }

    fn said(&self, name: &str) -> &str {
        self.announced[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.announced))
    }

    async fn last_post(&self) -> Value {
        let requests = self.simulator.call(Ask::get("/_sim/requests?limit=1")).await.json();
        requests[0].clone()
    }
}

/// An example: what it shows, the query, and the body without its common members.
struct Example {
    shows: &'static str,
    query: &'static str,
    kind: &'static str,
    content: Value,
}

fn example(shows: &'static str, kind: &'static str, content: Value) -> Example {
    Example { shows, query: "", kind, content }
}

/// Every kind of example that the founding document gives, with texts of our own.
fn examples() -> Vec<Example> {
    vec![
        example("a text", "text", json!({"body": "Good morning! Your table for two is booked.", "preview_url": false})),
        example(
            "an image with a caption",
            "image",
            json!({"link": "https://files.example.org/table-plan.jpg", "caption": "Where you sit"}),
        ),
        example("an audio file", "audio", json!({"link": "https://files.example.org/greeting.mp3"})),
        example(
            "a document with caption and file name",
            "document",
            json!({"link": "https://files.example.org/menu.pdf", "caption": "The menu of this week", "filename": "menu_week_31.pdf"}),
        ),
        example("a template without variables", "template", json!({"name": "order_confirmation", "language": {"code": "en_US"}})),
        example(
            "a template with variables in its body",
            "template",
            json!({
                "name": "shipping_update",
                "language": {"code": "en_US"},
                "components": [{"type": "body", "parameters": [
                    {"type": "text", "text": "TR-4711"},
                    {"type": "text", "text": "at the depot"},
                    {"type": "text", "text": "Friday"},
                ]}],
            }),
        ),
        example(
            "a template with an image, variables and a button",
            "template",
            json!({
                "name": "promo_announcement",
                "language": {"code": "en_US"},
                "components": [
                    {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://files.example.org/autumn.jpg"}}]},
                    {"type": "body", "parameters": [{"type": "text", "text": "Deniz"}, {"type": "text", "text": "15%"}]},
                    {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "autumn"}]},
                ],
            }),
        ),
        example(
            "a one-time code",
            "template",
            json!({
                "name": "otp_verification",
                "language": {"code": "en_US"},
                "components": [
                    {"type": "body", "parameters": [{"type": "text", "text": "302718"}]},
                    {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "302718"}]},
                ],
            }),
        ),
        example(
            "buttons",
            "interactive",
            json!({
                "type": "button",
                "body": {"text": "When shall we come?"},
                "action": {"buttons": [
                    {"type": "reply", "reply": {"id": "slot_morning", "title": "Before noon"}},
                    {"type": "reply", "reply": {"id": "slot_afternoon", "title": "After noon"}},
                    {"type": "reply", "reply": {"id": "slot_never", "title": "Not this week"}},
                ]},
            }),
        ),
        example(
            "a list",
            "interactive",
            json!({
                "type": "list",
                "body": {"text": "What is it about?"},
                "action": {
                    "button": "Choose a subject",
                    "sections": [
                        {"title": "Bookings", "rows": [
                            {"id": "move_booking", "title": "Move a booking", "description": "Another day or hour"},
                            {"id": "end_booking", "title": "End a booking", "description": "We are sorry"},
                        ]},
                        {"title": "People", "rows": [{"id": "call_me", "title": "Call me back", "description": "Within the hour"}]},
                    ],
                },
            }),
        ),
        Example {
            query: "?mmlite=true",
            ..example(
                "a campaign over the marketing endpoint",
                "template",
                json!({
                    "name": "weekly_newsletter",
                    "language": {"code": "en_US"},
                    "components": [{"type": "body", "parameters": [{"type": "text", "text": "Deniz"}]}],
                }),
            )
        },
    ]
}

/// The names of an object's members, in order of the alphabet.
fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap_or_else(|| panic!("an object, not {value}")).keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_founding_example_is_answered_as_promised_and_reaches_meta_as_it_was_written() {
    let folder = TempDir::new().expect("a folder");
    let demo = Demo::start(&folder);
    for (n, Example { shows, query, kind, content }) in examples().into_iter().enumerate() {
        let to = format!("90530{n:07}");
        let body = json!({"messaging_product": "whatsapp", "to": to, "type": kind, kind: content});
        let answer = demo.api.call(Ask::post(&format!("/v1/wa/message{query}")).bearer(demo.said("liveKey")).json(&body)).await;
        assert_eq!(answer.status, 200, "{shows}: {}", answer.summary());
        assert_eq!(answer.header("content-type"), Some("application/json"), "{shows}");

        let said = answer.json();
        assert_eq!(members(&said), ["billing", "data", "isSuccess"], "{shows}");
        assert_eq!(said["isSuccess"], true, "{shows}");
        assert_eq!(members(&said["data"]), ["contacts", "messages", "messaging_product"], "{shows}");
        assert_eq!(said["data"]["messaging_product"], "whatsapp", "{shows}");
        assert_eq!(said["data"]["contacts"], json!([{"input": to, "wa_id": to}]), "{shows}");
        let messages = said["data"]["messages"].as_array().expect("a list");
        assert_eq!(messages.len(), 1, "{shows}");
        // Templates come with Meta's message_status, which the contract lets through.
        assert!(members(&messages[0]).iter().all(|name| ["id", "message_status"].contains(name)), "{shows}: {said}");
        assert!(answer.wamid().starts_with("wamid."), "{shows}: {said}");
        assert_eq!(members(&said["billing"]), ["baseFee", "category", "currency", "market", "metaFeeHeld", "rateCard"], "{shows}");

        let post = demo.last_post().await;
        assert_eq!(post["method"], "POST", "{shows}");
        let end = if query.is_empty() { "/messages" } else { "/marketing_messages" };
        assert!(post["path"].as_str().is_some_and(|path| path.ends_with(end)), "{shows}: {}", post["path"]);
        let mut received = post["body"].clone();
        let token = received.as_object_mut().and_then(|body| body.remove("biz_opaque_callback_data"));
        let token = token.as_ref().and_then(Value::as_str).unwrap_or_else(|| panic!("{shows}: Meta gets our token"));
        assert!(token.starts_with("tp1.") && token.len() <= 64, "{shows}: {token}");
        let mut expected = body;
        expected["to"] = json!(format!("+{to}"));
        assert_eq!(received, expected, "{shows}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fake_costs_nothing_and_never_leaves() {
    let folder = TempDir::new().expect("a folder");
    let demo = Demo::start(&folder);
    let body = json!({"messaging_product": "whatsapp", "to": "905300000001", "type": "text", "text": {"body": "Only a try"}});
    let before = demo.simulator.call(Ask::get("/_sim/requests?count=true")).await.json();
    let answer = demo.api.call(Ask::post("/v1/wa/message?is_fake=true").bearer(demo.said("liveKey")).json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.summary());
    assert!(answer.wamid().starts_with("wamid.FAKE_"), "{}", answer.summary());
    assert_eq!(answer.header("x-gateway-mode"), Some("fake"));
    assert_eq!(demo.simulator.call(Ask::get("/_sim/requests?count=true")).await.json(), before);
    let me = demo.api.call(Ask::get("/v1/wa/me").bearer(demo.said("liveKey"))).await.json();
    assert_eq!(me["data"]["balance"]["available"], "10.00", "{me}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_of_the_demo_keeps_keys_and_money() {
    let folder = TempDir::new().expect("a folder");
    let first = Demo::start(&folder);
    let body = json!({"messaging_product": "whatsapp", "to": "905300000002", "type": "text", "text": {"body": "Still here?"}});
    let sent = first.api.call(Ask::post("/v1/wa/message").bearer(first.said("liveKey")).json(&body)).await;
    assert_eq!(sent.status, 200, "{}", sent.summary());
    let announced = first.announced.clone();
    drop(first);

    let second = Demo::start(&folder);
    for name in ["liveKey", "sandboxKey", "appId", "organizationId"] {
        assert_eq!(second.announced[name], announced[name], "{name}");
    }
    let path = format!("/v1/wa/message/{}", sent.message_id());
    let found = second.api.call(Ask::get(&path).bearer(second.said("liveKey"))).await.json();
    assert_eq!(found["data"]["state"], "accepted", "{found}");
    assert_eq!(found["data"]["wamid"], sent.wamid().as_str());
}
