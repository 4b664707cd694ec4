//! Endpoints and deliveries: made, changed, tested, switched, replayed (contract §7).

mod views;

use std::sync::Arc;

use turnpike_domain::ids::{parse_webhook_id, webhook_id};
use turnpike_domain::refusal::FieldFault;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EndpointUrl, EventKind, EventSet, SigningSecret, check_bearer, check_headers, generate_bearer};
use turnpike_store::deliveries::{DeliveryFilter, DeliveryKey, DeliveryState};
use turnpike_store::endpoints::{ENDPOINTS_MAX, Endpoint, EndpointChange, NewEndpoint};
use turnpike_store::organizations::Created;
use uuid::Uuid;

use self::views::Waiting;
pub use self::views::{AttemptView, BacklogView, DeliveryView, EndpointView, OverflowView, Tested};
use super::ControlFault;
use super::organizations::name_fault;
use crate::Engine;
use crate::directory::App;
use crate::endpoints::{KnownEndpoint, read_headers};
use crate::secret::Secret;
use crate::vault::Purpose;

/// The endpoint that is meant where none is named.
pub const DEFAULT_ENDPOINT: &str = "default";
/// Deliveries of one page.
pub const DELIVERIES_PAGE_MAX: u32 = 500;

/// What is to be of an endpoint; `None` keeps, or is the default of a new one.
#[derive(Clone, Debug, Default)]
pub struct EndpointOrder {
    /// Where events are posted; a new endpoint needs it.
    pub url: Option<String>,
    /// What it gets.
    pub events: Option<EventSet>,
    /// The customer's own headers, all of them.
    pub headers: Option<Vec<(String, String)>>,
    /// Whether it also gets sandbox events.
    pub sandbox: Option<bool>,
    /// Whether a user's line waits for a failed event.
    pub ordered: Option<bool>,
    /// Whether `Authorization: Bearer` is sent.
    pub send_bearer: Option<bool>,
    /// A bearer of the customer's own.
    pub bearer: Option<Secret>,
    /// A signing secret of the customer's own (`whsec_…`). For an endpoint that exists it is a
    /// rotation: the one before also signs for a while.
    pub secret: Option<Secret>,
    /// Whether events are posted. Switching on this way posts what was kept; see
    /// [`Engine::enable_endpoint`] for the choice.
    pub is_active: Option<bool>,
}

/// What becomes of events that were kept while an endpoint was off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BacklogChoice {
    /// They are posted now.
    Replay,
    /// They are given up.
    Drop,
}

/// Which deliveries are meant.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    /// The endpoint's name.
    pub endpoint: Option<String>,
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// Only of these kinds.
    pub kinds: Option<EventSet>,
    /// Only of events recorded from then on.
    pub from: Option<UnixMs>,
    /// Only of events recorded before then.
    pub until: Option<UnixMs>,
}

impl Engine {
    /// The endpoint of that name.
    ///
    /// # Errors
    /// Not found.
    pub fn endpoint_named(&self, app: &App, name: &str) -> Result<Arc<KnownEndpoint>, ControlFault> {
        let state = self.endpoints.snapshot();
        let of_app = state.by_application.get(&app.row.key).map(Vec::as_slice).unwrap_or_default();
        let found = of_app.iter().find(|endpoint| endpoint.row.name == name);
        found.cloned().ok_or(ControlFault::NotFound("endpoint"))
    }

    /// An application's endpoints with what waits for each.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn endpoint_views(&self, app: &App) -> Result<Vec<EndpointView>, ControlFault> {
        let state = self.endpoints.snapshot();
        let Some(of_app) = state.by_application.get(&app.row.key) else { return Ok(Vec::new()) };
        let waiting = self.waiting_of(app.row.organization).await?;
        Ok(of_app.iter().map(|endpoint| self.view_endpoint(app, &endpoint.row, &waiting)).collect())
    }

    /// One endpoint with what waits for it.
    ///
    /// # Errors
    /// Not found.
    pub async fn endpoint_view(&self, app: &App, name: &str) -> Result<EndpointView, ControlFault> {
        let endpoint = self.endpoint_named(app, name)?;
        let waiting = self.waiting_of(app.row.organization).await?;
        Ok(self.view_endpoint(app, &endpoint.row, &waiting))
    }

    /// Makes the endpoint of that name, or changes it. The secrets of a new one are in the answer,
    /// this once.
    ///
    /// # Errors
    /// Fields; a rule where the application has as many endpoints as it can.
    pub async fn set_endpoint(&self, app: &App, name: &str, order: EndpointOrder) -> Result<EndpointView, ControlFault> {
        match self.endpoint_named(app, name) {
            Ok(known) => self.change_endpoint(app, &known.row, order).await,
            Err(_) => self.create_endpoint(app, name, order).await,
        }
    }

    async fn create_endpoint(&self, app: &App, name: &str, order: EndpointOrder) -> Result<EndpointView, ControlFault> {
        let mut faults = self.order_faults(&order, order.headers.as_deref().unwrap_or_default(), order.send_bearer.unwrap_or(true));
        faults.extend(name_fault("name", name));
        if order.url.is_none() {
            faults.push(FieldFault::new("url", "must be given for a new endpoint"));
        }
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let at = self.clock.now();
        let id = self.uuid(at);
        let own_secret = order.secret.is_some();
        let own_bearer = order.bearer.is_some();
        let secret = order.secret.unwrap_or_else(|| self.new_signing_secret());
        let bearer = order.bearer.unwrap_or_else(|| self.new_bearer());
        let new = NewEndpoint {
            organization: app.row.organization,
            application: app.row.key,
            id,
            name: name.to_owned(),
            url: order.url.unwrap_or_default(),
            headers_sealed: order.headers.filter(|headers| !headers.is_empty()).map(|headers| self.seal_headers(app, id, &headers)),
            events: order.events.unwrap_or_else(EventSet::of_a_new_endpoint),
            sandbox: order.sandbox.unwrap_or(false),
            ordered: order.ordered.unwrap_or(false),
            send_bearer: order.send_bearer.unwrap_or(true),
            secret_sealed: self.seal_endpoint(app, id, secret.expose().as_bytes()),
            bearer_sealed: self.seal_endpoint(app, id, bearer.expose().as_bytes()),
            at,
        };
        match self.store.create_endpoint(new).await? {
            Created::New(row) => {
                self.follow_a_change().await;
                let mut view = self.view_endpoint(app, &row, &Waiting::default());
                view.secret = (!own_secret).then(|| secret.expose().to_owned());
                view.bearer = (!own_bearer).then(|| bearer.expose().to_owned());
                Ok(view)
            }
            Created::Taken("endpoints") => {
                Err(ControlFault::rule(format!("an application can have {ENDPOINTS_MAX} endpoints; delete one")))
            }
            Created::Taken(field) => Err(ControlFault::Taken(field)),
        }
    }

    async fn change_endpoint(&self, app: &App, row: &Endpoint, order: EndpointOrder) -> Result<EndpointView, ControlFault> {
        let headers = match &order.headers {
            Some(headers) => headers.clone(),
            None => self.opened_headers(row),
        };
        let faults = self.order_faults(&order, &headers, order.send_bearer.unwrap_or(row.send_bearer));
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let at = self.clock.now();
        let change = EndpointChange {
            url: order.url,
            headers_sealed: order.headers.map(|headers| (!headers.is_empty()).then(|| self.seal_headers(app, row.id, &headers))),
            events: order.events,
            sandbox: order.sandbox,
            ordered: order.ordered,
            send_bearer: order.send_bearer,
            secret: order.secret.map(|secret| (self.seal_endpoint(app, row.id, secret.expose().as_bytes()), self.overlap_end(at))),
            bearer_sealed: order.bearer.map(|bearer| self.seal_endpoint(app, row.id, bearer.expose().as_bytes())),
            is_active: order.is_active.filter(|is_active| *is_active != row.is_active),
            ..EndpointChange::default()
        };
        self.update_endpoint(app, row, change).await
    }

    /// Makes a new signing secret, and a new bearer where `with_bearer`. The old secret also signs
    /// for a day; the old bearer ends at once.
    ///
    /// # Errors
    /// Not found.
    pub async fn rotate_endpoint(&self, app: &App, name: &str, with_bearer: bool) -> Result<EndpointView, ControlFault> {
        let known = self.endpoint_named(app, name)?;
        let at = self.clock.now();
        let secret = self.new_signing_secret();
        let bearer = with_bearer.then(|| self.new_bearer());
        let sealed = |secret: &Secret| self.seal_endpoint(app, known.row.id, secret.expose().as_bytes());
        let change = EndpointChange {
            secret: Some((sealed(&secret), self.overlap_end(at))),
            bearer_sealed: bearer.as_ref().map(sealed),
            ..EndpointChange::default()
        };
        let mut view = self.update_endpoint(app, &known.row, change).await?;
        view.secret = Some(secret.expose().to_owned());
        view.bearer = bearer.map(|bearer| bearer.expose().to_owned());
        Ok(view)
    }

    /// Deletes an endpoint with what waits for it.
    ///
    /// # Errors
    /// Not found.
    pub async fn delete_endpoint(&self, app: &App, name: &str) -> Result<(), ControlFault> {
        let known = self.endpoint_named(app, name)?;
        let deleted = self.store.delete_endpoint(app.row.organization, known.row.key).await?;
        self.forget_endpoint(known.row.key).await;
        if deleted { Ok(()) } else { Err(ControlFault::NotFound("endpoint")) }
    }

    /// Posts events again; what was kept meanwhile is posted now or given up.
    ///
    /// # Errors
    /// Not found.
    pub async fn enable_endpoint(&self, app: &App, name: &str, backlog: BacklogChoice) -> Result<EndpointView, ControlFault> {
        let known = self.endpoint_named(app, name)?;
        let (organization, key) = (app.row.organization, known.row.key);
        match backlog {
            // Before it is switched on, so that nothing of it is posted in between.
            BacklogChoice::Drop => drop(self.store.drop_backlog(organization, key).await?),
            BacklogChoice::Replay => {
                let filter = DeliveryFilter { endpoint: Some(key), state: Some(DeliveryState::Pending), ..DeliveryFilter::default() };
                self.store.replay_range(organization, app.row.key, filter, self.clock.now()).await?;
            }
        }
        let view = self.update_endpoint(app, &known.row, EndpointChange { is_active: Some(true), ..EndpointChange::default() }).await?;
        self.replay_hint(key);
        Ok(view)
    }

    /// Keeps events and posts none.
    ///
    /// # Errors
    /// Not found.
    pub async fn disable_endpoint(&self, app: &App, name: &str) -> Result<EndpointView, ControlFault> {
        let known = self.endpoint_named(app, name)?;
        self.update_endpoint(app, &known.row, EndpointChange { is_active: Some(false), ..EndpointChange::default() }).await
    }

    /// Posts a test event now, beside everything that waits, and tells what the endpoint answered.
    /// It is no event of the application: nothing of it is kept.
    ///
    /// # Errors
    /// Not found; a rule where the endpoint cannot be posted to.
    pub async fn test_endpoint(&self, app: &App, name: &str) -> Result<Tested, ControlFault> {
        let known = self.endpoint_named(app, name)?;
        let now = self.clock.now();
        let id = self.uuid(now);
        let body = serde_json::json!({
            "object": "turnpike",
            "entry": [{
                "id": app.row.app_id,
                "time": now.0.div_euclid(1_000),
                "changes": [{"field": "test", "value": {"endpoint_id": known.row.id, "name": known.row.name}}],
            }],
        });
        let tried = self
            .try_endpoint(&known, id, EventKind::Gateway, Mode::Live, None, body.to_string().as_bytes())
            .await
            .map_err(ControlFault::rule)?;
        let attempt = tried.attempt;
        Ok(Tested {
            event_id: webhook_id(id),
            ok: attempt.status.is_some_and(|status| (200..300).contains(&status)),
            status: attempt.status,
            fault: attempt.fault,
            latency_ms: attempt.latency_ms,
            answer: attempt.answer,
        })
    }

    /// Deliveries of an application, newest first, and the place where the next page begins. There may
    /// be one though this page is not full: a call looks at so many events and no more.
    ///
    /// # Errors
    /// Not found, where an endpoint is named that is not there.
    pub async fn delivery_views(
        &self,
        app: &App,
        query: &DeliveryQuery,
        before: Option<DeliveryKey>,
        limit: u32,
    ) -> Result<(Vec<DeliveryView>, Option<DeliveryKey>), ControlFault> {
        let filter = self.delivery_filter(app, query)?;
        let limit = limit.clamp(1, DELIVERIES_PAGE_MAX);
        let page = self.store.deliveries(app.row.organization, app.row.key, filter, before, limit).await?;
        Ok((page.deliveries.into_iter().map(|record| self.view_delivery(record, false)).collect(), page.next))
    }

    /// One delivery with its attempts; `event` is a `webhook-id` or its UUID.
    ///
    /// # Errors
    /// Not found.
    pub async fn delivery_view(&self, app: &App, event: &str, endpoint: &str) -> Result<DeliveryView, ControlFault> {
        let known = self.endpoint_named(app, endpoint)?;
        let event = parse_webhook_id(event).ok_or(ControlFault::NotFound("delivery"))?;
        let record = self.store.delivery(app.row.organization, event, known.row.key).await?;
        record.map(|record| self.view_delivery(record, true)).ok_or(ControlFault::NotFound("delivery"))
    }

    /// Sends one event again now, with a whole schedule.
    ///
    /// # Errors
    /// Not found: no such delivery, or its bytes are kept no longer.
    pub async fn replay_delivery(&self, app: &App, event: &str, endpoint: &str) -> Result<(), ControlFault> {
        let known = self.endpoint_named(app, endpoint)?;
        let event = parse_webhook_id(event).ok_or(ControlFault::NotFound("delivery"))?;
        if !self.store.replay(app.row.organization, event, known.row.key, self.clock.now()).await? {
            return Err(ControlFault::NotFound("delivery"));
        }
        self.replay_hint(known.row.key);
        Ok(())
    }

    /// Sends all that the query names again; also events that the endpoint never got, as long as
    /// they are kept and no state is named. Returns how many.
    ///
    /// # Errors
    /// Not found; fields.
    pub async fn replay_deliveries(&self, app: &App, endpoint: &str, query: &DeliveryQuery) -> Result<u64, ControlFault> {
        if query.from.is_none() && query.state.is_none() {
            return Err(ControlFault::field("from", "must be given where no state is: all events since then are sent again"));
        }
        let query = DeliveryQuery { endpoint: Some(endpoint.to_owned()), ..query.clone() };
        let filter = self.delivery_filter(app, &query)?;
        let replayed = self.store.replay_range(app.row.organization, app.row.key, filter, self.clock.now()).await?;
        if let Some(endpoint) = filter.endpoint {
            self.replay_hint(endpoint);
        }
        Ok(replayed)
    }

    fn delivery_filter(&self, app: &App, query: &DeliveryQuery) -> Result<DeliveryFilter, ControlFault> {
        let endpoint = match &query.endpoint {
            Some(name) => Some(self.endpoint_named(app, name)?.row.key),
            None => None,
        };
        Ok(DeliveryFilter { endpoint, state: query.state, kinds: query.kinds, from: query.from, until: query.until })
    }

    async fn update_endpoint(&self, app: &App, row: &Endpoint, change: EndpointChange) -> Result<EndpointView, ControlFault> {
        let changed = self.store.update_endpoint(app.row.organization, row.key, change, self.clock.now()).await?;
        self.follow_a_change().await;
        let row = changed.ok_or(ControlFault::NotFound("endpoint"))?;
        let waiting = self.waiting_of(app.row.organization).await?;
        Ok(self.view_endpoint(app, &row, &waiting))
    }

    /// Reads the endpoints anew after a change. It is committed, and its answer may hold a secret that is
    /// shown this once, so a reading that fails is not the caller's: it is made again within seconds.
    async fn follow_a_change(&self) {
        if let Err(error) = self.reload_endpoints().await {
            tracing::warn!(error = %error, "reading the endpoints anew; it is tried again");
        }
    }

    /// Every fault of an order; `headers` and `sends_bearer` are what they will be after it.
    fn order_faults(&self, order: &EndpointOrder, headers: &[(String, String)], sends_bearer: bool) -> Vec<FieldFault> {
        let mut faults = Vec::new();
        if let Some(url) = &order.url {
            faults.extend(EndpointUrl::parse(url, &self.settings.delivery.urls).err());
        }
        if order.events.is_some_and(|events| events == EventSet::default()) {
            faults.push(FieldFault::new("events", "must name at least one event"));
        }
        if order.headers.is_some() || order.send_bearer.is_some() {
            faults.extend(check_headers(headers, sends_bearer).err().unwrap_or_default());
        }
        if let Some(bearer) = &order.bearer {
            faults.extend(check_bearer(bearer.expose()).err().map(|problem| FieldFault::new("bearer", problem)));
        }
        if let Some(secret) = &order.secret {
            faults.extend(SigningSecret::parse(secret.expose()).err().map(|problem| FieldFault::new("secret", problem)));
        }
        faults
    }

    fn overlap_end(&self, at: UnixMs) -> UnixMs {
        at.plus_ms(i64::try_from(self.settings.delivery.rotation_overlap.as_millis()).unwrap_or(i64::MAX))
    }

    fn new_signing_secret(&self) -> Secret {
        let mut random = zeroize::Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *random);
        Secret::new(SigningSecret::generate(&random).as_str().to_owned())
    }

    fn new_bearer(&self) -> Secret {
        let mut random = zeroize::Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *random);
        Secret::new(generate_bearer(&random))
    }

    fn seal_endpoint(&self, app: &App, id: Uuid, bytes: &[u8]) -> Vec<u8> {
        self.vault.seal(Purpose::Endpoint, app.row.organization, id.as_bytes(), bytes, &*self.entropy)
    }

    fn seal_headers(&self, app: &App, id: Uuid, headers: &[(String, String)]) -> Vec<u8> {
        let json = serde_json::to_vec(headers).expect("pairs of texts are JSON");
        self.seal_endpoint(app, id, &json)
    }

    fn opened_headers(&self, row: &Endpoint) -> Vec<(String, String)> {
        let sealed = row.headers_sealed.as_deref();
        let opened = sealed.and_then(|sealed| self.vault.open(Purpose::Endpoint, row.organization, row.id.as_bytes(), sealed).ok());
        opened.and_then(|json| read_headers(std::str::from_utf8(&json).ok()?).ok()).unwrap_or_default()
    }
}
