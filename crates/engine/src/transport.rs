//! The seam between the engine and Meta's HTTP: one request in, one answer out, or an error that
//! says whether bytes had left.
//!
//! Whether a byte left decides what becomes of money (contract §3.4: GW_002 or GW_003), so it is
//! the one thing that a [`Transport`] must be right about: [`Sent::No`] is a proof, everything that
//! cannot be proved is [`Sent::Maybe`]. Production speaks hyper (`crate::net`), tests speak to a
//! simulator in process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode};
use turnpike_domain::refusal::{NotSentCause, UnknownCause};

use crate::media::{Transfer, Transferred};

/// Carries requests to Meta.
pub trait Transport: Send + Sync {
    /// Sends `request` once and waits for the whole answer, at most until the transport's hard cap
    /// (60 s by default) or the request's own `deadline`. A caller that wants to answer somebody
    /// earlier goes on waiting in a task of its own: to drop this future is to give up the answer.
    ///
    /// # Errors
    /// [`TransportError`] where there is no whole answer; it says whether a byte may have left.
    fn send<'a>(&'a self, request: GraphRequest) -> BoxFuture<'a, Result<GraphResponse, TransportError>>;

    /// Carries a file, in either direction, on a connection of its own, and gives the answer as soon as
    /// its head is there; the answer's body comes as fast as it is read. A transport that cannot says
    /// that nothing was sent.
    ///
    /// # Errors
    /// [`TransportError`], as for [`Transport::send`].
    fn transfer<'a>(&'a self, transfer: Transfer) -> BoxFuture<'a, Result<Transferred, TransportError>> {
        drop(transfer);
        Box::pin(async { Err(TransportError::not_sent(NotSentCause::Connect, "this transport carries no files")) })
    }
}

/// Whom a request goes to: parsed once, shared by every request to it. Pools and breakers go by
/// its value, so two targets that are equal share them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    https: bool,
    host: String,
    port: u16,
    /// `Host` and `:authority`: the port is left out where it is the scheme's own.
    authority: String,
    /// What precedes every path, without a slash at its end; usually empty.
    prefix: String,
}

/// Why a base URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL.
    #[error("is not a URL")]
    NotUrl,
    /// Its scheme is neither `https` nor `http`.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// It names no host.
    #[error("names no host")]
    NoHost,
    /// A user name or password in it would be logged with it.
    #[error("must not hold a user name or password")]
    UserInfo,
    /// It has a query or a fragment.
    #[error("must not have a query or a fragment")]
    Query,
}

impl Target {
    /// Parses a base URL: `https://graph.facebook.com`, `http://127.0.0.1:4000`, with or without a
    /// path in front of Meta's own.
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong with it, as a sentence part.
    pub fn parse(base_url: &str) -> Result<Target, TargetError> {
        if base_url.contains('#') {
            return Err(TargetError::Query);
        }
        let uri: http::Uri = base_url.parse().map_err(|_| TargetError::NotUrl)?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(TargetError::Scheme),
        };
        let authority = uri.authority().ok_or(TargetError::NoHost)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::UserInfo);
        }
        if uri.query().is_some() {
            return Err(TargetError::Query);
        }
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err(TargetError::NoHost);
        }
        let own_port = if https { 443 } else { 80 };
        let port = match &authority.as_str()[authority.host().len()..] {
            "" => own_port,
            given => match given.trim_start_matches(':').parse() {
                Ok(0) | Err(_) => return Err(TargetError::NotUrl),
                Ok(port) => port,
            },
        };
        let authority = if port == own_port { host.clone() } else { format!("{host}:{port}") };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Target { https, host, port, authority, prefix: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Whether it is spoken to over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The name or address to dial and, over TLS, to find in the certificate; IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to dial.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host` or `:authority`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What precedes every path, without a slash at its end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.https { "https" } else { "http" }, self.authority, self.prefix)
    }
}

/// The value of an `Authorization` header. Shows itself nowhere.
#[derive(Clone)]
pub struct Authorization(HeaderValue);

impl Authorization {
    /// `Bearer <token>`; `None` where the token holds what a header cannot (a line break, say).
    #[must_use]
    pub fn bearer(token: &str) -> Option<Authorization> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Authorization(value))
    }

    /// The header's value, marked sensitive, for the wire alone.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization([secret])")
    }
}

/// A path with its query. The query may hold a proof made of secrets, so it shows only its path.
#[derive(Clone, PartialEq, Eq)]
pub struct PathAndQuery(http::uri::PathAndQuery);

impl PathAndQuery {
    /// Takes a path that begins with `/`, with or without a query; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<PathAndQuery> {
        text.starts_with('/').then(|| text.parse().ok().map(PathAndQuery)).flatten()
    }

    /// The path alone.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The whole of it, for the wire alone.
    #[must_use]
    pub fn wire(&self) -> &http::uri::PathAndQuery {
        &self.0
    }
}

impl fmt::Debug for PathAndQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathAndQuery({:?})", self.0.path())
    }
}

/// Past this an answer to a send is not Meta's: its longest is a few hundred bytes.
pub const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// One request. Its `Debug` shows neither token, query nor body.
pub struct GraphRequest {
    /// Whom it goes to.
    pub target: Arc<Target>,
    /// Its method.
    pub method: Method,
    /// Its path and query, behind the target's prefix if it has one (the caller puts that in).
    pub path_and_query: PathAndQuery,
    /// The token that it bears.
    pub authorization: Authorization,
    /// Its body, JSON; empty for a GET.
    pub body: Bytes,
    /// Our id of the caller's request, for logs and traces.
    pub request_id: Option<Arc<str>>,
    /// The W3C `traceparent` to pass on.
    pub traceparent: Option<HeaderValue>,
    /// How long to wait for the whole answer, where that is shorter than the transport's hard cap.
    pub deadline: Option<Duration>,
    /// How many bytes of body to take at most; more is an answer that cannot be read.
    pub answer_max_bytes: usize,
}

impl fmt::Debug for GraphRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphRequest")
            .field("target", &format_args!("{}", self.target))
            .field("method", &self.method)
            .field("path", &self.path_and_query.path())
            .field("body_bytes", &self.body.len())
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// A whole answer. Its `Debug` does not show the body.
#[derive(Clone)]
pub struct GraphResponse {
    /// The status of the final answer; 1xx answers before it were passed over.
    pub status: StatusCode,
    /// `Retry-After`, where there was one.
    pub retry_after: Option<HeaderValue>,
    /// `x-fb-trace-id`, for Meta's support.
    pub trace_id: Option<HeaderValue>,
    /// `Content-Type`, where there was one.
    pub content_type: Option<HeaderValue>,
    /// The whole body.
    pub body: Bytes,
}

impl fmt::Debug for GraphResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphResponse")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Whether a byte of the request may have reached Meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Proved: Meta did not process a byte of it. It may be sent again.
    No(NotSentCause),
    /// Not proved: it may have been processed. It must not be sent again.
    Maybe(UnknownCause),
}

/// Why there is no whole answer. Says nothing of tokens, numbers or bodies.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct TransportError {
    /// Whether a byte may have reached Meta.
    pub sent: Sent,
    /// What happened, for logs; never to be decided by.
    pub detail: String,
    /// When to try again, in milliseconds, where we know (an open breaker does).
    pub retry_after_ms: Option<u64>,
}

impl TransportError {
    /// No byte left.
    pub fn not_sent(cause: NotSentCause, detail: impl Into<String>) -> TransportError {
        TransportError { sent: Sent::No(cause), detail: detail.into(), retry_after_ms: None }
    }

    /// Bytes may have left.
    pub fn maybe(cause: UnknownCause, detail: impl Into<String>) -> TransportError {
        TransportError { sent: Sent::Maybe(cause), detail: detail.into(), retry_after_ms: None }
    }
}

/// Why an outcome is unknown where an answer came and cannot be used: its body was cut or is too
/// long, or nothing in it proves anything. The status says how much is known nevertheless.
#[must_use]
pub fn cause_of_unusable(status: StatusCode) -> UnknownCause {
    if status.is_client_error() {
        UnknownCause::UnreadableRefusal
    } else if status.is_server_error() {
        UnknownCause::ServerError
    } else if status.is_redirection() {
        UnknownCause::Redirect
    } else {
        UnknownCause::UnreadableAnswer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_taken_apart_once() {
        let meta = Target::parse("https://Graph.Facebook.com/").expect("Meta's own");
        assert_eq!((meta.is_https(), meta.host(), meta.port()), (true, "graph.facebook.com", 443));
        assert_eq!((meta.authority(), meta.prefix()), ("graph.facebook.com", ""));
        assert_eq!(meta.to_string(), "https://graph.facebook.com");
        let local = Target::parse("http://127.0.0.1:4000/meta/").expect("a simulator behind a path");
        assert_eq!((local.is_https(), local.host(), local.port(), local.prefix()), (false, "127.0.0.1", 4000, "/meta"));
        assert_eq!(local.to_string(), "http://127.0.0.1:4000/meta");
        let six = Target::parse("http://[::1]:4000").expect("an IPv6 literal");
        assert_eq!((six.host(), six.authority()), ("::1", "[::1]:4000"));
    }

    #[test]
    fn a_base_url_that_cannot_be_used_is_refused_with_the_reason() {
        for (url, why) in [
            ("", TargetError::NotUrl),
            ("graph.facebook.com", TargetError::Scheme),
            ("ftp://graph.facebook.com", TargetError::Scheme),
            ("/v1", TargetError::Scheme),
            ("https://user:password@graph.facebook.com", TargetError::UserInfo),
            ("https://graph.facebook.com/?access_token=x", TargetError::Query),
            ("https://graph.facebook.com/#x", TargetError::Query),
            ("https://graph.facebook.com:99999", TargetError::NotUrl),
            ("https://graph.facebook.com:0", TargetError::NotUrl),
            ("https://graph.facebook.com:", TargetError::NotUrl),
            ("https://", TargetError::NotUrl),
        ] {
            assert_eq!(Target::parse(url), Err(why), "{url}");
        }
    }

    #[test]
    fn neither_token_nor_query_nor_body_shows_itself() {
        let request = GraphRequest {
            target: Arc::new(Target::parse("https://graph.facebook.com").expect("Meta's own")),
            method: Method::POST,
            path_and_query: PathAndQuery::parse("/v23.0/1/messages?appsecret_proof=canary").expect("a path"),
            authorization: Authorization::bearer("canary").expect("a token"),
            body: Bytes::from_static(b"canary"),
            request_id: None,
            traceparent: None,
            deadline: None,
            answer_max_bytes: ANSWER_MAX_BYTES,
        };
        let shown = format!("{request:?} {:?} {:?} {:?}", request.authorization, request.authorization.header(), request.path_and_query);
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("/v23.0/1/messages"), "{shown}");
    }

    #[test]
    fn a_token_that_no_header_can_bear_is_no_authorization() {
        assert!(Authorization::bearer("EAA\r\nX: y").is_none());
    }
}
