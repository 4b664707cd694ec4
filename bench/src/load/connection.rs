//! One keep-alive connection of the load generator, with at most one request under way.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// The header by which an answer says that it was given before.
const REPLAYED: &str = "idempotent-replayed";

/// A whole answer.
pub(super) struct Seen {
    /// When its request was due.
    pub(super) due: Instant,
    pub(super) status: u16,
    pub(super) replayed: bool,
    /// The body's beginning, of an answer that is no 2xx.
    pub(super) body: String,
}

pub(super) struct Connection {
    stream: TcpStream,
    due: Option<Instant>,
    received: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, due: None, received: Vec::with_capacity(4096) })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a request. One is far smaller than a socket's buffer, so a short write is a failure.
    pub(super) fn send(&mut self, due: Instant, request: &[u8]) -> std::io::Result<()> {
        self.due = Some(due);
        match self.stream.write(request) {
            Ok(length) if length == request.len() => Ok(()),
            Ok(_) => Err(ErrorKind::WriteZero.into()),
            Err(error) => Err(error),
        }
    }

    /// Reads what came; the answer, once it is whole.
    ///
    /// # Errors
    /// Why none can come any more.
    pub(super) fn receive(&mut self) -> Result<Option<Seen>, String> {
        let mut piece = [0u8; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => return Err("the connection was closed".to_owned()),
            Ok(length) => self.received.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.to_string()),
        }
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head_length) = head.parse(&self.received).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length: usize = length
            .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok())
            .ok_or("the answer has no Content-Length")?;
        if self.received.len() < head_length + length {
            return Ok(None);
        }
        let status = head.code.unwrap_or(0);
        let replayed = head.headers.iter().any(|header| header.name.eq_ignore_ascii_case(REPLAYED) && header.value == b"true");
        let body = &self.received[head_length..head_length + length.min(400)];
        let body = if (200..300).contains(&status) { String::new() } else { String::from_utf8_lossy(body).into_owned() };
        let due = self.due.take().ok_or("an answer to nothing")?;
        self.received.clear();
        Ok(Some(Seen { due, status, replayed, body }))
    }
}
