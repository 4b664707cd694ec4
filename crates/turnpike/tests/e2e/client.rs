//! A small HTTP client that never sends anything twice.
//!
//! What is tested here is how often a message goes out, so the client must not retry, follow or
//! pool in ways of its own: a request goes out once, on a connection that rests or a new one, and
//! whatever breaks is an error.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::document;

/// Longer than the gateway may take to answer anything (25 s).
const PATIENCE: Duration = Duration::from_secs(40);

/// Where a client calls.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// `127.0.0.1:1234`.
    Tcp(String),
    /// A socket in a folder.
    Unix(PathBuf),
    /// TLS at an address, by certificates of this authority (PEM).
    Tls(String, PathBuf),
}

/// A client of one address, which keeps the connections that rest.
pub(crate) struct Client {
    target: Target,
    resting: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body's bytes.
    pub(crate) body: Bytes,
}

impl Ask {
    /// A GET.
    pub(crate) fn get(path: &str) -> Ask {
        Ask::new(Method::GET, path)
    }

    /// A POST without a body yet.
    pub(crate) fn post(path: &str) -> Ask {
        Ask::new(Method::POST, path)
    }

    /// Any method.
    pub(crate) fn new(method: Method, path: &str) -> Ask {
        Ask { method, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Ask {
        let value = HeaderValue::from_str(value).expect("a header's value");
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// `Authorization: Bearer`.
    pub(crate) fn bearer(self, key: &str) -> Ask {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// `Idempotency-Key`.
    pub(crate) fn key(self, key: &str) -> Ask {
        self.header("idempotency-key", key)
    }

    /// A body of JSON.
    pub(crate) fn json(self, value: &Value) -> Ask {
        self.bytes(value.to_string()).header("content-type", "application/json")
    }

    /// A body as it is.
    pub(crate) fn bytes(mut self, body: impl Into<Bytes>) -> Ask {
        self.body = body.into();
        self
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body of a {}: {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// `errors.code`, or nothing.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The code of a refusal; `None` of a success.
    pub(crate) fn code_or_none(&self) -> Option<String> {
        Some(self.code()).filter(|code| !code.is_empty())
    }

    /// One of `errors.params`.
    pub(crate) fn param(&self, name: &str) -> Value {
        self.json()["errors"]["params"][name].clone()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("our headers are ASCII"))
    }

    /// The first message's wamid.
    pub(crate) fn wamid(&self) -> String {
        self.json()["data"]["messages"][0]["id"].as_str().expect("an accepted send has a wamid").to_owned()
    }

    /// `X-Message-Id`.
    pub(crate) fn message_id(&self) -> String {
        self.header("x-message-id").expect("a stored message has an id").to_owned()
    }

    /// Status, code and body in one line, for failures.
    pub(crate) fn summary(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Client {
    /// A client that has not called yet.
    pub(crate) fn new(target: Target) -> Client {
        Client { target, resting: Mutex::new(Vec::new()) }
    }

    /// A client of `http://127.0.0.1:1234`.
    pub(crate) fn of_url(url: &str) -> Client {
        let address = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        Client::new(Target::Tcp(address.to_owned()))
    }

    /// Asks once; an answer must come.
    pub(crate) async fn call(&self, ask: Ask) -> Answer {
        let what = format!("{} {}", ask.method, ask.path);
        match self.try_call(ask).await {
            Ok(answer) => answer,
            Err(problem) => panic!("{what}: {problem}"),
        }
    }

    /// Asks once; what breaks on the way is an error.
    pub(crate) async fn try_call(&self, ask: Ask) -> Result<Answer, String> {
        let mut sender = match self.rested() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let (method, path) = (ask.method.clone(), ask.path.clone());
        let request = self.request(ask);
        let asked = async {
            let answer = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            Ok::<Answer, String>(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| "no answer in time".to_owned())??;
        document::hold_answer(&method, &path, &answer);
        if answer.header("connection") != Some("close") && sender.ready().await.is_ok() {
            self.resting.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        }
        Ok(answer)
    }

    /// Asks and hangs up after `wait` without having read anything.
    pub(crate) async fn ask_and_leave(&self, ask: Ask, wait: Duration) {
        let Target::Tcp(address) = &self.target else { panic!("only callers over TCP leave") };
        let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
        stream.write_all(&self.wire(&ask)).await.expect("the gateway reads");
        tokio::time::sleep(wait).await;
        // A reset: the rudest way of leaving.
        stream.set_zero_linger().expect("a socket can be told to linger");
        drop(stream);
    }

    fn rested(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = resting.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        match &self.target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| format!("connecting to {address}: {error}"))?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                start(stream).await
            }
            Target::Tls(address, authority) => {
                let stream = TcpStream::connect(address).await.map_err(|error| format!("connecting to {address}: {error}"))?;
                let name = ServerName::try_from("localhost").expect("a name");
                start(encryption(authority).connect(name, stream).await.map_err(|error| format!("TLS with {address}: {error}"))?).await
            }
            Target::Unix(path) => start(UnixStream::connect(path).await.map_err(|error| format!("{}: {error}", path.display()))?).await,
        }
    }

    fn request(&self, ask: Ask) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(ask.body));
        *request.method_mut() = ask.method;
        *request.uri_mut() = ask.path.parse().unwrap_or_else(|error| panic!("the path {}: {error}", ask.path));
        let headers = request.headers_mut();
        headers.insert("host", HeaderValue::from_str(self.host()).expect("an address"));
        for (name, value) in ask.headers {
            headers.append(name, value);
        }
        request
    }

    fn host(&self) -> &str {
        match &self.target {
            Target::Tcp(address) | Target::Tls(address, _) => address,
            Target::Unix(_) => "localhost",
        }
    }

    /// The bytes of a request.
    fn wire(&self, ask: &Ask) -> Vec<u8> {
        let mut wire = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", ask.method, ask.path, self.host()).into_bytes();
        for (name, value) in &ask.headers {
            wire.extend_from_slice(format!("{name}: ").as_bytes());
            wire.extend_from_slice(value.as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(format!("content-length: {}\r\n\r\n", ask.body.len()).as_bytes());
        wire.extend_from_slice(&ask.body);
        wire
    }
}

/// Sends bytes as they are and reads the first answer; `None` where the other side closes without
/// one. For requests that no HTTP library would make.
pub(crate) async fn raw(address: &str, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
    // A gateway that refuses at the head may close before it has read the rest.
    let _ = stream.write_all(bytes).await;
    let mut received = Vec::new();
    let mut chunk = [0u8; 4096];
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = parse(&received) {
            return Some(answer);
        }
        match tokio::time::timeout_at(deadline, stream.read(&mut chunk)).await {
            Ok(Ok(read)) if read > 0 => received.extend_from_slice(&chunk[..read]),
            _ => return parse(&received),
        }
    }
}

/// A whole answer with a `Content-Length`.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value.trim()).ok()?);
    }
    let length: usize = headers.get("content-length").map_or(Some(0), |value| value.to_str().ok()?.parse().ok())?;
    let body = bytes.get(end..end + length)?;
    Some(Answer { status, headers, body: Bytes::copy_from_slice(body) })
}

/// TLS that trusts one authority and speaks HTTP/1.1.
fn encryption(authority: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).expect("the authority's file can be read") {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    let provider = std::sync::Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the usual versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(std::sync::Arc::new(config))
}

async fn start<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "a connection of the test's own client; nobody drains it")]
    tokio::spawn(async move {
        // How a connection ends is seen by the request on it.
        let _ = connection.await;
    });
    Ok(sender)
}
