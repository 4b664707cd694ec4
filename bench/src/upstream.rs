//! The minimal upstream: answers a send as Meta does, and does nothing else.
//!
//! One thread, keep-alive, as little work as can be, so that it takes little of the processor that
//! it shares with the load generator. Every answer has a message id of its own, since the gateway
//! keeps an index of them. It knows one template, so that the gateway has a definition to check
//! against.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::load::scatter;

/// The template that every message uses.
const TEMPLATES: &str = r#"{"data":[{"id":"700000000000001","name":"parcel_on_its_way","language":"en_US","status":"APPROVED","category":"UTILITY","parameter_format":"POSITIONAL","components":[{"type":"BODY","text":"Dear {{1}}, your parcel {{2}} worth {{3}} is on its way.","example":{"body_text":[["Josephine","PKG-1","$48.20"]]}}]}],"paging":{"cursors":{"before":"MAZDZD","after":"MQZDZD"}}}"#;

/// Serves until the process is ended.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind(address).await?;
        let count = Rc::new(Cell::new(scatter(u64::from(std::process::id()))));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let count = Rc::clone(&count);
            tokio::task::spawn_local(async move {
                // A connection that breaks is the other side's matter, which counts what it lost.
                let _ = serve(stream, &count).await;
            });
        }
    })
}

async fn serve(mut stream: TcpStream, count: &Cell<u64>) -> std::io::Result<()> {
    let mut received = Vec::with_capacity(8192);
    let mut answer = Vec::with_capacity(1024);
    loop {
        while let Some(request) = Request::first_of(&received) {
            let length = request.length;
            answer.clear();
            request.answer(&mut answer, count);
            received.drain(..length);
            stream.write_all(&answer).await?;
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

/// A whole request at the beginning of what was received.
struct Request<'a> {
    is_send: bool,
    body: &'a [u8],
    length: usize,
}

impl<'a> Request<'a> {
    fn first_of(received: &'a [u8]) -> Option<Request<'a>> {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut head = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head_length) = head.parse(received).ok()? else { return None };
        let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok()).unwrap_or(0);
        let body = received.get(head_length..head_length + length)?;
        Some(Request { is_send: head.method == Some("POST"), body, length: head_length + length })
    }

    fn answer(&self, out: &mut Vec<u8>, count: &Cell<u64>) {
        let body = if self.is_send {
            count.set(count.get().wrapping_add(1));
            accepted(self.recipient(), count.get())
        } else {
            TEMPLATES.to_owned()
        };
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: ");
        out.extend_from_slice(body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body.as_bytes());
    }

    /// The value of `"to":"…"`, which every body of ours has near its beginning.
    fn recipient(&self) -> &str {
        const MEMBER: &[u8] = br#""to":""#;
        let from = self.body.windows(MEMBER.len()).position(|window| window == MEMBER).map_or(0, |at| at + MEMBER.len());
        let rest = &self.body[from..];
        let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(0);
        std::str::from_utf8(&rest[..end]).unwrap_or("")
    }
}

fn accepted(recipient: &str, number: u64) -> String {
    let digits = recipient.trim_start_matches('+');
    // As long as a real id, and as scattered.
    let (one, two) = (scatter(number), scatter(!number));
    format!(
        r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"{recipient}","wa_id":"{digits}"}}],"messages":[{{"id":"wamid.HBgL{one:016X}{two:016X}FQIAERgSAA==","message_status":"accepted"}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_is_answered_with_its_recipient_and_an_id_of_its_own() {
        let count = Cell::new(1);
        let body = r#"{"messaging_product":"whatsapp","to":"+14155550123","type":"text"}"#;
        let text = format!("POST /v26.0/1/messages HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}GET", body.len());
        let request = Request::first_of(text.as_bytes()).expect("a whole request");
        assert_eq!(request.length, text.len() - 3);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        request.answer(&mut one, &count);
        request.answer(&mut two, &count);
        let text = String::from_utf8(one.clone()).expect("text");
        assert!(text.contains(r#""input":"+14155550123","wa_id":"14155550123""#), "{text}");
        assert_ne!(one, two);
    }

    #[test]
    fn half_a_request_waits_for_its_rest() {
        assert!(Request::first_of(b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc").is_none());
        assert!(Request::first_of(b"POST /x HTTP/1.1\r\nContent-Le").is_none());
    }

    #[test]
    fn every_message_uses_the_template_that_is_defined() {
        let templates: serde_json::Value = serde_json::from_str(TEMPLATES).expect("JSON");
        let name = templates["data"][0]["name"].as_str().expect("a name");
        let body: serde_json::Value =
            serde_json::from_str(&format!("{}0000000{}", crate::load::BODY.0, crate::load::BODY.1)).expect("JSON");
        assert_eq!(body["template"]["name"], name);
    }
}
