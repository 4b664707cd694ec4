//! `kill -9` under intake and delivery: what Meta was answered 200 for reaches the customer, at least
//! once, and a second time only under the same `webhook-id`.
//!
//! Meta's side is played here by callers that sign as Meta does and never repeat what was answered
//! 200; what was not, they send again after the start, as Meta would.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::client::Ask;
use crate::house::{House, NUMBER_ID, Plan, encoded, post, recipient, text};
use crate::kill::Chance;
use crate::receiver::Receiver;

/// Kills of the full run.
const ROUNDS: usize = 200;

/// Callers of each side at once.
const CALLERS: usize = 8;

/// How long a round's load goes on before the kill, in milliseconds.
const LOAD_MS: (u64, u64) = (30, 200);

/// Events in one of Meta's POSTs.
const BATCH: usize = 5;

/// Our app at Meta.
pub(crate) const META_APP: [(&str, &str); 3] = [
    ("TURNPIKE_META_APP_ID", "1234567890"),
    ("TURNPIKE_META_APP_SECRET", "0123456789abcdef0123456789abcdef"),
    ("TURNPIKE_META_APP_VERIFY_TOKEN", "a-token-that-only-meta-knows"),
];

/// A plan in which events go to a receiver on this machine, and come again soon.
pub(crate) fn plan() -> Plan {
    Plan {
        settings: [
            "webhooks.allowed_networks=127.0.0.0/8",
            "webhooks.allow_http=true",
            "webhooks.schedule=100ms,200ms,400ms,1s,1s,1s,1s,1s",
        ]
        .map(str::to_owned)
        .to_vec(),
        environment: META_APP.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        ..Plan::default()
    }
}

/// A POST as Meta signs it.
pub(crate) fn signed(body: &str) -> Ask {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, META_APP[1].1.as_bytes());
    let signature: String = ring::hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ask::post("/v1/meta/webhook")
        .bytes(body.to_owned())
        .header("content-type", "application/json")
        .header("x-hub-signature-256", &format!("sha256={signature}"))
}

/// The nth inbound message's wamid.
fn wamid(n: usize) -> String {
    format!("wamid.TESTS{n:08}")
}

/// A batch of inbound messages, from the nth on.
fn batch(first: usize) -> String {
    inbound(first..first + BATCH)
}

/// What Meta posts of these inbound messages.
pub(crate) fn inbound(numbers: Range<usize>) -> String {
    let messages: Vec<Value> = numbers
        .map(|n| {
            json!({
                "from": recipient(n % 7), "id": wamid(n), "timestamp": (1_795_000_000 + n).to_string(),
                "type": "text", "text": {"body": format!("line {n}")},
            })
        })
        .collect();
    let contacts: Vec<Value> = (0..7).map(|n| json!({"profile": {"name": "A user"}, "wa_id": recipient(n)})).collect();
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "200000000000001", "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550001000", "phone_number_id": NUMBER_ID},
            "contacts": contacts, "messages": messages,
        }}]}],
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_lose_no_event_that_was_acknowledged() {
    let receiver = Receiver::start().await;
    let mut house = House::open(plan()).await;
    house.order("/applications/shop/webhooks/default", json!({"url": receiver.url, "events": "all"})).await;
    let mut chance = Chance::new();
    let (mut acknowledged, mut sent) = (BTreeSet::new(), BTreeSet::new());
    let (next_batch, next_send) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut unanswered: Vec<usize> = Vec::new();
    for _ in 0..ROUNDS {
        let again = std::mem::take(&mut unanswered);
        let heard = load_until_killed(&mut house, again, &next_batch, &next_send, &mut chance).await;
        house.reopen_gateway();
        for batch in heard.taken {
            acknowledged.extend(batch..batch + BATCH);
        }
        unanswered = heard.unanswered;
        sent.extend(heard.wamids);
    }
    assert!(acknowledged.len() > ROUNDS * BATCH, "hardly anything was taken in: {} events", acknowledged.len());
    assert!(sent.len() > ROUNDS, "hardly anything was sent: {}", sent.len());
    println!("{ROUNDS} kills: {} events acknowledged, {} messages sent", acknowledged.len(), sent.len());

    receiver
        .wait_until("every acknowledged event", |all| {
            let told: BTreeSet<String> =
                all.iter().filter_map(|one| one.value()["messages"][0]["id"].as_str().map(str::to_owned)).collect();
            acknowledged.iter().all(|n| told.contains(&wamid(*n))).then_some(())
        })
        .await;
    one_id_one_event(&receiver);
    statuses_settle(&house, &sent).await;
    house.verify().await;
}

/// The same event always bears the same id, and no two events share one.
fn one_id_one_event(receiver: &Receiver) {
    let (mut body_of, mut id_of): (BTreeMap<String, String>, BTreeMap<String, String>) = (BTreeMap::new(), BTreeMap::new());
    for received in receiver.all() {
        let (id, body) = (received.id().to_owned(), received.body.clone());
        assert_eq!(body_of.entry(id.clone()).or_insert_with(|| body.clone()), &body, "{id} came with two bodies");
        if received.kind() != "gateway" {
            assert_eq!(id_of.entry(body.clone()).or_insert_with(|| id.clone()), &id, "{body} came under two ids");
        }
    }
}

/// What was sent before a kill is settled by a status after it.
async fn statuses_settle(house: &House, sent: &BTreeSet<String>) {
    for wamid in sent.iter().rev().take(20) {
        let path = format!("/v1/wa/message/{}", encoded(wamid));
        let found = house.api.call(Ask::get(&path).bearer(&house.live)).await.json();
        let to = found["data"]["to"].as_str().expect("kept").to_owned();
        let token = house.posts_to(&to).await[0]["body"]["biz_opaque_callback_data"].as_str().expect("our token").to_owned();
        let status = json!({
            "object": "whatsapp_business_account",
            "entry": [{"id": "200000000000001", "changes": [{"field": "messages", "value": {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550001000", "phone_number_id": NUMBER_ID},
                "statuses": [{"id": wamid, "status": "delivered", "timestamp": "1795000000", "recipient_id": to,
                    "biz_opaque_callback_data": token,
                    "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"}}],
            }}]}],
        });
        assert_eq!(house.api.call(signed(&status.to_string())).await.status, 200);
        let found = house.api.call(Ask::get(&path).bearer(&house.live)).await.json();
        assert_eq!(found["data"]["state"], "delivered", "{found}");
        assert_eq!(found["data"]["money"]["meta"]["state"], "captured", "{found}");
    }
}

/// What Meta and the callers heard before the kill.
#[derive(Default)]
struct Heard {
    /// Batches that were answered 200, by their first event.
    taken: Vec<usize>,
    /// Batches that were not answered.
    unanswered: Vec<usize>,
    /// Messages that were answered 200.
    wamids: Vec<String>,
}

async fn load_until_killed(
    house: &mut House,
    again: Vec<usize>,
    next_batch: &AtomicUsize,
    next_send: &AtomicUsize,
    chance: &mut Chance,
) -> Heard {
    let (heard, again) = (Mutex::new(Heard::default()), Mutex::new(again));
    let pid = Pid::from_raw(i32::try_from(house.gateway.id()).expect("a process id")).expect("not 0");
    let load_us = chance.between(LOAD_MS.0 * 1_000, LOAD_MS.1 * 1_000);
    let meta = join_all((0..CALLERS).map(|_| async {
        loop {
            let repeated = again.lock().expect("nobody panics inside").pop();
            let first = repeated.unwrap_or_else(|| next_batch.fetch_add(BATCH, Ordering::Relaxed));
            let answer = house.api.try_call(signed(&batch(first))).await;
            let mut heard = heard.lock().expect("nobody panics inside");
            match answer {
                Ok(answer) if answer.status == 200 => heard.taken.push(first),
                Ok(answer) if answer.status == 503 => heard.unanswered.push(first),
                Ok(answer) => panic!("Meta was answered {}", answer.summary()),
                Err(_) => {
                    heard.unanswered.push(first);
                    return;
                }
            }
        }
    }));
    let senders = join_all((0..CALLERS).map(|_| async {
        loop {
            let n = next_send.fetch_add(1, Ordering::Relaxed);
            let Ok(answer) = house.api.try_call(post(&house.live, &text(&recipient(100_000 + n)))).await else { return };
            assert_eq!(answer.status, 200, "{}", answer.summary());
            heard.lock().expect("nobody panics inside").wamids.push(answer.wamid());
        }
    }));
    let killer = async {
        tokio::time::sleep(Duration::from_micros(load_us)).await;
        kill_process(pid, Signal::KILL).expect("the gateway runs until it is killed");
    };
    tokio::join!(meta, senders, killer);
    house.kill_gateway();
    let mut heard = heard.into_inner().expect("nobody panicked inside");
    heard.unanswered.extend(again.into_inner().expect("nobody panicked inside"));
    heard
}
