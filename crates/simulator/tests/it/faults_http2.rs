//! Every named behaviour as an HTTP/2 client meets it, frame by frame.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Error, Reason};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use turnpike_simulator::{Behaviour, Config, Rule, Simulator};

use crate::client::{PATIENCE, start, text_to};

/// Longer than the named delays.
const WAIT: Duration = Duration::from_secs(2);

/// What a client got on its stream.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Got {
    Whole(u16),
    /// The head, and then …
    Part(u16, Box<Got>),
    /// The stream was reset by the server.
    Reset(Reason),
    /// GOAWAY left the stream out: it was not processed.
    LeftOut,
    /// The connection ended, one way or another.
    Lost,
    /// The client's own library found the frames wrong.
    Wrong(Reason),
    Silence,
}

/// A client connection; its driver runs in the set.
async fn connect(simulator: &Simulator, drivers: &mut JoinSet<()>) -> Option<SendRequest<Bytes>> {
    let tcp = TcpStream::connect(simulator.address()).await.ok()?;
    let (sender, connection) = h2::client::handshake(tcp).await.ok()?;
    drivers.spawn(async move {
        // How it ended is seen on the streams.
        let _ = connection.await;
    });
    sender.ready().await.ok()
}

fn post() -> Request<()> {
    Request::post("http://graph.test/v23.0/1/messages")
        .header("authorization", "Bearer EAAgood")
        .header("content-type", "application/json")
        .body(())
        .expect("a request")
}

async fn send(sender: &mut SendRequest<Bytes>, to: &str) -> Got {
    match tokio::time::timeout(WAIT, exchange(sender, to)).await {
        Ok(got) => got,
        Err(_) => Got::Silence,
    }
}

async fn exchange(sender: &mut SendRequest<Bytes>, to: &str) -> Got {
    let (response, mut stream) = match sender.send_request(post(), false) {
        Ok(sent) => sent,
        Err(error) => return failure(&error),
    };
    // A server that has ended the stream or connection shows it in the response.
    let _ = stream.send_data(Bytes::from(text_to(to).to_string()), true);
    let response = match response.await {
        Ok(response) => response,
        Err(error) => return failure(&error),
    };
    let status = response.status().as_u16();
    let mut body = response.into_body();
    loop {
        match tokio::time::timeout(WAIT / 2, body.data()).await {
            Err(_) => return Got::Part(status, Box::new(Got::Silence)),
            Ok(None) => return Got::Whole(status),
            Ok(Some(Ok(data))) => {
                let _ = body.flow_control().release_capacity(data.len());
            }
            Ok(Some(Err(error))) => return Got::Part(status, Box::new(failure(&error))),
        }
    }
}

fn failure(error: &Error) -> Got {
    match error.reason() {
        Some(reason) if error.is_reset() && error.is_remote() => Got::Reset(reason),
        Some(_) if error.is_go_away() && error.is_remote() => Got::LeftOut,
        Some(reason) => Got::Wrong(reason),
        None => Got::Lost,
    }
}

/// What each named behaviour must look like; every name must be here.
fn expected(name: &str) -> (Got, bool) {
    use Got::{LeftOut, Lost, Part, Reset, Silence, Whole, Wrong};
    let part = |then| Part(200, Box::new(then));
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
        | "flood_200"
        | "answer_twice"
        | "continue_then_answer"
        | "early_hints_then_answer"
        | "goaway_after_answer" => (Whole(200), true),
        "empty_204" => (Whole(204), true),
        "hang_on_accept" | "hang_before_reading" | "hang_after_head" => (Silence, false),
        "hang" | "hang_mid_head" => (Silence, true),
        "hang_mid_body" => (part(Silence), true),
        "close_on_accept_fin"
        | "close_on_accept_rst"
        | "close_before_reading_fin"
        | "close_before_reading_rst"
        | "close_after_head_fin"
        | "close_after_head_rst" => (Lost, false),
        "close_after_body_fin"
        | "close_after_body_rst"
        | "close_mid_head_fin"
        | "close_mid_head_rst"
        | "continue_then_cut"
        | "processing_then_cut" => (Lost, true),
        "close_mid_body_fin" | "close_mid_body_rst" | "chunked_cut" | "chunked_cut_rst" => (part(Lost), true),
        "content_length_too_long" | "content_length_too_short" => (part(Wrong(Reason::PROTOCOL_ERROR)), true),
        "garbage" => (Wrong(Reason::FRAME_SIZE_ERROR), true),
        "refused_stream" => (Reset(Reason::REFUSED_STREAM), false),
        "reset_internal_before" => (Reset(Reason::INTERNAL_ERROR), false),
        "reset_cancel_before" => (Reset(Reason::CANCEL), false),
        "reset_internal_after" => (Reset(Reason::INTERNAL_ERROR), true),
        "reset_cancel_after" => (Reset(Reason::CANCEL), true),
        "reset_calm_after" => (Reset(Reason::ENHANCE_YOUR_CALM), true),
        "reset_mid_body" => (part(Reset(Reason::INTERNAL_ERROR)), true),
        "goaway_below" => (LeftOut, false),
        "goaway_covering" => (Lost, true),
        "error_1" | "error_131000" | "error_131016" | "html_500" | "empty_500" => (Whole(500), true),
        "error_2" | "html_503" => (Whole(503), true),
        "html_502" => (Whole(502), true),
        "html_504" => (Whole(504), true),
        "redirect_302" => (Whole(302), true),
        "redirect_307" => (Whole(307), true),
        "html_400" | "error_100" | "error_613" | "error_130429_as_400" | "error_unlisted" => (Whole(400), true),
        "error_190" => (Whole(401), true),
        "error_10" | "error_368" | "error_131031" => (Whole(403), true),
        "error_4" | "error_80007" | "error_130429" | "error_131056" | "error_131048" => (Whole(429), true),
        other => panic!("{other} has no expectation: a new behaviour needs one"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_named_behaviour_is_what_it_says_over_http2() {
    let mut cases = JoinSet::new();
    for named in Behaviour::all_named() {
        cases.spawn(async move {
            let simulator = start(Config::default()).await;
            simulator.script(Rule::next_sends(named.behaviour.clone(), 1)).await.expect("it can be carried out");
            let mut drivers = JoinSet::new();
            let got = match connect(&simulator, &mut drivers).await {
                Some(mut sender) => send(&mut sender, "905321234567").await,
                None => Got::Lost,
            };
            let (expected, recorded) = expected(named.name);
            assert_eq!(got, expected, "{}", named.name);
            assert_eq!(simulator.request_count(), usize::from(recorded), "{} and the record", named.name);

            let mut sender = connect(&simulator, &mut drivers).await.expect("a new connection is served");
            assert_eq!(send(&mut sender, "905321234568").await, Got::Whole(200), "after {}", named.name);
        });
    }
    while let Some(case) = cases.join_next().await {
        case.expect("the case holds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_fault_leaves_the_connections_other_streams_alone() {
    for name in ["refused_stream", "reset_internal_after", "hang", "reset_mid_body", "delay_before_answer"] {
        let simulator = start(Config::default()).await;
        let mut drivers = JoinSet::new();
        let mut sender = connect(&simulator, &mut drivers).await.expect("a connection");
        let behaviour = Behaviour::named(name).expect("a name");
        simulator.script(Rule::next_sends(behaviour, 1)).await.expect("it can be carried out");
        let mut struck = sender.clone();
        let (first, second) = tokio::join!(send(&mut struck, "905321234567"), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            send(&mut sender, "905321234568").await
        });
        assert_eq!(first, expected(name).0, "{name}");
        assert_eq!(second, Got::Whole(200), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goaway_below_is_never_a_lie() {
    for round in 0..20 {
        let simulator = start(Config::default()).await;
        let mut drivers = JoinSet::new();
        let sender = connect(&simulator, &mut drivers).await.expect("a connection");
        let mut rule = Rule::next_sends(Behaviour::named("goaway_below").expect("a name"), 1);
        rule.nth = Some(10);
        simulator.script(rule).await.expect("it can be carried out");
        let mut sends = JoinSet::new();
        for n in 0..40 {
            let mut sender = sender.clone();
            sends.spawn(async move {
                let to = format!("9053212345{n:02}");
                let got = match sender.clone().ready().await {
                    Ok(_) => send(&mut sender, &to).await,
                    Err(_) => Got::LeftOut,
                };
                (to, got)
            });
        }
        let mut left_out = 0;
        let mut answered = 0;
        while let Some(done) = sends.join_next().await {
            let (to, got) = done.expect("no send panics");
            let in_record = simulator.requests(100).iter().any(|request| request.body["to"] == to.as_str());
            match got {
                Got::Whole(200) => {
                    answered += 1;
                    assert!(in_record, "round {round}: {to} was answered");
                }
                // What was never handed to the closed connection is lost, and unsent.
                Got::LeftOut | Got::Lost | Got::Reset(Reason::REFUSED_STREAM) => {
                    left_out += 1;
                    assert!(!in_record, "round {round}: {to} was said not to be processed");
                }
                other => panic!("round {round}: {to} got {other:?}"),
            }
        }
        // The tenth was left out, and with it all behind it.
        assert_eq!((answered, left_out), (9, 31), "round {round}");
    }
}

#[tokio::test]
async fn http2_can_be_switched_off() {
    let simulator = start(Config { http2: false, ..Config::default() }).await;
    let mut drivers = JoinSet::new();
    let served = match tokio::time::timeout(PATIENCE, connect(&simulator, &mut drivers)).await.expect("in time") {
        Some(mut sender) => send(&mut sender, "905321234567").await,
        None => Got::Lost,
    };
    assert!(matches!(served, Got::Lost | Got::Wrong(_)), "{served:?}");
    assert_eq!(simulator.request_count(), 0);
}
