//! Reading an answer to its end, and saying honestly how far it came.

use std::error::Error as _;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use tokio::time::error::Elapsed;
use turnpike_domain::refusal::UnknownCause;

use super::Exchange;
use crate::transport::{GraphResponse, TransportError, cause_of_unusable};

/// An answer whose body is being read.
pub(super) struct Collected {
    answer: GraphResponse,
    /// Used from the second piece on; most answers come in one.
    pieces: BytesMut,
    max_bytes: usize,
}

/// How the body ended.
pub(super) enum BodyEnd {
    /// With its last byte.
    Whole,
    /// Before it.
    Cut(hyper::Error),
    /// It is longer than was asked for.
    TooLong,
}

impl Collected {
    /// Begins with an answer's head.
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, max_bytes: usize) -> Collected {
        let keep = |name: HeaderName| headers.get(name).cloned();
        let answer = GraphResponse {
            status,
            retry_after: keep(header::RETRY_AFTER),
            trace_id: keep(HeaderName::from_static("x-fb-trace-id")),
            content_type: keep(header::CONTENT_TYPE),
            body: Bytes::new(),
        };
        Collected { answer, pieces: BytesMut::new(), max_bytes }
    }

    /// Reads on.
    pub(super) fn poll(&mut self, mut body: Pin<&mut Incoming>, cx: &mut Context<'_>) -> Poll<BodyEnd> {
        loop {
            let Some(frame) = ready!(body.as_mut().poll_frame(cx)) else { return Poll::Ready(BodyEnd::Whole) };
            let piece = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) => return Poll::Ready(BodyEnd::Cut(error)),
            };
            if self.answer.body.len() + self.pieces.len() + piece.len() > self.max_bytes {
                return Poll::Ready(BodyEnd::TooLong);
            }
            if self.answer.body.is_empty() && self.pieces.is_empty() {
                self.answer.body = piece;
            } else {
                if self.pieces.is_empty() {
                    self.pieces.extend_from_slice(&std::mem::take(&mut self.answer.body));
                }
                self.pieces.extend_from_slice(&piece);
            }
        }
    }

    /// The answer, or why it cannot be used. Its head came, so bytes had left.
    pub(super) fn finish(mut self, end: Result<BodyEnd, Elapsed>, protocol: &str) -> Exchange {
        let status = self.answer.status;
        let unusable = |cause, what: &str| Exchange::Failed(TransportError::maybe(cause, format!("{protocol}: {status}, but {what}")));
        match end {
            Ok(BodyEnd::Whole) => {
                if !self.pieces.is_empty() {
                    self.answer.body = self.pieces.freeze();
                }
                Exchange::Answer(self.answer)
            }
            Ok(BodyEnd::Cut(error)) => unusable(cause_of_unusable(status), &format!("its body was cut: {}", chain(&error))),
            Ok(BodyEnd::TooLong) => unusable(cause_of_unusable(status), "its body is too long"),
            Err(_) => unusable(UnknownCause::Timeout, "its body did not end in time"),
        }
    }
}

/// The end of a request of which bytes may have left and no head came back.
pub(super) fn failed_head(error: &hyper::Error, detail: String) -> Exchange {
    let cause = if error.is_parse() { UnknownCause::UnreadableAnswer } else { UnknownCause::ConnectionLost };
    Exchange::Failed(TransportError::maybe(cause, detail))
}

/// An error with its sources. hyper's and h2's texts hold nothing of a request; what the other side
/// wrote into a GOAWAY is cut.
pub(super) fn chain(error: &hyper::Error) -> String {
    const MAX_CHARS: usize = 200;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text.chars().take(MAX_CHARS).collect()
}
