//! An idle connection is closed just when a request comes: the moment itself, which no test from
//! outside can hit, since it lies between two looks of ours at the socket.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turnpike_domain::time::UnixMs;

use super::connection::{Origin, serve_http1, until_cut};
use super::line::{Phase, Shared};
use super::{Body, Incoming, Response, ServerLimits, Service, TrustedProxies};
use crate::request_id::RequestIds;

const SEND: &str = "POST /v1/wa/message HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
const OTHER: &str = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers everything.
struct Yes;

impl Service for Yes {
    async fn call(&self, _: Incoming) -> Response {
        http::Response::new(Body::full("yes"))
    }
}

/// A socket: what each coming look at it finds, and what was done to it.
#[derive(Default)]
struct Kernel {
    /// `None` is nothing; what is left out at the end is nothing, or the peer's end once we have closed.
    looks: VecDeque<Option<&'static str>>,
    written: Vec<u8>,
    is_closed: bool,
    looked_behind_the_close: bool,
}

struct Socket(Arc<Mutex<Kernel>>);

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut kernel = self.0.lock();
        if kernel.is_closed {
            kernel.looked_behind_the_close = true;
            return Poll::Ready(Ok(()));
        }
        match kernel.looks.pop_front().flatten() {
            Some(bytes) => {
                buf.put_slice(bytes.as_bytes());
                Poll::Ready(Ok(()))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().written.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().is_closed = true;
        Poll::Ready(Ok(()))
    }
}

/// Serves `first`, waits until the connection has been idle for too long, and has `second` come behind
/// the look at which nothing was there. What was written for each.
async fn closed_just_when(first: &'static str, second: Option<&'static str>) -> (String, String, bool) {
    let ids = Arc::new(RequestIds::new(UnixMs(1_790_000_000_000), 7));
    let shared = Arc::new(Shared::new(ServerLimits::default(), TrustedProxies::default(), ids));
    let seat = shared.seat(None, Phase::Silent).expect("there is room");
    let line = seat.line.clone();
    let kernel = Arc::new(Mutex::new(Kernel { looks: VecDeque::from([Some(first)]), ..Kernel::default() }));
    let socket = Socket(kernel.clone());
    let mut serving = Box::pin(until_cut(seat, async {
        serve_http1(socket, &line, Origin::Local, &Yes).await;
    }));
    // Each writing lets others come first, so it takes some looks until all is quiet.
    for _ in 0..64 {
        assert!((&mut serving).now_or_never().is_none(), "it waits for more");
    }
    let answered = String::from_utf8(std::mem::take(&mut kernel.lock().written)).expect("text");
    assert!(answered.starts_with("HTTP/1.1 200 OK\r\n"), "{answered}");

    // The next look still finds nothing, and the one behind it finds what has come meanwhile.
    kernel.lock().looks = VecDeque::from([None, second]);
    shared.sweep(Duration::from_secs(1_000));
    tokio::time::timeout(Duration::from_secs(5), serving).await.expect("it ends");
    let kernel = kernel.lock();
    assert!(kernel.is_closed, "our side is closed");
    (answered, String::from_utf8(kernel.written.clone()).expect("text"), kernel.looked_behind_the_close)
}

#[tokio::test]
async fn a_request_that_comes_just_when_its_connection_is_closed_is_answered() {
    for first in [SEND, OTHER] {
        for second in [SEND, OTHER] {
            let (answered, last, _) = closed_just_when(first, Some(second)).await;
            assert!(!answered.contains("connection: close"), "{answered}");
            assert!(last.starts_with("HTTP/1.1 200 OK\r\n"), "{first:?}, then {second:?}: {last}");
            assert!(last.contains("connection: close\r\n"), "and told that it is the last: {last}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_for_idleness_is_read_until_its_peer_ends() {
    for first in [SEND, OTHER] {
        let (_, last, looked_behind_the_close) = closed_just_when(first, None).await;
        assert_eq!(last, "");
        assert!(looked_behind_the_close, "{first:?}: what crosses our close would be reset");
    }
}
