//! Meta's webhook, `/v1/meta/webhook`: the handshake, and what Meta reports (contract §8).
//!
//! Anybody can post here, so work is done in the order of its price: a signature that could not be
//! one costs nobody a body, a body is capped before it is read, the signature is checked over the
//! raw bytes before anything is parsed. Nothing of a body is ever logged. 200 says that everything
//! is on disk; whatever else happens is answered so that Meta sends it again.

mod query;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use turnpike_domain::refusal::Refusal;
use turnpike_engine::Engine;
use turnpike_engine::intake::{NotSigned, TakenIn};

use crate::error::{ErrorContext, render};
use crate::messaging::headers::is_json;
use crate::server::{Body, BodyPace, Incoming, Response, read_body};

/// Where Meta posts.
pub const META_WEBHOOK_PATH: &str = "/v1/meta/webhook";

/// The largest body: Meta's own batches reach 3 MB (meta-cloud-api §5.2).
pub const META_BODY_MAX: usize = 4 * 1024 * 1024;

/// What Meta may ask there.
pub(crate) const METHODS: [Method; 2] = [Method::GET, Method::POST];

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// The route over one engine.
#[derive(Clone)]
pub struct MetaWebhook {
    /// The works.
    pub engine: Arc<Engine>,
    /// How slowly a body may come.
    pub body_pace: BodyPace,
}

impl MetaWebhook {
    /// Answers one request to [`META_WEBHOOK_PATH`].
    pub async fn call(&self, request: Incoming) -> Response {
        let context = request.error_context();
        let answer = match request.head.method {
            Method::GET => self.handshake(&request),
            Method::POST => self.take_in(request, context).await,
            _ => Err(Refusal::MethodNotAllowed { allow: "GET, POST" }),
        };
        answer.unwrap_or_else(|refusal| render(&refusal, context))
    }

    /// Meta asks whether the address is ours: the challenge goes back to who knows the words.
    fn handshake(&self, request: &Incoming) -> Result<Response, Refusal> {
        let asked = query::handshake(request.head.uri.query()).filter(|asked| self.engine.knows_verify_token(&asked.verify_token));
        let Some(asked) = asked else {
            self.engine.count_unsigned(NotSigned::VerifyToken);
            return Err(Refusal::WrongVerifyToken);
        };
        // The challenge is somebody else's text in our answer: no browser may take it for a page.
        let mut response = http::Response::new(Body::full(asked.challenge));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.headers_mut().insert(NOSNIFF, HeaderValue::from_static("nosniff"));
        Ok(response)
    }

    async fn take_in(&self, mut request: Incoming, context: ErrorContext) -> Result<Response, Refusal> {
        // Who names no type has not named a wrong one: the signature says who speaks.
        if request.known.content_type.is_some() && !is_json(request.known.content_type.as_ref()) {
            return Err(Refusal::NotJson);
        }
        let mut signatures = request.head.headers.get_all(SIGNATURE).iter();
        // Who has none, or of whose it cannot be told which is meant, makes us read no body.
        match (signatures.next(), signatures.next()) {
            (None, _) => return Err(self.refuse(NotSigned::NoSignature)),
            (Some(_), Some(_)) => return Err(self.refuse(NotSigned::WrongSignature)),
            (Some(_), None) => {}
        }
        let body = read_body(&mut request.body, META_BODY_MAX, self.body_pace).await?;
        let signatures = request.head.headers.get_all(SIGNATURE).iter().map(http::HeaderValue::as_bytes);
        match self.engine.take_in(signatures, body).await {
            TakenIn::Durable => Ok(http::Response::new(Body::full(Bytes::from_static(b"ok\n")))),
            TakenIn::NotSigned(fault) => Err(self.refuse(fault)),
            TakenIn::NotYet => Err(Refusal::Overloaded { retry_after_ms: context.busy_wait_ms() }),
        }
    }

    fn refuse(&self, fault: NotSigned) -> Refusal {
        self.engine.count_unsigned(fault);
        match fault {
            NotSigned::VerifyToken => Refusal::WrongVerifyToken,
            NotSigned::NoSignature => Refusal::NoSignature,
            NotSigned::WrongSignature => Refusal::WrongSignature,
        }
    }
}
