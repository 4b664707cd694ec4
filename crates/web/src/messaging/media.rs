//! `GET` and `DELETE /v1/wa/media/{id}`, `POST /v1/wa/media`: files, by API key.
//!
//! A form is read part by part as it arrives, and its file goes to disk as it comes; nothing of it is
//! gathered in memory. What WhatsApp does not take is refused before Meta is asked, by the name of the
//! field that is wrong.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, Method};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use turnpike_domain::refusal::{FieldFault, Refusal};
use turnpike_engine::caller::Caller;
use turnpike_engine::media::kinds::{FILE_MAX_BYTES, MediaType};
use turnpike_engine::media::{Download, NewFile, Spool, full_disk, no_file};
use turnpike_engine::send::Trace;

use super::answer::success;
use super::send::finish;
use super::{Messaging, trace};
use crate::error::{ErrorContext, render};
use crate::server::{Body, BodyPace, Incoming, RequestBody, Response};

/// Where files are.
pub(super) const MEDIA_PATH: &str = "/v1/wa/media";

/// What a form has beside its file: two short fields, their headers, the boundaries.
const FORM_MAX_BYTES: u64 = 64 * 1024;

/// The largest body of an upload.
const BODY_MAX_BYTES: u64 = FILE_MAX_BYTES + FORM_MAX_BYTES;

/// What the parser of forms may have taken without having made a part, or a piece of one, of it: it
/// gathers whatever stands before a boundary, and a part's headers until they end. Once more than
/// HTTP/2 lets a peer send ahead (256 KiB).
const UNDERSTOOD_WITHIN_BYTES: u64 = 512 * 1024;

/// Parts that a form may have; three are read.
const PARTS_MAX: usize = 16;

/// Bytes of a field that is no file.
const FIELD_MAX_BYTES: usize = 4 * 1024;

/// However steadily it comes, an upload holds its place no longer than this.
const BODY_WITHIN: Duration = Duration::from_secs(900);

const X_MEDIA_SHA256: HeaderName = HeaderName::from_static("x-media-sha256");

impl Messaging {
    /// Gives or deletes the file `id`; takes one where there is none, which is a `POST`.
    pub(super) async fn media(&self, request: Incoming, id: &str, context: ErrorContext) -> Response {
        let method = request.head.method.clone();
        let caller = match self.caller(&request.known, request.peer) {
            Ok(caller) => caller,
            Err(refusal) => return render(&refusal, context),
        };
        let trace = trace(&request.request_id, request.traceparent.as_ref());
        let answered = match method {
            Method::GET => self.engine.download_media(&caller, id, &trace).await.map(given),
            Method::DELETE => self.engine.delete_media(&caller, id, &trace).await.map(|()| success(&json!({"success": true}))),
            _ => self.upload(&caller, request, &trace).await.map(|id| success(&json!({"id": id}))),
        };
        let mut response = answered.unwrap_or_else(|refusal| render(&refusal, context));
        finish(&mut response, self, &caller);
        response
    }

    async fn upload(&self, caller: &Caller, mut request: Incoming, trace: &Trace) -> Result<String, Refusal> {
        let content_type = request.known.content_type.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).map_err(|_| {
            fault("header.Content-Type", "must be multipart/form-data with a boundary; an HTTP library writes it for a form with a file")
        })?;
        if request.body.size_hint().lower() > BODY_MAX_BYTES {
            return Err(too_large());
        }
        let mut upload = self.engine.begin_upload(caller).await?;
        let file = read_form(&mut request.body, boundary, self.body_pace, &mut upload.spool).await?;
        self.engine.finish_upload(upload, file, trace).await
    }
}

/// A file as an answer: never shown by a browser in our name, always saved.
fn given(download: Download) -> Response {
    let mut response = http::Response::new(Body::stream(download.body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, download.mime_type);
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{}\"", download.file_name)) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    if let Some(sha256) = download.sha256 {
        if let Ok(value) = HeaderValue::try_from(format!("\"{sha256}\"")) {
            headers.insert(ETAG, value);
        }
        if let Ok(value) = HeaderValue::try_from(sha256) {
            headers.insert(X_MEDIA_SHA256, value);
        }
    }
    response
}

/// Reads the whole form; its file is in `spool` afterwards.
async fn read_form(body: &mut RequestBody, boundary: String, pace: BodyPace, spool: &mut Spool) -> Result<NewFile, Refusal> {
    let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(BODY_MAX_BYTES));
    let gathered = AtomicU64::new(0);
    let mut form = Multipart::with_constraints(Box::pin(paced(body, pace, &gathered)), boundary, limits);
    let (mut said_type, mut part_type, mut name) = (None, None, None);
    let mut seen_file = false;
    let mut parts = 0;
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        gathered.store(0, Ordering::Relaxed);
        parts += 1;
        if parts > PARTS_MAX {
            return Err(fault("body", "has more parts than a form with one file needs"));
        }
        match field.name() {
            Some("file") if seen_file => return Err(fault("file", "must be given once: one file in a request")),
            Some("file") => {
                seen_file = true;
                name = field.file_name().map(str::to_owned);
                part_type = field.content_type().map(|kind| kind.as_ref().to_owned());
                let known = said_type.clone().or_else(|| part_type.clone());
                let known = known.and_then(|text: String| MediaType::parse(&text, "type").ok());
                spool_file(field, spool, known.as_ref(), &gathered).await?;
            }
            Some("type") => {
                let text = text_of(field, "type", &gathered).await?;
                // Refused before the file is read, where the type stands in front of it.
                MediaType::parse(&text, "type").map_err(|fault| Refusal::Fields(vec![fault]))?;
                said_type = Some(text);
            }
            Some("messaging_product") => {
                if text_of(field, "messaging_product", &gathered).await? != "whatsapp" {
                    return Err(fault("messaging_product", "must be whatsapp, or left out"));
                }
            }
            // Meta may have added it yesterday; it is not passed on.
            _ => drop(text_of(field, "body", &gathered).await?),
        }
    }
    if !seen_file {
        return Err(Refusal::Fields(vec![no_file()]));
    }
    let (text, path) = match (said_type, part_type) {
        (Some(text), _) => (text, "type"),
        (None, Some(text)) => (text, "file"),
        (None, None) => return Err(fault("type", "must be given: the file's media type, such as image/jpeg")),
    };
    let media_type = MediaType::parse(&text, path).map_err(|fault| Refusal::Fields(vec![fault]))?;
    Ok(NewFile { media_type, name })
}

/// Writes the file to disk, and stops where it is known to be too large.
async fn spool_file(mut field: Field<'_>, spool: &mut Spool, known: Option<&MediaType>, gathered: &AtomicU64) -> Result<(), Refusal> {
    let most = known.map_or(FILE_MAX_BYTES, MediaType::max_bytes);
    while let Some(piece) = field.chunk().await.map_err(unreadable)? {
        gathered.store(0, Ordering::Relaxed);
        let length = spool.length() + piece.len() as u64;
        if length > most {
            return Err(known.and_then(|kind| kind.check_size(length).err()).map_or_else(too_large, |fault| Refusal::Fields(vec![fault])));
        }
        spool.write(&piece).await.map_err(|error| full_disk(&error))?;
    }
    Ok(())
}

/// A short field's text.
async fn text_of(mut field: Field<'_>, path: &str, gathered: &AtomicU64) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(unreadable)? {
        gathered.store(0, Ordering::Relaxed);
        if bytes.len() + piece.len() > FIELD_MAX_BYTES {
            return Err(fault(path, "has a field that is far too long; the file goes in the part named file"));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| fault(path, "must be text in UTF-8"))
}

/// The body's pieces, under the pace that every body keeps (reliability §e), and an end. `gathered` is
/// what was given since it was last set to nothing.
fn paced<'a>(
    body: &'a mut RequestBody,
    pace: BodyPace,
    gathered: &'a AtomicU64,
) -> impl stream::Stream<Item = Result<Bytes, Stopped>> + Send + 'a {
    let began = Instant::now();
    stream::try_unfold((body, 0u64), move |(body, received)| async move {
        loop {
            let earned = Duration::from_millis(received * 1000 / u64::from(pace.bytes_per_second.max(1)));
            let deadline = began + pace.total.max(earned).min(BODY_WITHIN);
            let frame = timeout_at(deadline, body.frame()).await.map_err(|_| Stopped(Refusal::BodyTooSlow))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| Stopped(BROKEN_OFF))?;
            // Trailers say nothing that we read.
            let Ok(piece) = frame.into_data() else { continue };
            let (received, bytes) = (received + piece.len() as u64, piece.len() as u64);
            if gathered.fetch_add(bytes, Ordering::Relaxed) + bytes > UNDERSTOOD_WITHIN_BYTES {
                return Err(Stopped(fault("body", "is not a form: no boundary, or no end of a part's headers, in its first half MiB")));
            }
            return Ok(Some((piece, (body, received))));
        }
    })
}

const BROKEN_OFF: Refusal = Refusal::BadFraming { problem: "the body broke off or its chunks cannot be read" };

/// A refusal on its way through the parser of forms.
#[derive(Debug)]
struct Stopped(Refusal);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was refused")
    }
}

impl std::error::Error for Stopped {}

fn unreadable(error: multer::Error) -> Refusal {
    match error {
        multer::Error::StreamReadFailed(cause) => cause.downcast::<Stopped>().map_or(BROKEN_OFF, |stopped| stopped.0),
        multer::Error::StreamSizeExceeded { .. } => too_large(),
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } | multer::Error::IncompleteHeaders => {
            fault("body", "is a form that ends before its last boundary")
        }
        _ => fault("body", "is not the form that its Content-Type says: its boundary or a part's headers cannot be read"),
    }
}

fn too_large() -> Refusal {
    Refusal::BodyTooLarge { limit: usize::try_from(BODY_MAX_BYTES).unwrap_or(usize::MAX) }
}

fn fault(path: &str, problem: &str) -> Refusal {
    Refusal::Fields(vec![FieldFault::new(path, problem)])
}
