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
