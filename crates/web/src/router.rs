//! Who answers which path.
//!
//! The messaging API comes first and goes through nothing but a comparison of its path. Control
//! routes are an axum router: they are many, seldom called, and better served by a framework.
//! Whatever that answers without our envelope (its own 404 and 405) is given one here.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body as ControlBody;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use http_body::Body as _;
use tower::ServiceExt as _;
use turnpike_domain::refusal::{FieldFault, NotAllowed, Refusal};

use crate::error::{ErrorContext, render};
use crate::meta::{META_WEBHOOK_PATH, METHODS, MetaWebhook};
use crate::operations::Operations;
use crate::server::{Body, BodyPace, Incoming, Response, Service, read_body};

/// What the paths of the messaging API begin with.
pub const MESSAGING_PREFIX: &str = "/v1/wa/";

/// Largest body of a control route in bytes (reliability.md §e).
pub const CONTROL_BODY_MAX: usize = 64 * 1024;

/// Largest answer of a control route that is gathered and sent as one piece: most are, and a piece
/// is cheaper than a stream.
const GATHERED_MAX: u64 = 64 * 1024;

/// Every route of a gateway, method and path: what tests hold their tables against, so that no route
/// comes without a row. `{id}` at the end of a path of the messaging API is all that is left.
#[must_use]
pub fn routes() -> Vec<(Method, String)> {
    let messaging = crate::messaging::routes().map(|(method, path)| (method, path.to_owned()));
    let meta = METHODS.into_iter().map(|method| (method, META_WEBHOOK_PATH.to_owned()));
    let operations = crate::operations::paths().map(|path| (Method::GET, path.to_owned()));
    messaging.chain(meta).chain(operations).chain(crate::operator::routes()).collect()
}

/// Sends each request to who answers it.
pub struct Router<M> {
    messaging: M,
    meta: Option<MetaWebhook>,
    operations: Operations,
    control: axum::Router,
    control_body_max: usize,
    body_pace: BodyPace,
    only_sheltered: bool,
    has_met_others: AtomicBool,
}

impl<M: Service> Router<M> {
    /// `messaging` answers everything below `/v1/wa/`, whatever the method; `control` what is
    /// neither that nor one of `operations`.
    ///
    /// Control handlers find [`Peer`](crate::server::Peer), [`RequestId`](crate::request_id::RequestId) and
    /// [`ErrorContext`] among the request's extensions; their bodies are read before they are called.
    pub fn new(messaging: M, operations: Operations, control: axum::Router) -> Router<M> {
        Router {
            messaging,
            meta: None,
            operations,
            control,
            control_body_max: CONTROL_BODY_MAX,
            body_pace: BodyPace::default(),
            only_sheltered: false,
            has_met_others: AtomicBool::new(false),
        }
    }

    /// For a gateway that speaks no TLS itself because a proxy does: whoever comes neither through a
    /// listed proxy nor from this machine is refused (AUTH_006 `unencrypted`), since a key would travel
    /// where others listen. They still get what needs no key: `operations`, for the health checks of a
    /// load balancer, and Meta's webhook, which is signed.
    #[must_use]
    pub fn for_sheltered_only(mut self) -> Router<M> {
        self.only_sheltered = true;
        self
    }

    /// With Meta's webhook at [`META_WEBHOOK_PATH`].
    #[must_use]
    pub fn with_meta(mut self, meta: MetaWebhook) -> Router<M> {
        self.meta = Some(meta);
        self
    }

    /// Other bounds for the bodies of control routes.
    #[must_use]
    pub fn with_control_body(mut self, max_bytes: usize, pace: BodyPace) -> Router<M> {
        self.control_body_max = max_bytes;
        self.body_pace = pace;
        self
    }

    /// Answers who comes by a way on which others may listen.
    fn refuse_unsheltered(&self, request: &Incoming) -> Response {
        if let Some(response) = self.operations.answer(request) {
            return response;
        }
        // Once is enough for an operator who forgot one of his proxies, and strangers cannot fill the log.
        if !self.has_met_others.swap(true, Ordering::Relaxed)
            && let Some(address) = request.peer.address()
        {
            tracing::warn!(
                %address,
                "refused a caller who came without TLS through no listed proxy; if that is your proxy, add it to `trusted_proxies` \
                 (this is said once)"
            );
        }
        render(&Refusal::NotAllowed(NotAllowed::Unencrypted), request.error_context())
    }

    async fn call_control(&self, mut request: Incoming) -> Response {
        let context = request.error_context();
        let body = match read_body(&mut request.body, self.control_body_max, self.body_pace).await {
            Ok(body) => body,
            Err(refusal) => return render(&refusal, context),
        };
        let mut inner = http::Request::from_parts(request.head, ControlBody::from(body));
        inner.extensions_mut().insert(request.peer);
        inner.extensions_mut().insert(request.request_id);
        inner.extensions_mut().insert(context);
        let answer = match self.control.clone().oneshot(inner).await {
            Ok(answer) => answer,
            Err(impossible) => match impossible {},
        };
        dress(answer, context).await
    }
}

impl<M: Service> Service for Router<M> {
    async fn call(&self, request: Incoming) -> Response {
        if self.only_sheltered && !request.peer.is_sheltered() && request.path() != META_WEBHOOK_PATH {
            return self.refuse_unsheltered(&request);
        }
        if request.path().starts_with(MESSAGING_PREFIX) {
            return self.messaging.call(request).await;
        }
        if request.path() == META_WEBHOOK_PATH
            && let Some(meta) = &self.meta
        {
            return meta.call(request).await;
        }
        if let Some(response) = self.operations.answer(&request) {
            return response;
        }
        // In a box, so that a send has no room for it.
        Box::pin(self.call_control(request)).await
    }
}

/// Turns the framework's answer into ours: refusals that it made up itself, in plain text, get the
/// envelope.
async fn dress(answer: http::Response<ControlBody>, context: ErrorContext) -> Response {
    let (parts, body) = answer.into_parts();
    let made_up =
        parts.status.as_u16() >= 400 && !parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    let small = body.size_hint().upper().is_some_and(|bytes| bytes <= GATHERED_MAX);
    if !small {
        return http::Response::from_parts(parts, Body::stream(body));
    }
    let bytes = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(error = %error, "a control route's answer broke off");
            return render(&Refusal::Bug, context);
        }
    };
    if !made_up {
        return http::Response::from_parts(parts, Body::full(bytes));
    }
    let allow = parts.headers.get(ALLOW);
    let refusal = match parts.status {
        StatusCode::NOT_FOUND => Refusal::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Refusal::MethodNotAllowed { allow: allowed(allow) },
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::BodyTooLarge { limit: CONTROL_BODY_MAX },
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Refusal::NotJson,
        status if status.is_client_error() => {
            let text = String::from_utf8_lossy(&bytes);
            let (part, problem) = text.strip_prefix("Invalid URL: ").map_or(("body", &*text), |problem| ("path", problem));
            Refusal::Fields(vec![FieldFault::new(part, format!("cannot be read: {problem}"))])
        }
        status => {
            tracing::error!(status = status.as_u16(), "a control route failed without saying why");
            Refusal::Bug
        }
    };
    let mut response = render(&refusal, context);
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow.clone());
    }
    response
}

/// The methods that a framework's `Allow` names, as one of the few texts that a refusal can carry.
fn allowed(allow: Option<&HeaderValue>) -> &'static str {
    const KNOWN: [&str; 13] = [
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "GET, HEAD",
        "GET, POST",
        "GET, PUT",
        "GET, PATCH",
        "GET, DELETE",
        "GET, POST, DELETE",
        "GET, PUT, DELETE",
        "GET, PATCH, DELETE",
    ];
    let mut methods: Vec<&str> = allow.and_then(|value| value.to_str().ok()).unwrap_or_default().split(',').map(str::trim).collect();
    methods.retain(|method| *method != "HEAD" && !method.is_empty());
    methods.sort_unstable_by_key(|method| ["GET", "POST", "PUT", "PATCH", "DELETE"].iter().position(|known| known == method));
    let wanted = methods.join(", ");
    KNOWN.into_iter().find(|known| *known == wanted).unwrap_or("those in the Allow header")
}
