//! A front door on a free port with a small service behind it, and raw sockets to knock with.

#![expect(dead_code, reason = "each test file of this folder uses its own part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_domain::refusal::Refusal;
use turnpike_domain::time::UnixMs;
use turnpike_web::error::render;
use turnpike_web::gate::Gate;
use turnpike_web::operations::Operations;
use turnpike_web::request_id::RequestIds;
use turnpike_web::router::Router;
use turnpike_web::server::{Body, BodyPace, Incoming, Response, Server, ServerConfig, ServerHandle, ServerLimits, Service, read_body};

/// What no test waits longer than; reaching it means that something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Body limit of the test's send route.
pub(crate) const SEND_MAX: usize = 1024 * 1024;

/// Stands where the messaging API will: reads bodies, and can be slow, stream and panic.
pub(crate) struct Messaging {
    pub(crate) gate: Gate,
    pub(crate) pace: BodyPace,
}

impl Service for Messaging {
    async fn call(&self, mut request: Incoming) -> Response {
        let context = request.error_context();
        match request.path() {
            "/v1/wa/message" => {
                if request.head.method != http::Method::POST {
                    return render(&Refusal::MethodNotAllowed { allow: "POST" }, context);
                }
                if let Err(refusal) = request.known.refuse_browser() {
                    return render(&refusal, context);
                }
                let _permit = match self.gate.enter() {
                    Ok(permit) => permit,
                    Err(refusal) => return render(&refusal, context),
                };
                match read_body(&mut request.body, SEND_MAX, self.pace).await {
                    Ok(body) => json(&Value::to_string(
                        &serde_json::json!({"isSuccess": true, "data": {"bytes": body.len()}, "heard": heard(&request, &body)}),
                    )),
                    Err(refusal) => render(&refusal, context),
                }
            }
            "/v1/wa/unread" => render(&Refusal::NoAuthorization, context),
            "/v1/wa/slow" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                json(r#"{"isSuccess":true,"data":"slept"}"#)
            }
            "/v1/wa/endless" => std::future::pending().await,
            "/v1/wa/panic" => panic!("a test asked for it"),
            "/v1/wa/stream" => {
                let pieces = (0..3).map(|n| {
                    Ok::<_, std::io::Error>(hyper::body::Frame::data(bytes::Bytes::from(format!("HTTP/1.1 40{n} piece\r\n\r\n"))))
                });
                http::Response::new(Body::stream(http_body_util::StreamBody::new(futures_util::stream::iter(pieces))))
            }
            "/v1/wa/flood" => {
                // A place in the gate is held for as long as anybody keeps the stream.
                let Ok(permit) = self.gate.enter() else { return render(&Refusal::NotFound, context) };
                let pieces = std::iter::from_fn(move || {
                    let _held = &permit;
                    Some(Ok::<_, std::io::Error>(hyper::body::Frame::data(bytes::Bytes::from(vec![b'x'; 16 * 1024]))))
                });
                http::Response::new(Body::stream(http_body_util::StreamBody::new(futures_util::stream::iter(pieces))))
            }
            "/v1/wa/huge" => http::Response::new(Body::full(vec![b'x'; 64 * 1024 * 1024])),
            "/v1/wa/who" => json(&format!(
                r#"{{"address":"{}","here":{},"trace":"{}"}}"#,
                request.peer.address().map(|address| address.to_string()).unwrap_or_default(),
                request.peer.is_on_this_machine(),
                request.traceparent.map(|trace| trace.trace_id().to_owned()).unwrap_or_default(),
            )),
            _ => render(&Refusal::NotFound, context),
        }
    }
}

/// Everything that a handler of a send can know of its request.
fn heard(request: &Incoming, body: &[u8]) -> Value {
    let text = |value: Option<&http::HeaderValue>| value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let known = &request.known;
    serde_json::json!({
        "body": String::from_utf8_lossy(body),
        "query": request.head.uri.query(),
        "authorization": text(known.authorization.as_ref()),
        "contentType": text(known.content_type.as_ref()),
        "idempotencyKey": text(known.idempotency_key.as_ref()),
        "allowDuplicate": text(request.head.headers.get("x-allow-duplicate")),
        "traceparent": request.traceparent.map(|trace| trace.as_str().to_owned()),
        "address": request.peer.address().map(|address| address.to_string()),
        "isOnThisMachine": request.peer.is_on_this_machine(),
    })
}

fn json(text: &str) -> Response {
    let mut response = http::Response::new(Body::full(text.to_owned()));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) gate: Gate,
    pub(crate) handle: ServerHandle,
    pub(crate) tracker: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// Limits that a test can wait for.
pub(crate) fn short() -> ServerLimits {
    let wait = Duration::from_millis(200);
    ServerLimits {
        tls_handshake: wait,
        first_byte: wait,
        header: wait,
        keep_alive_idle: wait,
        write_stall: wait,
        linger: Duration::from_millis(100),
        drain_idle: Duration::from_millis(50),
        drain_deadline: Duration::from_millis(1500),
        ..ServerLimits::default()
    }
}

pub(crate) fn request_ids() -> Arc<RequestIds> {
    Arc::new(RequestIds::new(UnixMs(1_790_000_000_000), 7))
}

pub(crate) fn config(limits: ServerLimits) -> ServerConfig {
    ServerConfig { limits, ..ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), request_ids()) }
}

pub(crate) fn service(gate: &Gate) -> Arc<Router<Messaging>> {
    Arc::new(router(gate))
}

pub(crate) fn router(gate: &Gate) -> Router<Messaging> {
    let pace = BodyPace { total: Duration::from_millis(200), bytes_per_second: 256 * 1024 };
    let ready_gate = gate.clone();
    let operations = Operations::new(Arc::new(move || !ready_gate.is_draining()), Arc::new(|| "turnpike_up 1\n# EOF\n".to_owned()));
    let control = axum::Router::new()
        .route("/operator/v1/echo", axum::routing::post(|body: bytes::Bytes| async move { body }).get(|| async { "here" }))
        .route("/operator/v1/typed", axum::routing::post(|axum::Json(number): axum::Json<u32>| async move { number.to_string() }));
    Router::new(Messaging { gate: gate.clone(), pace }, operations, control)
}

impl Door {
    pub(crate) async fn open(limits: ServerLimits) -> Door {
        Door::with(config(limits)).await
    }

    pub(crate) async fn with(config: ServerConfig) -> Door {
        let gate = Gate::new(64);
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let server = Server::bind(config).await.expect("a free port");
        let address = server.address().expect("a network address");
        let handle = server.start(service(&gate), &tracker, shutdown.clone());
        Door { address, gate, handle, tracker, shutdown }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the door is open")
    }

    /// Sends bytes, says that nothing more comes, and reads until the other side closes.
    pub(crate) async fn tell(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = self.connect().await;
        write_all(&mut stream, bytes.as_ref()).await;
        let _ = stream.shutdown().await;
        read_to_end(&mut stream).await
    }

    /// Sends bytes and reads until the other side closes, without having closed ours.
    pub(crate) async fn tell_and_stay(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = self.connect().await;
        write_all(&mut stream, bytes.as_ref()).await;
        read_to_end(&mut stream).await
    }
}

/// Writes as far as the other side takes it: a refusal may come before the end.
pub(crate) async fn write_all(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    let _ = timeout(PATIENCE, stream.write_all(bytes)).await.expect("writing hangs");
}

/// Reads until the other side closes, orderly or by a reset.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection hangs");
    answer
}

/// Reads one answer with a `content-length` from a connection that stays open.
pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = Answer::parse(&bytes).first()
            && answer.is_whole
        {
            return answer.clone();
        }
        let mut piece = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("the answer hangs").expect("an answer comes");
        assert!(read > 0, "closed within an answer: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..read]);
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_whole: bool,
}

impl Answer {
    /// The answers in a row that the bytes hold; informational ones are left out.
    pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).expect("heads are ASCII");
            let mut lines = head.split("\r\n");
            let status =
                lines.next().and_then(|line| line.strip_prefix("HTTP/1.")).expect("a status line")[2..5].parse().expect("a status");
            let headers: Vec<(String, String)> = lines
                .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("a header: {line}")))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            bytes = &bytes[end + 4..];
            if status == 100 {
                continue;
            }
            let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().expect("a length"));
            let here = length.unwrap_or(bytes.len()).min(bytes.len());
            answers.push(Answer { status, headers, body: bytes[..here].to_vec(), is_whole: length.is_some_and(|length| here == length) });
            bytes = &bytes[here..];
        }
        answers
    }

    /// The only answer in the bytes.
    pub(crate) fn only(bytes: &[u8]) -> Answer {
        let answers = Answer::parse(bytes);
        assert_eq!(answers.len(), 1, "{}", String::from_utf8_lossy(bytes));
        answers[0].clone()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("a JSON body: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["errors"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What every answer bears, and every error besides.
    pub(crate) fn assert_dressed(&self) {
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        if self.status >= 400 {
            let body = self.json();
            assert_eq!(body["isSuccess"], false, "{body}");
            for member in ["code", "group", "description", "doc"] {
                assert!(body["errors"][member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {body}");
            }
        }
    }
}
