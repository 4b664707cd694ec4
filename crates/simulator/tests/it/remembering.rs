//! What outlives the process: messages that can be tapped and reported on, windows, and who
//! subscribed over HTTP.

use serde_json::{Value, json};
use turnpike_simulator::{Config, Handshake, Record, Reply, Tap, Timing, Window};

use crate::client::{call, start, text_to};
use crate::process::spawn;
use crate::receiver::{Receiver, SECRET, TOKEN};

const USER: &str = "905321234567";

fn buttons() -> Value {
    let buttons = json!([{"type": "reply", "reply": {"id": "yes", "title": "Yes"}}]);
    let interactive = json!({"type": "button", "body": {"text": "Coming?"}, "action": {"buttons": buttons}});
    json!({"messaging_product": "whatsapp", "to": USER, "type": "interactive", "interactive": interactive,
           "biz_opaque_callback_data": "token/1"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_button_that_was_sent_before_a_kill_can_be_tapped_after_it_and_the_subscriber_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let receiver = Receiver::start().await;
    let (process, address) = spawn(folder.path());
    let subscription = json!({"url": receiver.url(), "app_secret": SECRET, "verify_token": TOKEN});
    let subscribed = call(address, "POST", "/_sim/webhooks", Some(&subscription)).await;
    assert_eq!((subscribed.status, &subscribed.json()["handshake"]["state"]), (201, &json!("verified")));
    let user = json!({"phone": USER, "username": "ada", "name": "Ada"});
    assert_eq!(call(address, "POST", "/_sim/users", Some(&user)).await.status, 201);
    let waba = json!({"id": "2001", "timezone_id": "47"});
    assert_eq!(call(address, "POST", "/_sim/wabas", Some(&waba)).await.status, 200);
    let sent = call(address, "POST", "/v23.0/1001/messages", Some(&buttons())).await;
    assert_eq!(sent.status, 200);
    let wamid = sent.wamid();
    process.kill();
    receiver.forget();

    let (process, address) = spawn(folder.path());
    let webhooks = call(address, "GET", "/_sim/webhooks", None).await.json();
    assert_eq!(webhooks["webhooks"].as_array().map(Vec::len), Some(1));
    assert_eq!(webhooks["webhooks"][0]["handshake"]["state"], "verified");
    assert_eq!(call(address, "GET", "/v23.0/2001?fields=timezone_id", None).await.json(), waba);
    let tapped = call(address, "POST", "/_sim/tap", Some(&json!({"from": USER, "button": "Yes"}))).await;
    assert_eq!((tapped.status, &tapped.json()["told"]), (200, &json!(1)), "{}", tapped.json());
    let read = json!({"message_id": wamid, "status": "read"});
    assert_eq!(call(address, "POST", "/_sim/status", Some(&read)).await.status, 200);
    receiver.until("a tap and a status", |receiver| receiver.messages().len() == 1 && receiver.statuses().len() == 1).await;
    let message = receiver.messages().remove(0);
    assert_eq!(message["interactive"]["button_reply"], json!({"id": "yes", "title": "Yes"}));
    assert_eq!(message["context"]["id"], wamid.as_str());
    assert_eq!(receiver.values("messages")[0]["contacts"][0]["profile"], json!({"name": "Ada", "username": "ada"}));
    let status = receiver.statuses().remove(0);
    assert_eq!((&status["id"], &status["biz_opaque_callback_data"]), (&json!(wamid), &json!("token/1")));
    assert!(receiver.posts().iter().all(|post| post.is_signed_with(SECRET)));
    assert!(receiver.received().iter().all(|received| received.method == "POST"), "a callback that was verified is not asked again");

    assert_eq!(call(address, "DELETE", "/_sim/webhooks", None).await.json(), json!({"removed": 1}));
    process.kill();
    let (_process, address) = spawn(folder.path());
    assert_eq!(call(address, "GET", "/_sim/webhooks", None).await.json()["webhooks"], json!([]));
}

#[tokio::test]
async fn windows_and_wishes_outlive_a_restart_and_subscriptions_of_the_program_do_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = || Config {
        record: Record::File(folder.path().join("simulator.jsonl")),
        unscripted_window: Window::Closed,
        timing: Timing::AT_ONCE,
        ..Config::default()
    };
    let receiver = Receiver::start().await;
    let simulator = start(config()).await;
    simulator.subscribe(receiver.subscription()).await.expect("a URL that can be called");
    simulator.reply(Reply::text(USER, "Hello").to_number("1001")).expect("a user may write");
    simulator.shutdown().await;

    let simulator = start(config()).await;
    assert!(simulator.webhooks().is_empty(), "the program subscribes again, or does not");
    let report = simulator.subscribe(receiver.subscription()).await.expect("a URL that can be called");
    assert_eq!(report.handshake, Handshake::Verified);
    for (to, word) in [(USER, "delivered"), ("905320000001", "failed")] {
        receiver.forget();
        assert_eq!(call(simulator.address(), "POST", "/v23.0/1001/messages", Some(&text_to(to))).await.status, 200);
        assert!(simulator.settled().await);
        assert!(receiver.status_words().iter().any(|status| status == word), "{to}: {:?}", receiver.status_words());
    }
    assert!(simulator.tap(&Tap { from: Some(USER.to_owned()), ..Tap::default() }).is_err(), "a text has nothing to tap");
}
