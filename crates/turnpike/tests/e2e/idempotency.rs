//! Repeats, line by line of contract §3.5: whatever a caller's HTTP library does, one message.

use std::collections::BTreeMap;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::house::{House, Plan, SEND, key_text, post, recipient, text};

/// Repeats of one request; half of them at once, half with a rotated key.
const REPEATS: usize = 1_000;

/// A recipient whose message the simulator answers after two seconds.
const ANSWERED_LATE: &str = "1555010202000";

/// A plan in which an unknown outcome is answered quickly.
pub(crate) fn quick() -> Plan {
    Plan {
        settings: ["graph.answer_wait=400ms", "graph.reply_within=2s", "graph.hard_cap=1s", "graph.retry_min=1ms", "graph.retry_max=5ms"]
            .map(str::to_owned)
            .to_vec(),
        ..Plan::default()
    }
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_repeats_of_one_keyed_request_are_one_message() {
    a_thousand_repeats(Vec::new()).await;
}

/// The promise itself; `environment` may plant a bug.
pub(crate) async fn a_thousand_repeats(environment: Vec<(&'static str, String)>) {
    let mut house = House::open(Plan { environment, ..Plan::default() }).await;
    let before = house.wallet().await;
    // WhatsApp takes its time over this recipient, so that the repeats do meet the first one under way.
    let to = ANSWERED_LATE.to_owned();
    let body = text(&to);
    let rotated = house.order(&format!("/api-keys/{}/rotate", house.live_id), json!({"overlapHours": 1})).await;
    let keys = [house.live.clone(), key_text(&rotated)];

    // Half of them at once.
    let asked = |n: usize| house.api.call(post(&keys[n % 2], &body).key("order-4711"));
    let answers: Vec<Answer> = (0..REPEATS / 2).map(asked).collect::<FuturesUnordered<_>>().collect().await;
    let (mut first, mut replayed, mut in_flight) = (Vec::new(), 0, 0);
    for answer in &answers {
        match (answer.status, is_replayed(answer)) {
            (200, false) => first.push(answer),
            (200, true) => replayed += 1,
            (409, _) => {
                assert_eq!(answer.code(), "IDEM_001", "{}", answer.summary());
                assert_eq!(answer.header("retry-after"), Some("1"), "{}", answer.summary());
                assert_eq!(answer.param("sent"), "no");
                in_flight += 1;
            }
            _ => panic!("a repeat is the first answer or still in flight: {}", answer.summary()),
        }
    }
    assert_eq!(first.len(), 1, "{replayed} were replayed and {in_flight} in flight, but {} sent for themselves", first.len());
    let (id, wamid) = (first[0].message_id(), first[0].wamid());

    // The other half one after the other, with the rotated key in between.
    for n in 0..REPEATS / 2 {
        let answer = house.api.call(post(&keys[n % 2], &body).key("\"order-4711\"")).await;
        assert_eq!((answer.status, is_replayed(&answer)), (200, true), "{}", answer.summary());
        assert_eq!((answer.message_id(), answer.wamid()), (id.clone(), wamid.clone()));
        assert_eq!(answer.body, first[0].body, "a replay is the first answer, byte for byte");
    }
    let ids: std::collections::BTreeSet<String> =
        answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.header("x-request-id").unwrap_or("").to_owned()).collect();
    assert_eq!(ids.len(), replayed + 1, "every answer has a request id of its own");

    assert_eq!(house.posts_to(&to).await.len(), 1, "POSTs");
    assert_eq!(house.messages("any").await.len(), 1, "messages");
    let after = house.wallet().await;
    assert_eq!((before.posted - after.posted, after.held), (1_000, 3_400), "one base fee is taken and one Meta fee held");
    house.verify().await;

    // And a crash in between changes nothing.
    house.kill_gateway();
    house.reopen_gateway();
    let again = house.api.call(post(&keys[1], &body).key("order-4711")).await;
    assert_eq!((again.status, is_replayed(&again), again.wamid()), (200, true, wamid), "{}", again.summary());
    assert_eq!(house.posts_to(&to).await.len(), 1, "POSTs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_with_another_request_is_refused() {
    another_request_under_the_key(Vec::new()).await;
}

/// The promise itself; `environment` may plant a bug.
pub(crate) async fn another_request_under_the_key(environment: Vec<(&'static str, String)>) {
    let house = House::open(Plan { environment, ..Plan::default() }).await;
    let body = text(&recipient(1));
    assert_eq!(house.send_keyed(&body, "order-1").await.status, 200);
    let other = text(&recipient(2));
    let spaced = Ask::post(SEND).bearer(&house.live).header("content-type", "application/json").bytes(format!("{body} ")).key("order-1");
    let flagged = Ask::post("/v1/wa/message?is_fake=true").bearer(&house.live).json(&body).key("order-1");
    for (what, ask) in [("another body", post(&house.live, &other).key("order-1")), ("one more space", spaced), ("another flag", flagged)] {
        let answer = house.api.call(ask).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "IDEM_002"), "{what}: {}", answer.summary());
        assert_eq!((answer.param("sent"), answer.param("retryable")), (json!("no"), json!(false)), "{what}");
    }
    assert_eq!(house.posts().await.len(), 1, "POSTs");
    // The sandbox is another world: there the key is new.
    let sandbox = house.api.call(post(&house.sandbox, &body).key("order-1")).await;
    assert_eq!((sandbox.status, is_replayed(&sandbox)), (200, false), "{}", sandbox.summary());
    assert_eq!(sandbox.header("x-gateway-mode"), Some("sandbox"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_definite_end_uses_up_a_key() {
    let house = House::open(quick()).await;
    house.top_up("1.00").await;
    // A definite refusal is kept: the same answer again, and Meta is not asked again.
    let refused = text("15550101000100");
    let first = house.send_keyed(&refused, "refused").await;
    assert_eq!((first.status, first.code().as_str(), is_replayed(&first)), (400, "GW_001", false), "{}", first.summary());
    let again = house.send_keyed(&refused, "refused").await;
    assert_eq!((again.status, again.code().as_str(), is_replayed(&again)), (400, "GW_001", true), "{}", again.summary());
    assert_eq!((again.message_id(), &again.body), (first.message_id(), &first.body));
    assert_eq!(house.posts_to("15550101000100").await.len(), 1, "POSTs");

    // A refusal that may pass frees the key: the repeat is a new message.
    let limited = text("15550101130429");
    let first = house.send_keyed(&limited, "limited").await;
    assert_eq!((first.status, first.param("retryable")), (429, json!(true)), "{}", first.summary());
    let again = house.send_keyed(&limited, "limited").await;
    assert_eq!((again.status, is_replayed(&again)), (429, false), "{}", again.summary());
    assert_ne!(again.message_id(), first.message_id());
    assert_eq!(house.posts_to("15550101130429").await.len(), 2, "POSTs");

    // An unknown outcome keeps it, and never sends again.
    let lost = text("1555010319");
    let first = house.send_keyed(&lost, "lost").await;
    assert_eq!((first.status, first.code().as_str(), first.header("retry-after")), (504, "GW_003", None), "{}", first.summary());
    let again = house.send_keyed(&lost, "lost").await;
    assert_eq!((again.status, is_replayed(&again), again.message_id()), (504, true, first.message_id()), "{}", again.summary());
    assert_eq!(house.posts_to("1555010319").await.len(), 1, "POSTs");

    // Bad fields do not use it up: the key then sends.
    let mut bad = text(&recipient(9));
    bad["text"] = json!({});
    assert_eq!(house.send_keyed(&bad, "mended").await.code(), "REQ_002");
    assert_eq!(house.send_keyed(&text(&recipient(9)), "mended").await.status, 200);
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_free_after_a_limit_an_empty_wallet_and_an_unreached_meta() {
    let mut house = House::open(Plan { top_up: "0.001", ..quick() }).await;
    let body = text(&recipient(1));
    let poor = house.send_keyed(&body, "order-1").await;
    assert_eq!((poor.status, poor.code().as_str()), (402, "BILL_001"), "{}", poor.summary());
    house.top_up("5.00").await;
    // Meta is away.
    house.simulator.kill();
    let unreached = house.send_keyed(&body, "order-1").await;
    assert_eq!((unreached.status, unreached.code().as_str()), (503, "GW_002"), "{}", unreached.summary());
    let again = house.send_keyed(&body, "order-1").await;
    assert_eq!((again.status, is_replayed(&again)), (503, false), "{}", again.summary());
    assert_ne!(again.message_id(), unreached.message_id(), "each try is a message of its own, with its own hold");
    let wallet = house.wallet().await;
    assert_eq!((wallet.held, wallet.available), (0, 5_001_000), "both holds were given back");

    let slow = house.key(json!({"ratePerSecond": 1})).await;
    let limited: Vec<Answer> = {
        let asked = || house.api.call(post(&slow, &body).key("order-2"));
        vec![asked().await, asked().await]
    };
    assert_eq!(limited[1].code(), "RATE_001", "{}", limited[1].summary());
    let unlimited = house.send_keyed(&body, "order-2").await;
    assert_eq!((unlimited.status, is_replayed(&unlimited)), (503, false), "{}", unlimited.summary());
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_takes_no_quota_and_no_money() {
    let house = House::open(Plan::default()).await;
    let body = text(&recipient(1));
    let key = house.key(json!({"ratePerSecond": 5, "ratePerMinute": 5})).await;
    let first = house.api.call(post(&key, &body).key("order-1")).await;
    assert_eq!((first.status, first.header("x-ratelimit-min-remaining")), (200, Some("4")), "{}", first.summary());
    let wallet = house.wallet().await;
    for _ in 0..20 {
        let again = house.api.call(post(&key, &body).key("order-1")).await;
        assert_eq!((again.status, is_replayed(&again)), (200, true), "{}", again.summary());
        assert_eq!(again.header("x-ratelimit-min-remaining"), Some("4"), "a replay takes nothing of the window");
    }
    assert_eq!(house.wallet().await, wallet);
    // They have a window of their own: ten times the key's.
    let mut refused = None;
    for _ in 0..60 {
        let again = house.api.call(post(&key, &body).key("order-1")).await;
        if again.status != 200 {
            refused = Some(again);
            break;
        }
    }
    let refused = refused.expect("replays are limited too");
    assert_eq!((refused.status, refused.code().as_str()), (429, "RATE_001"), "{}", refused.summary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_the_repeat_of_an_unknown_is_not_sent_but_when_asked_to() {
    let house = House::open(quick()).await;
    let to = "1555010319";
    let body = text(to);
    let first = house.send(&body).await;
    assert_eq!((first.status, first.code().as_str()), (504, "GW_003"), "{}", first.summary());
    let again = house.send(&body).await;
    assert_eq!((again.status, again.code().as_str(), again.message_id()), (504, "GW_003", first.message_id()), "{}", again.summary());
    assert_eq!(again.header("retry-after"), None);
    assert_eq!(house.posts_to(to).await.len(), 1, "POSTs");
    let insisted = house.api.call(post(&house.live, &body).header("x-allow-duplicate", "true")).await;
    assert_ne!(insisted.message_id(), first.message_id());
    assert_eq!(house.posts_to(to).await.len(), 2, "POSTs");
    // An equal request whose outcome is known is no repeat.
    let other = text(&recipient(3));
    let (one, two) = (house.send(&other).await, house.send(&other).await);
    assert_eq!((one.status, two.status), (200, 200));
    assert_ne!(one.message_id(), two.message_id());
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_repeat_follows_what_becomes_known() {
    let house = House::open(quick()).await;
    let mut ids = BTreeMap::new();
    for (key, to) in [("accepted", "905320000001"), ("failed", "905320000002"), ("not-sent", "905320000003")] {
        house.script(json!({"match": {"to": to}, "behaviour": "close_after_body_rst"})).await;
        let lost = house.send_keyed(&text(to), key).await;
        assert_eq!(lost.code(), "GW_003", "{}", lost.summary());
        ids.insert(key, lost.message_id());
    }
    let resolve = |key: &str, as_what: &str, wamid: Value| {
        let mut order = json!({"message": ids[key], "as": as_what, "reason": "seen on the recipient's phone"});
        if !wamid.is_null() {
            order["wamid"] = wamid;
        }
        house.order("/messages/resolve", order)
    };
    resolve("accepted", "accepted", json!("wamid.HBgMOTA1MzIwMDAwMDAx")).await;
    resolve("failed", "failed", Value::Null).await;
    resolve("not-sent", "not-sent", Value::Null).await;
    house.unscript().await;

    let accepted = house.send_keyed(&text("905320000001"), "accepted").await;
    assert_eq!((accepted.status, accepted.wamid().as_str()), (200, "wamid.HBgMOTA1MzIwMDAwMDAx"), "{}", accepted.summary());
    assert!(is_replayed(&accepted));
    let failed = house.send_keyed(&text("905320000002"), "failed").await;
    assert_eq!((is_replayed(&failed), failed.code().as_str()), (true, "GW_001"), "{}", failed.summary());
    assert_eq!(failed.json()["errors"]["description"], "Meta refused the message: The message failed at Meta (code 131000).");
    let presumed = house.send_keyed(&text("905320000003"), "not-sent").await;
    assert_eq!(
        (presumed.status, presumed.code().as_str(), presumed.param("outcome")),
        (504, "GW_003", json!("presumed_not_sent")),
        "{}",
        presumed.summary()
    );
    for to in ["905320000001", "905320000002", "905320000003"] {
        assert_eq!(house.posts_to(to).await.len(), 1, "POSTs");
    }
    // Only a new key sends it.
    assert_eq!(house.send_keyed(&text("905320000003"), "not-sent-2").await.status, 200);
    house.verify().await;
}
