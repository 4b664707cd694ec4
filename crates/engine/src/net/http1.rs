//! An HTTP/1.1 connection: one request at a time, driven by whoever sends it.
//!
//! Framed by ourselves, because this is the hot way of every message over HTTP/1.1 and a library's
//! connection costs several times what the bytes do: one buffer, one write, and mostly one read.
//! `reading` understands the answers. Nobody polls an idle connection; that it was closed is found
//! when it is taken up again, by asking the kernel itself ([`super::wire`]).
//!
//! A request that is dropped half-way drops its connection with it, so no byte can leave after we
//! have said that none did.

pub(super) mod reading;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Method;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;
use turnpike_domain::refusal::UnknownCause;

use self::reading::{Fault, Reading};
use super::patience::Patience;
use super::pool::Seat;
use super::wire::{Stream, WireState};
use super::{Exchange, USER_AGENT};
use crate::transport::{GraphRequest, TransportError, cause_of_unusable};

/// What is read at once: Meta's head is about 2 KiB, and the answer to a send a few hundred bytes.
const BUFFER_BYTES: usize = 4 * 1024;
/// Longest head, or line between chunks, that is taken.
const BUFFER_MAX_BYTES: usize = 64 * 1024;

/// One connection.
pub(super) struct Http1 {
    stream: Stream,
    wire: Arc<WireState>,
    /// What is read lands here. Kept from request to request, so that it is made only once.
    buffer: Vec<u8>,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
    /// Whether it has carried a request already.
    pub(super) used: bool,
    _seat: Seat,
}

impl Http1 {
    /// Will speak HTTP/1.1 over `stream`. Writes nothing yet.
    pub(super) fn new(stream: Stream, wire: Arc<WireState>, seat: Seat) -> Http1 {
        Http1 { stream, wire, buffer: Vec::new(), idle_since: Instant::now(), used: false, _seat: seat }
    }

    /// Whether a request may be put on it now: not closed by the other side, nothing unasked-for
    /// waiting in it. The other side may still close it in the next instant.
    pub(super) fn looks_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.wire.look_at_next_read();
        let mut unasked = [0; 1];
        Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut unasked)).is_pending()
    }

    /// Sends `request` and reads its answer; gives the connection back where it can carry another.
    /// Tells `silent` where the other side says nothing for too long.
    pub(super) async fn exchange(mut self, request: &GraphRequest, patience: Patience, silent: impl FnOnce()) -> (Exchange, Option<Http1>) {
        // One that rested was looked at when it was taken up.
        if !std::mem::replace(&mut self.used, true) && !poll_fn(|cx| Poll::Ready(self.looks_open(cx))).await {
            return (Exchange::NeverStarted("HTTP/1.1: closed before a byte could be written".to_owned()), None);
        }
        let written_before = self.wire.written();
        let outgoing = written_out(request);
        let mut talk = Talk::new(&outgoing, Reading::new(request.answer_max_bytes), BUFFER_MAX_BYTES);
        let answer = poll_fn(|cx| talk.poll(&mut self.stream, &mut self.buffer, cx));
        let ended = patience.on(&self.wire).until(answer, silent).await;
        let Talk { flushed, broken, filled, reading, .. } = talk;
        // Whatever is said to have come then: it answers nothing of ours.
        if self.wire.written() == written_before {
            return (Exchange::NeverStarted(format!("HTTP/1.1: not a byte was written ({})", told(&ended))), None);
        }
        let reusable = reading.keeps_open() && flushed && broken.is_none() && filled == 0;
        let exchange = match (reading.status(), ended) {
            (Some(_), Ok(End::Whole)) => match reading.into_answer() {
                Some(answer) => Exchange::Answer(answer),
                None => Exchange::Failed(TransportError::maybe(UnknownCause::UnreadableAnswer, "HTTP/1.1: an answer without an end")),
            },
            (Some(status), Err(_)) => Exchange::Failed(TransportError::maybe(
                UnknownCause::Timeout,
                format!("HTTP/1.1: {status}, but its body did not end in time"),
            )),
            (Some(status), ended) => {
                Exchange::Failed(TransportError::maybe(cause_of_unusable(status), format!("HTTP/1.1: {status}, but {}", told(&ended))))
            }
            (None, ended) => {
                let cause = match &ended {
                    Ok(End::Unreadable(Fault::Garbled(_) | Fault::TooLong)) => UnknownCause::UnreadableAnswer,
                    Ok(_) => UnknownCause::ConnectionLost,
                    Err(_) => UnknownCause::Timeout,
                };
                Exchange::Failed(TransportError::maybe(cause, format!("HTTP/1.1: no answer: {}", told(&ended))))
            }
        };
        if !reusable || !matches!(exchange, Exchange::Answer(_)) {
            return (exchange, None);
        }
        if self.buffer.len() > BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        self.idle_since = Instant::now();
        (exchange, Some(self))
    }
}

/// How a talk ended.
pub(super) enum End {
    /// With the answer's last byte.
    Whole,
    /// With an answer that cannot be read, or none.
    Unreadable(Fault),
    /// With an error of the connection.
    Broken(io::Error),
}

fn told(ended: &Result<End, tokio::time::error::Elapsed>) -> String {
    match ended {
        Ok(End::Whole) => "an answer came".to_owned(),
        Ok(End::Unreadable(fault)) => fault.problem().to_owned(),
        Ok(End::Broken(error)) => error.to_string(),
        Err(_) => "the time is over".to_owned(),
    }
}

/// One request and its answer, while they are under way.
pub(super) struct Talk<'a> {
    outgoing: &'a [u8],
    /// Longest head, or line between chunks, that is taken.
    buffer_max: usize,
    sent: usize,
    flushed: bool,
    /// Why nothing more can be written. An answer may wait to be read all the same: a server that
    /// says no early closes without having read everything.
    broken: Option<io::Error>,
    /// How much of the buffer was read and not yet understood.
    filled: usize,
    reading: Reading,
}

impl<'a> Talk<'a> {
    /// Nothing written or read yet.
    pub(super) fn new(outgoing: &'a [u8], reading: Reading, buffer_max: usize) -> Talk<'a> {
        Talk { outgoing, buffer_max, sent: 0, flushed: false, broken: None, filled: 0, reading }
    }

    /// The answer as far as it was read.
    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The answer as far as it was read, and whether the connection can carry another request.
    pub(super) fn end(self) -> (Reading, bool) {
        let is_clean = self.flushed && self.broken.is_none() && self.filled == 0;
        let is_reusable = is_clean && self.reading.is_whole() && self.reading.keeps_open();
        (self.reading, is_reusable)
    }

    /// Writes and reads as far as it goes; `buffer` is kept from one request to the next.
    pub(super) fn poll(&mut self, stream: &mut Stream, buffer: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<End> {
        if !self.flushed && self.broken.is_none() {
            self.write(stream, cx);
        }
        if self.sent == 0 && self.broken.is_none() {
            return Poll::Pending;
        }
        loop {
            if self.filled == buffer.len() {
                if self.filled >= self.buffer_max {
                    return Poll::Ready(End::Unreadable(Fault::Garbled("the head is too long")));
                }
                buffer.resize((buffer.len() * 2).max(BUFFER_BYTES), 0);
            }
            let mut room = ReadBuf::new(&mut buffer[self.filled..]);
            let read = Pin::new(&mut *stream).poll_read(cx, &mut room).map_ok(|()| room.filled().len());
            match read {
                Poll::Pending => return self.broken.take().map_or(Poll::Pending, |error| Poll::Ready(End::Broken(error))),
                Poll::Ready(Err(error)) => return Poll::Ready(End::Broken(error)),
                Poll::Ready(Ok(0)) => return Poll::Ready(self.reading.end().map_or_else(End::Unreadable, |()| End::Whole)),
                Poll::Ready(Ok(read)) => self.filled += read,
            }
            match self.reading.take(&buffer[..self.filled]) {
                Ok(taken) => {
                    buffer.copy_within(taken..self.filled, 0);
                    self.filled -= taken;
                }
                Err(fault) => return Poll::Ready(End::Unreadable(fault)),
            }
            if self.reading.is_whole() {
                return Poll::Ready(End::Whole);
            }
        }
    }

    fn write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) {
        while self.sent < self.outgoing.len() {
            match Pin::new(&mut *stream).poll_write(cx, &self.outgoing[self.sent..]) {
                Poll::Ready(Ok(0)) => {
                    self.broken = Some(io::ErrorKind::WriteZero.into());
                    return;
                }
                Poll::Ready(Ok(written)) => self.sent += written,
                Poll::Ready(Err(error)) => {
                    self.broken = Some(error);
                    return;
                }
                Poll::Pending => return,
            }
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.flushed = true,
            Poll::Ready(Err(error)) => self.broken = Some(error),
            Poll::Pending => {}
        }
    }
}

/// `request` as its bytes, head and body.
fn written_out(request: &GraphRequest) -> Vec<u8> {
    /// Everything in a head but path, host and token.
    const ROOM: usize = 320;
    let path = request.path_and_query.wire().as_str();
    let authority = request.target.authority();
    let authorization = request.authorization.header().as_bytes();
    let mut out = Vec::with_capacity(ROOM + path.len() + authority.len() + authorization.len() + request.body.len());
    for part in [request.method.as_str().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\nhost: ", authority.as_bytes()] {
        out.extend_from_slice(part);
    }
    for part in [b"\r\nauthorization: ", authorization, b"\r\nuser-agent: ", USER_AGENT.as_bytes()] {
        out.extend_from_slice(part);
    }
    if let Some(traceparent) = &request.traceparent {
        out.extend_from_slice(b"\r\ntraceparent: ");
        out.extend_from_slice(traceparent.as_bytes());
    }
    if !request.body.is_empty() {
        out.extend_from_slice(b"\r\ncontent-type: application/json");
    }
    if !request.body.is_empty() || request.method != Method::GET {
        out.extend_from_slice(b"\r\ncontent-length: ");
        out.extend_from_slice(request.body.len().to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(&request.body);
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;
    use crate::transport::{Authorization, PathAndQuery, Target};

    fn request(method: Method, body: &'static str) -> GraphRequest {
        GraphRequest {
            target: Arc::new(Target::parse("http://127.0.0.1:4000").expect("an address")),
            method,
            path_and_query: PathAndQuery::parse("/v23.0/1/messages?x=y").expect("a path"),
            authorization: Authorization::bearer("token").expect("a token"),
            body: Bytes::from_static(body.as_bytes()),
            request_id: None,
            traceparent: None,
            deadline: None,
            answer_max_bytes: 64,
        }
    }

    #[test]
    fn a_request_is_written_with_everything_that_it_needs_and_no_more() {
        let agent = USER_AGENT.to_str().expect("it is ASCII").to_owned();
        let mut post = request(Method::POST, "{}");
        post.traceparent = Some(HeaderValue::from_static("00-x"));
        let expected = format!(
            "POST /v23.0/1/messages?x=y HTTP/1.1\r\nhost: 127.0.0.1:4000\r\nauthorization: Bearer token\r\nuser-agent: {agent}\r\ntraceparent: 00-x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        assert_eq!(String::from_utf8_lossy(&written_out(&post)), expected);
        let expected = format!(
            "GET /v23.0/1/messages?x=y HTTP/1.1\r\nhost: 127.0.0.1:4000\r\nauthorization: Bearer token\r\nuser-agent: {agent}\r\n\r\n"
        );
        assert_eq!(String::from_utf8_lossy(&written_out(&request(Method::GET, ""))), expected);
        assert!(String::from_utf8_lossy(&written_out(&request(Method::POST, ""))).contains("content-length: 0\r\n"));
    }
}
