//! A connection as bytes, plain or TLS, with a way to end it that a client can
//! tell apart: an orderly end or a reset.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::faults::How;

/// How long we go on reading after our orderly end. Closing a socket with unread
/// bytes resets it, and the client would see a reset instead of the end.
const LINGER: Duration = Duration::from_secs(5);

/// One accepted connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Sends FIN below TLS; reading goes on.
    pub(crate) fn end_writing(&self) {
        // A client that is gone already has seen its end.
        let _ = socket2::SockRef::from(self.tcp()).shutdown(Shutdown::Write);
    }

    /// Makes the coming drop a reset instead of an orderly end.
    pub(crate) fn reset_on_drop(&self) {
        let _ = self.tcp().set_zero_linger();
    }

    /// Whether bytes (or the end) wait to be read, without reading them.
    pub(crate) async fn wait_readable(&self) -> io::Result<usize> {
        self.tcp().peek(&mut [0]).await
    }

    /// Ends the connection so that the client sees which way it ended.
    pub(crate) async fn close(mut self, how: How) {
        match how {
            How::Rst => self.reset_on_drop(),
            How::Fin => {
                let _ = self.flush().await;
                self.end_writing();
                let _ = tokio::time::timeout(LINGER, self.drain()).await;
            }
        }
    }

    /// Reads and forgets until the client ends the connection.
    pub(crate) async fn drain(&mut self) {
        let mut chunk = [0; 4_096];
        while matches!(self.read(&mut chunk).await, Ok(1..)) {}
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
