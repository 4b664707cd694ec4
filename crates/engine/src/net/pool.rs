//! The connections to one host: which one a request takes, when another is made.
//!
//! HTTP/1.1: the one that rested last is taken first, so that few stay busy and the others fall idle
//! and are closed. HTTP/2: one connection is shared; another is made when 80 % of the streams that
//! the host allows are taken, because a stream beyond the limit would wait unseen inside the
//! library. While it is not known what a host speaks, one request dials and the others wait for it:
//! a thousand first requests must not make a thousand connections.
//!
//! No lock is held while anything is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use turnpike_domain::refusal::NotSentCause;

use super::config::Timeouts;
use super::dial::{Dialled, Dialler};
use super::http1::Http1;
use super::http2::{Http2, StreamSlot, StreamsTold};
use crate::transport::{Target, TransportError};

/// How full a shared connection gets before another is made, in percent of its streams.
const FULL_PERCENT: usize = 80;

/// How many connections may be made, and who waits for one.
pub(super) struct Freed {
    seats: AtomicUsize,
    waiting: Notify,
}

impl Freed {
    /// Wakes one of those who wait.
    pub(super) fn tell_one(&self) {
        self.waiting.notify_one();
    }

    fn take_seat(self: &Arc<Self>) -> Option<Seat> {
        self.seats.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok().then(|| Seat(Arc::clone(self)))
    }
}

/// The right to have one connection open; lives as long as the connection.
pub(super) struct Seat(Arc<Freed>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.fetch_add(1, Ordering::AcqRel);
        self.0.tell_one();
    }
}

/// What a request was given.
pub(super) enum Lease {
    /// A connection of its own.
    One(Http1),
    /// A stream of a shared one.
    Stream(StreamSlot),
}

/// What the host was found to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    NotKnown,
    Http1,
    Http2,
}

type Dialling = Shared<BoxFuture<'static, Result<(), TransportError>>>;

struct State {
    /// By `idle_since`, the latest last.
    idle: Vec<Http1>,
    shared: Vec<Arc<Http2>>,
    speaks: Speaks,
    dialling: Option<Dialling>,
}

/// The connections to one host.
pub(super) struct Pool {
    target: Arc<Target>,
    dialler: Arc<Dialler>,
    timeouts: Timeouts,
    state: Mutex<State>,
    freed: Arc<Freed>,
    told: StreamsTold,
}

impl Pool {
    /// No connections yet, and at most `connections_max`.
    pub(super) fn new(target: Arc<Target>, dialler: Arc<Dialler>, timeouts: Timeouts, connections_max: usize) -> Pool {
        // TLS decides by ALPN; plain HTTP is never guessed to be HTTP/2.
        let speaks = if target.is_https() { Speaks::NotKnown } else { Speaks::Http1 };
        Pool {
            target,
            dialler,
            timeouts,
            state: Mutex::new(State { idle: Vec::new(), shared: Vec::new(), speaks, dialling: None }),
            freed: Arc::new(Freed { seats: AtomicUsize::new(connections_max.max(1)), waiting: Notify::new() }),
            told: StreamsTold::default(),
        }
    }

    /// A connection to put a request on.
    ///
    /// # Errors
    /// Not sent: no connection could be made, or none became free within `pool`.
    pub(super) async fn lease(self: &Arc<Self>, deadline: Instant) -> Result<Lease, TransportError> {
        let patience = deadline.min(Instant::now() + self.timeouts.pool);
        loop {
            let mut freed = std::pin::pin!(self.freed.waiting.notified());
            // From here on no wake-up is lost, though we look before we wait.
            freed.as_mut().enable();
            if let Some(lease) = self.resting(Instant::now()).await {
                return Ok(lease);
            }
            match self.next_step() {
                // Dialling is rare and large: in a box it makes no other request's future larger.
                Step::Dial(seat) => match Box::pin(self.dialler.dial(&self.target, seat, &self.told)).await? {
                    Dialled::One(connection) => return Ok(Lease::One(connection)),
                    Dialled::Shared(connection) => self.share(connection),
                },
                Step::Join(dialling) => dialling.await?,
                Step::Wait => {
                    if let Some(stream) = self.state.lock().shared.iter().find_map(|shared| shared.take_stream(100, &self.freed)) {
                        return Ok(Lease::Stream(stream));
                    }
                    timeout_at(patience, freed).await.map_err(|_| {
                        TransportError::not_sent(
                            NotSentCause::Pool,
                            format!("no connection became free in time ({})", self.target.authority()),
                        )
                    })?;
                }
            }
        }
    }

    /// A connection that is there already and looks open. Does not wait.
    pub(super) async fn resting(&self, now: Instant) -> Option<Lease> {
        loop {
            let mut connection = {
                let mut state = self.state.lock();
                if let Some(stream) = state.shared.iter().find_map(|shared| shared.take_stream(FULL_PERCENT, &self.freed)) {
                    return Some(Lease::Stream(stream));
                }
                state.idle.pop()?
            };
            let open = now.saturating_duration_since(connection.idle_since) < self.timeouts.idle
                && std::future::poll_fn(|cx| Poll::Ready(connection.looks_open(cx))).await;
            if open {
                return Some(Lease::One(connection));
            }
        }
    }

    fn next_step(self: &Arc<Self>) -> Step {
        let mut state = self.state.lock();
        state.shared.retain(|shared| !shared.is_closed());
        if state.speaks == Speaks::Http1 {
            return self.freed.take_seat().map_or(Step::Wait, Step::Dial);
        }
        if let Some(dialling) = &state.dialling {
            return Step::Join(dialling.clone());
        }
        let Some(seat) = self.freed.take_seat() else { return Step::Wait };
        // A task of its own, because those who join must not fail when the first one is dropped.
        let pool = Arc::clone(self);
        let task = self.dialler.spawn(async move {
            let dialled = pool.dialler.dial(&pool.target, seat, &pool.told).await;
            let mut state = pool.state.lock();
            state.dialling = None;
            match dialled? {
                Dialled::One(connection) => {
                    state.speaks = Speaks::Http1;
                    state.idle.push(connection);
                }
                Dialled::Shared(connection) => {
                    state.speaks = Speaks::Http2;
                    state.shared.push(connection);
                }
            }
            Ok(())
        });
        let dialling = async move {
            task.await.unwrap_or_else(|error| Err(TransportError::not_sent(NotSentCause::Connect, format!("dialling ended: {error}"))))
        };
        let dialling = dialling.boxed().shared();
        state.dialling = Some(dialling.clone());
        Step::Join(dialling)
    }

    fn share(&self, connection: Arc<Http2>) {
        let mut state = self.state.lock();
        state.speaks = Speaks::Http2;
        state.shared.push(connection);
    }

    /// Takes a connection back that can carry another request.
    pub(super) fn rest(&self, connection: Http1) {
        self.state.lock().idle.push(connection);
        self.freed.tell_one();
    }

    /// Closes what rested before `since`: a request that began then on one of them hears nothing, and
    /// what silenced that one may have silenced them all.
    pub(super) fn distrust_rested(&self, since: Instant) {
        let distrusted: Vec<Http1> = {
            let mut state = self.state.lock();
            let trusted_from = state.idle.iter().position(|resting| resting.idle_since > since).unwrap_or(state.idle.len());
            state.idle.drain(..trusted_from).collect()
        };
        // A socket is closed outside the lock.
        drop(distrusted);
    }

    /// Closes what has been idle for too long.
    pub(super) fn close_idle(&self) {
        let mut closing = Vec::new();
        let mut state = self.state.lock();
        let fresh_from =
            state.idle.iter().position(|resting| resting.idle_since.elapsed() < self.timeouts.idle).unwrap_or(state.idle.len());
        closing.extend(state.idle.drain(..fresh_from));
        state.shared.retain(|shared| !shared.is_closed() && !shared.is_idle(self.timeouts.idle));
        // A socket is closed outside the lock.
        drop(state);
        drop(closing);
    }

    /// Closes every connection that nobody uses; those in use end with their requests.
    pub(super) fn close(&self) {
        let (idle, shared) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.idle), std::mem::take(&mut state.shared))
        };
        drop((idle, shared));
    }
}

enum Step {
    /// Make one for oneself.
    Dial(Seat),
    /// Wait for the one that is being made.
    Join(Dialling),
    /// As many as may be are open: wait for one.
    Wait,
}
