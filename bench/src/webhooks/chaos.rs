//! Two hundred endpoints of which half are broken, each in its way; and a quiet customer beside one
//! with a backlog of a hundred thousand.
//!
//! Meta and all endpoints are one process, so that a delivery is timed from the instant at which Meta
//! began to post the event to the instant at which the endpoint had read it. (Timed from Meta's 200,
//! which often comes after the delivery, a quiet gateway's figure is nothing and a ratio of two such
//! figures is chance; that one is told beside.)

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::{child, configure, meta, wire};
use crate::figures::{Bound, Goal};
use crate::gateway::Gateway;
use crate::process::{LOAD_CPU, free_address};
use crate::stats::percentile;
use crate::{clock, control};

/// Organizations, and applications of each; every application has one endpoint.
const ORGANIZATIONS: usize = 20;
const APPLICATIONS: usize = 10;
const ENDPOINTS: usize = ORGANIZATIONS * APPLICATIONS;
/// Events a second at which Meta reports: what the goal for intake is timed at.
const RATE: f64 = 2_000.0;
/// Connections of Meta's, each with a batch of 20 under way.
const CONNECTIONS: usize = 4;
const BATCH: usize = 20;
/// Events of the customer who holds a backlog.
const BACKLOG: usize = 100_000;
/// The quiet customer's events in one measurement, and how many a second.
const QUIET_EVENTS: usize = 300;
const QUIET_RATE: f64 = 20.0;
/// After the last event, the longest wait for what healthy endpoints should have had at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// Timeouts and schedule of the run, short so that it ends.
const SETTINGS: &str = "timeout = \"2s\"\nschedule = [\"1s\", \"2s\", \"4s\", \"8s\"]\n";

/// What the parent tells the child that plays both sides.
#[derive(Debug, clap::Args)]
pub(crate) struct Sides {
    /// Address and port of the gateway
    #[arg(long)]
    gateway: SocketAddr,
    /// Where the endpoints listen
    #[arg(long)]
    listen: SocketAddr,
    /// The gateway's control socket
    #[arg(long)]
    socket: PathBuf,
    /// Events in all
    #[arg(long)]
    events: usize,
}

/// What a run saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Events that Meta was answered 200 for.
    pub(crate) events: usize,
    /// Of these, for healthy endpoints and had by them.
    pub(crate) delivered: usize,
    /// For healthy endpoints and never had by them.
    pub(crate) lost: usize,
    /// For broken endpoints and neither waiting nor a dead letter.
    pub(crate) unaccounted: i64,
    /// Deliveries that healthy endpoints had a second time.
    pub(crate) duplicates: usize,
    /// Milliseconds to healthy endpoints.
    pub(crate) healthy_p50_ms: f64,
    /// As above.
    pub(crate) healthy_p99_ms: f64,
    /// The quiet customer's, alone.
    pub(crate) quiet_solo_p99_ms: f64,
    /// The quiet customer's, beside the backlog.
    pub(crate) quiet_beside_p99_ms: f64,
    /// Its p50, alone and beside the backlog.
    pub(crate) quiet_p50_ms: [f64; 2],
    /// Its p99 from the instant at which Meta had the 200, alone and beside the backlog.
    pub(crate) quiet_after_200_p99_ms: [f64; 2],
}

impl Report {
    /// The goals, each with what was measured.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let goal = |what, is, bound, unit| Goal { what, is, bound, unit };
        let duplicates = self.duplicates as f64 / self.delivered.max(1) as f64 * 100.0;
        vec![
            goal("events lost", self.lost as f64 + self.unaccounted.unsigned_abs() as f64, Bound::AtMost(0.0), ""),
            goal("duplicates", duplicates, Bound::AtMost(1.0), " %"),
            goal("healthy endpoints' p99", self.healthy_p99_ms / 1_000.0, Bound::AtMost(2.0), " s"),
            goal(
                "a quiet customer's p99 beside a backlog of 100,000, over its own alone",
                self.quiet_beside_p99_ms / self.quiet_solo_p99_ms,
                Bound::AtMost(2.0),
                " ×",
            ),
        ]
    }

    /// As a section of the results.
    pub(crate) fn to_markdown(&self) -> String {
        let rows: Vec<String> = self.goals().iter().map(Goal::row).collect();
        format!(
            "## Chaos\n\n{} events to {ENDPOINTS} endpoints: 20 % hang, 20 % answer 500, 10 % reset, 5 % drip, the rest take them.\n\n\
             | what | measured | goal | |\n| --- | --- | --- | --- |\n{}\n\n\
             Healthy endpoints: p50 {:.1} ms, p99 {:.1} ms. The quiet customer: p50 {:.3} ms and p99 {:.3} ms alone, \
             p50 {:.3} ms and p99 {:.3} ms beside the backlog; from Meta's 200 on, p99 {:.3} ms and {:.3} ms.\n",
            self.events,
            rows.join("\n"),
            self.healthy_p50_ms,
            self.healthy_p99_ms,
            self.quiet_p50_ms[0],
            self.quiet_solo_p99_ms,
            self.quiet_p50_ms[1],
            self.quiet_beside_p99_ms,
            self.quiet_after_200_p99_ms[0],
            self.quiet_after_200_p99_ms[1]
        )
    }
}

/// Runs it whole in `folder`.
pub(crate) fn measure(program: &Path, folder: &Path, events: usize) -> anyhow::Result<Report> {
    let place = folder.join("chaos");
    configure(&place.join("data"), SETTINGS)?;
    let listen = free_address()?;
    let gateway = Gateway::start(program, &place, listen)?;
    let socket = place.join("data").join("control.sock");
    furnish(&socket, listen)?;
    let arguments = [
        "chaos-sides".to_owned(),
        "--gateway".to_owned(),
        gateway.address.to_string(),
        "--listen".to_owned(),
        listen.to_string(),
        "--socket".to_owned(),
        socket.to_str().context("a path in text")?.to_owned(),
        "--events".to_owned(),
        events.to_string(),
    ];
    let report = child(LOAD_CPU, &arguments)?;
    gateway.verify()?;
    Ok(report)
}

fn number_id(place: usize) -> String {
    format!("3000000000{place:05}")
}

fn furnish(socket: &Path, endpoints: SocketAddr) -> anyhow::Result<()> {
    for organization in 0..=ORGANIZATIONS {
        let name = format!("Customer {organization}");
        control::post(socket, "/organizations", &json!({"name": name}))?;
        for place in organization * APPLICATIONS..(organization + 1) * APPLICATIONS {
            let app = format!("app-{place}");
            control::post(
                socket,
                "/applications",
                &json!({
                    "org": name, "displayName": app, "appId": app,
                    "connect": {
                        "phoneNumberId": number_id(place), "wabaId": number_id(place), "accessToken": "EAABENCH00000000000000000000000",
                        "phoneNumber": format!("1555{place:07}"),
                    },
                }),
            )?;
            let url = format!("http://{endpoints}/{}/{place}", behaviour(place));
            control::post(socket, &format!("/applications/{app}/webhooks/default"), &json!({"url": url}))?;
        }
    }
    Ok(())
}

/// How an endpoint behaves: the last organization's first two are the quiet customer and the one with
/// the backlog.
fn behaviour(place: usize) -> &'static str {
    match (place, place % 20) {
        (QUIET, _) => "ok",
        (HOARDER, _) => "hang",
        (_, 0..4) => "hang",
        (_, 4..8) => "500",
        (_, 8..10) => "reset",
        (_, 10) => "drip",
        _ => "ok",
    }
}

const QUIET: usize = ENDPOINTS;
const HOARDER: usize = ENDPOINTS + 1;

/// When each event was posted and acknowledged, and when its endpoint had it.
#[derive(Default)]
struct Seen {
    posted: HashMap<String, Instant>,
    acknowledged: HashMap<String, Instant>,
    taken: HashMap<String, Instant>,
    ids: HashSet<String>,
    duplicates: usize,
}

impl Sides {
    /// Plays both sides and prints the report.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = tokio::task::LocalSet::new().block_on(&runtime, self.play())?;
        println!("{}", serde_json::to_string(&report)?);
        Ok(())
    }

    async fn play(&self) -> anyhow::Result<Report> {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let listener = TcpListener::bind(self.listen).await?;
        tokio::task::spawn_local(receive(listener, Rc::clone(&seen)));

        let solo = self.quiet(&seen, "solo").await?;
        let all: Vec<(usize, String)> = (0..self.events).map(|event| (event % ENDPOINTS, format!("wamid.CHAOS{event:08}"))).collect();
        self.report_all(&seen, &all, Some(RATE)).await?;
        let healthy: Vec<&String> = all.iter().filter(|(place, _)| behaviour(*place) == "ok").map(|(_, wamid)| wamid).collect();
        let until = clock::now() + PATIENCE;
        while healthy.iter().any(|wamid| !seen.borrow().taken.contains_key(*wamid)) && clock::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let latencies = latencies(&seen.borrow().posted, &seen.borrow().taken, healthy.iter().copied());
        let unaccounted = self.unaccounted().await?;

        let hoard: Vec<(usize, String)> = (0..BACKLOG).map(|event| (HOARDER, format!("wamid.HOARD{event:08}"))).collect();
        self.report_all(&seen, &hoard, None).await?;
        let beside = self.quiet(&seen, "beside").await?;
        let milliseconds = |us: u64| us as f64 / 1_000.0;
        let seen = seen.borrow();
        Ok(Report {
            events: all.len(),
            delivered: latencies.len(),
            lost: healthy.len() - latencies.len(),
            unaccounted,
            duplicates: seen.duplicates,
            healthy_p50_ms: milliseconds(percentile(&latencies, 0.5)),
            healthy_p99_ms: milliseconds(percentile(&latencies, 0.99)),
            quiet_solo_p99_ms: milliseconds(percentile(&solo.whole, 0.99)),
            quiet_beside_p99_ms: milliseconds(percentile(&beside.whole, 0.99)),
            quiet_p50_ms: [&solo, &beside].map(|times| milliseconds(percentile(&times.whole, 0.5))),
            quiet_after_200_p99_ms: [&solo, &beside].map(|times| milliseconds(percentile(&times.after_200, 0.99))),
        })
    }

    /// The quiet customer's times.
    async fn quiet(&self, seen: &Rc<RefCell<Seen>>, name: &str) -> anyhow::Result<Times> {
        let events: Vec<(usize, String)> = (0..QUIET_EVENTS).map(|event| (QUIET, format!("wamid.QUIET{name}{event:06}"))).collect();
        let mut stream = TcpStream::connect(self.gateway).await?;
        stream.set_nodelay(true)?;
        let key = meta::key();
        let began = clock::now();
        for (place, event) in events.iter().enumerate() {
            tokio::time::sleep_until((began + Duration::from_secs_f64(place as f64 / QUIET_RATE)).into()).await;
            post(&mut stream, &key, std::slice::from_ref(event), seen).await?;
        }
        let until = clock::now() + PATIENCE;
        while events.iter().any(|(_, wamid)| !seen.borrow().taken.contains_key(wamid)) && clock::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (seen, wamids) = (seen.borrow(), events.iter().map(|(_, wamid)| wamid));
        let whole = latencies(&seen.posted, &seen.taken, wamids.clone());
        ensure!(whole.len() == events.len(), "the quiet customer missed {} events", events.len() - whole.len());
        Ok(Times { whole, after_200: latencies(&seen.acknowledged, &seen.taken, wamids) })
    }

    /// Reports events in batches of one application each, over several connections.
    async fn report_all(&self, seen: &Rc<RefCell<Seen>>, events: &[(usize, String)], rate: Option<f64>) -> anyhow::Result<()> {
        let mut by_application: HashMap<usize, Vec<(usize, String)>> = HashMap::new();
        let mut batches = Vec::new();
        for event in events {
            let waiting = by_application.entry(event.0).or_default();
            waiting.push(event.clone());
            if waiting.len() == BATCH {
                batches.push(std::mem::take(waiting));
            }
        }
        batches.extend(by_application.into_values().filter(|rest| !rest.is_empty()));
        let batches = Rc::new(RefCell::new(batches.into_iter().enumerate().collect::<Vec<_>>().into_iter()));
        let began = clock::now();
        let mut posting = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (batches, seen, address) = (Rc::clone(&batches), Rc::clone(seen), self.gateway);
            posting.spawn_local(async move {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let key = meta::key();
                loop {
                    let next = batches.borrow_mut().next();
                    let Some((place, batch)) = next else { return Ok::<(), anyhow::Error>(()) };
                    if let Some(rate) = rate {
                        let due = began + Duration::from_secs_f64((place * BATCH) as f64 / rate);
                        tokio::time::sleep_until(due.into()).await;
                    }
                    post(&mut stream, &key, &batch, &seen).await?;
                }
            });
        }
        while let Some(done) = posting.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Events for broken endpoints that are neither waiting nor dead letters nor, after all, taken.
    async fn unaccounted(&self) -> anyhow::Result<i64> {
        let mut missing = 0;
        for place in (0..ENDPOINTS).filter(|place| !matches!(behaviour(*place), "ok" | "drip")) {
            let each = i64::try_from(self.events / ENDPOINTS)?;
            let view = control::get(&self.socket, &format!("/applications/app-{place}/webhooks/default"))?;
            let waiting = ["first", "retries"].iter().filter_map(|lane| view["backlog"][lane].as_i64()).sum::<i64>();
            let mut dead = 0;
            let mut before = String::new();
            loop {
                let page = control::get_page(&self.socket, &format!("/applications/app-{place}/deliveries?state=dead&limit=500{before}"))?;
                dead += i64::try_from(page.0.as_array().map_or(0, Vec::len))?;
                match page.1 {
                    Some(next) => before = format!("&before={next}"),
                    None => break,
                }
            }
            missing += each - waiting - dead;
        }
        Ok(missing)
    }
}

/// Times of deliveries in µs, the shortest first.
struct Times {
    /// From Meta's post.
    whole: Vec<u64>,
    /// From Meta's 200; nothing where the endpoint had it before.
    after_200: Vec<u64>,
}

/// Times in µs from one instant of each event to another, the shortest first.
fn latencies<'a>(from: &HashMap<String, Instant>, until: &HashMap<String, Instant>, wamids: impl Iterator<Item = &'a String>) -> Vec<u64> {
    let mut times: Vec<u64> =
        wamids.filter_map(|wamid| u64::try_from(until.get(wamid)?.saturating_duration_since(*from.get(wamid)?).as_micros()).ok()).collect();
    times.sort_unstable();
    times
}

/// Posts a batch of one application's; every event of it is acknowledged when it is answered.
async fn post(stream: &mut TcpStream, key: &ring::hmac::Key, batch: &[(usize, String)], seen: &RefCell<Seen>) -> anyhow::Result<()> {
    let events: Vec<meta::Event> = batch
        .iter()
        .enumerate()
        .map(|(user, (place, wamid))| meta::Event {
            number_id: number_id(*place),
            waba_id: number_id(*place),
            wamid: wamid.clone(),
            from: format!("90532{user:07}"),
        })
        .collect();
    let request = meta::request(key, &meta::body(&events));
    let posted = clock::now();
    seen.borrow_mut().posted.extend(batch.iter().map(|(_, wamid)| (wamid.clone(), posted)));
    loop {
        stream.write_all(&request).await?;
        let answered = wire::next_of(stream, &mut Vec::new(), true).await?;
        let (answer, said) = answered.context("the gateway hung up")?;
        if answer.status == 200 {
            break;
        }
        ensure!(answer.status == 503, "Meta was answered {} {}", answer.status, String::from_utf8_lossy(&said));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let now = clock::now();
    let mut seen = seen.borrow_mut();
    for (_, wamid) in batch {
        seen.acknowledged.insert(wamid.clone(), now);
    }
    Ok(())
}

async fn receive(listener: TcpListener, seen: Rc<RefCell<Seen>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = Rc::clone(&seen);
        tokio::task::spawn_local(async move {
            // A connection that breaks is the gateway's matter here.
            let _ = answer(stream, &seen).await;
        });
    }
}

async fn answer(mut stream: TcpStream, seen: &RefCell<Seen>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    while let Some((request, body)) = wire::next_of(&mut stream, &mut received, false).await? {
        match request.path.split('/').nth(1).unwrap_or_default() {
            "hang" => std::future::pending::<()>().await,
            "500" => stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n").await?,
            "reset" => {
                stream.set_zero_linger()?;
                return Ok(());
            }
            "drip" => {
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            "ok" => {
                note(&body, &mut seen.borrow_mut());
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
            }
            // The Graph API, asked for templates.
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"data\":[]}").await?,
        }
    }
    Ok(())
}

/// Notes the event that a delivery holds.
fn note(body: &[u8], seen: &mut Seen) {
    const MEMBER: &[u8] = br#""id":"wamid."#;
    let Some(at) = body.windows(MEMBER.len()).position(|window| window == MEMBER) else { return };
    let wamid: String = body[at + 6..].iter().take_while(|byte| **byte != b'"').map(|byte| char::from(*byte)).collect();
    if !seen.ids.insert(wamid.clone()) {
        seen.duplicates += 1;
    }
    seen.taken.entry(wamid).or_insert_with(clock::now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_as_promised() {
        let share = |name| (0..ENDPOINTS).filter(|place| behaviour(*place) == name).count() * 100 / ENDPOINTS;
        assert_eq!((share("hang"), share("500"), share("reset"), share("drip"), share("ok")), (20, 20, 10, 5, 45));
    }

    #[test]
    fn an_event_is_noted_once_and_its_repeat_counted() {
        let mut seen = Seen::default();
        let body = br#"{"messages":[{"from":"1","id":"wamid.X1","type":"text"}]}"#;
        note(body, &mut seen);
        note(body, &mut seen);
        assert_eq!((seen.taken.len(), seen.duplicates), (1, 1));
        assert!(seen.taken.contains_key("wamid.X1"));
    }
}
