//! Every named behaviour as an HTTP/1.1 client meets it: which bytes come, how
//! the connection ends, and whether the request is in the record.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use turnpike_simulator::faults::{How, Stage};
use turnpike_simulator::{Behaviour, Config, Match, Rule};

use crate::client::{Ending, PATIENCE, call, exchange, read_answer, request_bytes, start, text_to};

/// Longer than the named delays, and so long that what comes has come.
const WAIT: Duration = Duration::from_secs(2);

/// What a client got.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) enum Got {
    Nothing,
    HalfHead,
    /// A head with this status, and less body than it promises.
    HalfBody(u16),
    /// A whole answer with this status.
    Whole(u16),
    /// A whole answer, and this many bytes behind it.
    WholeAnd(u16, usize),
    /// An interim answer with this status, then …
    Interim(u16, Box<Got>),
    NotHttp,
}

fn classify(bytes: &[u8]) -> Got {
    if bytes.is_empty() {
        return Got::Nothing;
    }
    if !bytes.starts_with(b"HTTP/1.1 ") {
        return Got::NotHttp;
    }
    let Some(head_end) = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4) else {
        return Got::HalfHead;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let status: u16 = head[9..12].parse().expect("a status");
    if status < 200 {
        return Got::Interim(status, Box::new(classify(&bytes[head_end..])));
    }
    if head.contains("transfer-encoding: chunked") {
        let ended = bytes.ends_with(b"0\r\n\r\n");
        return if ended { Got::Whole(status) } else { Got::HalfBody(status) };
    }
    let promised: usize =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().expect("a length"));
    let came = bytes.len() - head_end;
    match came.checked_sub(promised) {
        None => Got::HalfBody(status),
        Some(0) => Got::Whole(status),
        Some(more) => Got::WholeAnd(status, more),
    }
}

/// What each named behaviour must look like; every name must be here.
fn expected(name: &str) -> (Got, Ending, bool) {
    use Ending::{Fin, Open, Rst};
    use Got::{HalfBody, HalfHead, Interim, NotHttp, Nothing, Whole, WholeAnd};
    let interim = |status, then| Interim(status, Box::new(then));
    match name {
        "answer"
        | "delay_before_reading"
        | "delay_before_answer"
        | "delay_mid_head"
        | "delay_mid_body"
        | "repeat_wamid"
        | "empty_200"
        | "invalid_json_200"
        | "no_messages_200"
        | "html_200"
        | "cut_json_200"
        | "drip"
        | "flood_200" => (Whole(200), Open, true),
        "empty_204" => (Whole(204), Open, true),
        "hang_on_accept" | "hang_before_reading" | "hang_after_head" => (Nothing, Open, false),
        "hang" => (Nothing, Open, true),
        "hang_mid_head" => (HalfHead, Open, true),
        "hang_mid_body" => (HalfBody(200), Open, true),
        "close_on_accept_fin" | "close_before_reading_fin" | "close_after_head_fin" | "goaway_below" => (Nothing, Fin, false),
        "close_on_accept_rst"
        | "close_before_reading_rst"
        | "close_after_head_rst"
        | "refused_stream"
        | "reset_internal_before"
        | "reset_cancel_before" => (Nothing, Rst, false),
        "close_after_body_fin" | "goaway_covering" => (Nothing, Fin, true),
        "close_after_body_rst" | "reset_internal_after" | "reset_cancel_after" | "reset_calm_after" => (Nothing, Rst, true),
        "close_mid_head_fin" => (HalfHead, Fin, true),
        "close_mid_head_rst" => (HalfHead, Rst, true),
        "close_mid_body_fin" | "chunked_cut" | "content_length_too_long" => (HalfBody(200), Fin, true),
        "close_mid_body_rst" | "chunked_cut_rst" | "reset_mid_body" => (HalfBody(200), Rst, true),
        "content_length_too_short" => (WholeAnd(200, 16), Open, true),
        "continue_then_answer" => (interim(100, Whole(200)), Open, true),
        "early_hints_then_answer" => (interim(103, Whole(200)), Open, true),
        "continue_then_cut" => (interim(100, Nothing), Fin, true),
        "processing_then_cut" => (interim(102, Nothing), Rst, true),
        "garbage" => (NotHttp, Fin, true),
        "answer_twice" => (WholeAnd(200, 0), Open, true),
        "error_1" | "error_131000" | "error_131016" | "html_500" | "empty_500" => (Whole(500), Open, true),
        "error_2" | "html_503" => (Whole(503), Open, true),
        "html_502" => (Whole(502), Open, true),
        "html_504" => (Whole(504), Open, true),
        "redirect_302" => (Whole(302), Open, true),
        "redirect_307" => (Whole(307), Open, true),
        "html_400" | "error_100" | "error_613" | "error_130429_as_400" | "error_unlisted" => (Whole(400), Open, true),
        "error_190" => (Whole(401), Open, true),
        "error_10" | "error_368" | "error_131031" => (Whole(403), Open, true),
        "error_4" | "error_80007" | "error_130429" | "error_131056" | "error_131048" => (Whole(429), Open, true),
        "goaway_after_answer" => (Whole(200), Fin, true),
        other => panic!("{other} has no expectation: a new behaviour needs one"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_named_behaviour_is_what_it_says_over_http1() {
    assert!(Behaviour::all_named().len() >= 36);
    let mut cases = JoinSet::new();
    for named in Behaviour::all_named() {
        cases.spawn(async move {
            let simulator = start(Config::default()).await;
            simulator.script(Rule::next_sends(named.behaviour.clone(), 1)).await.expect("it can be carried out");
            let request =
                request_bytes("POST", "/v23.0/1/messages", "authorization: Bearer EAAgood\r\n", &text_to("905321234567").to_string());
            let (bytes, ending) = match TcpStream::connect(simulator.address()).await {
                Ok(mut connection) => exchange(&mut connection, &request, WAIT).await,
                // A reset right after accepting may be there before `connect` returns.
                Err(_) if named.name == "close_on_accept_rst" => (Vec::new(), Ending::Rst),
                Err(error) => panic!("{}: {error}", named.name),
            };
            let (got, expected_ending, recorded) = expected(named.name);
            let mut seen = classify(&bytes);
            if let (Got::WholeAnd(200, more), "answer_twice") = (&seen, named.name) {
                assert_eq!(more * 2, bytes.len(), "the same answer twice");
                seen = Got::WholeAnd(200, 0);
            }
            assert_eq!((seen, ending), (got, expected_ending), "{}", named.name);
            assert_eq!(simulator.request_count(), usize::from(recorded), "{} and the record", named.name);
            assert_eq!(named.behaviour.is_recorded(), recorded, "{}", named.name);

            // It was asked for once, so the next send is an ordinary one.
            let next = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234568"))).await;
            assert_eq!(next.status, 200, "after {}", named.name);
        });
    }
    while let Some(case) = cases.join_next().await {
        case.expect("the case holds");
    }
}

#[tokio::test]
async fn a_delay_is_as_long_as_it_says() {
    let simulator = start(Config::default()).await;
    for (stage, recipient) in [(Stage::Head, "1"), (Stage::Body, "2"), (Stage::AnswerHead, "3"), (Stage::AnswerBody, "4")] {
        simulator.script(Rule::next_sends(Behaviour::Delay { at: stage, ms: 150 }, 1)).await.expect("it can be carried out");
        let began = Instant::now();
        let to = format!("90532123456{recipient}");
        let answer = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to(&to))).await;
        assert_eq!(answer.status, 200);
        assert!(began.elapsed() >= Duration::from_millis(150), "{stage:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_can_be_cut_before_its_next_request_is_read() {
    for (how, ending) in [(How::Fin, Ending::Fin), (How::Rst, Ending::Rst)] {
        let simulator = start(Config::default()).await;
        let mut connection = TcpStream::connect(simulator.address()).await.expect("the simulator listens");
        let request = request_bytes("POST", "/v23.0/1/messages", "authorization: Bearer EAAgood\r\n", &text_to("905321234567").to_string());
        connection.write_all(&request).await.expect("the first request goes out");
        assert_eq!(read_answer(&mut connection).await.status, 200);
        simulator.script(Rule::next_sends(Behaviour::Close { at: Stage::FirstByte, how }, 1)).await.expect("it can be carried out");
        let (bytes, seen) = exchange(&mut connection, &request, WAIT).await;
        assert_eq!((bytes.len(), seen), (0, ending));
        assert_eq!(simulator.request_count(), 1, "only the first was read");
    }
}

#[tokio::test]
async fn a_repeated_wamid_is_that_of_the_numbers_previous_message() {
    let simulator = start(Config::default()).await;
    let first = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234567"))).await;
    let other = call(simulator.address(), "POST", "/v23.0/2/messages", Some(&text_to("905321234567"))).await;
    simulator.script(Rule::next_sends(Behaviour::RepeatWamid, 1)).await.expect("it can be carried out");
    let second = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234568"))).await;
    let third = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("905321234569"))).await;
    assert_eq!(second.wamid(), first.wamid());
    assert_ne!(other.wamid(), first.wamid());
    assert_ne!(third.wamid(), first.wamid());
    assert_eq!(second.json()["contacts"][0]["wa_id"], "905321234568");
}

#[tokio::test]
async fn magic_recipients_need_no_script() {
    let simulator = start(Config::default()).await;
    for meta in turnpike_simulator::codes::ALL {
        let to = turnpike_simulator::faults::magic::recipient_for_code(meta.code);
        let answer = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to(&format!("+{to}")))).await;
        assert_eq!((answer.status, answer.code()), (meta.status, i64::from(meta.code)));
        assert_eq!(answer.json()["error"]["message"], format!("(#{}) {}", meta.code, meta.title));
        assert_eq!(answer.json()["error"]["error_data"]["details"], meta.details);
    }
    let began = Instant::now();
    let slow = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("1555010200200"))).await;
    assert_eq!(slow.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(200));
    let page = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to("1555010346"))).await;
    assert_eq!((page.status, page.header("content-type")), (502, Some("text/html; charset=utf-8")));
}

#[tokio::test]
async fn rules_are_set_shown_and_taken_back_by_http() {
    let simulator = start(Config::default()).await;
    let address = simulator.address();
    let rules: Value = serde_json::json!([
        {"match": {"to": "905321234567", "type": "text", "path": "/messages", "method": "post", "phone_number_id": "1"},
         "times": 1, "behaviour": {"do": "graph_error", "code": 131_000, "status": 503, "subcode": 5, "details": "as asked"}},
        {"match": {"body_contains": "needle"}, "behaviour": "html_500"},
    ]);
    let set = call(address, "POST", "/_sim/script", Some(&rules)).await;
    assert_eq!((set.status, set.json()), (201, serde_json::json!({"ids": [1, 2]})));

    let other_number = call(address, "POST", "/v23.0/2/messages", Some(&text_to("+905321234567"))).await;
    assert_eq!(other_number.status, 200);
    let struck = call(address, "POST", "/v23.0/1/messages", Some(&text_to("+905321234567"))).await;
    assert_eq!((struck.status, struck.code()), (503, 131_000));
    assert_eq!(struck.json()["error"]["error_data"]["details"], "as asked");
    assert_eq!(struck.json()["error"]["error_subcode"], 5);
    let again = call(address, "POST", "/v23.0/1/messages", Some(&text_to("+905321234567"))).await;
    assert_eq!(again.status, 200, "once was asked for");
    let mut needle = text_to("905321234500");
    needle["text"]["body"] = "a needle in it".into();
    assert_eq!(call(address, "POST", "/v23.0/1/messages", Some(&needle)).await.status, 500);

    let shown = call(address, "GET", "/_sim/script", None).await.json();
    assert_eq!(shown["rules"][0]["struck"], 1);
    assert_eq!(shown["rules"][1]["matched"], 1);
    assert_eq!(call(address, "DELETE", "/_sim/script/2", None).await.status, 200);
    assert_eq!(call(address, "DELETE", "/_sim/script/2", None).await.status, 404);
    assert_eq!(call(address, "POST", "/v23.0/1/messages", Some(&needle)).await.status, 200);
    assert_eq!(call(address, "DELETE", "/_sim/script", None).await.status, 200);
    assert_eq!(call(address, "GET", "/_sim/script", None).await.json(), serde_json::json!({"rules": []}));
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused_in_words() {
    let simulator = start(Config::default()).await;
    for (rule, words) in [
        (r#"{"behaviour":"explode"}"#, "none named `explode`"),
        (r#"{"behaviour":{"do":"explode"}}"#, "unknown variant"),
        (r#"{"match":{"too":"1"},"behaviour":"hang"}"#, "unknown field `too`"),
        (r#"{"match":{"to":"1"},"behaviour":"hang_after_head"}"#, "before the body is read"),
        (r#"[{"behaviour":"hang"},{}]"#, "rules[1]"),
        (r#"{"#, "must be JSON"),
    ] {
        let connection = TcpStream::connect(simulator.address()).await;
        let mut connection = connection.expect("the simulator listens");
        connection.write_all(&request_bytes("POST", "/_sim/script", "", rule)).await.expect("the request goes out");
        let answer = read_answer(&mut connection).await;
        assert_eq!(answer.status, 400, "{rule}");
        assert!(String::from_utf8_lossy(&answer.body).contains(words), "{rule}: {}", answer.json());
    }
    assert!(simulator.rules().is_empty(), "all of a list, or none");
}

#[tokio::test]
async fn a_body_may_come_in_pieces_and_in_chunks_and_after_a_continue() {
    let simulator = start(Config::default()).await;
    let body = text_to("905321234567").to_string();
    let mut connection = TcpStream::connect(simulator.address()).await.expect("the simulator listens");
    let (first, second) = body.split_at(20);
    let chunked = format!(
        "POST /v23.0/1/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{first}\r\n{:x};note\r\n{second}\r\n0\r\ntrailer: x\r\n\r\n",
        first.len(),
        second.len()
    );
    for piece in chunked.as_bytes().chunks(7) {
        connection.write_all(piece).await.expect("a piece goes out");
        connection.flush().await.expect("a piece goes out");
        tokio::task::yield_now().await;
    }
    assert_eq!(read_answer(&mut connection).await.status, 200);

    let head = format!(
        "POST /v23.0/1/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.expect("the head goes out");
    let mut interim = [0; 25];
    tokio::time::timeout(PATIENCE, connection.read_exact(&mut interim)).await.expect("in time").expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write_all(body.as_bytes()).await.expect("the body goes out");
    assert_eq!(read_answer(&mut connection).await.status, 200);
    assert_eq!(simulator.requests(9)[0].body, simulator.requests(9)[1].body);

    // Two requests in one write are answered in order on the same connection.
    let get = request_bytes("GET", "/_sim/health", "", "");
    connection.write_all(&[get.clone(), get].concat()).await.expect("both go out");
    let (bytes, ending) = exchange(&mut connection, b"", Duration::from_millis(500)).await;
    assert_eq!(String::from_utf8_lossy(&bytes).matches(r#"{"status":"ok"}"#).count(), 2);
    assert_eq!(ending, Ending::Open);
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_not_recorded() {
    let simulator = start(Config::default()).await;
    for (bytes, status) in [
        (b"NOT HTTP AT ALL\r\n\r\n".to_vec(), 400),
        (b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n".to_vec(), 400),
        ([b"GET / HTTP/1.1\r\na: ".to_vec(), vec![b'x'; 70_000]].concat(), 431),
        (b"POST /v23.0/1/messages HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n".to_vec(), 413),
    ] {
        let mut connection = TcpStream::connect(simulator.address()).await.expect("the simulator listens");
        let (answer, ending) = exchange(&mut connection, &bytes, WAIT).await;
        assert_eq!((classify(&answer), ending), (Got::Whole(status), Ending::Fin));
    }
    assert_eq!(simulator.request_count(), 0);
}

#[tokio::test]
async fn a_rule_can_say_whether_the_message_was_taken() {
    use std::sync::{Arc, Mutex};
    use turnpike_simulator::phones::{Accepted, Events};

    #[derive(Default)]
    struct Heard(Mutex<Vec<Accepted>>);
    impl Events for Heard {
        fn accepted(&self, message: &Accepted) {
            self.0.lock().expect("no test panics with it").push(message.clone());
        }
    }
    let heard = Arc::new(Heard::default());
    let simulator = start(Config { events: Some(heard.clone()), ..Config::default() }).await;
    let heard_count = || heard.0.lock().expect("no test panics with it").len();
    let mut message = text_to("905321234567");
    message["biz_opaque_callback_data"] = "tp1.x".into();
    let rules = [
        (Behaviour::named("answer"), None, 1),
        (Behaviour::named("close_after_body_fin"), None, 1),
        (Behaviour::named("close_after_body_fin"), Some(false), 0),
        (Behaviour::named("html_500"), None, 0),
        (Behaviour::named("html_500"), Some(true), 1),
        (Behaviour::named("error_131000"), Some(true), 1),
        (Behaviour::named("error_131000"), None, 0),
    ];
    for (behaviour, accept, more) in rules {
        let before = heard_count();
        let rule = Rule {
            times: Some(1),
            accept,
            matching: Match { to: Some("905321234567".to_owned()), ..Match::default() },
            ..Rule::always(behaviour.expect("a name"))
        };
        simulator.script(rule).await.expect("it can be carried out");
        let mut connection = TcpStream::connect(simulator.address()).await.expect("the simulator listens");
        let request = request_bytes("POST", "/v23.0/1/messages", "authorization: Bearer EAAgood\r\n", &message.to_string());
        exchange(&mut connection, &request, Duration::from_millis(500)).await;
        assert_eq!(heard_count() - before, more);
    }
    let first = heard.0.lock().expect("no test panics with it")[0].clone();
    assert_eq!(first.user, "905321234567");
    assert_eq!(first.biz_opaque_callback_data.as_deref(), Some("tp1.x"));
    assert!(first.window_open, "unscripted users have written a minute ago");
}
