//! Posting to customers' endpoints: HTTP/1.1 over connections of their own.
//!
//! Apart from the way to Meta in everything but the socket: a delivery may be repeated, so it is
//! simple; its other side is a stranger, so every address is checked ([`super::guard`]), little of
//! the answer is read, nothing is followed, and a connection serves one endpoint's URL and no other.
//! Like there, a connection is driven by whoever posts, and one that rests is polled by nobody.

mod line;
mod outgoing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;
use turnpike_domain::webhook::{EndpointHost, EndpointUrl};
use turnpike_store::endpoints::EndpointId;

use self::line::Line;
pub use self::outgoing::Outgoing;
use super::config::{NetConfig, NetError};
use super::dial::{Dialler, connect_any};
use super::guard::Guard;
use super::handshake;
use super::wire::{Stream, Wire};
use crate::delivery::DeliverySettings;

/// What an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// `Retry-After`, where it is text.
    pub retry_after: Option<String>,
    /// Where a redirect leads, where it is text. Nobody goes there (reliability §c4).
    pub location: Option<String>,
    /// The first bytes of its body, at most 16 KiB.
    pub body: Vec<u8>,
}

/// Why an endpoint did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostFault {
    /// Its address must not be dialled. Nothing was sent.
    #[error("blocked address: {0}")]
    Blocked(String),
    /// Its name did not resolve.
    #[error("{0}")]
    Dns(String),
    /// It could not be connected to.
    #[error("{0}")]
    Connect(String),
    /// Its certificate or handshake was not right.
    #[error("{0}")]
    Tls(String),
    /// The connection ended before the answer's head.
    #[error("{0}")]
    Lost(String),
    /// It took too long.
    #[error("timeout: {0}")]
    Timeout(&'static str),
}

/// The client of all deliveries.
pub struct HookClient {
    guard: Guard,
    tls: TlsConnector,
    rested: Mutex<HashMap<EndpointId, Rested>>,
    connect_within: Duration,
    answer_within: Duration,
    body_within: Duration,
    idle: Duration,
    rested_max: usize,
}

/// Connections of one endpoint that carry nothing.
struct Rested {
    url: Arc<EndpointUrl>,
    lines: Vec<Line>,
}

impl HookClient {
    /// A client that goes where `guard` lets it.
    ///
    /// # Errors
    /// Where one of the extra roots is no certificate.
    pub fn new(settings: &DeliverySettings, guard: Guard) -> Result<HookClient, NetError> {
        let config = NetConfig { extra_roots_pem: settings.extra_roots_pem.clone(), http2: false, ..NetConfig::default() };
        Ok(HookClient {
            guard,
            tls: Dialler::new(&config, TaskTracker::new())?.tls().clone(),
            rested: Mutex::default(),
            connect_within: settings.connect_within,
            answer_within: settings.answer_within,
            body_within: settings.body_within,
            idle: settings.idle,
            rested_max: settings.endpoint_in_flight_max,
        })
    }

    /// Posts `request`, which [`Outgoing::with_body`] ended, to an endpoint and reads what it answers.
    ///
    /// # Errors
    /// [`PostFault`]: whether the endpoint took it is not known unless nothing was sent.
    pub async fn post(&self, endpoint: EndpointId, url: &Arc<EndpointUrl>, request: &Outgoing) -> Result<Answered, PostFault> {
        let deadline = Instant::now() + self.answer_within;
        let mut line = match self.rested(endpoint, url).await {
            Some(line) => line,
            // Rare and large: in a box it makes no other attempt's future larger.
            None => Box::pin(self.connect(url, deadline)).await?,
        };
        let request = request.as_bytes();
        let was_used = line.is_used;
        let answered = match line.exchange(request, deadline, self.body_within).await {
            // The receiver closed a resting connection while we took it up. Once more is no harm:
            // a delivery may come twice, and has the same id.
            Err(PostFault::Lost(_)) if was_used => {
                line = Box::pin(self.connect(url, deadline)).await?;
                line.exchange(request, deadline, self.body_within).await?
            }
            ended => ended?,
        };
        if answered.1 {
            self.rest(endpoint, url, line);
        }
        Ok(answered.0)
    }

    /// Closes connections that rested too long, and those of endpoints that are gone.
    pub fn close_idle(&self, is_known: impl Fn(EndpointId) -> bool) {
        let oldest = Instant::now().checked_sub(self.idle);
        self.rested.lock().retain(|endpoint, rested| {
            rested.lines.retain(|line| oldest.is_none_or(|oldest| line.idle_since > oldest));
            is_known(*endpoint) && !rested.lines.is_empty()
        });
    }

    async fn rested(&self, endpoint: EndpointId, url: &Arc<EndpointUrl>) -> Option<Line> {
        loop {
            let mut line = {
                let mut all = self.rested.lock();
                let rested = all.get_mut(&endpoint)?;
                if rested.url != *url {
                    all.remove(&endpoint);
                    return None;
                }
                rested.lines.pop()?
            };
            if line.idle_since.elapsed() < self.idle && line.looks_open().await {
                return Some(line);
            }
        }
    }

    fn rest(&self, endpoint: EndpointId, url: &Arc<EndpointUrl>, mut line: Line) {
        line.idle_since = Instant::now();
        let mut all = self.rested.lock();
        let rested = all.entry(endpoint).or_insert_with(|| Rested { url: Arc::clone(url), lines: Vec::new() });
        if rested.url != *url {
            *rested = Rested { url: Arc::clone(url), lines: Vec::new() };
        }
        if rested.lines.len() < self.rested_max {
            rested.lines.push(line);
        }
    }

    async fn connect(&self, url: &EndpointUrl, deadline: Instant) -> Result<Line, PostFault> {
        let deadline = deadline.min(Instant::now() + self.connect_within);
        let addresses: Vec<SocketAddr> =
            timeout_at(deadline, self.guard.addresses(url)).await.map_err(|_| PostFault::Timeout("resolving the name took too long"))??;
        let socket = timeout_at(deadline, connect_any(&addresses))
            .await
            .map_err(|_| PostFault::Timeout("connecting took too long"))?
            .map_err(|error| PostFault::Connect(format!("connecting failed: {error}")))?;
        let of_socket = |error: std::io::Error| PostFault::Connect(format!("connecting failed: {error}"));
        self.guard.connected(socket.local_addr().map_err(of_socket)?, socket.peer_addr().map_err(of_socket)?)?;
        // Small requests must not wait for one another's acknowledgements.
        socket.set_nodelay(true).map_err(of_socket)?;
        let wire = Wire::new(socket);
        if !url.is_tls() {
            return Ok(Line::new(Stream::Plain(wire)));
        }
        let name = match url.host() {
            EndpointHost::Address(address) => ServerName::from(*address),
            EndpointHost::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| PostFault::Tls("the host is no name that a certificate can bear".to_owned()))?,
        };
        let tls = timeout_at(deadline, self.tls.connect(name, wire))
            .await
            .map_err(|_| PostFault::Timeout("the TLS handshake took too long"))?
            .map_err(|error| PostFault::Tls(format!("the TLS handshake failed: {}", handshake::problem(&error))))?;
        Ok(Line::new(Stream::Tls(Box::new(tls))))
    }
}
