//! Order per user, and fairness between tenants.

use std::sync::atomic::Ordering;
use std::time::Duration;

use turnpike_domain::webhook::Schedule;
use turnpike_engine::control::endpoints::{DEFAULT_ENDPOINT, EndpointOrder};
use turnpike_store::deliveries::DeliveryState;

use crate::house::{House, eventually, now, quick};
use crate::receiver::{Behaviour, Receiver};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_attempts_keep_the_order_of_each_user_and_users_go_side_by_side() {
    let house = House::new(quick()).await;
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(2))).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    let events: Vec<(u8, String)> = (0..600).map(|number| (1 + (number % 6) as u8, format!("{number:04}"))).collect();
    for batch in events.chunks(50) {
        house.events(&app, batch).await;
    }
    eventually("all came", Duration::from_secs(20), || receiver.count() >= 600).await;
    let posts = receiver.posts();
    assert_eq!(posts.len(), 600);
    for user in 0..6 {
        let of_user: Vec<usize> =
            posts.iter().map(|post| post.text()[9..13].parse::<usize>().expect("a number")).filter(|number| number % 6 == user).collect();
        assert!(of_user.is_sorted(), "user {user}: {of_user:?}");
    }
    let most = receiver.most_at_once.load(Ordering::SeqCst);
    assert!((2..=8).contains(&most), "{most} at once");
    assert!(receiver.connections.load(Ordering::SeqCst) <= 8, "connections are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_failed_leaves_its_line_but_holds_it_where_the_endpoint_is_ordered() {
    for is_ordered in [false, true] {
        let mut settings = quick();
        settings.schedule = Schedule::new(&[300, 300], 0).expect("a schedule");
        let house = House::new(settings).await;
        let receiver = Receiver::start(Behaviour::First(1, 500)).await;
        house.endpoint(receiver.url(), |order| order.ordered = Some(is_ordered)).await;
        let app = house.app("acme");
        house.events(&app, &[(1, "a".to_owned()), (1, "b".to_owned()), (1, "c".to_owned())]).await;
        eventually("all came", Duration::from_secs(5), || receiver.count() >= 4).await;
        let order: Vec<String> = receiver.posts().iter().map(|post| post.text()[9..10].to_owned()).collect();
        let expected = if is_ordered { ["a", "a", "b", "c"] } else { ["a", "b", "c", "a"] };
        assert_eq!(order, expected, "ordered: {is_ordered}");
    }
}

/// The first letter of each body, in the order in which they came, without what was repeated.
fn letters(receiver: &Receiver) -> Vec<String> {
    let mut letters: Vec<String> = receiver.posts().iter().map(|post| post.text()[9..10].to_owned()).collect();
    letters.dedup();
    letters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_becomes_ordered_waits_for_what_fails_just_then_also_across_a_restart() {
    for restarts in [false, true] {
        let mut settings = quick();
        settings.schedule = Schedule::new(&[300; 50], 0).expect("a schedule");
        settings.breaker_failures = 1_000;
        let mut house = House::new(settings).await;
        let receiver = Receiver::start(Behaviour::RefusesText("\"a")).await;
        house.endpoint(receiver.url(), |_| ()).await;
        let app = house.app("acme");
        let first = house.event(&app, 1, "a").await;
        eventually("it fails", Duration::from_secs(10), || receiver.count() >= 1).await;
        house.endpoint(receiver.url(), |order| order.ordered = Some(true)).await;
        if restarts {
            house = house.again().await;
        }
        let app = house.app("acme");
        let behind = house.events(&app, &[(1, "b".to_owned()), (1, "c".to_owned())]).await;
        // Another user's line is free, and what it brings shows that lines are known.
        let other = house.event(&app, 2, "z").await;
        house.until(&other, DeliveryState::Delivered).await;
        let failed = receiver.count();
        eventually("it is tried again", Duration::from_secs(10), || receiver.count() >= failed + 3).await;
        assert!(!letters(&receiver).iter().any(|letter| letter == "b" || letter == "c"), "{:?}", letters(&receiver));
        receiver.behave(Behaviour::Answer(200, ""));
        for id in [&first, &behind[0], &behind[1]] {
            house.until(id, DeliveryState::Delivered).await;
        }
        assert!(letters(&receiver).ends_with(&["a".to_owned(), "b".to_owned(), "c".to_owned()]), "{:?}", letters(&receiver));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_ordered_no_more_lets_go_at_once_of_what_waits_behind_a_failure() {
    for restarts in [false, true] {
        let mut settings = quick();
        settings.schedule = Schedule::new(&[600_000], 0).expect("a schedule");
        settings.breaker_failures = 1_000;
        let mut house = House::new(settings).await;
        let receiver = Receiver::start(Behaviour::RefusesText("\"a")).await;
        house.endpoint(receiver.url(), |order| order.ordered = Some(true)).await;
        let app = house.app("acme");
        let first = house.event(&app, 1, "a").await;
        eventually("it fails", Duration::from_secs(10), || receiver.count() >= 1).await;
        let behind = house.event(&app, 1, "b").await;
        let other = house.event(&app, 2, "z").await;
        house.until(&other, DeliveryState::Delivered).await;
        assert_eq!(house.delivery(&behind).await.state, DeliveryState::Pending);
        house.endpoint(receiver.url(), |order| order.ordered = Some(false)).await;
        if restarts {
            house = house.again().await;
        }
        house.until(&behind, DeliveryState::Delivered).await;
        let after = house.event(&house.app("acme"), 1, "c").await;
        house.until(&after, DeliveryState::Delivered).await;
        assert_eq!(house.delivery(&first).await.state, DeliveryState::Pending);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_tenant_does_not_wait_for_anothers_backlog_nor_for_its_dead_endpoints() {
    let mut settings = quick();
    settings.in_flight_max = 48;
    let house = House::new(settings).await;
    let (busy, dead, quiet) = (
        Receiver::start(Behaviour::Slow(Duration::from_millis(20))).await,
        Receiver::start(Behaviour::Hang).await,
        Receiver::start(Behaviour::Answer(200, "")).await,
    );
    house.endpoint(busy.url(), |_| ()).await;
    let app = house.app("acme");
    for number in 0..4 {
        let order = EndpointOrder { url: Some(dead.url()), ..EndpointOrder::default() };
        house.engine.set_endpoint(&app, &format!("dead-{number}"), order).await.expect("an endpoint");
    }
    let other = house.tenant("quiet").await;
    let order = EndpointOrder { url: Some(quiet.url()), ..EndpointOrder::default() };
    house.engine.set_endpoint(&other, DEFAULT_ENDPOINT, order).await.expect("an endpoint");
    let backlog: Vec<(u8, String)> = (0..10_000).map(|number| (0, number.to_string())).collect();
    for batch in backlog.chunks(1_000) {
        house.events(&app, batch).await;
    }
    let mut waits = Vec::new();
    for number in 0..40 {
        let begun = now();
        house.event(&other, 1, &number.to_string()).await;
        eventually("the quiet one's event", Duration::from_secs(5), || quiet.count() > number).await;
        waits.push(begun.elapsed());
    }
    waits.sort_unstable();
    assert!(waits[35] < Duration::from_millis(500), "{waits:?}");
    assert!(busy.count() < 10_000, "the other still has a backlog: {}", busy.count());
    eventually("the other's backlog goes on", Duration::from_secs(10), || busy.count() > 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_does_not_answer_is_probed_and_taken_up_again_when_it_does() {
    let mut settings = quick();
    settings.answer_within = Duration::from_millis(100);
    settings.schedule = Schedule::new(&[100; 40], 0).expect("a schedule");
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Hang).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    let events: Vec<(u8, String)> = (0..200).map(|number| (0, number.to_string())).collect();
    let ids = house.events(&app, &events).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pressed = receiver.count();
    assert!(pressed <= 20, "{pressed} attempts in a second: four, then a probe now and then");
    receiver.behave(Behaviour::Answer(200, ""));
    for id in ids {
        house.until(&id, DeliveryState::Delivered).await;
    }
}
