//! One user forgotten, in memory and in every file; others keep what is theirs.

use std::path::Path;

use serde_json::{Value, json};
use turnpike_simulator::{Config, Record, forget_at_rest};

use crate::client::{call, start, text_to};
use crate::files::upload;
use crate::process::spawn;
use crate::receiver::{Receiver, SECRET, TOKEN};

const USER: &str = "905321234567";
const NEIGHBOUR: &str = "905321234568";

fn question(to: &str) -> Value {
    let buttons = json!([{"type": "reply", "reply": {"id": "yes", "title": "Yes"}}]);
    let interactive = json!({"type": "button", "body": {"text": "Coming?"}, "action": {"buttons": buttons}});
    json!({"messaging_product": "whatsapp", "to": format!("+{to}"), "type": "interactive", "interactive": interactive})
}

fn is_in_a_file(folder: &Path, name: &str) -> bool {
    std::fs::read_dir(folder).expect("listed").any(|entry| {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("read");
        bytes.windows(name.len()).any(|window| window == name.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_user_is_in_no_file_and_cannot_be_tapped_for_nor_reported_on_and_counts_stay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let receiver = Receiver::start().await;
    let (process, address) = spawn(folder.path());
    let subscription = json!({"url": receiver.url(), "app_secret": SECRET, "verify_token": TOKEN});
    assert_eq!(call(address, "POST", "/_sim/webhooks", Some(&subscription)).await.status, 201);
    assert_eq!(call(address, "POST", "/_sim/users", Some(&json!({"phone": USER, "name": "Ada"}))).await.status, 201);
    let mut wamids = Vec::new();
    for to in [USER, NEIGHBOUR] {
        let sent = call(address, "POST", "/v23.0/1001/messages", Some(&question(to))).await;
        assert_eq!(sent.status, 200);
        wamids.push(sent.wamid());
        assert_eq!(call(address, "POST", "/_sim/reply", Some(&json!({"from": to, "text": "Hi"}))).await.status, 200);
    }
    // An id that hides the number is the number.
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamids[0]});
    call(address, "POST", "/v23.0/1001/messages", Some(&read)).await;
    call(address, "POST", "/_sim/settle", None).await;
    assert!(is_in_a_file(folder.path(), USER) && is_in_a_file(folder.path(), &wamids[0]));

    let forgotten = call(address, "POST", "/_sim/forget", Some(&json!({"name": USER}))).await;
    assert_eq!(forgotten.status, 200, "{}", forgotten.json());
    assert!(forgotten.json()["forgotten"].as_u64() >= Some(5), "{}", forgotten.json());
    for gone in [USER, &wamids[0]] {
        assert!(!is_in_a_file(folder.path(), gone), "{gone}");
    }
    assert!(is_in_a_file(folder.path(), NEIGHBOUR));
    assert_eq!(call(address, "GET", "/_sim/requests?count=true", None).await.json(), json!({"count": 3}));
    let shown = call(address, "GET", "/_sim/webhooks", None).await.json().to_string();
    assert!(!shown.contains(USER) && !shown.contains(&wamids[0]), "{shown}");
    assert_eq!(call(address, "POST", "/_sim/tap", Some(&json!({"from": USER, "button": "Yes"}))).await.status, 400);
    assert_eq!(call(address, "POST", "/_sim/tap", Some(&json!({"from": NEIGHBOUR, "button": "Yes"}))).await.status, 200);
    let again = call(address, "POST", "/_sim/forget", Some(&json!({"name": USER}))).await;
    assert_eq!(again.json(), json!({"forgotten": 0}));
    for bad in [json!({"name": " "}), json!({"user": USER}), json!({})] {
        assert_eq!(call(address, "POST", "/_sim/forget", Some(&bad)).await.status, 400, "{bad}");
    }
    process.kill();
    let (_process, address) = spawn(folder.path());
    assert_eq!(call(address, "POST", "/_sim/tap", Some(&json!({"from": USER, "button": "Yes"}))).await.status, 400);
    assert_eq!(call(address, "POST", "/_sim/tap", Some(&json!({"from": NEIGHBOUR, "button": "Yes"}))).await.status, 200);
}

#[tokio::test]
async fn statuses_that_were_still_to_come_do_not_come() {
    // Recipients whose statuses come ten minutes later.
    let [user, neighbour] = ["15550106600000", "15550106600001"];
    let receiver = Receiver::start().await;
    let simulator = start(Config::default()).await;
    simulator.subscribe(receiver.subscription()).await.expect("subscribed");
    for to in [user, neighbour] {
        assert_eq!(call(simulator.address(), "POST", "/v23.0/1001/messages", Some(&question(to))).await.status, 200);
    }
    simulator.forgetter().forget(user).await.expect("forgotten");
    simulator.advance(std::time::Duration::from_secs(86_400)).await;
    let of: Vec<Value> = receiver.statuses().into_iter().map(|status| status["recipient_id"].clone()).collect();
    assert!(!of.is_empty() && of.iter().all(|to| to == neighbour), "{of:?}");
}

#[tokio::test]
async fn the_files_of_a_simulator_that_does_not_run_forget_too_and_one_that_runs_is_not_touched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = Record::File(folder.path().join("requests.jsonl"));
    assert_eq!(forget_at_rest(&record, USER).await.expect("there is nothing"), 0);
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0, "and nothing is made");
    let simulator = start(Config { record: record.clone(), ..Config::default() }).await;
    call(simulator.address(), "POST", "/v23.0/1001/messages", Some(&question(USER))).await;
    assert!(forget_at_rest(&record, USER).await.is_err(), "it is in use");
    simulator.shutdown().await;
    assert_eq!(forget_at_rest(&record, USER).await.expect("forgotten"), 1);
    assert!(!is_in_a_file(folder.path(), USER));
}

#[tokio::test]
async fn the_files_that_a_forgotten_user_sent_and_was_sent_alone_are_gone_by_their_ids_and_by_their_urls() {
    let receiver = Receiver::start().await;
    let simulator = start(Config::default()).await;
    let address = simulator.address();
    simulator.subscribe(receiver.subscription()).await.expect("subscribed");
    let id_of = |shown: &Value| shown["id"].as_str().expect("an id").to_owned();
    let invoice = id_of(&upload(&simulator, "1001", "EAAgood", "application/pdf", b"%PDF-1.4 to pay").await.json());
    let brochure = id_of(&upload(&simulator, "1001", "EAAgood", "application/pdf", b"%PDF-1.4 news").await.json());
    for (id, to) in [(&invoice, USER), (&brochure, USER), (&brochure, NEIGHBOUR)] {
        let message = json!({"messaging_product": "whatsapp", "to": format!("+{to}"), "type": "document", "document": {"id": id}});
        assert_eq!(call(address, "POST", "/v23.0/1001/messages", Some(&message)).await.status, 200);
    }
    assert_eq!(call(address, "POST", "/v23.0/1001/messages", Some(&text_to(USER))).await.status, 200);
    for from in [USER, NEIGHBOUR] {
        assert_eq!(call(address, "POST", "/_sim/reply", Some(&json!({"from": from, "image": {}}))).await.status, 200);
    }
    assert!(simulator.settled().await);
    let received = |from: &str| {
        let of = |message: &Value| message["from"] == from && message["type"] == "image";
        receiver.messages().into_iter().find(of).unwrap_or_else(|| panic!("a picture from {from}"))["image"].clone()
    };
    let (theirs, neighbours) = (received(USER), received(NEIGHBOUR));
    let path = |image: &Value| {
        let url = image["url"].as_str().expect("a URL");
        url[url.find("/whatsapp_business/").expect("Meta's path")..].to_owned()
    };
    let statuses = async || {
        let mut statuses = Vec::new();
        let ids = [&invoice, &id_of(&theirs), &brochure, &id_of(&neighbours)].map(|id| format!("/v23.0/{id}"));
        for path in [ids.as_slice(), &[path(&theirs), path(&neighbours)]].concat() {
            statuses.push(call(address, "GET", &path, None).await.status);
        }
        statuses
    };
    assert_eq!(statuses().await, [200; 6]);
    simulator.forgetter().forget(USER).await.expect("forgotten");
    let unknown = call(address, "GET", "/v23.0/4040000000?phone_number_id=1001", None).await.status;
    assert_eq!(statuses().await, [unknown, unknown, 200, 200, 404, 200], "others keep what is theirs");
}
