//! Reads a request's head once, and refuses what two programs could read in two ways (contract
//! §3.2 step 1).
//!
//! One walk over the headers finds what must be single and keeps what the handlers ask for, so
//! that nobody looks a header up by its name again on the hot path.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Version};
use turnpike_domain::refusal::{NotAllowed, Refusal};

use crate::messaging::headers::X_ALLOW_DUPLICATE;
use crate::request_id::{RequestId, TraceParent};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_OPERATOR: HeaderName = HeaderName::from_static("x-operator");
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What HTTP/2 counts for a header besides its letters (RFC 9113 §6.5.2).
const HEADER_OVERHEAD: usize = 32;

/// The headers that a handler asks for, found in one walk. Each occurs at most once.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// `Content-Type`.
    pub content_type: Option<HeaderValue>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<HeaderValue>,
    /// Whether there is an `Origin` header: the request comes from a web page.
    pub from_browser: bool,
}

impl Known {
    /// Refuses an API key that comes with an `Origin` header (AUTH_006 `browser`): a key that a web
    /// page can send is a key in everybody's hands.
    pub fn refuse_browser(&self) -> Result<(), Refusal> {
        if self.from_browser && self.authorization.is_some() {
            return Err(Refusal::NotAllowed(NotAllowed::Browser));
        }
        Ok(())
    }
}

/// What a walk over a head found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) known: Known,
    pub(super) request_id: Option<RequestId>,
    pub(super) traceparent: Option<TraceParent>,
    pub(super) chunked: bool,
    pub(super) forwarded: bool,
    /// A health check of HTTP/1.0, which knows no `Host`: answered, and the connection closed.
    pub(super) without_host: bool,
}

/// The bounds of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) headers: usize,
    pub(super) bytes: usize,
}

/// Walks over a head. The findings are there also for a refused request, for the sake of its id.
pub(super) fn examine(head: &Parts, bounds: Bounds) -> (Findings, Result<(), Refusal>) {
    let mut walk = Walk::default();
    for (name, value) in &head.headers {
        walk.meets(name, value);
    }
    walk.ends();
    let multiplexed = head.version >= Version::HTTP_2;
    walk.found.without_host = walk.hosts == 0 && is_bare_health_check(head);
    if !walk.found.without_host && walk.problem.is_none() {
        walk.problem = host_problem(head, walk.hosts, walk.host, multiplexed);
    }
    let verdict = if head.headers.len() > bounds.headers || multiplexed && walk.size > bounds.bytes {
        Err(Refusal::HeadTooLarge)
    } else if let Some(problem) = walk.problem {
        Err(Refusal::BadFraming { problem })
    } else {
        Ok(())
    };
    (walk.found, verdict)
}

/// What was met so far.
#[derive(Default)]
struct Walk<'h> {
    found: Findings,
    hosts: usize,
    host: Option<&'h HeaderValue>,
    request_ids: usize,
    traceparents: usize,
    encoding: Option<&'h HeaderValue>,
    lengths: usize,
    allows_duplicate: bool,
    last_event_id: bool,
    operator: bool,
    /// As HTTP/2 counts it.
    size: usize,
    problem: Option<&'static str>,
}

impl<'h> Walk<'h> {
    fn meets(&mut self, name: &HeaderName, value: &'h HeaderValue) {
        self.size += name.as_str().len() + value.len() + HEADER_OVERHEAD;
        let known = &mut self.found.known;
        if *name == HOST {
            self.hosts += 1;
            self.host = Some(value);
        } else if *name == AUTHORIZATION {
            let before = known.authorization.replace(value.clone());
            self.must_be_single(before.is_none(), "there is more than one Authorization header");
        } else if *name == CONTENT_TYPE {
            let before = known.content_type.replace(value.clone());
            self.must_be_single(before.is_none(), "there is more than one Content-Type header");
        } else if *name == CONTENT_LENGTH {
            self.lengths += 1;
        } else if *name == TRANSFER_ENCODING {
            self.found.chunked = true;
            self.encoding = Some(value);
        } else if *name == ORIGIN {
            known.from_browser = true;
        } else if *name == IDEMPOTENCY_KEY {
            let before = known.idempotency_key.replace(value.clone());
            self.must_be_single(before.is_none(), "there is more than one Idempotency-Key header");
        } else if *name == X_REQUEST_ID {
            self.request_ids += 1;
            self.found.request_id = RequestId::of_caller(value);
        } else if *name == TRACEPARENT {
            self.traceparents += 1;
            self.found.traceparent = TraceParent::parse(value.as_bytes());
        } else if *name == X_FORWARDED_FOR {
            self.found.forwarded = true;
        } else if *name == X_ALLOW_DUPLICATE {
            let before = std::mem::replace(&mut self.allows_duplicate, true);
            self.must_be_single(!before, "there is more than one X-Allow-Duplicate header");
        } else if *name == LAST_EVENT_ID {
            let before = std::mem::replace(&mut self.last_event_id, true);
            self.must_be_single(!before, "there is more than one Last-Event-ID header");
        } else if *name == X_OPERATOR {
            let before = std::mem::replace(&mut self.operator, true);
            self.must_be_single(!before, "there is more than one X-Operator header");
        }
    }

    fn must_be_single(&mut self, is_single: bool, problem: &'static str) {
        if !is_single {
            self.problem = Some(problem);
        }
    }

    /// What only all headers together say.
    fn ends(&mut self) {
        // These two decide nothing, and proxies add them. Which of several was meant cannot be told, so
        // none counts, as Trace Context §3.2.1 has it; the answer bears an id of ours.
        if self.request_ids > 1 {
            self.found.request_id = None;
        }
        if self.traceparents > 1 {
            self.found.traceparent = None;
        }
        if self.lengths > 1 {
            self.problem = Some("there is more than one Content-Length header");
        }
        if self.encoding.is_some_and(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")) {
            self.problem = Some("the Transfer-Encoding is not \"chunked\"");
        }
    }
}

/// All the values of `X-Forwarded-For`, in their order.
pub(super) fn forwarded_for(head: &Parts) -> http::header::ValueIter<'_, HeaderValue> {
    head.headers.get_all(X_FORWARDED_FOR).iter()
}

/// Exactly one host, and a readable one. In HTTP/2 it is the `:authority`, which the library puts
/// into the URI; a `Host` beside it must say the same.
fn host_problem(head: &Parts, hosts: usize, host: Option<&HeaderValue>, multiplexed: bool) -> Option<&'static str> {
    let authority = head.uri.authority().filter(|_| multiplexed);
    match (hosts, host, authority) {
        (0, _, Some(_)) => None,
        (0, ..) => Some("there is no Host header"),
        (1, Some(host), Some(authority)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            Some("the Host header is not the :authority")
        }
        (1, Some(host), _) if !is_host(host.as_bytes()) => Some("the Host header is not a host name"),
        (1, ..) => None,
        _ => Some("there is more than one Host header"),
    }
}

/// `GET /livez HTTP/1.0` and nothing else: what the plainest checks of load balancers send. That
/// version knows no `Host`, and these two routes are the same for every host.
fn is_bare_health_check(head: &Parts) -> bool {
    head.version == Version::HTTP_10
        && matches!(head.method, Method::GET | Method::HEAD)
        && head.uri.authority().is_none()
        && matches!(head.uri.path(), "/livez" | "/readyz")
}

/// A host name or address with an optional port, as far as letters tell.
pub(super) fn is_host(value: &[u8]) -> bool {
    !value.is_empty()
        && value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%' | b'~'))
}
