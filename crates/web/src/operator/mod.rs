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
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, patch, post};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
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
        let routes = table()
            .router
            .fallback(answer::no_such_route)
            .layer(axum::middleware::from_fn_with_state(self.clone(), to_the_end))
            .layer(axum::middleware::from_fn_with_state(self.clone(), ask_who))
            .with_state(self);
        Router::new().nest(BASE, routes)
    }
}

/// Every operator's route: method and path, in which `{…}` stands for one part and `{*…}` for all that
/// is left.
#[must_use]
pub fn routes() -> Vec<(Method, String)> {
    table().list.into_iter().map(|(method, path)| (method, format!("{BASE}{path}"))).collect()
}

/// The table of the routes.
fn table() -> Table {
    Table::default()
        .get("/organizations", organizations::list)
        .post("/organizations", organizations::create)
        .get("/organizations/{org}", organizations::show)
        .patch("/organizations/{org}", organizations::set_prices)
        .get("/organizations/{org}/wallet", money::show)
        .post("/organizations/{org}/wallet/top-up", money::top_up)
        .post("/organizations/{org}/wallet/adjust", money::adjust)
        .get("/organizations/{org}/wallet/statement", money::statement)
        .post("/organizations/{org}/wallet/alert", money::alert)
        .post("/organizations/{org}/erase", users::erase)
        .get("/organizations/{org}/erasures", users::erasures)
        .get("/organizations/{org}/erasures/{id}", users::erasure)
        .post("/erasures/carry-out", users::carry_out)
        .get("/applications", applications::list)
        .post("/applications", applications::create)
        .get("/applications/{app}", applications::show)
        .patch("/applications/{app}", applications::change)
        .post("/applications/{app}/connect", applications::connect)
        .post("/applications/{app}/suspend", applications::suspend)
        .post("/applications/{app}/resume", applications::resume)
        .get("/applications/{app}/api-keys", keys::list)
        .post("/applications/{app}/api-keys", keys::create)
        .get("/applications/{app}/templates", templates::list)
        .post("/applications/{app}/templates/sync", templates::sync)
        .get("/applications/{app}/webhooks", webhooks::list)
        .get("/applications/{app}/webhooks/{name}", webhooks::show)
        .post("/applications/{app}/webhooks/{name}", webhooks::set)
        .delete("/applications/{app}/webhooks/{name}", webhooks::delete)
        .post("/applications/{app}/webhooks/{name}/rotate", webhooks::rotate)
        .post("/applications/{app}/webhooks/{name}/test", webhooks::test)
        .post("/applications/{app}/webhooks/{name}/enable", webhooks::enable)
        .post("/applications/{app}/webhooks/{name}/disable", webhooks::disable)
        .post("/applications/{app}/webhooks/{name}/replay", webhooks::replay_range)
        .get("/applications/{app}/deliveries", webhooks::deliveries)
        .get("/applications/{app}/deliveries/{event}", webhooks::delivery)
        .post("/applications/{app}/deliveries/{event}/replay", webhooks::replay)
        .post("/applications/{app}/users/show", users::show)
        .post("/applications/{app}/users/note", users::note)
        .delete("/api-keys/{id}", keys::revoke)
        .post("/api-keys/{id}/rotate", keys::rotate)
        .get("/rates", rates::show)
        .post("/rates", rates::import)
        .post("/rates/preview", rates::preview)
        .get("/rates/price", rates::price)
        .post("/ledger/verify", money::verify)
        .get("/messages", messages::list)
        .post("/messages/resolve", messages::resolve)
        .post("/messages/refund", messages::refund)
        .get("/messages/{*id}", messages::show)
        .get("/quarantine", quarantine::list)
        .get("/quarantine/{id}", quarantine::show)
        .post("/quarantine/{id}/discard", quarantine::discard)
        .post("/quarantine/{id}/replay", quarantine::replay)
        .get("/doctor", system::doctor)
        .post("/backup", system::backup)
}

/// A framework's router, which tells nobody what it holds, and its list.
#[derive(Default)]
struct Table {
    router: Router<Operator>,
    list: Vec<(Method, &'static str)>,
}

impl Table {
    fn get<H: Handler<T, Operator>, T: 'static>(self, path: &'static str, handler: H) -> Table {
        self.on(Method::GET, path, get(handler))
    }

    fn post<H: Handler<T, Operator>, T: 'static>(self, path: &'static str, handler: H) -> Table {
        self.on(Method::POST, path, post(handler))
    }

    fn patch<H: Handler<T, Operator>, T: 'static>(self, path: &'static str, handler: H) -> Table {
        self.on(Method::PATCH, path, patch(handler))
    }

    fn delete<H: Handler<T, Operator>, T: 'static>(self, path: &'static str, handler: H) -> Table {
        self.on(Method::DELETE, path, delete(handler))
    }

    fn on(mut self, method: Method, path: &'static str, handler: MethodRouter<Operator>) -> Table {
        self.list.push((method, path));
        Table { router: self.router.route(path, handler), list: self.list }
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
