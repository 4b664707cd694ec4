//! What a gateway says of itself, in logs at their most talkative, in metrics and in errors, names
//! nobody and gives nothing away (contract §10): no number, no word of a message, no key, no token, no
//! secret, nor any of them in the forms that Meta's ids and HTTP give them. Nor do its files on disk,
//! of which a copy may go astray, nor the line by which it was started, which every user of the machine
//! can read. Towards Meta it speaks HTTP/2 here, whose library has most to tell.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::house::{House, NUMBER_ID, Plan, SEND, Wire, post};
use crate::intake_kill::{META_APP, plan, signed};
use crate::receiver::Receiver;

/// Meta's token of the application (`house::connection`).
const TOKEN: &str = "EAATESTS0000000000000000";

/// Whom is written to, who writes, and who is refused: numbers that occur nowhere else.
const TO: &str = "905329998877";
const FROM: &str = "905328887766";
const WRONG: &str = "905327776655";

/// Words that occur nowhere else.
const SAID: &str = "heliotrope";
const REPLIED: &str = "cinnabar";
const NAME: &str = "Philomena";
const MINE: &str = "vermilion";
const FILE: &str = "celadon";

/// An Idempotency-Key of a caller's, and a key that nobody has.
const REPEAT: &str = "order-of-periwinkle";
const NOBODYS_KEY: &str = "pk_0123456789abcdefghijABCDEFGHIJKL";

/// What must not be said, and what it is.
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn keep(&mut self, what: &str, text: &str) {
        assert!(text.len() >= 6, "{what} is too short to be looked for: {text:?}");
        self.0.push((what.to_owned(), text.to_owned()));
    }

    #[track_caller]
    fn are_not_in(&self, place: &str, said: &str) {
        self.are_not_in_but(place, said, &[]);
    }

    #[track_caller]
    fn are_not_in_but(&self, place: &str, said: &str, but: &[&str]) {
        for (what, text) in self.0.iter().filter(|(what, _)| !but.contains(&what.as_str())) {
            if let Some(at) = said.find(text.as_str()) {
                let line = said[..at].rfind('\n').map_or(0, |end| end + 1);
                panic!("{place} gives away {what}: {}", said[line..].lines().next().unwrap_or_default());
            }
        }
    }
}

fn text(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": SAID}, "biz_opaque_callback_data": MINE})
}

/// The parts of a wamid's inside by which its user's number can be read: Meta's ids are base64 of it.
fn number_in_base64(number: &str) -> Vec<String> {
    // Three offsets, without the characters at the edges that depend on what stands beside.
    (0..3).map(|pad| STANDARD.encode(format!("{}{number}", "x".repeat(pad)))).map(|text| text[4..text.len() - 4].to_owned()).collect()
}

/// What `ps` shows of a process.
fn command_line(id: u32) -> String {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).expect("it runs");
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// The files of a data folder, as far as they are text: what is sealed is noise. What the built-in
/// simulator was sent is kept readable, and said to be (`sandbox.keep_requests`).
fn files_of(folder: &std::path::Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a data folder").map(|entry| entry.expect("an entry")) {
        if entry.file_type().expect("a type").is_file() {
            let held = std::fs::read(entry.path()).expect("it can be read");
            files.push((entry.file_name().to_string_lossy().into_owned(), String::from_utf8_lossy(&held).into_owned()));
        }
    }
    let has = |name: &str| files.iter().any(|(found, held)| found == name && !held.is_empty());
    assert!(has("turnpike.db") && has("turnpike.db-wal"), "what it keeps was looked at");
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_metrics_and_errors_name_nobody_and_give_nothing_away() {
    let receiver = Receiver::start().await;
    let plan = Plan { settings: [plan().settings, vec!["log.level=trace".to_owned()]].concat(), wire: Wire::Http2, ..plan() };
    let mut house = House::open(plan).await;
    let endpoint = house.order("/applications/shop/webhooks/default", json!({"url": receiver.url, "events": "all"})).await;

    let mut secrets = Secrets(Vec::new());
    for (what, text) in [
        ("the recipient", TO),
        ("who wrote", FROM),
        ("a refused recipient", WRONG),
        ("what was said", SAID),
        ("what was replied", REPLIED),
        ("a user's name", NAME),
        ("the caller's own data", MINE),
        ("a file's name", FILE),
        ("an Idempotency-Key", REPEAT),
        ("a key that nobody has", NOBODYS_KEY),
        ("Meta's token", TOKEN),
        ("the app's secret", META_APP[1].1),
        ("the verify token", META_APP[2].1),
        ("the live key", &house.live),
        ("the sandbox key", &house.sandbox),
        ("an endpoint's signing secret", endpoint["secret"].as_str().expect("shown once")),
        ("an endpoint's bearer", endpoint["bearer"].as_str().expect("shown once")),
        ("an appsecret_proof", "appsecret_proof="),
    ] {
        secrets.keep(what, text);
    }
    for number in [TO, FROM] {
        for part in number_in_base64(number) {
            secrets.keep("a number within an id of Meta's", &part);
        }
    }
    secrets.keep("what was said, in base64", &URL_SAFE_NO_PAD.encode(SAID)[..12]);

    let mut answers: Vec<(&str, Answer)> = Vec::new();
    // Accepted, repeated, looked up.
    let sent = house.send_keyed(&text(TO), REPEAT).await;
    assert_eq!(sent.status, 200, "{}", sent.summary());
    house.send_keyed(&text(TO), REPEAT).await;
    answers.push(("a key reused", house.send_keyed(&text(WRONG), REPEAT).await));
    assert_eq!(house.look_up(&sent.message_id()).await.status, 200);
    assert_eq!(house.look_up_key(REPEAT).await.status, 200);
    // Refused by us: key, JSON, fields, query, path.
    answers.push(("nobody's key", house.api.call(post(NOBODYS_KEY, &text(TO))).await));
    let torn = format!("{{\"messaging_product\":\"whatsapp\",\"to\":\"{TO}\",\"text\":{{\"body\":\"{SAID}");
    answers.push((
        "torn JSON",
        house.api.call(Ask::post(SEND).bearer(&house.live).header("content-type", "application/json").bytes(torn)).await,
    ));
    let wrong = json!({"messaging_product": "whatsapp", "to": format!("+{WRONG}"), "type": SAID, "document": {"filename": FILE}});
    answers.push(("wrong fields", house.api.call(post(&house.live, &wrong)).await));
    answers.push(("a wrong query", house.api.call(Ask::post(&format!("{SEND}?to={WRONG}")).bearer(&house.live).json(&text(TO))).await));
    answers.push(("a wrong path", house.api.call(Ask::get(&format!("{SEND}/{WRONG}/{SAID}")).bearer(&house.live)).await));
    let template = json!({"messaging_product": "whatsapp", "to": TO, "type": "template", "template": {"name": "shipping_update",
        "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": [{"type": "text", "text": SAID}]}]}});
    answers.push(("a template that does not fit", house.api.call(post(&house.live, &template)).await));
    // Refused by Meta, cut off, not reached.
    for behaviour in [json!({"do": "graph_error", "code": 131_026}), json!("error_2"), json!("close_after_body_rst")] {
        let rule = house.script(json!({"match": {"to": TO}, "behaviour": behaviour})).await;
        answers.push(("a send that Meta's side broke", house.send_keyed(&text(TO), &format!("{REPEAT}-{rule}")).await));
        house.witness.call(Ask::new(http::Method::DELETE, &format!("/_sim/script/{rule}"))).await;
    }
    // What Meta reports: an inbound message, a status, what nobody can read, what is not Meta's.
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001000", "phone_number_id": NUMBER_ID},
        "contacts": [{"profile": {"name": NAME}, "wa_id": FROM}],
        "messages": [{"from": FROM, "id": format!("wamid.{}", STANDARD.encode(format!("xx{FROM}yyyyy"))), "timestamp": "1795000000",
            "type": "text", "text": {"body": REPLIED}}],
    });
    let webhook = |value: &Value| {
        json!({"object": "whatsapp_business_account", "entry": [{"id": "200000000000001", "changes": [{"field": "messages", "value": value}]}]}).to_string()
    };
    assert_eq!(house.api.call(signed(&webhook(&value))).await.status, 200);
    let token = house.posts_to(TO).await[0]["body"]["biz_opaque_callback_data"].as_str().expect("our token").to_owned();
    secrets.keep("our own token", &token);
    let status = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001000", "phone_number_id": NUMBER_ID},
        "statuses": [{"id": sent.wamid(), "status": "delivered", "timestamp": "1795000000", "recipient_id": TO, "biz_opaque_callback_data": token}],
    });
    assert_eq!(house.api.call(signed(&webhook(&status))).await.status, 200);
    assert_eq!(house.api.call(signed(&format!("{{\"object\": \"{REPLIED} {FROM}"))).await.status, 200, "signed, and kept unread");
    let forged = signed(&webhook(&value)).header("x-hub-signature-256", "sha256=00");
    answers.push(("a forged webhook", house.api.call(forged).await));
    receiver
        .wait_until("both events", |all| {
            let kinds: Vec<&str> = all.iter().map(crate::receiver::Received::kind).collect();
            (kinds.contains(&"messages") && kinds.contains(&"message_status")).then_some(())
        })
        .await;
    // What an operator does with a user.
    assert_eq!(house.try_order("/applications/shop/users/show", json!({"user": FROM})).await.status, 200);
    assert_eq!(house.try_order("/organizations/Acme/erase", json!({"user": FROM})).await.status, 200);
    secrets.are_not_in("the line by which it was started", &command_line(house.gateway.id()));
    // A start that finds everything again says nothing of it either.
    let before = house.gateway.words();
    house.kill_gateway();
    for (name, held) in files_of(&house.data()) {
        // Our own token names a message and tells others nothing; it is what statuses are found by.
        secrets.are_not_in_but(&name, &held, &["our own token"]);
    }
    house.reopen_gateway();

    for (what, answer) in &answers {
        assert!(answer.status >= 400, "{what}: {}", answer.summary());
        secrets.are_not_in(&format!("the answer to {what}"), &answer.summary());
    }
    let metrics = house.api.call(Ask::get("/metrics")).await;
    assert_eq!(metrics.status, 200, "{}", metrics.summary());
    secrets.are_not_in("the metrics page", &metrics.summary());
    let logs = [before, house.gateway.words()].join("\n");
    assert!(logs.lines().count() > 10, "at their most talkative they say something:\n{logs}");
    secrets.are_not_in("a log line", &logs);
}
