//! `GET /v1/wa/message/{id or wamid}`, `GET /v1/wa/message` with an Idempotency-Key, `GET /v1/wa/me`.

use percent_encoding::percent_decode_str;
use turnpike_domain::refusal::{FieldFault, Refusal};

use super::Messaging;
use super::answer::success;
use super::headers::idempotency_key;
use super::send::finish;
use crate::error::{ErrorContext, render};
use crate::server::{Incoming, Response};

impl Messaging {
    /// A message by our id or by wamid. `tail` is the path behind `message/`, taken whole: a wamid
    /// holds `/`, `+` and `=`, escaped or not.
    pub(super) async fn look_up(&self, request: Incoming, tail: &str, context: ErrorContext) -> Response {
        let caller = match self.caller(&request.known, request.peer) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, context),
        };
        let name = percent_decode_str(tail).decode_utf8_lossy();
        let found = self.engine.look_up(&caller, &name).await;
        let mut response = match found {
            Ok(view) => success(&view),
            Err(refusal) => render(&refusal, context),
        };
        finish(&mut response, self, &caller);
        response
    }

    /// A message by the Idempotency-Key that it was sent with. Never sends.
    pub(super) async fn look_up_by_key(&self, request: Incoming, context: ErrorContext) -> Response {
        let caller = match self.caller(&request.known, request.peer) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, context),
        };
        let missing = || FieldFault::new("header.Idempotency-Key", "must be given: it names the message to look up");
        let found = match idempotency_key(request.known.idempotency_key.as_ref()) {
            Ok(Some(key)) => self.engine.look_up_by_key(&caller, &key).await,
            Ok(None) => Err(Refusal::Fields(vec![missing()])),
            Err(fault) => Err(Refusal::Fields(vec![fault])),
        };
        let mut response = match found {
            Ok(view) => success(&view),
            Err(refusal) => render(&refusal, context),
        };
        finish(&mut response, self, &caller);
        response
    }

    /// The caller's own application, limits and balance.
    pub(super) async fn me(&self, request: Incoming, context: ErrorContext) -> Response {
        let caller = match self.caller(&request.known, request.peer) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, context),
        };
        let mut response = match self.engine.me(&caller).await {
            Ok(me) => success(&me),
            Err(refusal) => render(&refusal, context),
        };
        finish(&mut response, self, &caller);
        response
    }
}
