//! The express lane beside the library: whoever knocks cannot tell which of them answers.

mod door;

use std::time::Duration;

use door::{Answer, Door, read_answer, short, write_all};
use turnpike_web::server::ServerLimits;

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
