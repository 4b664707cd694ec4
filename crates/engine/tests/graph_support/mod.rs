//! What the tests of the road to Meta share: a client with short waits, and servers that
//! misbehave on purpose.

#![allow(dead_code, reason = "each test program uses its part")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use turnpike_domain::send::MetaEndpoint;
use turnpike_engine::entropy::SystemEntropy;
use turnpike_engine::graph::{GraphClient, GraphOutcome, Link, Trace};
use turnpike_engine::net::{NetConfig, NetTransport, Timeouts};
use turnpike_engine::transport::Target;

/// Waits that a test can wait for, and that a busy machine does not run into by accident.
pub(crate) fn short() -> NetConfig {
    NetConfig {
        timeouts: Timeouts {
            dns: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            pool: Duration::from_millis(300),
            hard_cap: Duration::from_secs(10),
            idle: Duration::from_secs(20),
            retry_min: Duration::from_millis(1),
            retry_max: Duration::from_millis(3),
            ..Timeouts::default()
        },
        ..NetConfig::default()
    }
}

/// A client over the network, and the transport beneath it.
pub(crate) struct Road {
    pub(crate) client: GraphClient,
    pub(crate) transport: Arc<NetTransport>,
    pub(crate) link: Link,
}

impl Road {
    pub(crate) fn to(base_url: &str, config: NetConfig) -> Road {
        let transport = Arc::new(NetTransport::new(config, Arc::new(SystemEntropy)).expect("the configuration can be used"));
        let target = Arc::new(Target::parse(base_url).expect("a base URL"));
        let link = Link::new(target, "v23.0", "106540352242922", "EAAtest", None).expect("a link");
        Road { client: GraphClient::new(Arc::clone(&transport) as Arc<_>), transport, link }
    }

    pub(crate) async fn send(&self, body: impl Into<Bytes>) -> GraphOutcome {
        self.client.send_message(&self.link, MetaEndpoint::Messages, body.into(), &Trace::default()).await
    }
}

/// A text message that the simulator takes.
pub(crate) fn text(to: &str, marker: &str) -> String {
    format!(
        r#"{{"messaging_product":"whatsapp","to":"+{to}","type":"text","text":{{"body":"hello"}},"biz_opaque_callback_data":"{marker}"}}"#
    )
}

pub(crate) const ACCEPTED: &str =
    r#"{"messaging_product":"whatsapp","contacts":[{"input":"+1","wa_id":"1"}],"messages":[{"id":"wamid.TEST"}]}"#;

/// Listens on a free port.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// A port on which nobody listens.
pub(crate) fn dead_port() -> u16 {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    gone.local_addr().expect("it is bound").port()
}

/// Starts a task of a test's server.
#[expect(clippy::disallowed_methods, reason = "a test's server has no engine to track its tasks")]
pub(crate) fn spawn<F: Future + Send + 'static>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}

/// Reads one request with a `Content-Length`; gives its head and body, `None` at the end of the stream.
pub(crate) async fn read_request(socket: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut seen = Vec::new();
    loop {
        if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned))
                .map_or(0, |length| length.trim().parse().expect("a number"));
            while seen.len() < end + 4 + length {
                if socket.read_buf(&mut seen).await? == 0 {
                    return Ok(None);
                }
            }
            return Ok(Some((head, seen[end + 4..end + 4 + length].to_vec())));
        }
        if socket.read_buf(&mut seen).await? == 0 {
            return Ok(None);
        }
    }
}

/// Answers 200 with `body`.
pub(crate) async fn answer_200(socket: &mut TcpStream, body: &str) -> io::Result<()> {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    socket.write_all(answer.as_bytes()).await
}

/// A certificate for `localhost` and `127.0.0.1` with an authority of its own.
pub(crate) struct Identity {
    pub(crate) ca_pem: Vec<u8>,
    pub(crate) acceptor: tokio_rustls::TlsAcceptor,
}

impl Identity {
    pub(crate) fn speaking(protocols: &[&[u8]]) -> Identity {
        let ca_key = rcgen::KeyPair::generate().expect("a key");
        let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).expect("a certificate");
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Identity { ca_pem: ca_certificate.pem().into_bytes(), acceptor: Arc::new(config).into() }
    }

    /// A configuration that trusts it.
    pub(crate) fn trusted(&self) -> NetConfig {
        NetConfig { extra_roots_pem: vec![self.ca_pem.clone()], ..short() }
    }
}
