//! One connection to an endpoint: a request at a time, driven by whoever posts.
//!
//! Framed as the way to Meta is ([`crate::net::http1`]): one buffer, one write, and mostly one read.
//! Only what follows from an answer is another: the status decides, whatever becomes of the body.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::{Answered, PostFault};
use crate::net::http1::reading::{Fault, Reading};
use crate::net::http1::{End, Talk};
use crate::net::wire::Stream;

/// An answer's head, and what is read at once.
const BUFFER_MAX_BYTES: usize = 16 * 1024;
/// Of an answer's body so much is read; a longer one ends its connection (reliability §e).
const BODY_MAX_BYTES: usize = 16 * 1024;
/// So much of the buffer is kept while a connection rests: a usual answer.
const BUFFER_KEPT_BYTES: usize = 4 * 1024;

/// One connection.
pub(super) struct Line {
    stream: Stream,
    /// What is read lands here. Kept from request to request, so that it is made only once.
    buffer: Vec<u8>,
    pub(super) idle_since: Instant,
    /// Whether it has carried a request already.
    pub(super) is_used: bool,
}

impl Line {
    /// Writes nothing yet.
    pub(super) fn new(stream: Stream) -> Line {
        Line { stream, buffer: Vec::new(), idle_since: Instant::now(), is_used: false }
    }

    /// Whether it was not closed while it rested, as far as the runtime was told. What the kernel may
    /// know beyond that is not asked for: it shows in the exchange, which can be made again.
    pub(super) async fn looks_open(&mut self) -> bool {
        let mut unasked = [0; 1];
        poll_fn(|cx| Poll::Ready(Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut unasked)).is_pending())).await
    }

    /// Sends `request`; the answer, and whether the connection can carry another request.
    pub(super) async fn exchange(
        &mut self,
        request: &[u8],
        deadline: Instant,
        body_within: Duration,
    ) -> Result<(Answered, bool), PostFault> {
        self.is_used = true;
        let mut talk = Talk::new(request, Reading::keeping_what_fits(BODY_MAX_BYTES), BUFFER_MAX_BYTES);
        let mut patience = pin!(sleep_until(deadline));
        let mut has_head = false;
        // `None` where the time was over.
        let ended = poll_fn(|cx| {
            if let Poll::Ready(end) = talk.poll(&mut self.stream, &mut self.buffer, cx) {
                return Poll::Ready(Some(end));
            }
            if !has_head && talk.reading().status().is_some() {
                has_head = true;
                patience.as_mut().reset(deadline.min(Instant::now() + body_within));
            }
            patience.as_mut().poll(cx).map(|()| None)
        })
        .await;
        let (reading, is_reusable) = talk.end();
        if self.buffer.len() > BUFFER_KEPT_BYTES {
            self.buffer = Vec::new();
        }
        if let Some((answer, location)) = reading.into_what_came() {
            let text = |value: Option<HeaderValue>| value.and_then(|value| value.to_str().ok().map(str::to_owned));
            let answered = Answered {
                status: answer.status.as_u16(),
                retry_after: text(answer.retry_after),
                location: text(location),
                body: answer.body.into(),
            };
            return Ok((answered, is_reusable));
        }
        Err(match ended {
            None => PostFault::Timeout("no answer in time"),
            Some(end) => PostFault::Lost(format!("the connection ended without an answer: {}", why(&end))),
        })
    }
}

fn why(end: &End) -> String {
    match end {
        End::Unreadable(Fault::Cut) => "closed by the other side".to_owned(),
        End::Unreadable(fault) => fault.problem().to_owned(),
        End::Broken(error) if error.kind() == io::ErrorKind::ConnectionReset => "reset by the other side".to_owned(),
        End::Broken(error) => error.to_string(),
        End::Whole => "an answer without a status".to_owned(),
    }
}
