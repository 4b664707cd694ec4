//! Posting to customers' endpoints: HTTP/1.1 over connections of their own.
//!
//! Apart from the way to Meta in everything but the socket: a delivery may be repeated, so it is
//! simple; its other side is a stranger, so every address is checked ([`super::guard`]), little of
//! the answer is read, nothing is followed, and a connection serves one endpoint's URL and no other.
//! Like there, a connection is driven by whoever posts, and one that rests is polled by nobody.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;
use turnpike_domain::webhook::{EndpointHost, EndpointUrl};
use turnpike_store::endpoints::EndpointId;

use super::answer::chain;
use super::config::{NetConfig, NetError};
use super::dial::{Dialler, connect_any};
use super::guard::Guard;
use super::handshake;
use super::wire::{Stream, Wire, WireState};
use crate::delivery::DeliverySettings;

/// Headers that an answer may have.
const HEADERS_MAX: usize = 100;
/// An answer's head, and what is read at once. hyper's least is 8 KiB.
const BUFFER_MAX_BYTES: usize = 16 * 1024;
/// Of an answer's body so much is read; a longer one ends its connection (reliability §e).
const BODY_MAX_BYTES: usize = 16 * 1024;

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

    /// Posts `body` to an endpoint and reads what it answers.
    ///
    /// # Errors
    /// [`PostFault`]: whether the endpoint took it is not known unless nothing was sent.
    pub async fn post(&self, endpoint: EndpointId, url: &Arc<EndpointUrl>, headers: HeaderMap, body: Bytes) -> Result<Answered, PostFault> {
        let deadline = Instant::now() + self.answer_within;
        let mut line = match self.rested(endpoint, url).await {
            Some(line) => line,
            None => self.connect(url, deadline).await?,
        };
        let request = request(url, headers, body);
        let was_used = line.is_used;
        let answered = match line.exchange(request.clone(), deadline, self.body_within).await {
            // The receiver closed a resting connection while we took it up. Once more is no harm:
            // a delivery may come twice, and has the same id.
            Err(PostFault::Lost(_)) if was_used => {
                line = self.connect(url, deadline).await?;
                line.exchange(request, deadline, self.body_within).await?
            }
            ended => ended?,
        };
        if answered.1 && line.comes_to_rest().await {
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
        let state = wire.state();
        if !url.is_tls() {
            return Line::start(TokioIo::new(Stream::Plain(wire)), state).await;
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
        Line::start(TokioIo::new(Stream::Tls(Box::new(tls))), state).await
    }
}

fn request(url: &EndpointUrl, mut headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
    if let Ok(host) = HeaderValue::from_str(url.authority()) {
        headers.insert(header::HOST, host);
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    // A path that the URL's parser takes and this one does not would be a bug of ours; it then goes
    // to the root, where the receiver's answer shows it.
    *request.uri_mut() = Uri::try_from(url.path_and_query()).unwrap_or_else(|_| Uri::from_static("/"));
    *request.headers_mut() = headers;
    request
}

type Connection = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// One connection.
struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Box<Connection>>,
    wire: Arc<WireState>,
    idle_since: Instant,
    is_used: bool,
}

impl Line {
    async fn start(stream: TokioIo<Stream>, wire: Arc<WireState>) -> Result<Line, PostFault> {
        let (sender, connection) = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_buf_size(BUFFER_MAX_BYTES)
            .handshake(stream)
            .await
            .map_err(|error| PostFault::Connect(format!("starting HTTP/1.1: {}", chain(&error))))?;
        Ok(Line { sender, connection: Some(Box::new(connection)), wire, idle_since: Instant::now(), is_used: false })
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection.as_mut()).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// Whether it was not closed while it rested.
    async fn looks_open(&mut self) -> bool {
        self.wire.look_at_next_read();
        self.comes_to_rest().await
    }

    /// Whether it can carry another request, without waiting.
    async fn comes_to_rest(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(self.connection.is_some() && self.sender.is_ready())
        })
        .await
    }

    /// The answer, and whether it was read to its end. The status decides; what becomes of the body
    /// does not change it.
    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        body_within: Duration,
    ) -> Result<(Answered, bool), PostFault> {
        self.is_used = true;
        let mut answering = pin!(self.sender.try_send_request(request));
        let response = timeout_at(
            deadline,
            poll_fn(|cx| {
                // The answer first: a receiver that answers and closes has answered.
                if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
                    return Poll::Ready(answer);
                }
                self.drive(cx);
                answering.as_mut().poll(cx)
            }),
        )
        .await
        .map_err(|_| PostFault::Timeout("no answer in time"))?
        .map_err(|error| PostFault::Lost(format!("the connection ended without an answer: {}", chain(error.error()))))?;
        let (head, mut incoming) = response.into_parts();
        let told = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let location = head.status.is_redirection().then(|| told(header::LOCATION)).flatten();
        let retry_after = told(header::RETRY_AFTER);
        let mut answered = Answered { status: head.status.as_u16(), retry_after, location, body: Vec::new() };
        let until = deadline.min(Instant::now() + body_within);
        let whole = timeout_at(until, async {
            loop {
                let frame = poll_fn(|cx| {
                    self.drive(cx);
                    pin!(incoming.frame()).poll(cx)
                })
                .await;
                let Some(frame) = frame else { return true };
                let Ok(Ok(piece)) = frame.map(hyper::body::Frame::into_data) else { return false };
                let room = BODY_MAX_BYTES.saturating_sub(answered.body.len());
                answered.body.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.len() > room {
                    return false;
                }
            }
        })
        .await;
        Ok((answered, whole.unwrap_or(false)))
    }
}
