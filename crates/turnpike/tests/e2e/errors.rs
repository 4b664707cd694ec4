//! Every code of contract §3.4 that a send can be answered with, reached over HTTP: its status, its
//! group, its parameters and its headers.
//!
//! Not here, because no caller and no operator can bring them about from outside: AUTH_004, AUTH_005,
//! BILL_002 and SYS_001 need a store that breaks or a bug. `web/tests/store_trouble.rs` injects both
//! and meets them over HTTP.
//! REQ_001 to REQ_008 are in [`crate::bad`].

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::house::{House, Plan, SEND, connection, key_text, post, recipient, text};

/// What an answer must be.
#[track_caller]
fn expect(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.summary());
    let group = match status {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        402 => "PAYMENT_REQUIRED",
        403 => "FORBIDDEN",
        409 => "CONFLICT",
        422 => "UNPROCESSABLE_ENTITY",
        429 => "TOO_MANY_REQUESTS",
        502 => "BAD_GATEWAY",
        503 => "SERVICE_UNAVAILABLE",
        504 => "GATEWAY_TIMEOUT",
        _ => panic!("no error of a send has the status {status}"),
    };
    let body = answer.json();
    assert_eq!((&body["isSuccess"], &body["errors"]["group"]), (&json!(false), &json!(group)), "{}", answer.summary());
    let doc = format!("#{}", code.to_lowercase());
    assert!(body["errors"]["doc"].as_str().is_some_and(|link| link.ends_with(&doc)), "{}", answer.summary());
    assert_eq!(answer.param("sent"), if status == 504 { "unknown" } else { "no" }, "{}", answer.summary());
    assert!(answer.param("retryable").is_boolean(), "{}", answer.summary());
    assert!(answer.header("x-request-id").is_some() && answer.header("cache-control") == Some("no-store"));
    assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Bearer"), "{}", answer.summary());
    let waits = matches!(status, 429 | 503) || code == "IDEM_001";
    assert_eq!(answer.header("retry-after").is_some(), waits, "{}", answer.summary());
    if waits {
        let seconds: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("whole seconds");
        assert_eq!(answer.param("retry_after"), json!(format!("{seconds}s")), "{}", answer.summary());
        let ms = answer.param("retry_after_ms").as_u64().expect("milliseconds");
        assert_eq!(ms.div_ceil(1000).max(1), seconds, "{}", answer.summary());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_decides_before_anything_else() {
    let house = House::open(Plan::default()).await;
    let body = text(&recipient(1));
    let with = |key: &str| house.api.call(post(key, &body));

    expect(&house.api.call(Ask::post(SEND).json(&body)).await, 401, "AUTH_002");
    expect(&house.api.call(Ask::post(SEND).header("authorization", "Token abc").json(&body)).await, 401, "AUTH_003");
    let made = house.new_key("shop", json!({})).await;
    let revoked = key_text(&made);
    assert_eq!(with(&revoked).await.status, 200);
    let path = format!("/api/v1/operator/api-keys/{}", made["id"].as_str().expect("an id"));
    assert_eq!(house.operator.call(Ask::new(http::Method::DELETE, &path)).await.status, 200);
    expect(&with(&revoked).await, 401, "AUTH_001");
    let short = house.key(json!({"expiresInSeconds": 1})).await;
    assert_eq!(with(&short).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    expect(&with(&short).await, 401, "AUTH_001");

    let reason = async |key: &str, wanted: &str| {
        let answer = with(key).await;
        expect(&answer, 403, "AUTH_006");
        assert_eq!(answer.param("reason"), wanted, "{}", answer.summary());
    };
    reason(&house.key(json!({"scopes": ["read"]})).await, "scope").await;
    reason(&house.key(json!({"allowedIps": ["192.0.2.0/24"]})).await, "address").await;
    reason(&house.key(json!({"allowedMarkets": ["germany"]})).await, "market").await;
    house.order("/applications", json!({"displayName": "Draft", "appId": "draft"})).await;
    reason(&key_text(&house.new_key("draft", json!({})).await), "application_draft").await;
    let sandbox = key_text(&house.new_key("draft", json!({"mode": "sandbox"})).await);
    assert_eq!(with(&sandbox).await.status, 200, "a draft's sandbox key works: continuous integration has no account at Meta");
    let browser = house.api.call(post(&house.live, &body).header("origin", "https://shop.example.org")).await;
    expect(&browser, 403, "AUTH_006");
    assert_eq!(browser.param("reason"), "browser");
    house.order("/applications/shop/suspend", json!({})).await;
    reason(&house.live, "application_suspended").await;
    house.order("/applications/shop/resume", json!({})).await;
    assert_eq!(with(&house.live).await.status, 200);
}

/// The refusal among answers, which must be a limit of this kind.
#[track_caller]
fn limited(answers: &[Answer], kind: &str) -> Answer {
    let refused = answers.iter().find(|answer| answer.status != 200);
    let refused = refused.unwrap_or_else(|| panic!("none of {} requests met the limit {kind}", answers.len()));
    expect(refused, 429, "RATE_001");
    assert_eq!(refused.param("limit_type"), kind, "{}", refused.summary());
    assert_eq!(refused.param("retryable"), true);
    refused.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_limit_can_be_met_and_says_how_long_to_wait() {
    let house = House::open(Plan::default()).await;
    let send = |key: String, n: usize| {
        let house = &house;
        async move { house.api.call(post(&key, &text(&recipient(n)))).await }
    };

    let second = house.key(json!({"ratePerSecond": 2})).await;
    let answers = [send(second.clone(), 1).await, send(second.clone(), 2).await, send(second.clone(), 3).await];
    let refused = limited(&answers, "sec");
    assert_eq!(refused.param("retry_after"), "1s");
    let standing = |name: &str| refused.header(name).map(str::to_owned);
    assert_eq!(standing("x-ratelimit-sec-limit").as_deref(), Some("2"));
    assert_eq!(standing("x-ratelimit-sec-remaining").as_deref(), Some("0"));
    assert!(standing("ratelimit-policy").is_some_and(|policy| policy.contains("q=2;w=1")), "{:?}", refused.headers);
    assert!(standing("ratelimit").is_some_and(|left| left.contains("r=0")), "{:?}", refused.headers);
    // The wait is true: after it the key sends.
    tokio::time::sleep(Duration::from_millis(refused.param("retry_after_ms").as_u64().expect("a wait"))).await;
    assert_eq!(send(second, 4).await.status, 200);

    let minute = house.key(json!({"ratePerMinute": 2})).await;
    let answers = [send(minute.clone(), 1).await, send(minute.clone(), 2).await, send(minute, 3).await];
    let refused = limited(&answers, "min");
    assert!((50_000..=60_000).contains(&refused.param("retry_after_ms").as_u64().expect("a wait")), "{}", refused.summary());

    let day = house.key(json!({"dailyLimit": 2})).await;
    let answers = [send(day.clone(), 1).await, send(day.clone(), 2).await, send(day, 3).await];
    limited(&answers, "day");

    let spend = house.key(json!({"dailySpend": "0.0038"})).await;
    let answers = [send(spend.clone(), 1).await, send(spend.clone(), 2).await, send(spend, 3).await];
    limited(&answers, "spend");

    let one = house.key(json!({"concurrencyLimit": 1})).await;
    let slow = |to: &str| house.api.call(post(&one, &text(to)));
    let (first, second) = (slow("1555010200700"), slow("1555010200701"));
    let answers = join_all([first, second]).await;
    limited(&answers, "concurrency");
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);

    let pair: Vec<Answer> = {
        let mut answers = Vec::new();
        for _ in 0..46 {
            answers.push(send(house.live.clone(), 77).await);
        }
        answers
    };
    assert_eq!(pair.iter().filter(|answer| answer.status == 200).count(), 45, "the bucket of a pair holds 45");
    let refused = limited(&pair, "pair");
    assert!((1..=6_000).contains(&refused.param("retry_after_ms").as_u64().expect("a wait")), "{}", refused.summary());
    // The pair of another recipient is another bucket, and the sandbox has none.
    assert_eq!(send(house.live.clone(), 78).await.status, 200);
    assert_eq!(send(house.sandbox.clone(), 77).await.status, 200);

    house.change_app("shop", json!({"numberPerSecond": 1})).await;
    let answers = [send(house.live.clone(), 5).await, send(house.live.clone(), 6).await];
    limited(&answers, "number");

    let broken = format!("{}aaaaaa", &house.live[..house.live.len() - 6]);
    let answers = join_all((0..40).map(|n| house.api.call(post(&broken, &text(&recipient(n)))))).await;
    let wrong: Vec<Answer> = answers.into_iter().filter(|answer| answer.status != 401).collect();
    limited(&wrong, "address");
    assert_eq!(send(house.sandbox.clone(), 9).await.status, 200, "who has a good key is let in from the same address");
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_wallet_says_what_is_missing_to_those_who_may_know() {
    let house = House::open(Plan { top_up: "0.0018", ..Plan::default() }).await;
    let refused = house.send(&text(&recipient(1))).await;
    expect(&refused, 402, "BILL_001");
    let params = |answer: &Answer| ["required", "currency", "available"].map(|name| answer.param(name));
    assert_eq!(params(&refused), [json!("0.0019"), json!("USD"), json!("0.0018")]);
    let blind = house.key(json!({"scopes": ["send"]})).await;
    let refused = house.api.call(post(&blind, &text(&recipient(1)))).await;
    assert_eq!(params(&refused), [json!("0.0019"), json!("USD"), Value::Null]);
    assert_eq!(house.posts().await.len(), 0);
    house.top_up("0.0001").await;
    assert_eq!(house.send(&text(&recipient(1))).await.status, 200, "to the millionth");
}

/// Meta's codes by who must act (contract §3.4, GW_001).
const META_CODES: &[(u16, &[u32])] = &[
    (
        400,
        &[
            100, 131_008, 131_009, 131_021, 131_030, 131_051, 131_061, 131_062, 131_063, 132_000, 132_001, 132_005, 132_007, 132_012,
            132_015, 132_016, 132_068, 132_069, 137_000,
        ],
    ),
    (403, &[368, 130_497, 131_005, 131_031, 131_037, 133_010, 139_200]),
    (429, &[4, 613, 80_007, 130_429, 131_048, 131_056]),
    (502, &[0, 3, 10, 104, 190, 200, 299, 131_026, 131_047, 131_053, 999_999]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_meta_refuses_is_answered_by_who_must_act() {
    let house = House::open(Plan { settings: vec!["graph.pause_probe_every=1ms".to_owned()], ..Plan::default() }).await;
    let before = house.wallet().await;
    for (status, codes) in META_CODES {
        for code in *codes {
            let to = recipient(*code as usize % 9_000_000);
            let rule = house.script(json!({"match": {"to": to}, "behaviour": {"do": "graph_error", "code": code, "status": 400}})).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
            let answer = house.send(&text(&to)).await;
            assert_eq!(answer.status, *status, "Meta's {code}: {}", answer.summary());
            expect(&answer, *status, "GW_001");
            assert_eq!(answer.param("code"), json!(code), "{}", answer.summary());
            for words in ["title", "hint", "fbtrace_id"] {
                assert!(answer.param(words).as_str().is_some_and(|text| !text.is_empty()), "{words} of {}", answer.summary());
            }
            let view = house.look_up(&answer.message_id()).await.json();
            assert_eq!((&view["data"]["state"], &view["data"]["problem"]["metaCode"]), (&json!("refused"), &json!(code)), "{view}");
            house.witness.call(Ask::new(http::Method::DELETE, &format!("/_sim/script/{rule}"))).await;
        }
    }
    assert_eq!(house.wallet().await, before, "what Meta refuses costs nothing");
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barred_number_is_paused_and_says_why() {
    let house = House::open(Plan::default()).await;
    assert_eq!(house.send(&text("15550101131031")).await.status, 403);
    let posts = house.posts().await.len();
    // The pause is remembered beside the answer, not before it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let paused = house.send(&text(&recipient(1))).await;
    expect(&paused, 403, "GW_001");
    assert_eq!(paused.param("code"), 131_031);
    let said = paused.json()["errors"]["description"].as_str().unwrap_or_default().to_owned();
    assert!(said.starts_with("Meta barred this number; it is paused since ") && said.ends_with("nothing was sent."), "{said}");
    assert_eq!(house.posts().await.len(), posts, "Meta is not asked while the number is paused");
    let me = house.api.call(Ask::get("/v1/wa/me").bearer(&house.live)).await.json();
    assert_eq!(me["data"]["paused"]["code"], 131_031, "{me}");
    let since = me["data"]["paused"]["since"].as_str().unwrap_or_default();
    assert!(said.contains(since) && since.ends_with('Z'), "an instant as everywhere: {me}");
    // A new connection to Meta lifts it.
    house.order("/applications/shop/connect", connection("100000000000001", "200000000000001")).await;
    assert_eq!(house.send(&text(&recipient(1))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_does_not_fit_its_template_is_refused_before_it_costs() {
    let house = House::open(Plan::default()).await;
    let before = house.wallet().await;
    let parameters = |count: usize| -> Vec<Value> { (0..count).map(|n| json!({"type": "text", "text": format!("value {n}")})).collect() };
    for (what, name, language, count, code) in [
        ("too few", "shipping_update", "en_US", 2, 132_000),
        ("too many", "shipping_update", "en_US", 4, 132_000),
        ("another language", "shipping_update", "de", 3, 132_001),
        ("another name", "no_such_template", "en_US", 3, 132_001),
    ] {
        let template =
            json!({"name": name, "language": {"code": language}, "components": [{"type": "body", "parameters": parameters(count)}]});
        let body = json!({"messaging_product": "whatsapp", "to": recipient(1), "type": "template", "template": template});
        let answer = house.send(&body).await;
        expect(&answer, 400, "GW_001");
        assert_eq!((answer.param("code"), answer.param("retryable")), (json!(code), json!(false)), "{what}: {}", answer.summary());
        assert!(answer.param("details").as_str().is_some_and(|text| !text.is_empty()), "{what}: {}", answer.summary());
    }
    assert_eq!((house.wallet().await, house.posts().await.len(), house.messages("any").await.len()), (before, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_way_to_meta_no_answer_and_no_room_are_told_apart() {
    let mut house = House::open(crate::idempotency::quick()).await;
    // No answer: the outcome is unknown, and nobody is told to come again.
    let unknown = house.send(&text("1555010309")).await;
    expect(&unknown, 504, "GW_003");
    assert_eq!((unknown.param("cause"), unknown.param("retryable")), (json!("timeout"), json!(false)));
    assert_eq!(unknown.param("message_id"), json!(unknown.message_id()));
    for (to, cause) in [
        ("1555010318", "connection_lost"),
        ("1555010345", "server_error"),
        ("1555010351", "redirect"),
        ("1555010328", "unreadable_answer"),
        ("1555010350", "unreadable_refusal"),
    ] {
        let unknown = house.send(&text(to)).await;
        expect(&unknown, 504, "GW_003");
        assert_eq!(unknown.param("cause"), cause, "{}", unknown.summary());
    }

    // The same request under its key, while the first is in flight.
    let slow = text("1555010200300");
    let (first, second) = tokio::join!(house.send_keyed(&slow, "slow"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        house.send_keyed(&slow, "slow").await
    });
    assert_eq!(first.status, 200, "{}", first.summary());
    expect(&second, 409, "IDEM_001");

    // No room.
    house.kill_gateway();
    house.reopen_gateway_with(&["limits.sends_in_flight=1"]);
    let (slow, quick) = (text("1555010200300"), text(&recipient(1)));
    let (first, second) = tokio::join!(house.send(&slow), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        house.send(&quick).await
    });
    assert_eq!(first.status, 200, "{}", first.summary());
    expect(&second, 503, "GW_004");
    assert_eq!(second.param("retryable"), true);

    // No way.
    house.simulator.kill();
    let unreached = house.send(&text(&recipient(2))).await;
    expect(&unreached, 503, "GW_002");
    assert_eq!((unreached.param("cause"), unreached.param("retryable")), (json!("connect"), json!(true)), "{}", unreached.summary());
    let view = house.look_up(&unreached.message_id()).await.json();
    assert_eq!((&view["data"]["state"], &view["data"]["money"]["base"]["state"]), (&json!("refused"), &json!("released")), "{view}");
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_ends_what_it_began_and_takes_nothing_new() {
    let mut house = House::open(Plan::default()).await;
    let slow = text("1555010201000");
    // A connection that is there when the end begins.
    assert_eq!(house.send(&text(&recipient(1))).await.status, 200);
    let pid = rustix::process::Pid::from_raw(i32::try_from(house.gateway.id()).expect("a process id")).expect("not 0");
    let (first, second) = tokio::join!(house.send_keyed(&slow, "slow"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        tokio::time::sleep(Duration::from_millis(100)).await;
        house.api.try_call(post(&house.live, &text(&recipient(2)))).await
    });
    assert_eq!(first.status, 200, "what was begun ends: {}", first.summary());
    match second {
        Ok(answer) => expect(&answer, 503, "GW_004"),
        Err(problem) => {
            assert!(problem.contains("connecting") || problem.contains("Closed") || problem.contains("Incomplete"), "{problem}")
        }
    }
    for _ in 0..100 {
        if !house.gateway.is_running() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!house.gateway.is_running(), "it ends within 5 s once nothing is under way");
    house.kill_gateway();
    house.reopen_gateway();
    let found = house.look_up_key("slow").await.json();
    assert_eq!(found["data"]["state"], "accepted", "{found}");
    assert_eq!(house.messages("unknown").await.len(), 0, "an orderly end leaves nothing unknown");
    assert_eq!(house.posts_to(&recipient(2)).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_bears_its_headers() {
    let house = House::open(Plan::default()).await;
    let sent = house.api.call(post(&house.live, &text(&recipient(1))).header("x-request-id", "order-7.retry_2")).await;
    assert_eq!(sent.header("x-request-id"), Some("order-7.retry_2"), "a sane id of the caller's is kept");
    let sent_again = house.api.call(post(&house.live, &text(&recipient(2))).header("x-request-id", "has spaces and \"quotes\"")).await;
    assert!(sent_again.header("x-request-id").is_some_and(|id| !id.contains(' ')), "{:?}", sent_again.headers);
    assert_eq!(sent.header("cache-control"), Some("no-store"));
    assert_eq!(sent.header("x-gateway-mode"), None, "live is not named");
    assert!(uuid_v7(sent.header("x-message-id").unwrap_or("")), "{:?}", sent.headers);
    for name in ["sec", "min"] {
        for part in ["limit", "remaining", "reset"] {
            let value = sent.header(&format!("x-ratelimit-{name}-{part}")).unwrap_or_else(|| panic!("{name} {part}"));
            assert!(value.parse::<u64>().is_ok(), "{name} {part} is {value}");
        }
    }
    let unknown_method = house.api.call(Ask::new(http::Method::PUT, SEND).bearer(&house.live)).await;
    assert_eq!(unknown_method.header("allow"), Some("GET, POST"));
    for (key, ids) in [(sent.message_id(), "id"), (sent.wamid(), "wamid")] {
        let found = house.look_up(&key).await;
        assert_eq!((found.status, &found.json()["data"]["state"]), (200, &json!("accepted")), "by {ids}: {}", found.summary());
    }
    // A trace goes on to Meta.
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    house.api.call(post(&house.live, &text(&recipient(3))).header("traceparent", parent)).await;
    let posts = house.posts_to(&recipient(3)).await;
    assert!(posts[0]["headers"]["traceparent"].as_str().is_some_and(|passed| passed[3..35] == parent[3..35]), "{}", posts[0]);
}

fn uuid_v7(text: &str) -> bool {
    text.len() == 36 && text.as_bytes()[14] == b'7' && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
