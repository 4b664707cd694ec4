//! What every answer bears, what operators ask, and how a framework's errors are dressed.

mod door;

use door::{Answer, Door, short};

async fn ask(door: &Door, request: &str) -> Answer {
    let answer = Answer::only(&door.tell(format!("{request}\r\n\r\n")).await);
    answer.assert_dressed();
    answer
}

#[tokio::test]
async fn a_sane_request_id_comes_back_and_another_is_replaced() {
    let door = Door::open(short()).await;
    let id = |given: &'static str| {
        let door = &door;
        async move {
            ask(door, &format!("GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: {given}")).await.header("x-request-id").map(str::to_owned)
        }
    };
    assert_eq!(id("order-17").await.as_deref(), Some("order-17"));
    assert_ne!(id("two words").await.as_deref(), Some("two words"));
    let ours = ask(&door, "GET /nowhere HTTP/1.1\r\nHost: a").await.header("x-request-id").map(str::to_owned);
    assert_ne!(ours, ask(&door, "GET /nowhere HTTP/1.1\r\nHost: a").await.header("x-request-id").map(str::to_owned));
}

#[tokio::test]
async fn a_traceparent_reaches_the_handler() {
    let door = Door::open(short()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let told = ask(&door, &format!("GET /v1/wa/who HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01")).await.json();
    assert_eq!(told["trace"], trace);
}

#[tokio::test]
async fn operators_are_told_ok_until_the_gateway_drains() {
    let door = Door::open(short()).await;
    for path in ["/livez", "/readyz", "/healthz"] {
        let answer = ask(&door, &format!("GET {path} HTTP/1.1\r\nHost: a")).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok\n"[..]), "{path}");
    }
    door.gate.drain();
    let answer = ask(&door, "GET /readyz HTTP/1.1\r\nHost: a").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "GW_004"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(ask(&door, "GET /livez HTTP/1.1\r\nHost: a").await.status, 200);
}

#[tokio::test]
async fn metrics_are_for_this_machine_only() {
    let mut config = door::config(short());
    config.trusted_proxies = turnpike_web::server::TrustedProxies::new(vec!["127.0.0.1".parse().expect("a network")]);
    let door = Door::with(config).await;
    let here = ask(&door, "GET /metrics HTTP/1.1\r\nHost: a").await;
    assert_eq!(here.status, 404, "a trusted proxy that names nobody is not this machine");
    let abroad = ask(&door, "GET /metrics HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9").await;
    assert_eq!((abroad.status, abroad.code().as_str()), (404, "REQ_005"));

    let plain = Door::open(short()).await;
    let here = ask(&plain, "GET /metrics HTTP/1.1\r\nHost: a").await;
    assert_eq!(String::from_utf8_lossy(&here.body), "turnpike_up 1\n# EOF\n");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_told_in_our_shape() {
    let door = Door::open(short()).await;
    for request in ["GET / HTTP/1.1", "GET /nowhere HTTP/1.1", "DELETE /operator/v1/nowhere HTTP/1.1", "GET /v1/wa/nothing HTTP/1.1"] {
        let answer = ask(&door, &format!("{request}\r\nHost: a")).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "REQ_005"), "{request}");
        assert_eq!(answer.json()["errors"]["group"], "NOT_FOUND");
    }
    for (request, allow) in
        [("GET /v1/wa/message HTTP/1.1", "POST"), ("POST /livez HTTP/1.1", "GET, HEAD"), ("DELETE /metrics HTTP/1.1", "GET, HEAD")]
    {
        let answer = ask(&door, &format!("{request}\r\nHost: a")).await;
        assert_eq!((answer.status, answer.code().as_str(), answer.header("allow")), (405, "REQ_005", Some(allow)), "{request}");
    }
    let control = ask(&door, "PUT /operator/v1/echo HTTP/1.1\r\nHost: a").await;
    assert_eq!((control.status, control.code().as_str()), (405, "REQ_005"));
    assert!(control.header("allow").is_some_and(|allow| allow.contains("GET") && allow.contains("POST")), "{control:?}");
}

#[tokio::test]
async fn control_routes_get_their_body_whole_and_capped() {
    let door = Door::open(short()).await;
    let answer = ask(&door, "POST /operator/v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert!(answer.body.starts_with(b"hello"), "{answer:?}");
    let large = ask(&door, "POST /operator/v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65537").await;
    assert_eq!((large.status, large.code().as_str(), large.json()["errors"]["params"]["limit"].as_u64()), (413, "REQ_004", Some(65_536)));
}

#[tokio::test]
async fn what_the_framework_refuses_is_told_in_our_shape() {
    let door = Door::open(short()).await;
    let typed = |headers: &'static str, body: &'static str| {
        let door = &door;
        async move {
            ask(door, &format!("POST /operator/v1/typed HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
                .await
        }
    };
    let json = "Content-Type: application/json\r\n";
    assert_eq!(typed(json, "17").await.status, 200);
    assert_eq!(typed("", "17").await.code(), "REQ_003");
    for wrong in ["{", "\"x\"", "-1"] {
        let answer = typed(json, wrong).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "REQ_002"), "{wrong}");
        assert_eq!(answer.json()["errors"]["params"]["fields"][0]["path"], "body");
    }
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let door = Door::open(short()).await;
    let answer = Answer::only(&door.tell("HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n").await);
    assert_eq!((answer.status, answer.body.len(), answer.header("content-length")), (200, 0, Some("3")));
}

#[tokio::test]
async fn a_panic_is_a_500_that_claims_nothing_and_the_door_goes_on() {
    let door = Door::open(short()).await;
    let answer = ask(&door, "GET /v1/wa/panic HTTP/1.1\r\nHost: a").await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "SYS_001"));
    assert_eq!(ask(&door, "GET /livez HTTP/1.1\r\nHost: a").await.status, 200);
}

#[tokio::test]
async fn a_key_in_a_browser_is_refused() {
    let door = Door::open(short()).await;
    let answer = ask(&door, "POST /v1/wa/message HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\nAuthorization: Bearer x").await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.json()["errors"]["params"]["reason"].as_str()),
        (403, "AUTH_006", Some("browser"))
    );
}

#[tokio::test]
async fn errors_of_a_send_say_that_nothing_was_sent() {
    let door = Door::open(short()).await;
    let answer = ask(&door, "POST /v1/wa/message HTTP/1.1\r\nContent-Length: 0").await;
    assert_eq!(answer.json()["errors"]["params"]["sent"], "no");
    let other = ask(&door, "GET /v1/wa/message HTTP/1.1\r\nHost: a").await;
    assert!(other.json()["errors"]["params"].get("sent").is_none());
}
