//! Meta's side: posts signed batches of inbound messages, each with an id of its own.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{APP_SECRET, wire};
use crate::clock;
use crate::load::scatter;
use crate::stats::percentile;

/// The number of the bench's application.
const NUMBER_ID: &str = "100000000000001";
const WABA_ID: &str = "200000000000001";
/// Users who write.
const USERS: u64 = 100_000;

/// What to post, where and how fast.
#[derive(Debug, clap::Args)]
pub(crate) struct Meta {
    /// Address and port of the gateway
    #[arg(long)]
    address: SocketAddr,
    /// Connections, each with one request at a time
    #[arg(long)]
    connections: usize,
    /// Events in a request
    #[arg(long)]
    batch: usize,
    /// Seconds that count
    #[arg(long)]
    seconds: f64,
    /// Requests a second; without it, as fast as they are answered
    #[arg(long)]
    rate: Option<f64>,
    /// Stop after so many events instead
    #[arg(long)]
    events: Option<u64>,
}

/// What Meta saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Requests answered 200.
    pub(crate) answered: u64,
    /// The same a second.
    pub(crate) per_second: f64,
    /// Microseconds from due to answered.
    pub(crate) p50_us: f64,
    /// As above.
    pub(crate) p99_us: f64,
    /// Other answers.
    pub(crate) refused: u64,
    /// The first of them in words.
    pub(crate) fault: String,
}

/// An inbound message.
pub(crate) struct Event {
    /// The number that it was written to, and its account.
    pub(crate) number_id: String,
    /// As above.
    pub(crate) waba_id: String,
    /// Its id.
    pub(crate) wamid: String,
    /// Who wrote it.
    pub(crate) from: String,
}

impl Event {
    /// `count` events of the bench's own application, from `first` on.
    pub(crate) fn numbers(first: u64, count: usize) -> Vec<Event> {
        (first..)
            .take(count)
            .map(|number| Event {
                number_id: NUMBER_ID.to_owned(),
                waba_id: WABA_ID.to_owned(),
                wamid: format!("wamid.HBgL{:016X}{number:016X}FQIAEhgU", scatter(number)),
                from: format!("90532{:07}", scatter(number) % USERS),
            })
            .collect()
    }
}

/// A payload as Meta writes it; the events are of one number.
pub(crate) fn body(events: &[Event]) -> String {
    let mut text = String::with_capacity(512 + events.len() * 320);
    let (waba_id, number_id) = events.first().map_or(("", ""), |event| (&event.waba_id, &event.number_id));
    let write = |text: &mut String, events: &[Event]| -> std::fmt::Result {
        write!(
            text,
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{waba_id}","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550001000","phone_number_id":"{number_id}"}},"contacts":["#
        )?;
        for (place, event) in events.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(text, r#"{comma}{{"profile":{{"name":"Jos\u00e9 P."}},"wa_id":"{0}","user_id":"TR.{0}"}}"#, event.from)?;
        }
        text.push_str(r#"],"messages":["#);
        for (place, event) in events.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(
                text,
                r#"{comma}{{"from":"{0}","from_user_id":"TR.{0}","id":"{1}","timestamp":"1795000000","type":"text","text":{{"body":"Where is my parcel? It should have been here by noon."}}}}"#,
                event.from, event.wamid
            )?;
        }
        text.push_str(r#"]}}]}]}"#);
        Ok(())
    };
    write(&mut text, events).expect("writing into a text cannot fail");
    text
}

/// A whole request with its signature.
pub(crate) fn request(key: &ring::hmac::Key, body: &str) -> Vec<u8> {
    let mut request = String::with_capacity(body.len() + 256);
    request.push_str("POST /v1/meta/webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Hub-Signature-256: sha256=");
    for byte in ring::hmac::sign(key, body.as_bytes()).as_ref() {
        write!(request, "{byte:02x}").expect("writing into a text cannot fail");
    }
    write!(request, "\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("writing into a text cannot fail");
    request.into_bytes()
}

/// The key that requests are signed with.
pub(crate) fn key() -> ring::hmac::Key {
    ring::hmac::Key::new(ring::hmac::HMAC_SHA256, APP_SECRET.as_bytes())
}

/// What the connections share.
struct Shared {
    key: ring::hmac::Key,
    batch: usize,
    began: Instant,
    until: Instant,
    rate: Option<f64>,
    /// Events that may still be posted.
    left: Cell<u64>,
    next_event: Cell<u64>,
    next_slot: Cell<u64>,
    latencies: RefCell<Vec<u64>>,
    report: RefCell<Report>,
}

impl Meta {
    /// Posts for as long as it was told, and prints the report.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let began = clock::now();
        let patience = if self.events.is_some() { 600.0 } else { self.seconds };
        let salt = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let shared = Rc::new(Shared {
            key: key(),
            batch: self.batch,
            began,
            until: began + Duration::from_secs_f64(patience),
            rate: self.rate,
            left: Cell::new(self.events.unwrap_or(u64::MAX)),
            // No two runs share an event, though they may share a gateway.
            next_event: Cell::new(scatter(salt ^ u64::from(std::process::id()) << 32) >> 1),
            next_slot: Cell::new(0),
            latencies: RefCell::default(),
            report: RefCell::default(),
        });
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let mut posting = tokio::task::JoinSet::new();
            for _ in 0..self.connections {
                posting.spawn_local(post(self.address, Rc::clone(&shared)));
            }
            while let Some(done) = posting.join_next().await {
                done??;
            }
            Ok::<(), anyhow::Error>(())
        })?;
        let mut latencies = shared.latencies.take();
        latencies.sort_unstable();
        let mut report = shared.report.take();
        report.per_second = report.answered as f64 / began.elapsed().as_secs_f64();
        (report.p50_us, report.p99_us) = (percentile(&latencies, 0.5) as f64, percentile(&latencies, 0.99) as f64);
        println!("{}", serde_json::to_string(&report)?);
        Ok(())
    }
}

async fn post(address: SocketAddr, shared: Rc<Shared>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        let due = match shared.rate {
            Some(rate) => {
                let slot = shared.next_slot.replace(shared.next_slot.get() + 1);
                let due = shared.began + Duration::from_secs_f64(slot as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                due
            }
            None => clock::now(),
        };
        let batch = shared.batch.min(usize::try_from(shared.left.get()).unwrap_or(usize::MAX));
        if due >= shared.until || batch == 0 {
            return Ok(());
        }
        shared.left.set(shared.left.get() - batch as u64);
        let first = shared.next_event.replace(shared.next_event.get() + batch as u64);
        let request = request(&shared.key, &body(&Event::numbers(first, batch)));
        stream.write_all(&request).await?;
        let answered = wire::next_of(&mut stream, &mut received, true).await?;
        let (answer, said) = answered.context("the gateway hung up")?;
        let mut report = shared.report.borrow_mut();
        if answer.status == 200 {
            report.answered += 1;
            shared.latencies.borrow_mut().push(u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX));
        } else {
            report.refused += 1;
            if report.fault.is_empty() {
                report.fault = format!("{} {}", answer.status, String::from_utf8_lossy(&said));
            }
            ensure!(report.refused < 1_000, "the gateway refuses everything: {}", report.fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_json_with_an_id_for_every_message() {
        let events = Event::numbers(7, 50);
        let json: serde_json::Value = serde_json::from_str(&body(&events)).expect("JSON");
        let messages = json["entry"][0]["changes"][0]["value"]["messages"].as_array().expect("messages").clone();
        let ids: std::collections::BTreeSet<&str> = messages.iter().filter_map(|message| message["id"].as_str()).collect();
        assert_eq!((messages.len(), ids.len()), (50, 50));
    }
}
