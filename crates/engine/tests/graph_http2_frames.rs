//! HTTP/2 down to its frames: which streams a GOAWAY leaves out, and a server that has died without
//! saying so. What we conclude here decides money, and rests on how a library shows it; so these
//! tests speak the frames themselves and would notice if the library changed its mind.

mod graph_support;

use std::collections::BTreeMap;
use std::time::Duration;

use graph_support::{ACCEPTED, Identity, Road, listen, spawn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use turnpike_domain::refusal::{NotSentCause, UnknownCause};
use turnpike_engine::graph::GraphOutcome;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection whose frames are written by hand.
struct Frames(TlsStream<TcpStream>);

impl Frames {
    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short frames").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.expect("the client reads");
    }

    async fn read(&mut self) -> (u8, u8, u32, Vec<u8>) {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.expect("the client writes");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("it fits")];
        self.0.read_exact(&mut payload).await.expect("the client writes");
        (head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload)
    }

    /// Says hello and reads until `streams` requests are whole; gives each stream's body.
    async fn requests(&mut self, streams: usize) -> BTreeMap<u32, String> {
        let mut preface = [0; 24];
        self.0.read_exact(&mut preface).await.expect("the client begins");
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        self.write(SETTINGS, 0, 0, &[]).await;
        let (mut bodies, mut whole) = (BTreeMap::<u32, Vec<u8>>::new(), 0);
        while whole < streams {
            let (kind, flags, stream, payload) = self.read().await;
            if kind == DATA {
                bodies.entry(stream).or_default().extend(payload);
                whole += usize::from(flags & END_STREAM != 0);
            }
        }
        bodies.into_iter().map(|(stream, body)| (stream, String::from_utf8(body).expect("it was text"))).collect()
    }

    async fn answer(&mut self, stream: u32) {
        // 0x88 is `:status: 200` in the static table (RFC 7541, appendix A).
        self.write(HEADERS, END_HEADERS, stream, &[0x88]).await;
        self.write(DATA, END_STREAM, stream, ACCEPTED.as_bytes()).await;
    }

    async fn go_away(&mut self, last: u32, reason: u32) {
        let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    async fn reset(&mut self, stream: u32, reason: u32) {
        self.write(RST_STREAM, 0, stream, &reason.to_be_bytes()).await;
    }
}

/// Sends three messages at once on one connection, lets `play` treat it, and gives the outcomes by
/// stream.
async fn three_streams<F, P>(play: F) -> BTreeMap<u32, GraphOutcome>
where
    F: FnOnce(Frames, Vec<u32>) -> P + Send + 'static,
    P: Future<Output = ()> + Send,
{
    let identity = Identity::speaking(&[b"h2"]);
    let (listener, address) = listen().await;
    let acceptor = identity.acceptor.clone();
    let server = spawn(async move {
        let (socket, _) = listener.accept().await.expect("it is dialled");
        let mut frames = Frames(acceptor.accept(socket).await.expect("it is trusted"));
        let bodies = frames.requests(3).await;
        play(frames, bodies.keys().copied().collect()).await;
        bodies
    });
    let road = Road::to(&format!("https://127.0.0.1:{}", address.port()), identity.trusted());
    let outcomes = futures_util::future::join_all((0..3).map(|number| road.send(format!("message {number}")))).await;
    let bodies = server.await.expect("the server plays its part");
    let outcome_of = |body: &String| outcomes[body.strip_prefix("message ").and_then(|n| n.parse::<usize>().ok()).expect("ours")].clone();
    bodies.iter().map(|(stream, body)| (*stream, outcome_of(body))).collect()
}

fn assert_accepted(outcome: &GraphOutcome) {
    assert!(matches!(outcome, GraphOutcome::Accepted { .. }), "{outcome:?}");
}

fn lost() -> GraphOutcome {
    GraphOutcome::Unknown { cause: UnknownCause::ConnectionLost }
}

fn refused() -> GraphOutcome {
    GraphOutcome::NotSent { cause: NotSentCause::RefusedStream, retry_after_ms: None }
}

#[tokio::test]
async fn a_goaway_proves_of_the_streams_beyond_it_and_of_no_other() {
    for reason in [NO_ERROR, INTERNAL_ERROR, ENHANCE_YOUR_CALM] {
        let outcomes = three_streams(move |mut frames, streams| async move {
            frames.go_away(streams[1], reason).await;
            // The first is answered after it; the second never is; the connection ends.
            frames.answer(streams[0]).await;
            let _ = frames.0.shutdown().await;
        })
        .await;
        let outcomes: Vec<GraphOutcome> = outcomes.into_values().collect();
        assert_accepted(&outcomes[0]);
        assert_eq!(outcomes[1], lost(), "reason {reason}: it is below the last stream, so it may have been processed");
        assert_eq!(outcomes[2], refused(), "reason {reason}");
    }
}

#[tokio::test]
async fn a_second_goaway_with_a_lower_stream_proves_of_those_between_them() {
    let outcomes = three_streams(|mut frames, streams| async move {
        frames.go_away(0x7fff_ffff, NO_ERROR).await;
        frames.go_away(streams[0], NO_ERROR).await;
        frames.answer(streams[0]).await;
        let _ = frames.0.shutdown().await;
    })
    .await;
    let outcomes: Vec<GraphOutcome> = outcomes.into_values().collect();
    assert_accepted(&outcomes[0]);
    assert_eq!(outcomes[1..], [refused(), refused()]);
}

#[tokio::test]
async fn a_connection_that_ends_without_a_goaway_proves_nothing() {
    let outcomes = three_streams(|mut frames, streams| async move {
        frames.answer(streams[0]).await;
        let _ = frames.0.shutdown().await;
    })
    .await;
    let outcomes: Vec<GraphOutcome> = outcomes.into_values().collect();
    assert_accepted(&outcomes[0]);
    assert_eq!(outcomes[1..], [lost(), lost()]);
}

#[tokio::test]
async fn a_reset_proves_of_its_stream_only_and_only_if_it_says_refused() {
    let outcomes = three_streams(|mut frames, streams| async move {
        frames.reset(streams[0], REFUSED_STREAM).await;
        frames.reset(streams[1], INTERNAL_ERROR).await;
        frames.answer(streams[2]).await;
        // The client closes, or we would end the test by ending the connection.
        let _ = frames.0.read(&mut [0; 64]).await;
    })
    .await;
    let outcomes: Vec<GraphOutcome> = outcomes.into_values().collect();
    assert_eq!(outcomes[0], refused());
    assert_eq!(outcomes[1], lost());
    assert_accepted(&outcomes[2]);
}

#[tokio::test]
async fn nothing_is_refused_any_more_once_an_answer_has_begun() {
    let outcomes = three_streams(|mut frames, streams| async move {
        for stream in &streams {
            frames.write(HEADERS, END_HEADERS, *stream, &[0x88]).await;
        }
        frames.reset(streams[0], REFUSED_STREAM).await;
        frames.go_away(0, NO_ERROR).await;
        let _ = frames.0.shutdown().await;
    })
    .await;
    for outcome in outcomes.into_values() {
        assert_eq!(outcome, GraphOutcome::Unknown { cause: UnknownCause::UnreadableAnswer });
    }
}

#[tokio::test]
async fn a_frame_that_breaks_the_protocol_proves_nothing() {
    let outcomes = three_streams(|mut frames, _| async move {
        // DATA on stream 0 is a connection error, for which the client itself says GOAWAY.
        frames.write(DATA, 0, 0, b"x").await;
        let _ = frames.0.read(&mut [0; 64]).await;
    })
    .await;
    for outcome in outcomes.into_values() {
        assert_eq!(outcome, lost());
    }
}

#[tokio::test]
async fn a_server_that_died_without_a_word_is_found_out_by_a_ping() {
    let identity = Identity::speaking(&[b"h2"]);
    let (listener, address) = listen().await;
    let acceptor = identity.acceptor.clone();
    let (hold, held) = tokio::sync::oneshot::channel::<()>();
    spawn(async move {
        let (socket, _) = listener.accept().await.expect("it is dialled");
        let frames = acceptor.accept(socket).await.expect("it is trusted");
        let _ = held.await;
        drop(frames);
    });
    let mut config = identity.trusted();
    config.timeouts.ping_every = Duration::from_millis(100);
    config.timeouts.ping_answer = Duration::from_millis(100);
    config.timeouts.hard_cap = Duration::from_secs(30);
    let road = Road::to(&format!("https://127.0.0.1:{}", address.port()), config);
    let outcome = tokio::time::timeout(Duration::from_secs(10), road.send("{}")).await.expect("long before the hard cap");
    assert_eq!(outcome, lost());
    drop(hold);
}
