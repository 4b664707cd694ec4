//! An HTTP/1.1 connection: one request at a time, driven by whoever sends it.
//!
//! hyper's connection is a future that somebody must poll. A task of its own for each would cost two
//! more wake-ups a message, so the task that sends polls it along with its answer, and an idle
//! connection is polled by nobody. That an idle one was closed is found when it is taken up again:
//! then it is polled once, and that poll asks the kernel itself ([`super::wire`]).
//!
//! A request that is dropped half-way drops its connection with it, so no byte can leave after we
//! have said that none did.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use turnpike_domain::refusal::{NotSentCause, UnknownCause};

use super::Exchange;
use super::answer::{self, Collected};
use super::pool::Seat;
use super::wire::{Stream, WireState};
use crate::transport::TransportError;

type Connection = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// Headers that an answer may have; Meta sends about 25.
const HEADERS_MAX: usize = 100;
/// An answer's head, and what is read at once. hyper's least is 8 KiB.
const BUFFER_MAX_BYTES: usize = 64 * 1024;

/// One connection.
pub(super) struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Box<Connection>>,
    wire: Arc<WireState>,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
    /// Whether it has carried a request already.
    pub(super) used: bool,
    _seat: Seat,
}

impl Http1 {
    /// Speaks HTTP/1.1 over `stream`. Writes nothing yet.
    pub(super) async fn start(stream: TokioIo<Stream>, wire: Arc<WireState>, seat: Seat) -> Result<Http1, TransportError> {
        let (sender, connection) = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_buf_size(BUFFER_MAX_BYTES)
            .handshake(stream)
            .await
            .map_err(|error| TransportError::not_sent(NotSentCause::Connect, format!("starting HTTP/1.1: {error}")))?;
        Ok(Http1 { sender, connection: Some(Box::new(connection)), wire, idle_since: Instant::now(), used: false, _seat: seat })
    }

    /// Whether a request may be put on it now: not closed by the other side, nothing unasked-for
    /// waiting in it. The other side may still close it in the next instant.
    pub(super) fn looks_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.wire.look_at_next_read();
        self.drive(cx);
        self.connection.is_some() && self.sender.is_ready()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection.as_mut()).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// Sends `request` and reads its answer; gives the connection back where it can carry another.
    pub(super) async fn exchange(
        mut self,
        request: Request<Full<Bytes>>,
        answer_max_bytes: usize,
        deadline: Instant,
    ) -> (Exchange, Option<Http1>) {
        let written_before = self.wire.written();
        self.used = true;
        let mut answering = pin!(self.sender.try_send_request(request));
        let head = timeout_at(
            deadline,
            poll_fn(|cx| {
                self.drive(cx);
                answering.as_mut().poll(cx)
            }),
        )
        .await;
        let unsent = self.wire.written() == written_before;
        let response = match head {
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                let handed_back = error.take_message().is_some();
                let detail = format!("HTTP/1.1: {}", answer::chain(error.error()));
                return (
                    if handed_back || unsent { Exchange::NeverStarted(detail) } else { answer::failed_head(error.error(), detail) },
                    None,
                );
            }
            Err(_) if unsent => return (Exchange::NeverStarted("HTTP/1.1: not a byte could be written in time".to_owned()), None),
            Err(_) => return (Exchange::Failed(TransportError::maybe(UnknownCause::Timeout, "HTTP/1.1: no answer in time")), None),
        };
        let (head, mut body) = response.into_parts();
        let mut collected = Collected::new(head.status, &head.headers, answer_max_bytes);
        let end = timeout_at(
            deadline,
            poll_fn(|cx| {
                self.drive(cx);
                collected.poll(Pin::new(&mut body), cx)
            }),
        )
        .await;
        let exchange = collected.finish(end, "HTTP/1.1");
        let reusable = matches!(exchange, Exchange::Answer(_)) && self.comes_to_rest().await;
        self.idle_since = Instant::now();
        (exchange, reusable.then_some(self))
    }

    /// Whether the connection is ready for another request after the answer's last byte. Does not
    /// wait: an answer that came before the whole request was taken leaves no usable connection.
    async fn comes_to_rest(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(self.connection.is_some() && self.sender.is_ready())
        })
        .await
    }
}
