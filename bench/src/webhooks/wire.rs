//! Just enough HTTP/1.1 for a client and a server that cost little.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A whole message at the beginning of what was received.
pub(super) struct Message {
    /// The status of an answer, 0 of a request.
    pub(super) status: u16,
    /// The method of a request.
    pub(super) is_post: bool,
    /// The path of a request.
    pub(super) path: String,
    /// Where the body lies.
    pub(super) body: std::ops::Range<usize>,
}

/// Reads the first whole request or answer, if it is there.
pub(super) fn first_of(received: &[u8], is_answer: bool) -> anyhow::Result<Option<Message>> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let (head, status, is_post, path, headers) = if is_answer {
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(received)? else { return Ok(None) };
        (head, answer.code.unwrap_or(0), false, String::new(), answer.headers)
    } else {
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = request.parse(received)? else { return Ok(None) };
        (head, 0, request.method == Some("POST"), request.path.unwrap_or("/").to_owned(), request.headers)
    };
    let length = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok()).unwrap_or(0);
    let body = head..head + length;
    Ok((received.len() >= body.end).then_some(Message { status, is_post, path, body }))
}

/// Reads until a whole message is there; what is behind it stays in `received`. `None` at the end.
pub(super) async fn next_of<S: AsyncRead + Unpin>(
    stream: &mut S,
    received: &mut Vec<u8>,
    is_answer: bool,
) -> anyhow::Result<Option<(Message, Vec<u8>)>> {
    loop {
        if let Some(message) = first_of(received, is_answer)? {
            let body = received[message.body.clone()].to_vec();
            received.drain(..message.body.end);
            return Ok(Some((message, body)));
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
}

/// Asks an endpoint how many events it took.
pub(super) fn count(endpoint: SocketAddr) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(endpoint)?;
    stream.write_all(b"GET /count HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut received = Vec::new();
    let mut piece = [0; 512];
    loop {
        if let Some(answer) = first_of(&received, true)? {
            return std::str::from_utf8(&received[answer.body])?.parse().context("a count");
        }
        match stream.read(&mut piece)? {
            0 => bail!("the endpoint hung up"),
            length => received.extend_from_slice(&piece[..length]),
        }
    }
}
