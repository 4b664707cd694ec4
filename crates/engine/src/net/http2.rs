//! An HTTP/2 connection: many requests at a time, driven by a task of its own.
//!
//! What HTTP/2 proves that HTTP/1.1 cannot: a stream that the other side refused
//! (`REFUSED_STREAM`), and one beyond the last that its GOAWAY names, were not processed (RFC 9113
//! §8.7). How h2 shows that is written down in [`super`].

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use turnpike_domain::refusal::{NotSentCause, UnknownCause};

use super::Exchange;
use super::answer::{self, Collected};
use super::config::Timeouts;
use super::patience::Patience;
use super::pool::{Freed, Seat};
use super::wire::{Stream, WireState};
use crate::transport::TransportError;

/// What a host is taken to allow at most until it says so on this connection: the least that RFC
/// 9113 §6.5.2 advises. A request beyond what it does allow would wait unseen inside the library.
const STREAMS_UNTIL_TOLD: usize = 100;

/// How many streams a host allowed on its latest connection, as a guess for the next one.
#[derive(Clone)]
pub(super) struct StreamsTold(Arc<AtomicUsize>);

impl Default for StreamsTold {
    fn default() -> StreamsTold {
        StreamsTold(Arc::new(AtomicUsize::new(STREAMS_UNTIL_TOLD)))
    }
}

impl StreamsTold {
    fn guess(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn learn(&self, allowed: usize) {
        self.0.store(allowed.clamp(1, STREAMS_UNTIL_TOLD), Ordering::Relaxed);
    }
}

/// An answer's head; Meta's takes about 2 KiB.
const HEADER_LIST_MAX_BYTES: u32 = 32 * 1024;
/// What may be in flight towards us a stream, and in all: answers are short.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// One connection.
pub(super) struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    wire: Arc<WireState>,
    streams: AtomicUsize,
    streams_max: Arc<AtomicUsize>,
    idle_since: Mutex<Instant>,
    /// Whether any answer has come on it.
    answered: AtomicBool,
    /// Whether somebody waited on it and heard nothing.
    suspect: AtomicBool,
    _seat: Seat,
}

impl Http2 {
    /// Speaks HTTP/2 over `stream`: its preface goes out, no request yet.
    pub(super) async fn start(
        stream: TokioIo<Stream>,
        wire: Arc<WireState>,
        seat: Seat,
        told: &StreamsTold,
        timeouts: &Timeouts,
        tasks: &TaskTracker,
    ) -> Result<Arc<Http2>, TransportError> {
        let (sender, mut connection) = http2::Builder::new(Tracked(tasks.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(timeouts.ping_every)
            .keep_alive_timeout(timeouts.ping_answer)
            .keep_alive_while_idle(false)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_max_send_streams(told.guess())
            .max_header_list_size(HEADER_LIST_MAX_BYTES)
            .handshake(stream)
            .await
            .map_err(|error| TransportError::not_sent(NotSentCause::Connect, format!("starting HTTP/2: {}", answer::chain(&error))))?;
        let streams_max = Arc::new(AtomicUsize::new(told.guess()));
        let (allowed, told) = (Arc::clone(&streams_max), told.clone());
        tasks.spawn(async move {
            let ended = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                let now_allowed = connection.current_max_send_streams();
                if allowed.swap(now_allowed, Ordering::Relaxed) != now_allowed {
                    told.learn(now_allowed);
                }
                polled
            })
            .await;
            if let Err(error) = ended {
                tracing::debug!("an HTTP/2 connection ended: {}", answer::chain(&error));
            }
        });
        Ok(Arc::new(Http2 {
            sender,
            wire,
            streams: AtomicUsize::new(0),
            streams_max,
            idle_since: Mutex::new(Instant::now()),
            answered: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            _seat: seat,
        }))
    }

    /// Whether it takes no more requests: it has ended, or has been silent for too long. A silent one
    /// is drained: what is under way on it goes on to its end, and its ping ends the connection
    /// where it is dead.
    pub(super) fn is_closed(&self) -> bool {
        self.suspect.load(Ordering::Relaxed) || self.sender.is_closed()
    }

    fn suspect(&self) {
        if !self.suspect.swap(true, Ordering::Relaxed) {
            tracing::debug!("an HTTP/2 connection says nothing; the next requests go to another");
        }
    }

    /// Whether nobody has used it for `idle`.
    pub(super) fn is_idle(&self, idle: std::time::Duration) -> bool {
        self.streams.load(Ordering::Acquire) == 0 && self.idle_since.lock().elapsed() >= idle
    }

    /// Takes a stream, where fewer than `percent` of the allowed ones are taken.
    pub(super) fn take_stream(self: &Arc<Self>, percent: usize, freed: &Arc<Freed>) -> Option<StreamSlot> {
        if self.is_closed() {
            return None;
        }
        // At least one: a server that allows a single stream is not full at 80 % of it.
        let max = (self.streams_max.load(Ordering::Relaxed).saturating_mul(percent) / 100).max(1);
        self.streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < max).then_some(taken + 1))
            .is_ok()
            .then(|| StreamSlot { connection: Arc::clone(self), freed: Arc::clone(freed) })
    }
}

/// One stream's place on a connection; gives it back when dropped.
pub(super) struct StreamSlot {
    connection: Arc<Http2>,
    freed: Arc<Freed>,
}

impl StreamSlot {
    /// Whether any answer has come on this connection.
    pub(super) fn has_answered(&self) -> bool {
        self.connection.answered.load(Ordering::Relaxed)
    }

    /// Sends `request` and reads its answer. Dropping this future resets the stream.
    pub(super) async fn exchange(self, request: Request<Full<Bytes>>, answer_max_bytes: usize, patience: Patience) -> Exchange {
        let mut sender = self.connection.sender.clone();
        let connection = &self.connection;
        let listening = patience.on(&connection.wire);
        let response = match listening.until(sender.try_send_request(request), || connection.suspect()).await {
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                let handed_back = error.take_message().is_some();
                let error = error.error();
                let detail = format!("HTTP/2: {}", answer::chain(error));
                return if handed_back {
                    Exchange::NeverStarted(detail)
                } else if was_not_processed(error) {
                    Exchange::Failed(TransportError::not_sent(NotSentCause::RefusedStream, detail))
                } else {
                    answer::failed_head(error, detail)
                };
            }
            Err(_) => return Exchange::Failed(TransportError::maybe(UnknownCause::Timeout, "HTTP/2: no answer in time")),
        };
        connection.answered.store(true, Ordering::Relaxed);
        let (head, mut body) = response.into_parts();
        let mut collected = Collected::new(head.status, &head.headers, answer_max_bytes);
        let rest = poll_fn(|cx| collected.poll(Pin::new(&mut body), cx));
        let end = listening.until(rest, || connection.suspect()).await;
        collected.finish(end, "HTTP/2")
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        if self.connection.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.connection.idle_since.lock() = Instant::now();
        }
        self.freed.tell_one();
    }
}

/// Whether the other side said of this very stream that it did not process it.
fn was_not_processed(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (refused || error.is_go_away());
        }
        source = cause.source();
    }
    false
}

/// Starts hyper's tasks where the transport can wait for them.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
