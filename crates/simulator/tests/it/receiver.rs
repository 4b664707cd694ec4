//! A callback as a customer writes it: it makes the handshake, keeps every POST
//! as it came, and answers as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::hmac;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use turnpike_simulator::Subscription;

use crate::client::PATIENCE;

pub(crate) const SECRET: &str = "app secret of the test";
pub(crate) const TOKEN: &str = "verify me & more";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Whether it is signed with this secret over the bytes that came.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let Some(hex) = self.header("x-hub-signature-256").and_then(|value| value.strip_prefix("sha256=")) else { return false };
        hex == hex.to_ascii_lowercase() && hex::decode(hex).is_ok_and(|tag| hmac::verify(&key, &self.body, &tag).is_ok())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a webhook is JSON")
    }

    /// All changes in it.
    pub(crate) fn changes(&self) -> Vec<Value> {
        let json = self.json();
        assert_eq!(json["object"], "whatsapp_business_account");
        let entries = json["entry"].as_array().expect("entries").clone();
        entries.iter().flat_map(|entry| entry["changes"].as_array().expect("changes").clone()).collect()
    }
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    /// The status of each POST to come; then `otherwise`.
    answers: VecDeque<u16>,
    otherwise: u16,
    stall: bool,
}

/// The running callback.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        Receiver::with(None).await
    }

    /// One that is called over https.
    pub(crate) async fn start_tls(acceptor: TlsAcceptor) -> Receiver {
        Receiver::with(Some(acceptor)).await
    }

    async fn with(acceptor: Option<TlsAcceptor>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State { otherwise: 200, ..State::default() }));
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                match acceptor.clone() {
                    None => connections.spawn(serve(tcp, shared)),
                    Some(acceptor) => connections.spawn(async move {
                        // Who does not trust us ends it here.
                        if let Ok(tls) = acceptor.accept(tcp).await {
                            serve(tls, shared).await;
                        }
                    }),
                };
            }
        });
        Receiver { address, scheme, state, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}/hook?tenant=7", self.scheme, self.address)
    }

    pub(crate) fn subscription(&self) -> Subscription {
        Subscription::new(&self.url(), SECRET, TOKEN)
    }

    /// The next POSTs are answered so; those behind them with `otherwise`.
    pub(crate) fn answers(&self, next: &[u16], otherwise: u16) {
        let mut state = self.state.lock().expect("no test panics with it");
        state.answers = next.iter().copied().collect();
        state.otherwise = otherwise;
    }

    /// POSTs are read and never answered.
    pub(crate) fn stalls(&self, stall: bool) {
        self.state.lock().expect("no test panics with it").stall = stall;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().expect("no test panics with it").received.clone()
    }

    pub(crate) fn forget(&self) {
        self.state.lock().expect("no test panics with it").received.clear();
    }

    pub(crate) fn posts(&self) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.method == "POST").collect()
    }

    /// `value`s of all changes of this field, in the order of their coming.
    pub(crate) fn values(&self, field: &str) -> Vec<Value> {
        let changes = self.posts().iter().flat_map(Received::changes).collect::<Vec<Value>>();
        changes.into_iter().filter(|change| change["field"] == field).map(|change| change["value"].clone()).collect()
    }

    /// All statuses, in the order of their coming.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        self.values("messages").iter().flat_map(|value| value["statuses"].as_array().cloned().unwrap_or_default()).collect()
    }

    pub(crate) fn status_words(&self) -> Vec<String> {
        self.statuses().iter().map(|status| status["status"].as_str().expect("a word").to_owned()).collect()
    }

    /// All messages, in the order of their coming.
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.values("messages").iter().flat_map(|value| value["messages"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// Waits (in real time) until `done` says so.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Receiver) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what} did not come; there is {:#?}", self.received());
    }
}

async fn serve(mut tcp: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>) {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if tcp.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(buffer[..head_end].to_vec()).expect("a head is text");
        let mut line = head.lines().next().unwrap_or_default().split(' ');
        let (method, target) = (line.next().unwrap_or_default().to_owned(), line.next().unwrap_or_default().to_owned());
        let mut received = Received { method, target, head, body: Vec::new() };
        let length: usize = received.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while buffer.len() < head_end + length {
            if tcp.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        received.body = buffer[head_end..head_end + length].to_vec();
        buffer.drain(..head_end + length);
        let (status, body) = {
            let mut state = state.lock().expect("no test panics with it");
            state.received.push(received.clone());
            if received.method == "GET" {
                handshake(&received.target)
            } else {
                let otherwise = state.otherwise;
                (state.answers.pop_front().unwrap_or(otherwise), "ok".to_owned())
            }
        };
        if received.method == "POST" && state.lock().expect("no test panics with it").stall {
            std::future::pending::<()>().await;
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if tcp.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn handshake(target: &str) -> (u16, String) {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let of = |name: &str| {
        let raw = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        raw.map(|raw| percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned())
    };
    if of("hub.mode").as_deref() == Some("subscribe") && of("hub.verify_token").as_deref() == Some(TOKEN) {
        (200, of("hub.challenge").unwrap_or_default())
    } else {
        (403, "no".to_owned())
    }
}
