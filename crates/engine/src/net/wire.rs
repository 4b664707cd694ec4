//! A socket that knows what it was given.
//!
//! Two questions decide money and cannot be asked of a plain stream: *did the kernel take a byte of
//! this request?* and *has the other side closed since we last looked?* So every connection is built
//! on a [`Wire`], which counts the bytes that the kernel took, and can be told to look at the socket
//! itself, past what the runtime has been told so far, before a request is put on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What outlives the moment when the socket disappears inside a connection.
#[derive(Debug, Default)]
pub(super) struct WireState {
    written: AtomicU64,
    heard: AtomicU64,
    look: AtomicBool,
}

impl WireState {
    /// How many bytes the kernel took so far. Where it is the same before and after, not a byte
    /// left in between: `write` either takes bytes or fails, never both.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// How many bytes came so far. Where it is the same twice, the other side said nothing between.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// `bytes` more came. Only whoever reads calls this, so nothing is lost between the two halves.
    pub(super) fn hear(&self, bytes: u64) {
        self.heard.store(self.heard.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// Lets the next read ask the kernel itself. The runtime learns of a close only when it polls
    /// for events, so without this a connection that was closed a moment ago still looks open.
    pub(super) fn look_at_next_read(&self) {
        self.look.store(true, Ordering::Release);
    }
}

/// A TCP stream that counts.
#[derive(Debug)]
pub(super) struct Wire {
    socket: TcpStream,
    state: Arc<WireState>,
}

impl Wire {
    /// Counts from now on.
    pub(super) fn new(socket: TcpStream) -> Wire {
        Wire { socket, state: Arc::default() }
    }

    /// What is counted.
    pub(super) fn state(&self) -> Arc<WireState> {
        Arc::clone(&self.state)
    }

    fn count(&self, written: &io::Result<usize>) {
        if let Ok(written) = written {
            self.state.written.fetch_add(*written as u64, Ordering::AcqRel);
        }
    }
}

/// How much is read where the look found something: an answer that nobody asked for, a TLS alert or
/// session ticket. What is longer comes with the next read.
const LOOK_BYTES: usize = 512;

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.state.look.swap(false, Ordering::AcqRel) {
            let room = buf.initialize_unfilled_to(buf.remaining().min(LOOK_BYTES));
            match recv(&self.socket, room, RecvFlags::DONTWAIT) {
                Ok((_, read)) => {
                    buf.advance(read);
                    self.state.hear(read as u64);
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if came > 0 {
            self.state.hear(came as u64);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, buf));
        self.count(&written);
        Poll::Ready(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, bufs));
        self.count(&written);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// What HTTP is spoken over.
#[derive(Debug)]
pub(super) enum Stream {
    /// `http://`
    Plain(Wire),
    /// `https://`
    Tls(Box<TlsStream<Wire>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(wire) => wire.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn pair() -> (Wire, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        (Wire::new(near), listener.accept().await.expect("it was dialled").0)
    }

    #[tokio::test]
    async fn the_bytes_that_the_kernel_took_are_counted() {
        let (mut wire, mut far) = pair().await;
        let state = wire.state();
        wire.write_all(b"hello").await.expect("it is open");
        assert_eq!(state.written(), 5);
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.expect("it was written");
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn a_look_sees_a_close_that_the_runtime_was_not_told_of() {
        let (mut wire, far) = pair().await;
        let state = wire.state();
        far.into_std().and_then(|far| far.shutdown(std::net::Shutdown::Both)).expect("it is open");
        state.look_at_next_read();
        let mut buf = [0; 8];
        // One poll, without giving the runtime a chance to look for events.
        let read = futures_util::FutureExt::now_or_never(wire.read(&mut buf)).expect("the kernel knows at once");
        assert_eq!(read.expect("a close is no error"), 0);
    }

    #[tokio::test]
    async fn a_look_that_finds_bytes_hands_them_on() {
        let (mut wire, mut far) = pair().await;
        far.write_all(b"unasked").await.expect("it is open");
        wire.state().look_at_next_read();
        let mut buf = [0; 16];
        assert_eq!(wire.read(&mut buf).await.expect("it is open"), 7);
        assert_eq!(&buf[..7], b"unasked");
    }

    #[tokio::test]
    async fn a_write_that_fails_took_nothing() {
        let (mut wire, far) = pair().await;
        let state = wire.state();
        rustix::net::sockopt::set_socket_linger(&far, Some(std::time::Duration::ZERO)).expect("an option of TCP");
        drop(far);
        // The reset has arrived once a read says so.
        let _ = wire.read(&mut [0; 1]).await;
        assert!(wire.write_all(b"too late").await.is_err());
        assert_eq!(state.written(), 0);
    }
}
