//! The bytes of one request: over a UNIX socket, over TCP to this machine, over TLS to elsewhere.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use url::Url;

use crate::config::{is_loopback, tls};
use crate::failure::Failure;

/// Connecting to a machine that is there takes milliseconds, to one across the world a few hundred.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Proving a ledger of millions, or copying a database of gigabytes, takes minutes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1_800);

/// A hundred thousand new keys are 50 MiB of answer.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// The address after `--server`.
pub(super) fn parse_server(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let Some(url) = url else {
        return Err(Failure::Usage(format!("--server takes an address such as https://gateway.example.com, and is {text}")));
    };
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(Failure::Usage(format!("--server takes an address without a path, and is {text}")));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(Failure::Usage(format!(
            "the operator token would go to {text} unencrypted; use https://, or http:// on this machine only"
        )));
    }
    Ok(url)
}

/// Whether a gateway answers on the socket.
pub(super) async fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).await.is_ok()
}

/// Asks over the data folder's socket.
pub(super) async fn over_socket(socket: &Path, mut request: Request<Bytes>) -> Result<Response<Bytes>, Failure> {
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let place = socket.display().to_string();
    let stream = UnixStream::connect(socket).await.map_err(|problem| lost(&place, &problem))?;
    exchange(stream, request, &place).await
}

/// Asks a gateway elsewhere.
pub(super) async fn over_network(url: &Url, ca_file: Option<&Path>, mut request: Request<Bytes>) -> Result<Response<Bytes>, Failure> {
    let place = url.origin().ascii_serialization();
    request.headers_mut().insert(HOST, authority(url)?);
    exchange(connect(url, ca_file).await?, request, &place).await
}

/// The `Host` of a URL.
pub(super) fn authority(url: &Url) -> Result<HeaderValue, Failure> {
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(authority).map_err(|_| Failure::Usage(format!("{} is no address", url.origin().ascii_serialization())))
}

/// A connection, whatever it is made of.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Connects to where a URL leads, in TLS if it says so.
pub(super) async fn connect(url: &Url, ca_file: Option<&Path>) -> Result<Box<dyn Wire>, Failure> {
    let place = url.origin().ascii_serialization();
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((bare, port)))
        .await
        .map_err(|_| Failure::Unreachable(format!("{place} does not answer; see that the address is right and the gateway runs")))?
        .map_err(|problem| lost(&place, &problem))?;
    if url.scheme() == "http" {
        return Ok(Box::new(stream));
    }
    let name = rustls::pki_types::ServerName::try_from(bare.to_owned()).map_err(|_| Failure::Usage(format!("{bare} is no host name")))?;
    let config = tls::client_config(ca_file).map_err(|problem| Failure::Usage(format!("{problem:#}")))?;
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, tokio_rustls::TlsConnector::from(config).connect(name, stream))
        .await
        .map_err(|_| Failure::Unreachable(format!("{place} does not speak TLS with us")))?
        .map_err(|problem| {
            Failure::Unreachable(format!(
                "no trusted connection to {place}: {problem}. With a certificate of your own, name its authority with --ca-file"
            ))
        })?;
    Ok(Box::new(stream))
}

async fn exchange<S>(stream: S, mut request: Request<Bytes>, place: &str) -> Result<Response<Bytes>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|problem| lost(place, &problem))?;
    let answer = async {
        let response = sender.send_request(request.map(Full::new)).await.map_err(|problem| lost(place, &problem))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|problem| lost(place, &*problem))?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    tokio::pin!(answer);
    let both = async {
        tokio::select! {
            answered = &mut answer => answered,
            // The connection may end just before its answer is read; the answer decides.
            _ = connection => answer.await,
        }
    };
    tokio::time::timeout(ANSWER_TIMEOUT, both)
        .await
        .unwrap_or_else(|_| Err(Failure::Unreachable(format!("{place} took the request and did not answer within half an hour"))))
}

pub(super) fn lost(place: &str, problem: &dyn std::error::Error) -> Failure {
    Failure::Unreachable(format!("cannot reach the gateway at {place}: {problem}. See that it runs, and that the address is right"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_unencrypted_only_on_this_machine() {
        for good in
            ["https://gateway.example.com", "https://192.0.2.7:8443/", "http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"]
        {
            assert!(parse_server(good).is_ok(), "{good}");
        }
        for bad in [
            "http://gateway.example.com",
            "http://10.0.0.7:8080",
            "gateway.example.com",
            "ftp://example.com",
            "https://u@example.com",
            "https://example.com/api",
        ] {
            assert!(matches!(parse_server(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
