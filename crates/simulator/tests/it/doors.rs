//! Tokens, proofs, unknown objects, rates, and what Meta's headers say.

use serde_json::json;
use turnpike_simulator::{Config, Tokens, Window};

use crate::client::{Answer, call, call_with, start, text_to};

/// HMAC-SHA256 of `EAAgood` under the secret `secret`, made with openssl.
const PROOF: &str = "346139e89d48b2cc3bedb97f8feb3e27824dfb3125f5b82481da6d320809f470";

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn error(answer: &Answer) -> (u16, i64, Option<i64>) {
    (answer.status, answer.code(), answer.json()["error"]["error_subcode"].as_i64())
}

#[tokio::test]
async fn tokens_are_asked_for_and_told_apart() {
    let simulator = start(Config::default()).await;
    let message = text_to("905321234567");
    let send = |headers: String| {
        let message = message.clone();
        let address = simulator.address();
        async move { call_with(address, "POST", "/v23.0/1/messages", &headers, Some(&message)).await }
    };
    assert_eq!(error(&send(String::new()).await), (400, 104, None));
    assert_eq!(error(&send("authorization: Basic eA==\r\n".to_owned()).await), (400, 104, None));
    assert_eq!(error(&send(bearer("EAAEXPIRED1")).await), (401, 190, Some(463)));
    assert_eq!(error(&send(bearer("EAAINVALID1")).await), (401, 190, Some(467)));
    assert_eq!(error(&send(bearer("EAANOPERM1")).await), (403, 10, None));
    assert_eq!(send(bearer("anything")).await.status, 200);
    assert_eq!(send("authorization: OAuth anything\r\n".to_owned()).await.status, 200);
    let reading = call_with(simulator.address(), "GET", "/v23.0/1", "", None).await;
    assert_eq!(error(&reading), (403, 200, None));
    let by_query = call_with(simulator.address(), "GET", "/v23.0/1?access_token=abc", "", None).await;
    assert_eq!(by_query.status, 200);
    assert_eq!(simulator.request_count(), 9, "refused calls are in the record too");
}

#[tokio::test]
async fn only_the_named_tokens_are_good_where_some_are_named() {
    let tokens = Tokens::Only(vec!["EAAone".to_owned(), "EAAtwo".to_owned()]);
    let simulator = start(Config { tokens, ..Config::default() }).await;
    let message = text_to("905321234567");
    for (token, status) in [("EAAone", 200), ("EAAtwo", 200), ("EAAthree", 401), ("EAAon", 401)] {
        let answer = call_with(simulator.address(), "POST", "/v23.0/1/messages", &bearer(token), Some(&message)).await;
        assert_eq!(answer.status, status, "{token}");
    }
}

#[tokio::test]
async fn a_proof_is_required_and_verified_where_the_app_has_a_secret() {
    let simulator = start(Config { app_secret: Some("secret".to_owned()), ..Config::default() }).await;
    let message = text_to("905321234567");
    let send = |target: String| {
        let message = message.clone();
        let address = simulator.address();
        async move { call(address, "POST", &target, Some(&message)).await }
    };
    let missing = send("/v23.0/1/messages".to_owned()).await;
    assert_eq!(error(&missing), (400, 100, None));
    assert!(missing.json()["error"]["message"].as_str().is_some_and(|m| m.contains("require an appsecret_proof")));
    let wrong = send(format!("/v23.0/1/messages?appsecret_proof={}", PROOF.replace('a', "b"))).await;
    assert_eq!(wrong.json()["error"]["message"], "Invalid appsecret_proof provided in the API argument");
    assert_eq!(wrong.json()["error"]["type"], "GraphMethodException");
    assert_eq!(send(format!("/v23.0/1/messages?appsecret_proof={PROOF}")).await.status, 200);
    let mut in_body = message.clone();
    in_body["appsecret_proof"] = PROOF.into();
    assert_eq!(call(simulator.address(), "POST", "/v23.0/1/messages", Some(&in_body)).await.status, 200);
    let listing = call(simulator.address(), "GET", "/v23.0/7/message_templates", None).await;
    assert_eq!(error(&listing), (400, 100, None), "every call needs it");
}

#[tokio::test]
async fn a_sandbox_number_has_its_own_secret_and_the_secret_no_other_number() {
    let config = Config { sandbox_secret: Some("box".to_owned()), app_secret: Some("secret".to_owned()), ..Config::default() };
    let simulator = start(config).await;
    let message = text_to("905321234567");
    for (target, token, status) in [
        ("/v23.0/sandbox-0190a1b2/messages", "box", 200),
        ("/v23.0/sandbox-0190a1b2/messages", "EAAgood", 401),
        ("/v23.0/sandbox-/messages", "box", 400),
        ("/v23.0/1/messages", "box", 401),
    ] {
        let answer = call_with(simulator.address(), "POST", target, &bearer(token), Some(&message)).await;
        assert_eq!(answer.status, status, "{target} with {token}");
    }
    let without = start(Config::default()).await;
    let answer = call_with(without.address(), "POST", "/v23.0/sandbox-a/messages", &bearer("x"), Some(&message)).await;
    assert_eq!(answer.status, 401, "no secret, no sandbox");
}

#[tokio::test]
async fn what_does_not_exist_is_metas_own_no() {
    let simulator = start(Config::default()).await;
    let message = text_to("905321234567");
    for target in ["/v23.0/404001/messages", "/v23.0/me/messages"] {
        let answer = call(simulator.address(), "POST", target, Some(&message)).await;
        assert_eq!(error(&answer), (400, 100, Some(33)), "{target}");
        let json = answer.json();
        assert_eq!(json["error"]["type"], "GraphMethodException");
        assert!(json["error"]["message"].as_str().is_some_and(|m| m.starts_with("Unsupported post request. Object with ID")));
    }
    for target in ["/v23.0/1/nothing", "/v23.0/1/messages/deeper", "/messages", "/v23/1/messages"] {
        let answer = call(simulator.address(), "POST", target, Some(&message)).await;
        assert_eq!(answer.code(), 2_500, "{target}");
    }
    assert_eq!(call(simulator.address(), "GET", "/_sim/nothing", None).await.status, 404);
    assert_eq!(call(simulator.address(), "PUT", "/_sim/script", None).await.status, 405);
    assert_eq!(call(simulator.address(), "GET", "/_sim/requests?limit=many", None).await.status, 400);
}

#[tokio::test]
async fn rates_are_enforced_where_asked_for() {
    let simulator = start(Config { rate_limits: true, ..Config::default() }).await;
    let mut codes = Vec::new();
    for _ in 0..46 {
        let answer = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234567"))).await;
        codes.push(if answer.status == 200 { 0 } else { answer.code() });
    }
    assert!(codes[..45].iter().all(|code| *code == 0));
    assert_eq!(codes[45], 131_056);
    let free = start(Config::default()).await;
    for _ in 0..46 {
        let answer = call(free.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234567"))).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_message_outside_the_window_is_answered_like_any_other() {
    let simulator = start(Config { unscripted_window: Window::Closed, ..Config::default() }).await;
    let answer = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234567"))).await;
    assert_eq!(answer.status, 200, "Meta fails it later, by status");
}

#[tokio::test]
async fn answers_bear_metas_headers() {
    let simulator = start(Config::default()).await;
    let sent = call(simulator.address(), "POST", "/v25.0/1/messages", Some(&text_to("905321234567"))).await;
    let listed = call(simulator.address(), "GET", "/v25.0/7/message_templates", None).await;
    let refused = call(simulator.address(), "POST", "/v25.0/1/messages", Some(&json!({}))).await;
    for answer in [&sent, &listed, &refused] {
        assert_eq!(answer.header("facebook-api-version"), Some("v25.0"));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"));
        for name in ["x-fb-request-id", "x-fb-trace-id", "x-fb-debug", "x-fb-rev"] {
            assert!(answer.header(name).is_some_and(|value| !value.is_empty()), "{name}");
        }
    }
    assert!(listed.header("x-business-use-case-usage").is_some_and(|usage| usage.starts_with(r#"{"7":[{"type":"#)));
    assert_eq!(sent.header("x-business-use-case-usage"), None);
    assert_eq!(refused.header("x-fb-trace-id"), refused.json()["error"]["fbtrace_id"].as_str());
}

#[tokio::test]
async fn numbers_and_accounts_are_read_field_by_field() {
    let simulator = start(Config::default()).await;
    let get = |target: &'static str| call(simulator.address(), "GET", target, None);
    let number = get("/v23.0/106540352242922?fields=display_phone_number,verified_name,quality_rating,throughput{level}").await;
    assert_eq!(
        number.json(),
        json!({"id": "106540352242922", "display_phone_number": "+1 555-010-2922", "verified_name": "Simulated Business",
            "quality_rating": "GREEN", "throughput": {"level": "STANDARD"}})
    );
    let account = get("/v23.0/102290129340398?fields=id,name,currency,timezone_id").await;
    assert_eq!(account.json(), json!({"id": "102290129340398", "name": "Simulated Business", "currency": "USD", "timezone_id": "1"}));
    let london = json!({"id": "102290129340398", "timezone_id": "58"});
    assert_eq!(call(simulator.address(), "POST", "/_sim/wabas", Some(&london)).await.status, 200);
    assert_eq!(get("/v23.0/102290129340398?fields=timezone_id").await.json(), london);
    assert_eq!(get("/v23.0/2?fields=timezone_id").await.json()["timezone_id"], "1", "others keep theirs");
    for (wrong, member) in [(json!({"id": "1", "timezone_id": "Europe/London"}), "timezone_id"), (json!({"id": "1"}), "timezone_id")] {
        let refused = call(simulator.address(), "POST", "/_sim/wabas", Some(&wrong)).await;
        assert_eq!(refused.status, 400);
        assert!(refused.json()["error"].as_str().is_some_and(|error| error.contains(member)), "{}", refused.json());
    }
    let unknown = get("/v23.0/102290129340398?fields=currency,colour").await;
    assert_eq!(unknown.code(), 100);
    assert!(unknown.json()["error"]["message"].as_str().is_some_and(|m| m.contains("nonexisting field")));
    assert_eq!(get("/v23.0/1").await.json()["verified_name"], "Simulated Business");
}

#[tokio::test]
async fn a_seed_makes_ids_repeatable_and_without_one_they_are_not() {
    let mut seen = Vec::new();
    for seed in [Some(42), Some(42), Some(43), None, None] {
        let simulator = start(Config { seed, ..Config::default() }).await;
        let first = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234567"))).await.wamid();
        let second = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234567"))).await.wamid();
        assert_ne!(first, second);
        seen.push(first);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[1], seen[2]);
    assert_ne!(seen[3], seen[4]);
}
