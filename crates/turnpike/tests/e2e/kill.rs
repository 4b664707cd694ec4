//! `kill -9` under load, again and again on the same data: nothing that was answered is lost, nothing
//! is taken or sent twice, and what was under way is found, unknown and resolvable.
//!
//! The simulator is a process of its own that writes each POST to disk before it answers, so it is
//! the witness of what went out. Every request has a recipient of its own: two POSTs to one
//! recipient are a message sent twice, whatever the gateway believes.
//!
//! A killed process loses no page of the operating system's cache, so this says nothing about
//! power; it says that between any two instructions our rows are enough.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::house::{House, Plan, Wallet, micros, post, recipient, text};
use crate::matrix::tokens_sent_twice;

/// Kills of the full run.
const ROUNDS: usize = 300;

/// Callers at once.
const CALLERS: usize = 32;

/// How long a round's load goes on before the kill, in milliseconds.
const LOAD_MS: (u64, u64) = (50, 300);

/// The ledger is proved so often, and at the end.
const VERIFY_EVERY: usize = 50;

/// Unknown messages that an operator resolves after each round.
const RESOLVED_A_ROUND: usize = 2;

/// Violations after which a run gives up: they only repeat.
const ENOUGH: usize = 20;

/// What was paid in: far more than a run takes.
const TOP_UP: &str = "5000.00";
const TOP_UP_MICROS: i64 = 5_000_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_kills_lose_nothing_and_double_nothing() {
    let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
    eprintln!("the kills are drawn from seed {seed}");
    let run = rounds(ROUNDS, seed, Vec::new()).await;
    println!("{}", run.summary());
    assert!(run.violations.is_empty(), "seed {seed}, after {} kills:\n{}", run.kills, run.violations.join("\n"));
    assert!(run.acknowledged > ROUNDS * 5, "hardly anything was sent: {}", run.summary());
    assert!(run.unknown > ROUNDS / 10, "hardly a kill hit a send under way: {}", run.summary());
}

/// What a run saw.
#[derive(Default)]
pub(crate) struct Run {
    /// What must not be.
    pub(crate) violations: Vec<String>,
    kills: usize,
    acknowledged: usize,
    unanswered: usize,
    repeated: usize,
    unknown: usize,
    resolved: usize,
    posts: usize,
}

impl Run {
    fn summary(&self) -> String {
        format!(
            "{} kills: {} sends acknowledged, {} unanswered, {} repeated under their keys, {} found unknown, {} resolved, {} POSTs",
            self.kills, self.acknowledged, self.unanswered, self.repeated, self.unknown, self.resolved, self.posts
        )
    }
}

/// A request and what its caller heard.
#[derive(Clone, Debug)]
struct Asked {
    n: usize,
    heard: Heard,
}

#[derive(Clone, Debug)]
enum Heard {
    /// 200: our id and the wamid.
    Yes(String, String),
    /// An answer that is no 200.
    No(u16, String),
    /// The connection broke.
    Nothing,
}

impl Asked {
    /// Half of the requests bear an Idempotency-Key.
    fn key(n: usize) -> Option<String> {
        n.is_multiple_of(2).then(|| format!("order-{n}"))
    }

    fn heard(answer: &Answer) -> Heard {
        if answer.status == 200 { Heard::Yes(answer.message_id(), answer.wamid()) } else { Heard::No(answer.status, answer.code()) }
    }
}

/// So many kills on one data folder; `environment` may plant a bug.
pub(crate) async fn rounds(rounds: usize, seed: u64, environment: Vec<(&'static str, String)>) -> Run {
    let mut house = House::open(Plan { top_up: TOP_UP, environment, ..Plan::default() }).await;
    let mut chance = Chance(seed);
    let mut run = Run::default();
    let mut acknowledged: BTreeMap<usize, (String, String)> = BTreeMap::new();
    let next = AtomicUsize::new(0);
    while run.kills < rounds && run.violations.len() < ENOUGH {
        let asked = load_until_killed(&mut house, &next, &mut chance).await;
        run.kills += 1;
        house.reopen_gateway();
        let in_flight = house.messages("in-flight").await;
        if !in_flight.is_empty() {
            run.violations.push(format!("kill {}: {} messages are in flight after the start", run.kills, in_flight.len()));
        }
        let mut answered = Vec::new();
        for asked in asked {
            match asked.heard {
                Heard::Yes(id, wamid) => answered.push((asked.n, id, wamid)),
                Heard::No(status, code) => run.violations.push(format!("kill {}: request {} heard {status} {code}", run.kills, asked.n)),
                Heard::Nothing => {
                    run.unanswered += 1;
                    if let Some(again) = repeat(&house, asked.n, &mut run).await {
                        answered.push(again);
                    }
                }
            }
        }
        let found = newest(&house, answered.len() + 4 * CALLERS).await;
        for (n, id, wamid) in answered {
            run.violations.extend(lost(n, &id, &wamid, &found).map(|problem| format!("kill {}: {problem}", run.kills)));
            acknowledged.insert(n, (id, wamid));
        }
        resolve_some(&house, &mut run).await;
        if run.kills.is_multiple_of(VERIFY_EVERY) {
            run.violations.extend(unproved(&house).await);
        }
    }
    run.acknowledged = acknowledged.len();
    close(&house, &acknowledged, &mut run).await;
    run
}

/// Loads the gateway with callers and kills it at a random instant; what each caller heard.
async fn load_until_killed(house: &mut House, next: &AtomicUsize, chance: &mut Chance) -> Vec<Asked> {
    let heard = Mutex::new(Vec::new());
    let pid = Pid::from_raw(i32::try_from(house.gateway.id()).expect("a process id")).expect("not 0");
    let load_us = chance.between(LOAD_MS.0 * 1_000, LOAD_MS.1 * 1_000);
    let callers = join_all((0..CALLERS).map(|_| async {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let asked = match house.api.try_call(request(house, n)).await {
                Ok(answer) => Asked { n, heard: Asked::heard(&answer) },
                Err(_) => Asked { n, heard: Heard::Nothing },
            };
            let broke = matches!(asked.heard, Heard::Nothing);
            heard.lock().expect("nobody panics inside").push(asked);
            if broke {
                return;
            }
        }
    }));
    let killer = async {
        tokio::time::sleep(Duration::from_micros(load_us)).await;
        kill_process(pid, Signal::KILL).expect("the gateway runs until it is killed");
    };
    tokio::join!(callers, killer);
    house.kill_gateway();
    heard.into_inner().expect("nobody panicked inside")
}

fn request(house: &House, n: usize) -> crate::client::Ask {
    let ask = post(&house.live, &text(&recipient(n)));
    match Asked::key(n) {
        Some(key) => ask.key(&key),
        None => ask,
    }
}

/// Repeats an unanswered request under its key; what it was told, where that is 200.
async fn repeat(house: &House, n: usize, run: &mut Run) -> Option<(usize, String, String)> {
    Asked::key(n)?;
    run.repeated += 1;
    let answer = house.api.call(request(house, n)).await;
    match Asked::heard(&answer) {
        Heard::Yes(id, wamid) => Some((n, id, wamid)),
        Heard::No(504, code) if code == "GW_003" => None,
        _ => {
            run.violations.push(format!("kill {}: the repeat of request {n} heard {}", run.kills, answer.summary()));
            None
        }
    }
}

/// The newest messages by recipient, at least so many where there are.
async fn newest(house: &House, count: usize) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut before = String::new();
    while found.len() < count {
        let path = format!("/api/v1/operator/messages?limit=500{before}");
        let answer = house.operator.call(crate::client::Ask::get(&path)).await.json();
        for message in answer["data"].as_array().expect("a page") {
            found.insert(message["to"].as_str().expect("kept").to_owned(), message.clone());
        }
        match answer["pagingMetadata"]["nextCursor"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    found
}

/// What is missing of a send that was answered 200.
fn lost(n: usize, id: &str, wamid: &str, found: &BTreeMap<String, Value>) -> Option<String> {
    let Some(message) = found.get(&recipient(n)) else { return Some(format!("request {n} was answered 200 and is lost")) };
    let kept = message["state"] == "accepted"
        && message["id"] == id
        && message["wamid"] == wamid
        && message["money"]["base"]["state"] == "captured"
        && message["money"]["meta"]["state"] == "held";
    (!kept).then(|| format!("request {n} was answered 200 as {id} {wamid} and is found as {message}"))
}

/// An operator decides some of what is unknown: each must be resolvable, in each way.
async fn resolve_some(house: &House, run: &mut Run) {
    let page = house.ask(&format!("/messages?state=unknown&limit={RESOLVED_A_ROUND}")).await;
    for message in page.as_array().expect("a page") {
        let as_what = ["accepted", "not-sent", "failed"][run.resolved % 3];
        let order = json!({"message": message["id"], "as": as_what, "reason": "decided after the crash"});
        let answer = house.try_order("/messages/resolve", order).await;
        run.resolved += 1;
        if answer.status != 200 {
            run.violations.push(format!("kill {}: an unknown message cannot be resolved: {}", run.kills, answer.summary()));
        }
    }
}

async fn unproved(house: &House) -> Option<String> {
    let proof = house.order("/ledger/verify", json!({})).await;
    (proof["clean"] != true).then(|| format!("the ledger is not clean: {proof}"))
}

/// The account of the whole run: witness against store against wallet.
async fn close(house: &House, acknowledged: &BTreeMap<usize, (String, String)>, run: &mut Run) {
    run.violations.extend(unproved(house).await);
    let messages = house.messages("any").await;
    let mut stored: BTreeMap<String, Value> = BTreeMap::new();
    for message in &messages {
        let to = message["to"].as_str().expect("kept").to_owned();
        if stored.insert(to.clone(), message.clone()).is_some() {
            run.violations.push(format!("{to} has two messages, though one request was made for it"));
        }
    }
    for (n, (id, wamid)) in acknowledged {
        run.violations.extend(lost(*n, id, wamid, &stored).map(|problem| format!("at the end: {problem}")));
    }
    let state = |wanted: &str| messages.iter().filter(|message| message["state"] == wanted).count();
    run.unknown = state("unknown") + run.resolved;
    if state("admitted") > 0 {
        run.violations.push(format!("{} messages have no outcome", state("admitted")));
    }

    let posts = house.posts().await;
    run.posts = posts.len();
    run.violations.extend(tokens_sent_twice(&posts));
    let mut sent: BTreeSet<String> = BTreeSet::new();
    for post in &posts {
        let to = post["body"]["to"].as_str().expect("a text has a recipient").trim_start_matches('+').to_owned();
        if !stored.contains_key(&to) {
            run.violations.push(format!("{to} was POSTed, and no message of it was stored before"));
        }
        if !sent.insert(to.clone()) {
            run.violations.push(format!("{to} was POSTed twice: a duplicate"));
        }
    }
    for (to, message) in &stored {
        if message["state"] == "accepted" && !message["wamid"].is_null() && !sent.contains(to) {
            run.violations.push(format!("{to} is accepted, and Meta never saw it"));
        }
    }
    // The wallet, added up from the messages and not from the journal.
    let legs = |state: &str| -> i64 {
        let legs = messages.iter().flat_map(|message| [&message["money"]["base"], &message["money"]["meta"]]);
        legs.filter(|leg| leg["state"] == state).map(|leg| micros(&leg["amount"])).sum()
    };
    let (captured, held) = (legs("captured"), legs("held"));
    let wallet = house.wallet().await;
    let expected = Wallet { posted: TOP_UP_MICROS - captured, held, available: TOP_UP_MICROS - captured - held };
    if wallet != expected {
        run.violations.push(format!("the wallet is {wallet:?}, its messages make it {expected:?}"));
    }
}

/// Numbers that look random and come again with the same seed (splitmix64).
pub(crate) struct Chance(u64);

impl Chance {
    /// A chance of its own seed, which is printed.
    pub(crate) fn new() -> Chance {
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        eprintln!("chance is drawn from seed {seed}");
        Chance(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }
}
