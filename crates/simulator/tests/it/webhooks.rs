//! Subscriptions, statuses and how they are posted.

use std::time::Duration;

use serde_json::{Value, json};
use turnpike_simulator::{Config, Handshake, Signature, Simulator, StatusRule, Subscription, Timing};

use crate::client::{call, start, text_to};
use crate::receiver::{Receiver, SECRET, TOKEN};

/// A simulator with a subscriber, its handshake forgotten.
pub(crate) async fn subscribed(config: Config) -> (Simulator, Receiver) {
    let receiver = Receiver::start().await;
    let simulator = start(config).await;
    let report = simulator.subscribe(receiver.subscription()).await.expect("a URL that can be called");
    assert_eq!(report.handshake, Handshake::Verified);
    receiver.forget();
    (simulator, receiver)
}

/// Sends a message and gives its id.
pub(crate) async fn send(simulator: &Simulator, message: &Value) -> String {
    let answer = call(simulator.address(), "POST", "/v23.0/1001/messages", Some(message)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.wamid()
}

fn at_once() -> Config {
    Config { timing: Timing::AT_ONCE, batch_max: 1, ..Config::default() }
}

#[tokio::test]
async fn a_message_is_sent_delivered_and_read_and_every_post_is_signed() {
    let (simulator, receiver) = subscribed(Config::default()).await;
    let mut message = text_to("905321234567");
    message["biz_opaque_callback_data"] = "token é/1".into();
    let begun = simulator.clock().now;
    let wamid = send(&simulator, &message).await;
    assert!(simulator.advance(Duration::from_secs(5)).await);
    let statuses = receiver.statuses();
    let mut words = receiver.status_words();
    words.sort();
    assert_eq!(words, ["delivered", "read", "sent"]);
    for post in receiver.posts() {
        assert!(post.is_signed_with(SECRET) && !post.is_signed_with("another"));
        assert!(post.body.is_ascii());
        assert_eq!(post.header("content-type"), Some("application/json"));
        assert_eq!(post.header("user-agent"), Some("facebookexternalua"));
        assert!(post.header("x-hub-signature").is_some_and(|value| value.starts_with("sha1=") && value.len() == 45));
        assert_eq!(post.target, "/hook?tenant=7");
        let text = String::from_utf8(post.body.clone()).expect("ASCII");
        assert!(text.contains(r"token \u00e9\/1"), "{text}");
    }
    for status in &statuses {
        assert_eq!(status["id"], wamid.as_str());
        assert_eq!(status["recipient_id"], "905321234567");
        assert_eq!(status["recipient_user_id"], "TR.905321234567");
        assert_eq!(status["biz_opaque_callback_data"], "token é/1");
        let at: i64 = status["timestamp"].as_str().expect("a string").parse().expect("seconds");
        assert!((begun.as_second()..=begun.as_second() + 6).contains(&at));
        let priced = matches!(status["status"].as_str(), Some("sent" | "delivered"));
        assert_eq!(status.get("pricing").is_some(), priced, "{status}");
        assert!(status.get("conversation").is_none() && status.get("errors").is_none());
    }
    let value = &receiver.values("messages")[0];
    assert_eq!(value["messaging_product"], "whatsapp");
    assert_eq!(value["metadata"], json!({"display_phone_number": "15550101001", "phone_number_id": "1001"}));
    let contact = json!({"profile": {"name": "User 4567"}, "wa_id": "905321234567", "user_id": "TR.905321234567"});
    assert_eq!(value["contacts"], json!([contact]));
    assert_eq!(receiver.posts()[0].json()["entry"][0]["id"], "102290129340398");
    assert!(receiver.posts()[0].json()["entry"][0].get("time").is_none());
}

#[tokio::test]
async fn a_fresh_send_is_read_within_five_seconds_of_real_time() {
    let (simulator, receiver) = subscribed(Config { batch_max: 1, ..Config::default() }).await;
    send(&simulator, &text_to("905321234567")).await;
    receiver.until("read", |receiver| receiver.status_words().len() == 3).await;
    assert_eq!(receiver.status_words(), ["sent", "delivered", "read"]);
}

#[tokio::test]
async fn nothing_is_told_without_a_subscription_and_nothing_after_it_ended() {
    let (simulator, receiver) = subscribed(at_once()).await;
    assert_eq!(simulator.unsubscribe(&receiver.url()), 1);
    send(&simulator, &text_to("905321234567")).await;
    assert!(simulator.advance(Duration::from_secs(60)).await);
    assert!(receiver.posts().is_empty());
}

#[tokio::test]
async fn a_handshake_that_fails_is_told_and_the_subscription_stands() {
    let receiver = Receiver::start().await;
    let simulator = start(at_once()).await;
    let report = simulator.subscribe(Subscription::new(&receiver.url(), SECRET, "another token")).await.expect("it can be called");
    assert!(matches!(&report.handshake, Handshake::Failed { problem } if problem.contains("403")), "{:?}", report.handshake);
    let asked = &receiver.received()[0];
    assert!(asked.target.starts_with("/hook?tenant=7&hub.mode=subscribe&hub.challenge="), "{}", asked.target);
    send(&simulator, &text_to("905321234567")).await;
    assert!(simulator.settled().await);
    assert_eq!(receiver.posts().len(), 3);
    let gone = simulator.subscribe(Subscription::new("http://127.0.0.1:1/", SECRET, TOKEN)).await.expect("it can be called");
    assert!(matches!(&gone.handshake, Handshake::Failed { problem } if problem.contains("connecting")), "{:?}", gone.handshake);
    assert!(simulator.subscribe(Subscription::new("ftp://x/", SECRET, TOKEN)).await.is_err());
    assert!(simulator.subscribe(Subscription::new(&receiver.url(), "", TOKEN)).await.is_err());
}

#[tokio::test]
async fn a_signature_can_be_made_to_fail() {
    let (simulator, receiver) = subscribed(at_once()).await;
    for (plan, attempts, good) in [("wrong_signature", 3, 0), ("wrong_signature_first", 6, 3), ("no_signature", 3, 0)] {
        receiver.forget();
        receiver.answers(&[401; 3], 200);
        simulator.clear_plans();
        simulator.plan(StatusRule::named(plan)).expect("a plan of the list");
        send(&simulator, &text_to("905321234567")).await;
        assert!(simulator.advance(Duration::from_secs(60)).await);
        let posts = receiver.posts();
        assert_eq!(posts.len(), attempts, "{plan}");
        assert_eq!(posts.iter().filter(|post| post.is_signed_with(SECRET)).count(), good, "{plan}");
    }
    assert_eq!(Signature::default(), Signature::Good);
}
