//! The messaging API, `/v1/wa/…`: what customers' back ends call with an API key.
//!
//! A handler frames the request, finds the caller, makes one engine call and says how it looks.
//! Every rule is the engine's.

pub mod answer;
mod events;
pub mod headers;
mod lookup;
mod media;
pub mod query;
mod send;

use std::sync::Arc;

use http::{HeaderValue, Method};
use turnpike_domain::refusal::Refusal;
use turnpike_engine::Engine;
use turnpike_engine::caller::Caller;
use turnpike_engine::send::Trace;

use crate::error::{ErrorContext, Sending, render};
use crate::gate::Gate;
use crate::request_id::{RequestId, TraceParent};
use crate::server::{BodyPace, Incoming, Known, Peer, Response, SEND_PATH, Service};

/// The messaging API over one engine.
#[derive(Clone)]
pub struct Messaging {
    /// The works.
    pub engine: Arc<Engine>,
    /// Sheds what is more than we can answer in time.
    pub gate: Gate,
    /// How slowly a body may come.
    pub body_pace: BodyPace,
}

impl Service for Messaging {
    async fn call(&self, request: Incoming) -> Response {
        if request.head.method == Method::POST && request.path() == SEND_PATH {
            return self.send(request).await;
        }
        // In a box, so that a send has no room for it.
        Box::pin(self.call_other(request)).await
    }
}

/// The caller's own standing.
const ME_PATH: &str = "/v1/wa/me";

impl Messaging {
    /// Everything but a send.
    async fn call_other(&self, request: Incoming) -> Response {
        let context = request.error_context();
        if request.path() == SEND_PATH {
            return match request.head.method {
                Method::GET => self.look_up_by_key(request, context).await,
                _ => render(&Refusal::MethodNotAllowed { allow: "GET, POST" }, ErrorContext { send: Sending::No, ..context }),
            };
        }
        let path = request.head.uri.path().to_owned();
        if let Some(id) = media::tail_of(&path) {
            return self.media(request, id, context).await;
        }
        if path == events::EVENTS_PATH {
            return match request.head.method {
                Method::GET => self.events(request, context).await,
                _ => render(&Refusal::MethodNotAllowed { allow: "GET" }, context),
            };
        }
        match (path.strip_prefix(SEND_PATH).and_then(|tail| tail.strip_prefix('/')), &request.head.method) {
            (Some("check"), &Method::POST) => self.check(request).await,
            (Some("check"), _) => render(&Refusal::MethodNotAllowed { allow: "POST" }, context),
            (Some(tail), &Method::GET) if !tail.is_empty() => self.look_up(request, tail, context).await,
            (Some(tail), _) if !tail.is_empty() => render(&Refusal::MethodNotAllowed { allow: "GET" }, context),
            (None, &Method::GET) if path == ME_PATH => self.me(request, context).await,
            (None, _) if path == ME_PATH => render(&Refusal::MethodNotAllowed { allow: "GET" }, context),
            _ => render(&Refusal::NotFound, context),
        }
    }

    /// Step 2: who calls. Before the body is read, so that nobody without a key makes us read one.
    ///
    /// # Errors
    /// AUTH_001 to AUTH_006, RATE_001 `address`.
    fn caller(&self, known: &Known, peer: Peer) -> Result<Caller, Refusal> {
        let caller = self.engine.authenticate(headers::bearer(known.authorization.as_ref())?, peer.address())?;
        known.refuse_browser()?;
        Ok(caller)
    }
}

/// What Meta and our logs know the request by.
fn trace(request_id: &RequestId, traceparent: Option<&TraceParent>) -> Trace {
    Trace {
        request_id: Some(Arc::from(request_id.as_str())),
        traceparent: traceparent.and_then(|parent| HeaderValue::from_str(parent.as_str()).ok()),
    }
}
