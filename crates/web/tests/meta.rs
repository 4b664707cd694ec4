//! Meta's webhook over real sockets: the handshake, and who is believed.

mod works;

use std::time::Duration;

use serde_json::json;
use turnpike_domain::webhook::hub_signature;
use turnpike_web::meta::{META_BODY_MAX, META_WEBHOOK_PATH};
use turnpike_web::server::BodyPace;
use works::{APP_SECRET, Answer, Plan, Works};

fn payload(wamid: &str) -> Vec<u8> {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "21001", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550001000", "phone_number_id": "1001"},
        "contacts": [{"wa_id": "905551112233"}],
        "messages": [{"from": "905551112233", "id": wamid, "timestamp": "1795392000", "type": "text", "text": {"body": "canary"}}]}}]}]})
    .to_string()
    .into_bytes()
}

async fn post(works: &Works, headers: &str, body: &[u8]) -> Answer {
    works.call("POST", META_WEBHOOK_PATH, "none", headers, body).await
}

fn signed(body: &[u8]) -> String {
    format!("Content-Type: application/json\r\nX-Hub-Signature-256: {}\r\n", hub_signature(APP_SECRET.as_bytes(), body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_challenge_goes_back_to_who_knows_the_words() {
    let works = Works::open(Plan::default()).await;
    let ask = |query: &'static str| {
        let works = &works;
        async move { works.get(&format!("{META_WEBHOOK_PATH}?{query}"), "none").await }
    };
    let answer = ask("hub.mode=subscribe&hub.challenge=%3Cb%3E1158201444&hub.verify_token=our+own%20words").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"<b>1158201444"[..]));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    for query in [
        "",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=others",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=other&hub.challenge=1&hub.verify_token=our+own%20words",
    ] {
        assert_eq!(ask(query).await.refusal(), (403, "WH_001".to_owned(), String::new()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_right_signature_over_the_right_bytes_is_taken() {
    let works = Works::open(Plan::default()).await;
    let body = payload("wamid.1");
    let right = hub_signature(APP_SECRET.as_bytes(), &body);
    let json = "Content-Type: application/json\r\n";
    let refused = |headers: String, bytes: Vec<u8>| {
        let works = &works;
        async move { post(works, &headers, &bytes).await.refusal() }
    };
    let wrong = (401, "WH_003".to_owned(), String::new());
    assert_eq!(refused(json.to_owned(), body.clone()).await, (401, "WH_002".to_owned(), String::new()));
    for signature in [
        format!("X-Hub-Signature-256: {}\r\n", right.to_uppercase()),
        format!("X-Hub-Signature-256: {}\r\n", right.replace("sha256", "sha1")),
        format!("X-Hub-Signature-256: {}\r\n", &right[..right.len() - 1]),
        format!("X-Hub-Signature-256: {right}\r\nX-Hub-Signature-256: {right}\r\n"),
        "X-Hub-Signature-256: \r\n".to_owned(),
    ] {
        assert_eq!(refused(format!("{json}{signature}"), body.clone()).await, wrong, "{signature}");
    }
    assert_eq!(refused(format!("{json}X-Hub-Signature-256: {right}\r\n"), payload("wamid.2")).await, wrong);
    let kind = format!("Content-Type: text/plain\r\nX-Hub-Signature-256: {right}\r\n");
    assert_eq!(refused(kind, body.clone()).await, (415, "REQ_003".to_owned(), String::new()));
    let answer = works.call("PUT", META_WEBHOOK_PATH, "none", "", b"").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST")));

    let bare = format!("X-Hub-Signature-256: {right}\r\n");
    assert_eq!(post(&works, &bare, &body).await.status, 200, "no type is no wrong type");
    assert_eq!(post(&works, &signed(&body), &body).await.status, 200);
    assert_eq!(post(&works, &signed(b"not json"), b"not json").await.status, 200, "kept, since a refusal would be repeated for days");
    let metrics = works.metrics();
    for line in [
        "turnpike_events_recorded_total{kind=\"messages\"} 1",
        "turnpike_events_quarantined_total{reason=\"unreadable\"} 1",
        "turnpike_webhooks_refused_total{reason=\"no_signature\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    assert!(!metrics.contains("canary") && !metrics.contains("905551112233"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_bounded_in_size_and_time() {
    let pace = BodyPace { total: Duration::from_millis(300), bytes_per_second: 16 * 1024 * 1024 };
    let works = Works::open(Plan { body_pace: pace, ..Plan::default() }).await;
    let large = vec![b' '; META_BODY_MAX + 1];
    assert_eq!(post(&works, &signed(&large), &large).await.refusal(), (413, "REQ_004".to_owned(), String::new()));
    let head = format!("{}Content-Length: 100\r\n", signed(b""));
    let answer = {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut socket = tokio::net::TcpStream::connect(works.address).await.expect("it listens");
        let request = format!("POST {META_WEBHOOK_PATH} HTTP/1.1\r\nHost: gateway\r\n{head}\r\nhalf");
        socket.write_all(request.as_bytes()).await.expect("written");
        let mut bytes = Vec::new();
        tokio::time::timeout(works::PATIENCE, socket.read_to_end(&mut bytes)).await.expect("an answer").expect("read");
        String::from_utf8(bytes).expect("text")
    };
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("REQ_007"), "{answer}");
    // Nothing of a refused one is kept.
    let metrics = works.metrics();
    for counted in ["turnpike_events_recorded_total{", "turnpike_events_quarantined_total{"] {
        assert!(metrics.lines().filter(|line| line.starts_with(counted)).all(|line| line.ends_with(" 0")), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_updates_in_three_megabytes_are_taken_at_once() {
    let works = Works::open(Plan::default()).await;
    let messages: Vec<_> = (0..1_000)
        .map(|count| {
            json!({"from": "905551112233", "id": format!("wamid.{count}"), "timestamp": "1795392000", "type": "text",
                "text": {"body": "x".repeat(2_900)}})
        })
        .collect();
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "21001", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550001000", "phone_number_id": "1001"},
        "contacts": [{"wa_id": "905551112233"}], "messages": messages}}]}]})
    .to_string()
    .into_bytes();
    assert!(body.len() > 2_900_000 && body.len() < META_BODY_MAX, "{}", body.len());
    // Busy neighbours may make the first one late; then it is Meta's repeat that is answered 200.
    let mut status = 503;
    for _ in 0..20 {
        status = post(&works, &signed(&body), &body).await.status;
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(status, 200);
    assert!(works.metrics().contains("turnpike_events_recorded_total{kind=\"messages\"} 1000"), "{}", works.metrics());
}
