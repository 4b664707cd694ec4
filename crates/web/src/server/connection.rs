//! One connection from its first byte to its last, and one request from its head to its answer.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use http::header::{CACHE_CONTROL, CONNECTION};
use http::{HeaderName, HeaderValue, Version};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::TaskTracker;
use turnpike_domain::refusal::Refusal;

use super::body::{RequestBody, Unread};
use super::express::{self, Rest};
use super::head::{self, Bounds, Findings};
use super::line::{Line, Phase, Seat, Shared};
use super::wire::Wire;
use super::{Incoming, Peer, Response, Service, error_context};
use crate::error::{Sending, render};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Largest piece of a body that is read at once, and so what an HTTP/1.1 connection may hold.
const BUFFER_BYTES: usize = 64 * 1024;

/// What one HTTP/2 stream, and one connection, may send ahead of being read.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Network { address: IpAddr, trusted: bool },
    Local,
}

/// Runs `connection` until it ends or the broom cuts it.
pub(super) async fn until_cut(seat: Seat, connection: impl Future<Output = ()>) {
    let line = &seat.line;
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        line.listen_for_orders(cx);
        if line.is_cut() { Poll::Ready(()) } else { connection.as_mut().poll(cx) }
    })
    .await;
}

/// Serves HTTP/1.1 until either side closes: plain sends by the express lane, everything from the
/// first other request on by the library.
pub(super) async fn serve_http1<IO, S>(io: IO, line: &Arc<Line>, origin: Origin, service: &S)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    S: Service,
{
    if let Some(rest) = express::serve(io, line, origin, service).await {
        // In a box, so that a connection that never needs the library has no room for it.
        boxed(serve_the_rest(rest, line, origin, service)).await;
    }
}

async fn serve_the_rest<IO, S>(rest: Rest<IO>, line: &Arc<Line>, origin: Origin, service: &S)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    S: Service,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    http.half_close(true)
        .header_read_timeout(None)
        .max_header_size(line.shared.limits.header_bytes)
        .max_buf_size(BUFFER_BYTES.max(line.shared.limits.header_bytes))
        // Answers are small: one copy into one write is cheaper than a gathering one.
        .writev(false);
    let wire = Wire::http1(rest.io, line.clone(), rest.unread, rest.answered);
    let connection = http.serve_connection(
        TokioIo::new(wire),
        service_fn(|request: http::Request<_>| answer(service, line, origin, request.map(RequestBody::coming))),
    );
    let mut connection = pin!(connection);
    let ended = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if line.is_to_finish() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await;
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // The library closes an idle connection as soon as it is told; what has come until now is a
            // request, and is taken first.
            news_of_the_kernel().await;
            let mut told = false;
            poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                if polled.is_ready() || std::mem::replace(&mut told, true) {
                    return polled;
                }
                connection.as_mut().graceful_shutdown();
                connection.as_mut().poll(cx)
            })
            .await
        }
    };
    note_end(ended);
}

/// Before an idle connection is closed: lets the runtime hear what has come for it. Closed with
/// bytes unread it would be reset, and whoever sent them could not tell whether they did anything.
pub(super) async fn news_of_the_kernel() {
    // A task that yields this way is woken behind the runtime's next look at its sockets.
    tokio::task::yield_now().await;
}

/// Serves HTTP/2 until either side closes. Its streams are tasks on the tracker.
pub(super) async fn serve_http2<IO, S>(io: IO, line: &Arc<Line>, origin: Origin, service: &Arc<S>, tracker: &TaskTracker)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    line.becomes_multiplexed();
    let limits = &line.shared.limits;
    let mut http = hyper::server::conn::http2::Builder::new(OnTracker(tracker.clone()));
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        // The library resets or answers bare what is past its own bound; ours is half of it and is
        // answered REQ_008.
        .max_header_list_size(u32::try_from(limits.header_bytes.saturating_mul(2)).unwrap_or(u32::MAX));
    let wire = Wire::http2(io, line.clone());
    let (service, line_of_streams, tracker) = (service.clone(), line.clone(), tracker.clone());
    let connection = http.serve_connection(
        TokioIo::new(wire),
        service_fn(move |request| {
            let (service, line, tracker) = (service.clone(), line_of_streams.clone(), tracker.clone());
            async move {
                let (request, unread) = lend(request);
                let mut response = answer(&*service, &line, origin, request).await?;
                unread.discard(line.shared.limits.linger).await;
                response.body_mut().read_on_its_own(&tracker, line.shared.limits.write_stall);
                Ok::<Response, Infallible>(response)
            }
        }),
    );
    let mut connection = pin!(connection);
    let mut told = false;
    let ended = poll_fn(|cx| {
        if !told && line.is_to_finish() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await;
    note_end(ended);
}

/// Lets what the answer does without of the request's body come back.
fn lend(request: http::Request<hyper::body::Incoming>) -> (http::Request<RequestBody>, Unread) {
    let (head, body) = request.into_parts();
    let (body, unread) = RequestBody::lent(body);
    (http::Request::from_parts(head, body), unread)
}

/// Puts the library's tasks on the server's tracker, so that a drain waits for them.
#[derive(Clone)]
struct OnTracker(TaskTracker);

impl<F> hyper::rt::Executor<F> for OnTracker
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Peers that vanish or talk nonsense are everyday; whoever looks for one finds it here.
fn note_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(error = %error, "connection ended early");
    }
}

/// A request is under way on the line while this lives.
struct UnderWay<'a>(&'a Line);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

/// A request whose head was looked at.
pub(super) struct Asked {
    pub(super) head: http::request::Parts,
    pub(super) body: RequestBody,
    pub(super) found: Findings,
    pub(super) verdict: Result<(), Refusal>,
    /// Which of its connection it is, from 1.
    pub(super) count: u32,
}

/// Answers one request that came by the library.
async fn answer<S: Service>(
    service: &S,
    line: &Arc<Line>,
    origin: Origin,
    request: http::Request<RequestBody>,
) -> Result<Response, Infallible> {
    let count = line.request_began();
    let (head, body) = request.into_parts();
    let limits = &line.shared.limits;
    let (found, verdict) = head::examine(&head, Bounds { headers: limits.headers, bytes: limits.header_bytes });
    let verdict = match line.foul_of(count) {
        Some(foul) => Err(Refusal::BadFraming { problem: foul.problem() }),
        None => verdict,
    };
    Ok(answer_asked(service, line, origin, Asked { head, body, found, verdict, count }).await)
}

/// Answers one request: refuses it by its head, or lets the service answer it; then puts on what
/// every answer bears.
pub(super) async fn answer_asked<S: Service>(service: &S, line: &Arc<Line>, origin: Origin, asked: Asked) -> Response {
    let Asked { head, body, found, verdict, count } = asked;
    let shared = &*line.shared;
    let under_way = UnderWay(line);
    let chance = shared.counts.requests.fetch_add(1, Ordering::Relaxed);
    let request_id = found.request_id.unwrap_or_else(|| shared.ids.make());
    let context = error_context(&head, chance);
    let version = head.version;
    let multiplexed = version >= Version::HTTP_2;
    let mut close = found.chunked || found.without_host || verdict.is_err();

    let mut response = match verdict {
        Err(refusal) => render(&refusal, context),
        Ok(()) => {
            let peer = peer_of(origin, found.forwarded, &head, shared);
            let incoming =
                Incoming { head, body, peer, request_id: request_id.clone(), traceparent: found.traceparent, known: found.known, chance };
            // Pinned where it is made: it is some kilobytes, and every wrapper would move it.
            let mut call = pin!(service.call(incoming));
            let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            });
            match caught.await {
                Ok(response) => response,
                Err(_) => {
                    tracing::error!(request.id = %request_id, "a handler panicked; answered SYS_001");
                    let send = if context.send == Sending::AsRefused { Sending::Lost } else { context.send };
                    render(&Refusal::Bug, crate::error::ErrorContext { send, ..context })
                }
            }
        }
    };

    // What is still to come of this request would be taken for the next one.
    close |= line.awaits_body_of(count);
    close |= shared.is_draining() || line.is_to_finish();
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, request_id.to_header());
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if close && !multiplexed {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if close && version == Version::HTTP_10 {
        // To an answer of a later version the library adds the keep-alive that such a request asked for.
        *response.version_mut() = Version::HTTP_10;
    }
    response.body_mut().announce(line);
    drop(under_way);
    response
}

fn peer_of(origin: Origin, forwarded: bool, head: &http::request::Parts, shared: &Shared) -> Peer {
    match origin {
        Origin::Local => Peer::Local,
        // A listed proxy that names nobody still speaks for somebody, so it is not "this machine".
        Origin::Network { address, trusted: true } => {
            let named = if forwarded { shared.trusted.forwarded_for(head::forwarded_for(head)) } else { None };
            Peer::Network { address: named.unwrap_or(address), proxy: Some(address) }
        }
        Origin::Network { address, trusted: false } => Peer::Network { address, proxy: None },
    }
}

/// Waits for the first byte of a connection without having built anything for it yet.
pub(super) async fn first_byte(stream: &tokio::net::TcpStream, line: &Line) -> bool {
    line.enter(Phase::Silent);
    stream.readable().await.is_ok()
}

/// Boxes what only TLS connections need, so that the plain ones stay small.
pub(super) fn boxed<'a>(future: impl Future<Output = ()> + Send + 'a) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(future)
}
