//! The express lane: sends over HTTP/1.1 that are there as a whole, framed by ourselves.
//!
//! Nearly every request is a `POST` to the send route whose head and body came in one piece. Those
//! are read, answered and written here, for a fraction of what a library's connection costs. The
//! lane knows no second opinion about framing and no limit of its own: whatever is not plainly one
//! such request, and nothing else, is left to the library together with every byte that was read
//! so far, and the connection stays with it.
//!
//! Plainly one request is: the send route, HTTP/1.1, one `Host`, one `Content-Length` of digits, no
//! header twice that must be single, no header that changes how the bytes are read, and the last
//! byte of the body already here.

use std::future::{Future as _, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::CONNECTION;
use http::{HeaderValue, Method, Uri};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use turnpike_engine::turns::others_first;

use super::body::RequestBody;
use super::connection::{Asked, Origin, answer_asked, news_of_the_kernel};
use super::head::{self, Findings, X_FORWARDED_FOR};
use super::line::Line;
use super::wire::Wire;
use super::{Known, Response, SEND_PATH, Service};
use crate::messaging::headers::X_ALLOW_DUPLICATE;
use crate::request_id::{RequestId, TraceParent};

/// Head and body of nearly every send. What is larger goes the library's way.
const BUFFER_BYTES: usize = 8 * 1024;

/// Headers that the parser has room for; more than a head may have.
const HEADERS_MAX: usize = 100;

/// Room for an answer's head: some 15 headers.
const HEAD_BYTES: usize = 1024;

/// What the lane leaves to the library.
pub(super) struct Rest<IO> {
    pub(super) io: IO,
    /// Read, and not answered.
    pub(super) unread: Bytes,
    /// Requests that were answered.
    pub(super) answered: u32,
}

/// Answers plain sends for as long as nothing else comes. `None` where the connection has ended.
pub(super) async fn serve<IO, S>(mut io: IO, line: &Arc<Line>, origin: Origin, service: &S) -> Option<Rest<IO>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Service,
{
    let mut buffer = BytesMut::new();
    let mut written = Vec::new();
    let mut answered = 0;
    loop {
        if buffer.is_empty() && !until_bytes(&mut io, &mut buffer, line).await {
            return close(io, line, answered).await;
        }
        let mut looked = Plain::look(&buffer, line);
        if matches!(looked, Looked::Incomplete) {
            // Some write the head and then the body: what was a moment behind is here now.
            others_first().await;
            if at_once(&mut io, &mut buffer).await {
                looked = Plain::look(&buffer, line);
            }
        }
        let Looked::Plain(plain) = looked else { return Some(Rest { io, unread: buffer.freeze(), answered }) };
        let asked = plain.asked(&mut buffer, line);
        answered += 1;
        let response = answer_asked(service, line, origin, asked).await;
        let closes = response.headers().contains_key(CONNECTION);
        if !write_out(&response, &mut written, line) {
            // A send is never answered with a stream.
            tracing::error!("a send's answer was a stream; closing its connection");
            return None;
        }
        others_first().await;
        if let Err(error) = write_all(&mut io, &written, line).await {
            tracing::debug!(error = %error, "connection ended early");
            return None;
        }
        line.answer_written(false);
        if closes {
            return close(io, line, answered).await;
        }
    }
}

/// Closes a connection on which nothing is under way.
async fn close<IO: AsyncRead + AsyncWrite + Unpin>(io: IO, line: &Arc<Line>, answered: u32) -> Option<Rest<IO>> {
    let _ = Wire::http1(io, line.clone(), Bytes::new(), answered).shutdown().await;
    None
}

/// Waits for bytes. False where there will be none: the peer has closed, the read failed, or the
/// connection is to finish and nothing has come until now.
async fn until_bytes<IO: AsyncRead + Unpin>(io: &mut IO, buffer: &mut BytesMut, line: &Line) -> bool {
    buffer.reserve(BUFFER_BYTES);
    let found = {
        let mut reading = pin!(io.read_buf(buffer));
        poll_fn(|cx| match reading.as_mut().poll(cx) {
            Poll::Ready(read) => Poll::Ready(Some(matches!(read, Ok(1..)))),
            Poll::Pending if line.is_to_finish() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    };
    match found {
        Some(found) => found,
        None => {
            news_of_the_kernel().await;
            at_once(io, buffer).await
        }
    }
}

/// Reads what is there, without waiting. Whether anything was.
async fn at_once<IO: AsyncRead + Unpin>(io: &mut IO, buffer: &mut BytesMut) -> bool {
    let mut reading = pin!(io.read_buf(buffer));
    poll_fn(|cx| Poll::Ready(matches!(reading.as_mut().poll(cx), Poll::Ready(Ok(1..))))).await
}

async fn write_all<IO: AsyncWrite + Unpin>(io: &mut IO, mut bytes: &[u8], line: &Line) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            let written = ready!(line.watch_write(Pin::new(&mut *io).poll_write(cx, bytes)))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes = &bytes[written..];
        }
        line.watch_write(Pin::new(&mut *io).poll_flush(cx))
    })
    .await
}

/// Writes an answer as its bytes. False where its body is a stream.
fn write_out(response: &Response, out: &mut Vec<u8>, line: &Line) -> bool {
    let Some(body) = response.body().as_full() else { return false };
    out.clear();
    out.reserve(HEAD_BYTES + body.len());
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(response.status().as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(response.status().canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in response.headers() {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(b"\r\ncontent-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    line.shared.with_date(|date| out.extend_from_slice(date));
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
    true
}

/// What the bytes at the front of a buffer are.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and lives on the stack for a moment")]
enum Looked {
    Plain(Plain),
    /// Perhaps the beginning of a plain send.
    Incomplete,
    Other,
}

/// A plain send, and where its parts lie in the buffer.
#[derive(Default)]
struct Plain {
    target: Uri,
    body: Range<usize>,
    authorization: Option<Range<usize>>,
    content_type: Option<Range<usize>>,
    idempotency_key: Option<Range<usize>>,
    request_id: Option<Range<usize>>,
    traceparent: Option<TraceParent>,
    allow_duplicate: Option<Range<usize>>,
    forwarded_for: Vec<Range<usize>>,
    from_browser: bool,
}

impl Plain {
    fn look(bytes: &[u8], line: &Line) -> Looked {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut []);
        let length = match head.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if b"POST ".starts_with(&bytes[..bytes.len().min(5)]) => return Looked::Incomplete,
            _ => return Looked::Other,
        };
        let limits = &line.shared.limits;
        let target = head.path.unwrap_or_default();
        let to_send = target.strip_prefix(SEND_PATH).is_some_and(|tail| tail.is_empty() || tail.starts_with('?'));
        let (post, version) = (head.method == Some("POST"), head.version == Some(1));
        if !(to_send && post && version) || length > limits.header_bytes || head.headers.len() > limits.headers {
            return Looked::Other;
        }
        let Some((mut plain, body)) = Plain::of_headers(head.headers, bytes) else { return Looked::Other };
        plain.target = match target {
            SEND_PATH => Uri::from_static(SEND_PATH),
            with_query => match with_query.parse() {
                Ok(target) => target,
                Err(_) => return Looked::Other,
            },
        };
        plain.body = length..length.saturating_add(body);
        if plain.body.end > bytes.len() { Looked::Incomplete } else { Looked::Plain(plain) }
    }

    /// The headers that matter, and the body's length; `None` where anything is out of the ordinary.
    fn of_headers(headers: &[httparse::Header<'_>], bytes: &[u8]) -> Option<(Plain, usize)> {
        /// What occurs a second time makes the request another's matter.
        fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
            place.replace(value).is_none().then_some(())
        }
        let mut plain = Plain::default();
        let (mut host, mut length, mut traceparent) = (None, None, None);
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let place = || within(bytes, header.value);
            // Lengths of names tell nearly all of the others apart.
            match header.name.len() {
                4 if is("host") => once(&mut host, head::is_host(header.value))?,
                13 if is("authorization") => once(&mut plain.authorization, place())?,
                12 if is("content-type") => once(&mut plain.content_type, place())?,
                14 if is("content-length") => once(&mut length, digits(header.value)?)?,
                15 if is("idempotency-key") => once(&mut plain.idempotency_key, place())?,
                12 if is("x-request-id") => once(&mut plain.request_id, place())?,
                11 if is("traceparent") => once(&mut traceparent, TraceParent::parse(header.value))?,
                17 if is("x-allow-duplicate") => once(&mut plain.allow_duplicate, place())?,
                15 if is("x-forwarded-for") => plain.forwarded_for.push(place()),
                6 if is("origin") => plain.from_browser = true,
                10 if is("connection") && !header.value.eq_ignore_ascii_case(b"keep-alive") => return None,
                // On a send nobody reads these; that they must be single is the library's to say.
                13 if is("last-event-id") => return None,
                10 if is("x-operator") => return None,
                2 if is("te") => return None,
                16 if is("content-encoding") => return None,
                6 if is("expect") => return None,
                7 if is("upgrade") || is("trailer") => return None,
                17 if is("transfer-encoding") => return None,
                _ => {}
            }
        }
        plain.traceparent = traceparent.flatten();
        (host == Some(true)).then_some((plain, length?))
    }

    /// Takes the request out of the buffer.
    fn asked(self, buffer: &mut BytesMut, line: &Line) -> Asked {
        let bytes = buffer.split_to(self.body.end).freeze();
        let value = |place: Range<usize>| {
            HeaderValue::from_maybe_shared(bytes.slice(place)).expect("the parser lets in only what a header's value may hold")
        };
        let known = Known {
            authorization: self.authorization.map(value),
            content_type: self.content_type.map(value),
            idempotency_key: self.idempotency_key.map(value),
            from_browser: self.from_browser,
        };
        let found = Findings {
            known,
            request_id: self.request_id.and_then(|place| RequestId::of_caller(&value(place))),
            traceparent: self.traceparent,
            chunked: false,
            forwarded: !self.forwarded_for.is_empty(),
            without_host: false,
        };
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = Method::POST;
        head.uri = self.target;
        // What is known already is not looked up again, so only the others are put in.
        for place in self.forwarded_for {
            head.headers.append(X_FORWARDED_FOR, value(place));
        }
        if let Some(place) = self.allow_duplicate {
            head.headers.insert(X_ALLOW_DUPLICATE, value(place));
        }
        Asked { head, body: RequestBody::whole(bytes.slice(self.body)), found, verdict: Ok(()), count: line.request_began() }
    }
}

/// Where `part` lies in `bytes`, of which it is a part.
fn within(bytes: &[u8], part: &[u8]) -> Range<usize> {
    let start = if part.is_empty() { 0 } else { part.as_ptr().addr() - bytes.as_ptr().addr() };
    start..start + part.len()
}

fn digits(value: &[u8]) -> Option<usize> {
    let all = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| all)?.parse().ok()
}
