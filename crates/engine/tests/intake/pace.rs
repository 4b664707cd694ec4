//! How fast intake is, over a real database; to be run by hand, in release, on a quiet machine:
//! `cargo test --release -p turnpike-engine --test intake -- --ignored --nocapture pace`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use turnpike_domain::webhook::hub_signature;
use turnpike_engine::intake::TakenIn;

use crate::posts::*;

/// Posts `posts` bodies of `each` events from `clients` at once. Events a second, and the 99th
/// percentile of a POST in ms.
fn measure(posts: usize, each: usize, clients: usize) -> (f64, f64) {
    let house = planned(|plan| plan.threads = 2);
    let bodies: Vec<_> = (0..posts)
        .map(|post| {
            let list: Vec<Value> =
                (0..each).map(|event| priced(status(&format!("wamid.{post}.{event}"), "delivered", None), "regular", "service")).collect();
            let body = as_meta_writes(&statuses(list));
            (hub_signature(SECRET.as_bytes(), &body), body)
        })
        .collect();
    let bodies = Arc::new(bodies);
    let measured = house.run(async {
        let begun = tokio::time::Instant::now();
        let mut clients_at_work = Vec::new();
        for client in 0..clients {
            let (engine, bodies) = (Arc::clone(house.engine()), Arc::clone(&bodies));
            clients_at_work.push(house.engine().tasks().spawn(async move {
                let mut took = Vec::new();
                for (signature, body) in bodies.iter().skip(client).step_by(clients) {
                    let posted = tokio::time::Instant::now();
                    assert_eq!(engine.take_in([signature.as_bytes()], body.clone()).await, TakenIn::Durable);
                    took.push(posted.elapsed());
                }
                took
            }));
        }
        let mut took: Vec<Duration> = Vec::new();
        for client in clients_at_work {
            took.extend(client.await.expect("no client met a fault"));
        }
        let pace = (posts * each) as f64 / begun.elapsed().as_secs_f64();
        took.sort_unstable();
        (pace, took[took.len() * 99 / 100].as_secs_f64() * 1e3)
    });
    house.finish();
    measured
}

#[test]
#[ignore = "a measurement, not a promise: it depends on the machine"]
fn pace_of_intake() {
    for (posts, each, clients) in [(2_000, 50, 16), (20_000, 1, 64)] {
        let (pace, p99_ms) = measure(posts, each, clients);
        println!("{each} events a POST, {clients} clients: {pace:.0} events/s, p99 {p99_ms:.1} ms");
    }
}

/// Kept webhooks of the store that a user is erased from, one event each.
const KEPT: usize = 500_000;
/// One in so many is the user's.
const ONE_IN: usize = 1_000;
/// Between two sends of the measurement.
const SEND_EVERY: Duration = Duration::from_millis(20);

/// Median, 99th percentile and longest, in ms.
fn shown(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
    format!("{} sends: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", took.len(), at(50), at(99), at(100))
}

#[test]
#[ignore = "a measurement, not a promise: it depends on the machine"]
fn pace_of_an_erasure_beside_sends() {
    use crate::house::{NOON, TO, sent, text_to};
    use turnpike_domain::send::Mode;

    let house = planned(|plan| plan.threads = 2);
    let key = house.another_key(Mode::Live, |policy| policy.rate_per_minute = 100_000);
    house.run(async {
        let begun = tokio::time::Instant::now();
        let mut clients = Vec::new();
        for client in 0..64 {
            let engine = Arc::clone(house.engine());
            clients.push(house.engine().tasks().spawn(async move {
                for number in (client..KEPT).step_by(64) {
                    let user = if number % ONE_IN == 0 { TO.to_owned() } else { format!("90533{:07}", number / 5) };
                    let body = as_meta_writes(&text_from(NUMBER, WABA, &user, &format!("wamid.{number}"), NOON_S));
                    let signature = hub_signature(SECRET.as_bytes(), &body);
                    while engine.take_in([signature.as_bytes()], body.clone()).await != TakenIn::Durable {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }));
        }
        for client in clients {
            client.await.expect("no client met a fault");
        }
        println!("{KEPT} webhooks taken in within {:.1} s", begun.elapsed().as_secs_f64());
        let mut to = 0_u64;
        let mut send = async |until: &dyn Fn() -> bool| {
            let mut took = Vec::new();
            while !until() {
                to += 1;
                let posted = tokio::time::Instant::now();
                sent(house.send_by(&key, text_to(&format!("90534{to:07}"), "hello")).await);
                took.push(posted.elapsed());
                tokio::time::sleep(SEND_EVERY).await;
            }
            took
        };
        let until = tokio::time::Instant::now() + Duration::from_secs(10);
        println!("before: {}", shown(send(&|| tokio::time::Instant::now() >= until).await));
        let engine = Arc::clone(house.engine());
        let erasing = house.engine().tasks().spawn(async move {
            let begun = tokio::time::Instant::now();
            let acme = engine.organization(Some("acme")).expect("the first");
            (engine.erase_user(&acme, TO).await.expect("erased"), begun.elapsed())
        });
        println!("meanwhile: {}", shown(send(&|| erasing.is_finished()).await));
        let (erased, took) = erasing.await.expect("no fault");
        println!("erased within {:.1} s: {erased:?}; the store has its clock at {NOON:?}", took.as_secs_f64());
        assert!(erased.erased >= (KEPT / ONE_IN) as u64, "{erased:?}");
    });
    house.finish();
}
