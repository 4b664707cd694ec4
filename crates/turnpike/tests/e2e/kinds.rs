//! Every kind of event, from Meta to the customer: the simulator is told by its own routes and commands
//! to send it, signs it as Meta signs, and the gateway hands it on to an endpoint that believes nothing.
//!
//! A second subscriber of the simulator's, which is no gateway, says what Meta really posted; so what an
//! endpoint gets is compared with Meta's own bytes, and not with what a test believes them to be.

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use turnpike_domain::webhook::view::MessageType;
use turnpike_domain::webhook::{EventKind, StatusKind};

use crate::client::Ask;
use crate::house::{House, NUMBER_ID, connection, text};
use crate::intake_kill::{META_APP, plan};
use crate::receiver::{Received, Receiver};

const WABA: &str = "200000000000001";

/// A user whose number is shown beside the id, one who has no number here, and one who hides it behind a
/// name.
const BOTH: &str = "905321234567";
const ONLY_ID: &str = "US.13491208655302741918";
const HIDDEN: &str = "905321234568";

/// The caller's own data, which comes back in statuses.
const MINE: &str = "order 7";

/// One thing that Meta tells of.
struct Row {
    /// What the simulator is asked.
    act: Act,
    /// What the endpoint is told that it is.
    kind: EventKind,
}

/// How the simulator is told to send it.
#[derive(Debug)]
enum Act {
    /// `POST /_sim/{0}` with this body.
    Route(&'static str, Value),
    /// `turnpike sim event --field {0}`.
    Field(&'static str),
    /// A status of a message that is sent now.
    Status(StatusKind, Value),
}

/// A user's message of a type.
fn said(kind: &str, payload: Value) -> Row {
    let event = match payload["type"].as_str() {
        Some("button_reply") => EventKind::ButtonReply,
        Some("list_reply") => EventKind::ListReply,
        _ => EventKind::Messages,
    };
    let mut body = json!({"from": BOTH, "type": kind});
    body[kind] = payload;
    Row { act: Act::Route("reply", body), kind: event }
}

/// A field by its name.
fn field(name: &'static str, kind: EventKind) -> Row {
    Row { act: Act::Field(name), kind }
}

/// What nobody has a route for, as Meta would write it.
fn raw(field: &str, value: Value, kind: EventKind) -> Row {
    Row { act: Act::Route("event", json!({"field": field, "phone_number_id": NUMBER_ID, "value": value})), kind }
}

fn from(user: &str, what: Value) -> Row {
    let mut body = json!({"from": user});
    body.as_object_mut().expect("an object").extend(what.as_object().expect("an object").clone());
    Row { act: Act::Route("reply", body), kind: EventKind::Messages }
}

fn messages() -> Vec<Row> {
    let answered = "wamid.HBgMOTA1MzIxMjM0NTY3FQIAERgSNEFENjIwODRGMkZBMTYzMkRFAA==";
    let order = json!({"catalog_id": "1", "text": "please", "product_items": [
        {"product_retailer_id": "shoe", "quantity": 1, "item_price": 49.9, "currency": "TRY"},
    ]});
    let edited = json!({"original_message_id": answered, "message": {"type": "text", "text": {"body": "I meant six"}}});
    vec![
        said("text", json!({"body": "Größe / \"42\"\n👟"})),
        said("image", json!({"caption": "Look"})),
        said("video", json!({})),
        said("audio", json!({"voice": false})),
        said("audio", json!({"voice": true})),
        said("document", json!({"caption": "Signed", "filename": "contract.pdf"})),
        said("sticker", json!({"animated": true})),
        said("location", json!({"latitude": 41.0, "longitude": 29.5, "name": "Home"})),
        said("contacts", json!([{"name": {"formatted_name": "Ben"}, "phones": [{"phone": "+90 532", "wa_id": "90532"}]}])),
        said("reaction", json!({"message_id": answered, "emoji": "👍"})),
        said("order", order),
        said("interactive", json!({"type": "button_reply", "button_reply": {"id": "yes", "title": "Yes"}})),
        said("interactive", json!({"type": "list_reply", "list_reply": {"id": "r1", "title": "Red", "description": "As wine"}})),
        said(
            "interactive",
            json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{\"flow_token\":\"t\"}"}}),
        ),
        said(
            "interactive",
            json!({"type": "call_permission_reply", "call_permission_reply": {"response": "accept", "is_permanent": false}}),
        ),
        said("button", json!({"payload": "p", "text": "Stop"})),
        said("system", json!({"type": "user_changed_number", "wa_id": "905321234599"})),
        said("system", json!({"type": "user_changed_user_id", "user_id": "TR.7"})),
        said("system", json!({"type": "customer_identity_changed"})),
        said("unsupported", json!({"type": "poll"})),
        said("request_welcome", Value::Null),
        said("edit", edited),
        said("revoke", json!({"original_message_id": answered})),
        // By other names, and with what may stand beside a message.
        from(ONLY_ID, json!({"text": "Guess who"})),
        from(HIDDEN, json!({"text": "You know me as Ada"})),
        from(BOTH, json!({"text": "Yes, that one", "context": answered})),
        from(BOTH, json!({"text": "Read this", "forwarded": "frequently"})),
        from(BOTH, json!({"text": "Hello all", "group_id": "Y2FwaQ"})),
        from(BOTH, json!({"text": "Is it red?", "referred_product": {"catalog_id": "1", "product_retailer_id": "shoe"}})),
        from(
            BOTH,
            json!({"text": "I saw it", "referral": {"source_type": "ad", "source_id": "1", "source_url": "https://fb.me/x", "ctwa_clid": "c"}}),
        ),
        raw(
            "messages",
            json!({"messages": [{"from": BOTH, "id": "wamid.TOMORROW", "timestamp": "1795000000", "type": "hologram", "hologram": {"a": 1}}]}),
            EventKind::Messages,
        ),
        raw("messages", json!({"errors": [{"code": 130_429, "title": "Rate limit hit"}]}), EventKind::Other),
    ]
}

fn statuses() -> Vec<Row> {
    let regular = json!({"pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"}});
    let status = |status, more: &Value| Row {
        kind: if matches!(status, StatusKind::Read | StatusKind::Played) { EventKind::Read } else { EventKind::MessageStatus },
        act: Act::Status(status, more.clone()),
    };
    let payment = json!({"message_id": null, "status": "captured", "with": {"type": "payment", "payment": {"reference_id": "r-1"}}});
    vec![
        status(StatusKind::Sent, &regular),
        status(StatusKind::Delivered, &regular),
        status(StatusKind::Read, &json!({})),
        status(StatusKind::Played, &json!({})),
        status(StatusKind::Failed, &json!({"code": 131_026})),
        status(StatusKind::Delivered, &json!({"group_id": "Y2FwaQ"})),
        // Meta's word on a payment, of the newest message.
        Row { act: Act::Route("status", payment), kind: EventKind::Other },
    ]
}

fn changes() -> Vec<Row> {
    let call = |body: Value| Row { act: Act::Route("call", body), kind: EventKind::Calls };
    let thread = |message: Value| json!({"history": [{"metadata": {"phase": 2, "chunk_order": 9, "progress": 100}, "threads": [{"id": BOTH, "messages": [message]}]}]});
    let echo = |kind: &str, payload: Value| {
        let mut echo =
            json!({"from": "15550001000", "to": BOTH, "id": format!("wamid.ECHO{kind}"), "timestamp": "1795000001", "type": kind});
        echo[kind] = payload;
        raw("smb_message_echoes", json!({"message_echoes": [echo]}), EventKind::MessageEchoes)
    };
    let placeholder = json!({"from": BOTH, "id": "wamid.H1", "timestamp": "1790000000", "type": "media_placeholder"});
    let followed = json!({"messages": [{"from": BOTH, "id": "wamid.H1", "timestamp": "1790000000", "type": "media_placeholder"}]});
    vec![
        field("message_template_status_update", EventKind::MessageTemplateStatus),
        field("message_template_quality_update", EventKind::Other),
        field("message_template_components_update", EventKind::Other),
        field("template_category_update", EventKind::TemplateCategory),
        field("account_update", EventKind::Account),
        field("account_review_update", EventKind::Account),
        field("account_alerts", EventKind::Account),
        field("account_settings_update", EventKind::Account),
        field("business_capability_update", EventKind::Account),
        field("business_username_update", EventKind::Other),
        field("phone_number_name_update", EventKind::Account),
        field("phone_number_quality_update", EventKind::PhoneQuality),
        field("security", EventKind::Account),
        field("flows", EventKind::Flows),
        field("payment_configuration_update", EventKind::Other),
        field("user_preferences", EventKind::UserPreferences),
        field("user_id_update", EventKind::Other),
        field("calls", EventKind::Calls),
        field("smb_message_echoes", EventKind::MessageEchoes),
        field("smb_app_state_sync", EventKind::Other),
        field("history", EventKind::History),
        field("group_lifecycle_update", EventKind::Other),
        field("group_participants_update", EventKind::Other),
        field("group_settings_update", EventKind::Other),
        field("group_status_update", EventKind::Other),
        field("automatic_events", EventKind::Other),
        field("tracking_events", EventKind::Other),
        field("standby", EventKind::Messages),
        // The routes that do what they tell.
        Row { act: Act::Route("preference", json!({"from": BOTH, "value": "resume"})), kind: EventKind::UserPreferences },
        call(json!({"from": BOTH})),
        call(json!({"from": BOTH, "direction": "BUSINESS_INITIATED", "status": "RINGING"})),
        // Coexistence beyond the examples: what was edited and deleted in the app, media that follow, no consent.
        echo("edit", json!({"original_message_id": "wamid.ECHO", "message": {"type": "text", "text": {"body": "until seven"}}})),
        echo("revoke", json!({"original_message_id": "wamid.ECHO"})),
        raw("history", thread(placeholder), EventKind::History),
        raw("history", followed, EventKind::History),
        raw("history", json!({"history": [{"errors": [{"code": 2_593_109, "title": "Declined"}]}]}), EventKind::History),
        raw("a_field_of_next_year", json!({"anything": {"at": "all"}}), EventKind::Other),
    ]
}

/// A house, its endpoint, and who else is told by Meta.
struct Stage {
    house: House,
    endpoint: Receiver,
    witness: Receiver,
    secret: String,
    bearer: String,
    /// Ids of deliveries that were looked at.
    seen: BTreeSet<String>,
}

impl Stage {
    async fn set() -> Stage {
        let house = House::open(plan()).await;
        let (endpoint, witness) = (Receiver::start().await, Receiver::start().await);
        let made = house.order("/applications/shop/webhooks/default", json!({"url": endpoint.url, "events": "all"})).await;
        let told = |name: &str| made[name].as_str().expect("shown once").to_owned();
        // As the simulator shows the number: what is about a number that an account has not is nobody's.
        let mut connect = connection(NUMBER_ID, WABA);
        connect["phoneNumber"] = "15550100001".into();
        house.order("/applications/shop/connect", connect).await;
        let stage = Stage { secret: told("secret"), bearer: told("bearer"), house, endpoint, witness, seen: BTreeSet::new() };
        stage.sim("numbers", json!({"id": NUMBER_ID, "waba_id": WABA})).await;
        stage
            .sim("users", json!([{"phone": HIDDEN, "user_id": "TR.13490000000000000001", "username": "ada", "phone_visible": false}]))
            .await;
        // Nothing but what a row asks for.
        stage.sim("plan", json!({"statuses": []})).await;
        for url in [&format!("http://{}/v1/meta/webhook", stage.house.address), &stage.witness.url] {
            stage.sim("webhooks", json!({"url": url, "app_secret": META_APP[1].1, "verify_token": META_APP[2].1})).await;
        }
        stage
    }

    async fn sim(&self, path: &str, body: Value) -> Value {
        let answer = self.house.witness.call(Ask::post(&format!("/_sim/{path}")).json(&body)).await;
        assert!(matches!(answer.status, 200 | 201), "{path} {body}: {}", answer.summary());
        answer.json()
    }

    /// Sends a message with the caller's own data; its wamid and id.
    async fn sent(&self) -> (String, String) {
        let mut body = text(BOTH);
        body["biz_opaque_callback_data"] = MINE.into();
        let answer = self.house.send(&body).await;
        assert_eq!(answer.status, 200, "{}", answer.summary());
        (answer.wamid(), answer.message_id())
    }

    /// What Meta has posted so far.
    fn posted(&self) -> Vec<Received> {
        self.witness.all().into_iter().filter(|post| !post.body.is_empty()).collect()
    }

    /// Lets the simulator do it; gives Meta's POST, and the id of the message that it is about.
    async fn plays(&self, act: &Act) -> (Received, Option<String>) {
        let before = self.posted().len();
        let mut about = None;
        let told = match act {
            Act::Route(path, body) => self.sim(path, of_number(body)).await,
            Act::Field(name) => {
                let url = self.house.simulator_url();
                let asked = ["sim", "event", "--field", name, "--from", BOTH, "--simulator", &url, "--json"];
                let output = Command::new(env!("CARGO_BIN_EXE_turnpike")).args(asked).output().expect("the program runs");
                assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
                serde_json::from_slice(&output.stdout).expect("JSON")
            }
            Act::Status(status, more) => {
                let (wamid, id) = self.sent().await;
                let mut body = json!({"message_id": wamid, "status": status});
                body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
                about = Some(id);
                self.sim("status", body).await
            }
        };
        assert_eq!(told["told"], 2, "{act:?}: gateway and witness are told");
        let post = self.witness.wait_until("Meta's POST", |all| all.iter().filter(|post| !post.body.is_empty()).nth(before).cloned()).await;
        (post, about)
    }

    /// The delivery that hands on Meta's POST, byte by byte but for what a delivery changes.
    async fn delivered(&mut self, post: &Received, act: &Act) -> Received {
        let wanted = self.as_delivered(&post.body);
        let seen = self.seen.clone();
        let same = |received: &Received| !seen.contains(received.id()) && is_same(&received.body, &wanted);
        let found = self.endpoint.wait_for(&format!("{act:?}, as {wanted}"), same).await;
        self.seen.insert(found.id().to_owned());
        found
    }

    /// Meta's bytes with our address of a file, and with the caller's own data in place of our token.
    fn as_delivered(&self, body: &str) -> String {
        let whole: Value = serde_json::from_str(body).expect("Meta posts JSON");
        let value = &whole["entry"][0]["changes"][0]["value"];
        let mut wanted = body.to_owned();
        let message = &value["messages"][0];
        let media = message["type"].as_str().map(|kind| &message[kind]).filter(|media| media["sha256"].is_string());
        if let Some(media) = media {
            let theirs = media["url"].as_str().expect("Meta's address").replace('/', r"\/");
            let ours = format!("http://{}/v1/wa/media/{}", self.house.address, media["id"].as_str().expect("an id"));
            assert!(wanted.contains(&theirs), "{theirs} in {wanted}");
            wanted = wanted.replace(&theirs, &ours);
        }
        match value["statuses"][0]["biz_opaque_callback_data"].as_str() {
            Some(token) => wanted.replace(&token.replace('/', r"\/"), MINE),
            None => wanted,
        }
    }

    /// That it is signed for this endpoint, and names kind and application.
    fn is_authentic(&self, received: &Received, kind: EventKind) {
        let secret = STANDARD.decode(self.secret.strip_prefix("whsec_").expect("a signing secret")).expect("base64");
        let signed = format!("{}.{}.{}", received.id(), received.header("webhook-timestamp"), received.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        assert_eq!(received.header("webhook-signature"), format!("v1,{}", STANDARD.encode(tag.as_ref())));
        assert_eq!(received.header("x-hub-signature-256"), hub(&self.secret, &received.body));
        assert_eq!(received.header("authorization"), format!("Bearer {}", self.bearer));
        assert_eq!((received.kind(), received.header("x-gateway-application")), (kind.as_str(), "shop"), "{}", received.body);
        assert!(received.id().starts_with("msg_") && !received.headers.contains_key("x-gateway-mode"), "{:?}", received.headers);
    }
}

/// A reply or a call goes to our number.
fn of_number(body: &Value) -> Value {
    let mut body = body.clone();
    if body.get("from").is_some() {
        body["phone_number_id"] = NUMBER_ID.into();
    }
    body
}

/// Whether two texts are one JSON value, spelled with the same bytes: members may have changed places.
fn is_same(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    parsed(one) == parsed(other) && sorted(one) == sorted(other)
}

/// `X-Hub-Signature-256`.
fn hub(secret: &str, body: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes());
    format!("sha256={}", tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The types of all messages in a payload, wherever it holds them.
fn types_in(value: &Value) -> Vec<MessageType> {
    let of = |message: &Value| MessageType::parse(message["type"].as_str().unwrap_or_default()).unwrap_or(MessageType::Other);
    let listed = |list: &Value| list.as_array().into_iter().flatten().map(of).collect::<Vec<_>>();
    let threads = value["history"][0]["threads"].as_array().cloned().unwrap_or_default();
    let mut types = [listed(&value["messages"]), listed(&value["message_echoes"])].concat();
    types.extend(threads.iter().flat_map(|thread| listed(&thread["messages"])));
    types
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_that_meta_knows_reaches_an_endpoint_as_meta_wrote_it() {
    let mut stage = Stage::set().await;
    let (mut kinds, mut types, mut words, mut fields) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let rows = messages().into_iter().chain(statuses()).chain(changes()).collect::<Vec<_>>();
    for Row { act, kind } in &rows {
        let (post, about) = stage.plays(act).await;
        assert_eq!(post.header("x-hub-signature-256"), hub(META_APP[1].1, &post.body), "{act:?}: as Meta signs");
        let received = stage.delivered(&post, act).await;
        stage.is_authentic(&received, *kind);
        assert_eq!(received.json()["entry"][0]["id"], WABA);
        let value = received.value();
        let status = &value["statuses"][0];
        if let Some(id) = about {
            assert_eq!(status["biz_opaque_callback_data"], MINE);
            // What is said of a group's member is of no message that this gateway follows.
            let is_followed = status["recipient_type"] != "group";
            assert_eq!(received.headers.get("x-message-id"), is_followed.then_some(&id), "{act:?}");
        }
        kinds.insert(*kind);
        types.extend(types_in(&value));
        words.extend(status["status"].as_str().and_then(StatusKind::parse));
        if let Act::Field(name) = act {
            fields.insert((*name).to_owned());
        }
    }

    // What only the gateway itself tells of: a message that nobody knew the outcome of is resolved.
    let unknown = stage.house.send(&text("1555010318")).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (504, "GW_003"), "{}", unknown.summary());
    stage.sim("status", json!({"to": "1555010318", "status": "delivered"})).await;
    let resolved = stage.endpoint.wait_for("that it is resolved", |received| received.kind() == "gateway").await;
    stage.is_authentic(&resolved, EventKind::Gateway);
    let whole = resolved.json();
    assert_eq!((&whole["object"], &whole["entry"][0]["id"]), (&json!("turnpike"), &json!("shop")));
    assert_eq!(whole["entry"][0]["changes"][0]["field"], "message_resolved");
    assert_eq!(resolved.value()["message_id"], unknown.param("message_id"));
    kinds.insert(EventKind::Gateway);

    // A partner's news of its clients go to nobody; what is told behind them comes.
    stage.plays(&Act::Field("partner_solutions")).await;
    fields.insert("partner_solutions".to_owned());
    let act = Act::Route("reply", json!({"from": BOTH, "text": "the last word"}));
    let (post, _) = stage.plays(&act).await;
    stage.delivered(&post, &act).await;
    assert!(stage.endpoint.all().iter().all(|received| !received.body.contains("partner_solutions")));
    let quarantined = stage.house.ask("/quarantine").await;
    assert_eq!(quarantined.as_array().map(Vec::len), Some(1), "only the partner's: {quarantined:#}");

    // Nothing that the domain or the simulator knows is without a row.
    assert_eq!(kinds, EventKind::ALL.iter().copied().collect(), "kinds of events");
    assert_eq!(types, MessageType::ALL.iter().copied().collect(), "types of messages");
    assert_eq!(words, StatusKind::ALL.iter().copied().collect(), "statuses");
    let listed = stage.house.witness.call(Ask::get("/_sim/fields")).await.json()["fields"].as_array().expect("a list").clone();
    assert_eq!(fields, listed.iter().map(|field| field["field"].as_str().expect("a name").to_owned()).collect(), "fields");
}
