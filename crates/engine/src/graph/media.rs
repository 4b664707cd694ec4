//! Media at Meta (meta-cloud-api §7): what a file is, its bytes, a new one, and its end.
//!
//! Meta's answer says where a file lies, and so where a token goes. It is believed only where the host
//! is Meta's own, or the configured Graph host itself (a simulator's); everything else is an answer
//! that cannot be used. A redirect is followed under the same rule, and to another host without the
//! token, as every HTTP client does.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use serde::Deserialize;
use serde::de::Deserializer;
use turnpike_domain::refusal::UnknownCause;

use super::{GraphClient, GraphFailure, Link, Trace, classify, request};
use crate::media::{Outgoing, Transfer, Transferred};
use crate::transport::{GraphResponse, PathAndQuery, Sent, Target, TransportError, cause_of_unusable};

/// How long Meta may take to say what a file is, to delete it, or to begin giving it: as long as a
/// caller of a send waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long 100 MB may take on their way to Meta, its answer included: 170 KiB a second.
const UPLOAD_WITHIN: Duration = Duration::from_secs(600);

/// The answer to an upload has some fifty bytes.
const UPLOAD_ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Meta's media host redirects at most once; one more for the day it changes.
const REDIRECTS_MAX: usize = 2;

/// Where Meta keeps files. A host is one of these, or below it.
const FILE_DOMAINS: [&str; 4] = ["fbsbx.com", "facebook.com", "fbcdn.net", "whatsapp.net"];

/// A file as Meta describes it. Its `Debug` does not show the address, which opens it for a while.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct MediaView {
    /// Where its bytes are, for five minutes.
    pub url: String,
    /// Its media type.
    pub mime_type: Option<String>,
    /// SHA-256 of its bytes: Meta writes hexadecimal here, and base64 in webhooks.
    pub sha256: Option<String>,
    /// Its length in bytes.
    #[serde(default, deserialize_with = "number_or_text")]
    pub file_size: Option<u64>,
}

impl std::fmt::Debug for MediaView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaView").field("mime_type", &self.mime_type).field("file_size", &self.file_size).finish_non_exhaustive()
    }
}

/// Why a file's bytes did not come.
#[derive(Debug)]
pub enum FileFailure {
    /// Meta does not have it at this address (any more).
    Gone,
    /// Otherwise.
    Failed(GraphFailure),
}

impl GraphClient {
    /// Asks what the file `id` is. The link's own number goes along, so that Meta refuses a file of
    /// another.
    ///
    /// # Errors
    /// [`GraphFailure`]; 100 with subcode 33 for a file that does not exist or is another's.
    pub async fn media(&self, link: &Link, id: &str, trace: &Trace) -> Result<MediaView, GraphFailure> {
        let body = self.read(link, media_path(link, id)?, Some(ANSWER_WITHIN), trace).await?;
        serde_json::from_slice(&body).map_err(|_| unusable("its answer does not describe a file"))
    }

    /// Deletes the file `id`.
    ///
    /// # Errors
    /// As [`GraphClient::media`]; an unknown end may be asked again, since it deletes the same.
    pub async fn delete_media(&self, link: &Link, id: &str, trace: &Trace) -> Result<(), GraphFailure> {
        let asked = request(link, Method::DELETE, media_path(link, id)?, Bytes::new(), trace);
        classify::done(&self.carry(super::GraphRequest { deadline: Some(ANSWER_WITHIN), ..asked }).await?)
    }

    /// Uploads a form (`messaging_product`, `type`, `file`) and gives the new file's id.
    ///
    /// # Errors
    /// [`GraphFailure`]; after an unknown end it may be uploaded again: the other copy, if there is
    /// one, costs nothing and is gone after 30 days.
    pub async fn upload_media(&self, link: &Link, kind: HeaderValue, form: Outgoing, trace: &Trace) -> Result<String, GraphFailure> {
        #[derive(Deserialize)]
        struct Uploaded {
            id: String,
        }
        let transfer = Transfer {
            target: Arc::clone(link.target()),
            method: Method::POST,
            path_and_query: link.path_of(link.phone_number_id(), "/media", "").map_err(|_| unusable("the number has no path"))?,
            authorization: Some(link.authorization().clone()),
            body: Some((kind, form)),
            traceparent: trace.traceparent.clone(),
            head_within: UPLOAD_WITHIN,
        };
        let answer = whole(self.transfer(transfer, trace).await?).await?;
        let body = classify::body_of_success(&answer)?;
        let uploaded: Uploaded = serde_json::from_slice(&body).map_err(|_| unusable("its answer names no file"))?;
        if uploaded.id.is_empty() { Err(unusable("its answer names no file")) } else { Ok(uploaded.id) }
    }

    /// The bytes at `url`, an address that [`GraphClient::media`] gave.
    ///
    /// # Errors
    /// [`FileFailure`].
    pub async fn open_file(&self, link: &Link, url: &str, trace: &Trace) -> Result<Transferred, FileFailure> {
        let failed = |problem: &str| FileFailure::Failed(unusable(problem));
        let mut place = Place::of_url(url, link.target()).ok_or_else(|| failed("the address of a file is not at Meta"))?;
        let first = Arc::clone(&place.target);
        for _ in 0..=REDIRECTS_MAX {
            let transfer = Transfer {
                target: Arc::clone(&place.target),
                method: Method::GET,
                path_and_query: place.path_and_query.clone(),
                authorization: (place.target == first).then(|| link.authorization().clone()),
                body: None,
                traceparent: None,
                head_within: ANSWER_WITHIN,
            };
            let answer = self.transfer(transfer, trace).await.map_err(FileFailure::Failed)?;
            match answer.status {
                StatusCode::OK => return Ok(answer),
                StatusCode::NOT_FOUND | StatusCode::GONE => return Err(FileFailure::Gone),
                status if status.is_redirection() => {
                    let next = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
                    let next = next.and_then(|location| place.resolve(location, link.target()));
                    place = next.ok_or_else(|| failed("the address of a file leads away from Meta"))?;
                }
                status => {
                    tracing::info!(media.status = status.as_u16(), "Meta did not give a file's bytes");
                    return Err(FileFailure::Failed(GraphFailure::Unknown { cause: cause_of_unusable(status) }));
                }
            }
        }
        Err(failed("the address of a file leads to another, and that to another"))
    }

    async fn transfer(&self, transfer: Transfer, trace: &Trace) -> Result<Transferred, GraphFailure> {
        let target = Arc::clone(&transfer.target);
        self.transport.transfer(transfer).await.map_err(|TransportError { sent, detail, retry_after_ms }| {
            tracing::info!(request.id = trace.request_id.as_deref(), graph.host = target.authority(), graph.sent = ?sent, "a file did not pass: {detail}");
            match sent {
                Sent::No(cause) => GraphFailure::NotSent { cause, retry_after_ms },
                Sent::Maybe(cause) => GraphFailure::Unknown { cause },
            }
        })
    }
}

fn media_path(link: &Link, id: &str) -> Result<PathAndQuery, GraphFailure> {
    let query = format!("phone_number_id={}", link.phone_number_id());
    link.path_of(id, "", &query).map_err(|_| unusable("an id that cannot be Meta's was asked for"))
}

/// An answer of a transfer that is JSON, read to its end.
async fn whole(answer: Transferred) -> Result<GraphResponse, GraphFailure> {
    let Transferred { status, headers, mut body } = answer;
    let mut gathered = BytesMut::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(Ok(piece)) = frame.map(Frame::into_data) else { return false };
            if gathered.len() + piece.len() > UPLOAD_ANSWER_MAX_BYTES {
                return false;
            }
            gathered.extend_from_slice(&piece);
        }
        true
    };
    if !tokio::time::timeout(ANSWER_WITHIN, reading).await.unwrap_or(false) {
        return Err(GraphFailure::Unknown { cause: cause_of_unusable(status) });
    }
    let keep = |headers: &HeaderMap, name: HeaderName| headers.get(name).cloned();
    Ok(GraphResponse {
        status,
        retry_after: keep(&headers, header::RETRY_AFTER),
        trace_id: keep(&headers, HeaderName::from_static("x-fb-trace-id")),
        content_type: keep(&headers, header::CONTENT_TYPE),
        body: gathered.freeze(),
    })
}

fn unusable(problem: &str) -> GraphFailure {
    tracing::warn!("media at Meta: {problem}");
    GraphFailure::Unknown { cause: UnknownCause::UnreadableAnswer }
}

/// Where a file lies.
#[derive(Debug)]
struct Place {
    target: Arc<Target>,
    path_and_query: PathAndQuery,
}

impl Place {
    /// The place that an address names, if a token may go there: a host of Meta's over TLS, or `graph`.
    fn of_url(url: &str, graph: &Target) -> Option<Place> {
        let uri: http::Uri = url.parse().ok()?;
        let target = Target::parse(&format!("{}://{}", uri.scheme_str()?, uri.authority()?)).ok()?;
        let is_graph = (target.is_https(), target.host(), target.port()) == (graph.is_https(), graph.host(), graph.port());
        let is_metas = target.is_https() && target.port() == 443 && is_below_a_domain_of_meta(target.host());
        let path_and_query = PathAndQuery::parse(uri.path_and_query()?.as_str())?;
        (is_graph || is_metas).then(|| Place { target: Arc::new(target), path_and_query })
    }

    /// Where a redirect from here leads, under the same rule.
    fn resolve(&self, location: &str, graph: &Target) -> Option<Place> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(Place { target: Arc::clone(&self.target), path_and_query: PathAndQuery::parse(location)? });
        }
        Place::of_url(location, graph)
    }
}

fn is_below_a_domain_of_meta(host: &str) -> bool {
    FILE_DOMAINS.iter().any(|domain| host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

fn number_or_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    Ok(Option::<Either>::deserialize(from)?.and_then(|either| match either {
        Either::Number(number) => Some(number),
        Either::Text(text) => text.parse().ok(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Target {
        Target::parse("https://graph.facebook.com").expect("Meta's own")
    }

    #[test]
    fn a_token_goes_to_meta_or_to_the_configured_graph_and_nowhere_else() {
        let simulator = Target::parse("http://127.0.0.1:4000").expect("a simulator");
        for url in [
            "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2&hash=x",
            "https://scontent.xx.fbcdn.net/a",
            "https://MMG.WhatsApp.net/a",
            "https://graph.facebook.com/a",
        ] {
            assert!(Place::of_url(url, &graph()).is_some(), "{url}");
        }
        assert!(Place::of_url("http://127.0.0.1:4000/media/1?x=y", &simulator).is_some());
        for url in [
            "http://lookaside.fbsbx.com/a",
            "https://lookaside.fbsbx.com:8443/a",
            "https://evilfbsbx.com/a",
            "https://fbsbx.com.evil.example/a",
            "https://lookaside.fbsbx.com@evil.example/a",
            "https://user@lookaside.fbsbx.com/a",
            "https://evil.example/?https://lookaside.fbsbx.com/",
            "https://evil.example#.fbsbx.com/",
            "https://127.0.0.1/a",
            "https://fbsbx.com./a",
            "http://127.0.0.1:4000/media/1",
            "/relative",
            "ftp://fbsbx.com/a",
            "",
        ] {
            assert!(Place::of_url(url, &graph()).is_none(), "{url}");
        }
        assert!(Place::of_url("http://127.0.0.1:4001/media/1", &simulator).is_none(), "another port is another program");
        assert!(Place::of_url("https://127.0.0.1:4000/media/1", &simulator).is_none());
    }

    #[test]
    fn a_redirect_stays_within_the_rule() {
        let here = Place::of_url("https://lookaside.fbsbx.com/a?b", &graph()).expect("Meta's own");
        let there =
            |location: &str| here.resolve(location, &graph()).map(|place| format!("{}{}", place.target, place.path_and_query.path()));
        assert_eq!(there("/c?d").as_deref(), Some("https://lookaside.fbsbx.com/c"));
        assert_eq!(there("https://x.fbcdn.net/e").as_deref(), Some("https://x.fbcdn.net/e"));
        for location in ["//evil.example/a", "https://evil.example/a", "http://x.fbcdn.net/e", "a", ""] {
            assert_eq!(there(location), None, "{location}");
        }
    }

    #[test]
    fn a_files_size_is_read_as_number_or_text() {
        for (body, size) in [
            (r#"{"url":"u","file_size":"303833","id":"1"}"#, Some(303_833)),
            (r#"{"url":"u","file_size":303833}"#, Some(303_833)),
            (r#"{"url":"u"}"#, None),
        ] {
            let view: MediaView = serde_json::from_str(body).expect(body);
            assert_eq!(view.file_size, size, "{body}");
        }
        let shown = format!("{:?}", serde_json::from_str::<MediaView>(r#"{"url":"canary"}"#).expect("a file"));
        assert!(!shown.contains("canary"), "{shown}");
    }
}
