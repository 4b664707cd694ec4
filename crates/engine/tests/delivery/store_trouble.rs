//! A store that fails, before or after its commit, at every call that a delivery makes of it.

use std::time::Duration;

use turnpike_domain::send::Mode;
use turnpike_domain::webhook::EventKind;
use turnpike_engine::control::endpoints::{BacklogChoice, DEFAULT_ENDPOINT, EndpointOrder};
use turnpike_engine::delivery::DeliverySettings;
use turnpike_store::deliveries::DeliveryState;
use turnpike_store::endpoints::ENDPOINTS_MAX;
use turnpike_store::faults::{Fault, Method};

use crate::house::{House, eventually, quick};
use crate::receiver::{Behaviour, Receiver};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_or_a_look_that_fails_only_delays() {
    for method in [Method::Claim, Method::NextDue, Method::NextRetry] {
        for fault in [Fault::Unavailable, Fault::Corrupt, Fault::UnavailableAfterCommit] {
            let house = House::new(quick()).await;
            let receiver = Receiver::start(Behaviour::First(1, 500)).await;
            house.endpoint(receiver.url(), |_| ()).await;
            house.faults.fail_next(method, fault);
            house.faults.fail_next(method, fault);
            let id = house.event(&house.app("acme"), 1, "hello").await;
            // What a lost answer held stays held for as long as its lease; another event goes on.
            if fault == Fault::UnavailableAfterCommit && method == Method::Claim {
                let next = house.event(&house.app("acme"), 2, "next").await;
                eventually("the store is asked again", Duration::from_secs(10), || house.faults.calls(Method::Claim) > 3).await;
                let house = house.again().await;
                for id in [&id, &next] {
                    house.until(id, DeliveryState::Delivered).await;
                }
                continue;
            }
            house.until(&id, DeliveryState::Delivered).await;
            assert_eq!(receiver.count(), 2, "{method:?} {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_cannot_be_recorded_is_recorded_later_and_not_made_again() {
    for fault in [Fault::Unavailable, Fault::UnavailableAfterCommit] {
        let house = House::new(quick()).await;
        let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
        house.endpoint(receiver.url(), |_| ()).await;
        house.faults.fail_next(Method::Finish, fault);
        house.faults.fail_next(Method::Finish, fault);
        let id = house.event(&house.app("acme"), 1, "hello").await;
        eventually("it is recorded at the third try", Duration::from_secs(10), || house.faults.calls(Method::Finish) >= 3).await;
        house.until(&id, DeliveryState::Delivered).await;
        assert_eq!(receiver.count(), 1, "{fault:?}: it had arrived");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_was_never_recorded_is_made_again_after_the_next_start_under_the_same_id() {
    let mut house = House::new(quick()).await;
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    house.faults.fail_always(Method::Finish, Fault::Unavailable);
    let id = house.event(&house.app("acme"), 1, "hello").await;
    eventually("it came", Duration::from_secs(10), || receiver.count() == 1).await;
    house = house.again().await;
    house.until(&id, DeliveryState::Delivered).await;
    let posts = receiver.posts();
    assert_eq!(posts.len(), 2);
    assert!(posts.iter().all(|post| post.id() == id && post.body == posts[0].body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_endpoint_waits_until_the_store_tells_which_lines_it_holds() {
    let house = House::new(quick()).await;
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.faults.fail_next(Method::Stalled, Fault::Unavailable);
    house.faults.fail_next(Method::Stalled, Fault::Corrupt);
    house.endpoint(receiver.url(), |order| order.ordered = Some(true)).await;
    let id = house.event(&house.app("acme"), 1, "hello").await;
    house.until(&id, DeliveryState::Delivered).await;
    assert!(house.faults.calls(Method::Stalled) >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_that_cannot_be_measured_or_trimmed_is_looked_at_again() {
    let mut settings = quick();
    settings.backlog_max = 1;
    settings.backlog_looked_at_every = Duration::from_millis(50);
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    house.engine.disable_endpoint(&app, DEFAULT_ENDPOINT).await.expect("off");
    house.faults.fail_next(Method::TrimBacklog, Fault::Unavailable);
    house.faults.fail_next(Method::TrimBacklog, Fault::UnavailableAfterCommit);
    let ids = house.events(&app, &[(1, "a".to_owned()), (1, "b".to_owned()), (1, "c".to_owned())]).await;
    for id in &ids[..2] {
        house.until(id, DeliveryState::Dead).await;
    }
    house.told(&app, "backlog_overflow").await;
    assert_eq!(house.delivery(&ids[2]).await.state, DeliveryState::Pending);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_whose_end_cannot_be_written_is_not_posted_to_and_is_off_once_it_can() {
    for fault in [Fault::Unavailable, Fault::UnavailableAfterCommit] {
        let mut house = House::new(quick()).await;
        let receiver = Receiver::start(Behaviour::Answer(410, "")).await;
        house.endpoint(receiver.url(), |_| ()).await;
        let app = house.app("acme");
        for _ in 0..3 {
            house.faults.fail_next(Method::UpdateEndpoint, fault);
        }
        let first = house.event(&app, 1, "first").await;
        eventually("it is told to go", Duration::from_secs(10), || house.faults.calls(Method::UpdateEndpoint) >= 1).await;
        let second = house.event(&app, 2, "second").await;
        // The book is read anew meanwhile, for another endpoint's sake.
        let order = EndpointOrder { url: Some("https://hooks.example.com/".to_owned()), ..EndpointOrder::default() };
        house.engine.set_endpoint(&app, "other", order).await.expect("an endpoint");
        let reason = house.told(&app, "endpoint_disabled").await;
        assert!(reason.contains("410 Gone"), "{reason}");
        let is_off = || house.engine.endpoints.snapshot().by_key.values().any(|known| !known.row.is_active);
        eventually("it is off", Duration::from_secs(20), is_off).await;
        // One that was written though nobody heard is off by what the book says, and not written again.
        let is_heard_of = fault == Fault::UnavailableAfterCommit;
        assert!(is_heard_of || house.faults.calls(Method::UpdateEndpoint) >= 4, "the fourth try succeeds");
        house = house.again().await;
        let third = house.event(&house.app("acme"), 3, "third").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(receiver.count(), 1, "{fault:?}: it asked to be left alone");
        for id in [&first, &second, &third] {
            assert_eq!(house.delivery(id).await.state, DeliveryState::Pending, "and its events are kept");
        }
        // Its owner switches it on again, and it is there.
        receiver.behave(Behaviour::Answer(200, ""));
        house.engine.enable_endpoint(&house.app("acme"), DEFAULT_ENDPOINT, BacklogChoice::Replay).await.expect("on");
        for id in [&first, &second, &third] {
            house.until(id, DeliveryState::Delivered).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_gives_another_address_meanwhile_is_not_switched_off_for_the_old_ones_sake() {
    let house = House::new(quick()).await;
    let (gone, moved) = (Receiver::start(Behaviour::Answer(410, "")).await, Receiver::start(Behaviour::Answer(200, "")).await);
    house.endpoint(gone.url(), |_| ()).await;
    let app = house.app("acme");
    house.faults.fail_next(Method::UpdateEndpoint, Fault::Unavailable);
    let first = house.event(&app, 1, "first").await;
    eventually("it is told to go", Duration::from_secs(10), || house.faults.calls(Method::UpdateEndpoint) >= 1).await;
    house.endpoint(moved.url(), |_| ()).await;
    let second = house.event(&app, 2, "second").await;
    for id in [&first, &second] {
        house.until(id, DeliveryState::Delivered).await;
    }
    assert_eq!((gone.count(), moved.count()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_whose_standing_is_written_together_are_read_anew_together() {
    let mut settings = quick();
    // So that the first failure is written at once.
    settings.failing_told_after = Duration::ZERO;
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Answer(500, "")).await;
    let app = house.app("acme");
    for number in 0..ENDPOINTS_MAX {
        let order = EndpointOrder { url: Some(receiver.url()), ..EndpointOrder::default() };
        house.engine.set_endpoint(&app, &format!("endpoint-{number}"), order).await.expect("an endpoint");
    }
    let before = house.faults.calls(Method::Endpoints);
    house.faults.fail_always(Method::Endpoints, Fault::Held);
    house.event(&app, 1, "hello").await;
    let all = u64::from(ENDPOINTS_MAX);
    eventually("all are written", Duration::from_secs(20), || house.faults.calls(Method::UpdateEndpoint) == all).await;
    house.faults.heal();
    let all_fail = || house.engine.endpoints.snapshot().by_key.values().all(|known| known.row.failing_since.is_some());
    eventually("the book says so of each", Duration::from_secs(20), all_fail).await;
    house.engine.stop(Duration::from_secs(20)).await;
    let readings = house.faults.calls(Method::Endpoints) - before;
    assert!(readings <= all / 2, "{readings} readings for {all} endpoints");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_cannot_be_recorded_together_are_recorded_one_by_one() {
    let house = House::new(quick()).await;
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    // The first attempt alone, and then twice by itself: it counts as not made. All others go on.
    house.faults.fail_next(Method::Finish, Fault::Undone);
    house.faults.fail_next(Method::Finish, Fault::Undone);
    let first = house.event(&app, 1, "first").await;
    eventually("it is asked for alone", Duration::from_secs(10), || house.faults.calls(Method::Finish) >= 2).await;
    let next = house.event(&app, 2, "next").await;
    house.until(&next, DeliveryState::Delivered).await;
    assert_eq!(house.delivery(&first).await.state, DeliveryState::Pending);
    let house = house.again().await;
    house.until(&first, DeliveryState::Delivered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bug_met_in_one_turn_of_the_deliveries_is_not_their_end() {
    for method in [Method::Claim, Method::NextDue, Method::NextRetry, Method::Finish, Method::Backlogs] {
        let house = House::new(DeliverySettings { backlog_looked_at_every: Duration::from_millis(20), ..quick() }).await;
        let receiver = Receiver::start(Behaviour::First(1, 500)).await;
        house.endpoint(receiver.url(), |_| ()).await;
        for _ in 0..3 {
            house.faults.fail_next(method, Fault::Panics);
        }
        let id = house.event(&house.app("acme"), 1, "hello").await;
        house.until(&id, DeliveryState::Delivered).await;
        // Those that go on by the clock are asked once more after the last bug.
        let is_asked_again = || house.faults.calls(method) > 3 || !matches!(method, Method::Backlogs | Method::NextDue);
        eventually("the next turn is taken", Duration::from_secs(10), is_asked_again).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_endpoint_is_gone_at_once_though_the_endpoints_cannot_be_read() {
    let house = House::new(quick()).await;
    let app = house.app("acme");
    house.endpoint("https://receiver.example.org/hook".to_owned(), |_| ()).await;
    house.faults.fail_always(Method::Endpoints, Fault::Unavailable);
    house.engine.delete_endpoint(&app, DEFAULT_ENDPOINT).await.expect("deleted");
    assert!(house.engine.endpoint_named(&app, DEFAULT_ENDPOINT).is_err());
    assert!(house.engine.endpoints.wanting(app.row.key, Mode::Live, EventKind::Messages).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_shows_its_secret_and_is_followed_though_the_endpoints_could_not_be_read_at_once() {
    let house = House::new(quick()).await;
    let app = house.app("acme");
    house.faults.fail_next(Method::Endpoints, Fault::Unavailable);
    let made = house.endpoint("https://receiver.example.org/hook".to_owned(), |_| ()).await;
    assert!(made.secret.is_some(), "it is shown this once");
    let is_known = || house.engine.endpoint_named(&app, DEFAULT_ENDPOINT).is_ok();
    eventually("it is known", Duration::from_secs(20), is_known).await;
    house.faults.fail_next(Method::Endpoints, Fault::Unavailable);
    house.engine.disable_endpoint(&app, DEFAULT_ENDPOINT).await.expect("off");
    let is_off = || house.engine.endpoint_named(&app, DEFAULT_ENDPOINT).is_ok_and(|known| !known.row.is_active);
    eventually("it is off", Duration::from_secs(20), is_off).await;
}
