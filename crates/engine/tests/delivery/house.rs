//! A whole engine on a database of its own, allowed to post to this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::rates::Markup;
use turnpike_domain::refusal::NotSentCause;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, Schedule};
use turnpike_engine::clock::{Clock as _, SystemClock};
use turnpike_engine::control::endpoints::{DEFAULT_ENDPOINT, DeliveryQuery, DeliveryView, EndpointOrder, EndpointView};
use turnpike_engine::delivery::DeliverySettings;
use turnpike_engine::directory::App;
use turnpike_engine::entropy::SystemEntropy;
use turnpike_engine::settings::Settings;
use turnpike_engine::transport::{GraphRequest, GraphResponse, Transport, TransportError};
use turnpike_engine::vault::{MasterKey, Vault};
use turnpike_engine::{Engine, Parts};
use turnpike_store::events::{NewEvent, Recorded};
use turnpike_store::faults::FaultyStore;
use turnpike_store::sqlite::{Options, SqliteStore, Tuning};

/// Meta, whom nobody reaches: these tests send no messages.
struct Nobody;

impl Transport for Nobody {
    fn send<'a>(&'a self, _request: GraphRequest) -> BoxFuture<'a, Result<GraphResponse, TransportError>> {
        Box::pin(async { Err(TransportError::not_sent(NotSentCause::Connect, "nobody is there")) })
    }
}

pub(crate) struct House {
    pub(crate) engine: Arc<Engine>,
    /// The store below, which fails where a test says so.
    pub(crate) faults: Arc<FaultyStore>,
    folder: TempDir,
    settings: Settings,
    events: AtomicU64,
}

/// Seconds become milliseconds: three tries, at once and after 60 ms each.
pub(crate) fn quick() -> DeliverySettings {
    DeliverySettings {
        schedule: Schedule::new(&[60, 60], 0).expect("a schedule"),
        connect_within: Duration::from_millis(500),
        answer_within: Duration::from_millis(700),
        body_within: Duration::from_millis(100),
        breaker_open: Duration::from_millis(100),
        breaker_open_max: Duration::from_millis(200),
        look_every: Duration::from_millis(200),
        stop_within: Duration::from_millis(500),
        ..DeliverySettings::default().allowing_loopback()
    }
}

/// With time enough for a handshake on a machine that does other work.
pub(crate) fn unhurried(settings: DeliverySettings) -> DeliverySettings {
    DeliverySettings { connect_within: Duration::from_secs(20), answer_within: Duration::from_secs(20), ..settings }
}

impl House {
    pub(crate) async fn new(delivery: DeliverySettings) -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings { delivery, ..Settings::default() };
        let (engine, faults) = begin(&folder, &settings).await;
        engine.run();
        let house = House { engine, faults, folder, settings, events: AtomicU64::new(0) };
        house.tenant("acme").await;
        house
    }

    /// Stops, whatever is under way, and starts again on the same folder.
    pub(crate) async fn again(self) -> House {
        let House { engine, faults, folder, settings, events } = self;
        engine.stop(Duration::from_secs(5)).await;
        drop((engine, faults));
        let (engine, faults) = begin(&folder, &settings).await;
        engine.run();
        House { engine, faults, folder, settings, events }
    }

    pub(crate) async fn tenant(&self, name: &str) -> Arc<App> {
        let markup = Markup { factor_ppm: 1_000_000, fixed: Micros::ZERO, base_fee: Micros(1_000) };
        let organization = self.engine.create_organization(name, Currency::USD, markup).await.expect("an organization");
        self.engine.create_application(&organization, name, Some(name)).await.expect("an application")
    }

    pub(crate) fn app(&self, name: &str) -> Arc<App> {
        let state = self.engine.directory().snapshot();
        Arc::clone(&state.applications[&state.by_app_id[name]])
    }

    /// The default endpoint of `acme`, posting to `url`.
    pub(crate) async fn endpoint(&self, url: String, change: impl FnOnce(&mut EndpointOrder)) -> EndpointView {
        let mut order = EndpointOrder { url: Some(url), ..EndpointOrder::default() };
        change(&mut order);
        self.engine.set_endpoint(&self.app("acme"), DEFAULT_ENDPOINT, order).await.expect("an endpoint")
    }

    /// Records an event about a user; the body says which.
    pub(crate) async fn event(&self, app: &App, user: u8, text: &str) -> String {
        self.events(app, &[(user, text.to_owned())]).await.remove(0)
    }

    /// Records events in one commit; returns their `webhook-id`s.
    pub(crate) async fn events(&self, app: &App, events: &[(u8, String)]) -> Vec<String> {
        self.events_of(app, Mode::Live, EventKind::Messages, events).await
    }

    /// Records events of a mode and kind in one commit; returns their `webhook-id`s.
    pub(crate) async fn events_of(&self, app: &App, mode: Mode, kind: EventKind, events: &[(u8, String)]) -> Vec<String> {
        let (organization, application) = (app.row.organization, app.row.key);
        let at = self.engine.clock().now();
        let made = events
            .iter()
            .map(|(user, text)| NewEvent {
                organization,
                application,
                mode,
                kind,
                identity: u128::from(self.events.fetch_add(1, Ordering::SeqCst))
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
                    .to_le_bytes(),
                at,
                user: (*user > 0).then_some([*user; 16]),
                aliases: Vec::new(),
                note: None,
                status: None,
                body: self.engine.seal_event_body(organization, application, format!("{{\"text\":\"{text}\"}}").as_bytes()),
                endpoints: self.engine.endpoints.wanting(application, mode, kind),
                notice: None,
            })
            .collect();
        let recorded = self.engine.record_events(made).await.expect("recorded");
        recorded
            .iter()
            .map(|recorded| match recorded {
                Recorded::New { id, .. } => turnpike_domain::ids::webhook_id(*id),
                other => panic!("a new event, not {other:?}"),
            })
            .collect()
    }

    pub(crate) async fn delivery(&self, event: &str) -> DeliveryView {
        self.engine.delivery_view(&self.app("acme"), event, DEFAULT_ENDPOINT).await.expect("a delivery")
    }

    /// How many milliseconds lie between an event's first attempt and its next.
    pub(crate) async fn wait_after_the_first_try(&self, event: &str) -> i64 {
        let mut waiting = self.delivery(event).await;
        while waiting.tries == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            waiting = self.delivery(event).await;
        }
        let at = |text: &str| UnixMs::parse(text).expect("an instant").0;
        at(&waiting.next_at.expect("it waits")) - at(&waiting.attempts.expect("asked for")[0].at)
    }

    pub(crate) async fn deliveries(&self, app: &App, limit: u32) -> Vec<DeliveryView> {
        self.engine.delivery_views(app, &DeliveryQuery::default(), None, limit).await.expect("deliveries").0
    }

    /// Waits until one of the gateway's own events tells of `what`; returns its text.
    pub(crate) async fn told(&self, app: &App, what: &str) -> String {
        for _ in 0..500 {
            let store = self.engine.store();
            let from = Some(turnpike_store::events::EventKey(0));
            let (events, _) = store.events_after(app.row.organization, app.row.key, from, 1_000).await.expect("events");
            let texts = events.into_iter().filter(|event| event.kind == EventKind::Gateway).filter_map(|event| {
                let body = self.engine.open_event_body(app.row.organization, app.row.key, &event.body?)?;
                String::from_utf8(body).ok()
            });
            if let Some(text) = texts.into_iter().find(|text| text.contains(what)) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody was told of {what}");
    }

    /// Waits until a delivery is in this state.
    pub(crate) async fn until(&self, event: &str, state: turnpike_store::deliveries::DeliveryState) -> DeliveryView {
        for _ in 0..500 {
            let found = self.delivery(event).await;
            if found.state == state {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to {state:?}: {:?}", self.delivery(event).await);
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let begun = now();
    while !is_so() {
        assert!(begun.elapsed() < within, "not in {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

async fn begin(folder: &TempDir, settings: &Settings) -> (Arc<Engine>, Arc<FaultyStore>) {
    let vault = Vault::new(&MasterKey::from_bytes([5; 32]));
    let clock = Arc::new(SystemClock::new());
    let options = Options {
        folder: folder.path().to_owned(),
        erasures_copy: None,
        cipher: vault.message_cipher(),
        now: clock.now(),
        fatal: Arc::new(|reason| panic!("the store died: {reason}")),
        tuning: Tuning::default(),
    };
    let (store, _recovery) = SqliteStore::open(options).expect("the store opens");
    let faults = FaultyStore::new(Arc::new(store));
    let parts = Parts {
        settings: settings.clone(),
        clock,
        entropy: Arc::new(SystemEntropy),
        store: Arc::clone(&faults) as Arc<dyn turnpike_store::Store>,
        vault,
        transport: Arc::new(Nobody),
    };
    (Engine::start(parts).await.expect("the engine starts"), faults)
}
