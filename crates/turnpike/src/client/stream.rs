//! Answers that have no end, and requests that go elsewhere than to a gateway: what `listen` needs.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use turnpike_engine::secret::Secret;
use url::Url;

use super::{Ask, Gateway, Way, read_answer, wire};
use crate::failure::Failure;

/// How long a gateway may take to begin an answer.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of an error's body.
const ERROR_MAX: usize = 1024 * 1024;

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An answer that is being read.
pub(crate) struct Stream {
    /// Its headers.
    pub(crate) headers: HeaderMap,
    body: hyper::body::Incoming,
    connection: Option<Connection>,
}

impl Stream {
    /// The next bytes; `None` at the end, also where it broke off.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                frame = self.body.frame() => match frame {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(bytes) => return Some(bytes),
                        Err(_) => continue,
                    },
                    Some(Err(_)) | None => return None,
                },
                // What it has read is still to be taken.
                () = driven(&mut self.connection) => self.connection = None,
            }
        }
    }
}

async fn driven(connection: &mut Option<Connection>) {
    match connection {
        Some(connection) => drop(connection.as_mut().await),
        None => std::future::pending().await,
    }
}

impl Gateway {
    /// Runs something on the command's own runtime.
    pub(crate) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// Asks with an API key for an answer without end.
    ///
    /// # Errors
    /// The gateway's refusal as [`Failure::Answered`], or that it cannot be reached.
    pub(crate) async fn follow(&self, path: &str, headers: &[(&'static str, String)], key: &Secret) -> Result<Stream, Failure> {
        let (method, query, key) = (Method::GET, Vec::new(), Some(Secret::new(key.expose().to_owned())));
        let mut ask = Ask { method, path: path.to_owned(), query, body: None, headers: HeaderMap::new(), key };
        for (name, value) in headers {
            let value = HeaderValue::try_from(value).map_err(|_| Failure::Usage(format!("{name} cannot be {value}")))?;
            ask = ask.header(name, value);
        }
        let mut request = ask.into_request(&self.user, None)?;
        match &self.way {
            Way::Network { url, ca_file, .. } => {
                request.headers_mut().insert(HOST, wire::authority(url)?);
                begin(wire::connect(url, ca_file.as_deref()).await?, request, &url.origin().ascii_serialization()).await
            }
            Way::Socket(path) => {
                request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
                let place = path.display().to_string();
                let socket = UnixStream::connect(path).await.map_err(|problem| wire::lost(&place, &problem))?;
                begin(Box::new(socket), request, &place).await
            }
            Way::Folder(config) => Err(Failure::Unreachable(format!("no gateway runs on {}", config.data.display()))),
        }
    }
}

async fn begin(io: Box<dyn wire::Wire>, request: Request<Bytes>, place: &str) -> Result<Stream, Failure> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|problem| wire::lost(place, &problem))?;
    let mut connection: Option<Connection> = Some(Box::pin(connection));
    let mut answering = std::pin::pin!(sender.send_request(request.map(Full::new)));
    let begun = async {
        loop {
            tokio::select! {
                answered = &mut answering => return answered,
                () = driven(&mut connection) => connection = None,
            }
        }
    };
    let answered = tokio::time::timeout(BEGIN_WITHIN, begun)
        .await
        .map_err(|_| Failure::Unreachable(format!("{place} took the request and did not answer")))?
        .map_err(|problem| wire::lost(place, &problem))?;
    let (head, body) = answered.into_parts();
    if head.status == StatusCode::OK {
        return Ok(Stream { headers: head.headers, body, connection });
    }
    let mut reading = std::pin::pin!(Limited::new(body, ERROR_MAX).collect());
    let whole = loop {
        tokio::select! {
            read = &mut reading => break read.map(|body| body.to_bytes()).unwrap_or_default(),
            () = driven(&mut connection) => connection = None,
        }
    };
    match read_answer(http::Response::from_parts(head, whole), false) {
        Err(failure) => Err(failure),
        Ok(_) => Err(Failure::Unreachable(format!("{place} answered without a stream"))),
    }
}

/// Posts once to a URL of the developer's and gives the status. Redirects are not followed, as by a
/// real delivery.
///
/// # Errors
/// What happened, in words.
pub(crate) async fn post(
    url: &Url,
    headers: HeaderMap,
    bearer: Option<&Secret>,
    body: Bytes,
    within: Duration,
) -> Result<StatusCode, String> {
    let sent = async {
        let words = |failure: Failure| failure.to_string();
        let io = wire::connect(url, None).await.map_err(|_| format!("nobody listens at {}", url.origin().ascii_serialization()))?;
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = Request::post(target).body(Full::new(body)).map_err(|problem| problem.to_string())?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, wire::authority(url).map_err(words)?);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(bearer) = bearer {
            let value = HeaderValue::try_from(format!("Bearer {}", bearer.expose())).map_err(|_| "the bearer fits no header".to_owned())?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|problem| problem.to_string())?;
        let mut answering = std::pin::pin!(sender.send_request(request));
        let mut connection: Option<Connection> = Some(Box::pin(connection));
        loop {
            tokio::select! {
                answered = &mut answering => return answered.map(|answer| answer.status()).map_err(|problem| problem.to_string()),
                () = driven(&mut connection) => connection = None,
            }
        }
    };
    tokio::time::timeout(within, sent).await.unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs())))
}
