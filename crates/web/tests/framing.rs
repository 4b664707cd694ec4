//! Malformed and ambiguous HTTP/1.1: every case gets its documented answer or a closed connection,
//! never a 5xx, a hang, or a second request made out of the first one's bytes.

mod door;

use door::{Answer, Door, short};
use turnpike_web::server::ServerLimits;

/// One case: its name, its bytes, and the codes that are right for it. `""` is a connection closed
/// without an answer, which is right only where no request was made; `"200"` a served request.
type Case = (String, Vec<u8>, &'static [&'static str]);

const BAD: &[&str] = &["REQ_006"];
const OK: &[&str] = &["200"];
const LARGE: &[&str] = &["REQ_008"];
const NOTHING: &[&str] = &[""];

fn case(name: impl Into<String>, bytes: impl Into<Vec<u8>>, expect: &'static [&'static str]) -> Case {
    (name.into(), bytes.into(), expect)
}

/// A send with these header lines besides `Host`, and this body.
fn send(headers: &str, body: &str) -> String {
    format!("POST /v1/wa/message HTTP/1.1\r\nHost: gateway\r\n{headers}\r\n{body}")
}

fn request_lines() -> Vec<Case> {
    let line = |line: &str| format!("{line}\r\nHost: gateway\r\n\r\n");
    let mut cases: Vec<Case> = [
        "GET",
        "GET /livez",
        "GET  /livez HTTP/1.1",
        "GET /livez  HTTP/1.1",
        " GET /livez HTTP/1.1",
        "\tGET /livez HTTP/1.1",
        "GET\t/livez\tHTTP/1.1",
        "GET /livez HTTP/1.1 ",
        "GET /livez HTTP/1.1 x",
        "GET /livez HTTP/2.0",
        "GET /livez HTTP/1.2",
        "GET /livez HTTP/0.9",
        "GET /livez HTTP/11",
        "GET /livez HTTP/1.1.1",
        "GET /livez HTTP/1,1",
        "GET /livez HTTP/a.b",
        "GET /livez http/1.1",
        "GET /livez HTTPS/1.1",
        "GET /livez ICAP/1.0",
        "GET /li vez HTTP/1.1",
        "GE(T /livez HTTP/1.1",
        "GE\u{7f}T /livez HTTP/1.1",
        "GET /liv\u{0}ez HTTP/1.1",
        "GET /liv\u{1}ez HTTP/1.1",
        "GET /liv\u{7f}ez HTTP/1.1",
        "G\u{e9}T /livez HTTP/1.1",
        "GET \u{0} HTTP/1.1",
        "GET livez HTTP/1.1 HTTP/1.1",
        "{\"messaging_product\":\"whatsapp\"}",
        "<?xml version=\"1.0\"?>",
        "SSH-2.0-OpenSSH_9.2",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
        "EHLO mail.example.org",
        "*1",
        "GET / HTTP/1.1\rX: y",
        "GET http:// HTTP/1.1",
        "GET /\\..\\..\\etc\\passwd HTTP/1.1 extra",
    ]
    .into_iter()
    .map(|text| case(format!("request line {text:?}"), line(text), BAD))
    .collect();
    let odd: &'static [&'static str] = &["REQ_005", "REQ_006"];
    for text in [
        "GET /nowhere HTTP/1.1",
        "GET /\\..\\..\\etc\\passwd HTTP/1.1",
        "GET /../../etc/passwd HTTP/1.1",
        "GET /livez/ HTTP/1.1",
        "GET //livez HTTP/1.1",
        "GET /livez%00 HTTP/1.1",
        "GET /LIVEZ HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT gateway:443 HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "GET livez HTTP/1.1",
        "GET ://x HTTP/1.1",
        "GET gateway:80 HTTP/1.1",
        "get /nowhere HTTP/1.1",
        "BREW /livez HTTP/1.1",
        "TRACE /livez HTTP/1.1",
        "GET /v1/wa/message HTTP/1.1",
        "POST /v1/wa/messages HTTP/1.1",
        "POST /v1/wa/message/ HTTP/1.1",
        "PRI /v1/wa/message HTTP/1.1",
        "GET /nowhere?a=b&a=c#fragment HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
    ] {
        cases.push(case(format!("request line {text:?}"), line(text), odd));
    }
    cases.push(case("absolute form", line("GET http://gateway/livez HTTP/1.1"), OK));
    cases.push(case("a query", line("GET /livez?deep=1 HTTP/1.1"), OK));
    cases
}

fn headers() -> Vec<Case> {
    let get = |headers: &str| format!("GET /livez HTTP/1.1\r\n{headers}\r\n");
    let mut cases = Vec::new();
    for lines in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: \r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a@b\r\n",
        "Host: a,b\r\n",
        "Host: a?b\r\n",
        "Host: \u{e9}\r\n",
        "Host: a\r\nAuthorization: Bearer x\r\nAuthorization: Bearer x\r\n",
        "Host: a\r\nAuthorization: Bearer x\r\nauthorization: Bearer y\r\n",
        "Host: a\r\nContent-Type: application/json\r\nContent-Type: application/json\r\n",
        "Host: a\r\nIdempotency-Key: x\r\nIdempotency-Key: y\r\n",
        "Host: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n",
        "Host : a\r\n",
        " Host: a\r\n",
        "Host: a\r\nX Y: z\r\n",
        "Host: a\r\nX\r\n",
        "Host: a\r\n: x\r\n",
        "Host: a\r\n:\r\n",
        "Host: a\r\nX: a\r\n b\r\n",
        "Host: a\r\nX: a\r\n\tb\r\n",
        "Host: a\r\nX: a\u{0}b\r\n",
        "Host: a\r\nX: a\u{1}b\r\n",
        "Host: a\r\nX: a\u{7f}b\r\n",
        "Host: a\r\nX\u{0}: a\r\n",
        "Host: a\r\nX(: a\r\n",
        "Host: a\r\nX\u{e9}: a\r\n",
        "Host: a\r\nX: a\rY: b\r\n",
        "Host: a\r\n\u{b}X: a\r\n",
        "Host:\u{c}a\r\n",
    ] {
        cases.push(case(format!("headers {lines:?}"), get(lines), BAD));
    }
    for lines in [
        "Host: a\n",
        "Host:a\r\n",
        "Host:    a   \r\n",
        "HOST: a\r\n",
        "Host: [::1]:8080\r\n",
        "Host: a\r\nX:\r\n",
        "Host: a\r\nX: \u{e9}\r\n",
        "Host: a\r\nX-Request-Id: x\r\nX-Request-Id: y\r\n",
        "Host: a\r\nX-Request-Id: two words\r\n",
        "Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Host: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
        "Host: a\r\nExpect: 100-continue\r\n",
        "Host: a\r\nExpect: the-unexpected\r\n",
        "Host: a\r\nConnection: close, keep-alive\r\n",
        "Host: a\r\nTE: trailers, gzip\r\n",
        "Host: a\r\nContent-Encoding: gzip\r\n",
        "Host: a\r\nRange: bytes=9-1\r\n",
    ] {
        cases.push(case(format!("headers {lines:?}"), get(lines), OK));
    }
    cases.push(case("empty lines first", "\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n", OK));
    cases.push(case("64 headers", get(&format!("Host: a\r\n{}", "X: y\r\n".repeat(63))), OK));
    cases.push(case("65 headers", get(&format!("Host: a\r\n{}", "X: y\r\n".repeat(64))), LARGE));
    cases.push(case("200 headers", get(&format!("Host: a\r\n{}", "X: y\r\n".repeat(199))), LARGE));
    cases.push(case("a head of 15 KiB", get(&format!("Host: a\r\nX: {}\r\n", "y".repeat(15 * 1024))), OK));
    cases.push(case("a head of 17 KiB", get(&format!("Host: a\r\nX: {}\r\n", "y".repeat(17 * 1024))), LARGE));
    cases.push(case("a head of 600 KiB", get(&format!("Host: a\r\nX: {}\r\n", "y".repeat(600 * 1024))), LARGE));
    cases.push(case("a name of 17 KiB", get(&format!("Host: a\r\n{}: x\r\n", "y".repeat(17 * 1024))), LARGE));
    cases.push(case("a path of 70 KiB", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(70 * 1024)), LARGE));
    cases
}

fn bodies() -> Vec<Case> {
    let mut cases = Vec::new();
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (headers, body) in [
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        ("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
        ("Content-Length: 3\r\ncontent-length: 0\r\n", "abc"),
        ("Content-Length: 3, 3\r\n", "abc"),
        ("Content-Length: +3\r\n", "abc"),
        ("Content-Length: -3\r\n", "abc"),
        ("Content-Length: 0x3\r\n", "abc"),
        ("Content-Length: 3.0\r\n", "abc"),
        ("Content-Length: 3 \t3\r\n", "abc"),
        ("Content-Length:\r\n", "abc"),
        ("Content-Length: three\r\n", "abc"),
        ("Content-Length: 99999999999999999999999999\r\n", "abc"),
        ("Content-Length: 18446744073709551615\r\n", "abc"),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: identity\r\n", "abc"),
        ("Transfer-Encoding: gzip\r\n", "abc"),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding:\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n"),
        ("Content-Length: 10\r\n", "abc"),
        (chunked, "zz\r\n\r\n"),
        (chunked, "-1\r\n\r\n"),
        (chunked, "3\r\nabcd\r\n0\r\n\r\n"),
        (chunked, "3\r\nabc"),
        (chunked, "3\r\nab"),
        (chunked, "3"),
        (chunked, "ffffffffffffffffff\r\nabc"),
        (chunked, "3 3\r\nabc\r\n0\r\n\r\n"),
        (chunked, "\r\n"),
        (chunked, "0\r\nX\r\n"),
        (chunked, "0x3\r\nabc\r\n0\r\n\r\n"),
        (chunked, "3\r\nabc0\r\n\r\n"),
    ] {
        cases.push(case(format!("body {headers:?} {body:?}"), send(headers, body), BAD));
    }
    for (headers, body) in [
        ("", ""),
        ("Content-Length: 0\r\n", ""),
        ("Content-Length: 3\r\n", "abc"),
        ("Content-Length: 003\r\n", "abc"),
        ("Content-Length: 3\r\nExpect: 100-continue\r\n", "abc"),
        (chunked, "3\r\nabc\r\n0\r\n\r\n"),
        (chunked, "3;ext=1\r\nabc\r\n0\r\n\r\n"),
        (chunked, "0\r\nX: y\r\n\r\n"),
        ("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"),
    ] {
        cases.push(case(format!("body {headers:?} {body:?}"), send(headers, body), OK));
    }
    let http10 = "POST /v1/wa/message HTTP/1.0\r\nHost: a\r\n";
    cases.push(case("HTTP/1.0 with chunks", format!("{http10}{chunked}\r\n0\r\n\r\n"), BAD));
    cases.push(case("HTTP/1.0 with a length", format!("{http10}Content-Length: 3\r\n\r\nabc"), OK));
    cases.push(case("HTTP/1.0 without a host", "GET /metrics HTTP/1.0\r\n\r\n", BAD));
    cases.push(case("HTTP/1.0 without a host, a health check", "GET /livez HTTP/1.0\r\n\r\n", OK));
    cases.push(case("a body over the limit, announced", send("Content-Length: 1048577\r\n", "abc"), &["REQ_004"]));
    cases.push(case("a body over the limit, sent", send("Content-Length: 1048577\r\n", &"x".repeat(1_048_577)), &["REQ_004"]));
    cases.push(case(
        "chunks over the limit",
        send(chunked, &format!("{:x}\r\n{}\r\n0\r\n\r\n", 1_048_577, "x".repeat(1_048_577))),
        &["REQ_004"],
    ));
    cases.push(case("a body at the limit", send("Content-Length: 1048576\r\n", &"x".repeat(1_048_576)), OK));
    cases.push(case(
        "a body that nobody reads",
        "POST /v1/wa/unread HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\nabc".to_owned(),
        &["AUTH_002"],
    ));
    cases
}

fn beginnings() -> Vec<Case> {
    let whole = "GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let mut cases: Vec<Case> =
        (0..whole.len()).step_by(3).map(|end| case(format!("cut after {end} bytes"), &whole.as_bytes()[..end], NOTHING)).collect();
    cases.push(case("nulls", vec![0; 64], BAD));
    cases.push(case("an HTTP/2 preface in the clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), NOTHING));
    cases.push(case("line feeds", b"\n".repeat(64), NOTHING));
    cases
}

/// The code of an answer; a success's status.
fn word(answers: &[Answer]) -> String {
    match answers {
        [] => String::new(),
        [only] if only.status < 400 => only.status.to_string(),
        [only] => only.code(),
        several => several.iter().map(|answer| answer.status.to_string()).collect::<Vec<_>>().join("+"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_malformed_framing_gets_its_documented_answer() {
    // Long enough for a large head on a busy machine.
    let header = std::time::Duration::from_millis(500);
    let door = Door::open(ServerLimits { header, ..short() }).await;
    let cases: Vec<Case> = [request_lines(), headers(), bodies(), beginnings()].concat();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let mut wrong = Vec::new();
    let door = &door;
    // A peer that has said its last, and one that keeps the line open.
    for stays in [false, true] {
        for some in cases.chunks(16) {
            let replies = some
                .iter()
                .map(|(_, bytes, _)| async move { if stays { door.tell_and_stay(bytes).await } else { door.tell(bytes).await } });
            for ((name, _, expect), reply) in some.iter().zip(futures_util::future::join_all(replies).await) {
                let answers = Answer::parse(&reply);
                for answer in &answers {
                    assert!(answer.status < 500, "{name}: {}", String::from_utf8_lossy(&reply));
                    answer.assert_dressed();
                }
                let found = word(&answers);
                // A body that stops coming is too slow, while one that was cut short is badly framed.
                let right = expect.contains(&found.as_str()) || stays && found == "REQ_007" && expect == &BAD;
                if !right {
                    wrong.push(format!("{name} (stays: {stays}): {found:?}, not {expect:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(Answer::only(&door.tell("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await).status, 200, "the door still works");
}

#[tokio::test]
async fn what_follows_a_badly_framed_or_chunked_request_is_never_a_request() {
    let door = Door::open(short()).await;
    let smuggled = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    for first in [
        send("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        send("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        send("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        send("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        send("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        send("Host: b\r\nContent-Length: 3\r\n", "abc"),
        send("Authorization: x\r\nAuthorization: y\r\nContent-Length: 3\r\n", "abc"),
        "POST /v1/wa/unread HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n".to_owned(),
    ] {
        let answers = Answer::parse(&door.tell(format!("{first}{smuggled}")).await);
        assert_eq!(answers.len(), 1, "{first:?}: {answers:?}");
        assert_eq!(answers[0].header("connection"), Some("close"), "{first:?}");
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_their_order() {
    let door = Door::open(short()).await;
    let row = format!(
        "{}{}{}",
        send("Content-Length: 3\r\n", "abc"),
        "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        send("Content-Length: 2\r\nContent-Length: 2\r\n", "ab")
    );
    let answers = Answer::parse(&door.tell(row).await);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 400]);
    assert_eq!(answers[0].json()["data"]["bytes"], 3);
    assert_eq!(answers[2].code(), "REQ_006");
}

#[tokio::test]
async fn a_garbled_request_behind_a_good_one_gets_an_error_with_a_body() {
    let door = Door::open(short()).await;
    let answers = Answer::parse(&door.tell(format!("{}garbage\r\n\r\n", send("Content-Length: 3\r\n", "abc"))).await);
    assert_eq!(answers.len(), 2, "{answers:?}");
    answers[1].assert_dressed();
    assert_eq!((answers[1].status, answers[1].code().as_str()), (400, "REQ_006"));
    assert_eq!(answers[1].json()["errors"]["params"]["sent"], "no");
}

#[tokio::test]
async fn an_answer_that_looks_like_the_librarys_own_passes_unchanged() {
    let door = Door::open(short()).await;
    let reply = door.tell("GET /v1/wa/stream HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let body = Answer::parse(&reply).remove(0).body;
    assert_eq!(String::from_utf8_lossy(&body), "HTTP/1.1 400 piece\r\n\r\nHTTP/1.1 401 piece\r\n\r\nHTTP/1.1 402 piece\r\n\r\n");
}
