//! The real [`Transport`]: HTTP/1.1 framed by ourselves, HTTP/2 by hyper, TLS by rustls, a pool and a
//! breaker of our own for each host.
//!
//! Why a pool of our own: hyper-util's and reqwest's decide by themselves when to send again, and
//! tell afterwards neither whether they did nor whether a byte had left. Here that is the point.
//!
//! # What proves that nothing was sent
//!
//! Read in hyper 1.12.0 and h2 0.4.20; whoever raises their versions reads these places again.
//!
//! | what we see | what it proves | why |
//! | --- | --- | --- |
//! | resolving, connecting, TLS or starting HTTP fails | not sent | the request was not on any connection |
//! | HTTP/2, `try_send_request` gives the request back | not sent | hyper gives it back only from its queue (`client/dispatch.rs`, `Envelope::drop`; "connection was not ready"), before a byte of it was written |
//! | HTTP/1.1, and the kernel took no byte since the request was put on the connection | not sent | every write goes through `wire::Wire`, which counts; the connection is dropped before we say so, so nothing can follow |
//! | HTTP/2, `RST_STREAM` from the other side with `REFUSED_STREAM` | not processed | RFC 9113 §8.7; in h2 `Error::is_reset`, `is_remote`; a reset that h2 made itself is not remote |
//! | HTTP/2, a *remote* GOAWAY error on the stream | not processed | h2 gives that error only to streams beyond the last-stream-id (`streams.rs`, `recv_go_away`) and to those that were never opened because a GOAWAY had come (`ensure_no_conn_error`); a stream at or below it goes on, and if the connection ends under it, it sees a broken pipe |
//! | anything else after the request was put on the connection | nothing | reset, end of file, parse error, timeout, keep-alive timeout, other stream resets, a GOAWAY that h2 made itself |
//!
//! An end of file, and hyper's `is_canceled` and `is_closed`, prove nothing (reliability §0.5):
//! a server that read the whole POST and closed looks the same as one that read nothing.
//! Once an answer's head has come, nothing that follows can be "not sent".
//!
//! # What is tried again
//!
//! Making a connection: at most twice more, after a random wait, within a budget (`retry`). A
//! *rested* connection that turns out closed before a byte of the request left is not a failure:
//! the next one is taken at once, because nothing was tried yet. Nothing else, not even what is
//! proved to be unsent by the other side's own word: a host that refuses streams wants fewer of
//! them, and our caller is told that it may send again.
//!
//! # A host that has gone without a word
//!
//! No conclusion is drawn about a request that hears nothing; but the next ones do not follow it
//! onto its connection (`patience`). So a peer that dies in silence makes unknown what was under
//! way within the first seconds, and not what comes after.
//!
//! Redirects are not followed, proxies of the environment are not asked, 1xx answers are passed
//! over, bodies are read to a limit.

mod answer;
mod breaker;
mod config;
mod dial;
pub mod guard;
mod handshake;
pub mod hooks;
mod http1;
mod http2;
mod patience;
mod pool;
mod retry;
mod transfer;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hashbrown::HashMap;
use http::{HeaderName, HeaderValue, Request, Uri, Version, header};
use http_body_util::Full;
use parking_lot::{Mutex, RwLock};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_domain::refusal::NotSentCause;

pub use config::{CONNECTIONS_PER_HOST_MAX, NetConfig, NetError, Timeouts};

use self::breaker::{Breaker, Pass, Verdict};
use self::dial::Dialler;
use self::patience::Patience;
use self::pool::{Lease, Pool};
use crate::entropy::Entropy;
use crate::media::{Transfer, Transferred};
use crate::transport::{GraphRequest, GraphResponse, Sent, Target, Transport, TransportError};
use crate::turns::others_first;

/// How a request ended on a connection.
enum Exchange {
    /// With a whole answer.
    Answer(GraphResponse),
    /// Not a byte of it left.
    NeverStarted(String),
    /// Otherwise; the error says what is known.
    Failed(TransportError),
}

/// How many rested connections may turn out closed before a request stops looking. With the look
/// that each gets, this takes a server that closes them while we go through them.
const RESTED_MAX: u32 = 8;

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// HTTP over the network. Must be made and used within a tokio runtime.
pub struct NetTransport {
    shared: Arc<Hosts>,
    dialler: Arc<Dialler>,
    config: NetConfig,
    entropy: Arc<dyn Entropy>,
    /// Zero of the breakers' clock.
    began: Instant,
    tasks: TaskTracker,
    closing: CancellationToken,
}

#[derive(Default)]
struct Hosts(RwLock<HashMap<Arc<Target>, Arc<Host>>>);

/// One host and how it fares.
struct Host {
    pool: Arc<Pool>,
    breaker: Mutex<Breaker>,
    retries: retry::Budget,
}

impl NetTransport {
    /// Sets TLS up and starts the sweep of idle connections.
    ///
    /// # Errors
    /// [`NetError`] where an extra root cannot be used.
    pub fn new(config: NetConfig, entropy: Arc<dyn Entropy>) -> Result<NetTransport, NetError> {
        let tasks = TaskTracker::new();
        let dialler = Arc::new(Dialler::new(&config, tasks.clone())?);
        let shared = Arc::new(Hosts::default());
        let closing = CancellationToken::new();
        tasks.spawn(sweep(Arc::downgrade(&shared), closing.clone()));
        Ok(NetTransport { shared, dialler, config, entropy, began: Instant::now(), tasks, closing })
    }

    /// Closes what nobody uses and waits until the last connection has ended, at most `patience`.
    /// Requests that are still under way go on to their end. For after the drain.
    pub async fn close(&self, patience: Duration) {
        self.closing.cancel();
        for host in self.shared.0.read().values() {
            host.pool.close();
        }
        self.tasks.close();
        let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
    }

    /// Whether `target`'s breaker lets nothing pass now. For people and metrics.
    #[must_use]
    pub fn is_barred(&self, target: &Target) -> bool {
        let now_ms = self.now_ms();
        self.shared.0.read().get(target).is_some_and(|host| host.breaker.lock().is_open(now_ms))
    }

    fn host(&self, target: &Arc<Target>) -> Arc<Host> {
        if let Some(host) = self.shared.0.read().get(target.as_ref()) {
            return Arc::clone(host);
        }
        let mut hosts = self.shared.0.write();
        let host = hosts.entry(Arc::clone(target)).or_insert_with(|| {
            let (timeouts, most) = (self.config.timeouts.clone(), self.config.connections_per_host_max);
            Arc::new(Host {
                pool: Arc::new(Pool::new(Arc::clone(target), Arc::clone(&self.dialler), timeouts, most)),
                breaker: Mutex::default(),
                retries: retry::Budget::default(),
            })
        });
        Arc::clone(host)
    }

    fn now_ms(&self) -> u64 {
        self.ms_at(Instant::now())
    }

    fn ms_at(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    async fn carry(&self, request: GraphRequest) -> Result<GraphResponse, TransportError> {
        others_first().await;
        let cap = self.config.timeouts.hard_cap;
        // One look at the clock for all that is decided before the request goes out.
        let now = Instant::now();
        let deadline = now + request.deadline.map_or(cap, |deadline| deadline.min(cap));
        let host = self.host(&request.target);
        let pass = host.breaker.lock().admit(self.ms_at(now)).map_err(|barred| TransportError {
            retry_after_ms: Some(barred.retry_after_ms),
            ..TransportError::not_sent(NotSentCause::Breaker, format!("{} was down a moment ago", request.target.authority()))
        })?;
        let mut passing = Passing { transport: self, host: &host, pass, verdict: Verdict::Neither };
        host.retries.deposit();
        let ended = self.try_until(&host, &request, now, deadline).await;
        passing.verdict = verdict(&ended);
        ended
    }

    async fn try_until(
        &self,
        host: &Host,
        request: &GraphRequest,
        began: Instant,
        deadline: Instant,
    ) -> Result<GraphResponse, TransportError> {
        let (mut retries, mut rested) = (0, 0);
        let mut before = None;
        let mut now = began;
        let last_begin = began + retry::BEGIN_WITHIN;
        loop {
            // Mostly one rests, and then there is nothing to wait for, nor to time.
            let leased = match host.pool.resting(now).await {
                Some(lease) => Ok(Ok(lease)),
                None => {
                    let leased = timeout_at(deadline, host.pool.lease(deadline)).await;
                    now = Instant::now();
                    leased
                }
            };
            let patience = Patience { began: now, deadline, silence: self.config.timeouts.silence };
            let failed = match leased {
                Err(_) => {
                    let late = || TransportError::not_sent(NotSentCause::Connect, "no connection in the time that the request had");
                    return Err(before.unwrap_or_else(late));
                }
                Ok(Err(error)) => error,
                Ok(Ok(lease)) => match self.exchange(host, lease, request, patience).await {
                    (Exchange::Answer(answer), _) => return Ok(answer),
                    (Exchange::Failed(error), _) => return Err(error),
                    (Exchange::NeverStarted(_), Used::Before) if rested < RESTED_MAX => {
                        rested += 1;
                        continue;
                    }
                    (Exchange::NeverStarted(detail), _) => TransportError::not_sent(NotSentCause::ConnectionClosed, detail),
                },
            };
            let again = matches!(failed.sent, Sent::No(cause) if cause != NotSentCause::Pool) && retries < retry::RETRIES_MAX;
            let wait = retry::jittered(self.config.timeouts.retry_min, self.config.timeouts.retry_max, self.entropy.as_ref());
            let next = Instant::now() + wait;
            if !again || next >= deadline || next > last_begin || !host.retries.take() {
                return Err(failed);
            }
            retries += 1;
            before = Some(failed);
            sleep(wait).await;
            now = Instant::now();
        }
    }

    async fn exchange(&self, host: &Host, lease: Lease, request: &GraphRequest, patience: Patience) -> (Exchange, Used) {
        match lease {
            Lease::One(connection) => {
                let used = Used::of(connection.used);
                let (exchange, resting) = connection.exchange(request, patience, || host.pool.distrust_rested(patience.began)).await;
                if let Some(resting) = resting {
                    host.pool.rest(resting);
                }
                (exchange, used)
            }
            Lease::Stream(stream) => {
                let used = Used::of(stream.has_answered());
                (stream.exchange(on_the_wire(request), request.answer_max_bytes, patience).await, used)
            }
        }
    }
}

/// Whether a connection had carried a request before: one that had may have been closed since, one
/// that had not is part of connecting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Used {
    Before,
    Never,
}

impl Used {
    fn of(before: bool) -> Used {
        if before { Used::Before } else { Used::Never }
    }
}

impl Transport for NetTransport {
    fn send<'a>(&'a self, request: GraphRequest) -> BoxFuture<'a, Result<GraphResponse, TransportError>> {
        Box::pin(self.carry(request))
    }

    fn transfer<'a>(&'a self, transfer: Transfer) -> BoxFuture<'a, Result<Transferred, TransportError>> {
        Box::pin(transfer::carry(&self.dialler, transfer))
    }
}

impl std::fmt::Debug for NetTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetTransport").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Gives the breaker's pass back, also where the request is dropped.
struct Passing<'a> {
    transport: &'a NetTransport,
    host: &'a Host,
    pass: Pass,
    verdict: Verdict,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.host.breaker.lock().ended(self.pass, self.verdict, self.transport.now_ms());
    }
}

fn verdict(ended: &Result<GraphResponse, TransportError>) -> Verdict {
    match ended {
        Ok(answer) if answer.status.is_server_error() => Verdict::Bad,
        Ok(_) => Verdict::Good,
        Err(error) => match error.sent {
            Sent::No(NotSentCause::Dns | NotSentCause::Connect | NotSentCause::Tls | NotSentCause::ConnectionClosed) => Verdict::Bad,
            Sent::No(_) | Sent::Maybe(_) => Verdict::Neither,
        },
    }
}

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("turnpike/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// `request` as hyper wants it for HTTP/2: with the whole address.
fn on_the_wire(request: &GraphRequest) -> Request<Full<bytes::Bytes>> {
    let path_and_query = request.path_and_query.wire().clone();
    let mut wired = Request::new(Full::new(request.body.clone()));
    *wired.method_mut() = request.method.clone();
    *wired.version_mut() = Version::HTTP_2;
    let address = Uri::builder().scheme("https").authority(request.target.authority()).path_and_query(path_and_query).build();
    *wired.uri_mut() = address.expect("a target's authority was parsed as one");
    let headers = wired.headers_mut();
    headers.reserve(4);
    headers.insert(header::AUTHORIZATION, request.authorization.header().clone());
    headers.insert(header::USER_AGENT, USER_AGENT);
    if !request.body.is_empty() {
        headers.insert(header::CONTENT_TYPE, JSON);
    }
    if let Some(traceparent) = &request.traceparent {
        headers.insert(TRACEPARENT, traceparent.clone());
    }
    wired
}

async fn sweep(hosts: std::sync::Weak<Hosts>, closing: CancellationToken) {
    loop {
        tokio::select! {
            () = closing.cancelled() => return,
            () = sleep(SWEEP_EVERY) => {}
        }
        let Some(hosts) = hosts.upgrade() else { return };
        let pools: Vec<Arc<Pool>> = hosts.0.read().values().map(|host| Arc::clone(&host.pool)).collect();
        for pool in pools {
            pool.close_idle();
        }
    }
}
