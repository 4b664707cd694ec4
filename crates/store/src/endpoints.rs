//! Endpoints: where a customer's events go, and whether they get there.

use serde::Serialize;
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::EventSet;
use uuid::Uuid;

use crate::Answer;
use crate::organizations::Created;

/// An endpoint, as the store counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EndpointId(pub i64);

/// Endpoints that one application can have; a delivery's key has room for as many.
pub const ENDPOINTS_MAX: u8 = 16;

/// An endpoint. Its secrets and headers are sealed; only the engine opens them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The store's key of it.
    #[serde(skip)]
    pub key: EndpointId,
    /// The organization that owns it.
    #[serde(skip)]
    pub organization: OrganizationId,
    /// Its application.
    #[serde(skip)]
    pub application: ApplicationId,
    /// Which of its application's, from 0; never changes, and is free again once it is deleted.
    #[serde(skip)]
    pub slot: u8,
    /// Its UUID.
    pub id: Uuid,
    /// Its name, unique in its application; the first is `default`.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// The customer's own headers as JSON, sealed.
    #[serde(skip)]
    pub headers_sealed: Option<Vec<u8>>,
    /// What it asked for.
    pub events: EventSet,
    /// Whether it also gets sandbox events.
    pub sandbox: bool,
    /// Whether a user's line waits for a failed event (contract §7).
    pub ordered: bool,
    /// Whether `Authorization: Bearer` is sent.
    pub send_bearer: bool,
    /// The signing secret (`whsec_…`), sealed.
    #[serde(skip)]
    pub secret_sealed: Vec<u8>,
    /// The one before, which also signs until then.
    #[serde(skip)]
    pub old_secret_sealed: Option<(Vec<u8>, UnixMs)>,
    /// The bearer, sealed.
    #[serde(skip)]
    pub bearer_sealed: Vec<u8>,
    /// Whether events are posted now. Off keeps them.
    pub is_active: bool,
    /// Why it was switched off by the gateway: `410`, or days of failures.
    pub disabled_reason: Option<String>,
    /// Since when every attempt failed.
    pub failing_since: Option<UnixMs>,
    /// Attempts since then.
    pub failures: u32,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
}

/// What a new endpoint needs.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// Its owner.
    pub organization: OrganizationId,
    /// Its application.
    pub application: ApplicationId,
    /// Its UUID.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// See [`Endpoint::headers_sealed`].
    pub headers_sealed: Option<Vec<u8>>,
    /// What it asked for.
    pub events: EventSet,
    /// See [`Endpoint::sandbox`].
    pub sandbox: bool,
    /// See [`Endpoint::ordered`].
    pub ordered: bool,
    /// See [`Endpoint::send_bearer`].
    pub send_bearer: bool,
    /// See [`Endpoint::secret_sealed`].
    pub secret_sealed: Vec<u8>,
    /// See [`Endpoint::bearer_sealed`].
    pub bearer_sealed: Vec<u8>,
    /// Now.
    pub at: UnixMs,
}

/// The fields of an endpoint that change; `None` leaves one as it is.
#[derive(Clone, Debug, Default)]
pub struct EndpointChange {
    /// See [`Endpoint::url`].
    pub url: Option<String>,
    /// See [`Endpoint::headers_sealed`].
    pub headers_sealed: Option<Option<Vec<u8>>>,
    /// See [`Endpoint::events`].
    pub events: Option<EventSet>,
    /// See [`Endpoint::sandbox`].
    pub sandbox: Option<bool>,
    /// See [`Endpoint::ordered`].
    pub ordered: Option<bool>,
    /// See [`Endpoint::send_bearer`].
    pub send_bearer: Option<bool>,
    /// A new signing secret; the old one also signs until the instant.
    pub secret: Option<(Vec<u8>, UnixMs)>,
    /// See [`Endpoint::bearer_sealed`].
    pub bearer_sealed: Option<Vec<u8>>,
    /// See [`Endpoint::is_active`]; switching on forgets reason and failures.
    pub is_active: Option<bool>,
    /// Switches it off with this reason and leaves a notice.
    pub disabled: Option<String>,
    /// Since when it fails, and how often; `Some(None)` after a success.
    pub failing: Option<Option<(UnixMs, u32)>>,
    /// Leaves a notice that it has failed for a day.
    pub failing_notice: bool,
}

/// Reads and writes of endpoints.
pub trait Endpoints {
    /// Makes one; `Taken` names `name` where the application has one of that name, `endpoints`
    /// where it has [`ENDPOINTS_MAX`].
    fn create_endpoint(&self, new: NewEndpoint) -> Answer<'_, Created<Endpoint>>;
    /// All endpoints of all organizations: the engine keeps them in memory.
    fn endpoints(&self) -> Answer<'_, Vec<Endpoint>>;
    /// Changes one; `None` where the organization has none of that key.
    fn update_endpoint(
        &self,
        organization: OrganizationId,
        endpoint: EndpointId,
        change: EndpointChange,
        at: UnixMs,
    ) -> Answer<'_, Option<Endpoint>>;
    /// Deletes one with its pending deliveries; false where the organization has none of that key.
    fn delete_endpoint(&self, organization: OrganizationId, endpoint: EndpointId) -> Answer<'_, bool>;
}
