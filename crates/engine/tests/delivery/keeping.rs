//! What holds across a restart, and where a backlog ends.

use std::time::Duration;

use turnpike_domain::webhook::Schedule;
use turnpike_engine::control::endpoints::{DEFAULT_ENDPOINT, EndpointOrder};
use turnpike_store::deliveries::DeliveryState;

use crate::house::{House, eventually, quick};
use crate::receiver::{Behaviour, Receiver};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_line_is_still_held_after_a_restart_and_other_users_go_on() {
    let mut settings = quick();
    settings.schedule = Schedule::new(&[4_000, 60], 0).expect("a schedule");
    let mut house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::First(1, 500)).await;
    house.endpoint(receiver.url(), |order| order.ordered = Some(true)).await;
    let app = house.app("acme");
    let first = house.event(&app, 1, "first").await;
    // Recorded as failed: what is not recorded would simply be tried first again.
    while house.delivery(&first).await.tries == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house = house.again().await;
    let app = house.app("acme");
    let second = house.event(&app, 1, "second").await;
    let other = house.event(&app, 2, "other").await;
    for id in [&other, &second] {
        house.until(id, DeliveryState::Delivered).await;
    }
    let came: Vec<String> = receiver.posts().iter().map(|post| post.id()).filter(|id| *id != other).collect();
    assert_eq!(came, [first.clone(), first, second], "the user's second event waited for the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_held_before_a_restart_goes_on_when_its_time_is_over() {
    let mut settings = quick();
    settings.schedule = Schedule::new(&[600_000], 0).expect("a schedule");
    settings.line_held_max = Duration::from_secs(3);
    let mut house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::First(1, 500)).await;
    house.endpoint(receiver.url(), |order| order.ordered = Some(true)).await;
    let first = house.event(&house.app("acme"), 1, "first").await;
    while house.delivery(&first).await.tries == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house = house.again().await;
    let second = house.event(&house.app("acme"), 1, "second").await;
    house.until(&second, DeliveryState::Delivered).await;
    assert_eq!(house.delivery(&first).await.state, DeliveryState::Pending, "its own next try is far");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_are_made_at_their_hour_after_a_restart_though_nobody_looks_for_long() {
    let mut settings = quick();
    settings.schedule = Schedule::new(&[3_000, 60], 0).expect("a schedule");
    settings.look_every = Duration::from_secs(3_600);
    let mut house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::First(2, 500)).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    let mut ids = Vec::new();
    for (user, text) in [(1, "one"), (2, "two")] {
        let id = house.event(&app, user, text).await;
        while house.delivery(&id).await.tries == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ids.push(id);
        // So that the two are due at different times, and the second is found by the first's claim.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    house = house.again().await;
    for id in &ids {
        house.until(id, DeliveryState::Delivered).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_beyond_its_number_ends_in_dead_letters_and_tells_its_owner_and_only_him() {
    let mut settings = quick();
    settings.backlog_max = 40;
    settings.backlog_looked_at_every = Duration::from_millis(50);
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let (app, other) = (house.app("acme"), house.tenant("other").await);
    let order = EndpointOrder { url: Some(receiver.url()), ..EndpointOrder::default() };
    house.engine.set_endpoint(&other, DEFAULT_ENDPOINT, order).await.expect("an endpoint");
    for app in [&app, &other] {
        house.engine.disable_endpoint(app, DEFAULT_ENDPOINT).await.expect("off");
    }
    let events: Vec<(u8, String)> = (0..100).map(|number| (1, format!("{number:03}"))).collect();
    house.events(&other, &events[..30]).await;
    let ids = house.events(&app, &events).await;
    for id in &ids[..60] {
        house.until(id, DeliveryState::Dead).await;
    }
    let told = house.told(&app, "backlog_overflow").await;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let value = &told["entry"][0]["changes"][0]["value"];
    assert_eq!((&value["dead_letters"], &value["number_max"], &value["name"]), (&60.into(), &40.into(), &DEFAULT_ENDPOINT.into()));
    let view = house.engine.endpoint_view(&app, DEFAULT_ENDPOINT).await.expect("it is there");
    let overflow = view.overflow.expect("it overflowed");
    assert!(view.backlog.first <= 40 && overflow.beyond_number >= 60 && overflow.beyond_age == 0, "{overflow:?}");
    let theirs = house.engine.endpoint_view(&other, DEFAULT_ENDPOINT).await.expect("it is there");
    assert!(theirs.backlog.first == 30 && theirs.overflow.is_none(), "{theirs:?}");
    assert_eq!(house.delivery(&ids[99]).await.state, DeliveryState::Pending, "the newest is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_too_long_is_a_dead_letter_and_can_be_sent_again() {
    let mut settings = quick();
    settings.backlog_age_max = Duration::from_secs(3);
    settings.backlog_looked_at_every = Duration::from_millis(50);
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    house.engine.disable_endpoint(&app, DEFAULT_ENDPOINT).await.expect("off");
    let id = house.event(&app, 1, "old").await;
    let dead = house.until(&id, DeliveryState::Dead).await;
    assert!(dead.attempts.expect("asked for")[0].fault.as_deref().is_some_and(|fault| fault.starts_with("given up")));
    let enabled = turnpike_engine::control::endpoints::BacklogChoice::Replay;
    house.engine.enable_endpoint(&app, DEFAULT_ENDPOINT, enabled).await.expect("on");
    house.engine.replay_delivery(&app, &id, DEFAULT_ENDPOINT).await.expect("replayed");
    house.until(&id, DeliveryState::Delivered).await;
    eventually("it came once", Duration::from_secs(5), || receiver.count() == 1).await;
}
