//! How the messaging API's answers look (contract §2, §3.3).

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use turnpike_domain::ids::MessageId;
use turnpike_domain::refusal::Refusal;
use turnpike_domain::send::Mode;
use turnpike_engine::Engine;
use turnpike_engine::caller::Caller;
use turnpike_engine::send::{Reply, Sent};

use super::headers::{IDEMPOTENT_REPLAYED, X_GATEWAY_MODE, put_standing};
use crate::error::{ErrorContext, Sending, X_MESSAGE_ID, render};
use crate::server::{Body, Response};

/// Headers that an answer mostly bears: made room for at once, the map need not grow twice.
const HEADERS: usize = 14;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `{"isSuccess":true,"data":…}` with status 200.
#[must_use]
pub fn success(data: &impl Serialize) -> Response {
    let mut body = BytesMut::with_capacity(512).writer();
    body.get_mut().put_slice(b"{\"isSuccess\":true,\"data\":");
    // Views hold texts, numbers and lists; their JSON cannot fail, and a bug is a 500, not a panic.
    if serde_json::to_writer(&mut body, data).is_err() {
        return render(&Refusal::Bug, ErrorContext::default());
    }
    body.get_mut().put_u8(b'}');
    json(body.into_inner().freeze())
}

fn json(body: Bytes) -> Response {
    let mut response = http::Response::new(Body::full(body));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().reserve(HEADERS);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The answer to a send.
#[must_use]
pub fn of_reply(reply: &Reply, context: ErrorContext) -> Response {
    match reply {
        Reply::Sent(sent) => of_sent(sent),
        Reply::Marked(mode) => {
            let mut response = json(Bytes::from_static(b"{\"isSuccess\":true,\"data\":{\"success\":true}}"));
            put_mode(&mut response, *mode);
            response
        }
        Reply::Refused { refusal, message, replayed, mode } => {
            let mut response = render(refusal, ErrorContext { send: Sending::AsRefused, ..context });
            if let Some(message) = message {
                put_message(&mut response, *message);
            }
            put_replayed(&mut response, *replayed);
            put_mode(&mut response, *mode);
            response
        }
    }
}

/// 200: Meta's answer as `data`, byte for byte, and the price beside it.
fn of_sent(sent: &Sent) -> Response {
    let mut body = BytesMut::with_capacity(sent.data.len() + 256).writer();
    body.get_mut().put_slice(b"{\"isSuccess\":true,\"data\":");
    body.get_mut().put_slice(sent.data.trim_ascii());
    body.get_mut().put_slice(b",\"billing\":");
    if serde_json::to_writer(&mut body, &sent.billing).is_err() {
        return render(&Refusal::Bug, ErrorContext { send: Sending::Lost, chance: 0 });
    }
    body.get_mut().put_u8(b'}');
    let mut response = json(body.into_inner().freeze());
    put_message(&mut response, sent.message);
    put_replayed(&mut response, sent.replayed);
    put_mode(&mut response, sent.mode);
    response
}

/// Puts the key's windows on an answer to a valid key (contract §4).
pub fn put_limits(response: &mut Response, engine: &Engine, caller: &Caller) {
    put_standing(response.headers_mut(), &engine.standing(caller));
}

fn put_message(response: &mut Response, message: MessageId) {
    let mut buffer = uuid::Uuid::encode_buffer();
    if let Ok(value) = HeaderValue::from_str(message.0.hyphenated().encode_lower(&mut buffer)) {
        response.headers_mut().insert(X_MESSAGE_ID, value);
    }
}

fn put_replayed(response: &mut Response, replayed: bool) {
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
}

/// `X-Gateway-Mode` on everything that is not live.
pub fn put_mode(response: &mut Response, mode: Mode) {
    if mode != Mode::Live {
        response.headers_mut().insert(X_GATEWAY_MODE, HeaderValue::from_static(mode.as_str()));
    }
}
