//! What goes out and what comes in: the answer's body, and the timed, capped reading of a
//! request's.
//!
//! Nearly every answer is one piece of bytes that is already there, so that is what the type makes
//! cheap; a stream is boxed. A request's body is read under a limit of size, of time and of pace,
//! and costs no timer while its bytes are already waiting.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use turnpike_domain::refusal::Refusal;

use super::line::Line;

/// An answer.
pub type Response = http::Response<Body>;

/// Why a streamed answer broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Full(Bytes),
    Stream(UnsyncBoxBody<Bytes, BodyError>, Option<Streaming>),
}

impl Body {
    /// No bytes at all.
    #[must_use]
    pub const fn empty() -> Body {
        Body(Kind::Full(Bytes::new()))
    }

    /// Bytes that are already there: the cheap way.
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        Body(Kind::Full(bytes.into()))
    }

    /// Bytes that come as they are made (exports, the control routes).
    pub fn stream<B>(body: B) -> Body
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        use http_body_util::BodyExt;
        Body(Kind::Stream(UnsyncBoxBody::new(body.map_err(Into::into)), None))
    }

    /// The bytes of a body that is not a stream.
    #[must_use]
    pub fn as_full(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Full(bytes) => Some(bytes),
            Kind::Stream(..) => None,
        }
    }

    /// Has a stream read by a task of its own, which gives it up where the peer has taken nothing of it
    /// for `stall`. For HTTP/2: there the library asks a body for bytes only once the peer has made room,
    /// so one whose peer makes none would never be looked at again, and never end.
    pub(super) fn read_on_its_own(&mut self, tracker: &TaskTracker, stall: Duration) {
        use http_body::Body as _;
        let Kind::Stream(body, streaming) = &mut self.0 else { return };
        if body.is_end_stream() {
            return;
        }
        let (give, taken) = mpsc::channel(1);
        let ended_well = Arc::new(AtomicBool::new(false));
        let handed = Handed { taken, ended_well: ended_well.clone(), left: body.size_hint().exact() };
        let body = std::mem::replace(body, UnsyncBoxBody::new(handed));
        let streaming = streaming.take();
        tracker.spawn(async move {
            if hand_over(body, &give, stall).await {
                ended_well.store(true, Ordering::Release);
            }
            drop((give, streaming));
        });
    }

    /// Lets the connection know until when the bytes it writes belong to this body.
    pub(super) fn announce(&mut self, line: &Arc<Line>) {
        if let Kind::Stream(_, streaming) = &mut self.0 {
            *streaming = Some(Streaming::begin(line));
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Stream(body, _) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Stream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(body, _) => body.size_hint(),
        }
    }
}

/// A stream that another task reads.
struct Handed {
    taken: mpsc::Receiver<Piece>,
    /// Whether it was given to its end; until then the end of what is given is a break.
    ended_well: Arc<AtomicBool>,
    left: Option<u64>,
}

/// What a stream yields.
type Piece = Result<Frame<Bytes>, BodyError>;

impl http_body::Body for Handed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let this = self.get_mut();
        this.taken.poll_recv(cx).map(|piece| match piece {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.left = this.left.map(|left| left.saturating_sub(bytes));
                Some(Ok(frame))
            }
            Some(broken) => Some(broken),
            None if this.ended_well.load(Ordering::Acquire) => None,
            None => Some(Err("the peer took nothing of the answer for too long".into())),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What an HTTP/2 peer has to take of a stream within [`ServerLimits::write_stall`](super::ServerLimits):
/// little, since one who is only slow is not to be given up.
const TAKEN_WITHIN_STALL_BYTES: usize = 8 * 1024;

/// Gives `body` piece by piece. False where nobody takes them: the other side has left, or stalls.
async fn hand_over(mut body: UnsyncBoxBody<Bytes, BodyError>, give: &mpsc::Sender<Piece>, stall: Duration) -> bool {
    use http_body_util::BodyExt as _;
    loop {
        let piece = tokio::select! {
            biased;
            () = give.closed() => return false,
            piece = body.frame() => piece,
        };
        let Some(piece) = piece else { return true };
        let mut data = match piece.map(Frame::into_data) {
            Ok(Ok(data)) => data,
            // Nothing of ours has trailers.
            Ok(Err(_)) => continue,
            Err(broken) => return give.send_timeout(Err(broken), stall).await.is_ok(),
        };
        while !data.is_empty() {
            let here = data.split_to(data.len().min(TAKEN_WITHIN_STALL_BYTES));
            if give.send_timeout(Ok(Frame::data(here)), stall).await.is_err() {
                return false;
            }
        }
    }
}

/// The body of a request, unread. [`read_body`] reads all of it, within limits.
#[derive(Debug)]
pub struct RequestBody(Source);

#[derive(Debug)]
enum Source {
    /// All of it came with the head.
    Whole(Bytes),
    /// It is read by the HTTP library.
    Coming(hyper::body::Incoming),
    /// Likewise, and what nobody has read of it goes back.
    Lent(Lent),
}

/// A body that goes back unless it was read to its end.
#[derive(Debug)]
struct Lent {
    /// `None` only while it is dropped.
    body: Option<hyper::body::Incoming>,
    back: Option<oneshot::Sender<hyper::body::Incoming>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        use http_body::Body as _;
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // Nobody waits for it where the connection has ended.
            drop(back.send(body));
        }
    }
}

impl RequestBody {
    pub(super) fn whole(bytes: Bytes) -> RequestBody {
        RequestBody(Source::Whole(bytes))
    }

    pub(super) fn coming(body: hyper::body::Incoming) -> RequestBody {
        RequestBody(Source::Coming(body))
    }

    /// For HTTP/2: a body, and the way on which comes back what the answer did without.
    pub(super) fn lent(body: hyper::body::Incoming) -> (RequestBody, Unread) {
        use http_body::Body as _;
        if body.is_end_stream() {
            return (RequestBody::coming(body), Unread(None));
        }
        let (back, unread) = oneshot::channel();
        (RequestBody(Source::Lent(Lent { body: Some(body), back: Some(back) })), Unread(Some(unread)))
    }
}

/// What an answer did without of its request's body.
pub(super) struct Unread(Option<oneshot::Receiver<hyper::body::Incoming>>);

impl Unread {
    /// Reads it to its end and throws it away, for `within` at most.
    ///
    /// An HTTP/2 answer that overtakes its request ends with `RST_STREAM(NO_ERROR)` (RFC 9113 §8.1), upon
    /// which clients in use (curl 7.88, Debian 12's) throw the answer away: who forgot his key would
    /// not be told so. A send's body is a moment behind its head, so waiting for it costs next to nothing.
    pub(super) async fn discard(self, within: Duration) {
        let Some(mut body) = self.0.and_then(|mut unread| unread.try_recv().ok()) else { return };
        let all = poll_fn(|cx| {
            loop {
                match std::task::ready!(http_body::Body::poll_frame(Pin::new(&mut body), cx)) {
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return Poll::Ready(()),
                }
            }
        });
        // Late or not, the answer goes out.
        drop(tokio::time::timeout(within, all).await);
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().0 {
            Source::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Source::Coming(body) => Pin::new(body).poll_frame(cx),
            Source::Lent(lent) => lent.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Coming(body) => body.is_end_stream(),
            Source::Lent(lent) => lent.body.as_ref().is_none_or(http_body::Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Coming(body) => body.size_hint(),
            Source::Lent(lent) => lent.body.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint),
        }
    }
}

/// While this lives, a streamed answer is under way on the line.
#[derive(Debug)]
struct Streaming(Arc<Line>);

impl Streaming {
    fn begin(line: &Arc<Line>) -> Streaming {
        line.stream_began();
        Streaming(line.clone())
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.stream_ended();
    }
}

/// How long a body may take (reliability.md §e): `total` for any body, and beyond that only while it
/// has kept up `bytes_per_second` from its beginning.
#[derive(Clone, Copy, Debug)]
pub struct BodyPace {
    /// Time that any body may take.
    pub total: Duration,
    /// Pace, from the beginning, at which a large body may take longer.
    pub bytes_per_second: u32,
}

impl Default for BodyPace {
    fn default() -> Self {
        BodyPace { total: Duration::from_secs(10), bytes_per_second: 16 * 1024 }
    }
}

impl BodyPace {
    /// When a body of which `received` bytes are here must be complete or have more.
    fn allowance(self, received: usize) -> Duration {
        let earned = Duration::from_millis(received as u64 * 1000 / u64::from(self.bytes_per_second.max(1)));
        self.total.max(earned)
    }
}

/// Reads a whole body.
///
/// Refused: `BodyTooLarge` past `limit` bytes (before reading, where the length was announced),
/// `BodyTooSlow` past the pace, `BadFraming` where the body breaks off or its chunks cannot be
/// read. After a refusal the connection is closed behind the answer, since the rest of the body is
/// still on it. An announced length costs one allocation, and none where one read brought it all.
pub async fn read_body(body: &mut RequestBody, limit: usize, pace: BodyPace) -> Result<Bytes, Refusal> {
    match &mut body.0 {
        Source::Whole(bytes) if bytes.len() > limit => Err(Refusal::BodyTooLarge { limit }),
        Source::Whole(bytes) => Ok(std::mem::take(bytes)),
        Source::Coming(body) => read_coming(body, limit, pace).await,
        Source::Lent(lent) => match &mut lent.body {
            Some(body) => read_coming(body, limit, pace).await,
            None => Ok(Bytes::new()),
        },
    }
}

async fn read_coming(body: &mut hyper::body::Incoming, limit: usize, pace: BodyPace) -> Result<Bytes, Refusal> {
    use http_body::Body as _;
    let announced = body.size_hint();
    if announced.lower() > limit as u64 {
        return Err(Refusal::BodyTooLarge { limit });
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    let mut received = 0;
    // Made at the second fruitless look only: most bodies are here at once, and a timer costs more
    // than reading them. Waking ourselves after the first makes sure that there is a second.
    let mut timer: Option<(tokio::time::Instant, Pin<Box<tokio::time::Sleep>>)> = None;
    let mut waited = false;
    loop {
        let frame = poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(Ok(frame));
            }
            if !waited {
                waited = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let (began, sleep) = timer.get_or_insert_with(|| {
                let now = tokio::time::Instant::now();
                (now, Box::pin(tokio::time::sleep_until(now + pace.allowance(received))))
            });
            let deadline = *began + pace.allowance(received);
            if sleep.deadline() != deadline {
                sleep.as_mut().reset(deadline);
            }
            sleep.as_mut().poll(cx).map(|()| Err(Refusal::BodyTooSlow))
        })
        .await?;
        let data = match frame {
            None => break,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                // Trailers say nothing that we read.
                Err(_) => continue,
            },
            Some(Err(_)) => return Err(Refusal::BadFraming { problem: "the body broke off or its chunks cannot be read" }),
        };
        received += data.len();
        if received > limit {
            return Err(Refusal::BodyTooLarge { limit });
        }
        if first.is_empty() && gathered.is_empty() {
            first = data;
            if body.is_end_stream() {
                break;
            }
            continue;
        }
        if gathered.is_empty() {
            let whole = announced.exact().map_or(2 * received, |exact| usize::try_from(exact).unwrap_or(limit).min(limit));
            gathered.reserve(whole.max(received));
            gathered.extend_from_slice(&std::mem::take(&mut first));
        }
        gathered.extend_from_slice(&data);
    }
    Ok(if gathered.is_empty() { first } else { gathered.freeze() })
}
