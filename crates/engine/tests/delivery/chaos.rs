//! Twenty thousand events to two hundred endpoints of which half are broken: none is lost.

use std::collections::HashMap;
use std::time::Duration;

use turnpike_domain::webhook::Schedule;
use turnpike_engine::control::endpoints::{DEFAULT_ENDPOINT, EndpointOrder};
use turnpike_store::deliveries::DeliveryState;

use crate::house::{House, now, quick};
use crate::receiver::{Behaviour, Receiver};

const ENDPOINTS: usize = 200;
const EVENTS_EACH: usize = 100;

/// Past this something is wrong; how long it takes is measured by the bench, not here.
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_delivered_or_waits_or_is_dead_and_hardly_one_came_twice() {
    let mut settings = quick();
    settings.schedule = Schedule::new(&[200, 200], 0).expect("a schedule");
    settings.breaker_open = Duration::from_millis(300);
    let house = House::new(settings).await;
    let mut receivers = Vec::new();
    for number in 0..ENDPOINTS {
        let behaviour = match number % 20 {
            0..4 => Behaviour::Hang,
            4..8 => Behaviour::Answer(503, ""),
            8..10 => Behaviour::Reset,
            10 => Behaviour::Drip,
            _ => Behaviour::Answer(200, ""),
        };
        let takes = matches!(behaviour, Behaviour::Answer(200, _) | Behaviour::Drip);
        let app = house.tenant(&format!("tenant-{number}")).await;
        let receiver = Receiver::start(behaviour).await;
        let order = EndpointOrder { url: Some(receiver.url()), ..EndpointOrder::default() };
        house.engine.set_endpoint(&app, DEFAULT_ENDPOINT, order).await.expect("an endpoint");
        receivers.push((app, receiver, takes));
    }
    let begun = now();
    for round in 0..EVENTS_EACH / 10 {
        for (app, ..) in &receivers {
            let events: Vec<(u8, String)> = (0..10).map(|number| (number % 5, format!("{}", round * 10 + usize::from(number)))).collect();
            house.events(app, &events).await;
        }
    }
    let all = ENDPOINTS * EVENTS_EACH;
    let healthy = receivers.iter().filter(|(.., takes)| *takes).count() * EVENTS_EACH;
    let posted = || receivers.iter().filter(|(.., takes)| *takes).map(|(_, receiver, _)| receiver.count()).sum::<usize>();
    while posted() < healthy {
        assert!(begun.elapsed() < PATIENCE, "{} of {healthy} were posted", posted());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed();
    // An answer is recorded in a moment after it came.
    for (app, ..) in receivers.iter().filter(|(.., takes)| *takes) {
        while house.deliveries(app, 500).await.iter().any(|delivery| delivery.state != DeliveryState::Delivered) {
            assert!(begun.elapsed() < PATIENCE, "what was taken is still not recorded as delivered");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let mut states: HashMap<String, usize> = HashMap::new();
    let mut twice = 0;
    for (app, receiver, takes) in &receivers {
        let deliveries = house.deliveries(app, 500).await;
        assert_eq!(deliveries.len(), EVENTS_EACH, "none is lost");
        for delivery in &deliveries {
            *states.entry(format!("{:?}", delivery.state)).or_default() += 1;
        }
        if *takes {
            assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
            let mut seen: HashMap<String, usize> = HashMap::new();
            for post in receiver.posts() {
                *seen.entry(post.id()).or_default() += 1;
            }
            assert_eq!(seen.len(), EVENTS_EACH);
            twice += seen.values().filter(|count| **count > 1).count();
        }
    }
    eprintln!("{healthy} to endpoints that take them in {took:?}; {states:?}; {twice} came twice");
    assert_eq!(states.values().sum::<usize>(), all);
    assert!(twice * 100 <= healthy, "{twice} of {healthy} came twice");
    assert!(!states.contains_key("Dropped"));
}
