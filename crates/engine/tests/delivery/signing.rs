//! What a delivery looks like on the wire, and that its signatures verify by the book.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use turnpike_engine::control::endpoints::{DEFAULT_ENDPOINT, EndpointOrder};
use turnpike_store::deliveries::DeliveryState;

use crate::house::{House, quick};
use crate::receiver::{Behaviour, Post, Receiver};

/// Standard Webhooks, worked out here from its specification.
fn standard(secret: &str, post: &Post) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a signing secret")).expect("base64");
    let id = post.header("webhook-id").expect("an id");
    let signed = [id.as_bytes(), b".", post.header("webhook-timestamp").expect("a time").as_bytes(), b".", &post.body].concat();
    format!("v1,{}", STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed)))
}

fn hub(secret: &str, post: &Post) -> String {
    format!("sha256={}", hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &post.body)))
}

#[tokio::test]
async fn a_delivery_is_signed_both_ways_and_names_its_event_and_application() {
    let house = House::new(quick()).await;
    let receiver = Receiver::start(Behaviour::Answer(204, "")).await;
    let made = house.endpoint(receiver.url(), |order| order.headers = Some(vec![("X-Shop".to_owned(), "seven".to_owned())])).await;
    let id = house.event(&house.app("acme"), 1, "hello").await;
    let delivered = house.until(&id, DeliveryState::Delivered).await;
    assert_eq!((delivered.tries, delivered.attempts.expect("asked for")[0].status), (1, Some(204)));
    let post = receiver.posts().remove(0);
    let (secret, bearer) = (made.secret.expect("shown once"), made.bearer.expect("shown once"));
    assert!(post.head.starts_with("POST /hook?from=turnpike HTTP/1.1\r\n"), "{}", post.head);
    assert_eq!(post.text(), "{\"text\":\"hello\"}");
    assert_eq!(post.header("webhook-id"), Some(&*id));
    assert_eq!(post.header("webhook-signature"), Some(&*standard(&secret, &post)));
    assert_eq!(post.header("x-hub-signature-256"), Some(&*hub(&secret, &post)));
    assert_eq!(post.header("authorization"), Some(&*format!("Bearer {bearer}")));
    assert_eq!(post.header("content-type"), Some("application/json"));
    assert_eq!((post.header("x-gateway-event"), post.header("x-gateway-application")), (Some("messages"), Some("acme")));
    assert_eq!((post.header("x-shop"), post.header("x-gateway-mode"), post.header("x-message-id")), (Some("seven"), None, None));
    assert!(post.header("user-agent").is_some_and(|agent| agent.starts_with("Turnpike-Webhook/")));
}

#[tokio::test]
async fn during_a_rotation_both_secrets_sign_and_a_receiver_made_for_meta_still_knows_the_old_one() {
    let house = House::new(quick()).await;
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    let app = house.app("acme");
    let bare = |order: &mut EndpointOrder| {
        order.send_bearer = Some(false);
        order.headers = Some(vec![("User-Agent".to_owned(), "shop".to_owned())]);
    };
    let old = house.endpoint(receiver.url(), bare).await.secret.expect("shown once");
    let new = house.engine.rotate_endpoint(&app, DEFAULT_ENDPOINT, false).await.expect("rotated");
    assert!(new.old_secret_until.is_some() && new.bearer.is_none());
    let new = new.secret.expect("shown once");
    let id = house.event(&app, 1, "hello").await;
    house.until(&id, DeliveryState::Delivered).await;
    let post = receiver.posts().remove(0);
    assert_eq!(post.header("webhook-signature"), Some(&*format!("{} {}", standard(&new, &post), standard(&old, &post))));
    assert_eq!(post.header("x-hub-signature-256"), Some(&*hub(&old, &post)));
    assert_eq!((post.header("authorization"), post.header("user-agent")), (None, Some("shop")), "a name of one's own stays");
}

#[tokio::test]
async fn when_the_overlap_is_over_the_old_secret_signs_no_more() {
    let mut settings = quick();
    settings.rotation_overlap = std::time::Duration::ZERO;
    let house = House::new(settings).await;
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    let app = house.app("acme");
    house.endpoint(receiver.url(), |_| ()).await;
    let new = house.engine.rotate_endpoint(&app, DEFAULT_ENDPOINT, true).await.expect("rotated");
    let id = house.event(&app, 1, "hello").await;
    house.until(&id, DeliveryState::Delivered).await;
    let (post, secret) = (receiver.posts().remove(0), new.secret.expect("shown once"));
    assert_eq!(post.header("webhook-signature"), Some(&*standard(&secret, &post)));
    assert_eq!(post.header("x-hub-signature-256"), Some(&*hub(&secret, &post)));
    assert_eq!(post.header("authorization"), Some(&*format!("Bearer {}", new.bearer.expect("a new one too"))));
}

#[tokio::test]
async fn a_test_event_tells_what_the_endpoint_answered() {
    let house = House::new(quick()).await;
    let receiver = Receiver::start(Behaviour::Answer(418, "")).await;
    let app = house.app("acme");
    house.endpoint(receiver.url(), |_| ()).await;
    let tested = house.engine.test_endpoint(&app, DEFAULT_ENDPOINT).await.expect("tested");
    assert_eq!((tested.ok, tested.status, &*tested.answer, tested.fault), (false, Some(418), "ok", None));
    assert_eq!(receiver.posts()[0].header("webhook-id"), Some(&*tested.event_id));
    receiver.behave(Behaviour::Answer(200, ""));
    assert!(house.engine.test_endpoint(&app, DEFAULT_ENDPOINT).await.expect("tested").ok);
    assert!(house.deliveries(&app, 10).await.is_empty(), "a test is no event");
}
