//! The codes that only a store in trouble, or a bug of ours, brings about, as a caller meets them:
//! AUTH_004, AUTH_005, BILL_002 and SYS_001.

mod works;

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use turnpike_domain::api_key::{ApiKeyText, KeyKind};
use turnpike_domain::send::Mode;
use turnpike_engine::control::keys::NewKey;
use turnpike_engine::vault::{MasterKey, Vault};
use turnpike_store::faults::{Fault, Method};
use turnpike_store::keys::{KeyPolicy, Keys as _, NewApiKey};
use works::{Answer, OPERATOR_TOKEN, PATIENCE, Plan, Works};

const JSON: &str = "Content-Type: application/json\r\n";

fn text() -> Vec<u8> {
    json!({"messaging_product": "whatsapp", "to": "905321234567", "type": "text", "text": {"body": "Hello"}}).to_string().into_bytes()
}

async fn send(works: &Works, path: &str, key: &str, headers: &str) -> Answer {
    works.call("POST", path, key, &format!("{JSON}{headers}"), &text()).await
}

#[track_caller]
fn expect(answer: &Answer, status: u16, code: &str, sent: &str, retryable: bool) {
    let errors = &answer.json()["errors"];
    let said = (answer.status, errors["code"].as_str(), errors["params"]["sent"].as_str(), errors["params"]["retryable"].as_bool());
    assert_eq!(said, (status, Some(code), Some(sent), Some(retryable)), "{answer:?}");
    assert!(answer.header("x-request-id").is_some(), "{answer:?}");
    assert_eq!(answer.header("retry-after").is_some(), status == 503, "{answer:?}");
}

/// A text that is a key by its form and checksum.
fn well_formed(byte: u8) -> ApiKeyText {
    ApiKeyText::generate(KeyKind::Live, [byte; 32])
}

#[tokio::test]
async fn a_key_that_the_store_may_hold_is_not_called_unknown_while_the_store_is_out_of_reach() {
    let works = Works::open(Plan::default()).await;
    works.engine.run();
    let known = works.live_key("acme").await;
    let stranger = well_formed(9);
    expect(&send(&works, "/v1/wa/message", stranger.reveal(), "").await, 401, "AUTH_001", "no", false);

    // The commit happened and its answer got lost; and reading the keys anew fails, too.
    works.store.fail_always(Method::LoadKeys, Fault::Unavailable);
    works.store.fail_next(Method::CreateKeys, Fault::UnavailableAfterCommit);
    let new = NewKey { name: "lost".to_owned(), mode: Mode::Live, policy: KeyPolicy::default(), expires_at: None, count: 1 };
    assert!(works.engine.create_keys(&works.app("acme"), new).await.is_err());

    expect(&send(&works, "/v1/wa/message", stranger.reveal(), "").await, 500, "AUTH_004", "no", true);
    let junk = send(&works, "/v1/wa/message", "pk_junk", "").await;
    expect(&junk, 401, "AUTH_001", "no", false);
    let me = works.get("/v1/wa/me", &known).await;
    assert_eq!(me.status, 200, "keys in memory go on working: {me:?}");

    works.store.heal();
    let settled = async {
        while send(&works, "/v1/wa/message", stranger.reveal(), "").await.status != 401 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, settled).await.expect("the keys are read anew");
    expect(&send(&works, "/v1/wa/message", stranger.reveal(), "").await, 401, "AUTH_001", "no", false);
}

#[tokio::test]
async fn a_key_whose_record_cannot_be_read_is_told_so_and_nothing_is_sent() {
    let works = Works::open(Plan::default()).await;
    works.engine.run();
    let app = works.app("acme");
    let damaged = well_formed(7);
    let presented = damaged.presented();
    let vault = Vault::new(&MasterKey::from_bytes([5; 32]));
    let row = NewApiKey {
        organization: app.row.organization,
        application: app.row.key,
        id: uuid::Uuid::from_u128(7),
        name: "damaged".to_owned(),
        mode: Mode::Live,
        digest: presented.digest(vault.pepper()).0,
        prefix: presented.prefix().to_owned(),
        last_four: presented.last_four().to_owned(),
        policy: KeyPolicy { scopes: vec!["flying".to_owned()], ..KeyPolicy::default() },
        expires_at: None,
        at: turnpike_domain::time::UnixMs(1_790_000_000_000),
    };
    works.store.create_keys(vec![row]).await.expect("the store takes any words");
    // The gateway hears of it as at a start: by reading what is stored.
    works.store.fail_next(Method::CreateKeys, Fault::Unavailable);
    let new = NewKey { name: "any".to_owned(), mode: Mode::Live, policy: KeyPolicy::default(), expires_at: None, count: 1 };
    assert!(works.engine.create_keys(&app, new).await.is_err());
    let read = async {
        loop {
            let answer = send(&works, "/v1/wa/message", damaged.reveal(), "").await;
            if answer.json()["errors"]["code"] != "AUTH_004" {
                return answer;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let answer = timeout(PATIENCE, read).await.expect("the keys are read anew");
    expect(&answer, 500, "AUTH_005", "no", false);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_sends_nothing() {
    let works = Works::open(Plan::default()).await;
    let key = works.key("acme", Mode::Sandbox, None).await.0;
    works.store.fail_next(Method::Admit, Fault::Unavailable);
    let answer = send(&works, "/v1/wa/message", &key, "Idempotency-Key: order-1\r\n").await;
    expect(&answer, 503, "BILL_002", "no", true);
    assert!(answer.header("x-ratelimit-sec-limit").is_some(), "a valid key hears of its limits: {answer:?}");
}

#[tokio::test]
async fn a_bug_before_anything_left_is_ours_and_answered() {
    let works = Works::open(Plan::default()).await;
    let key = works.live_key("acme").await;
    let body = text();
    // A balance is looked at last before the answer to a check and to the caller's own standing.
    for (path, method) in [("/v1/wa/message/check", "POST"), ("/v1/wa/me", "GET")] {
        works.store.fail_next(Method::Balance, Fault::Panics);
        let answer = works.call(method, path, &key, JSON, if method == "POST" { &body } else { &[] }).await;
        assert_eq!((answer.status, answer.json()["errors"]["code"].as_str()), (500, Some("SYS_001")), "{path}: {answer:?}");
        assert_eq!(answer.json()["errors"]["group"], "INTERNAL_SERVER_ERROR", "{path}");
        assert!(answer.header("x-request-id").is_some(), "{path}");
    }
    let me = works.get("/v1/wa/me", &key).await;
    assert_eq!(me.status, 200, "one bug ends one request: {me:?}");
}

#[tokio::test]
async fn every_error_of_a_check_says_that_nothing_was_sent() {
    let works = Works::open(Plan::default()).await;
    let key = works.live_key("acme").await;
    let twice = "Idempotency-Key: a\r\nIdempotency-Key: b\r\n";
    expect(&send(&works, "/v1/wa/message/check", &key, twice).await, 400, "REQ_006", "no", false);
    expect(&send(&works, "/v1/wa/message/check", "pk_junk", "").await, 401, "AUTH_001", "no", false);
    let wrong = works.call("POST", "/v1/wa/message/check", &key, JSON, b"{}").await;
    expect(&wrong, 400, "REQ_002", "no", false);
    works.store.fail_next(Method::Balance, Fault::Panics);
    expect(&send(&works, "/v1/wa/message/check", &key, "").await, 500, "SYS_001", "no", true);
    let looked_up = works.call("GET", "/v1/wa/message", &key, twice, b"").await;
    assert_eq!((looked_up.status, looked_up.json()["errors"]["params"].get("sent")), (400, None), "a look-up sends nothing: {looked_up:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_cannot_be_written_is_what_the_doctor_and_the_metrics_name() {
    let works = Works::open(Plan::default()).await;
    let key = works.key("acme", Mode::Sandbox, None).await.0;
    works.store.fail_always(Method::Settle, Fault::Undone);
    let answer = send(&works, "/v1/wa/message", &key, "").await;
    expect(&answer, 504, "GW_003", "unknown", false);
    let named = async {
        while !works.metrics().contains("turnpike_unwritten{what=\"outcome\"} 1") {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, named).await.expect("it is counted");
    let checks = works.get("/api/v1/operator/doctor", OPERATOR_TOKEN).await.json();
    let writes = checks["data"].as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "writes"));
    assert_eq!(writes.map(|check| &check["ok"]), Some(&json!(false)), "{checks}");
}
