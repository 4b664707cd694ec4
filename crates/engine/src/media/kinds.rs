//! Which files WhatsApp takes, and how large (meta-cloud-api §1.3).
//!
//! Where Meta's pages give two limits the laxer one counts (contract §3.1): what we refuse here must
//! be known to be wrong, and the rest is Meta's to decide.

use turnpike_domain::refusal::FieldFault;

/// The largest file in either direction (meta-cloud-api §7).
pub const FILE_MAX_BYTES: u64 = 100 * MIB;

const MIB: u64 = 1024 * 1024;
const KIB: u64 = 1024;

/// Bytes of a media type at most: the longest of WhatsApp's has 73.
const TYPE_MAX_BYTES: usize = 127;

/// A media type that WhatsApp takes for what it says.
#[derive(Debug)]
struct Kind {
    essence: &'static str,
    max_bytes: u64,
    /// How a file of it is named.
    extension: &'static str,
}

const fn kind(essence: &'static str, max_bytes: u64, extension: &'static str) -> Kind {
    Kind { essence, max_bytes, extension }
}

const KINDS: &[Kind] = &[
    kind("image/jpeg", 5 * MIB, "jpg"),
    kind("image/png", 5 * MIB, "png"),
    // Stickers: 100 KB where they stand still, 500 KB where they move, which a type does not tell.
    kind("image/webp", 500 * KIB, "webp"),
    kind("audio/aac", 16 * MIB, "aac"),
    kind("audio/amr", 16 * MIB, "amr"),
    kind("audio/mpeg", 16 * MIB, "mp3"),
    kind("audio/mp4", 16 * MIB, "m4a"),
    kind("audio/ogg", 16 * MIB, "ogg"),
    kind("video/mp4", 16 * MIB, "mp4"),
    kind("video/3gpp", 16 * MIB, "3gp"),
    kind("text/plain", FILE_MAX_BYTES, "txt"),
    kind("application/pdf", FILE_MAX_BYTES, "pdf"),
    kind("application/msword", FILE_MAX_BYTES, "doc"),
    kind("application/vnd.openxmlformats-officedocument.wordprocessingml.document", FILE_MAX_BYTES, "docx"),
    kind("application/vnd.ms-excel", FILE_MAX_BYTES, "xls"),
    kind("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", FILE_MAX_BYTES, "xlsx"),
    kind("application/vnd.ms-powerpoint", FILE_MAX_BYTES, "ppt"),
    kind("application/vnd.openxmlformats-officedocument.presentationml.presentation", FILE_MAX_BYTES, "pptx"),
];

/// A media type that may be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    text: String,
    max_bytes: u64,
}

impl MediaType {
    /// Reads what stands in the form's field `path`. Parameters (`audio/ogg; codecs=opus`) are kept.
    ///
    /// Pictures, sound and films must be of a type that WhatsApp plays. Documents may be of others
    /// than Meta lists, since those pass in practice; but a type that says nothing does not.
    ///
    /// # Errors
    /// A fault at `path`.
    pub fn parse(text: &str, path: &str) -> Result<MediaType, FieldFault> {
        let fault = |problem: String| Err(FieldFault::new(path, problem));
        let text = text.trim();
        let Some(essence) = essence(text) else {
            return fault("must be a media type, such as image/jpeg".to_owned());
        };
        if let Some(known) = KINDS.iter().find(|known| known.essence == essence) {
            return Ok(MediaType { text: text.to_owned(), max_bytes: known.max_bytes });
        }
        if essence == "application/octet-stream" {
            return fault("must say what the file is: application/octet-stream says nothing".to_owned());
        }
        let (family, _) = essence.split_once('/').unwrap_or((&essence, ""));
        if !matches!(family, "application" | "text") {
            let known: Vec<&str> = KINDS.iter().map(|known| known.essence).filter(|known| known.starts_with(family)).collect();
            let known = if known.is_empty() { "pictures, sound, films and documents".to_owned() } else { known.join(", ") };
            return fault(format!("is a type that WhatsApp does not take ({essence}); it takes {known}"));
        }
        Ok(MediaType { text: text.to_owned(), max_bytes: FILE_MAX_BYTES })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The largest file of it.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Refuses a file of this many bytes.
    ///
    /// # Errors
    /// A fault `file` where it is empty or larger than WhatsApp takes of the type.
    pub fn check_size(&self, bytes: u64) -> Result<(), FieldFault> {
        if bytes == 0 {
            return Err(FieldFault::new("file", "must not be empty"));
        }
        if bytes > self.max_bytes {
            let (text, most) = (&self.text, self.max_bytes);
            return Err(FieldFault::new("file", format!("must have at most {most} bytes for {text}")));
        }
        Ok(())
    }
}

/// The type without its parameters, in small letters; `None` where it is none, or could not stand in
/// a header.
fn essence(text: &str) -> Option<String> {
    let token = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    let bare = text.split(';').next().unwrap_or_default().trim();
    let (family, sub) = bare.split_once('/')?;
    let sound = text.len() <= TYPE_MAX_BYTES && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) && token(family) && token(sub);
    sound.then(|| bare.to_ascii_lowercase())
}

/// What a file of this type is called: `jpg`; `bin` where nobody knows.
#[must_use]
pub fn extension_of(mime_type: &str) -> &'static str {
    let essence = essence(mime_type).unwrap_or_default();
    KINDS.iter().find(|known| known.essence == essence).map_or("bin", |known| known.extension)
}

/// A type that Meta named, as an answer of ours may bear it.
#[must_use]
pub fn is_header_safe(mime_type: &str) -> bool {
    essence(mime_type).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        MediaType::parse(text, "type").expect_err(text).problem
    }

    #[test]
    fn each_type_has_the_size_that_whatsapp_takes_of_it() {
        for (text, max) in [
            ("image/jpeg", 5 * MIB),
            ("IMAGE/PNG", 5 * MIB),
            ("image/webp", 500 * KIB),
            ("audio/ogg; codecs=opus", 16 * MIB),
            ("video/mp4", 16 * MIB),
            ("application/pdf", 100 * MIB),
            ("application/zip", 100 * MIB),
            ("text/csv", 100 * MIB),
        ] {
            let kind = MediaType::parse(text, "type").expect(text);
            assert_eq!((kind.max_bytes(), kind.as_str()), (max, text));
            assert_eq!(kind.check_size(max), Ok(()));
            let fault = kind.check_size(max + 1).expect_err("it is too large");
            assert_eq!(fault.path, "file");
            assert!(fault.problem.contains(&max.to_string()), "{}", fault.problem);
            assert!(kind.check_size(0).is_err(), "an empty file is none");
        }
    }

    #[test]
    fn what_whatsapp_cannot_show_is_refused_with_what_it_can() {
        assert!(problem("image/gif").contains("image/jpeg, image/png, image/webp"));
        assert!(problem("video/quicktime").contains("video/mp4"));
        assert!(problem("model/obj").contains("documents"));
        assert!(problem("application/octet-stream").contains("says nothing"));
        for text in ["", "jpeg", "image/", "/jpeg", "image/jp eg", "image/jpeg\r\nX: y", "image/ü", &format!("text/{}", "x".repeat(200))] {
            assert!(problem(text).contains("must be a media type"), "{text}");
        }
    }

    #[test]
    fn a_file_is_named_after_its_type() {
        assert_eq!(extension_of("audio/ogg; codecs=opus"), "ogg");
        assert_eq!(extension_of("application/zip"), "bin");
        assert_eq!(extension_of("\u{0}"), "bin");
    }
}
