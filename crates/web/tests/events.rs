//! A stream of events over a real socket: in order, whole across breaks, and only its owner's.

mod works;

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::EventKind;
use turnpike_store::events::{NewEvent, Recorded};
use turnpike_web::server::ServerLimits;
use works::{PATIENCE, Plan, Works};

/// Makes events of one test differ, as Meta's do.
static IDENTITY: AtomicU8 = AtomicU8::new(0);

impl Works {
    /// Records an event whose body holds `n`.
    async fn happens(&self, app_id: &str, mode: Mode, kind: EventKind, n: usize) {
        let app = self.app(app_id);
        let (organization, application) = (app.row.organization, app.row.key);
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": app_id, "n": n}]}).to_string();
        let mut identity = [IDENTITY.fetch_add(1, Ordering::Relaxed); 16];
        identity[..8].copy_from_slice(&n.to_be_bytes());
        let event = NewEvent {
            organization,
            application,
            mode,
            kind,
            identity,
            at: UnixMs(1_795_392_000_000),
            user: None,
            aliases: Vec::new(),
            note: None,
            status: None,
            body: self.engine.seal_event_body(organization, application, body.as_bytes()),
            endpoints: Vec::new(),
            notice: None,
        };
        let recorded = self.engine.record_events(vec![event]).await.expect("the store answers");
        assert!(matches!(recorded[..], [Recorded::New { .. }]), "{recorded:?}");
    }

    async fn stream(&self, key: &str, query: &str, last: Option<&str>) -> Stream {
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET /v1/wa/events{query} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n{last}\r\n"
        );
        let mut socket = TcpStream::connect(self.address).await.expect("it listens");
        socket.write_all(request.as_bytes()).await.expect("it is open");
        let mut stream = Stream { lines: BufReader::new(socket), head: String::new() };
        loop {
            let line = stream.line().await.expect("a head");
            if line.is_empty() {
                break;
            }
            stream.head.push_str(&line.to_ascii_lowercase());
            stream.head.push('\n');
        }
        assert!(stream.head.starts_with("http/1.1 200"), "{}", stream.head);
        stream
    }
}

/// A stream as its reader sees it. Chunks' lengths are lines of hexadecimal digits, which no line of an
/// event is.
struct Stream {
    lines: BufReader<TcpStream>,
    head: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: String,
    kind: String,
    n: u64,
}

impl Stream {
    /// The next line; `None` at the end of the connection.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.lines.read_line(&mut line)).await.expect("the stream says something in time").ok()?;
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next event; `None` at the end of the stream, which must be a clean one.
    async fn event(&mut self) -> Option<Event> {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some(("id", text)) => text.clone_into(&mut id),
                Some(("event", text)) => text.clone_into(&mut kind),
                Some(("data", text)) => {
                    let body: Value = serde_json::from_str(text).expect("one line of JSON");
                    return Some(Event { id, kind, n: body["entry"][0]["n"].as_u64().expect("a number") });
                }
                _ if line == "0" => return None,
                _ => {}
            }
        }
    }

    async fn numbers(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.event().await.expect("the stream goes on"));
        }
        events
    }
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.n).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_order_with_the_ids_and_kinds_of_their_deliveries() {
    let works = Works::open(Plan::default()).await;
    let key = works.live_key("acme").await;
    works.happens("acme", Mode::Live, EventKind::Messages, 0).await;
    let mut stream = works.stream(&key, "", None).await;
    for line in ["content-type: text/event-stream", "cache-control: no-store", "x-gateway-application: acme", "x-ratelimit-sec-limit: 80"] {
        assert!(stream.head.contains(line), "{line}: {}", stream.head);
    }
    works.happens("acme", Mode::Live, EventKind::ButtonReply, 1).await;
    for n in 2..120 {
        works.happens("acme", Mode::Live, EventKind::Messages, n).await;
    }
    let events = stream.numbers(119).await;
    assert_eq!(numbers(&events), (1..120).collect::<Vec<u64>>(), "what was before the stream began is not in it");
    assert_eq!(events[0].kind, "interactive.button_reply");
    assert!(events.iter().all(|event| event.id.starts_with("msg_") && event.id.len() == 36), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_is_taken_up_without_loss_or_repeat() {
    let works = Works::open(Plan::default()).await;
    let key = works.live_key("acme").await;
    let mut seen: Vec<Event> = Vec::new();
    let mut stream = works.stream(&key, "", None).await;
    let mut n = 0;
    for round in 0..5 {
        for _ in 0..30 {
            works.happens("acme", Mode::Live, EventKind::Messages, n).await;
            n += 1;
        }
        seen.extend(stream.numbers(11 + round).await);
        drop(stream);
        // Recorded while nobody listened.
        works.happens("acme", Mode::Live, EventKind::Messages, n).await;
        n += 1;
        stream = works.stream(&key, "", Some(&seen.last().expect("some were seen").id)).await;
    }
    let left = n - seen.len();
    seen.extend(stream.numbers(left).await);
    assert_eq!(numbers(&seen), (0..n as u64).collect::<Vec<u64>>());
    let mut by_query = works.stream(&key, &format!("?after={}", seen[n - 3].id), None).await;
    assert_eq!(numbers(&by_query.numbers(2).await), [n as u64 - 2, n as u64 - 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hears_anothers_events_nor_those_of_the_other_mode() {
    let works = Works::open(Plan::default()).await;
    let (live, sandbox) = (works.live_key("acme").await, works.key("acme", Mode::Sandbox, None).await.0);
    let other = works.live_key("other").await;
    let mut streams = [works.stream(&live, "", None).await, works.stream(&sandbox, "", None).await, works.stream(&other, "", None).await];
    for n in 0..40 {
        works.happens("acme", Mode::Live, EventKind::Messages, 10 * n).await;
        works.happens("acme", Mode::Sandbox, EventKind::Messages, 10 * n + 1).await;
        works.happens("other", Mode::Live, EventKind::Messages, 10 * n + 2).await;
    }
    let mut last = String::new();
    for (which, stream) in streams.iter_mut().enumerate() {
        let events = stream.numbers(40).await;
        assert_eq!(numbers(&events), (0..40).map(|n| 10 * n + which as u64).collect::<Vec<u64>>());
        last.clone_from(&events[20].id);
    }
    let mut foreign = works.stream(&live, "", Some(&last)).await;
    let heard = foreign.numbers(19).await;
    assert_eq!(numbers(&heard), (21..40).map(|n| 10 * n).collect::<Vec<u64>>(), "another's id is a place in time, and opens nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_kinds_that_were_asked_for_come() {
    let works = Works::open(Plan::default()).await;
    let key = works.live_key("acme").await;
    let mut stream = works.stream(&key, "?events=messages,read", None).await;
    for (n, kind) in [EventKind::MessageStatus, EventKind::Read, EventKind::Account, EventKind::ListReply].into_iter().enumerate() {
        works.happens("acme", Mode::Live, kind, n).await;
    }
    assert_eq!(numbers(&stream.numbers(2).await), [1, 3], "who asked for messages gets their finer kinds too");
    for (query, path) in [("?events=massages", "query.events"), ("?event=read", "query.event"), ("?after=msg_1", "header.Last-Event-ID")] {
        assert_eq!(works.get(&format!("/v1/wa/events{query}"), &key).await.refusal(), (400, "REQ_002".to_owned(), path.to_owned()));
    }
    let (reader, _) = works.key("acme", Mode::Live, Some(&["read", "send"])).await;
    let refused = works.get("/v1/wa/events", &reader).await;
    assert_eq!((refused.status, &refused.json()["errors"]["params"]["reason"]), (403, &json!("scope")));
    let posted = works.call("POST", "/v1/wa/events", &key, "", b"").await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_hears_nothing_more_and_its_stream_ends() {
    let works = Works::open(Plan::default()).await;
    let (key, id) = works.key("acme", Mode::Live, None).await;
    let staying = works.live_key("acme").await;
    let (mut ending, mut staying) = (works.stream(&key, "", None).await, works.stream(&staying, "", None).await);
    let organization = works.engine.organization(Some("acme")).expect("it is there");
    works.engine.revoke_key(&organization, id).await.expect("it is revoked");
    let revoked_at = Instant::now();
    works.happens("acme", Mode::Live, EventKind::Messages, 1).await;
    assert_eq!(ending.event().await, None);
    assert!(revoked_at.elapsed() < Duration::from_secs(10), "{:?}", revoked_at.elapsed());
    assert_eq!(staying.numbers(1).await[0].n, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_streams_cleanly_and_soon() {
    let works = Works::open(Plan::default()).await;
    let key = works.live_key("acme").await;
    let mut stream = works.stream(&key, "", None).await;
    works.drain();
    let told_at = Instant::now();
    assert_eq!(stream.event().await, None);
    assert!(told_at.elapsed() < Duration::from_secs(5), "{:?}", told_at.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_stream_outlives_every_limit_of_idle_connections() {
    let wait = Duration::from_millis(200);
    let limits = ServerLimits { keep_alive_idle: wait, header: wait, first_byte: wait, linger: wait, ..ServerLimits::default() };
    let works = Works::open(Plan { limits, ..Plan::default() }).await;
    let key = works.live_key("acme").await;
    let mut stream = works.stream(&key, "", None).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    works.happens("acme", Mode::Live, EventKind::Messages, 7).await;
    assert_eq!(stream.numbers(1).await[0].n, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_has_ten_streams_and_gets_a_place_back() {
    let works = Works::open(Plan::default()).await;
    let key = works.live_key("acme").await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(works.stream(&key, "", None).await);
    }
    let refused = works.get("/v1/wa/events", &key).await;
    assert_eq!((refused.status, &refused.json()["errors"]["params"]["limit_type"]), (429, &json!("concurrency")));
    assert_eq!(works.get("/v1/wa/me", &key).await.status, 200, "nothing else is held up");
    assert!(works.metrics().contains("turnpike_event_streams 10"), "{}", works.metrics());
    drop(streams);
    works.happens("acme", Mode::Live, EventKind::Messages, 1).await;
    works.happens("acme", Mode::Live, EventKind::Messages, 2).await;
    let freed = async {
        while !works.metrics().contains("turnpike_event_streams 0") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, freed).await.expect("who has gone leaves a place");
    let _again = works.stream(&key, "", None).await;
}
