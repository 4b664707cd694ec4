//! What we ask of Meta's Graph API, and what its answers mean.
//!
//! A send has four ends, and the money goes by them (contract §3.4, §6): *accepted* with a wamid,
//! *refused* with Meta's own error object, *not sent* where the transport proves that nothing was
//! processed, and *unknown* for everything else. Nothing here sends a second time: an unknown is
//! resolved by evidence, never by another POST. What an answer means is decided by [`classify`],
//! from tables; what an error code means stands in [`codes`].

pub mod classify;
pub mod codes;
mod link;
mod media;
mod reads;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};
use turnpike_domain::refusal::{MetaRefusal, NotSentCause, UnknownCause};
use turnpike_domain::send::MetaEndpoint;

pub use link::{Link, LinkError};
pub use media::{FileFailure, MediaView};
pub use reads::{NumberView, TEMPLATE_PAGES_MAX, WabaView};

use crate::transport::{ANSWER_MAX_BYTES, GraphRequest, GraphResponse, PathAndQuery, Sent, Transport, TransportError};

/// What ties a request to the one that caused it.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Our id of the caller's request.
    pub request_id: Option<Arc<str>>,
    /// The W3C `traceparent` to pass on.
    pub traceparent: Option<HeaderValue>,
}

/// The end of a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphOutcome {
    /// Meta took the message.
    Accepted {
        /// Meta's id of it; opaque, never empty.
        wamid: String,
        /// Meta's answer as it came.
        body: Bytes,
    },
    /// Meta said no, with its error object. Nothing was sent.
    Refused {
        /// Meta's words and ours.
        refusal: MetaRefusal,
        /// The status that Meta answered with.
        http_status: u16,
    },
    /// No byte was processed by Meta; it may be sent again.
    NotSent {
        /// Why.
        cause: NotSentCause,
        /// When to try again, in milliseconds, where we know.
        retry_after_ms: Option<u64>,
    },
    /// Bytes went out and no usable answer came. It must not be sent again.
    Unknown {
        /// Why.
        cause: UnknownCause,
    },
}

/// Why Meta did not do what was asked, as far as we know: a [`GraphOutcome`] without the good end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphFailure {
    /// Meta said no, with its error object.
    #[error("Meta refused: {} (code {})", .refusal.title, .refusal.code)]
    Refused {
        /// Meta's words and ours.
        refusal: Box<MetaRefusal>,
        /// The status that Meta answered with.
        http_status: u16,
    },
    /// No byte was processed by Meta.
    #[error("Meta was not reached: {}", in_words(*cause))]
    NotSent {
        /// Why.
        cause: NotSentCause,
        /// When to try again, in milliseconds, where we know.
        retry_after_ms: Option<u64>,
    },
    /// Bytes went out and no usable answer came.
    #[error("Meta gave no usable answer: {}", lost_in_words(*cause))]
    Unknown {
        /// Why.
        cause: UnknownCause,
    },
}

/// Why nothing reached Meta, for people.
fn in_words(cause: NotSentCause) -> &'static str {
    match cause {
        NotSentCause::Dns => "its name did not resolve",
        NotSentCause::Connect => "the connection was refused or timed out",
        NotSentCause::Tls => "the encryption could not be set up",
        NotSentCause::Pool => "no connection became free in time",
        NotSentCause::Breaker => "it failed so often that it is left alone for a moment",
        NotSentCause::RefusedStream => "it refused the request unread",
        NotSentCause::ConnectionClosed => "the connection was closed before the request was written",
        NotSentCause::NumberPaused => "the number is paused, because Meta barred it",
        NotSentCause::Draining => "the gateway was told to stop",
        NotSentCause::TooLate => "its turn came too late",
    }
}

/// Why Meta's answer is of no use, for people.
fn lost_in_words(cause: UnknownCause) -> &'static str {
    match cause {
        UnknownCause::ConnectionLost => "the connection broke",
        UnknownCause::Timeout => "none came in time",
        UnknownCause::ServerError => "a server error",
        UnknownCause::Redirect => "a redirect, which is not followed",
        UnknownCause::UnreadableAnswer => "an answer that cannot be read",
        UnknownCause::UnreadableRefusal => "a refusal that cannot be read",
        UnknownCause::Crash => "the gateway stopped meanwhile",
    }
}

impl From<GraphFailure> for GraphOutcome {
    fn from(failure: GraphFailure) -> GraphOutcome {
        match failure {
            GraphFailure::Refused { refusal, http_status } => GraphOutcome::Refused { refusal: *refusal, http_status },
            GraphFailure::NotSent { cause, retry_after_ms } => GraphOutcome::NotSent { cause, retry_after_ms },
            GraphFailure::Unknown { cause } => GraphOutcome::Unknown { cause },
        }
    }
}

/// Speaks the Graph API over a [`Transport`].
#[derive(Clone)]
pub struct GraphClient {
    transport: Arc<dyn Transport>,
}

impl std::fmt::Debug for GraphClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GraphClient")
    }
}

impl GraphClient {
    /// A client over `transport`.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> GraphClient {
        GraphClient { transport }
    }

    /// Posts one message, once. Runs until the answer or the transport's hard cap; a caller that
    /// answers its own client earlier goes on waiting in an owned task, because the answer that
    /// comes late still decides the money.
    pub async fn send_message(&self, link: &Link, endpoint: MetaEndpoint, body: Bytes, trace: &Trace) -> GraphOutcome {
        let path = match endpoint {
            MetaEndpoint::Messages => link.messages(),
            MetaEndpoint::MarketingMessages => link.marketing_messages(),
        };
        match self.carry(request(link, Method::POST, path.clone(), body, trace)).await {
            Ok(answer) => classify::sent_message(&answer),
            Err(failure) => failure.into(),
        }
    }

    /// Marks a message as read (and shows typing, where `body` asks for it). Costs nothing.
    ///
    /// # Errors
    /// [`GraphFailure`] as for a send; an unknown here may be repeated, since it marks the same.
    pub async fn mark_read(&self, link: &Link, body: Bytes, trace: &Trace) -> Result<(), GraphFailure> {
        classify::done(&self.carry(request(link, Method::POST, link.messages().clone(), body, trace)).await?)
    }

    /// Asks with a GET and gives the body of a 2xx.
    async fn read(&self, link: &Link, path: PathAndQuery, deadline: Option<Duration>, trace: &Trace) -> Result<Bytes, GraphFailure> {
        let asked =
            GraphRequest { deadline, answer_max_bytes: reads::PAGE_MAX_BYTES, ..request(link, Method::GET, path, Bytes::new(), trace) };
        classify::body_of_success(&self.carry(asked).await?)
    }

    /// The transport's answer; its failure is logged here, where its detail is still known.
    async fn carry(&self, asked: GraphRequest) -> Result<GraphResponse, GraphFailure> {
        let request_id = asked.request_id.clone();
        let target = Arc::clone(&asked.target);
        self.transport.send(asked).await.map_err(|TransportError { sent, detail, retry_after_ms }| {
            tracing::info!(request.id = request_id.as_deref(), graph.host = target.authority(), graph.sent = ?sent, "no whole answer from Meta: {detail}");
            match sent {
                Sent::No(cause) => GraphFailure::NotSent { cause, retry_after_ms },
                Sent::Maybe(cause) => GraphFailure::Unknown { cause },
            }
        })
    }
}

fn request(link: &Link, method: Method, path_and_query: PathAndQuery, body: Bytes, trace: &Trace) -> GraphRequest {
    GraphRequest {
        target: link.target().clone(),
        method,
        path_and_query,
        authorization: link.authorization().clone(),
        body,
        request_id: trace.request_id.clone(),
        traceparent: trace.traceparent.clone(),
        deadline: None,
        answer_max_bytes: ANSWER_MAX_BYTES,
    }
}
