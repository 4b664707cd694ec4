//! Media: an uploaded one by `id`, or one that Meta fetches by `link`. We never fetch a link
//! ourselves (contract §3.1), so only its shape is looked at.

use super::place::{Faults, Need, Optional, Place, Required};

/// Longest caption (meta-cloud-api §1.3).
const CAPTION_CHARS_MAX: usize = 1024;

/// What may stand beside the medium itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Caption {
    Allowed,
    /// Meta refuses the key; the reader would never see the text.
    Refused,
}

/// The object of an `image`, `video`, `document`, `audio` or `sticker`, wherever it stands.
pub(super) fn check(media: &Place<'_>, caption: Caption, faults: &mut Faults) {
    match (media.has("id"), media.has("link")) {
        (true, true) => media.fault_here("must have either `id` or `link`, not both", faults),
        (false, false) => media.fault_here("must have `id` (of an uploaded medium) or `link` (a public URL)", faults),
        _ => {}
    }
    media.filled("id", Optional, faults);
    link(media, "link", Optional, faults);
    match caption {
        Caption::Allowed => {
            media.string("caption", Optional, 0..=CAPTION_CHARS_MAX, faults);
        }
        Caption::Refused if media.has("caption") => media.fault("caption", "is not allowed here", faults),
        Caption::Refused => {}
    }
}

/// The `image`, `audio` … of a message of that type.
pub(super) fn check_message(root: &Place<'_>, kind: &'static str, faults: &mut Faults) {
    let Some(media) = root.object(kind, Required, faults) else { return };
    let caption = if matches!(kind, "audio" | "sticker") { Caption::Refused } else { Caption::Allowed };
    check(&media, caption, faults);
    match kind {
        "document" => {
            media.any_string("filename", Optional, faults);
        }
        "audio" => media.boolean("voice", Optional, faults),
        _ => {}
    }
}

/// A field that must be an absolute http or https URL.
pub(super) fn link(place: &Place<'_>, name: &str, need: Need, faults: &mut Faults) {
    if let Some(value) = place.filled(name, need, faults)
        && !is_web_url(&value.text())
    {
        place.fault(name, "must be an absolute URL that begins with http:// or https://, without spaces", faults);
    }
}

/// Whether `text` can be a public URL: its scheme, a host, no white space. Whether somebody answers
/// there is Meta's to find out.
fn is_web_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return false;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host_is_there = !host_and_port.is_empty() && !host_and_port.starts_with(':');
    host_is_there
        && !host_and_port.contains(['<', '>', '"', '\\', '{', '}', '|', '^', '`', '%'])
        && !text.chars().any(|character| character.is_whitespace() || character.is_control())
}
