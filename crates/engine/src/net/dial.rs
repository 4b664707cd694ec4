//! From a name to a connection that speaks HTTP: resolve, connect, shake hands.
//!
//! Everything here happens before a request is put on the connection, so every failure proves that
//! nothing was sent. Names go through the system's resolver; proxies of the environment are never
//! asked. All addresses are tried, each a little after the one before (RFC 8305), so that a network
//! with a broken IPv6 costs a quarter of a second and not the whole timeout.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;
use turnpike_domain::refusal::NotSentCause;

use super::config::{NetConfig, NetError, Timeouts};
use super::http1::Http1;
use super::http2::{Http2, StreamsTold};
use super::pool::Seat;
use super::wire::{Stream, Wire};
use crate::transport::{Target, TransportError};

/// How much later than the one before each further address is tried (RFC 8305 §5 advises it).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// A connection that was just made.
pub(super) enum Dialled {
    /// For one request at a time.
    One(Http1),
    /// For many.
    Shared(Arc<Http2>),
}

/// Makes connections.
pub(super) struct Dialler {
    tls: TlsConnector,
    timeouts: Timeouts,
    tasks: TaskTracker,
}

impl Dialler {
    /// Trusts Mozilla's roots and those of `config`.
    pub(super) fn new(config: &NetConfig, tasks: TaskTracker) -> Result<Dialler, NetError> {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for (index, pem) in config.extra_roots_pem.iter().enumerate() {
            let number = index + 1;
            let mut found = false;
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| NetError::ExtraRoot { number, problem: error.to_string() })?;
                roots.add(certificate).map_err(|error| NetError::ExtraRoot { number, problem: error.to_string() })?;
                found = true;
            }
            if !found {
                return Err(NetError::ExtraRoot { number, problem: "there is none in it".to_owned() });
            }
        }
        // TLS 1.2 and 1.3. Early data stays off: it may be replayed, and a replayed POST is a
        // second message.
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(NetError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = if config.http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        Ok(Dialler { tls: TlsConnector::from(Arc::new(tls)), timeouts: config.timeouts.clone(), tasks })
    }

    /// What shakes hands.
    pub(super) fn tls(&self) -> &TlsConnector {
        &self.tls
    }

    /// Starts a task that [`super::NetTransport::close`] waits for.
    pub(super) fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Makes one connection to `target`; `told` is what it allowed before.
    pub(super) async fn dial(&self, target: &Target, seat: Seat, told: &StreamsTold) -> Result<Dialled, TransportError> {
        let addresses = self.resolve(target).await?;
        let socket = timeout(self.timeouts.connect, connect_any(&addresses))
            .await
            .map_err(|_| not_sent(NotSentCause::Connect, target, "connecting took too long"))?
            .map_err(|error| not_sent(NotSentCause::Connect, target, &format!("connecting failed: {error}")))?;
        // Small requests must not wait for one another's acknowledgements.
        socket.set_nodelay(true).map_err(|error| not_sent(NotSentCause::Connect, target, &format!("setting TCP_NODELAY: {error}")))?;
        let wire = Wire::new(socket);
        let state = wire.state();
        if !target.is_https() {
            return Ok(Dialled::One(Http1::new(Stream::Plain(wire), state, seat)));
        }
        let name = ServerName::try_from(target.host().to_owned())
            .map_err(|_| not_sent(NotSentCause::Tls, target, "the host is no name that a certificate can bear"))?;
        let tls = timeout(self.timeouts.tls, self.tls.connect(name, wire))
            .await
            .map_err(|_| not_sent(NotSentCause::Tls, target, "the TLS handshake took too long"))?
            .map_err(|error| not_sent(NotSentCause::Tls, target, &format!("the TLS handshake failed: {error}")))?;
        let speaks_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Stream::Tls(Box::new(tls));
        if speaks_http2 {
            Ok(Dialled::Shared(Http2::start(TokioIo::new(stream), state, seat, told, &self.timeouts, &self.tasks).await?))
        } else {
            Ok(Dialled::One(Http1::new(stream, state, seat)))
        }
    }

    /// A stream of its own for one transfer of a file: no seat in a pool, and HTTP/1.1 even where the
    /// other side knows HTTP/2, whose windows a large file would share with sends.
    pub(super) async fn dial_for_transfer(&self, target: &Target) -> Result<TokioIo<Stream>, TransportError> {
        let addresses = self.resolve(target).await?;
        let socket = timeout(self.timeouts.connect, connect_any(&addresses))
            .await
            .map_err(|_| not_sent(NotSentCause::Connect, target, "connecting took too long"))?
            .map_err(|error| not_sent(NotSentCause::Connect, target, &format!("connecting failed: {error}")))?;
        let wire = Wire::new(socket);
        if !target.is_https() {
            return Ok(TokioIo::new(Stream::Plain(wire)));
        }
        let name = ServerName::try_from(target.host().to_owned())
            .map_err(|_| not_sent(NotSentCause::Tls, target, "the host is no name that a certificate can bear"))?;
        let shaking = self.tls.with_alpn(vec![b"http/1.1".to_vec()]);
        let tls = timeout(self.timeouts.tls, shaking.connect(name, wire))
            .await
            .map_err(|_| not_sent(NotSentCause::Tls, target, "the TLS handshake took too long"))?
            .map_err(|error| not_sent(NotSentCause::Tls, target, &format!("the TLS handshake failed: {error}")))?;
        Ok(TokioIo::new(Stream::Tls(Box::new(tls))))
    }

    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, TransportError> {
        if let Ok(literal) = target.host().parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(literal, target.port())]);
        }
        let found: Vec<SocketAddr> = timeout(self.timeouts.dns, tokio::net::lookup_host((target.host(), target.port())))
            .await
            .map_err(|_| not_sent(NotSentCause::Dns, target, "resolving the name took too long"))?
            .map_err(|error| not_sent(NotSentCause::Dns, target, &format!("resolving the name failed: {error}")))?
            .collect();
        if found.is_empty() {
            return Err(not_sent(NotSentCause::Dns, target, "the name has no address"));
        }
        Ok(alternating(found))
    }
}

/// The addresses in the resolver's order, but no family twice in a row while the other has one left.
fn alternating(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return ordered;
        }
        ordered.extend(pair.0);
        ordered.extend(pair.1);
    }
}

/// The first connection that comes about, or the last failure.
pub(super) async fn connect_any(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect(only).await;
    }
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = std::io::Error::other("there is no address to connect to");
    loop {
        let next = waiting.next();
        if let Some(address) = next {
            attempts.push(TcpStream::connect(address));
        }
        let ended = if waiting.len() > 0 {
            tokio::select! {
                ended = attempts.next() => ended,
                () = sleep(NEXT_ADDRESS_AFTER) => continue,
            }
        } else {
            attempts.next().await
        };
        match ended {
            Some(Ok(socket)) => return Ok(socket),
            Some(Err(error)) => last = error,
            None => return Err(last),
        }
    }
}

fn not_sent(cause: NotSentCause, target: &Target, what: &str) -> TransportError {
    TransportError::not_sent(cause, format!("{what} ({})", target.authority()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_in_the_resolvers_order() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        assert_eq!(
            alternating(parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"])),
            parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
        assert_eq!(alternating(parse(&["1.1.1.1:1"])), parse(&["1.1.1.1:1"]));
    }

    #[tokio::test]
    async fn a_dead_address_does_not_keep_from_a_living_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let living = listener.local_addr().expect("bound");
        let dead = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            gone.local_addr().expect("bound")
        };
        let socket = connect_any(&[dead, living]).await.expect("one of them listens");
        assert_eq!(socket.peer_addr().expect("connected"), living);
        let refused = connect_any(&[dead, dead]).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
