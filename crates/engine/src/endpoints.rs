//! All endpoints in memory, opened: what an event must know to find its endpoints, and what an
//! attempt needs of one.
//!
//! Read on every event, written by people now and then, so the whole book is one immutable value
//! that a write replaces, like the directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use http::{HeaderName, HeaderValue, header};
use turnpike_domain::ids::ApplicationId;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EndpointUrl, EventKind, SigningSecret, UrlRules};
use turnpike_store::StoreError;
use turnpike_store::endpoints::{Endpoint, EndpointId};

use crate::Engine;
use crate::net::hooks::Outgoing;
use crate::secret::Secret;
use crate::vault::{Purpose, Vault};

/// An endpoint with its secrets opened.
#[derive(Debug)]
pub struct KnownEndpoint {
    /// As stored.
    pub row: Endpoint,
    /// Its name at Turnpike's: the application's public one.
    pub app_id: Arc<str>,
    /// Where and how to post; or why that is not possible, in a few words.
    pub way: Result<Way, String>,
}

/// What a post to an endpoint needs.
#[derive(Clone, Debug)]
pub struct Way {
    /// Its URL, checked when the book was made.
    pub url: Arc<EndpointUrl>,
    /// How every request to it begins: the customer's own headers, the bearer where it is sent, and
    /// what is the same of every delivery.
    pub head: Outgoing,
    /// The signing secret.
    pub secret: SigningSecret,
    /// The one before, and until when it also signs.
    pub old_secret: Option<(SigningSecret, UnixMs)>,
}

/// All endpoints, as of the last write.
#[derive(Debug, Default)]
pub struct EndpointBook {
    state: ArcSwap<State>,
    /// How often it was asked to be read anew.
    asked: AtomicU64,
    /// Held from reading the store to replacing the book, so that no older book replaces a newer; how
    /// many of those askings had come when the last reading that succeeded began.
    read_for: tokio::sync::Mutex<u64>,
}

/// One moment of the book.
#[derive(Debug, Default)]
pub struct State {
    /// By key.
    pub by_key: HashMap<EndpointId, Arc<KnownEndpoint>>,
    /// Of each application, by slot.
    pub by_application: HashMap<ApplicationId, Vec<Arc<KnownEndpoint>>>,
}

impl EndpointBook {
    /// The endpoints of an application that get an event of this mode and kind, also those that are
    /// switched off: their events are kept.
    #[must_use]
    pub fn wanting(&self, application: ApplicationId, mode: Mode, kind: EventKind) -> Vec<EndpointId> {
        let state = self.state.load();
        let Some(endpoints) = state.by_application.get(&application) else { return Vec::new() };
        let wants = |row: &Endpoint| row.events.wants(kind) && (mode != Mode::Sandbox || row.sandbox);
        endpoints.iter().filter(|endpoint| wants(&endpoint.row)).map(|endpoint| endpoint.row.key).collect()
    }

    /// One endpoint.
    #[must_use]
    pub fn endpoint(&self, key: EndpointId) -> Option<Arc<KnownEndpoint>> {
        self.state.load().by_key.get(&key).cloned()
    }

    /// All of them.
    #[must_use]
    pub fn snapshot(&self) -> Arc<State> {
        self.state.load_full()
    }
}

impl Engine {
    /// Reads all endpoints anew: after every write to one. Those who ask while one reading goes on
    /// share the next: endpoints that fail together are written together, minute by minute.
    ///
    /// # Errors
    /// The store's silence; the book stays as it was.
    pub(crate) async fn reload_endpoints(&self) -> Result<(), StoreError> {
        let asked = self.endpoints.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut read_for = self.endpoints.read_for.lock().await;
        if *read_for >= asked {
            // It began after our write, so it has seen it.
            return Ok(());
        }
        let asked_by_now = self.endpoints.asked.load(Ordering::SeqCst);
        let before = self.endpoints.snapshot();
        let mut state = State::default();
        for row in self.store.endpoints().await? {
            let app_id = self.directory.application(row.application).map_or_else(|| Arc::from(""), |app| Arc::from(&*app.row.app_id));
            let known = match before.by_key.get(&row.key) {
                Some(known) if known.row == row && known.app_id == app_id => Arc::clone(known),
                // How an endpoint fares is written often, and to open secrets costs more than the rest.
                Some(known) if opens_alike(&known.row, &row) => Arc::new(KnownEndpoint { row, app_id, way: known.way.clone() }),
                _ => {
                    let way = open(&self.vault, &self.settings.delivery.urls, &row);
                    if let Err(problem) = &way {
                        tracing::error!(endpoint.id = %row.id, problem, "an endpoint cannot be posted to; its events are kept");
                    }
                    Arc::new(KnownEndpoint { row, app_id, way })
                }
            };
            state.by_application.entry(known.row.application).or_default().push(Arc::clone(&known));
            state.by_key.insert(known.row.key, known);
        }
        self.endpoints.state.store(Arc::new(state));
        *read_for = asked_by_now;
        self.delivery.look_again();
        Ok(())
    }

    /// Reads them again where a reading failed after a write.
    ///
    /// # Errors
    /// As [`Engine::reload_endpoints`].
    pub(crate) async fn catch_up_with_endpoints(&self) -> Result<(), StoreError> {
        let is_in_doubt = *self.endpoints.read_for.lock().await < self.endpoints.asked.load(Ordering::SeqCst);
        if is_in_doubt { self.reload_endpoints().await } else { Ok(()) }
    }

    /// Takes a deleted endpoint out of the book. It needs no reading of the store, so nothing can keep
    /// it from being known at once.
    pub(crate) async fn forget_endpoint(&self, key: EndpointId) {
        // A reading that began before the deletion has ended then; a later one does not find it.
        let _alone = self.endpoints.read_for.lock().await;
        let before = self.endpoints.snapshot();
        let mut state = State { by_key: before.by_key.clone(), by_application: before.by_application.clone() };
        if let Some(known) = state.by_key.remove(&key)
            && let Some(of_app) = state.by_application.get_mut(&known.row.application)
        {
            of_app.retain(|endpoint| endpoint.row.key != key);
        }
        self.endpoints.state.store(Arc::new(state));
        self.delivery.look_again();
    }
}

/// Whether [`open`] makes the same of both.
fn opens_alike(one: &Endpoint, other: &Endpoint) -> bool {
    let opened = |row: &Endpoint| Endpoint {
        events: one.events,
        sandbox: one.sandbox,
        ordered: one.ordered,
        is_active: one.is_active,
        disabled_reason: None,
        failing_since: None,
        failures: 0,
        updated_at: one.updated_at,
        ..row.clone()
    };
    opened(one) == opened(other)
}

fn open(vault: &Vault, rules: &UrlRules, row: &Endpoint) -> Result<Way, String> {
    let text = |what: &str, sealed: &[u8]| {
        let opened = vault.open(Purpose::Endpoint, row.organization, row.id.as_bytes(), sealed);
        let opened = opened.map_err(|_| format!("its {what} cannot be opened with this master key"))?;
        String::from_utf8(opened).map(Secret::new).map_err(|_| format!("its {what} is no text"))
    };
    let secret = |sealed: &[u8]| SigningSecret::parse(text("signing secret", sealed)?.expose()).map_err(str::to_owned);
    let url = EndpointUrl::parse(&row.url, rules).map_err(|fault| format!("its URL {}", fault.problem))?;
    let headers = match &row.headers_sealed {
        Some(sealed) => read_headers(text("headers", sealed)?.expose())?,
        None => Vec::new(),
    };
    let bearer = match row.send_bearer {
        true => Some(text("bearer", &row.bearer_sealed)?),
        false => None,
    };
    Ok(Way {
        head: head(&url, &headers, bearer.as_ref())?,
        url: Arc::new(url),
        secret: secret(&row.secret_sealed)?,
        old_secret: match &row.old_secret_sealed {
            Some((sealed, until)) => Some((secret(sealed)?, *until)),
            None => None,
        },
    })
}

const USER_AGENT: &str = concat!("Turnpike-Webhook/", env!("CARGO_PKG_VERSION"));

/// What every request to an endpoint begins with.
fn head(url: &EndpointUrl, headers: &[(String, String)], bearer: Option<&Secret>) -> Result<Outgoing, String> {
    let unusable = || "its headers cannot be sent".to_owned();
    let mut head = Outgoing::to(url);
    let mut has_agent = false;
    for (name, value) in headers {
        let name = HeaderName::try_from(&**name).map_err(|_| unusable())?;
        let value = HeaderValue::try_from(&**value).map_err(|_| unusable())?;
        // A name of the customer's own stays; the bearer stands where it is sent.
        has_agent |= name == header::USER_AGENT;
        if name != header::AUTHORIZATION || bearer.is_none() {
            head.header(name.as_str(), value.as_bytes());
        }
    }
    head.header("Content-Type", b"application/json");
    if !has_agent {
        head.header("User-Agent", USER_AGENT.as_bytes());
    }
    if let Some(bearer) = bearer {
        let value = HeaderValue::try_from(format!("Bearer {}", bearer.expose())).map_err(|_| "its bearer is no header".to_owned())?;
        head.header("Authorization", value.as_bytes());
    }
    Ok(head)
}

/// Headers as they are sealed: a JSON list of pairs, in the customer's order.
pub(crate) fn read_headers(json: &str) -> Result<Vec<(String, String)>, String> {
    serde_json::from_str(json).map_err(|_| "its headers are unreadable".to_owned())
}
