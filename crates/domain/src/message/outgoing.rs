//! The bytes for Meta: the caller's own JSON with two places replaced.
//!
//! Nothing is parsed and written again, so nothing is lost, reordered or rounded. `to` gets its
//! `+`, without which Meta may prepend the sender's own country code, and
//! `biz_opaque_callback_data` becomes our token, which alone finds a message whose answer was lost
//! (contract §3.1).

use std::ops::Range;

/// The member that carries our token.
pub(super) const CALLBACK_MEMBER: &str = "biz_opaque_callback_data";

/// Where the caller's bytes are replaced. Offsets are into the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Splices {
    /// The value of `to`, quotes included; `None` where the message goes to a BSUID.
    pub(super) to: Option<Range<usize>>,
    /// Where the token goes.
    pub(super) callback: CallbackPlace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallbackPlace {
    /// The caller's own value, quotes included.
    Replaces(Range<usize>),
    /// Behind the last member of the outermost object, which is never empty.
    Appended(usize),
}

/// Writes `body` with `digits` as its `to` and `token` as its callback data.
pub(super) fn write(body: &[u8], splices: &Splices, digits: &str, token: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + CALLBACK_MEMBER.len() + token.len() + 16);
    let mut copied = 0;
    let callback = match &splices.callback {
        CallbackPlace::Replaces(span) => span.clone(),
        CallbackPlace::Appended(at) => *at..*at,
    };
    let to_first = splices.to.as_ref().is_none_or(|to| to.start < callback.start);
    if to_first {
        copied = write_to(&mut out, body, copied, splices.to.as_ref(), digits);
    }
    out.extend_from_slice(&body[copied..callback.start]);
    if matches!(splices.callback, CallbackPlace::Appended(_)) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(CALLBACK_MEMBER.as_bytes());
        out.extend_from_slice(b"\":");
    }
    push_string(&mut out, token);
    copied = callback.end;
    if !to_first {
        copied = write_to(&mut out, body, copied, splices.to.as_ref(), digits);
    }
    out.extend_from_slice(&body[copied..]);
    out
}

/// Copies up to `to` and writes it anew; says how far the body is copied.
fn write_to(out: &mut Vec<u8>, body: &[u8], copied: usize, to: Option<&Range<usize>>, digits: &str) -> usize {
    let Some(to) = to else { return copied };
    out.extend_from_slice(&body[copied..to.start]);
    out.extend_from_slice(b"\"+");
    out.extend_from_slice(digits.as_bytes());
    out.push(b'"');
    to.end
}

/// Writes a JSON string. Our tokens need no escapes; any other text gets them.
fn push_string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}
