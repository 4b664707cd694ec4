//! What becomes of deliveries that fail: retries, dead letters, endpoints that end, replays, restarts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::Schedule;
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::endpoints::{BacklogChoice, DEFAULT_ENDPOINT, DeliveryQuery};
use turnpike_engine::delivery::DeliverySettings;
use turnpike_engine::net::guard::Resolve;
use turnpike_store::deliveries::DeliveryState;

use crate::house::{House, eventually, quick};
use crate::receiver::{Behaviour, Receiver};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_delivery_is_tried_by_the_schedule_and_becomes_a_dead_letter_that_can_be_replayed() {
    let house = House::new(quick()).await;
    let receiver = Receiver::start(Behaviour::Answer(500, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    let id = house.event(&app, 1, "hello").await;
    let dead = house.until(&id, DeliveryState::Dead).await;
    assert_eq!((dead.tries, dead.next_at), (3, None));
    assert!(dead.attempts.expect("asked for").iter().all(|attempt| attempt.status == Some(500) && attempt.answer == "ok"));
    receiver.behave(Behaviour::Answer(200, ""));
    house.engine.replay_delivery(&app, &id, DEFAULT_ENDPOINT).await.expect("replayed");
    let delivered = house.until(&id, DeliveryState::Delivered).await;
    assert_eq!(delivered.tries, 4);
    let posts = receiver.posts();
    assert!(posts.iter().all(|post| post.id() == id && post.body == posts[0].body), "the same id and bytes each time");
    assert!(matches!(
        house.engine.replay_delivery(&app, "msg_00000000000070008000000000000000", DEFAULT_ENDPOINT).await,
        Err(ControlFault::NotFound(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_failures_and_a_cut_body_behind_2xx_is_none() {
    let house = House::new(quick()).await;
    let elsewhere = Receiver::start(Behaviour::Answer(200, "")).await;
    let location: &'static str = Box::leak(format!("Location: {}\r\n", elsewhere.url()).into_boxed_str());
    let receiver = Receiver::start(Behaviour::Answer(307, location)).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    let id = house.event(&app, 1, "hello").await;
    house.until(&id, DeliveryState::Dead).await;
    assert_eq!(elsewhere.count(), 0);
    receiver.behave(Behaviour::Drip);
    let id = house.event(&app, 1, "again").await;
    let delivered = house.until(&id, DeliveryState::Delivered).await;
    assert_eq!(delivered.tries, 1);
    receiver.behave(Behaviour::Reset);
    let id = house.event(&app, 1, "thrice").await;
    let dead = house.until(&id, DeliveryState::Dead).await;
    assert!(dead.attempts.expect("asked for").iter().all(|attempt| attempt.status.is_none() && attempt.fault.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_stretches_a_step_to_twice_its_length_at_most() {
    let mut settings = quick();
    settings.schedule = Schedule::new(&[10_000, 10_000], 0).expect("a schedule");
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Answer(429, "Retry-After: 3600\r\n")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let id = house.event(&house.app("acme"), 1, "hello").await;
    eventually("it came", Duration::from_secs(5), || receiver.count() == 1).await;
    let wait = house.wait_after_the_first_try(&id).await;
    assert!((20_000..21_000).contains(&wait), "{wait} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_410_disables_at_once_keeps_the_events_and_tells_and_enabling_asks_what_becomes_of_them() {
    for backlog in [BacklogChoice::Replay, BacklogChoice::Drop] {
        let house = House::new(quick()).await;
        let receiver = Receiver::start(Behaviour::Answer(410, "")).await;
        house.endpoint(receiver.url(), |_| ()).await;
        let app = house.app("acme");
        let first = house.event(&app, 1, "first").await;
        let engine = &house.engine;
        eventually("it is off", Duration::from_secs(5), || {
            engine.endpoint_named(&app, DEFAULT_ENDPOINT).is_ok_and(|endpoint| !endpoint.row.is_active)
        })
        .await;
        let view = house.engine.endpoint_view(&app, DEFAULT_ENDPOINT).await.expect("it is there");
        assert!(view.disabled_reason.is_some_and(|reason| reason.contains("410")));
        assert!(house.told(&app, "endpoint_disabled").await.contains("410"));
        let second = house.event(&app, 1, "second").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(receiver.count(), 1, "nothing is posted to it");
        assert_eq!(house.delivery(&second).await.state, DeliveryState::Pending);
        receiver.behave(Behaviour::Answer(200, ""));
        house.engine.enable_endpoint(&app, DEFAULT_ENDPOINT, backlog).await.expect("enabled");
        let end = if backlog == BacklogChoice::Replay { DeliveryState::Delivered } else { DeliveryState::Dropped };
        for id in [&first, &second] {
            house.until(id, end).await;
        }
        let third = house.event(&app, 1, "third").await;
        house.until(&third, DeliveryState::Delivered).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_only_fails_is_reported_and_then_disabled() {
    let mut settings = quick();
    settings.schedule = Schedule::new(&[20; 50], 0).expect("a schedule");
    settings.failing_told_after = Duration::from_millis(200);
    settings.disabled_after = Duration::from_millis(600);
    settings.disabled_after_attempts = 5;
    settings.breaker_failures = 1_000;
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Answer(500, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    for number in 0..3 {
        house.event(&app, number, "hello").await;
    }
    let engine = &house.engine;
    eventually("it is off", Duration::from_secs(10), || {
        engine.endpoint_named(&app, DEFAULT_ENDPOINT).is_ok_and(|endpoint| !endpoint.row.is_active)
    })
    .await;
    let view = house.engine.endpoint_view(&app, DEFAULT_ENDPOINT).await.expect("it is there");
    assert!(view.disabled_reason.is_some_and(|reason| reason.contains("every attempt failed")));
    assert!(view.backlog.first + view.backlog.retries > 0, "what waits is kept");
    house.told(&app, "endpoint_failing").await;
    house.told(&app, "every attempt failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_is_delivered_after_a_restart_with_the_same_id() {
    let mut settings = quick();
    settings.schedule = Schedule::new(&[1_500, 60], 0).expect("a schedule");
    let mut house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::RefusesText("later")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    let id = house.event(&app, 1, "later").await;
    eventually("it came", Duration::from_secs(5), || receiver.count() == 1).await;
    receiver.behave(Behaviour::Hang);
    let hung = house.event(&app, 1, "hung").await;
    eventually("it came too", Duration::from_secs(5), || receiver.count() == 2).await;
    house = house.again().await;
    receiver.behave(Behaviour::Answer(200, ""));
    for id in [&id, &hung] {
        house.until(id, DeliveryState::Delivered).await;
    }
    assert!(receiver.posts().iter().all(|post| post.id() == id || post.id() == hung));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_replayed_also_to_an_endpoint_that_was_not_there_then() {
    let house = House::new(quick()).await;
    let app = house.app("acme");
    for number in 0..50 {
        house.event(&app, 1, &number.to_string()).await;
    }
    assert!(house.deliveries(&app, 100).await.is_empty(), "nobody wanted them");
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let query = DeliveryQuery { from: Some(UnixMs(0)), ..DeliveryQuery::default() };
    assert_eq!(house.engine.replay_deliveries(&app, DEFAULT_ENDPOINT, &query).await.expect("replayed"), 50);
    eventually("all came", Duration::from_secs(5), || receiver.count() == 50).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let listed = house.deliveries(&app, 100).await;
    assert_eq!(listed.len(), 50);
    assert!(listed.iter().all(|delivery| delivery.state == DeliveryState::Delivered && delivery.tries == 1), "{listed:?}");
    let nothing = house.engine.replay_deliveries(&app, DEFAULT_ENDPOINT, &DeliveryQuery::default()).await;
    assert!(matches!(nothing, Err(ControlFault::Fields(_))), "a range must be named");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_endpoint_leaves_nothing_waiting_and_its_slot_is_free_again() {
    let house = House::new(quick()).await;
    let app = house.app("acme");
    let hanging = Receiver::start(Behaviour::Hang).await;
    house.endpoint(hanging.url(), |_| ()).await;
    for number in 0..20 {
        house.event(&app, 0, &number.to_string()).await;
    }
    house.engine.delete_endpoint(&app, DEFAULT_ENDPOINT).await.expect("deleted");
    assert!(house.engine.store().backlogs(None).await.expect("listed").is_empty());
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let id = house.event(&app, 1, "new").await;
    house.until(&id, DeliveryState::Delivered).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.count(), 1, "the new one gets nothing of the old one's");
}

/// A name server whose own bug takes along whoever asks it.
#[derive(Debug)]
struct Panics;

impl Resolve for Panics {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { panic!("a test asked for this bug") })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_says_that_a_bug_was_met_and_can_be_replayed() {
    let house = House::new(DeliverySettings { resolver: Arc::new(Panics), ..quick() }).await;
    house.endpoint("https://hooks.example.com/".to_owned(), |_| ()).await;
    let app = house.app("acme");
    let id = house.event(&app, 1, "hello").await;
    let dead = house.until(&id, DeliveryState::Dead).await;
    let faults: Vec<String> = dead.attempts.expect("asked for").into_iter().filter_map(|attempt| attempt.fault).collect();
    assert!(matches!(&*faults, [fault] if fault.contains("a bug of the gateway's")), "{faults:?}");
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    house.engine.replay_delivery(&app, &id, DEFAULT_ENDPOINT).await.expect("its bytes are kept");
    house.until(&id, DeliveryState::Delivered).await;
    assert_eq!(receiver.posts()[0].text(), "{\"text\":\"hello\"}");
}
