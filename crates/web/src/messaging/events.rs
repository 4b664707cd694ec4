//! `GET /v1/wa/events`: an application's events as server-sent events, by API key.
//!
//! Each has the id and the bytes that a delivery of it has, so a program may take either. A stream that
//! breaks is taken up again with the last id (`Last-Event-ID`, as browsers' and other clients do by
//! themselves, or `?after=`). A comment every 15 s keeps proxies from closing it. A reader that takes
//! nothing for 10 s is cut by the front door, and nothing is gathered for it meanwhile: the next event
//! is read when the last one was taken.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use percent_encoding::percent_decode_str;
use turnpike_domain::refusal::{FieldFault, Refusal};
use turnpike_domain::webhook::{EventKind, EventSet};
use turnpike_engine::feed::{Feed, FeedEvent, Next, Wanted};

use super::Messaging;
use super::headers::bearer;
use super::send::finish;
use crate::error::{ErrorContext, render};
use crate::gate::Gate;
use crate::server::{Body, BodyError, Incoming, Response};

/// Where events are.
pub(super) const EVENTS_PATH: &str = "/v1/wa/events";

/// Proxies close what is silent for 30 to 60 s.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// How often a stream looks whether the gateway is to stop.
const LOOK_UP_EVERY: Duration = Duration::from_secs(1);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The `appId`, as deliveries bear it.
const X_GATEWAY_APPLICATION: HeaderName = HeaderName::from_static("x-gateway-application");

/// The first bytes: an open stream shows at once, and a client waits two seconds before it comes again.
const GREETING: Bytes = Bytes::from_static(b": this stream has no end; each event has the bytes of its delivery\nretry: 2000\n\n");

const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

impl Messaging {
    /// Streams the events of the caller's application and mode.
    pub(super) async fn events(&self, request: Incoming, context: ErrorContext) -> Response {
        let caller = match self.caller(&request.known, request.peer) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, context),
        };
        let begun = match asked(&request) {
            Ok((kinds, after, key)) => self.engine.follow(caller.clone(), Wanted { key, kinds, after: after.as_deref() }).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = match begun {
            Ok(_) if self.gate.is_draining() => render(&Refusal::Overloaded { retry_after_ms: context.busy_wait_ms() }, context),
            Ok(feed) => {
                let mut response = streamed(feed, self.gate.clone());
                if let Ok(app_id) = HeaderValue::from_str(&caller.app.row.app_id) {
                    response.headers_mut().insert(X_GATEWAY_APPLICATION, app_id);
                }
                response
            }
            Err(refusal) => render(&refusal, context),
        };
        finish(&mut response, self, &caller);
        response
    }
}

fn streamed(feed: Feed, gate: Gate) -> Response {
    let first = stream::iter([Ok(Frame::data(GREETING))]);
    let rest = stream::unfold((feed, gate), |(mut feed, gate)| async move {
        // A bug that ended the connection's task here would take the answer's head with it, if that is
        // not written yet. The reader comes again, with the last event that it has.
        let piece = AssertUnwindSafe(next_piece(&mut feed, &gate)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a stream of events met a bug, and ends");
            None
        })?;
        Some((Ok::<_, BodyError>(Frame::data(piece)), (feed, gate)))
    });
    let mut response = http::Response::new(Body::stream(StreamBody::new(stream::StreamExt::chain(first, rest))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// An event or a heartbeat; `None` at the end.
async fn next_piece(feed: &mut Feed, gate: &Gate) -> Option<Bytes> {
    let mut silent = Duration::ZERO;
    while silent < HEARTBEAT_EVERY {
        if gate.is_draining() {
            return None;
        }
        match feed.next(LOOK_UP_EVERY).await {
            Next::Event(event) => return Some(written(&event)),
            Next::Quiet => silent += LOOK_UP_EVERY,
            Next::Over => return None,
        }
    }
    Some(HEARTBEAT)
}

/// `id`, `event` and `data`, and in a comment in front what a delivery says in `X-Message-Id`. A
/// delivery is one line of JSON; whatever is not, is written as several
/// lines, which a reader joins with line breaks again.
fn written(event: &FeedEvent) -> Bytes {
    let body = String::from_utf8_lossy(&event.body);
    let mut text = String::with_capacity(body.len() + 96);
    // Writing into a String does not fail.
    if let Some(message) = event.message {
        let _ = writeln!(text, ": message {message}");
    }
    let _ = write!(text, "id: {}\nevent: {}\n", event.id, event.kind);
    for line in body.split(['\n', '\r']) {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
    Bytes::from(text)
}

type Asked<'a> = (EventSet, Option<String>, &'a str);

/// The kinds and the place that a request asks for, and its key.
fn asked(request: &Incoming) -> Result<Asked<'_>, Refusal> {
    let key = bearer(request.known.authorization.as_ref())?;
    let (mut kinds, mut after) = (EventSet::all(), None);
    if let Some(value) = request.head.headers.get(LAST_EVENT_ID) {
        after = Some(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let mut faults = Vec::new();
    for pair in request.head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy();
        match name {
            "events" => kinds = kinds_of(&value, &mut faults),
            // The header is what a client sends by itself after a break: it is newer.
            "after" => after = after.or_else(|| Some(value.into_owned())),
            _ => {
                let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
                faults.push(FieldFault::new(format!("query.{shown}"), "is not a parameter of this request; it knows events and after"));
            }
        }
    }
    if faults.is_empty() { Ok((kinds, after.filter(|after| !after.is_empty()), key)) } else { Err(Refusal::Fields(faults)) }
}

/// `messages,read`: names of kinds, as subscriptions have them.
fn kinds_of(text: &str, faults: &mut Vec<FieldFault>) -> EventSet {
    let mut kinds = EventSet::default();
    for name in text.split(',').map(str::trim) {
        match EventKind::parse(name) {
            Some(kind) => kinds = kinds.with(kind, true),
            None => {
                let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
                faults.push(FieldFault::new("query.events", format!("`{shown}` is no event; known are {}", known.join(", "))));
            }
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_so_that_a_reader_gets_its_bytes_again() {
        let event =
            |body: &str| FeedEvent { id: "msg_1".to_owned(), kind: EventKind::ButtonReply, message: None, body: body.as_bytes().to_vec() };
        assert_eq!(&written(&event("{\"a\":1}"))[..], b"id: msg_1\nevent: interactive.button_reply\ndata: {\"a\":1}\n\n");
        let two = written(&event("{\n}"));
        assert_eq!(&two[..], b"id: msg_1\nevent: interactive.button_reply\ndata: {\ndata: }\n\n", "no line can be taken for a field");
    }

    #[test]
    fn kinds_are_asked_for_by_their_names() {
        let mut faults = Vec::new();
        let kinds = kinds_of("messages, read", &mut faults);
        assert!(faults.is_empty() && kinds.wants(EventKind::ListReply) && kinds.wants(EventKind::Read));
        assert!(!kinds.wants(EventKind::MessageStatus));
        kinds_of("massages", &mut faults);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].problem.contains("`massages` is no event; known are messages,"), "{}", faults[0].problem);
    }
}
