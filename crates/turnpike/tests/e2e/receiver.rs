//! A customer's endpoint: an HTTP server on loopback that writes down what it is sent, and answers as
//! the test says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::document;

/// Far longer than any first attempt takes, also on a machine that does other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a waiting test looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A delivery, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// All headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body's bytes as text.
    pub(crate) body: String,
}

impl Received {
    /// A header that must be there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", self.headers))
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }

    /// `webhook-id`.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// `X-Gateway-Event`.
    pub(crate) fn kind(&self) -> &str {
        self.header("x-gateway-event")
    }

    /// `value` of its only change.
    pub(crate) fn value(&self) -> Value {
        let body = self.json();
        assert_eq!(body["entry"].as_array().map(Vec::len), Some(1), "one delivery, one entry: {body}");
        assert_eq!(body["entry"][0]["changes"].as_array().map(Vec::len), Some(1), "one delivery, one change: {body}");
        body["entry"][0]["changes"][0]["value"].clone()
    }

    /// As the verifiers read it.
    pub(crate) fn for_verifiers(&self, secret: &str) -> Value {
        json!({"headers": self.headers, "body": self.body, "secret": secret})
    }
}

type Answers = dyn Fn(&Received) -> u16 + Send + Sync;

/// An endpoint that runs until it is dropped.
pub(crate) struct Receiver {
    /// Its address, `http://127.0.0.1:1234/hook`.
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Receiver {
        Receiver::answering(|_| 200).await
    }

    /// One that answers with the status that `answers` gives.
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
    pub(crate) async fn answering(answers: impl Fn(&Received) -> u16 + Send + Sync + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
        let received = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn(serve(listener, Arc::clone(&received), Arc::new(answers)));
        Receiver { url, received, serving }
    }

    /// Everything so far, in the order of arrival.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the first delivery that `wanted` describes.
    pub(crate) async fn wait_for(&self, what: &str, wanted: impl Fn(&Received) -> bool) -> Received {
        self.wait_until(what, |all| all.iter().find(|received| wanted(received)).cloned()).await
    }

    /// Waits until `look` finds what it looks for.
    pub(crate) async fn wait_until<T>(&self, what: &str, look: impl Fn(&[Received]) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let all = self.all();
            if let Some(found) = look(&all) {
                return found;
            }
            if tokio::time::Instant::now() > deadline {
                let seen: Vec<String> = all.iter().map(|received| format!("{} {}", received.kind(), received.body)).collect();
                panic!("{what} never came; {} deliveries did:\n{}", seen.len(), seen.join("\n"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's connections end with the test")]
async fn serve(listener: TcpListener, received: Arc<Mutex<Vec<Received>>>, answers: Arc<Answers>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (received, answers) = (Arc::clone(&received), Arc::clone(&answers));
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &received, &*answers));
            // A gateway that was killed leaves its connections broken: that is what it is tested with.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, kept: &Mutex<Vec<Received>>, answers: &Answers) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // Half a body is no delivery.
    let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let received = Received {
        headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: String::from_utf8(body.to_bytes().to_vec()).expect("JSON is UTF-8"),
    };
    document::hold_delivery(&received);
    let status = answers(&received);
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(received);
    let mut response = Response::new(Full::from("taken"));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(response)
}
