//! How fast events are recorded. Measures, and so is run by hand, optimised and on a quiet machine:
//! `cargo test --release -p turnpike-store --test events pace -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Instant;

use turnpike_domain::ledger::OutcomeKind;
use turnpike_domain::webhook::{EventKind, StatusKind};
use turnpike_store::events::{Intake, Recorded};
use turnpike_store::users::UserNote;

use crate::house::{House, hash, outcome, text};
use crate::story::{SOON, Shop};

const MESSAGES: u64 = 20_000;
const BATCH: usize = 50;
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a promise: it depends on the machine"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
async fn statuses_and_messages_are_recorded_in_batches_of_fifty() {
    let house = House::new();
    let store = &house.store;
    let shop = Shop::open(&house, "acme").await;
    crate::house::top_up(&**store, shop.owner, turnpike_domain::send::Mode::Live, turnpike_domain::money::Micros(1_000_000_000)).await;
    let endpoint = shop.endpoint(&house, 0);
    let mut keys = Vec::new();
    for numbers in (0..MESSAGES).collect::<Vec<_>>().chunks(200) {
        let batch = numbers.iter().map(|number| {
            let mut new = text(shop.owner, *number);
            new.application = shop.application;
            new
        });
        for admission in store.admit(batch.collect()).await.expect("admits") {
            let turnpike_store::messages::Admission::New { key, .. } = admission else { panic!("{admission:?}") };
            keys.push(key);
        }
    }
    for some in keys.chunks(200) {
        store.settle(some.iter().map(|key| outcome(shop.owner, *key, OutcomeKind::Accepted)).collect()).await.expect("settles");
    }
    let mut statuses = Vec::new();
    for some in keys.chunks(1_000) {
        for status in [StatusKind::Sent, StatusKind::Delivered, StatusKind::Read] {
            statuses.extend(some.iter().map(|key| shop.status(*key, status)));
        }
    }
    let inbound = (0..60_000).map(|number| {
        let mut event = shop.event(EventKind::Messages, number);
        (event.user, event.note) = (Some(hash("user", number % 5_000)), Some(UserNote::Wrote(SOON)));
        event
    });
    for (name, mut events) in [("statuses", statuses), ("messages", inbound.collect())] {
        for event in &mut events {
            event.body = vec![7; 900];
            event.endpoints = vec![endpoint];
        }
        let count = events.len();
        let intakes: Vec<Intake> = events
            .chunks(BATCH)
            .map(|some| Intake { received_at: SOON, raw: Some(vec![9; 25_000]), events: some.to_vec(), quarantine: Vec::new() })
            .collect();
        let line = Arc::new(tokio::sync::Mutex::new(intakes.into_iter()));
        let (began, busy_before) = (Instant::now(), processor_ms());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let (line, store) = (Arc::clone(&line), Arc::clone(store));
            tasks.spawn(async move {
                loop {
                    let Some(intake) = line.lock().await.next() else { break };
                    let recorded = store.record(intake).await.expect("records");
                    assert!(recorded.iter().all(|one| matches!(one, Recorded::New { .. })));
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("a task ends well");
        }
        let took = began.elapsed();
        let busy = (processor_ms() - busy_before) as f64;
        println!(
            "{count} {name} in {took:?}: {:.0} a second, {:.1} µs of processor each",
            count as f64 / took.as_secs_f64(),
            busy * 1_000.0 / count as f64
        );
    }
    house.assert_sound().await;
}

/// Processor time of this process so far, in milliseconds.
fn processor_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<u64>().expect("a number");
    (ticks(11) + ticks(12)) * 10
}
