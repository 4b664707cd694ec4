//! The bytes of one connection, on their way between the socket and the HTTP library.
//!
//! Three things are seen to here because nobody else can: the referee reads along; an answer that
//! the library makes up by itself for bytes that it cannot parse, a bare status, is replaced with
//! our own error (contract §2: every error has a body); and a connection that we close is lingered
//! on, since bytes that cross our close would be answered with a reset: it takes the last answer from
//! the peer, and says less than a plain end (RFC 9112 §9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turnpike_domain::refusal::Refusal;

use super::framing::Referee;
use super::line::{Line, Phase};
use crate::error::{ErrorContext, Sending, envelope, status};

/// Most bytes that are swallowed behind an answer: a whole send's body and its head.
const LINGER_BYTES: usize = 1024 * 1024 + 16 * 1024;

pub(super) struct Wire<IO> {
    io: IO,
    line: Arc<Line>,
    /// Read before this was made, and to be read again first.
    unread: Bytes,
    /// Reads along on HTTP/1.1; HTTP/2 frames itself.
    referee: Option<Referee>,
    /// The last write went out in part, so the next one is not the beginning of an answer.
    within_write: bool,
    replacement: Option<Replacement>,
    closing: Closing,
}

/// Our error in the place of the library's.
struct Replacement {
    bytes: Bytes,
    /// What the library believes to have written.
    stands_for: usize,
}

enum Closing {
    No,
    Linger { swallowed: usize },
    Done,
}

impl<IO> Wire<IO> {
    /// For HTTP/1.1: `unread` was read from `io` already, behind so many requests that were answered.
    pub(super) fn http1(io: IO, line: Arc<Line>, unread: Bytes, answered: u32) -> Wire<IO> {
        Wire { unread, ..Wire::new(io, line, Some(Referee::after(answered))) }
    }

    pub(super) fn http2(io: IO, line: Arc<Line>) -> Wire<IO> {
        Wire::new(io, line, None)
    }

    fn new(io: IO, line: Arc<Line>, referee: Option<Referee>) -> Wire<IO> {
        Wire { io, line, unread: Bytes::new(), referee, within_write: false, replacement: None, closing: Closing::No }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buf.filled().len();
        if wire.unread.is_empty() {
            ready!(Pin::new(&mut wire.io).poll_read(cx, buf))?;
        } else {
            let here = wire.unread.len().min(buf.remaining());
            buf.put_slice(&wire.unread.split_to(here));
        }
        let new = &buf.filled()[before..];
        match &mut wire.referee {
            _ if new.is_empty() => {}
            Some(referee) => {
                referee.see(new);
                if let Some((request, foul)) = referee.foul() {
                    wire.line.report_foul(request, foul);
                }
                wire.line.heard(referee);
            }
            None => wire.line.heard_frames(),
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if wire.replacement.is_none() && wire.referee.is_some() && !wire.within_write && !wire.line.is_streaming() {
            wire.replacement = made_up_by_library(buf).map(|refusal| {
                // The referee may know better what was wrong.
                let foul = wire.referee.as_ref().and_then(Referee::foul).map(|(_, foul)| Refusal::BadFraming { problem: foul.problem() });
                Replacement { bytes: answer_to_unreadable(&foul.unwrap_or(refusal), &wire.line), stands_for: buf.len() }
            });
        }
        while let Some(replacement) = &mut wire.replacement {
            let written = ready!(wire.line.watch_write(Pin::new(&mut wire.io).poll_write(cx, &replacement.bytes)))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let _ = replacement.bytes.split_to(written);
            if replacement.bytes.is_empty() {
                let stands_for = replacement.stands_for;
                wire.replacement = None;
                return Poll::Ready(Ok(stands_for));
            }
        }
        let written = ready!(wire.line.watch_write(Pin::new(&mut wire.io).poll_write(cx, buf)))?;
        wire.within_write = written < buf.len();
        if !wire.within_write
            && let Some(referee) = &wire.referee
        {
            wire.line.answer_written(referee.within_head());
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        wire.line.watch_write(Pin::new(&mut wire.io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        loop {
            match &mut wire.closing {
                Closing::No => {
                    ready!(wire.line.watch_write(Pin::new(&mut wire.io).poll_shutdown(cx)))?;
                    // HTTP/2 says by GOAWAY what it did not look at.
                    wire.closing = if wire.referee.is_some() {
                        wire.line.enter(Phase::Lingering);
                        Closing::Linger { swallowed: 0 }
                    } else {
                        Closing::Done
                    };
                }
                Closing::Linger { swallowed } => {
                    let mut sink = [0; 4096];
                    let mut sink = ReadBuf::new(&mut sink);
                    let end = ready!(Pin::new(&mut wire.io).poll_read(cx, &mut sink)).is_err() || sink.filled().is_empty();
                    *swallowed += sink.filled().len();
                    if end || *swallowed > LINGER_BYTES {
                        wire.closing = Closing::Done;
                    }
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// The refusal behind an answer that the library made up: a head with a status, a length of zero
/// and nothing else. Ours always bear an `X-Request-Id`.
fn made_up_by_library(answer: &[u8]) -> Option<Refusal> {
    let rest = answer.strip_prefix(b"HTTP/1.")?.get(1..)?;
    let refusal = if rest.starts_with(b" 400 ") {
        Refusal::BadFraming { problem: "the request line or a header cannot be read" }
    } else if rest.starts_with(b" 431 ") || rest.starts_with(b" 414 ") {
        Refusal::HeadTooLarge
    } else {
        return None;
    };
    let bare = answer.ends_with(b"\r\n\r\n")
        && memchr::memmem::find(answer, b"\r\ncontent-length: 0\r\n").is_some()
        && memchr::memmem::find(answer, b"\r\nx-request-id: ").is_none();
    bare.then_some(refusal)
}

/// The whole answer to bytes that could not be read as a request. It may have been meant to send,
/// so it says that nothing was.
fn answer_to_unreadable(refusal: &Refusal, line: &Line) -> Bytes {
    let body = envelope(refusal, ErrorContext { send: Sending::AsRefused, chance: 0 });
    let status = status(refusal);
    let mut answer = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\ncache-control: no-store\r\nx-request-id: {}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
        line.shared.ids.make(),
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    Bytes::from(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bare_answers_of_the_library_are_taken_for_its_own() {
        let bare = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 22 Nov 2026 14:00:00 GMT\r\n\r\n";
        assert!(matches!(made_up_by_library(bare), Some(Refusal::BadFraming { .. })));
        let large = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(made_up_by_library(large), Some(Refusal::HeadTooLarge));
        let ours = b"HTTP/1.1 400 Bad Request\r\nx-request-id: abc\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(made_up_by_library(ours), None);
        assert_eq!(made_up_by_library(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(made_up_by_library(b"HTTP/1."), None);
        assert_eq!(made_up_by_library(b""), None);
    }
}
