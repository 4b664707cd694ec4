//! `POST /v1/wa/message` and `POST /v1/wa/message/check`.

use bytes::Bytes;
use http::HeaderMap;
use turnpike_domain::refusal::Refusal;
use turnpike_engine::caller::Caller;
use turnpike_engine::send::{Reply, SendRequest, Trace};
#[cfg(feature = "planted-bugs")]
use turnpike_store::planted::{self, Bug};

use super::answer::{of_reply, put_limits, put_mode, success};
use super::headers::{allows_duplicate, idempotency_key, is_json, is_packed};
use super::query::send_flags;
use super::{Messaging, trace};
use crate::error::{ErrorContext, Sending, render};
use crate::server::{Incoming, Known, Response, read_body};

/// The largest body of a send (contract §3.2): a legal one can reach some 400 KB.
const BODY_MAX: usize = 1024 * 1024;

impl Messaging {
    /// Sends a message.
    pub(super) async fn send(&self, request: Incoming) -> Response {
        let context = ErrorContext { send: Sending::AsRefused, chance: request.chance };
        let _inside = match self.gate.enter() {
            Ok(permit) => permit,
            Err(refusal) => return render(&refusal, context),
        };
        let caller = match self.caller(&request.known, request.peer) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, context),
        };
        let reply = match self.asked(request).await {
            Ok(asked) => self.engine.send(&caller, asked).await,
            Err(refusal) => Reply::refused(refusal, caller.mode()),
        };
        let mut response = of_reply(&reply, context);
        put_limits(&mut response, &self.engine, &caller);
        response
    }

    /// Checks and prices a message; nothing is held, stored or sent.
    pub(super) async fn check(&self, request: Incoming) -> Response {
        let context = request.error_context();
        let caller = match self.caller(&request.known, request.peer) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, context),
        };
        let checked = match self.asked(request).await {
            Ok(asked) => self.engine.check(&caller, asked).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = match checked {
            Ok(checked) => success(&checked),
            Err(refusal) => render(&refusal, context),
        };
        finish(&mut response, self, &caller);
        response
    }

    /// The request as the engine takes it; its body is read only now that the caller is known.
    async fn asked(&self, mut request: Incoming) -> Result<SendRequest, Refusal> {
        let trace = trace(&request.request_id, request.traceparent.as_ref());
        let body = read_body(&mut request.body, BODY_MAX, self.body_pace).await?;
        #[cfg(feature = "planted-bugs")]
        assert!(!planted::is(Bug::PanicWithBody), "cannot send {}", String::from_utf8_lossy(&body));
        Ok(framed(&request.known, &request.head.headers, request.head.uri.query(), body, trace))
    }
}

/// What every answer to a valid key bears.
pub(super) fn finish(response: &mut Response, messaging: &Messaging, caller: &Caller) {
    put_limits(response, &messaging.engine, caller);
    put_mode(response, caller.mode());
}

fn framed(known: &Known, headers: &HeaderMap, query: Option<&str>, body: Bytes, trace: Trace) -> SendRequest {
    SendRequest {
        body,
        is_json: is_json(known.content_type.as_ref()) && !is_packed(headers),
        flags: send_flags(query),
        idempotency_key: idempotency_key(known.idempotency_key.as_ref()),
        allow_duplicate: allows_duplicate(headers),
        trace,
    }
}
