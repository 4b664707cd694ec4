//! The express lane beside the library: whoever knocks cannot tell which of them answers.

mod door;

use std::time::Duration;

use door::{Answer, Door, config, read_answer, read_to_end, short, write_all};
use tokio::io::AsyncWriteExt as _;
use turnpike_web::server::{ServerConfig, ServerLimits, TrustedProxies};

fn send(headers: &str, body: &str) -> String {
    format!("POST /v1/wa/message HTTP/1.1\r\nHost: gateway\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_plain_send_and_one_for_the_library_are_answered_alike() {
    let door = Door::open(short()).await;
    let mut stream = door.connect().await;
    let mut answers = Vec::new();
    // `Expect` makes a request the library's, and the connection with it.
    for headers in ["", "X-Request-Id: mine\r\n", "Expect: 100-continue\r\n", "X-Request-Id: mine\r\n"] {
        write_all(&mut stream, send(headers, "abc").as_bytes()).await;
        answers.push(read_answer(&mut stream).await);
    }
    for answer in &answers {
        answer.assert_dressed();
        assert_eq!((answer.status, &answer.json()["data"]["bytes"]), (200, &serde_json::json!(3)));
        assert!(answer.header("date").is_some_and(|date| date.len() == 29 && date.ends_with(" GMT")), "{answer:?}");
        assert_eq!(answer.header("connection"), None);
    }
    let names = |answer: &Answer| {
        let mut names: Vec<String> = answer.headers.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&answers[0]), names(&answers[2]));
    assert_eq!(answers[1].header("x-request-id"), Some("mine"));
    assert_eq!(answers[3].header("x-request-id"), Some("mine"));
}

#[tokio::test]
async fn sends_that_come_in_one_piece_are_answered_one_by_one() {
    let door = Door::open(short()).await;
    let row = [send("", "a"), send("", "ab"), send("", "abc")].concat();
    let answers = Answer::parse(&door.tell(row).await);
    let bytes: Vec<u64> = answers.iter().filter_map(|answer| answer.json()["data"]["bytes"].as_u64()).collect();
    assert_eq!(bytes, [1, 2, 3]);
}

#[tokio::test]
async fn a_send_in_any_two_pieces_is_one_send() {
    let door = Door::open(short()).await;
    let whole = send("", "abc");
    for cut in (1..whole.len()).step_by(7) {
        let mut stream = door.connect().await;
        write_all(&mut stream, send("", "before").as_bytes()).await;
        assert_eq!(read_answer(&mut stream).await.status, 200);
        write_all(&mut stream, &whole.as_bytes()[..cut]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        write_all(&mut stream, &whole.as_bytes()[cut..]).await;
        let answer = read_answer(&mut stream).await;
        assert_eq!((answer.status, &answer.json()["data"]["bytes"]), (200, &serde_json::json!(3)), "cut after {cut}");
    }
}

#[tokio::test]
async fn a_head_that_stops_coming_is_cut_behind_a_plain_send_too() {
    let door = Door::open(short()).await;
    let mut stream = door.connect().await;
    write_all(&mut stream, send("", "abc").as_bytes()).await;
    assert_eq!(read_answer(&mut stream).await.status, 200);
    write_all(&mut stream, b"POST /v1/wa/mess").await;
    assert_eq!(door::read_to_end(&mut stream).await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_its_time() {
    // What would only cut it comes too late.
    let door = Door::open(ServerLimits { header: Duration::from_secs(60), ..short() }).await;
    let mut stream = door.connect().await;
    write_all(&mut stream, send("", "abc").as_bytes()).await;
    assert_eq!(read_answer(&mut stream).await.status, 200);
    assert_eq!(door::read_to_end(&mut stream).await, b"");
}

/// A peer that writes to a connection that was reset hears of it at its next writing.
async fn is_reset_by(stream: &mut tokio::net::TcpStream, bytes: &[u8]) -> bool {
    for _ in 0..20 {
        if stream.write_all(bytes).await.is_err() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test]
async fn a_request_that_crosses_an_idle_close_meets_an_end_and_no_reset() {
    // Long enough that no slow machine ends it while the test writes.
    let door = Door::open(ServerLimits { linger: Duration::from_secs(60), header: Duration::from_secs(60), ..short() }).await;
    for first in [send("", "abc"), "GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n".to_owned()] {
        let mut stream = door.connect().await;
        write_all(&mut stream, first.as_bytes()).await;
        assert_eq!(read_answer(&mut stream).await.status, 200);
        assert_eq!(door::read_to_end(&mut stream).await, b"", "closed in its time");
        assert!(!is_reset_by(&mut stream, send("", "abc").as_bytes()).await, "{first}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_end_is_not_lingered_on_for_ever() {
    let door = Door::open(short()).await;
    let mut stream = door.connect().await;
    write_all(&mut stream, send("Connection: close\r\n", "abc").as_bytes()).await;
    assert_eq!(read_answer(&mut stream).await.status, 200);
    let gone = async {
        while door.handle.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(door::PATIENCE, gone).await.expect("its place is given up");
}

#[tokio::test]
async fn the_last_send_before_a_drain_ends_is_answered_with_a_close() {
    let door = Door::open(ServerLimits { drain_idle: Duration::from_secs(1), drain_deadline: Duration::from_secs(3), ..short() }).await;
    let mut stream = door.connect().await;
    write_all(&mut stream, send("", "abc").as_bytes()).await;
    assert_eq!(read_answer(&mut stream).await.header("connection"), None);
    door.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    write_all(&mut stream, send("", "abc").as_bytes()).await;
    let last = read_answer(&mut stream).await;
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert_eq!(door::read_to_end(&mut stream).await, b"");
}

#[tokio::test]
async fn what_makes_a_send_out_of_the_ordinary_is_judged_by_the_library() {
    let door = Door::open(short()).await;
    for (headers, code) in [
        ("Host: other\r\n", "REQ_006"),
        ("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", "REQ_006"),
        ("Content-Type: application/json\r\ncontent-type: application/json\r\n", "REQ_006"),
        ("Idempotency-Key: a\r\nIdempotency-Key: a\r\n", "REQ_006"),
        ("Content-Length: 3\r\n", "REQ_006"),
        ("Transfer-Encoding: chunked\r\n", "REQ_006"),
        ("Authorization: Bearer a\r\nOrigin: https://example.org\r\n", "AUTH_006"),
    ] {
        let bytes = [send("", "abc"), send(headers, "abc")].concat();
        let answers = Answer::parse(&door.tell(bytes).await);
        assert_eq!(answers.len(), 2, "{headers}");
        assert_eq!((answers[0].status, answers[1].code().as_str()), (200, code), "{headers}");
    }
}

/// The answers to `bytes` on a connection on which this was answered before.
async fn answers_behind(door: &Door, before: &str, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = door.connect().await;
    write_all(&mut stream, before.as_bytes()).await;
    assert_eq!(read_answer(&mut stream).await.status, 200);
    write_all(&mut stream, bytes).await;
    let _ = stream.shutdown().await;
    Answer::parse(&read_to_end(&mut stream).await)
}

/// What must be the same by either way: status, every header in any order, the body. A time and an id
/// that was made need only be there.
fn face(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let made = |name: &str, value: &str| name == "date" || name == "x-request-id" && value.len() == 26;
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), if made(name, value) { "made".to_owned() } else { value.clone() }))
        .collect();
    headers.sort();
    (answer.status, headers, String::from_utf8_lossy(&answer.body).into_owned())
}

/// Sends of every kind that either way may have to judge.
fn varied() -> Vec<Vec<u8>> {
    let full = "Authorization: Bearer pk_x\r\nContent-Type: application/json; charset=utf-8\r\nIdempotency-Key: \"a b\"\r\n\
                X-Request-Id: mine\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
                X-Allow-Duplicate: true\r\nX-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n";
    let mut all: Vec<Vec<u8>> = [
        "",
        full,
        "Connection: keep-alive\r\n",
        "Connection: close\r\n",
        "Connection: Keep-Alive, close\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
        "Connection: x\r\nUpgrade: h2c\r\n",
        "Expect: 100-continue\r\n",
        "Expect: more\r\n",
        "TE: trailers\r\n",
        "Trailer: x\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 4\r\n",
        "Host: gateway\r\n",
        "Authorization: a\r\nAuthorization: a\r\n",
        "Authorization:\r\n",
        "authorization:\tBearer x \t\r\n",
        "Authorization: \u{e9}\r\n",
        "Content-Type: a\r\nContent-Type: a\r\n",
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
        "X-Request-Id: a\r\nX-Request-Id: b\r\n",
        "X-Request-Id: two words\r\n",
        "X-Request-Id:\r\n",
        "traceparent: junk\r\n",
        "traceparent: junk\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        "X-Allow-Duplicate: true\r\nX-Allow-Duplicate: false\r\n",
        "X-Forwarded-For: junk\r\n",
        "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 203.0.113.9\r\n",
        "X-Forwarded-For:\r\n",
        "Authorization: Bearer a\r\nOrigin: https://example.org\r\n",
        "Origin:\r\n",
        "X: a\u{0}b\r\n",
        "X: a\r\n b\r\n",
        "X : a\r\n",
        "X\r\n",
        "X: \n",
    ]
    .iter()
    .map(|headers| send(headers, "abc").into_bytes())
    .collect();
    for target in [
        "/v1/wa/message?mmlite=true&is_fake=1",
        "/v1/wa/message?",
        "/v1/wa/message#x",
        "/v1/wa/message?a#b",
        "/v1/wa/message?a\u{e9}b",
        "/v1/wa/message?a\"b<c>{d}|e^f`g",
        "/v1/wa/message?%zz",
        "/v1/wa/message/",
        "/v1/wa/messagex",
        "//v1/wa/message",
        "/v1/wa/%6dessage",
        "http://other/v1/wa/message",
        "*",
    ] {
        all.push(send("", "abc").replacen("/v1/wa/message", target, 1).into_bytes());
    }
    for (from, to) in [
        ("HTTP/1.1", "HTTP/1.0"),
        ("HTTP/1.1", "HTTP/1.2"),
        ("POST", "post"),
        ("POST", "GET"),
        ("POST", "OPTIONS"),
        ("POST", "HEAD"),
        ("Host: gateway", "Host: a b"),
        ("Host: gateway", "Host:"),
        ("Host: gateway\r\n", ""),
        ("Length: 3", "Length: 03"),
        ("Length: 3", "Length: +3"),
        ("Length: 3", "Length: 2"),
        ("Length: 3", "Length: 4"),
        ("Length: 3", "Length: 0"),
        ("Length: 3", "Length:"),
        ("Length: 3", "Length: 1048577"),
        ("Length: 3", "Length: 18446744073709551616"),
        ("Content-Length: 3\r\n", ""),
        ("\r\n", "\n"),
        ("\r\nHost", "\r\r\nHost"),
    ] {
        all.push(send("", "abc").replace(from, to).into_bytes());
    }
    for count in [60, 62, 63, 98, 99, 120] {
        all.push(send(&"X: y\r\n".repeat(count), "abc").into_bytes());
    }
    for size in [7_000, 9_000, 16_200, 16_500] {
        all.push(send(&format!("X: {}\r\n", "y".repeat(size)), "abc").into_bytes());
        all.push(send("", &"y".repeat(size)).into_bytes());
    }
    // One byte of a send is another: what a fault on the way, or somebody with a purpose, makes of it.
    let whole = send(full, "abc").into_bytes();
    for at in 0..whole.len() {
        for byte in [0, b'\n', b'\r', b' ', b':', b'0', b'a', 0x80] {
            let mut changed = whole.clone();
            changed[at] = byte;
            all.push(changed);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_get_the_same_answer_from_either() {
    let trusted_proxies = TrustedProxies::new(vec!["127.0.0.1".parse().expect("an address")]);
    // No limit of time decides here, however busy the machine is: whoever has said its last is answered.
    let patient = Duration::from_secs(60);
    let limits = ServerLimits { first_byte: patient, header: patient, keep_alive_idle: patient, write_stall: patient, ..short() };
    let door = Door::with(ServerConfig { trusted_proxies, ..config(limits) }).await;
    let door = &door;
    let for_the_library = "GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let all = varied();
    assert!(all.len() > 2_000, "{}", all.len());
    let (mut wrong, mut served) = (Vec::new(), 0);
    for some in all.chunks(32) {
        let both = some.iter().map(|bytes| async move {
            (answers_behind(door, &send("", "before"), bytes).await, answers_behind(door, for_the_library, bytes).await)
        });
        for (bytes, (express, library)) in some.iter().zip(futures_util::future::join_all(both).await) {
            let faces = |answers: &[Answer]| answers.iter().map(face).collect::<Vec<_>>();
            served += usize::from(express.iter().any(|answer| answer.status == 200));
            if faces(&express) != faces(&library) {
                wrong.push(format!(
                    "{:?}\n  by ourselves: {:?}\n  by the library: {:?}",
                    String::from_utf8_lossy(bytes),
                    faces(&express),
                    faces(&library)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n"));
    assert!(served > 500, "most of them are good sends still: {served}");
}
