//! Whose callback is called: over https, of a number, of its account, of the app.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use turnpike_simulator::{Config, Handshake, Number, Simulator, StartError, Timing};

use crate::client::{Answer, call, call_with, start, text_to};
use crate::receiver::{Receiver, SECRET, TOKEN};
use crate::webhooks::send;

/// A callback with a certificate of a private authority, and that authority's (PEM).
async fn private_receiver() -> (Receiver, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows today's versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate and its key");
    (Receiver::start_tls(TlsAcceptor::from(Arc::new(config))).await, made.cert.pem())
}

fn at_once() -> Config {
    Config { timing: Timing::AT_ONCE, ..Config::default() }
}

#[tokio::test]
async fn a_private_certificate_is_refused_until_its_authority_is_named() {
    let (receiver, pem) = private_receiver().await;
    let simulator = start(at_once()).await;
    let report = simulator.subscribe(receiver.subscription()).await.expect("a URL that can be called");
    assert!(matches!(&report.handshake, Handshake::Failed { problem } if problem.contains("TLS")), "{:?}", report.handshake);
    assert!(simulator.trust(b"no PEM").is_err());
    simulator.trust(pem.as_bytes()).expect("a certificate");
    let report = simulator.subscribe(receiver.subscription()).await.expect("a URL that can be called");
    assert_eq!(report.handshake, Handshake::Verified);
    send(&simulator, &text_to("905321234567")).await;
    assert!(simulator.settled().await);
    let mut words = receiver.status_words();
    words.sort();
    assert_eq!(words, ["delivered", "read", "sent"]);
    assert!(receiver.posts().iter().all(|post| post.is_signed_with(SECRET)));
}

#[tokio::test]
async fn an_authority_may_come_with_the_configuration_and_is_good_for_graphs_own_calls() {
    let (receiver, pem) = private_receiver().await;
    let simulator = start(Config { webhook_roots_pem: vec![pem.into_bytes()], app_secret: None, ..at_once() }).await;
    assert_eq!(subscribe_app(&simulator, &receiver).await.status, 200);
    let broken = Simulator::start(Config { webhook_roots_pem: vec![b"x".to_vec()], ..Config::default() }).await;
    let Err(StartError::Config(problem)) = broken else { panic!("it holds no certificate") };
    assert!(problem.contains("webhook_roots_pem[0]"), "{problem}");
}

/// `POST /{app}/subscriptions`, as an app does it.
async fn subscribe_app(simulator: &Simulator, receiver: &Receiver) -> Answer {
    let body = json!({"object": "whatsapp_business_account", "callback_url": receiver.url(), "verify_token": TOKEN, "fields": "messages"});
    let token = format!("authorization: Bearer 77|{SECRET}\r\n");
    call_with(simulator.address(), "POST", "/v23.0/77/subscriptions", &token, Some(&body)).await
}

async fn configure(simulator: &Simulator, path: &str, body: &Value) -> Answer {
    call(simulator.address(), "POST", path, Some(body)).await
}

/// Sends from a number and gives which of the callbacks were told.
async fn told(simulator: &Simulator, number: &str, receivers: &[&Receiver]) -> Vec<usize> {
    receivers.iter().for_each(|receiver| receiver.forget());
    let sent = call(simulator.address(), "POST", &format!("/v23.0/{number}/messages"), Some(&text_to("905321234567"))).await;
    assert_eq!(sent.status, 200);
    assert!(simulator.advance(Duration::from_secs(1)).await);
    (0..receivers.len()).filter(|n| !receivers[*n].statuses().is_empty()).collect()
}

#[tokio::test]
async fn a_numbers_callback_goes_before_its_accounts_and_that_before_the_apps() {
    let (app, account, own) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let all = [&app, &account, &own];
    let number = |id: &str| Number { id: id.to_owned(), waba_id: "2001".to_owned() };
    let simulator = start(Config { numbers: vec![number("1001"), number("1002")], ..at_once() }).await;
    assert_eq!(subscribe_app(&simulator, &app).await.status, 200);
    assert_eq!(told(&simulator, "1001", &all).await, [0]);
    let override_of = |receiver: &Receiver| json!({"override_callback_uri": receiver.url(), "verify_token": TOKEN});
    assert_eq!(configure(&simulator, "/v23.0/2001/subscribed_apps", &override_of(&account)).await.status, 200);
    assert_eq!(told(&simulator, "1001", &all).await, [1]);
    let of_number = json!({"webhook_configuration": override_of(&own)});
    let answer = configure(&simulator, "/v23.0/1001", &of_number).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"success": true})));
    assert_eq!(told(&simulator, "1001", &all).await, [2]);
    assert_eq!(told(&simulator, "1002", &all).await, [1], "another number of the account");

    let shown = call(simulator.address(), "GET", "/v23.0/1001?fields=webhook_configuration", None).await.json();
    let expected = json!({"phone_number": own.url(), "whatsapp_business_account": account.url(), "application": app.url()});
    assert_eq!(shown, json!({"id": "1001", "webhook_configuration": expected}));

    let without = configure(&simulator, "/v23.0/1001", &json!({"webhook_configuration": {"override_callback_uri": ""}})).await;
    assert_eq!(without.status, 200);
    assert_eq!(told(&simulator, "1001", &all).await, [1]);
}

#[tokio::test]
async fn a_numbers_callback_must_pass_the_handshake_and_be_whole() {
    let (app, own) = (Receiver::start().await, Receiver::start().await);
    let simulator = start(at_once()).await;
    assert_eq!(subscribe_app(&simulator, &app).await.status, 200);
    let wrong = json!({"webhook_configuration": {"override_callback_uri": own.url(), "verify_token": "another"}});
    let answer = configure(&simulator, "/v23.0/1001", &wrong).await;
    assert_eq!((answer.status, answer.code()), (400, 2_200));
    for body in [
        json!({"webhook_configuration": {"override_callback_uri": own.url()}}),
        json!({"webhook_configuration": {"verify_token": TOKEN}}),
        json!({"webhook_configuration": 7}),
    ] {
        let answer = configure(&simulator, "/v23.0/1001", &body).await;
        assert_eq!((answer.status, answer.code()), (400, 100), "{body}");
    }
    assert_eq!(told(&simulator, "1001", &[&app, &own]).await, [0]);
}

/// From now to the 15th of a month in which service messages are charged, whatever day the test is
/// run on.
fn until_mid_month_of_those_prices(now: Timestamp) -> Duration {
    let first: Timestamp = "2026-10-01T00:00:00Z".parse().expect("a time");
    let month = now.max(first).to_zoned(TimeZone::UTC).date().first_of_month().checked_add(1.month()).expect("there is a next one");
    let day = month.checked_add(14.days()).and_then(|day| day.to_zoned(TimeZone::UTC)).expect("a day");
    Duration::try_from(day.timestamp().duration_since(now)).expect("it is to come")
}

#[tokio::test]
async fn the_free_service_messages_of_a_month_are_so_many_and_only_where_asked_for() {
    for (free, expected) in [(0, [true, true, true]), (2, [false, false, true])] {
        let receiver = Receiver::start().await;
        let simulator = start(Config { free_service_messages: free, ..at_once() }).await;
        simulator.subscribe(receiver.subscription()).await.expect("a URL that can be called");
        simulator.advance(until_mid_month_of_those_prices(simulator.clock().now)).await;
        for (n, billable) in expected.into_iter().enumerate() {
            receiver.forget();
            send(&simulator, &text_to(&format!("90532123456{n}"))).await;
            assert!(simulator.settled().await);
            let priced: Vec<Value> = receiver.statuses().into_iter().filter(|status| status.get("pricing").is_some()).collect();
            assert_eq!(priced.len(), 2, "sent and delivered");
            for status in priced {
                let kind = if billable { "regular" } else { "free_customer_service" };
                let pricing = json!({"billable": billable, "pricing_model": "PMP", "type": kind, "category": "service"});
                assert_eq!(status["pricing"], pricing, "{free} free, message {n}");
            }
        }
    }
}
