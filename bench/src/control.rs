//! One request to the gateway's operator routes over its data folder's socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// Posts to `/api/v1/operator` and gives back `data`.
///
/// # Errors
/// Whatever is no success, with the gateway's own words.
pub(crate) fn post(socket: &Path, path: &str, body: &Value) -> anyhow::Result<Value> {
    Ok(ask("POST", socket, path, &body.to_string())?["data"].take())
}

/// Reads from `/api/v1/operator` and gives back `data`.
///
/// # Errors
/// As [`post`].
pub(crate) fn get(socket: &Path, path: &str) -> anyhow::Result<Value> {
    Ok(get_page(socket, path)?.0)
}

/// Reads a page: `data`, and where the next begins.
///
/// # Errors
/// As [`post`].
pub(crate) fn get_page(socket: &Path, path: &str) -> anyhow::Result<(Value, Option<String>)> {
    let mut answer = ask("GET", socket, path, "")?;
    let next = answer["pagingMetadata"]["nextCursor"].as_str().map(str::to_owned);
    Ok((answer["data"].take(), next))
}

fn ask(method: &str, socket: &Path, path: &str, body: &str) -> anyhow::Result<Value> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("connecting to {}", socket.display()))?;
    write!(
        stream,
        "{method} /api/v1/operator{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(&answer)? else { bail!("{path} was answered with half a head") };
    let status = head.code.unwrap_or(0);
    let chunked = head.headers.iter().any(|header| header.name.eq_ignore_ascii_case("transfer-encoding"));
    let body = if chunked { unchunked(&answer[length..])? } else { answer[length..].to_vec() };
    ensure!((200..300).contains(&status), "{path} was answered {status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).with_context(|| format!("reading the answer of {path}"))
}

fn unchunked(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(rest.len());
    loop {
        let (at, length) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            _ => bail!("an answer broke off"),
        };
        let length = usize::try_from(length)?;
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(rest.get(at..at + length).context("an answer broke off")?);
        rest = rest.get(at + length + 2..).context("an answer broke off")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together() {
        assert_eq!(unchunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").expect("whole"), b"abcde");
        assert!(unchunked(b"5\r\nabc").is_err());
    }
}
