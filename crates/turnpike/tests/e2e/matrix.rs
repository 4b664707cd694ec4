//! The ambiguity matrix: every way in which Meta's side can break × HTTP/1.1 and HTTP/2 × a caller
//! who stays or leaves. Each cell must end in the state that the failure table names, with its money
//! where it belongs, and with at most one POST.
//!
//! The table below was written from the failure table (what may be concluded from what was seen on
//! the wire), not from the gateway's code. Where two ends are both right, because the wire leaves a
//! race open, both are named.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::house::{House, Plan, Wire, post, recipient, text};

/// How a send may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// 200, base captured, Meta's fee held, exactly one POST.
    Accepted,
    /// GW_001 with this status, both legs released, one POST.
    Refused(u16),
    /// GW_002, both legs released, no POST.
    NotSent,
    /// GW_003, both legs held, at most one POST.
    Unknown,
}
use End::{Accepted, NotSent, Refused, Unknown};

/// What may become of a send that meets a behaviour.
struct Expected {
    behaviour: &'static str,
    /// Over plain HTTP/1.1.
    http1: &'static [End],
    /// Over HTTP/2 and TLS.
    http2: &'static [End],
}

const fn both(behaviour: &'static str, ends: &'static [End]) -> Expected {
    Expected { behaviour, http1: ends, http2: ends }
}

const fn each(behaviour: &'static str, http1: &'static [End], http2: &'static [End]) -> Expected {
    Expected { behaviour, http1, http2 }
}

/// The failure table, steps 6 to 8.
const TABLE: &[Expected] = &[
    both("answer", &[Accepted]),
    // Slow, but within the time.
    both("delay_before_reading", &[Accepted]),
    both("delay_before_answer", &[Accepted]),
    both("delay_mid_head", &[Accepted]),
    both("delay_mid_body", &[Accepted]),
    both("drip", &[Accepted]),
    // Without TLS a connection that is accepted takes the request's bytes; with it, nothing leaves
    // before the handshake is done.
    each("hang_on_accept", &[Unknown], &[NotSent]),
    each("close_on_accept_fin", &[Unknown, NotSent], &[NotSent]),
    each("close_on_accept_rst", &[Unknown, NotSent], &[NotSent]),
    // Bytes had left and were not read. Over HTTP/2 the first bytes may be the preface alone: then the
    // request is proved to be unsent, and goes out on another connection.
    both("hang_before_reading", &[Unknown]),
    each("close_before_reading_fin", &[Unknown], &[Unknown, NotSent, Accepted]),
    each("close_before_reading_rst", &[Unknown], &[Unknown, NotSent, Accepted]),
    // Timeout after the first byte.
    both("hang_after_head", &[Unknown]),
    both("hang", &[Unknown]),
    both("hang_mid_head", &[Unknown]),
    both("hang_mid_body", &[Unknown]),
    // Lost after the first byte.
    both("close_after_head_fin", &[Unknown]),
    both("close_after_head_rst", &[Unknown]),
    both("close_after_body_fin", &[Unknown]),
    both("close_after_body_rst", &[Unknown]),
    both("close_mid_head_fin", &[Unknown]),
    both("close_mid_head_rst", &[Unknown]),
    both("close_mid_body_fin", &[Unknown]),
    both("close_mid_body_rst", &[Unknown]),
    // 2xx that cannot be read.
    both("empty_200", &[Unknown]),
    both("empty_204", &[Unknown]),
    both("invalid_json_200", &[Unknown]),
    both("no_messages_200", &[Unknown]),
    both("html_200", &[Unknown]),
    both("cut_json_200", &[Unknown]),
    both("content_length_too_long", &[Unknown]),
    both("content_length_too_short", &[Unknown]),
    both("chunked_cut", &[Unknown]),
    both("chunked_cut_rst", &[Unknown]),
    both("flood_200", &[Unknown]),
    // Interim answers are no answers.
    both("continue_then_answer", &[Accepted]),
    both("early_hints_then_answer", &[Accepted]),
    both("continue_then_cut", &[Unknown]),
    both("processing_then_cut", &[Unknown]),
    both("garbage", &[Unknown]),
    both("repeat_wamid", &[Accepted]),
    both("answer_twice", &[Accepted]),
    // 5xx prove nothing, whatever they say.
    both("error_1", &[Unknown]),
    both("error_2", &[Unknown]),
    both("error_131000", &[Unknown]),
    both("error_131016", &[Unknown]),
    both("html_500", &[Unknown]),
    both("html_502", &[Unknown]),
    both("html_503", &[Unknown]),
    both("html_504", &[Unknown]),
    both("empty_500", &[Unknown]),
    // A refusal needs Meta's own words.
    both("html_400", &[Unknown]),
    both("redirect_302", &[Unknown]),
    both("redirect_307", &[Unknown]),
    // Meta's no, by cause.
    both("error_100", &[Refused(400)]),
    both("error_190", &[Refused(502)]),
    both("error_10", &[Refused(502)]),
    both("error_368", &[Refused(403)]),
    both("error_131031", &[Refused(403)]),
    both("error_4", &[Refused(429)]),
    both("error_613", &[Refused(429)]),
    both("error_80007", &[Refused(429)]),
    both("error_130429", &[Refused(429)]),
    both("error_131056", &[Refused(429)]),
    both("error_131048", &[Refused(429)]),
    both("error_130429_as_400", &[Refused(429)]),
    both("error_unlisted", &[Refused(502)]),
    // HTTP/2's own words. Over HTTP/1.1 each is a connection that ends at the same point.
    each("refused_stream", &[Unknown], &[NotSent]),
    both("reset_internal_before", &[Unknown]),
    both("reset_cancel_before", &[Unknown]),
    both("reset_internal_after", &[Unknown]),
    both("reset_cancel_after", &[Unknown]),
    both("reset_calm_after", &[Unknown]),
    both("reset_mid_body", &[Unknown]),
    each("goaway_below", &[Unknown], &[NotSent]),
    both("goaway_covering", &[Unknown]),
    both("goaway_after_answer", &[Accepted]),
];

/// Behaviours that the matrix has at least, as the test programme asks.
const BEHAVIOURS_MIN: usize = 36;

/// Houses of each protocol that work side by side. In one house one cell follows the other, because
/// over HTTP/2 what ends a connection ends its neighbours' streams too.
const HOUSES: usize = 3;

/// What a cell is.
#[derive(Clone, Debug)]
struct Cell {
    behaviour: String,
    value: Value,
    is_recorded: bool,
    stays: bool,
    wire: Wire,
}

impl Cell {
    fn name(&self) -> String {
        format!("{} over {:?}, caller {}", self.behaviour, self.wire, if self.stays { "stays" } else { "leaves" })
    }

    fn expected(&self) -> &'static [End] {
        let row = TABLE.iter().find(|row| row.behaviour == self.behaviour);
        let row = row.unwrap_or_else(|| panic!("the table says nothing of the behaviour {}", self.behaviour));
        if self.wire == Wire::Http1 { row.http1 } else { row.http2 }
    }

    /// Whether it strikes before the head was read: then a rule cannot say whom it is for, and it
    /// takes the next new connection.
    fn strikes_a_connection(&self) -> bool {
        matches!(self.value["at"].as_str(), Some("accept" | "first_byte"))
    }
}

impl Cell {
    /// Whether it strikes before the body was read, so that a rule knows the path and no recipient.
    fn strikes_at_the_head(&self) -> bool {
        self.value["at"] == "head" || self.value["last_stream"] == "below"
    }
}

/// What settings make a lost answer show soon, and never by accident on a busy machine.
fn plan(wire: Wire, environment: Vec<(&'static str, String)>) -> Plan {
    let settings = [
        "graph.answer_wait=1500ms",
        "graph.reply_within=4s",
        "graph.hard_cap=2500ms",
        "graph.connect_timeout=400ms",
        "graph.tls_timeout=300ms",
        "graph.retry_min=1ms",
        "graph.retry_max=5ms",
        "graph.pause_probe_every=1ms",
        // A connection that says nothing more is found out before the next send needs it.
        "graph.ping_every=200ms",
        "graph.ping_answer=900ms",
        "graph.idle_timeout=200ms",
    ];
    Plan { wire, environment, settings: settings.map(str::to_owned).to_vec(), ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_of_the_matrix_ends_as_the_failure_table_says() {
    whole(Vec::new(), |_| true).await;
}

/// The promise itself, for the behaviours that `wanted` picks; `environment` may plant a bug.
pub(crate) async fn whole(environment: Vec<(&'static str, String)>, wanted: impl Fn(&str) -> bool) {
    let mut houses = Vec::new();
    for n in 0..2 * HOUSES {
        let wire = if n % 2 == 0 { Wire::Http1 } else { Wire::Http2 };
        houses.push((wire, House::open(plan(wire, environment.clone())).await));
    }
    let behaviours = houses[0].1.witness.call(Ask::get("/_sim/behaviours")).await.json();
    let behaviours = behaviours.as_array().expect("a list");
    assert!(behaviours.len() >= BEHAVIOURS_MIN, "{} behaviours", behaviours.len());
    let mut cells: BTreeMap<bool, VecDeque<Cell>> = BTreeMap::new();
    for wire in [Wire::Http1, Wire::Http2] {
        for named in behaviours.iter().filter(|named| wanted(named["name"].as_str().expect("a name"))) {
            for stays in [true, false] {
                cells.entry(wire == Wire::Http1).or_default().push_back(Cell {
                    behaviour: named["name"].as_str().expect("a name").to_owned(),
                    value: named["behaviour"].clone(),
                    is_recorded: named["recorded"] == true,
                    stays,
                    wire,
                });
            }
        }
    }
    let count: usize = cells.values().map(VecDeque::len).sum();
    let queues: BTreeMap<bool, Mutex<VecDeque<Cell>>> = cells.into_iter().map(|(wire, cells)| (wire, Mutex::new(cells))).collect();
    let done = join_all(houses.iter().map(|(wire, house)| {
        let queue = &queues[&(*wire == Wire::Http1)];
        async move {
            let mut wrong = Vec::new();
            let mut place = 0;
            loop {
                let Some(cell) = queue.lock().expect("no cell panics inside").pop_front() else { return wrong };
                wrong.extend(run(house, &cell, &mut place).await);
            }
        }
    }))
    .await;
    let mut wrong: Vec<String> = done.into_iter().flatten().collect();
    for (wire, house) in &houses {
        // What a late answer still has to say is said within the hard cap.
        tokio::time::sleep(Duration::from_millis(if *wire == Wire::Http1 { 300 } else { 0 })).await;
        house.verify().await;
        wrong.extend(tokens_sent_twice(&house.posts().await));
    }
    assert!(wrong.is_empty(), "{} problems in {count} cells:\n{}", wrong.len(), wrong.join("\n"));
}

/// One cell: what is wrong with it, if anything.
async fn run(house: &House, cell: &Cell, place: &mut usize) -> Vec<String> {
    *place += 1;
    let to = recipient(*place * 10);
    // A good send before it: the connection is warm, and the breaker sees a host that mostly works.
    let mut wrong = Vec::new();
    wrong.extend(good_send(house, &recipient(*place * 10 + 1), cell, "before").await);
    if cell.strikes_a_connection() {
        // The next send needs a connection of its own.
        let goodbye = recipient(*place * 10 + 2);
        let rule = house.script(json!({"match": {"to": goodbye}, "behaviour": "goaway_after_answer"})).await;
        wrong.extend(good_send(house, &goodbye, cell, "goodbye").await);
        unset(house, rule).await;
        // Past the idle timeout, for those that earlier cells left resting.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let rule = house.script(rule_for(cell, &to)).await;
    let key = format!("cell-{place}");
    let ask = post(&house.live, &text(&to)).key(&key);
    let answer = if cell.stays {
        Some(house.api.call(ask).await)
    } else {
        house.api.ask_and_leave(ask, Duration::from_millis(8)).await;
        None
    };
    let view = house.settled(&key).await;
    unset(house, rule).await;
    let view = if cell.expected() == [Accepted] && view["state"] == "unknown" { late(house, &key).await } else { view };
    let posts = house.posts_to(&to).await;
    wrong.extend(judge(cell, answer.as_ref(), &view, &posts));
    wrong.extend(good_send(house, &recipient(*place * 10 + 3), cell, "after").await);
    wrong
}

/// An answer that came after the caller's time still decides.
async fn late(house: &House, key: &str) -> Value {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    house.settled(key).await
}

/// A rule that strikes this cell's send and no other.
fn rule_for(cell: &Cell, to: &str) -> Value {
    match cell.value["at"].as_str() {
        // Every new connection, so that trying again does not help.
        Some("accept") => return json!({"behaviour": cell.behaviour}),
        // Once, because it would strike our own next call too.
        Some("first_byte") => return json!({"behaviour": cell.behaviour, "times": 1}),
        _ => {}
    }
    if cell.strikes_at_the_head() {
        return json!({"match": {"method": "POST", "path": "/messages"}, "behaviour": cell.behaviour});
    }
    json!({"match": {"to": to}, "behaviour": cell.behaviour})
}

async fn unset(house: &House, rule: u64) {
    house.witness.call(Ask::new(http::Method::DELETE, &format!("/_sim/script/{rule}"))).await;
}

/// An ordinary send must be answered with its own recipient: no answer is taken for another's.
async fn good_send(house: &House, to: &str, cell: &Cell, when: &str) -> Option<String> {
    for _ in 0..3 {
        let answer = house.send(&text(to)).await;
        if answer.status == 200 && answer.json()["data"]["contacts"][0]["input"] == to {
            return None;
        }
        // A connection that the fault left behind may turn out dead before a byte went out; that is
        // told as such and costs nothing.
        if answer.code_or_none().as_deref() != Some("GW_002") {
            return Some(format!("{}: a good send {when} it was answered {}", cell.name(), answer.summary()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Some(format!("{}: a good send {when} it was never taken", cell.name()))
}

/// Compares a cell with the table.
fn judge(cell: &Cell, answer: Option<&Answer>, view: &Value, posts: &[Value]) -> Vec<String> {
    let legs = (view["money"]["base"]["state"].as_str().unwrap_or(""), view["money"]["meta"]["state"].as_str().unwrap_or(""));
    let state = view["state"].as_str().unwrap_or("");
    let fits = |end: &End| -> Result<(), String> {
        let (wanted_state, wanted_legs, wanted_posts, wanted_answer) = match end {
            Accepted => ("accepted", ("captured", "held"), 1..=1, (200, None)),
            Refused(status) => ("refused", ("released", "released"), 1..=1, (*status, Some("GW_001"))),
            NotSent => ("refused", ("released", "released"), 0..=0, (503, Some("GW_002"))),
            Unknown => ("unknown", ("held", "held"), 0..=1, (504, Some("GW_003"))),
        };
        if state != wanted_state || legs != wanted_legs {
            return Err(format!("{wanted_state} {wanted_legs:?} expected, found {state} {legs:?}"));
        }
        if !wanted_posts.contains(&posts.len()) {
            return Err(format!("{} POSTs were recorded, {wanted_posts:?} expected", posts.len()));
        }
        if cell.is_recorded && *end == Unknown && posts.len() != 1 {
            return Err("the simulator had the request and recorded none".to_owned());
        }
        let Some(answer) = answer else { return Ok(()) };
        let code = answer.code_or_none();
        // A late answer may resolve what was answered as unknown.
        let told_unknown = (answer.status, code.as_deref()) == (504, Some("GW_003"));
        if (answer.status, code.as_deref()) != wanted_answer && !(*end == Accepted && told_unknown) {
            return Err(format!("answered {}", answer.summary()));
        }
        let waits = answer.header("retry-after").is_some();
        let wants_wait = matches!(answer.status, 429 | 503);
        if waits != wants_wait {
            return Err(format!("Retry-After is {:?} on a {}", answer.header("retry-after"), answer.status));
        }
        let sent = match end {
            Refused(_) | NotSent => Some("no"),
            Unknown => Some("unknown"),
            Accepted => None,
        };
        match sent {
            Some(sent) if answer.param("sent") != sent => Err(format!("params.sent is {}", answer.param("sent"))),
            _ => Ok(()),
        }
    };
    let problems: Vec<String> = cell.expected().iter().filter_map(|end| fits(end).err()).collect();
    if problems.len() < cell.expected().len() { Vec::new() } else { vec![format!("{}: {}", cell.name(), problems.join("; or "))] }
}

/// Every attempt token is POSTed at most once.
pub(crate) fn tokens_sent_twice(posts: &[Value]) -> Vec<String> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for post in posts {
        if let Some(token) = post["body"]["biz_opaque_callback_data"].as_str() {
            *times.entry(token).or_default() += 1;
        }
    }
    times.into_iter().filter(|(_, times)| *times > 1).map(|(token, times)| format!("the token {token} was POSTed {times} times")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_the_callers_time_still_decides() {
    a_late_answer(Vec::new()).await;
}

/// The promise itself; `environment` may plant a bug.
pub(crate) async fn a_late_answer(environment: Vec<(&'static str, String)>) {
    let house = House::open(plan(Wire::Http1, environment)).await;
    // Answered after 2 s: later than callers wait here, earlier than we hang up on Meta.
    let to = "1555010202000";
    let told = house.send_keyed(&text(to), "late").await;
    assert_eq!((told.status, told.code().as_str()), (504, "GW_003"), "{}", told.summary());
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let view = house.settled("late").await;
    assert_eq!(view["state"], "accepted", "the late answer was lost: {view}");
    let again = house.send_keyed(&text(to), "late").await;
    assert_eq!((again.status, again.message_id()), (200, told.message_id()), "{}", again.summary());
    assert_eq!(view["wamid"], again.wamid().as_str());
    assert_eq!(house.posts_to(to).await.len(), 1, "POSTs");
    house.verify().await;
}

#[test]
fn the_table_names_each_behaviour_once() {
    let names: std::collections::BTreeSet<&str> = TABLE.iter().map(|row| row.behaviour).collect();
    assert_eq!(names.len(), TABLE.len());
    assert!(TABLE.len() >= BEHAVIOURS_MIN);
}
