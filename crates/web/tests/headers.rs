//! Headers that must be single, sent twice: by the express lane, by the library over HTTP/1.1, on a
//! send and elsewhere. Which of two was meant cannot be told, so where it decides anything the
//! request is refused, and the refusal names the header.

mod door;
mod works;

use door::{Answer, Door, read_answer, read_to_end, short, write_all};
use tokio::io::AsyncWriteExt as _;
use works::{OPERATOR_TOKEN, Plan, Works};

/// What two of a header come to.
enum Twice {
    /// REQ_006 with the header's name.
    Refused,
    /// Neither counts: it is passed over, as the standard that it comes from says.
    Ignored,
    /// They are one list.
    Joined,
}

/// Every header that we read, once in each of two spellings of its name. What is not here is not read.
const HEADERS: [(&str, [&str; 2], Twice); 12] = [
    ("Host", ["gateway", "gateway"], Twice::Refused),
    ("Authorization", ["Bearer a", "Bearer a"], Twice::Refused),
    ("Content-Type", ["application/json", "application/json"], Twice::Refused),
    ("Content-Length", ["3", "3"], Twice::Refused),
    ("Transfer-Encoding", ["chunked", "chunked"], Twice::Refused),
    ("Idempotency-Key", ["order-7", "order-7"], Twice::Refused),
    ("X-Allow-Duplicate", ["true", "false"], Twice::Refused),
    ("Last-Event-ID", ["msg_1", "msg_1"], Twice::Refused),
    ("X-Operator", ["ann", "bob"], Twice::Refused),
    ("X-Request-Id", ["mine", "mine"], Twice::Ignored),
    (
        "traceparent",
        ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        Twice::Ignored,
    ),
    ("X-Forwarded-For", ["203.0.113.9", "203.0.113.10"], Twice::Joined),
];

fn send(headers: &str) -> String {
    let host = if headers.contains("Host:") { "" } else { "Host: gateway\r\n" };
    let length = if headers.contains("Length:") || headers.contains("Encoding:") { "" } else { "Content-Length: 3\r\n" };
    format!("POST /v1/wa/message HTTP/1.1\r\n{host}{headers}{length}\r\nabc")
}

/// The answer to `bytes` on a connection on which `before` was answered by one lane or the other.
async fn answer_behind(door: &Door, before: &str, bytes: &str) -> Answer {
    let mut stream = door.connect().await;
    write_all(&mut stream, before.as_bytes()).await;
    assert_eq!(read_answer(&mut stream).await.status, 200);
    write_all(&mut stream, bytes.as_bytes()).await;
    let _ = stream.shutdown().await;
    Answer::parse(&read_to_end(&mut stream).await).first().expect("an answer").clone()
}

#[tokio::test]
async fn a_header_that_must_be_single_is_refused_by_its_name_in_either_lane() {
    let door = Door::open(short()).await;
    let lanes = [("express", send("")), ("library", "GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n".to_owned())];
    for (name, [first, second], twice) in &HEADERS {
        let doubled = format!("{name}: {first}\r\n{}: {second}\r\n", name.to_ascii_uppercase());
        for (lane, before) in &lanes {
            let answer = answer_behind(&door, before, &send(&doubled)).await;
            let heard = &answer.json()["heard"];
            match twice {
                Twice::Refused => {
                    assert_eq!((answer.status, answer.code().as_str()), (400, "REQ_006"), "{lane} {name}: {answer:?}");
                    let said = answer.json()["errors"].to_string();
                    assert!(said.contains(&format!("more than one {name} header")), "{lane} {name}: {said}");
                    assert_eq!(answer.header("connection"), Some("close"), "{lane} {name}");
                    assert_eq!(answer.json()["errors"]["params"]["sent"], "no", "{lane} {name}");
                }
                Twice::Ignored => {
                    assert_eq!(answer.status, 200, "{lane} {name}: {answer:?}");
                    assert_ne!(answer.header("x-request-id"), Some("mine"), "{lane} {name}");
                    assert_eq!(heard["traceparent"], serde_json::Value::Null, "{lane} {name}");
                }
                Twice::Joined => assert_eq!(answer.status, 200, "{lane} {name}: {answer:?}"),
            }
            let single = answer_behind(&door, before, &send(&format!("{name}: {first}\r\n"))).await;
            let expected = if *name == "Transfer-Encoding" { 400 } else { 200 };
            assert_eq!(single.status, expected, "{lane}: one {name} is as ever: {single:?}");
        }
    }
}

#[tokio::test]
async fn other_routes_refuse_them_as_well() {
    let works = Works::open(Plan::default()).await;
    let key = works.live_key("acme").await;
    let twice = |name: &str| format!("{name}: a\r\n{name}: a\r\n");
    for (method, path, bearer, header) in [
        ("GET", "/v1/wa/events", key.as_str(), "Last-Event-ID"),
        ("GET", "/v1/wa/message", &key, "Idempotency-Key"),
        ("GET", "/v1/wa/me", &key, "Authorization"),
        ("GET", "/api/v1/operator/organizations", OPERATOR_TOKEN, "X-Operator"),
        ("GET", "/api/v1/operator/organizations", OPERATOR_TOKEN, "Authorization"),
    ] {
        let answer = works.call(method, path, bearer, &twice(header), b"").await;
        let errors = &answer.json()["errors"];
        assert_eq!((answer.status, errors["code"].as_str()), (400, Some("REQ_006")), "{path} {header}: {answer:?}");
        assert!(errors.to_string().contains(&format!("more than one {header} header")), "{path}: {errors}");
    }
}
