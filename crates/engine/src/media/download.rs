//! A received file, streamed from Meta to the customer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, header};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use turnpike_domain::refusal::{NotSentCause, Refusal};

use super::kinds::{FILE_MAX_BYTES, extension_of, is_header_safe};
use super::lanes::{Call, Place};
use super::{ASK_AGAIN_MS, Incoming, StreamError, is_media_id, refused};
use crate::Engine;
use crate::caller::Caller;
use crate::graph::{FileFailure, Link, Trace};
use crate::keys::Scopes;

/// How long a download may take from its first byte to its last: 100 MB at 120 KiB a second. It is
/// held up as long as the customer reads, so it must end whatever the customer does.
const WHOLE_WITHIN: Duration = Duration::from_secs(900);

/// How long Meta may send nothing while we would take more.
const IDLE_WITHIN: Duration = Duration::from_secs(30);

/// A file that is being given.
#[derive(Debug)]
pub struct Download {
    /// Its media type, as Meta knows it.
    pub mime_type: HeaderValue,
    /// Its length, where Meta says one in front.
    pub length: Option<u64>,
    /// Hexadecimal SHA-256 of its bytes, as Meta says it.
    pub sha256: Option<String>,
    /// A name for it, which needs no quoting.
    pub file_name: String,
    /// Its bytes.
    pub body: FileStream,
}

impl Engine {
    /// Gives a file of the caller's number: one that a user sent, within 7 days, or one that was
    /// uploaded, within 30. Needs the scope `read`.
    ///
    /// An address that Meta gave a moment ago and that leads nowhere is asked for once more.
    ///
    /// # Errors
    /// AUTH_006, RATE_001, GW_004; REQ_005 where the number has no such file, or no longer; GW_001,
    /// GW_002.
    pub async fn download_media(&self, caller: &Caller, id: &str, trace: &Trace) -> Result<Download, Refusal> {
        let opened = self.open_download(caller, id, trace).await;
        self.media.count(Call::Download, opened.as_ref().err());
        opened
    }

    async fn open_download(&self, caller: &Caller, id: &str, trace: &Trace) -> Result<Download, Refusal> {
        let link = self.way_of_media(caller, Scopes::READ)?;
        if !is_media_id(id) {
            return Err(Refusal::NotFound);
        }
        let place = self.media.download(caller.key.application)?;
        match self.try_download(&link, id, trace).await {
            Err(FileFailure::Gone) => match self.try_download(&link, id, trace).await {
                Err(FileFailure::Gone) => Err(Refusal::FileExpired),
                again => begin(id, again, place),
            },
            first => begin(id, first, place),
        }
    }

    async fn try_download(&self, link: &Link, id: &str, trace: &Trace) -> Result<Found, FileFailure> {
        let view = self.graph.media(link, id, trace).await.map_err(FileFailure::Failed)?;
        let answer = self.graph.open_file(link, &view.url, trace).await?;
        let said = |name: header::HeaderName| answer.headers.get(name).cloned();
        let mime_type = view.mime_type.filter(|text| is_header_safe(text)).and_then(|text| HeaderValue::try_from(text).ok());
        let mime_type = mime_type.or_else(|| said(header::CONTENT_TYPE)).unwrap_or(HeaderValue::from_static("application/octet-stream"));
        Ok(Found {
            mime_type,
            length: answer.body.size_hint().exact(),
            sha256: view.sha256.as_deref().and_then(hexadecimal),
            body: answer.body,
        })
    }
}

/// What Meta gave.
struct Found {
    mime_type: HeaderValue,
    length: Option<u64>,
    sha256: Option<String>,
    body: Incoming,
}

fn begin(id: &str, found: Result<Found, FileFailure>, place: Place) -> Result<Download, Refusal> {
    let Found { mime_type, length, sha256, body } = found.map_err(|failure| match failure {
        FileFailure::Gone => Refusal::FileExpired,
        FileFailure::Failed(failure) => refused(failure),
    })?;
    if length.is_some_and(|length| length > FILE_MAX_BYTES) {
        tracing::warn!(media.bytes = length, "Meta's file is larger than any that WhatsApp takes; it is not given");
        return Err(Refusal::NotSent { cause: NotSentCause::ConnectionClosed, retry_after_ms: Some(ASK_AGAIN_MS) });
    }
    let file_name = format!("{id}.{}", extension_of(mime_type.to_str().unwrap_or_default()));
    Ok(Download { mime_type, length, sha256, file_name, body: FileStream::new(body, place) })
}

/// Meta writes a digest in hexadecimal or in base64; we write it in hexadecimal.
fn hexadecimal(digest: &str) -> Option<String> {
    if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some(digest.to_ascii_lowercase());
    }
    STANDARD.decode(digest).ok().filter(|bytes| bytes.len() == 32).map(hex::encode)
}

/// A file's bytes on their way: bounded in size, in silence and in time. What is not read is not asked
/// for, so a slow customer slows Meta and fills no memory.
pub struct FileStream {
    body: Incoming,
    place: Place,
    received: u64,
    until: Instant,
    /// Rings at the end of silence, or of the whole time; only looked at while Meta is silent.
    bell: Pin<Box<Sleep>>,
    silent: bool,
}

impl FileStream {
    fn new(body: Incoming, place: Place) -> FileStream {
        let until = Instant::now() + WHOLE_WITHIN;
        FileStream { body, place, received: 0, until, bell: Box::pin(sleep_until(until)), silent: false }
    }
}

impl std::fmt::Debug for FileStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStream").field("received", &self.received).finish_non_exhaustive()
    }
}

impl Body for FileStream {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.silent = false;
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.received += bytes;
                this.place.passed(bytes);
                if this.received > FILE_MAX_BYTES {
                    return Poll::Ready(Some(Err("the file is larger than any that WhatsApp takes".into())));
                }
                if Instant::now() >= this.until {
                    return Poll::Ready(Some(Err("the file took too long".into())));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => {
                if !this.silent {
                    this.silent = true;
                    this.bell.as_mut().reset(this.until.min(Instant::now() + IDLE_WITHIN));
                }
                this.bell.as_mut().poll(cx).map(|()| Some(Err("Meta sent nothing more of the file in time".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::combinators::UnsyncBoxBody;
    use http_body_util::{BodyExt as _, StreamBody};
    use turnpike_domain::ids::ApplicationId;

    use super::*;
    use crate::media::Lanes;

    fn stream(pieces: Vec<Bytes>, then_silence: bool) -> FileStream {
        use futures_util::StreamExt as _;
        let frames = futures_util::stream::iter(pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
        let silence = futures_util::stream::poll_fn(move |_| if then_silence { Poll::Pending } else { Poll::Ready(None) });
        let body = StreamBody::new(frames.chain(silence)).map_err(|never| match never {});
        FileStream::new(UnsyncBoxBody::new(body), Lanes::default().download(ApplicationId(1)).expect("there is room"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_stops_half_way_ends_as_broken_off() {
        let mut body = stream(vec![Bytes::from_static(b"half")], true);
        let began = Instant::now();
        assert_eq!(body.frame().await.expect("a piece").expect("whole").into_data().expect("bytes"), "half");
        assert!(body.frame().await.expect("an end").is_err());
        assert_eq!(began.elapsed().as_secs(), IDLE_WITHIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_customer_may_read_slowly_but_not_for_ever() {
        let mut body = stream(vec![Bytes::from_static(b"x"); 3], false);
        assert!(body.frame().await.expect("a piece").is_ok());
        tokio::time::advance(IDLE_WITHIN * 2).await;
        assert!(body.frame().await.expect("a piece").is_ok(), "what waits for the customer is not Meta's silence");
        tokio::time::advance(WHOLE_WITHIN).await;
        assert!(body.frame().await.expect("an end").is_err());
    }

    #[tokio::test]
    async fn a_file_without_end_is_cut_at_the_largest() {
        let piece = Bytes::from(vec![0; 1024 * 1024]);
        let mut body = stream(vec![piece; 102], false);
        let mut taken = 0;
        while let Some(Ok(_)) = body.frame().await {
            taken += 1;
        }
        assert_eq!(taken, 100);
    }

    #[test]
    fn a_digest_is_hexadecimal_however_meta_writes_it() {
        let hex = "ab".repeat(32);
        assert_eq!(hexadecimal(&hex.to_uppercase()).as_deref(), Some(hex.as_str()));
        assert_eq!(hexadecimal(&STANDARD.encode([0xab; 32])).as_deref(), Some(hex.as_str()));
        for other in ["", "abcd", "not a digest", &"zz".repeat(32)] {
            assert_eq!(hexadecimal(other), None, "{other}");
        }
    }
}
