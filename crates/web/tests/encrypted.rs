//! TLS: HTTP/2 and HTTP/1.1 by ALPN, with the same limits and the same errors.

mod door;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use door::{Answer, Door, PATIENCE, config, read_to_end, short, write_all};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::task::TaskTracker;
use turnpike_web::server::ServerLimits;

struct Encrypted {
    door: Door,
    certificate: rustls_pki_types::CertificateDer<'static>,
}

impl Encrypted {
    async fn open(limits: ServerLimits) -> Encrypted {
        let made = rcgen::generate_simple_self_signed(vec!["gateway.test".to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("the key fits");
        let mut config = config(limits);
        config.tls = Some(Arc::new(tls));
        Encrypted { door: Door::with(config).await, certificate }
    }

    async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("gateway.test").expect("a name");
        tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, self.door.connect().await).await.expect("a handshake")
    }

    async fn connect_h2(&self, tracker: &TaskTracker) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let stream = self.connect(b"h2").await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("an HTTP/2 connection");
        tracker.spawn(connection);
        sender
    }
}

fn request(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(format!("https://gateway.test{path}"))
}

async fn collect(response: http::Response<hyper::body::Incoming>) -> Answer {
    let headers =
        response.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes().to_vec();
    Answer { status, headers, body, is_whole: true }
}

#[tokio::test]
async fn http1_and_http2_are_served_on_one_port() {
    let open = Encrypted::open(short()).await;
    let mut stream = open.connect(b"http/1.1").await;
    write_all(&mut stream, b"POST /v1/wa/message HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!(Answer::only(&read_to_end(&mut stream).await).json()["data"]["bytes"], 3);

    let tracker = TaskTracker::new();
    let mut sender = open.connect_h2(&tracker).await;
    let sends = (0..100).map(|_| sender.send_request(request("POST", "/v1/wa/message").body(Full::from("abc")).expect("a request")));
    for response in futures_util::future::join_all(sends).await {
        let answer = collect(response.expect("an answer")).await;
        answer.assert_dressed();
        assert_eq!(answer.json()["data"]["bytes"], 3);
        assert_eq!(answer.header("connection"), None);
    }
}

#[tokio::test]
async fn http2_requests_meet_the_same_refusals() {
    let open = Encrypted::open(short()).await;
    let tracker = TaskTracker::new();
    let mut sender = open.connect_h2(&tracker).await;
    let cases = [
        (request("GET", "/nowhere"), 404, "REQ_005"),
        (request("GET", "/v1/wa/message"), 405, "REQ_005"),
        (request("GET", "/livez").header("host", "elsewhere.test"), 400, "REQ_006"),
        (request("GET", "/livez").header("authorization", "Bearer x").header("authorization", "Bearer y"), 400, "REQ_006"),
        (request("GET", "/livez").header("x-large", "y".repeat(17 * 1024)), 431, "REQ_008"),
        ((0..65).fold(request("GET", "/livez"), |request, n| request.header(format!("x-{n}"), "y")), 431, "REQ_008"),
        (request("POST", "/v1/wa/message").header("content-length", "1048577"), 413, "REQ_004"),
    ];
    for (request, status, code) in cases {
        let body = if code == "REQ_004" { Full::from(vec![b'x'; 1_048_577]) } else { Full::default() };
        let answer = collect(sender.send_request(request.body(body).expect("a request")).await.expect("an answer")).await;
        answer.assert_dressed();
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    let answer = collect(
        sender
            .send_request(request("GET", "/livez").header("host", "gateway.test").body(Full::default()).expect("a request"))
            .await
            .expect("an answer"),
    )
    .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_http2_refusal_waits_for_its_body_so_that_no_reset_follows_it() {
    const PIECES: usize = 20;
    let open = Encrypted::open(ServerLimits { linger: Duration::from_secs(60), ..short() }).await;
    let tracker = TaskTracker::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(open.connect(b"h2").await)).await.expect("a connection");
    tracker.spawn(connection);
    for (path, status) in [("/v1/wa/unread", 401), ("/v1/wa/message", 413)] {
        let taken = Arc::new(AtomicUsize::new(0));
        let pieces = futures_util::stream::unfold((0, taken.clone()), |(n, taken)| async move {
            tokio::task::yield_now().await;
            taken.store(n, Ordering::SeqCst);
            (n < PIECES).then(|| (Ok::<_, std::io::Error>(hyper::body::Frame::data(Bytes::from(vec![b' '; 65_536]))), (n + 1, taken)))
        });
        let body = http_body_util::StreamBody::new(Box::pin(pieces));
        let answer = collect(sender.send_request(request("POST", path).body(body).expect("a request")).await.expect("an answer")).await;
        assert_eq!((answer.status, taken.load(Ordering::SeqCst)), (status, PIECES), "{path}: the body was read to its end");
    }
}

#[tokio::test]
async fn a_stalled_body_of_one_stream_is_told_408_and_others_go_on() {
    let open = Encrypted::open(short()).await;
    let tracker = TaskTracker::new();
    let stream = open.connect(b"h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    tracker.spawn(connection);
    let stalled = http_body_util::StreamBody::new(futures_util::stream::pending::<Result<hyper::body::Frame<Bytes>, std::io::Error>>());
    let answer =
        collect(sender.send_request(request("POST", "/v1/wa/message").body(stalled).expect("a request")).await.expect("an answer")).await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "REQ_007"));
}

#[tokio::test]
async fn a_stream_that_its_http2_peer_does_not_take_is_given_up() {
    let open = Encrypted::open(short()).await;
    let tracker = TaskTracker::new();
    let mut sender = open.connect_h2(&tracker).await;
    let answer = sender.send_request(request("GET", "/v1/wa/flood").body(Full::default()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(open.door.gate.inside(), 1);
    // Nobody reads it, and nobody says so: the peer's windows are full, and its connection stands.
    tokio::time::timeout(PATIENCE, async {
        while open.door.gate.inside() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("what it held is free again");
    assert!(answer.into_body().collect().await.is_err(), "and what was given of it does not look whole");
}

#[tokio::test]
async fn a_stream_comes_whole_over_http2_and_ends_when_its_peer_leaves() {
    let open = Encrypted::open(short()).await;
    let tracker = TaskTracker::new();
    let mut sender = open.connect_h2(&tracker).await;
    let whole =
        collect(sender.send_request(request("GET", "/v1/wa/stream").body(Full::default()).expect("a request")).await.expect("an answer"))
            .await;
    assert_eq!(whole.body.len(), 3 * "HTTP/1.1 400 piece\r\n\r\n".len());
    let answer = sender.send_request(request("GET", "/v1/wa/flood").body(Full::default()).expect("a request")).await.expect("an answer");
    drop((answer, sender));
    tokio::time::timeout(PATIENCE, async {
        while open.door.gate.inside() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("what it held is free again");
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_and_a_draining_one_told_so() {
    let open = Encrypted::open(short()).await;
    let tracker = TaskTracker::new();
    let mut sender = open.connect_h2(&tracker).await;
    let answer = sender.send_request(request("GET", "/livez").body(Full::default()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    tokio::time::timeout(PATIENCE, async {
        while open.door.handle.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("an idle connection is closed");

    let mut sender = open.connect_h2(&tracker).await;
    let slow = sender.send_request(request("GET", "/v1/wa/slow").body(Full::default()).expect("a request"));
    let ask = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        open.door.shutdown.cancel();
    };
    let (answer, ()) = futures_util::future::join(slow, ask).await;
    assert_eq!(answer.expect("what is in flight is finished").status(), 200);
    tokio::time::timeout(PATIENCE, open.door.handle.drained()).await.expect("the drain ends");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_or_not_in_tls_is_cut() {
    let open = Encrypted::open(short()).await;
    assert!(open.door.tell_and_stay("").await.is_empty());
    assert!(open.door.tell_and_stay([0x16, 3, 1, 2, 0, 1]).await.is_empty());
    // What comes back to plain text is at most a TLS alert, never HTTP.
    assert!(!open.door.tell_and_stay("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.starts_with(b"HTTP"));
    let mut silent = open.connect(b"http/1.1").await;
    assert!(read_to_end(&mut silent).await.is_empty());
}
