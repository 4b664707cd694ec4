//! The HTTP client with which Meta's side calls a callback URL.
//!
//! Apart from keeping connections it does nothing of its own accord: no
//! redirects, no proxies, no retries, since each of them would hide from the
//! receiver's author what really happened.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::trust::Trust;
use crate::clock;

/// What Meta's requests call themselves.
const AGENT: &str = "facebookexternalua";

/// Connections that are kept open to one callback.
const IDLE_MAX: usize = 16;

/// Bytes of an answer that are looked at; Meta looks at none.
const ANSWER_MAX: usize = 4 * 1024;

/// What a callback answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Its beginning, as text.
    pub(crate) body: String,
}

/// Calls one callback URL.
pub(crate) struct Client {
    host: String,
    port: u16,
    authority: HeaderValue,
    target: String,
    timeout: Duration,
    tls: Option<TlsConnector>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client for this URL; the sentence says why it cannot be called.
    pub(crate) fn new(url: &str, timeout: Duration, trust: &Trust) -> Result<Client, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("{url} must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{url} names no host"))?;
        if authority.as_str().contains('@') {
            return Err("a URL with a user name or password in it cannot be called".to_owned());
        }
        Ok(Client {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| format!("{url} names no host"))?,
            target: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            timeout,
            tls: https.then(|| trust.connector()).transpose()?,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// `GET` with these pairs behind the URL's own query.
    pub(crate) async fn get(&self, query: &str) -> Result<Answered, String> {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        self.call(Method::GET, &format!("{}{joint}{query}", self.target), &[], Bytes::new()).await
    }

    /// `POST` of a JSON body.
    pub(crate) async fn post(&self, headers: &[(&'static str, String)], body: Bytes) -> Result<Answered, String> {
        self.call(Method::POST, &self.target, headers, body).await
    }

    async fn call(&self, method: Method, target: &str, headers: &[(&'static str, String)], body: Bytes) -> Result<Answered, String> {
        match tokio::time::timeout(self.timeout, self.exchange(method, target, headers, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} ms", self.timeout.as_millis())),
        }
    }

    async fn exchange(&self, method: Method, target: &str, headers: &[(&'static str, String)], body: Bytes) -> Result<Answered, String> {
        let build = || -> Result<Request<Full<Bytes>>, String> {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = target.parse().map_err(|_| format!("{target} is no path"))?;
            let known = request.headers_mut();
            known.insert(HOST, self.authority.clone());
            known.insert(USER_AGENT, HeaderValue::from_static(AGENT));
            known.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
            for (name, value) in headers {
                let value = HeaderValue::from_str(value).map_err(|_| format!("{name} cannot be a header"))?;
                known.insert(HeaderName::from_static(name), value);
            }
            Ok(request)
        };
        let kept = self.kept();
        let reused = kept.is_some();
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = match sender.send_request(build()?).await {
            Ok(response) => response,
            // Nothing of it was sent: the other side had closed a kept connection.
            Err(error) if reused && error.is_canceled() => {
                sender = self.connect().await?;
                sender.send_request(build()?).await.map_err(|error| sentence(&error))?
            }
            Err(error) => return Err(sentence(&error)),
        };
        let status = response.status().as_u16();
        let mut incoming = response.into_body();
        let mut bytes = Vec::new();
        while bytes.len() < ANSWER_MAX {
            match incoming.frame().await {
                None => {
                    if sender.ready().await.is_ok() {
                        self.keep(sender);
                    }
                    break;
                }
                // The status is what counts; a body that breaks off takes nothing back.
                Some(Err(_)) => break,
                Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            }
        }
        bytes.truncate(ANSWER_MAX);
        Ok(Answered { status, body: String::from_utf8_lossy(&bytes).into_owned() })
    }

    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(sender);
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let at = || format!("{}:{}", self.host, self.port);
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| format!("connecting to {}: {error}", at()))?;
        let _ = tcp.set_nodelay(true);
        match &self.tls {
            None => drive(TokioIo::new(tcp)).await,
            Some(connector) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|_| format!("{} is no name for TLS", self.host))?;
                let tls = connector.connect(name, tcp).await.map_err(|error| format!("TLS with {}: {error}", at()))?;
                drive(TokioIo::new(tls)).await
            }
        }
    }
}

async fn drive<I>(io: I) -> Result<SendRequest<Full<Bytes>>, String>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await.map_err(|error| sentence(&error))?;
    // It ends when its sender is dropped or the other side closes; how it ended
    // shows in the exchange.
    clock::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// An error with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
