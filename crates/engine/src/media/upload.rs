//! A customer's file to Meta.
//!
//! The place is taken before the first byte of the file is read, the file is written to disk, and only
//! what WhatsApp takes is passed on.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use turnpike_domain::refusal::{FieldFault, Refusal};

use super::kinds::{MediaType, extension_of};
use super::lanes::{Call, Place};
use super::{Outgoing, Spool, refused};
use crate::Engine;
use crate::caller::Caller;
use crate::graph::{Link, Trace};
use crate::keys::Scopes;

/// What a caller is told to wait where the disk took no more.
const DISK_RETRY_MS: u64 = 5_000;

/// Characters of a file's name at most.
const NAME_MAX_CHARS: usize = 240;

/// An upload that was let in and whose file is still to come.
#[derive(Debug)]
pub struct Upload {
    /// Where the file is written to.
    pub spool: Spool,
    link: Arc<Link>,
    place: Place,
}

/// What the form says of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Its type.
    pub media_type: MediaType,
    /// Its name, as the caller gave it.
    pub name: Option<String>,
}

impl Engine {
    /// Lets an upload in. Needs the scope `send`.
    ///
    /// # Errors
    /// AUTH_006, RATE_001, GW_004, GW_002 where there is no way to Meta.
    pub async fn begin_upload(&self, caller: &Caller) -> Result<Upload, Refusal> {
        let begun = match self.way_of_media(caller, Scopes::SEND).and_then(|link| Ok((link, self.media.upload(caller.key.application)?))) {
            Ok((link, place)) => match Spool::create(&self.settings.spool_folder, &*self.entropy).await {
                Ok(spool) => Ok(Upload { spool, link, place }),
                Err(error) => Err(full_disk(&error)),
            },
            Err(refusal) => Err(refusal),
        };
        if begun.is_err() {
            self.media.count(Call::Upload, begun.as_ref().err());
        }
        begun
    }

    /// Passes a file on that lies on disk whole, and gives Meta's id of it.
    ///
    /// # Errors
    /// REQ_002 for a file that WhatsApp does not take, before Meta is asked; GW_001, GW_002, GW_004.
    pub async fn finish_upload(&self, upload: Upload, file: NewFile, trace: &Trace) -> Result<String, Refusal> {
        let ended = self.pass_on(upload, &file, trace).await;
        self.media.count(Call::Upload, ended.as_ref().err());
        ended
    }

    async fn pass_on(&self, upload: Upload, file: &NewFile, trace: &Trace) -> Result<String, Refusal> {
        let Upload { spool, link, place } = upload;
        file.media_type.check_size(spool.length()).map_err(|fault| Refusal::Fields(vec![fault]))?;
        let (spooled, length) = spool.into_file().await.map_err(|error| full_disk(&error))?;
        let mut random = [0u8; 16];
        self.entropy.fill(&mut random);
        let boundary = format!("turnpike-{}", hex::encode(random));
        let (before, after) = form(&boundary, file);
        let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}")).map_err(|_| Refusal::Bug)?;
        let id = self.graph.upload_media(&link, kind, Outgoing::new(before, spooled, length, after), trace).await.map_err(refused)?;
        place.passed(length);
        Ok(id)
    }
}

/// The disk took a file no more: the upload is refused, and the operator hears of it.
#[must_use]
pub fn full_disk(error: &std::io::Error) -> Refusal {
    tracing::error!(error = %error, "a file could not be written to disk on its way to Meta; see whether the disk is full");
    Refusal::Overloaded { retry_after_ms: DISK_RETRY_MS }
}

/// Meta's form around the file (meta-cloud-api §7). The boundary is random, so it is not in the file.
fn form(boundary: &str, file: &NewFile) -> (Bytes, Bytes) {
    let kind = file.media_type.as_str();
    let name = file.name.as_deref().map(quotable).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("file.{}", extension_of(kind)));
    let before = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\n{kind}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n"
    );
    (Bytes::from(before), Bytes::from(format!("\r\n--{boundary}--\r\n")))
}

/// A name that cannot leave its quotes: control characters fall away, quotes are written as browsers
/// write them.
fn quotable(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_MAX_CHARS).collect();
    name.replace('\\', "%5C").replace('"', "%22")
}

/// The fault of a form without a file.
#[must_use]
pub fn no_file() -> FieldFault {
    FieldFault::new("file", "must be given: a part of the form with the file's bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_add_a_field_to_metas_form() {
        let media_type = MediaType::parse("image/png", "type").expect("a type");
        let name = Some("a\"; name=\"type\r\n\r\nx\\.png".to_owned());
        let (before, after) = form("B", &NewFile { media_type: media_type.clone(), name });
        let text = std::str::from_utf8(&before).expect("text");
        assert!(text.contains("filename=\"a%22; name=%22typex%5C.png\"\r\nContent-Type: image/png\r\n\r\n"), "{text}");
        assert_eq!(text.matches("--B\r\n").count(), 3);
        assert_eq!(&after[..], b"\r\n--B--\r\n");
        let (before, _) = form("B", &NewFile { media_type, name: Some("\r\n".to_owned()) });
        assert!(before.windows(19).any(|window| window == b"filename=\"file.png\""));
    }
}
