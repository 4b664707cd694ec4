//! How a no looks: the envelope of contract §2, made of a [`Refusal`] and the catalogue.
//!
//! Nothing else in this crate writes an error. So every one has a code of the catalogue, its
//! status, a sentence for people, parameters for programs and a link to what to do about it.

mod catalogue;
mod markdown;
mod page;

pub use catalogue::{CATALOGUE, ErrorDoc, document};
pub use markdown::errors_markdown;
pub use page::errors_page;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use turnpike_domain::refusal::{FieldFault, LimitKind, MetaRefusal, MetaRefusalClass, NotAllowed, NotSentCause, Refusal, UnknownCause};

use crate::server::{Body, Response};

/// Where every gateway serves [`errors_page`]; `errors.doc` is this and `#auth_001`, relative to the
/// address that was asked, since only the caller knows by which name it reaches this gateway.
pub const ERRORS_PAGE: &str = "/docs/errors";

/// Header that names the message (contract §3.3).
pub const X_MESSAGE_ID: HeaderName = HeaderName::from_static("x-message-id");

/// Least wait that a 503 advises, in milliseconds (reliability.md §e).
const BUSY_LEAST_MS: u64 = 1_000;

/// Width of the jitter on top of it, so that refused callers do not all return at once.
const BUSY_JITTER_MS: u64 = 4_000;

/// Wait after one of Meta's limits where neither its answer nor its documents name one.
const META_LIMIT_WAIT_MS: u64 = 5_000;

/// What the request itself adds to the look of an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorContext {
    /// Whether the request was to send: then the error says what became of it (contract §2).
    pub send: Sending,
    /// Any number, different from request to request: the jitter of `Retry-After` is drawn from it.
    pub chance: u64,
}

/// Whether a request was to send a message, and how far it can have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sending {
    /// It was not to send.
    #[default]
    No,
    /// It was to check a message: nothing of it ever leaves.
    Check,
    /// It was to send; the refusal itself says what became of it.
    AsRefused,
    /// It was to send and we lost sight of it: only `sent: unknown` is honest.
    Lost,
}

impl ErrorContext {
    /// A wait of 1–5 s for a 503.
    #[must_use]
    pub fn busy_wait_ms(self) -> u64 {
        busy_wait_ms(self.chance)
    }
}

/// A wait of 1–5 s, drawn from `chance`.
#[must_use]
pub(crate) fn busy_wait_ms(chance: u64) -> u64 {
    // Fibonacci hashing: neighbours among the numbers land far apart.
    let spread = chance.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    BUSY_LEAST_MS + spread % (BUSY_JITTER_MS + 1)
}

/// The code of a refusal, as contract §3.4 names it.
#[must_use]
pub fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownKey => "AUTH_001",
        Refusal::NoAuthorization => "AUTH_002",
        Refusal::NotBearer => "AUTH_003",
        Refusal::KeyStoreUnreachable => "AUTH_004",
        Refusal::KeyRecordUnreadable => "AUTH_005",
        Refusal::NotAllowed(_) => "AUTH_006",
        Refusal::Limited { .. } => "RATE_001",
        Refusal::InsufficientBalance { .. } => "BILL_001",
        Refusal::LedgerUnreachable => "BILL_002",
        Refusal::NotOneObject { .. } => "REQ_001",
        Refusal::Fields(_) => "REQ_002",
        Refusal::NotJson => "REQ_003",
        Refusal::BodyTooLarge { .. } => "REQ_004",
        Refusal::NotFound | Refusal::NoSuchMessage | Refusal::FileExpired | Refusal::MethodNotAllowed { .. } => "REQ_005",
        Refusal::BadFraming { .. } => "REQ_006",
        Refusal::BodyTooSlow => "REQ_007",
        Refusal::HeadTooLarge => "REQ_008",
        Refusal::WindowClosed { .. } => "POL_001",
        Refusal::OptedOut => "POL_002",
        Refusal::InFlight => "IDEM_001",
        Refusal::KeyReused => "IDEM_002",
        Refusal::MetaRefused(_) => "GW_001",
        Refusal::NotSent { .. } => "GW_002",
        Refusal::OutcomeUnknown { .. } => "GW_003",
        Refusal::Overloaded { .. } => "GW_004",
        Refusal::WrongVerifyToken => "WH_001",
        Refusal::NoSignature => "WH_002",
        Refusal::WrongSignature => "WH_003",
        Refusal::Bug => "SYS_001",
    }
}

/// The status of a refusal (contract §3.4).
#[must_use]
pub fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownKey | Refusal::NoAuthorization | Refusal::NotBearer | Refusal::NoSignature | Refusal::WrongSignature => {
            StatusCode::UNAUTHORIZED
        }
        Refusal::KeyStoreUnreachable | Refusal::KeyRecordUnreadable | Refusal::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        Refusal::NotAllowed(_) | Refusal::WrongVerifyToken => StatusCode::FORBIDDEN,
        Refusal::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::InsufficientBalance { .. } => StatusCode::PAYMENT_REQUIRED,
        Refusal::LedgerUnreachable | Refusal::NotSent { .. } | Refusal::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::NotOneObject { .. } | Refusal::Fields(_) | Refusal::BadFraming { .. } => StatusCode::BAD_REQUEST,
        Refusal::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::NotFound | Refusal::NoSuchMessage | Refusal::FileExpired => StatusCode::NOT_FOUND,
        Refusal::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
        Refusal::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Refusal::WindowClosed { .. } | Refusal::OptedOut | Refusal::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::InFlight => StatusCode::CONFLICT,
        Refusal::MetaRefused(meta) => match meta.class {
            MetaRefusalClass::Caller => StatusCode::BAD_REQUEST,
            MetaRefusalClass::Barred => StatusCode::FORBIDDEN,
            MetaRefusalClass::Limited => StatusCode::TOO_MANY_REQUESTS,
            MetaRefusalClass::Link => StatusCode::BAD_GATEWAY,
        },
        Refusal::OutcomeUnknown { .. } => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// Whether the very same request may be sent again and can then succeed, without being mended and
/// without the danger of a second message (`params.retryable`).
#[must_use]
pub fn retryable(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::KeyStoreUnreachable
        | Refusal::Limited { .. }
        | Refusal::LedgerUnreachable
        | Refusal::BodyTooSlow
        | Refusal::InFlight
        | Refusal::NotSent { .. }
        | Refusal::Overloaded { .. }
        | Refusal::Bug => true,
        Refusal::MetaRefused(meta) => meta.retryable,
        Refusal::UnknownKey
        | Refusal::NoAuthorization
        | Refusal::NotBearer
        | Refusal::KeyRecordUnreadable
        | Refusal::NotAllowed(_)
        | Refusal::InsufficientBalance { .. }
        | Refusal::NotOneObject { .. }
        | Refusal::Fields(_)
        | Refusal::NotJson
        | Refusal::BodyTooLarge { .. }
        | Refusal::NotFound
        | Refusal::NoSuchMessage
        | Refusal::FileExpired
        | Refusal::MethodNotAllowed { .. }
        | Refusal::BadFraming { .. }
        | Refusal::HeadTooLarge
        | Refusal::WindowClosed { .. }
        | Refusal::OptedOut
        | Refusal::KeyReused
        | Refusal::WrongVerifyToken
        | Refusal::NoSignature
        | Refusal::WrongSignature
        | Refusal::OutcomeUnknown { .. } => false,
    }
}

/// The wait that the answer advises, in milliseconds: for every 429 and 503 and a request still in
/// flight, for nothing else, and so never for an unknown outcome (contract §2).
#[must_use]
pub fn retry_after_ms(refusal: &Refusal, context: ErrorContext) -> Option<u64> {
    match refusal {
        Refusal::Limited { retry_after_ms, .. } | Refusal::Overloaded { retry_after_ms } => Some(*retry_after_ms),
        Refusal::NotSent { retry_after_ms, .. } => Some(retry_after_ms.unwrap_or_else(|| context.busy_wait_ms())),
        Refusal::LedgerUnreachable => Some(context.busy_wait_ms()),
        Refusal::InFlight => Some(1_000),
        Refusal::MetaRefused(meta) if meta.class == MetaRefusalClass::Limited => Some(meta.retry_after_ms.unwrap_or(META_LIMIT_WAIT_MS)),
        _ => None,
    }
}

/// The answer to a refusal: status, headers of its own and the envelope (contract §2).
///
/// The headers that every answer bears (`X-Request-Id`, `Cache-Control`) are put on by the server.
#[must_use]
pub fn render(refusal: &Refusal, context: ErrorContext) -> Response {
    let wait_ms = retry_after_ms(refusal, context);
    let mut response = http::Response::new(Body::full(envelope(refusal, context)));
    *response.status_mut() = status(refusal);
    let headers = response.headers_mut();
    headers.reserve(6);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(ms) = wait_ms {
        headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
    }
    match refusal {
        Refusal::UnknownKey | Refusal::NoAuthorization | Refusal::NotBearer | Refusal::NoSignature | Refusal::WrongSignature => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Refusal::MethodNotAllowed { allow } => {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        Refusal::OutcomeUnknown { message, .. } => {
            let id = HeaderValue::try_from(message.to_string()).expect("a UUID is visible ASCII");
            headers.insert(X_MESSAGE_ID, id);
        }
        _ => {}
    }
    response
}

/// The body of the answer to a refusal.
#[must_use]
pub fn envelope(refusal: &Refusal, context: ErrorContext) -> Bytes {
    let code = code(refusal);
    let document = document(code);
    let errors = Errors {
        code,
        group: group(status(refusal)),
        description: description(refusal, document, context),
        params: params(refusal, context),
        doc: Link(code),
    };
    let body = serde_json::to_vec(&Envelope { is_success: false, errors }).expect("the envelope has only texts and numbers");
    Bytes::from(body)
}

/// The name of a status, in capitals (contract §2).
#[must_use]
pub fn group(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        402 => "PAYMENT_REQUIRED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        405 => "METHOD_NOT_ALLOWED",
        408 => "REQUEST_TIMEOUT",
        409 => "CONFLICT",
        413 => "PAYLOAD_TOO_LARGE",
        415 => "UNSUPPORTED_MEDIA_TYPE",
        422 => "UNPROCESSABLE_ENTITY",
        429 => "TOO_MANY_REQUESTS",
        431 => "REQUEST_HEADER_FIELDS_TOO_LARGE",
        502 => "BAD_GATEWAY",
        503 => "SERVICE_UNAVAILABLE",
        504 => "GATEWAY_TIMEOUT",
        _ => "INTERNAL_SERVER_ERROR",
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "isSuccess")]
    is_success: bool,
    errors: Errors<'a>,
}

#[derive(Serialize)]
struct Errors<'a> {
    code: &'static str,
    group: &'static str,
    description: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Params::is_empty")]
    params: Params<'a>,
    doc: Link,
}

/// The section of the page that explains a code.
struct Link(&'static str);

impl Serialize for Link {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&doc_link(self.0))
    }
}

/// The link to a code's section: `/docs/errors#auth_001`.
#[must_use]
pub(crate) fn doc_link(code: &str) -> String {
    format!("{ERRORS_PAGE}#{}", code.to_ascii_lowercase())
}

/// Everything that any code has to say to a program; each fills its own.
#[derive(Default, PartialEq, Serialize)]
struct Params<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a [FieldFault]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_closed_at: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    meta: Option<MetaParams<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

/// Meta's own words (GW_001).
#[derive(PartialEq, Serialize)]
struct MetaParams<'a> {
    code: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subcode: Option<i64>,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fbtrace_id: Option<&'a str>,
    hint: &'a str,
}

impl Params<'_> {
    fn is_empty(&self) -> bool {
        *self == Params::default()
    }
}

fn params(refusal: &Refusal, context: ErrorContext) -> Params<'_> {
    let mut params = Params::default();
    match (context.send, refusal) {
        // An unknown outcome is one whatever was asked: a look-up may answer it too.
        (_, Refusal::OutcomeUnknown { .. }) | (Sending::Lost, _) => {
            params.sent = Some("unknown");
            params.retryable = Some(false);
        }
        (Sending::AsRefused | Sending::Check, _) => {
            params.sent = Some("no");
            params.retryable = Some(retryable(refusal));
        }
        (Sending::No, _) => {}
    }
    if let Some(ms) = retry_after_ms(refusal, context) {
        params.retry_after = Some(format!("{}s", ms.div_ceil(1000).max(1)));
        params.retry_after_ms = Some(ms);
    }
    match refusal {
        Refusal::NotAllowed(reason) => params.reason = Some(reason.as_str()),
        Refusal::Limited { limit, .. } => params.limit_type = Some(limit.as_str()),
        Refusal::InsufficientBalance { required, currency, available } => {
            params.required = Some(required.to_string());
            params.currency = Some(currency.as_str().to_owned());
            params.available = available.map(|amount| amount.to_string());
        }
        Refusal::NotOneObject { line, column, problem } => {
            params.line = Some(*line);
            params.column = Some(*column);
            params.problem = Some(problem);
        }
        Refusal::Fields(fields) => params.fields = Some(fields),
        Refusal::BodyTooLarge { limit } => params.limit = Some(*limit),
        Refusal::MethodNotAllowed { allow } => params.allow = Some(allow),
        Refusal::FileExpired => params.reason = Some("expired"),
        Refusal::BadFraming { problem } => params.problem = Some(problem),
        Refusal::WindowClosed { closed_at } => params.window_closed_at = closed_at.map(|at| at.to_rfc3339()),
        Refusal::MetaRefused(meta) => params.meta = Some(meta_params(meta)),
        Refusal::NotSent { cause, .. } => params.cause = Some(not_sent_word(*cause)),
        Refusal::OutcomeUnknown { message, cause, presumed_not_sent } => {
            params.message_id = Some(message.to_string());
            params.cause = cause.map(unknown_word);
            params.outcome = presumed_not_sent.then_some("presumed_not_sent");
        }
        _ => {}
    }
    params
}

fn meta_params(meta: &MetaRefusal) -> MetaParams<'_> {
    MetaParams {
        code: meta.code,
        subcode: meta.subcode,
        title: &meta.title,
        details: meta.details.as_deref(),
        fbtrace_id: meta.fbtrace_id.as_deref(),
        hint: &meta.hint,
    }
}

/// One sentence for a person, with the particulars of this case where there are any.
fn description<'a>(refusal: &'a Refusal, document: &'static ErrorDoc, context: ErrorContext) -> std::borrow::Cow<'a, str> {
    match refusal {
        Refusal::NotAllowed(reason) => not_allowed_sentence(*reason).into(),
        Refusal::Limited { limit, .. } => limit_sentence(*limit, context.send).into(),
        Refusal::NotOneObject { line, column, problem } => {
            format!("The body is not one JSON object: {problem} (line {line}, column {column}).").into()
        }
        Refusal::Fields(fields) => match fields.as_slice() {
            [only] => format!("`{}` {}.", only.path, only.problem).into(),
            several => format!("{} fields are wrong; `params.fields` names each of them.", several.len()).into(),
        },
        Refusal::BodyTooLarge { limit } => format!("The body is larger than {limit} bytes.").into(),
        Refusal::NotFound => document.description.into(),
        Refusal::NoSuchMessage => {
            "No message of that name was ever admitted for this key's application and mode.".into()
        }
        Refusal::FileExpired => "Meta keeps this file no longer: what a user sent can be fetched for 7 days, what was uploaded for 30.".into(),
        Refusal::MethodNotAllowed { allow } => format!("This route does not know that method. It knows: {allow}.").into(),
        Refusal::BadFraming { problem } => format!("The request is not framed as HTTP asks: {problem}.").into(),
        Refusal::MetaRefused(meta) if meta.by_gateway => {
            let found = meta.details.as_deref().unwrap_or(&meta.title);
            match meta.class {
                // Our template check; what else we find by ourselves is a number that Meta barred.
                MetaRefusalClass::Caller => format!("The message does not match its template, so it was not sent: {found}").into(),
                _ => format!("{found}.").into(),
            }
        }
        Refusal::MetaRefused(meta) => {
            let what = if context.send == Sending::No { "request" } else { "message" };
            format!("Meta refused the {what}: {} (code {}).", meta.title.trim_end_matches('.'), meta.code).into()
        }
        Refusal::OutcomeUnknown { presumed_not_sent: true, .. } => {
            "No evidence of this message came, so it is presumed not sent and its price was released. Use a new Idempotency-Key to send it again.".into()
        }
        _ => document.description.into(),
    }
}

fn not_allowed_sentence(reason: NotAllowed) -> &'static str {
    match reason {
        NotAllowed::ApplicationDraft => "The API key is valid, but its application has no WhatsApp number yet.",
        NotAllowed::ApplicationSuspended => "The API key is valid, but its application is suspended.",
        NotAllowed::Scope => "The API key is valid, but it does not have the scope that this request needs.",
        NotAllowed::Address => "The API key is valid, but not from this network address.",
        NotAllowed::Market => "The API key is valid, but it may not send to the recipient's country.",
        NotAllowed::Browser => "API keys do not belong in browsers: send this request from your server.",
        NotAllowed::Unencrypted => "The request came unencrypted, past the proxy in front of the gateway: use the gateway's https address.",
        NotAllowed::SandboxOff => "The API key is a sandbox key, and this gateway has its sandbox switched off.",
    }
}

fn limit_sentence(limit: LimitKind, send: Sending) -> &'static str {
    match limit {
        // What sends nothing has windows of its own, which `X-RateLimit-*` does not show.
        LimitKind::Second if send == Sending::No => "The API key has used up its look-ups of this second.",
        LimitKind::Minute if send == Sending::No => "The API key has used up its look-ups of this minute.",
        LimitKind::Second => "The API key has used up its requests of this second.",
        LimitKind::Minute => "The API key has used up its requests of this minute.",
        LimitKind::Day => "The API key has used up its messages of this UTC day.",
        LimitKind::Concurrency => "As many requests as may be are in flight at once.",
        LimitKind::Number => "The sending number has reached the pace that Meta allows it.",
        LimitKind::Pair => "This recipient is being written to faster than Meta allows one number.",
        LimitKind::Spend => "The API key has spent what it may spend on this UTC day.",
        LimitKind::Address => "Too many wrong API keys came from this network address.",
    }
}

fn not_sent_word(cause: NotSentCause) -> &'static str {
    match cause {
        NotSentCause::Dns => "dns",
        NotSentCause::Connect => "connect",
        NotSentCause::Tls => "tls",
        NotSentCause::Pool => "pool",
        NotSentCause::Breaker => "breaker",
        NotSentCause::RefusedStream => "refused_stream",
        NotSentCause::ConnectionClosed => "connection_closed",
        NotSentCause::NumberPaused => "number_paused",
        NotSentCause::Draining => "draining",
        NotSentCause::TooLate => "too_late",
    }
}

fn unknown_word(cause: UnknownCause) -> &'static str {
    match cause {
        UnknownCause::ConnectionLost => "connection_lost",
        UnknownCause::Timeout => "timeout",
        UnknownCause::ServerError => "server_error",
        UnknownCause::Redirect => "redirect",
        UnknownCause::UnreadableAnswer => "unreadable_answer",
        UnknownCause::UnreadableRefusal => "unreadable_refusal",
        UnknownCause::Crash => "crash",
    }
}

#[cfg(test)]
mod tests;
