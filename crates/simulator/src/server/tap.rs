//! The bytes beneath `h2`, shared with whoever has to break them.
//!
//! `h2` sends only honest frames: its GOAWAY always covers what it has seen. To
//! send one that does not, or half a frame, we write beneath it; and since a
//! frame must not be cut by another, the tap follows the frames that pass and
//! puts ours between two of them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;

/// Length, type, flags, stream.
const FRAME_HEAD: usize = 9;

/// One connection's bytes. Clones share it.
#[derive(Clone)]
pub(super) struct Tap(Arc<Mutex<Inner>>);

struct Inner {
    stream: Option<Stream>,
    /// What was read before `h2` took over.
    read_already: BytesMut,
    /// Ours, to go out between two frames.
    injected: Bytes,
    /// The head of the frame that is passing, as far as it is known.
    head: Vec<u8>,
    /// What is left of its payload.
    payload_left: usize,
    /// Who waits for the injected bytes to be gone.
    waiting: Option<Waker>,
}

impl Tap {
    pub(super) fn new(stream: Stream, read_already: BytesMut) -> Tap {
        Tap(Arc::new(Mutex::new(Inner {
            stream: Some(stream),
            read_already,
            injected: Bytes::new(),
            head: Vec::with_capacity(FRAME_HEAD),
            payload_left: 0,
            waiting: None,
        })))
    }

    /// Sends these bytes after the frame that is passing now. They go out when
    /// the connection is next driven.
    pub(super) fn inject(&self, bytes: Bytes) {
        self.lock().injected = bytes;
    }

    /// Whether all that was injected is gone (or can never go).
    pub(super) fn poll_injected(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.injected.is_empty() || inner.stream.is_none() {
            return Poll::Ready(());
        }
        match inner.poll_inject(cx) {
            Poll::Ready(_) if inner.injected.is_empty() => Poll::Ready(()),
            Poll::Ready(Err(_)) => Poll::Ready(()),
            _ => {
                inner.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Takes the stream away from `h2`, to end it.
    pub(super) fn take(&self) -> Option<Stream> {
        self.lock().stream.take()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn at_boundary(&self) -> bool {
        self.head.is_empty() && self.payload_left == 0
    }

    /// Writes what is injected, where a frame has just ended.
    fn poll_inject(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.injected.is_empty() && self.at_boundary() {
            let Some(stream) = &mut self.stream else { break };
            match Pin::new(&mut *stream).poll_write(cx, &self.injected) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.injected.advance(written),
                Poll::Ready(Err(error)) => {
                    self.injected = Bytes::new();
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => return Poll::Pending,
            }
            if self.injected.is_empty() {
                if let Some(stream) = &mut self.stream {
                    // TLS may hold the last record back until it is flushed.
                    let _ = Pin::new(stream).poll_flush(cx);
                }
                if let Some(waiting) = self.waiting.take() {
                    waiting.wake();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Follows the frames in what was written.
    fn follow(&mut self, mut written: &[u8]) {
        while !written.is_empty() {
            if self.payload_left > 0 {
                let passed = self.payload_left.min(written.len());
                self.payload_left -= passed;
                written = &written[passed..];
                continue;
            }
            let wanted = (FRAME_HEAD - self.head.len()).min(written.len());
            self.head.extend_from_slice(&written[..wanted]);
            written = &written[wanted..];
            if self.head.len() == FRAME_HEAD {
                self.payload_left = usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2]);
                self.head.clear();
            }
        }
    }

    /// How much of `buf` may be written so that no frame of ours is jumped over:
    /// up to the end of the frame that is passing, while something is injected.
    fn allowed(&self, buf: &[u8]) -> usize {
        if self.injected.is_empty() {
            buf.len()
        } else if self.payload_left > 0 {
            self.payload_left.min(buf.len())
        } else {
            (FRAME_HEAD - self.head.len()).min(buf.len())
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if !inner.read_already.is_empty() {
            let given = inner.read_already.len().min(buf.remaining());
            let bytes = inner.read_already.split_to(given);
            buf.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        match &mut inner.stream {
            Some(stream) => Pin::new(stream).poll_read(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        if inner.poll_inject(cx)?.is_pending() {
            return Poll::Pending;
        }
        let allowed = inner.allowed(buf);
        let Some(stream) = &mut inner.stream else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let written = std::task::ready!(Pin::new(stream).poll_write(cx, &buf[..allowed]))?;
        inner.follow(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        std::task::ready!(inner.poll_inject(cx))?;
        match &mut inner.stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        match &mut inner.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
