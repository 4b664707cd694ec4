//! A client that shows what came over the wire and how it ended, which is more
//! than a well-behaved HTTP library tells.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use turnpike_simulator::{Config, Simulator};

/// Longer than any step of a healthy test takes, so that a hang is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A simulator with what most tests need.
pub(crate) async fn start(config: Config) -> Simulator {
    Simulator::start(config).await.expect("a simulator starts on a free port")
}

/// A text message to this recipient.
pub(crate) fn text_to(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hello"}})
}

/// An answer as a client sees it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// `error.code`.
    pub(crate) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().expect("an error object with a code")
    }

    /// `messages[0].id`.
    pub(crate) fn wamid(&self) -> String {
        self.json()["messages"][0]["id"].as_str().expect("a message id").to_owned()
    }
}

/// An HTTP/1.1 request as bytes.
pub(crate) fn request_bytes(method: &str, target: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nhost: graph.test\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// One request with a good token on a connection of its own.
pub(crate) async fn call(address: SocketAddr, method: &str, target: &str, body: Option<&Value>) -> Answer {
    call_with(address, method, target, "authorization: Bearer EAAgood\r\n", body).await
}

/// One request with these headers on a connection of its own.
pub(crate) async fn call_with(address: SocketAddr, method: &str, target: &str, headers: &str, body: Option<&Value>) -> Answer {
    let mut connection = TcpStream::connect(address).await.expect("the simulator listens");
    let body = body.map(Value::to_string).unwrap_or_default();
    let headers = format!("{headers}content-type: application/json\r\n");
    connection.write_all(&request_bytes(method, target, &headers, &body)).await.expect("the simulator reads");
    read_answer(&mut connection).await
}

/// Reads one whole answer.
pub(crate) async fn read_answer<S: AsyncRead + Unpin>(connection: &mut S) -> Answer {
    tokio::time::timeout(PATIENCE, async {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(read_some(connection, &mut bytes).await > 0, "the answer ended in its head");
        };
        let head = String::from_utf8(bytes[..head_end].to_vec()).expect("a head is text");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer { status, head, body: bytes[head_end..].to_vec() };
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while answer.body.len() < length {
            assert!(read_some(connection, &mut answer.body).await > 0, "the answer ended in its body");
        }
        answer
    })
    .await
    .expect("an answer comes in time")
}

async fn read_some<S: AsyncRead + Unpin>(connection: &mut S, bytes: &mut Vec<u8>) -> usize {
    connection.read_buf(bytes).await.expect("the connection stays")
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Ending {
    Fin,
    Rst,
    /// Nothing more came, for a while.
    Open,
}

/// Sends bytes and gives all that comes back, and how it ended.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(connection: &mut S, sent: &[u8], wait: Duration) -> (Vec<u8>, Ending) {
    // A server that closed before reading may make the write fail; what counts is read below.
    let _ = connection.write_all(sent).await;
    let _ = connection.flush().await;
    let mut bytes = Vec::new();
    loop {
        match tokio::time::timeout(wait, connection.read_buf(&mut bytes)).await {
            Err(_) => return (bytes, Ending::Open),
            Ok(Ok(0)) => return (bytes, Ending::Fin),
            Ok(Ok(_)) => {}
            // rustls reports an end without close_notify in this way.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return (bytes, Ending::Fin),
            Ok(Err(_)) => return (bytes, Ending::Rst),
        }
    }
}
