//! Every way in which a send can be answered with a no, as values.
//!
//! The engine decides by these; the web turns them into codes, statuses and sentences
//! (contract §3.4). Nothing here knows HTTP.

use crate::ids::MessageId;
use crate::money::{Currency, Micros};
use crate::time::UnixMs;

/// One faulty field: where it is and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldFault {
    /// Path from the root of the body, `interactive.action.buttons[1].reply.title`; a query
    /// parameter is `query.<name>`, a header `header.<name>`.
    pub path: String,
    /// What is wrong, as a sentence part: `must be at most 20 characters (24 given)`.
    pub problem: String,
}

impl FieldFault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> FieldFault {
        FieldFault { path: path.into(), problem: problem.into() }
    }
}

/// Which limit was full (contract §3.4, RATE_001 `limit_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// The key's window of one second.
    Second,
    /// The key's window of sixty seconds.
    Minute,
    /// The key's messages of the UTC day.
    Day,
    /// The key's sends in flight.
    Concurrency,
    /// The sending number's ceiling towards Meta.
    Number,
    /// The pair of sending number and recipient.
    Pair,
    /// The key's spend of the UTC day.
    Spend,
    /// Wrong keys from one address.
    Address,
}

impl LimitKind {
    /// The word that clients see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LimitKind::Second => "sec",
            LimitKind::Minute => "min",
            LimitKind::Day => "day",
            LimitKind::Concurrency => "concurrency",
            LimitKind::Number => "number",
            LimitKind::Pair => "pair",
            LimitKind::Spend => "spend",
            LimitKind::Address => "address",
        }
    }
}

/// Why a valid key may not do this (AUTH_006 `reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotAllowed {
    /// The application has no number yet.
    ApplicationDraft,
    /// The application is suspended.
    ApplicationSuspended,
    /// The key lacks the scope.
    Scope,
    /// The caller's address is not on the key's list.
    Address,
    /// The recipient's market is not on the key's list.
    Market,
    /// The request came from a browser.
    Browser,
    /// The request came unencrypted, past the proxy that speaks TLS with callers.
    Unencrypted,
    /// A sandbox key, and the gateway answers none.
    SandboxOff,
}

impl NotAllowed {
    /// The word that clients see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NotAllowed::ApplicationDraft => "application_draft",
            NotAllowed::ApplicationSuspended => "application_suspended",
            NotAllowed::Scope => "scope",
            NotAllowed::Address => "address",
            NotAllowed::Market => "market",
            NotAllowed::Browser => "browser",
            NotAllowed::Unencrypted => "unencrypted",
            NotAllowed::SandboxOff => "sandbox_off",
        }
    }
}

/// Who must act on Meta's refusal; decides the status of GW_001 (contract §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetaRefusalClass {
    /// The caller must mend the message, the recipient or the template.
    Caller,
    /// The account or the number is barred.
    Barred,
    /// One of Meta's limits.
    Limited,
    /// Our link to Meta: token, permission, app; or a code that nobody has listed.
    Link,
}

/// Meta's own words for a refusal, with ours for what to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MetaRefusal {
    /// Who must act.
    pub class: MetaRefusalClass,
    /// Meta's `error.code`; 0 is a code of Meta's too. Our own template check names the code that
    /// Meta would have used.
    pub code: i64,
    /// Meta's `error.error_subcode`.
    pub subcode: Option<i64>,
    /// Meta's `error.message`, without the `(#code)` in front.
    pub title: String,
    /// Meta's `error.error_data.details`, or what our own check found.
    pub details: Option<String>,
    /// Meta's trace id, for its support.
    pub fbtrace_id: Option<String>,
    /// What to do, in plain words.
    pub hint: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The wait that Meta's answer or documents advise, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// True where we refused before Meta was asked: a message that does not fit its template (class
    /// [`MetaRefusalClass::Caller`]), or a number that Meta has barred.
    pub by_gateway: bool,
}

/// Why no byte reached Meta (GW_002).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotSentCause {
    /// The name did not resolve.
    Dns,
    /// The connection was refused or timed out.
    Connect,
    /// The TLS handshake failed or timed out.
    Tls,
    /// No connection became free in time.
    Pool,
    /// The breaker of that host is open.
    Breaker,
    /// Meta's HTTP/2 said REFUSED_STREAM, or GOAWAY below our stream.
    RefusedStream,
    /// The pooled connection was closed before the request was handed to it.
    ConnectionClosed,
    /// The number is paused, because Meta barred it.
    NumberPaused,
    /// The gateway was told to stop before it sent.
    Draining,
    /// The ledger took so long that the caller had been answered before anything was sent.
    TooLate,
}

/// Why the outcome of a send is unknown (GW_003).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCause {
    /// The connection broke after bytes had left.
    ConnectionLost,
    /// No answer in time.
    Timeout,
    /// Meta answered 5xx.
    ServerError,
    /// A redirect, which is never followed.
    Redirect,
    /// A 2xx that cannot be read, or without a wamid.
    UnreadableAnswer,
    /// A 4xx without Meta's error object.
    UnreadableRefusal,
    /// The gateway stopped while the send was under way.
    Crash,
}

/// A no. Each variant is one code of contract §3.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// AUTH_001: the key is unknown, revoked or expired.
    UnknownKey,
    /// AUTH_002: no Authorization header.
    NoAuthorization,
    /// AUTH_003: not `Bearer <token>`.
    NotBearer,
    /// AUTH_004: the key store cannot be reached and the key is not known to us.
    KeyStoreUnreachable,
    /// AUTH_005: the stored record of the key cannot be read.
    KeyRecordUnreadable,
    /// AUTH_006: the key is valid, but not for this.
    NotAllowed(NotAllowed),
    /// RATE_001: a limit is full.
    Limited {
        /// Which one.
        limit: LimitKind,
        /// The true wait until a slot frees, in milliseconds, rounded up.
        retry_after_ms: u64,
    },
    /// BILL_001: the balance does not cover the price.
    InsufficientBalance {
        /// Price of the message.
        required: Micros,
        /// The wallet's currency.
        currency: Currency,
        /// What is available, where the key may see it (scope `billing:read`).
        available: Option<Micros>,
    },
    /// BILL_002: the ledger cannot be reached; nothing was sent.
    LedgerUnreachable,
    /// REQ_001: the body is not one JSON object.
    NotOneObject {
        /// 1-based line of the fault.
        line: usize,
        /// 1-based column, in bytes.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// REQ_002: fields or query are wrong; all of them are named.
    Fields(Vec<FieldFault>),
    /// REQ_003: the content type is not JSON.
    NotJson,
    /// REQ_004: the body is too large.
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// REQ_005 with 404: no such route, or no such object.
    NotFound,
    /// REQ_005 with 404: no message of this name was ever admitted for the key's application and mode.
    NoSuchMessage,
    /// REQ_005 with 404: a file that Meta had and keeps no longer.
    FileExpired,
    /// REQ_005 with 405.
    MethodNotAllowed {
        /// The methods that the route knows, `GET, POST`.
        allow: &'static str,
    },
    /// REQ_006: framing, or a header that must be single is not.
    BadFraming {
        /// What is wrong.
        problem: &'static str,
    },
    /// REQ_007: the body came too slowly.
    BodyTooSlow,
    /// REQ_008: the request's head is too large.
    HeadTooLarge,
    /// POL_001: the customer service window is closed.
    WindowClosed {
        /// When it closed; `None` where the user never wrote.
        closed_at: Option<UnixMs>,
    },
    /// POL_002: the recipient opted out.
    OptedOut,
    /// IDEM_001: the same request is still in flight.
    InFlight,
    /// IDEM_002: the same key with another request.
    KeyReused,
    /// GW_001: Meta refused the message, or our own template check did.
    MetaRefused(Box<MetaRefusal>),
    /// GW_002: no byte of the request reached Meta.
    NotSent {
        /// Why.
        cause: NotSentCause,
        /// When to try again, in milliseconds, where we know.
        retry_after_ms: Option<u64>,
    },
    /// GW_003: bytes went out and no usable answer came.
    OutcomeUnknown {
        /// The message to look up.
        message: MessageId,
        /// Why, where this process saw it.
        cause: Option<UnknownCause>,
        /// True once it is presumed not sent.
        presumed_not_sent: bool,
    },
    /// GW_004: overloaded or draining; nothing was sent.
    Overloaded {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// WH_001: Meta's handshake with another verify token, or none of its handshakes.
    WrongVerifyToken,
    /// WH_002: a webhook without a signature.
    NoSignature,
    /// WH_003: a webhook whose signature is not that of its bytes.
    WrongSignature,
    /// SYS_001: a bug before anything could have left.
    Bug,
}
