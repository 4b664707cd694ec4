//! The operator's routes, `/api/v1/operator/…`: what every command of the program calls.
//!
//! Over the data folder's socket nobody is asked for a token, since only the owner of the folder
//! can open it. Over the network the routes exist only where an operator token is configured.
//! A handler names what is asked, makes one call of the engine's `control`, and says how it looks.

mod answer;
mod applications;
mod keys;
mod messages;
mod money;
mod organizations;
mod quarantine;
mod rates;
mod system;
mod templates;
mod users;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;
use turnpike_domain::api_key::OperatorToken;
use turnpike_domain::refusal::Refusal;
use turnpike_engine::Engine;

pub use answer::{Actor, Fault};

use crate::server::Peer;

/// Where the operator's routes begin.
pub const BASE: &str = "/api/v1/operator";

/// The largest body of an operator's request: a rate card's CSV is some 10 KiB.
pub const BODY_MAX: usize = 1024 * 1024;

/// The operator's routes over one engine.
#[derive(Clone)]
pub struct Operator {
    /// The works.
    pub engine: Arc<Engine>,
    /// The token that opens the routes over the network; `None` closes them there.
    pub token: Option<Arc<OperatorToken>>,
    /// What only the program knows: its folder, its configuration's warnings.
    pub machine: Arc<dyn Machine>,
}

/// What the program tells `doctor` about where it runs.
pub trait Machine: Send + Sync {
    /// Checks of the data folder, the disk, the configuration.
    fn checks(&self) -> Vec<Check>;
}

/// One check of `doctor`.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Operator {
    /// Whether a request may use the operator's routes, and as whom.
    ///
    /// # Errors
    /// Not found where the network has no operator's routes, else the authorization's refusal. Wrong
    /// tokens are counted with their address' wrong keys; the right one is let in whatever came before.
    pub fn admit(&self, peer: Option<&Peer>, headers: &HeaderMap) -> Result<Actor, Refusal> {
        let named = headers.get("x-operator").and_then(|value| value.to_str().ok());
        let actor = Actor::new(named);
        if peer == Some(&Peer::Local) {
            return Ok(actor);
        }
        let expected = self.token.as_ref().ok_or(Refusal::NotFound)?;
        let presented = crate::messaging::headers::bearer(headers.get(AUTHORIZATION))?;
        if bool::from(presented.as_bytes().ct_eq(expected.reveal().as_bytes())) {
            Ok(actor)
        } else {
            Err(self.engine.refuse_wrong_key(peer.and_then(Peer::address)))
        }
    }

    /// The routes, behind the question who calls.
    pub fn router(self) -> Router {
        let routes = Router::new()
            .route("/organizations", get(organizations::list).post(organizations::create))
            .route("/organizations/{org}", get(organizations::show).patch(organizations::set_prices))
            .route("/organizations/{org}/wallet", get(money::show))
            .route("/organizations/{org}/wallet/top-up", post(money::top_up))
            .route("/organizations/{org}/wallet/adjust", post(money::adjust))
            .route("/organizations/{org}/wallet/statement", get(money::statement))
            .route("/organizations/{org}/wallet/alert", post(money::alert))
            .route("/organizations/{org}/erase", post(users::erase))
            .route("/organizations/{org}/erasures", get(users::erasures))
            .route("/organizations/{org}/erasures/{id}", get(users::erasure))
            .route("/erasures/carry-out", post(users::carry_out))
            .route("/applications", get(applications::list).post(applications::create))
            .route("/applications/{app}", get(applications::show).patch(applications::change))
            .route("/applications/{app}/connect", post(applications::connect))
            .route("/applications/{app}/suspend", post(applications::suspend))
            .route("/applications/{app}/resume", post(applications::resume))
            .route("/applications/{app}/api-keys", get(keys::list).post(keys::create))
            .route("/applications/{app}/templates", get(templates::list))
            .route("/applications/{app}/templates/sync", post(templates::sync))
            .route("/applications/{app}/webhooks", get(webhooks::list))
            .route("/applications/{app}/webhooks/{name}", get(webhooks::show).post(webhooks::set).delete(webhooks::delete))
            .route("/applications/{app}/webhooks/{name}/rotate", post(webhooks::rotate))
            .route("/applications/{app}/webhooks/{name}/test", post(webhooks::test))
            .route("/applications/{app}/webhooks/{name}/enable", post(webhooks::enable))
            .route("/applications/{app}/webhooks/{name}/disable", post(webhooks::disable))
            .route("/applications/{app}/webhooks/{name}/replay", post(webhooks::replay_range))
            .route("/applications/{app}/deliveries", get(webhooks::deliveries))
            .route("/applications/{app}/deliveries/{event}", get(webhooks::delivery))
            .route("/applications/{app}/deliveries/{event}/replay", post(webhooks::replay))
            .route("/applications/{app}/users/show", post(users::show))
            .route("/applications/{app}/users/note", post(users::note))
            .route("/api-keys/{id}", delete(keys::revoke))
            .route("/api-keys/{id}/rotate", post(keys::rotate))
            .route("/rates", get(rates::show).post(rates::import))
            .route("/rates/preview", post(rates::preview))
            .route("/rates/price", get(rates::price))
            .route("/ledger/verify", post(money::verify))
            .route("/messages", get(messages::list))
            .route("/messages/resolve", post(messages::resolve))
            .route("/messages/refund", post(messages::refund))
            .route("/messages/{*id}", get(messages::show))
            .route("/quarantine", get(quarantine::list))
            .route("/quarantine/{id}", get(quarantine::show))
            .route("/quarantine/{id}/discard", post(quarantine::discard))
            .route("/quarantine/{id}/replay", post(quarantine::replay))
            .route("/doctor", get(system::doctor))
            .route("/backup", post(system::backup))
            .fallback(answer::no_such_route)
            .layer(axum::middleware::from_fn_with_state(self.clone(), to_the_end))
            .layer(axum::middleware::from_fn_with_state(self.clone(), ask_who))
            .with_state(self);
        Router::new().nest(BASE, routes)
    }
}

/// Lets in who may, and notes as whom.
async fn ask_who(
    axum::extract::State(operator): axum::extract::State<Operator>,
    mut request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Result<axum::response::Response, Fault> {
    let actor = operator.admit(request.extensions().get::<Peer>(), request.headers())?;
    request.extensions_mut().insert(actor);
    Ok(next.run(request).await)
}

/// Carries what changes something to its end though its caller hangs up. A handler that stopped
/// between a commit and what sends go by in memory would leave a revoked key in use.
async fn to_the_end(
    axum::extract::State(operator): axum::extract::State<Operator>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match operator.engine.tasks().spawn(next.run(request)).await {
        Ok(response) => response,
        // Nobody aborts it, so it met a bug, which whoever serves the request reports.
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}
