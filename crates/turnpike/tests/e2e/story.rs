//! The whole story on a laptop: `demo`, one send, a local endpoint that hears of every step, a user
//! who answers and taps, and the libraries that customers verify with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Ask, Client, Target};
use crate::house::{SEND, connection, key_text, post, text};
use crate::process::{Process, text_of};
use crate::receiver::{Received, Receiver};

const USER: &str = "905321234567";

/// A demo with an endpoint.
struct Story {
    _process: Process,
    folder: TempDir,
    api: Client,
    address: String,
    live: String,
    sandbox: String,
    receiver: Receiver,
    secret: String,
    bearer: String,
}

impl Story {
    async fn begin() -> Story {
        let folder = tempfile::Builder::new().prefix("tp").tempdir().expect("a temporary folder");
        let receiver = Receiver::start().await;
        let data = text_of(&folder.path().join("demo"));
        let arguments = ["--json", "--listen", "127.0.0.1:0", "--data", &data].map(str::to_owned);
        let (process, announced) = Process::announcing("demo", &arguments, &[]);
        let said = |name: &str| announced[name].as_str().unwrap_or_else(|| panic!("{name} in {announced}")).to_owned();
        let made = turnpike(folder.path(), &["webhook", "set", "--url", &receiver.url]);
        let shown = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{name} in {made}")).to_owned();
        assert_eq!(shown("url"), receiver.url);
        assert!(shown("id").len() == 36, "an endpoint has an id: {made}");
        Story {
            api: Client::of_url(&said("address")),
            address: said("address"),
            live: said("liveKey"),
            sandbox: said("sandboxKey"),
            secret: shown("secret"),
            bearer: shown("bearer"),
            _process: process,
            folder,
            receiver,
        }
    }

    /// Sends and gives wamid and id.
    async fn send(&self, body: &Value) -> (String, String) {
        let answer = self.api.call(post(&self.live, body)).await;
        assert_eq!(answer.status, 200, "{}", answer.summary());
        (answer.wamid(), answer.message_id())
    }

    /// Waits for a status of a message.
    async fn status(&self, wamid: &str, status: &str) -> Received {
        let told = |received: &Received| {
            let value = received.value();
            value["statuses"][0]["id"] == wamid && value["statuses"][0]["status"] == status
        };
        self.receiver.wait_for(&format!("{status} of {wamid}"), told).await
    }

    /// Runs `turnpike sim …`.
    fn sim(&self, arguments: &[&str]) -> Value {
        turnpike(self.folder.path(), &[&["sim"], arguments].concat())
    }

    async fn look_up(&self, id: &str) -> Value {
        let answer = self.api.call(Ask::get(&format!("{SEND}/{id}")).bearer(&self.live)).await;
        assert_eq!(answer.status, 200, "{}", answer.summary());
        answer.json()["data"].clone()
    }
}

/// A command on the demo's folder; its JSON.
fn turnpike(folder: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_turnpike"))
        .current_dir(folder)
        .env_clear()
        .args(arguments)
        .args(["--data", "demo", "--json"])
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "turnpike {}: {stdout}{stderr}", arguments.join(" "));
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("turnpike {}: {error}: {stdout}{stderr}", arguments.join(" ")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_followed_from_the_send_to_the_tap() {
    let story = Story::begin().await;
    let (wamid, id) = story.send(&text(USER)).await;
    for status in ["sent", "delivered", "read"] {
        let told = story.status(&wamid, status).await;
        assert_eq!(told.kind(), if status == "read" { "read" } else { "message_status" });
        assert_eq!(told.header("x-message-id"), id);
        assert_eq!(told.header("x-gateway-application"), "demo");
        assert_eq!(told.header("authorization"), format!("Bearer {}", story.bearer));
        assert!(told.header("content-type").starts_with("application/json"));
        assert!(told.value()["statuses"][0].get("biz_opaque_callback_data").is_none(), "our token stays here: {}", told.body);
    }
    let seen = story.look_up(&id).await;
    assert_eq!(seen["state"], "read", "{seen}");
    let events: Vec<&str> = seen["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["event"].as_str()).collect();
    assert_eq!(events, ["admitted", "accepted", "sent", "delivered", "meta_capture", "read"], "as it happened");
    assert_eq!(seen["money"]["metaWhy"], "Charged 0.0009: delivered (status delivered: regular, service).");
    assert_eq!((&seen["money"]["base"]["state"], &seen["money"]["meta"]["state"]), (&json!("captured"), &json!("captured")), "{seen}");

    story.sim(&["reply", "--from", USER, "--text", "Where is my order?"]);
    let reply = story.receiver.wait_for("the reply", |received| received.kind() == "messages").await;
    assert_eq!(reply.value()["messages"][0]["text"]["body"], "Where is my order?");
    assert_eq!(reply.value()["messages"][0]["from"], USER);

    let (buttons, _) = story.send(&offer_of_buttons()).await;
    story.status(&buttons, "delivered").await;
    story.sim(&["tap", "--from", USER, "--title", "Before noon"]);
    let tap = story.receiver.wait_for("the tap", |received| received.kind() == "interactive.button_reply").await;
    let message = &tap.value()["messages"][0];
    assert_eq!(message["interactive"]["button_reply"], json!({"id": "slot_morning", "title": "Before noon"}));
    assert_eq!(message["context"]["id"], buttons.as_str());

    let (list, _) = story.send(&offer_of_a_list()).await;
    story.status(&list, "delivered").await;
    story.sim(&["tap", "--from", USER, "--title", "Blue"]);
    let choice = story.receiver.wait_for("the choice", |received| received.kind() == "interactive.list_reply").await;
    assert_eq!(choice.value()["messages"][0]["interactive"]["list_reply"]["id"], "colour_blue");

    story.sim(&["tap", "--from", USER, "--title", "After noon"]);
    let older = |received: &Received| received.value()["messages"][0]["interactive"]["button_reply"]["id"] == "slot_afternoon";
    let older = story.receiver.wait_for("a tap on the message before", older).await;
    assert_eq!(older.value()["messages"][0]["context"]["id"], buttons.as_str());

    let all = story.receiver.all();
    assert!(all.len() >= 6, "{} deliveries", all.len());
    verified_by_the_libraries(&story, &all);
    let proof = turnpike(story.folder.path(), &["ledger", "verify"]);
    assert_eq!(proof["clean"], true, "{proof}");

    let tried = turnpike(story.folder.path(), &["webhook", "test"]);
    let test = story.receiver.wait_for("the test event", |received| received.kind() == "gateway").await;
    assert_eq!((&tried["ok"], tried["eventId"].as_str()), (&json!(true), Some(test.id())));
    let shown = turnpike(story.folder.path(), &["webhook", "show"]);
    assert_eq!(test.value(), json!({"endpoint_id": shown["id"], "name": "default"}), "as other events of the gateway's name it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_own_data_comes_back_and_a_failure_is_explained() {
    let story = Story::begin().await;
    let mut body = text(USER);
    body["biz_opaque_callback_data"] = json!("order \"7\" — größe XL");
    let (wamid, id) = story.send(&body).await;
    let told = story.status(&wamid, "delivered").await;
    assert_eq!(told.value()["statuses"][0]["biz_opaque_callback_data"], "order \"7\" — größe XL");

    let (other, _) = story.send(&text("905321234568")).await;
    story.sim(&["status", &other, "--status", "failed", "--code", "131026"]);
    let failed = story.status(&other, "failed").await;
    assert_eq!(failed.value()["statuses"][0]["errors"][0]["code"], 131_026);
    let _ = id;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbox_events_go_only_to_who_asks_for_them() {
    let story = Story::begin().await;
    let sent = story.api.call(post(&story.sandbox, &text(USER))).await;
    assert_eq!(sent.status, 200, "{}", sent.summary());
    let (wamid, _) = story.send(&text(USER)).await;
    story.status(&wamid, "read").await;
    assert!(story.receiver.all().iter().all(|received| !received.headers.contains_key("x-gateway-mode")), "only live events came");

    turnpike(story.folder.path(), &["webhook", "set", "--sandbox", "on"]);
    let sent = story.api.call(post(&story.sandbox, &text(USER))).await;
    let wamid = sent.wamid();
    let told = story.status(&wamid, "sent").await;
    assert_eq!(told.header("x-gateway-mode"), "sandbox");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_comes_is_fetched_at_the_address_that_came_with_it() {
    let story = Story::begin().await;
    let picture = story.folder.path().join("picture.json");
    std::fs::write(&picture, r#"{"image":{"caption":"Look"}}"#).expect("the folder takes a file");
    story.sim(&["reply", "--from", USER, "--body", &text_of(&picture)]);
    let told = story.receiver.wait_for("the picture", |received| received.kind() == "messages").await;
    let image = &told.value()["messages"][0]["image"];
    let url = image["url"].as_str().expect("it has an address");
    let path = url.strip_prefix(&story.address).unwrap_or_else(|| panic!("{url} is at {}", story.address));
    let file = story.api.call(Ask::get(path).bearer(&story.live)).await;
    assert_eq!((file.status, file.header("content-type")), (200, image["mime_type"].as_str()), "{}", file.summary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_and_meta_itself_reach_the_demos_application() {
    let story = Story::begin().await;
    turnpike(story.folder.path(), &["webhook", "set", "--all-events"]);
    let sent = story.api.call(post(&story.sandbox, &text(USER))).await;
    assert_eq!(sent.status, 200, "{}", sent.summary());
    story.sim(&["reply", "--from", "905329999999", "--text", "Hello?"]);
    let reply = story.receiver.wait_for("the stranger", |received| received.kind() == "messages").await;
    let app = turnpike(story.folder.path(), &["app", "show"]);
    let number = app["phoneNumber"].as_str().unwrap_or_else(|| panic!("a number in {app}"));
    assert_eq!(reply.value()["metadata"]["display_phone_number"], number.trim_start_matches('+'));
    let change = story.folder.path().join("change.json");
    std::fs::write(&change, r#"{"field":"account_update","value":{"event":"ACCOUNT_VIOLATION"}}"#).expect("the folder takes a file");
    story.sim(&["event", &text_of(&change)]);
    let told = story.receiver.wait_for("Meta's word", |received| received.kind() == "account").await;
    assert_eq!(told.value()["event"], "ACCOUNT_VIOLATION");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_is_received_is_fetched_by_its_id_with_the_customers_key_alone() {
    let story = Story::begin().await;
    let picture: Vec<u8> = [&b"\x89PNG\r\n\x1a\n"[..], &(0..200_000u32).map(|n| n.to_le_bytes()[1]).collect::<Vec<u8>>()].concat();
    let body = json!({"image": {"caption": "Broken on arrival", "mime_type": "image/png", "data": STANDARD.encode(&picture)}});
    std::fs::write(story.folder.path().join("picture.json"), body.to_string()).expect("there is room");
    story.sim(&["reply", "--from", USER, "--body", "picture.json"]);
    let told = story.receiver.wait_for("the picture", |received| received.kind() == "messages").await;
    let image = told.value()["messages"][0]["image"].clone();
    assert_eq!((&image["caption"], &image["mime_type"]), (&json!("Broken on arrival"), &json!("image/png")), "{}", told.body);
    let id = image["id"].as_str().expect("a media id");
    let path = format!("/v1/wa/media/{id}");
    let url = image["url"].as_str().expect("an address");
    assert!(url.ends_with(&path) && !told.body.contains("lookaside"), "Meta's address never leaves: {url}");

    let got = story.api.call(Ask::get(&path).bearer(&story.live)).await;
    assert_eq!(got.status, 200, "{}", got.summary());
    assert!(got.body == picture, "every byte: {} of {}", got.body.len(), picture.len());
    let name = format!("attachment; filename=\"{id}.png\"");
    assert_eq!((got.header("content-type"), got.header("content-disposition")), (Some("image/png"), Some(name.as_str())));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"), "what it is, Meta said; nobody guesses");

    // Another tenant's key, and the sandbox's, find what an unknown id finds.
    let operator = Client::new(Target::Unix(story.folder.path().join("demo").join("control.sock")));
    let order = async |path: &str, body: Value| {
        let answer = operator.call(Ask::post(&format!("/api/v1/operator{path}")).json(&body)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.summary());
        answer.json()["data"].clone()
    };
    order("/organizations", json!({"name": "Rival"})).await;
    let mut connect = connection("100000000000077", "200000000000077");
    connect["accessToken"] = json!("EAADEMO0000000000000000000000000"); // the one that the demo's WhatsApp takes
    order("/applications", json!({"org": "Rival", "displayName": "Rival", "appId": "rival", "connect": connect})).await;
    let rival = key_text(&order("/applications/rival/api-keys", json!({})).await);
    for key in [&rival, &story.sandbox] {
        let (theirs, unknown) =
            (story.api.call(Ask::get(&path).bearer(key)).await, story.api.call(Ask::get("/v1/wa/media/999999999999").bearer(key)).await);
        assert_eq!((theirs.status, theirs.json()), (404, unknown.json()));
    }
}

fn offer_of_buttons() -> Value {
    let button = |id: &str, title: &str| json!({"type": "reply", "reply": {"id": id, "title": title}});
    json!({
        "messaging_product": "whatsapp", "to": USER, "type": "interactive",
        "interactive": {"type": "button", "body": {"text": "When shall we come?"},
            "action": {"buttons": [button("slot_morning", "Before noon"), button("slot_afternoon", "After noon")]}},
    })
}

fn offer_of_a_list() -> Value {
    json!({
        "messaging_product": "whatsapp", "to": USER, "type": "interactive",
        "interactive": {"type": "list", "body": {"text": "Which colour?"}, "action": {"button": "Colours", "sections": [
            {"title": "All", "rows": [{"id": "colour_red", "title": "Red"}, {"id": "colour_blue", "title": "Blue", "description": "As the sea"}]},
        ]}},
    })
}

/// Every delivery passes the public libraries, and none passes with a byte changed.
fn verified_by_the_libraries(story: &Story, all: &[Received]) {
    let tools = verifiers();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifiers");
    let file = |name: &str, deliveries: &[Value]| {
        let path = story.folder.path().join(name);
        std::fs::write(&path, serde_json::to_vec(deliveries).expect("JSON")).expect("the folder takes a file");
        path
    };
    let genuine: Vec<Value> = all.iter().map(|received| received.for_verifiers(&story.secret)).collect();
    let mut changed = genuine.clone();
    for delivery in &mut changed {
        delivery["body"] = json!(delivery["body"].as_str().expect("a body").replacen("whatsapp", "whatsupp", 1));
    }
    for (name, deliveries, word) in [("genuine.json", genuine, true), ("changed.json", changed, false)] {
        let captured = file(name, &deliveries);
        let python = run(tools.join("python/bin/python"), &[&text_of(&scripts.join("verify.py")), &text_of(&captured)]);
        let node = run("node".into(), &[&text_of(&scripts.join("verify.mjs")), &text_of(&captured), &text_of(&tools)]);
        for (library, lines) in [("standardwebhooks", &python), ("pywa", &python), ("standardwebhooks", &node)] {
            assert_eq!(lines.len(), deliveries.len(), "{name}: every delivery gets a verdict");
            for verdict in lines {
                assert_eq!(verdict[library] == "ok", word, "{name} by {library}: {verdict}");
            }
        }
    }
}

/// Where `scripts/test` installed the libraries.
#[expect(clippy::disallowed_methods, reason = "scripts/test says where it installed them")]
fn verifiers() -> PathBuf {
    let given = std::env::var_os("TURNPIKE_VERIFIERS").map(PathBuf::from);
    let usual = || Path::new(env!("CARGO_BIN_EXE_turnpike")).ancestors().nth(2).map(|target| target.join("verifiers"));
    let folder = given.or_else(usual).expect("the program lies in a target folder");
    assert!(folder.join("python/bin/python").exists(), "{} is missing: run scripts/test, which installs it", folder.display());
    folder
}

/// A verifier's verdicts, one a delivery.
fn run(program: PathBuf, arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(&program).args(arguments).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stderr, "", "{}", program.display());
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}
