//! Who gets what, and with which headers (contract §7).

use std::time::Duration;

use turnpike_domain::send::Mode;
use turnpike_domain::webhook::{EventKind, EventSet, Schedule};
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::endpoints::{DEFAULT_ENDPOINT, EndpointOrder};
use turnpike_engine::settings::Settings;
use turnpike_store::deliveries::DeliveryState;

use crate::house::{House, eventually, quick};
use crate::receiver::{Behaviour, Receiver};

fn only(kind: EventKind) -> EventSet {
    [kind].into_iter().collect()
}

fn one(text: &str) -> [(u8, String); 1] {
    [(1, text.to_owned())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_endpoint_of_an_application_gets_what_it_asked_for_and_has_a_secret_of_its_own() {
    let house = House::new(quick()).await;
    let app = house.app("acme");
    let kinds = [EventKind::Messages, EventKind::MessageStatus, EventKind::ButtonReply];
    let mut receivers = Vec::new();
    for kind in kinds {
        let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
        let order = EndpointOrder { url: Some(receiver.url()), events: Some(only(kind)), ..EndpointOrder::default() };
        let name = if kind == EventKind::Messages { DEFAULT_ENDPOINT.to_owned() } else { format!("of-{}", kind as u8) };
        let made = house.engine.set_endpoint(&app, &name, order).await.expect("an endpoint");
        receivers.push((receiver, made.secret.expect("shown once")));
    }
    assert!(receivers[0].1 != receivers[1].1 && receivers[1].1 != receivers[2].1, "secrets are its own");
    for kind in kinds {
        house.events_of(&app, Mode::Live, kind, &one(&format!("{kind:?}"))).await;
    }
    // `messages` names its finer events too.
    let expected = [vec!["ButtonReply", "Messages"], vec!["MessageStatus"], vec!["ButtonReply"]];
    for ((receiver, _), expected) in receivers.iter().zip(expected) {
        eventually("all came", Duration::from_secs(10), || receiver.count() >= expected.len()).await;
        let mut came: Vec<String> = receiver.posts().iter().map(|post| post.text()).collect();
        came.sort();
        let expected: Vec<String> = expected.iter().map(|kind| format!("{{\"text\":\"{kind}\"}}")).collect();
        assert_eq!(came, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbox_events_go_to_who_asked_for_them_and_say_so() {
    let house = House::new(quick()).await;
    let app = house.app("acme");
    let (playing, live) = (Receiver::start(Behaviour::Answer(200, "")).await, Receiver::start(Behaviour::Answer(200, "")).await);
    house.endpoint(playing.url(), |order| order.sandbox = Some(true)).await;
    let order = EndpointOrder { url: Some(live.url()), ..EndpointOrder::default() };
    house.engine.set_endpoint(&app, "live", order).await.expect("an endpoint");
    house.events_of(&app, Mode::Sandbox, EventKind::Messages, &one("play")).await;
    house.event(&app, 1, "live").await;
    eventually("both came", Duration::from_secs(10), || playing.count() == 2 && live.count() == 1).await;
    let modes: Vec<_> =
        playing.posts().iter().map(|post| (post.text().contains("play"), post.header("x-gateway-mode").map(str::to_owned))).collect();
    assert!(modes.contains(&(true, Some("sandbox".to_owned()))) && modes.contains(&(false, None)), "{modes:?}");
    assert!(live.posts()[0].text().contains("live"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_headers_are_sent_and_those_that_are_ours_are_refused_by_name() {
    let house = House::new(quick()).await;
    let app = house.app("acme");
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    for name in ["Host", "Connection", "Content-Type", "webhook-id", "X-Hub-Signature-256", "X-Gateway-Event", "Authorization"] {
        let order = EndpointOrder {
            url: Some(receiver.url()),
            headers: Some(vec![(name.to_owned(), "mine".to_owned())]),
            ..EndpointOrder::default()
        };
        let refused = house.engine.set_endpoint(&app, DEFAULT_ENDPOINT, order).await;
        assert!(matches!(&refused, Err(ControlFault::Fields(faults)) if format!("{faults:?}").contains(name)), "{name}: {refused:?}");
    }
    house.endpoint(receiver.url(), |order| order.headers = Some(vec![("X-Shop".to_owned(), "7".to_owned())])).await;
    let id = house.event(&app, 1, "hello").await;
    house.until(&id, DeliveryState::Delivered).await;
    assert_eq!(receiver.posts()[0].header("x-shop"), Some("7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_never_shortens_a_step() {
    let mut settings = quick();
    settings.schedule = Schedule::new(&[600_000, 600_000], 0).expect("a schedule");
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Answer(503, "Retry-After: 1\r\n")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let id = house.event(&house.app("acme"), 1, "hello").await;
    let wait = house.wait_after_the_first_try(&id).await;
    assert!(wait >= 600_000, "{wait} ms");
}

#[test]
fn events_and_with_them_dead_letters_are_kept_for_thirty_days() {
    assert_eq!(Settings::default().retention.event_days, 30);
}
