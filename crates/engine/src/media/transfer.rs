//! A file on its way to or from Meta: what [`Transport::transfer`](crate::transport::Transport) takes
//! and gives.
//!
//! Sends are small and whole in memory; a file may have 100 MB. So its bytes are a stream in both
//! directions, read only as fast as the other side takes them, and at no time is more than some pieces
//! of it in memory.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead as _, ReadBuf};

use crate::transport::{Authorization, PathAndQuery, Target};

/// Why a stream of a file broke off.
pub type StreamError = Box<dyn std::error::Error + Send + Sync>;

/// The bytes of an answer, as they come.
pub type Incoming = UnsyncBoxBody<Bytes, StreamError>;

/// One request that bears a file, or asks for one. Its `Debug` shows neither token, query nor bytes.
pub struct Transfer {
    /// Whom it goes to.
    pub target: Arc<Target>,
    /// Its method.
    pub method: Method,
    /// Its path and query, behind the target's prefix if it has one.
    pub path_and_query: PathAndQuery,
    /// The token, where this host may have it.
    pub authorization: Option<Authorization>,
    /// Type and bytes of its body, where it has one.
    pub body: Option<(HeaderValue, Outgoing)>,
    /// The W3C `traceparent` to pass on.
    pub traceparent: Option<HeaderValue>,
    /// How long to wait for the answer's head, its own body's time included.
    pub head_within: Duration,
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("target", &format_args!("{}", self.target))
            .field("method", &self.method)
            .field("path", &self.path_and_query.path())
            .field("has_authorization", &self.authorization.is_some())
            .finish_non_exhaustive()
    }
}

/// The answer to a [`Transfer`], its body still to be read. Dropping it ends the connection.
pub struct Transferred {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Incoming,
}

impl fmt::Debug for Transferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transferred").field("status", &self.status).finish_non_exhaustive()
    }
}

/// How much of a file is read at once: as much as a write to a socket mostly takes.
const PIECE_BYTES: usize = 64 * 1024;

/// A body made of a file on disk, with some bytes in front and some behind: its length is known, so
/// it needs no chunks.
pub struct Outgoing {
    before: Bytes,
    file: tokio::fs::File,
    file_left: u64,
    after: Bytes,
    piece: BytesMut,
}

impl Outgoing {
    /// `file` is read from where it stands, `length` bytes of it.
    #[must_use]
    pub fn new(before: Bytes, file: tokio::fs::File, length: u64, after: Bytes) -> Outgoing {
        Outgoing { before, file, file_left: length, after, piece: BytesMut::new() }
    }

    /// All its bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.file_left + self.before.len() as u64 + self.after.len() as u64
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if !this.before.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.before)))));
        }
        if this.file_left > 0 {
            let wanted = usize::try_from(this.file_left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            this.piece.resize(wanted, 0);
            let mut buffer = ReadBuf::new(&mut this.piece);
            ready!(Pin::new(&mut this.file).poll_read(cx, &mut buffer))?;
            let read = buffer.filled().len();
            if read == 0 {
                return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
            }
            this.file_left -= read as u64;
            return Poll::Ready(Some(Ok(Frame::data(this.piece.split_to(read).freeze()))));
        }
        if !this.after.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.after)))));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_file_goes_out_whole_between_what_stands_around_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let content: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let mut file =
            tokio::fs::File::options().read(true).write(true).create_new(true).open(folder.path().join("f")).await.expect("a new file");
        file.write_all(&content).await.expect("there is room");
        file.rewind().await.expect("a file can be rewound");
        let body = Outgoing::new(Bytes::from_static(b"<"), file, content.len() as u64, Bytes::from_static(b">"));
        assert_eq!(body.size_hint().exact(), Some(200_002));
        let sent = body.collect().await.expect("a file is read").to_bytes();
        assert_eq!(sent.len(), 200_002);
        assert_eq!((&sent[..1], &sent[200_001..]), (&b"<"[..], &b">"[..]));
        assert_eq!(&sent[1..200_001], &content[..]);
    }
}
