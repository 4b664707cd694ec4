//! HTTP/1.1 by hand: a well-behaved server cannot be taught to break off in the
//! middle of its own head, so framing is ours, and parsing is `httparse`'s.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stream::Stream;
use crate::exchange::{Answer, Head, World};
use crate::faults::{Behaviour, How, LastStream, Stage};
use crate::graph::uploads;
use crate::media::FILE_MAX;

/// A head longer than this is refused; Meta's edge refuses earlier.
const HEAD_MAX: usize = 64 * 1024;

/// A body longer than this is refused; Meta's largest JSON is far below.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// What surrounds a file in a form is no longer than this.
const FORM_MAX: usize = 1024 * 1024;

/// How long a body to this path may be: files have a limit of their own.
pub(super) fn body_max(path: &str) -> usize {
    if path.ends_with("/media") || uploads::takes_a_file(path) { FILE_MAX + FORM_MAX } else { BODY_MAX }
}

/// Headers of one request.
const HEADERS_MAX: usize = 128;

/// How a connection's service ends.
enum End {
    /// The client is gone, or nothing can be read or written any more.
    Gone,
    Close(How),
    /// Nothing more is said, and the connection stays until the client ends it.
    Hang,
}

/// A connection in service.
struct Connection {
    stream: Stream,
    buffer: BytesMut,
    world: Arc<World>,
}

/// How a request's body is framed.
enum Framing {
    None,
    Length(usize),
    Chunked,
}

/// A head, and what it says about its connection.
struct Request {
    head: Head,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
}

/// Serves requests until the connection ends. `buffer` holds what was read
/// already; the first request's bytes are known to be there.
pub(super) async fn serve(stream: Stream, buffer: BytesMut, world: Arc<World>) {
    let mut connection = Connection { stream, buffer, world };
    let end = connection.run().await;
    match end {
        End::Gone => {}
        End::Close(how) => connection.stream.close(how).await,
        End::Hang => connection.stream.drain().await,
    }
}

impl Connection {
    async fn run(&mut self) -> End {
        let mut fresh = true;
        loop {
            if !fresh && let Err(end) = self.first_byte().await {
                return end;
            }
            fresh = false;
            let request = match self.read_head().await {
                Ok(request) => request,
                Err(end) => return end,
            };
            if let Err(end) = self.exchange(&request).await {
                return end;
            }
            if !request.keep_alive {
                return End::Close(How::Fin);
            }
        }
    }

    /// Waits for the next request on a kept connection.
    async fn first_byte(&mut self) -> Result<(), End> {
        if self.buffer.is_empty() {
            match &self.stream {
                // Unread bytes stay in the kernel, so that a close finds them there.
                Stream::Plain(_) => match self.stream.wait_readable().await {
                    Ok(1..) => {}
                    _ => return Err(End::Gone),
                },
                Stream::Tls(_) => self.read_more().await?,
            }
        }
        match self.world.strike_connection(Stage::FirstByte) {
            Some(Behaviour::Close { how, .. }) => Err(End::Close(how)),
            Some(Behaviour::Hang { .. }) => Err(End::Hang),
            Some(Behaviour::Delay { ms, .. }) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn read_more(&mut self) -> Result<(), End> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(1..) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    async fn read_head(&mut self) -> Result<Request, End> {
        loop {
            match parse_head(&self.buffer) {
                Ok(Some((request, length))) => {
                    let _ = self.buffer.split_to(length);
                    return Ok(request);
                }
                Ok(None) if self.buffer.len() < HEAD_MAX => self.read_more().await?,
                Ok(None) => return Err(self.refuse(431, "Request Header Fields Too Large").await),
                Err(()) => return Err(self.refuse(400, "Bad Request").await),
            }
        }
    }

    /// What is no request gets a bare answer; there is nothing to record.
    async fn refuse(&mut self, status: u16, reason: &str) -> End {
        let answer = format!("HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        match self.write(answer.as_bytes()).await {
            Ok(()) => End::Close(How::Fin),
            Err(end) => end,
        }
    }

    async fn exchange(&mut self, request: &Request) -> Result<(), End> {
        match self.world.strike_head(&request.head) {
            Some(Behaviour::Close { how, .. }) => return Err(End::Close(how)),
            Some(Behaviour::Hang { .. }) => return Err(End::Hang),
            Some(Behaviour::ResetStream { .. }) => return Err(End::Close(How::Rst)),
            Some(Behaviour::GoAway { .. }) => return Err(End::Close(How::Fin)),
            Some(Behaviour::Delay { ms, .. }) => tokio::time::sleep(Duration::from_millis(ms)).await,
            _ => {}
        }
        let body = self.read_body(request).await?;
        let world = Arc::clone(&self.world);
        let planned = world.answer(&request.head, &body).await.seen_by(&request.head.method);
        self.carry_out(planned.answer, planned.behaviour).await
    }

    async fn read_body(&mut self, request: &Request) -> Result<Vec<u8>, End> {
        if request.expects_continue && !matches!(request.framing, Framing::None) && self.buffer.is_empty() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let longest = body_max(&request.head.path);
        match request.framing {
            Framing::None => Ok(Vec::new()),
            Framing::Length(length) if length > longest => Err(self.refuse(413, "Content Too Large").await),
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    self.read_more().await?;
                }
                Ok(self.buffer.split_to(length).to_vec())
            }
            Framing::Chunked => self.read_chunks(longest).await,
        }
    }

    async fn read_chunks(&mut self, longest: usize) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let (start, length) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((start, length))) => break (start, length),
                    Ok(httparse::Status::Partial) if self.buffer.len() < HEAD_MAX => self.read_more().await?,
                    _ => return Err(self.refuse(400, "Bad Request").await),
                }
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > longest - body.len() {
                return Err(self.refuse(413, "Content Too Large").await);
            }
            let _ = self.buffer.split_to(start);
            if length == 0 {
                self.skip_trailers().await?;
                return Ok(body);
            }
            while self.buffer.len() < length + 2 {
                self.read_more().await?;
            }
            body.extend_from_slice(&self.buffer.split_to(length));
            if &self.buffer.split_to(2)[..] != b"\r\n" {
                return Err(self.refuse(400, "Bad Request").await);
            }
        }
    }

    async fn skip_trailers(&mut self) -> Result<(), End> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let _ = self.buffer.split_to(end + 2);
                if end == 0 {
                    return Ok(());
                }
            } else if self.buffer.len() < HEAD_MAX {
                self.read_more().await?;
            } else {
                return Err(self.refuse(431, "Request Header Fields Too Large").await);
            }
        }
    }

    /// Does on the wire what was decided. `Ok` leaves the connection in service.
    async fn carry_out(&mut self, answer: Answer, behaviour: Behaviour) -> Result<(), End> {
        let framed = frame(&answer, "");
        let head_end = framed.len() - answer.body.len();
        let in_head = head_end / 2;
        let in_body = head_end + answer.body.len() / 2;
        let upto = |at: Stage| match at {
            Stage::AnswerHead => in_head,
            Stage::AnswerBody => in_body,
            _ => 0,
        };
        match behaviour {
            Behaviour::Answer
            | Behaviour::GraphError { .. }
            | Behaviour::Reply { .. }
            | Behaviour::CutJson
            | Behaviour::Flood { .. }
            | Behaviour::RepeatWamid => self.write(&framed).await,
            Behaviour::Delay { at, ms } => {
                let (before, after) = framed.split_at(upto(at));
                self.write(before).await?;
                // A delay before the body was read is over already.
                if at >= Stage::Body {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                self.write(after).await
            }
            Behaviour::Drip { ms } => {
                for byte in &framed {
                    self.write(std::slice::from_ref(byte)).await?;
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                Ok(())
            }
            Behaviour::Close { at, how } => {
                self.write(&framed[..upto(at)]).await?;
                Err(End::Close(how))
            }
            Behaviour::Hang { at } => {
                self.write(&framed[..upto(at)]).await?;
                Err(End::Hang)
            }
            Behaviour::WrongLength { by } => {
                self.write(&frame_promising(&answer, by)).await?;
                if by > 0 { Err(End::Close(How::Fin)) } else { Ok(()) }
            }
            Behaviour::ChunkedCut { how } => {
                self.write(&frame_first_chunk(&answer)).await?;
                Err(End::Close(how))
            }
            Behaviour::Interim { status, then } => {
                let interim = format!("HTTP/1.1 {status} {}\r\n\r\n", reason(status));
                self.write(interim.as_bytes()).await?;
                match then {
                    Some(how) => Err(End::Close(how)),
                    None => self.write(&framed).await,
                }
            }
            Behaviour::Garbage => {
                self.write(GARBAGE).await?;
                Err(End::Close(How::Fin))
            }
            Behaviour::AnswerTwice => {
                self.write(&framed).await?;
                self.write(&framed).await
            }
            Behaviour::ResetStream { at, .. } => {
                self.write(&framed[..upto(at)]).await?;
                Err(End::Close(How::Rst))
            }
            Behaviour::GoAway { last_stream: LastStream::After } => {
                self.write(&frame(&answer, "connection: close\r\n")).await?;
                Err(End::Close(How::Fin))
            }
            Behaviour::GoAway { .. } => Err(End::Close(How::Fin)),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|_| End::Gone)
    }
}

/// Bytes that are neither HTTP/1.1 nor a frame of HTTP/2.
pub(super) const GARBAGE: &[u8] = b"\x16\x03\x01 this is not HTTP \xff\xfe\x00\x00\r\n\r\n";

/// Parses a head out of what was read; `None` while it is not whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, ()> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(()),
    };
    let target = parsed.path.ok_or(())?;
    let target = match target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) {
        Some(absolute) => &absolute[absolute.find('/').ok_or(())?..],
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let head = Head { method: parsed.method.ok_or(())?.to_owned(), path: path.to_owned(), query: query.to_owned(), headers };
    let says =
        |name: &str, word: &str| head.header(name).is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)));
    let framing = if says("transfer-encoding", "chunked") {
        Framing::Chunked
    } else {
        match head.header("content-length") {
            None => Framing::None,
            Some(length) => Framing::Length(length.trim().parse().map_err(|_| ())?),
        }
    };
    let keep_alive = match parsed.version {
        Some(1) => !says("connection", "close"),
        _ => says("connection", "keep-alive"),
    };
    let expects_continue = says("expect", "100-continue");
    Ok(Some((Request { head, framing, keep_alive, expects_continue }, length)))
}

/// The whole answer as bytes.
fn frame(answer: &Answer, more: &str) -> Vec<u8> {
    let length = match answer.status {
        204 | 304 => String::new(),
        _ => format!("content-length: {}\r\n", answer.body.len()),
    };
    let mut bytes = head_bytes(answer, &format!("{length}{more}"));
    bytes.extend_from_slice(&answer.body);
    bytes
}

/// The whole answer, with a length in its head that is wrong by so many bytes.
fn frame_promising(answer: &Answer, by: i32) -> Vec<u8> {
    let mut bytes = head_bytes(answer, &format!("content-length: {}\r\n", answer.length_wrong_by(by)));
    bytes.extend_from_slice(&answer.body);
    bytes
}

/// An answer in chunks, of which half the body is the only one: no last chunk ends it.
fn frame_first_chunk(answer: &Answer) -> Vec<u8> {
    let mut bytes = head_bytes(answer, "transfer-encoding: chunked\r\n");
    let half = &answer.body[..answer.body.len() / 2];
    bytes.extend_from_slice(format!("{:x}\r\n", half.len().max(1)).as_bytes());
    bytes.extend_from_slice(half);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn head_bytes(answer: &Answer, more: &str) -> Vec<u8> {
    let mut head = Vec::with_capacity(512 + answer.body.len());
    head.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status)).as_bytes());
    for (name, value) in &answer.headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(more.as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}
