//! `POST /v1/wa/message` and `POST /v1/wa/message/check`.

use std::net::IpAddr;

use bytes::Bytes;
use http::request::Parts;
use turnpike_domain::refusal::Refusal;
use turnpike_engine::caller::Caller;
use turnpike_engine::send::{Reply, SendRequest, Trace};

use super::answer::{of_reply, put_limits, success};
use super::headers::{allows_duplicate, idempotency_key, is_json};
use super::query::send_flags;
use super::{Messaging, answer};
use crate::error::{ErrorContext, Sending, render};
use crate::server::Response;

/// The largest body of a send (contract §3.2): a legal one can reach some 400 KB.
pub const BODY_MAX: usize = 1024 * 1024;

impl Messaging {
    /// Sends a message. `read_body` is only called once the caller is known.
    pub async fn send(
        &self,
        parts: &Parts,
        address: Option<IpAddr>,
        trace: Trace,
        context: ErrorContext,
        read_body: impl Future<Output = Result<Bytes, Refusal>>,
    ) -> Response {
        let caller = match self.caller(parts, address) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, ErrorContext { send: Sending::AsRefused, ..context }),
        };
        let reply = match read_body.await {
            Ok(body) => self.engine.send(&caller, request(parts, body, trace)).await,
            Err(refusal) => Reply::refused(refusal, caller.mode()),
        };
        let mut response = of_reply(&reply, context);
        put_limits(&mut response, &self.engine, &caller);
        response
    }

    /// Checks and prices a message; nothing is held, stored or sent.
    pub async fn check(
        &self,
        parts: &Parts,
        address: Option<IpAddr>,
        trace: Trace,
        context: ErrorContext,
        read_body: impl Future<Output = Result<Bytes, Refusal>>,
    ) -> Response {
        let context = ErrorContext { send: Sending::AsRefused, ..context };
        let caller = match self.caller(parts, address) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, context),
        };
        let checked = match read_body.await {
            Ok(body) => self.engine.check(&caller, request(parts, body, trace)).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = match checked {
            Ok(checked) => success(&checked),
            Err(refusal) => render(&refusal, context),
        };
        finish(&mut response, self, &caller);
        response
    }
}

pub(super) fn finish(response: &mut Response, messaging: &Messaging, caller: &Caller) {
    put_limits(response, &messaging.engine, caller);
    answer::put_mode(response, caller.mode());
}

fn request(parts: &Parts, body: Bytes, trace: Trace) -> SendRequest {
    SendRequest {
        body,
        is_json: is_json(&parts.headers),
        flags: send_flags(parts.uri.query()),
        idempotency_key: idempotency_key(&parts.headers),
        allow_duplicate: allows_duplicate(&parts.headers),
        trace,
    }
}
