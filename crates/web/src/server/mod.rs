//! The front door: sockets in, requests to a [`Service`], answers out.
//!
//! An accept loop of our own over tokio and hyper, because the ready-made ones let silent,
//! half-said and stalled connections live for ever, take requests that two programs read in two
//! ways, and answer errors without a body. What it adds to a request on the hot path is one walk
//! over the headers, a referee over the bytes and two headers on the answer; there is no timer and
//! no boxed future per request.
//!
//! - `framing` and `head` decide what is a request; `wire` sits between socket and library;
//! - `line` keeps what is known of each connection, and its time limits;
//! - `express` answers plain sends without the library;
//! - `connection` brings a connection from its first byte to its last; `listen` accepts.

mod body;
mod connection;
mod express;
mod framing;
mod head;
#[cfg(test)]
mod idle_tests;
mod line;
mod listen;
mod trusted;
mod wire;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use body::{Body, BodyError, BodyPace, RequestBody, Response, read_body};
pub use head::Known;
pub use listen::{BindError, Server, ServerHandle, ServerStats};
pub use trusted::{Network, NetworkError, TrustedProxies};

use crate::error::{ErrorContext, Sending};
use crate::request_id::{RequestId, RequestIds, TraceParent};

/// Path of the send: the hot route.
pub const SEND_PATH: &str = "/v1/wa/message";

/// Path of the check, which goes as far as a send does without sending.
pub const CHECK_PATH: &str = "/v1/wa/message/check";

/// Answers requests. Everything framed wrongly was answered before it gets here.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. The future may be dropped at any time, as when an HTTP/2 caller hangs
    /// up or a drain's deadline comes: what must be finished then has to be owned by a task of its
    /// own (reliability.md §0.6).
    fn call(&self, request: Incoming) -> impl Future<Output = Response> + Send;
}

/// A request whose head is sound, with what the front door found in it.
#[derive(Debug)]
pub struct Incoming {
    /// Method, URI, version, headers; of a send, those in `known` may stand only there.
    pub head: http::request::Parts,
    /// The body, unread; see [`read_body`].
    pub body: RequestBody,
    /// Who asks.
    pub peer: Peer,
    /// Its `X-Request-Id`; the server puts it on the answer.
    pub request_id: RequestId,
    /// The caller's W3C trace context, where it is sane.
    pub traceparent: Option<TraceParent>,
    /// Headers that were found on the way.
    pub known: Known,
    /// A number different from request to request, for jitter.
    pub chance: u64,
}

impl Incoming {
    /// The path as it was written.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// What [`render`](crate::error::render) needs to know of this request. Errors of a `POST` to the
    /// send route say what became of the message, and those of a check that nothing was sent.
    #[must_use]
    pub fn error_context(&self) -> ErrorContext {
        error_context(&self.head, self.chance)
    }
}

fn error_context(head: &http::request::Parts, chance: u64) -> ErrorContext {
    let send = match head.uri.path() {
        SEND_PATH if head.method == http::Method::POST => Sending::AsRefused,
        CHECK_PATH if head.method == http::Method::POST => Sending::Check,
        _ => Sending::No,
    };
    ErrorContext { send, chance }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A network address.
    Network {
        /// The caller: the connection's own address, or what a trusted proxy says of it.
        address: IpAddr,
        /// The trusted proxy, where the connection comes from one.
        proxy: Option<IpAddr>,
    },
    /// A program on this machine that may open the data folder's socket.
    Local,
}

impl Peer {
    /// The caller's network address.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Peer::Network { address, .. } => Some(*address),
            Peer::Local => None,
        }
    }

    /// Whether nobody could listen on the way here, though it is not encrypted: from this machine, or
    /// from a listed proxy, which speaks TLS with the caller.
    #[must_use]
    pub fn is_sheltered(&self) -> bool {
        match self {
            Peer::Network { address, proxy } => proxy.is_some() || address.is_loopback(),
            Peer::Local => true,
        }
    }

    /// Whether the caller is on this machine: by the data folder's socket, or by the loopback
    /// address without a proxy that speaks for somebody else.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        match self {
            Peer::Network { address, proxy } => proxy.is_none() && address.is_loopback(),
            Peer::Local => true,
        }
    }
}

/// Where and how a server listens.
#[derive(Clone)]
pub struct ServerConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS with the certificate to show; the server sets ALPN to `h2` and `http/1.1`. Without it
    /// the listener speaks HTTP/1.1 in the clear.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Every bound.
    pub limits: ServerLimits,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Makes the ids of requests that bring none; one for all servers of a process.
    pub request_ids: Arc<RequestIds>,
}

impl ServerConfig {
    /// A listener in the clear with the default bounds.
    #[must_use]
    pub fn new(listen: SocketAddr, request_ids: Arc<RequestIds>) -> ServerConfig {
        ServerConfig { listen, tls: None, limits: ServerLimits::default(), trusted_proxies: TrustedProxies::default(), request_ids }
    }
}

/// Every bound of the front door, with the defaults of reliability.md §e.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// The TLS handshake, from the accepted connection on.
    pub tls_handshake: Duration,
    /// From the connection (or its handshake) to its first byte.
    pub first_byte: Duration,
    /// From a head's first byte to its last.
    pub header: Duration,
    /// Between two requests; above the 60 s of common load balancers, since the side that reuses a
    /// connection has to give it up first.
    pub keep_alive_idle: Duration,
    /// How long a peer may take no byte of an answer.
    pub write_stall: Duration,
    /// How long a connection that we closed is kept for the peer to read the answer.
    pub linger: Duration,
    /// Bytes of a head.
    pub header_bytes: usize,
    /// Headers in a head.
    pub headers: usize,
    /// Connections in all: file descriptor limits of 20,000 are common.
    pub connections: usize,
    /// Connections from one address (of IPv6, one /64), trusted proxies excepted.
    pub connections_per_address: usize,
    /// Streams of one HTTP/2 connection at once.
    pub h2_streams: u32,
    /// While draining: how long an idle connection stays for one more request, which is then
    /// answered with `Connection: close`. A peer that is just sending would else meet a reset.
    pub drain_idle: Duration,
    /// While draining: when what is still open is cut.
    pub drain_deadline: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            tls_handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            header: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(75),
            write_stall: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            header_bytes: 16 * 1024,
            headers: 64,
            connections: 10_000,
            connections_per_address: 256,
            h2_streams: 128,
            drain_idle: Duration::from_secs(2),
            drain_deadline: Duration::from_secs(35),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listens_on_the_way_from_this_machine_or_from_a_listed_proxy() {
        let peer = |address: &str, proxy: Option<&str>| Peer::Network {
            address: address.parse().expect("an address"),
            proxy: proxy.map(|proxy| proxy.parse().expect("an address")),
        };
        for (peer, is_sheltered) in [
            (Peer::Local, true),
            (peer("127.0.0.1", None), true),
            (peer("::1", None), true),
            (peer("203.0.113.9", Some("10.0.0.1")), true),
            (peer("203.0.113.9", None), false),
            (peer("10.0.0.1", None), false),
        ] {
            assert_eq!(peer.is_sheltered(), is_sheltered, "{peer:?}");
        }
    }
}
