//! Every way in which the simulator can treat a send, over HTTP/1.1, HTTP/1.1 over TLS and HTTP/2
//! over TLS: the outcome is the one that contract §3.4 and reliability §c1 name, and the
//! simulator's own record bears it out. Where we say "not sent", it has nothing; whatever else we
//! say, it has the message at most once.

mod graph_support;

use std::time::Duration;

use futures_util::StreamExt as _;
use graph_support::{Road, short, text};
use turnpike_domain::refusal::{NotSentCause, UnknownCause};
use turnpike_engine::graph::GraphOutcome;
use turnpike_engine::net::NetConfig;
use turnpike_simulator::{Behaviour, Config, Rule, Simulator, TlsFiles};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Http1,
    Http1Tls,
    Http2Tls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Accepted,
    Refused(i64),
    NotSent(NotSentCause),
    Unknown(UnknownCause),
}

impl End {
    fn of(outcome: &GraphOutcome) -> End {
        match outcome {
            GraphOutcome::Accepted { .. } => End::Accepted,
            GraphOutcome::Refused { refusal, .. } => End::Refused(refusal.code),
            GraphOutcome::NotSent { cause, .. } => End::NotSent(*cause),
            GraphOutcome::Unknown { cause } => End::Unknown(*cause),
        }
    }
}

/// The ends that may be said of a behaviour. Two, where a race decides whether a byte left before
/// the other side closed; both are then the truth.
fn expected(name: &str, over: Over) -> Vec<End> {
    use End::{Accepted, NotSent, Refused, Unknown};
    use NotSentCause::{Connect, ConnectionClosed, RefusedStream, Tls};
    use UnknownCause::{ConnectionLost, Redirect, ServerError, Timeout, UnreadableAnswer, UnreadableRefusal};
    if let Some(code) = name.strip_prefix("error_").and_then(|rest| rest.split('_').next()).and_then(|code| code.parse::<i64>().ok()) {
        return match code {
            1 | 2 | 131_000 | 131_016 => vec![Unknown(ServerError)],
            code => vec![Refused(code)],
        };
    }
    vec![match (name, over) {
        ("answer" | "repeat_wamid" | "answer_twice" | "goaway_after_answer", _) => Accepted,
        ("delay_before_reading" | "delay_before_answer" | "delay_mid_head" | "delay_mid_body", _) => Accepted,
        ("continue_then_answer" | "early_hints_then_answer" | "drip", _) => Accepted,
        ("error_unlisted", _) => Refused(999_999),
        ("hang_on_accept", Over::Http1Tls | Over::Http2Tls) => NotSent(Tls),
        (name, _) if name.starts_with("hang") => Unknown(Timeout),
        ("close_on_accept_fin", Over::Http1Tls | Over::Http2Tls) => NotSent(Tls),
        // A reset may come while the socket is still being set up.
        ("close_on_accept_rst", Over::Http1Tls | Over::Http2Tls) => return vec![NotSent(Tls), NotSent(Connect)],
        ("close_on_accept_fin", Over::Http1) => return vec![NotSent(ConnectionClosed), Unknown(ConnectionLost)],
        ("close_on_accept_rst", Over::Http1) => {
            return vec![NotSent(ConnectionClosed), NotSent(Connect), Unknown(ConnectionLost)];
        }
        // HTTP/2 speaks before the request does, so the close may come before or after it.
        ("close_before_reading_fin" | "close_before_reading_rst", Over::Http2Tls) => {
            return vec![NotSent(ConnectionClosed), Unknown(ConnectionLost)];
        }
        ("close_mid_body_fin" | "close_mid_body_rst" | "reset_mid_body", _) => Unknown(UnreadableAnswer),
        ("refused_stream" | "goaway_below", Over::Http2Tls) => NotSent(RefusedStream),
        ("garbage", Over::Http1 | Over::Http1Tls) => Unknown(UnreadableAnswer),
        ("empty_200" | "empty_204" | "invalid_json_200" | "no_messages_200" | "html_200" | "cut_json_200", _) => Unknown(UnreadableAnswer),
        ("content_length_too_long" | "content_length_too_short" | "chunked_cut" | "chunked_cut_rst" | "flood_200", _) => {
            Unknown(UnreadableAnswer)
        }
        ("html_500" | "html_502" | "html_503" | "html_504" | "empty_500", _) => Unknown(ServerError),
        ("html_400", _) => Unknown(UnreadableRefusal),
        ("redirect_302" | "redirect_307", _) => Unknown(Redirect),
        (name, _) if ["close_", "reset_", "goaway_", "refused_"].iter().any(|kind| name.starts_with(kind)) => Unknown(ConnectionLost),
        ("continue_then_cut" | "processing_then_cut" | "garbage", _) => Unknown(ConnectionLost),
        (name, over) => panic!("nobody said what {name} over {over:?} means"),
    }]
}

async fn simulator(over: Over) -> (Simulator, NetConfig) {
    let tls = (over != Over::Http1).then(|| TlsFiles::SelfSigned { names: Vec::new(), write_ca_to: None });
    let simulator = Simulator::start(Config { tls, http2: over == Over::Http2Tls, ..Config::default() }).await.expect("a free port");
    let extra_roots_pem = simulator.ca_pem().map(|pem| pem.as_bytes().to_vec()).into_iter().collect();
    (simulator, NetConfig { extra_roots_pem, ..short() })
}

/// Plays one cell twice on one road, so that the second send may find a connection that the first
/// one left; gives what is wrong.
async fn cell(name: &'static str, behaviour: Behaviour, over: Over) -> Option<String> {
    let (simulator, mut config) = simulator(over).await;
    config.timeouts.tls = Duration::from_millis(700);
    if matches!(behaviour, Behaviour::Hang { .. }) {
        config.timeouts.hard_cap = Duration::from_millis(2_500);
    }
    simulator.script(Rule::always(behaviour)).await.expect("a named behaviour is possible");
    let road = Road::to(&simulator.base_url(), config);
    for round in ["first", "second"] {
        let marker = format!("{name}-{round}");
        let end = End::of(&road.send(text("15551234567", &marker)).await);
        let recorded = simulator.requests(100).iter().filter(|request| request.body["biz_opaque_callback_data"] == marker.as_str()).count();
        let may = match end {
            End::Accepted | End::Refused(_) => 1..=1,
            End::NotSent(_) => 0..=0,
            End::Unknown(_) => 0..=1,
        };
        if !expected(name, over).contains(&end) || !may.contains(&recorded) {
            return Some(format!("{name} over {over:?}, {round}: {end:?} with {recorded} recorded; expected {:?}", expected(name, over)));
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_behaviour_ends_as_the_failure_table_names_it_and_is_never_posted_twice() {
    let cells = Behaviour::all_named().iter().flat_map(|named| {
        [Over::Http1, Over::Http1Tls, Over::Http2Tls].into_iter().map(|over| cell(named.name, named.behaviour.clone(), over))
    });
    let wrong: Vec<String> = futures_util::stream::iter(cells).buffer_unordered(12).filter_map(|wrong| async { wrong }).collect().await;
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_spoken_where_it_is_offered_and_http1_where_it_is_not() {
    for over in [Over::Http1, Over::Http1Tls, Over::Http2Tls] {
        let (simulator, config) = simulator(over).await;
        for http2 in [true, false] {
            let road = Road::to(&simulator.base_url(), NetConfig { http2, ..config.clone() });
            assert_eq!(End::of(&road.send(text("15551234567", "x")).await), End::Accepted, "{over:?}");
            // Only HTTP/2 can refuse a stream; over HTTP/1.1 the simulator cuts the connection.
            let refuse = Behaviour::named("refused_stream").expect("a named behaviour");
            simulator.script(Rule::next_sends(refuse, 1)).await.expect("it is possible");
            let refused = if http2 && over == Over::Http2Tls {
                End::NotSent(NotSentCause::RefusedStream)
            } else {
                End::Unknown(UnknownCause::ConnectionLost)
            };
            assert_eq!(End::of(&road.send(text("15551234567", "y")).await), refused, "{over:?}, HTTP/2 allowed: {http2}");
        }
    }
}
