//! When statuses come, what a script makes of them, and how long a POST is
//! repeated.

use std::time::Duration;

use serde_json::json;
use turnpike_simulator::{
    Config, Number, PlannedStatus, Pricing, RETRY_AFTER_SECONDS, Signature, StatusRule, Subscription, Timing, demo_templates,
};

use crate::client::{call, call_with, start, text_to};
use crate::receiver::{Receiver, SECRET, TOKEN};
use crate::webhooks::{send, subscribed};

const USER: &str = "905321234567";

fn at_once() -> Config {
    Config { timing: Timing::AT_ONCE, batch_max: 1, ..Config::default() }
}

#[tokio::test]
async fn a_post_is_repeated_until_it_is_answered_with_200() {
    let (simulator, receiver) = subscribed(at_once()).await;
    simulator.plan(StatusRule::named("only_sent")).expect("a plan of the list");
    receiver.answers(&[500, 302, 201, 404], 200);
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    // At once, and once more at once; the third a second later, the fourth five seconds after it.
    assert_eq!(receiver.posts().len(), 2);
    assert!(simulator.advance(Duration::from_millis(1_100)).await);
    assert_eq!(receiver.posts().len(), 3);
    assert!(simulator.advance(Duration::from_secs(5)).await);
    assert_eq!(receiver.posts().len(), 4);
    assert!(simulator.advance(Duration::from_secs(31)).await);
    assert!(simulator.advance(Duration::from_secs(8 * 24 * 3_600)).await);
    let posts = receiver.posts();
    assert_eq!(posts.len(), 5, "after the 200 nothing more comes");
    assert!(posts.iter().all(|post| post.body == posts[0].body && post.is_signed_with(SECRET)), "repeats are the same bytes");
    let report = simulator.webhooks().remove(0);
    assert_eq!((report.delivered, report.failed_attempts, report.retrying, report.given_up), (1, 4, 0, 0));
}

#[tokio::test]
async fn a_post_is_given_up_after_seven_days() {
    let (simulator, receiver) = subscribed(at_once()).await;
    simulator.plan(StatusRule::named("only_sent")).expect("a plan of the list");
    receiver.answers(&[], 503);
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.advance(Duration::from_secs(8 * 24 * 3_600)).await);
    let within: usize = {
        let week = 7 * 24 * 3_600;
        let mut at = 0;
        let delays = RETRY_AFTER_SECONDS.iter().chain(std::iter::repeat(RETRY_AFTER_SECONDS.last().expect("a delay")));
        1 + delays
            .take_while(|delay| {
                at += **delay;
                at <= week
            })
            .count()
    };
    assert!(within > RETRY_AFTER_SECONDS.len());
    let attempts = receiver.posts().len();
    // The last may fall a little behind the week, by the time that attempts took.
    assert!(attempts == within || attempts == within - 1, "{attempts} of {within}");
    let report = simulator.webhooks().remove(0);
    assert_eq!((report.given_up, report.retrying), (1, 0));
    assert!(report.attempts.last().is_some_and(|attempt| attempt.next_at.is_none() && attempt.status == Some(503)));
    assert!(simulator.advance(Duration::from_secs(8 * 24 * 3_600)).await);
    assert_eq!(receiver.posts().len(), attempts);
}

#[tokio::test]
async fn a_callback_that_does_not_answer_in_time_has_failed() {
    let (simulator, receiver) = subscribed(Config { webhook_timeout: Duration::from_millis(50), ..at_once() }).await;
    simulator.plan(StatusRule::named("only_sent")).expect("a plan of the list");
    receiver.stalls(true);
    send(&simulator, &text_to(USER)).await;
    receiver.until("a second attempt", |receiver| receiver.posts().len() >= 2).await;
    receiver.stalls(false);
    assert!(simulator.advance(Duration::from_secs(60)).await);
    let report = simulator.webhooks().remove(0);
    assert_eq!(report.delivered, 1);
    assert!(report.attempts[0].status.is_none() && report.attempts[0].answer.contains("no answer within 50 ms"));
}

#[tokio::test]
async fn plans_reverse_repeat_and_leave_out() {
    let timing = Timing { sent: span(10_000), delivered: span(10_000), read: span(10_000), played: span(10_000) };
    let (simulator, receiver) = subscribed(Config { timing, batch_max: 1, ..Config::default() }).await;
    for (plan, words) in [
        ("reversed", vec!["read", "delivered", "sent"]),
        ("twice", vec!["sent", "sent", "delivered", "delivered", "read", "read"]),
        ("skip_delivered", vec!["sent", "read"]),
        ("skip_sent", vec!["delivered", "read"]),
        ("only_sent", vec!["sent"]),
        ("none", vec![]),
        ("never_read", vec!["sent", "delivered"]),
        ("delivered_then_failed", vec!["sent", "delivered", "failed"]),
        ("fail_131026", vec!["failed"]),
    ] {
        receiver.forget();
        simulator.clear_plans();
        simulator.plan(StatusRule::named(plan).to(USER)).expect("a plan of the list");
        send(&simulator, &text_to(USER)).await;
        assert!(simulator.settled().await);
        assert!(receiver.posts().is_empty(), "nothing is due yet");
        for _ in 0..4 {
            assert!(simulator.advance(Duration::from_secs(10)).await);
        }
        assert_eq!(receiver.status_words(), words, "{plan}");
        let priced = receiver.statuses().iter().filter(|status| status.get("pricing").is_some()).count();
        let expected = match plan {
            "twice" => 4,
            "none" | "fail_131026" => 0,
            "only_sent" | "skip_sent" => 1,
            _ => 2,
        };
        assert_eq!(priced, expected, "{plan}");
    }
}

fn span(ms: u64) -> turnpike_simulator::plan::Span {
    turnpike_simulator::plan::Span::ms(ms, ms)
}

#[tokio::test]
async fn a_status_can_overtake_the_answer() {
    let (simulator, receiver) = subscribed(Config { speed: 0.001, batch_max: 1, ..Config::default() }).await;
    simulator.plan(StatusRule::named("before_answer")).expect("a plan of the list");
    send(&simulator, &text_to(USER)).await;
    let mut words = receiver.status_words();
    words.sort();
    assert_eq!(words, ["delivered", "sent"], "both had come when the answer came");
}

#[tokio::test]
async fn a_script_says_every_member() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let rule = StatusRule::statuses(vec![
        PlannedStatus { pricing: Pricing::These(json!({"billable": false})), ..PlannedStatus::new("delivered", 0) },
        PlannedStatus {
            with: json!({"biz_opaque_callback_data": "wrong", "recipient_id": null, "new": [1]}).as_object().cloned().expect("an object"),
            ..PlannedStatus::new("read", 1_000)
        },
    ]);
    simulator.plan(rule).expect("it can be carried out");
    let mut message = text_to(USER);
    message["biz_opaque_callback_data"] = "right".into();
    send(&simulator, &message).await;
    assert!(simulator.advance(Duration::from_secs(2)).await);
    let statuses = receiver.statuses();
    assert_eq!(statuses[0]["pricing"], json!({"billable": false}));
    assert_eq!(statuses[0]["biz_opaque_callback_data"], "right");
    assert_eq!((&statuses[1]["biz_opaque_callback_data"], &statuses[1]["new"]), (&json!("wrong"), &json!([1])));
    assert!(statuses[1].get("recipient_id").is_none());
    assert_eq!(PlannedStatus::new("x", 0).signature, Signature::Good);
}

#[tokio::test]
async fn a_recipient_can_ask_for_a_failure_and_for_a_plan() {
    let (simulator, receiver) = subscribed(Config { omit_callback_data_on_failed: true, ..at_once() }).await;
    let mut message = text_to("15550104131026");
    message["biz_opaque_callback_data"] = "token".into();
    send(&simulator, &message).await;
    assert!(simulator.settled().await);
    let failed = receiver.statuses().remove(0);
    assert_eq!((&failed["status"], &failed["errors"][0]["code"]), (&json!("failed"), &json!(131_026)));
    assert!(failed.get("biz_opaque_callback_data").is_none() && failed.get("recipient_user_id").is_none());
    receiver.forget();
    send(&simulator, &text_to("1555010502")).await;
    assert!(simulator.settled().await);
    assert_eq!(receiver.status_words(), ["sent"]);
    receiver.forget();
    send(&simulator, &text_to("15550106060000")).await;
    assert!(simulator.settled().await);
    assert!(receiver.posts().is_empty());
    assert!(simulator.advance(Duration::from_secs(61)).await);
    assert_eq!(receiver.status_words().len(), 3);
}

#[tokio::test]
async fn simulated_time_runs_at_its_speed() {
    let timing = Timing { sent: span(600_000), ..Timing::AT_ONCE };
    let (simulator, receiver) = subscribed(Config { speed: 10_000.0, timing, batch_max: 1, ..Config::default() }).await;
    send(&simulator, &text_to(USER)).await;
    receiver.until("what is due in ten minutes", |receiver| receiver.status_words().len() == 3).await;
}

#[tokio::test]
async fn what_is_due_together_shares_a_post_up_to_the_limit() {
    let (simulator, receiver) = subscribed(Config { timing: Timing::AT_ONCE, batch_max: 1_000, ..Config::default() }).await;
    simulator.plan(StatusRule { delay_ms: 60_000, repeat: 100, ..StatusRule::named("twice") }).expect("a plan of the list");
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.advance(Duration::from_secs(61)).await);
    assert_eq!(receiver.statuses().len(), 600);
    let largest =
        receiver.posts().iter().map(|post| post.json()["entry"][0]["changes"][0]["value"]["statuses"].as_array().map_or(0, Vec::len)).max();
    assert!(largest.is_some_and(|largest| largest > 1), "{largest:?}");
    assert!(receiver.posts().iter().all(|post| post.is_signed_with(SECRET)));
}

#[tokio::test]
async fn a_prefix_has_a_callback_and_a_secret_of_its_own() {
    let (simulator, receiver) = subscribed(Config { sandbox_secret: Some("box".to_owned()), ..at_once() }).await;
    let other = Receiver::start().await;
    let mine = Subscription::new(&other.url(), "sandbox secret", TOKEN).for_prefix("sandbox-");
    simulator.subscribe(mine).await.expect("a URL that can be called");
    send(&simulator, &text_to(USER)).await;
    let sent =
        call_with(simulator.address(), "POST", "/v23.0/sandbox-app1/messages", "authorization: Bearer box\r\n", Some(&text_to(USER))).await;
    assert_eq!(sent.status, 200);
    assert!(simulator.settled().await);
    assert_eq!((receiver.posts().len(), other.posts().len()), (3, 3));
    assert!(other.posts().iter().all(|post| post.is_signed_with("sandbox secret")));
    assert_eq!(other.posts()[0].json()["entry"][0]["id"], "sandbox-app1");
    assert_eq!(other.values("messages")[0]["metadata"]["phone_number_id"], "sandbox-app1");
}

#[tokio::test]
async fn a_subscription_of_the_start_is_verified_once_its_receiver_listens() {
    let receiver = Receiver::start().await;
    let simulator = start(Config { subscriptions: vec![receiver.subscription()], ..at_once() }).await;
    receiver.until("the handshake", |receiver| receiver.received().iter().any(|asked| asked.method == "GET")).await;
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!(receiver.posts().len(), 3);
}

#[tokio::test]
async fn the_graph_subscribes_after_a_handshake_and_an_account_can_override() {
    let (app, account) = (Receiver::start().await, Receiver::start().await);
    let numbers = vec![Number { id: "1001".to_owned(), waba_id: "77".to_owned() }];
    let simulator = start(Config { numbers, seed_templates: demo_templates(), ..at_once() }).await;
    let app_token = format!("authorization: Bearer 500|{SECRET}\r\n");
    let subscribe = |url: String, token: &str| json!({"object": "whatsapp_business_account", "callback_url": url, "verify_token": token, "fields": ["messages"]});
    let address = simulator.address();
    let refused = call_with(address, "POST", "/v23.0/500/subscriptions", &app_token, Some(&subscribe(app.url(), "wrong"))).await;
    assert_eq!((refused.status, refused.code()), (400, 2_200));
    assert!(refused.json()["error"]["message"].as_str().is_some_and(|message| message.contains("403")));
    let unsigned = call(address, "POST", "/v23.0/500/subscriptions", Some(&subscribe(app.url(), TOKEN))).await;
    assert_eq!(unsigned.code(), 100, "nobody has said the secret yet");
    let taken = call_with(address, "POST", "/v23.0/500/subscriptions", &app_token, Some(&subscribe(app.url(), TOKEN))).await;
    assert_eq!(taken.json(), json!({"success": true}));
    let listed = call_with(address, "GET", "/v23.0/500/subscriptions", &app_token, None).await.json();
    assert_eq!(listed["data"][0]["callback_url"], app.url().as_str());
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!(app.posts().len(), 3);
    assert!(app.posts().iter().all(|post| post.is_signed_with(SECRET)));

    let overriding = json!({"override_callback_uri": account.url(), "verify_token": TOKEN});
    let taken = call(address, "POST", "/v23.0/77/subscribed_apps", Some(&overriding)).await;
    assert_eq!(taken.json(), json!({"success": true}));
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!((app.posts().len(), account.posts().len()), (3, 3));
    let listed = call(address, "GET", "/v23.0/77/subscribed_apps", None).await.json();
    assert_eq!(listed["data"][0]["override_callback_uri"], account.url().as_str());
    assert_eq!(call(address, "POST", "/v23.0/77/subscribed_apps", Some(&json!({}))).await.status, 200);
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!((app.posts().len(), account.posts().len()), (6, 3));
}
