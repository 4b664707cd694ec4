//! Understanding an HTTP/1.1 answer, piece by piece, without any I/O.
//!
//! The rules of RFC 9112 §6.3 for the answer to a request that is neither HEAD nor CONNECT: where
//! the body ends is said by the status, by chunks, by a length, or by the end of the connection.
//! What could be read in two ways is not read at all: the answer is then unusable and the money
//! waits for evidence, which is always safe.
//!
//! An endpoint's answer is read alike, but for its body: there the status decides, so of a body that
//! is too long the beginning is kept.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::transport::GraphResponse;

/// Headers that an answer may have; Meta sends about 25.
const HEADERS_MAX: usize = 100;

/// What most answers say of their content: these two need no memory of their own.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");
const BARE_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer as far as it has been read.
pub(in crate::net) struct Reading {
    answer: Option<GraphResponse>,
    location: Option<HeaderValue>,
    body: Vec<u8>,
    body_max_bytes: usize,
    keeps_what_fits: bool,
    stage: Stage,
    keeps_open: bool,
}

/// Where the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In the head, or in one of the 1xx answers before it.
    Head,
    /// In a body of known length, of which so much is to come.
    Counted(usize),
    /// Before the line that tells a chunk's size.
    ChunkSize,
    /// In a chunk, of which so much is to come.
    Chunk(usize),
    /// Before the line feed behind a chunk.
    ChunkEnd,
    /// In the lines behind the last chunk, which say nothing that we read.
    Trailers,
    /// In a body that ends with the connection.
    ToTheEnd,
    /// Behind the last byte.
    Whole,
}

/// Why an answer cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Fault {
    /// The connection ended in it.
    Cut,
    /// It is not HTTP, or may mean two things.
    Garbled(&'static str),
    /// Its body is longer than was asked for.
    TooLong,
}

impl Fault {
    /// For logs; holds nothing that the other side wrote.
    pub(in crate::net) fn problem(self) -> &'static str {
        match self {
            Fault::Cut => "the connection ended",
            Fault::Garbled(problem) => problem,
            Fault::TooLong => "the body is too long",
        }
    }
}

impl Reading {
    /// Nothing read yet; takes a body of at most so many bytes.
    pub(in crate::net) fn new(body_max_bytes: usize) -> Reading {
        Reading {
            answer: None,
            location: None,
            body: Vec::new(),
            body_max_bytes,
            keeps_what_fits: false,
            stage: Stage::Head,
            keeps_open: false,
        }
    }

    /// As [`Reading::new`], but of a body that is longer the first bytes are kept.
    pub(in crate::net) fn keeping_what_fits(body_max_bytes: usize) -> Reading {
        Reading { keeps_what_fits: true, ..Reading::new(body_max_bytes) }
    }

    /// The status, once the head is there.
    pub(in crate::net) fn status(&self) -> Option<StatusCode> {
        self.answer.as_ref().map(|answer| answer.status)
    }

    /// Whether the answer is there to its last byte.
    pub(in crate::net) fn is_whole(&self) -> bool {
        self.stage == Stage::Whole
    }

    /// Whether the other side takes another request on this connection.
    pub(in crate::net) fn keeps_open(&self) -> bool {
        self.keeps_open
    }

    /// The whole answer.
    pub(in crate::net) fn into_answer(self) -> Option<GraphResponse> {
        let whole = self.is_whole();
        self.answer.filter(|_| whole).map(|answer| GraphResponse { body: Bytes::from(self.body), ..answer })
    }

    /// What came of an answer whose head is there, and where a redirect of it leads.
    pub(in crate::net) fn into_what_came(self) -> Option<(GraphResponse, Option<HeaderValue>)> {
        let location = self.location;
        self.answer.map(|answer| (GraphResponse { body: Bytes::from(self.body), ..answer }, location))
    }

    /// Reads from the front of `bytes` and tells how many it took; what it did not take is to be
    /// shown again, with more behind it. Behind the answer's last byte it takes nothing.
    pub(in crate::net) fn take(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let step = match self.stage {
                Stage::Whole => return Ok(at),
                Stage::Head => self.take_head(rest)?,
                Stage::Counted(left) => Some(self.take_body(rest, left, Stage::Counted, Stage::Whole)?),
                Stage::Chunk(left) => Some(self.take_body(rest, left, Stage::Chunk, Stage::ChunkEnd)?),
                Stage::ChunkSize => self.take_chunk_size(rest)?,
                Stage::ChunkEnd => self.take_chunk_end(rest)?,
                Stage::Trailers => self.take_trailer(rest),
                Stage::ToTheEnd => {
                    self.keep(rest)?;
                    Some(rest.len())
                }
            };
            let Some(taken) = step else { return Ok(at) };
            at += taken;
            if at == bytes.len() && !self.is_whole() {
                return Ok(at);
            }
        }
    }

    /// The connection ended here.
    pub(in crate::net) fn end(&mut self) -> Result<(), Fault> {
        if self.stage != Stage::ToTheEnd {
            return Err(Fault::Cut);
        }
        self.stage = Stage::Whole;
        Ok(())
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut head, bytes, &mut headers);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Fault::Garbled("the head is not one of HTTP/1.1")),
        };
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Fault::Garbled("there is no such status"))?;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(length));
        }
        let found = Found::among(head.headers)?;
        let version = head.version.unwrap_or(0);
        self.stage = found.body(status, version)?;
        if let Stage::Counted(announced) = self.stage {
            if announced > self.body_max_bytes && !self.keeps_what_fits {
                self.answer = Some(found.answer(status));
                return Err(Fault::TooLong);
            }
            self.body.reserve_exact(announced.min(self.body_max_bytes));
            if announced == 0 {
                self.stage = Stage::Whole;
            }
        }
        self.keeps_open =
            version == 1 && !found.closes && !found.framed_twice && self.stage != Stage::ToTheEnd && !status.is_informational();
        if status.is_redirection() {
            self.location = found.location.and_then(|location| HeaderValue::from_bytes(location).ok());
        }
        self.answer = Some(found.answer(status));
        Ok(Some(length))
    }

    fn take_body(&mut self, bytes: &[u8], left: usize, on: fn(usize) -> Stage, then: Stage) -> Result<usize, Fault> {
        let here = left.min(bytes.len());
        self.keep(&bytes[..here])?;
        self.stage = if here == left { then } else { on(left - here) };
        Ok(here)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let room = self.body_max_bytes - self.body.len();
        if bytes.len() > room {
            if self.keeps_what_fits {
                self.body.extend_from_slice(&bytes[..room]);
            }
            return Err(Fault::TooLong);
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn take_chunk_size(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete((length, size))) => {
                self.stage = match usize::try_from(size) {
                    Ok(0) => Stage::Trailers,
                    Ok(size) => Stage::Chunk(size),
                    Err(_) => return Err(Fault::TooLong),
                };
                Ok(Some(length))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(_) => Err(Fault::Garbled("a chunk's size cannot be read")),
        }
    }

    fn take_chunk_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        match bytes {
            [b'\r', b'\n', ..] => {
                self.stage = Stage::ChunkSize;
                Ok(Some(2))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(Fault::Garbled("a chunk is longer than its size")),
        }
    }

    fn take_trailer(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = memchr::memchr(b'\n', bytes)?;
        if matches!(&bytes[..end], [] | [b'\r']) {
            self.stage = Stage::Whole;
        }
        Some(end + 1)
    }
}

/// What a head's headers say that matters.
#[derive(Default)]
struct Found<'a> {
    length: Option<usize>,
    encoding: Option<&'a [u8]>,
    closes: bool,
    framed_twice: bool,
    retry_after: Option<&'a [u8]>,
    trace_id: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    location: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn among(headers: &[httparse::Header<'a>]) -> Result<Found<'a>, Fault> {
        let mut found = Found::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // Lengths of names tell nearly all of the others apart.
            match header.name.len() {
                14 if is("content-length") => {
                    let length = length(header.value).ok_or(Fault::Garbled("the Content-Length is not the length of a body"))?;
                    if found.length.replace(length).is_some_and(|before| before != length) {
                        return Err(Fault::Garbled("there are two different Content-Lengths"));
                    }
                }
                // Of several the last says how the body ends (RFC 9112 §6.1).
                17 if is("transfer-encoding") => found.encoding = Some(header.value),
                10 if is("connection") => {
                    found.closes |= header.value.split(|b| *b == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"));
                }
                8 if is("location") => found.location = found.location.or(Some(header.value)),
                11 if is("retry-after") => found.retry_after = found.retry_after.or(Some(header.value)),
                13 if is("x-fb-trace-id") => found.trace_id = found.trace_id.or(Some(header.value)),
                12 if is("content-type") => found.content_type = found.content_type.or(Some(header.value)),
                _ => {}
            }
        }
        found.framed_twice = found.length.is_some() && found.encoding.is_some();
        Ok(found)
    }

    /// How the body ends (RFC 9112 §6.3).
    fn body(&self, status: StatusCode, version: u8) -> Result<Stage, Fault> {
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS) {
            return Ok(Stage::Counted(0));
        }
        match (self.encoding, self.length) {
            (Some(_), _) if version == 0 => Err(Fault::Garbled("HTTP/1.0 knows no Transfer-Encoding")),
            (Some(encoding), _) => {
                let last = encoding.rsplit(|b| *b == b',').next().unwrap_or_default();
                Ok(if last.trim_ascii().eq_ignore_ascii_case(b"chunked") { Stage::ChunkSize } else { Stage::ToTheEnd })
            }
            (None, Some(length)) => Ok(Stage::Counted(length)),
            (None, None) => Ok(Stage::ToTheEnd),
        }
    }

    fn answer(&self, status: StatusCode) -> GraphResponse {
        let kept = |value: Option<&[u8]>| HeaderValue::from_bytes(value?).ok();
        GraphResponse {
            status,
            retry_after: kept(self.retry_after),
            trace_id: kept(self.trace_id),
            content_type: [JSON, BARE_JSON]
                .into_iter()
                .find(|known| self.content_type == Some(known.as_bytes()))
                .or_else(|| kept(self.content_type)),
            body: Bytes::new(),
        }
    }
}

/// Digits and nothing else: a sign or a list would be read differently by others.
fn length(value: &[u8]) -> Option<usize> {
    let value = value.trim_ascii();
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows the bytes in one piece and byte by byte: both must end alike. Gives the answer's
    /// status and body, whether the connection stays open, and what was not taken.
    fn read(bytes: &[u8], then_ends: bool) -> Result<(u16, String, bool, usize), Fault> {
        let finish = |mut reading: Reading, left: usize| {
            if !reading.is_whole() {
                if !then_ends {
                    return Err(Fault::Garbled("not whole"));
                }
                reading.end()?;
            }
            let keeps_open = reading.keeps_open();
            let answer = reading.into_answer().expect("it is whole");
            Ok((answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned(), keeps_open, left))
        };
        let mut whole = Reading::new(64);
        let at_once = whole.take(bytes).and_then(|taken| finish(whole, bytes.len() - taken));
        let mut dripping = Reading::new(64);
        let (mut shown, mut fault) = (Vec::new(), None);
        for byte in bytes {
            shown.push(*byte);
            match dripping.take(&shown) {
                Ok(taken) => drop(shown.drain(..taken)),
                Err(found) => {
                    fault = Some(found);
                    break;
                }
            }
        }
        let dripped = fault.map_or_else(|| finish(dripping, shown.len()), Err);
        assert_eq!(at_once, dripped, "{}", String::from_utf8_lossy(bytes));
        at_once
    }

    fn body(bytes: &[u8]) -> Result<String, Fault> {
        read(bytes, false).map(|(_, body, ..)| body)
    }

    #[test]
    fn a_body_ends_by_status_chunks_length_or_connection() {
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false), Ok((200, "hi".into(), true, 0)));
        assert_eq!(read(b"HTTP/1.1 204 No Content\r\n\r\n", false), Ok((204, String::new(), true, 0)));
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\nA: b\r\n\r\n", false),
            Ok((200, "hi".into(), true, 0))
        );
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\nhi", true), Ok((200, "hi".into(), false, 0)));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi", true), Ok((200, "hi".into(), false, 0)));
    }

    #[test]
    fn answers_before_the_answer_are_passed_over() {
        let hints =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(read(hints, false), Ok((400, "x".into(), true, 0)));
        assert_eq!(read(b"HTTP/1.1 100 Continue\r\n\r\n", true), Err(Fault::Cut));
        assert_eq!(read(b"HTTP/1.1 101 Switching Protocols\r\n\r\nxyz", false), Ok((101, String::new(), false, 3)));
    }

    #[test]
    fn a_connection_is_used_again_only_where_both_sides_mean_to() {
        for closing in [
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n",
        ] {
            assert_eq!(read(closing.as_bytes(), false), Ok((200, String::new(), false, 0)), "{closing}");
        }
        // What follows the answer is nobody's.
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nhi", false).map(|(.., left)| left), Ok(1));
    }

    #[test]
    fn what_is_cut_is_not_an_answer() {
        for cut in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
        ] {
            assert_eq!(read(cut.as_bytes(), true), Err(Fault::Cut), "{cut}");
        }
    }

    #[test]
    fn what_may_mean_two_things_is_not_read() {
        for garbled in [
            "200 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n",
        ] {
            assert!(matches!(body(garbled.as_bytes()), Err(Fault::Garbled(_))), "{garbled}: {:?}", body(garbled.as_bytes()));
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(matches!(body(many.as_bytes()), Err(Fault::Garbled(_))));
    }

    #[test]
    fn a_body_longer_than_asked_for_is_refused_as_soon_as_it_shows() {
        for long in [
            "HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(65)),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n{}\r\n0\r\n\r\n", "x".repeat(65)),
        ] {
            assert_eq!(body(long.as_bytes()), Err(Fault::TooLong), "{long}");
        }
    }

    #[test]
    fn of_an_endpoints_answer_the_status_stands_and_what_fits_of_its_body() {
        for long in [
            format!("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 65\r\n\r\n{}", "x".repeat(65)),
            format!("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n{}", "x".repeat(65)),
            format!("HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n{}\r\n0\r\n\r\n", "x".repeat(65)),
        ] {
            let mut reading = Reading::keeping_what_fits(64);
            assert_eq!(reading.take(long.as_bytes()), Err(Fault::TooLong), "{long}");
            let (answer, location) = reading.into_what_came().expect("the head is there");
            assert_eq!((answer.status.as_u16(), answer.body.len()), (302, 64), "{long}");
            assert_eq!(location, Some(HeaderValue::from_static("/x")));
        }
        assert!(Reading::keeping_what_fits(64).into_what_came().is_none());
    }

    #[test]
    fn what_the_money_is_decided_by_is_kept_of_the_head() {
        let mut reading = Reading::new(64);
        let head = b"HTTP/1.1 429 Too Many\r\nretry-after: 7\r\nX-FB-Trace-ID: AbC\r\nContent-Type: text/x\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(reading.take(head), Ok(head.len()));
        let answer = reading.into_answer().expect("it is whole");
        let text = |value: Option<HeaderValue>| value.and_then(|value| value.to_str().ok().map(str::to_owned));
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(text(answer.retry_after).as_deref(), Some("7"));
        assert_eq!(text(answer.trace_id).as_deref(), Some("AbC"));
        assert_eq!(text(answer.content_type).as_deref(), Some("text/x"));
    }
}
