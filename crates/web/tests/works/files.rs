//! A Meta that keeps files and takes messages: written from its documentation (meta-cloud-api §7), with none of our code.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// What Meta saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

/// What becomes of a file when its bytes are asked for.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    /// They come.
    Bytes,
    /// The first address that Meta gives leads nowhere, the second does.
    AtTheSecondAddress,
    /// No address leads anywhere.
    Gone,
    /// The address is this one.
    At(String),
    /// The bytes lie elsewhere.
    Redirected(String),
}

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) number: &'static str,
    pub(crate) mime_type: &'static str,
    pub(crate) bytes: Bytes,
    pub(crate) given: Given,
}

#[derive(Default)]
struct State {
    files: Mutex<HashMap<String, File>>,
    seen: Mutex<Vec<Seen>>,
}

/// The fake.
pub(crate) struct Meta {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Meta {
    pub(crate) async fn open() -> Meta {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State::default());
        let (tasks, kept) = (TaskTracker::new(), Arc::clone(&state));
        let own = tasks.clone();
        tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&kept);
                own.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), address, request));
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Meta { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn keep(&self, id: &str, file: File) {
        self.state.files.lock().insert(id.to_owned(), file);
    }

    /// What was asked about files, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().iter().filter(|seen| !seen.path.contains("message_templates")).cloned().collect()
    }

    pub(crate) fn uploads(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.method == "POST").collect()
    }
}

async fn answer(
    state: Arc<State>,
    address: SocketAddr,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let seen = Seen {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        authorization: text("authorization"),
        content_type: text("content-type").unwrap_or_default(),
        body,
    };
    state.seen.lock().push(seen.clone());
    if seen.path.contains("message_templates") {
        return Ok(json(200, r#"{"data":[]}"#));
    }
    if seen.authorization.is_none() {
        return Ok(json(401, r#"{"error":{"code":190,"message":"An access token is required","type":"OAuthException"}}"#));
    }
    if let Some(name) = seen.path.strip_prefix("/files/") {
        return Ok(bytes_of(&state, name, seen.query.ends_with("again")));
    }
    if seen.method == "POST" && seen.path.ends_with("/messages") {
        let count = state.seen.lock().len();
        let contact = r#"{"input":"+905321234567","wa_id":"905321234567"}"#;
        let messages = format!(r#"[{{"id":"wamid.{count:08}=="}}]"#);
        return Ok(json(200, &format!(r#"{{"messaging_product":"whatsapp","contacts":[{contact}],"messages":{messages}}}"#)));
    }
    if seen.method == "POST" && seen.path.ends_with("/media") {
        return Ok(json(200, r#"{"id":"900100"}"#));
    }
    let id = seen.path.rsplit('/').next().unwrap_or_default();
    let known = state.files.lock().get(id).cloned().filter(|file| seen.query.contains(&format!("phone_number_id={}", file.number)));
    let Some(file) = known else {
        return Ok(json(
            400,
            r#"{"error":{"message":"Unsupported get request. Object with ID does not exist","type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"A1"}}"#,
        ));
    };
    if seen.method == "DELETE" {
        state.files.lock().remove(id);
        return Ok(json(200, r#"{"success":true}"#));
    }
    let asked = state.seen.lock().iter().filter(|other| other.path == seen.path).count();
    let url = match &file.given {
        Given::At(url) => url.clone(),
        _ if asked > 1 => format!("http://{address}/files/{id}?again"),
        _ => format!("http://{address}/files/{id}?first"),
    };
    let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let view = serde_json::json!({"messaging_product": "whatsapp", "url": url, "mime_type": file.mime_type, "sha256": sha256,
        "file_size": file.bytes.len().to_string(), "id": id});
    Ok(json(200, &view.to_string()))
}

fn bytes_of(state: &State, name: &str, again: bool) -> Response<Full<Bytes>> {
    let Some(file) = state.files.lock().get(name).cloned() else { return json(404, "{}") };
    match file.given {
        Given::Redirected(location) => {
            let mut moved = json(302, "");
            moved.headers_mut().insert("location", location.parse().expect("an address"));
            moved
        }
        Given::Gone => json(404, "{}"),
        Given::AtTheSecondAddress if !again => json(404, "{}"),
        _ => Response::builder().header("content-type", "application/x-fake").body(Full::new(file.bytes)).expect("a response"),
    }
}

fn json(status: u16, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_owned())));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
