//! Headers of the messaging API: who calls, which request it is, what is left of the limits.

use bytes::BytesMut;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use turnpike_domain::refusal::{FieldFault, Refusal};
use turnpike_engine::limits::Standing;

/// On an answer that was kept (contract §3.5).
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Sends though an equal request's outcome is unknown (contract §3.5).
pub const X_ALLOW_DUPLICATE: HeaderName = HeaderName::from_static("x-allow-duplicate");
/// `fake` or `sandbox` (contract §3.3, §5).
pub const X_GATEWAY_MODE: HeaderName = HeaderName::from_static("x-gateway-mode");

/// Characters of an Idempotency-Key (contract §3).
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// The key that an `Authorization` header presents.
///
/// # Errors
/// AUTH_002 without one, AUTH_003 where it is not `Bearer <token>`.
pub fn bearer(authorization: Option<&HeaderValue>) -> Result<&str, Refusal> {
    let value = authorization.ok_or(Refusal::NoAuthorization)?;
    let text = value.to_str().map_err(|_| Refusal::NotBearer)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refusal::NotBearer)?;
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains(' ') {
        return Err(Refusal::NotBearer);
    }
    Ok(token)
}

/// Whether the content type says JSON, with or without parameters.
#[must_use]
pub fn is_json(content_type: Option<&HeaderValue>) -> bool {
    content_type.and_then(|value| value.to_str().ok()).is_some_and(|text| {
        let essence = text.split(';').next().unwrap_or("").trim();
        essence.eq_ignore_ascii_case("application/json")
    })
}

/// Whether the body is packed (`Content-Encoding: gzip`), so that its bytes are not the JSON.
#[must_use]
pub fn is_packed(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The Idempotency-Key, quoted or bare: the same key (contract §3.5).
///
/// # Errors
/// A fault `header.Idempotency-Key`.
pub fn idempotency_key(header: Option<&HeaderValue>) -> Result<Option<String>, FieldFault> {
    let Some(value) = header else { return Ok(None) };
    let fault = |problem: &str| FieldFault::new("header.Idempotency-Key", problem);
    let text = value.to_str().map_err(|_| fault("must be visible ASCII characters"))?.trim_matches(' ');
    let key = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        // A structured-field string: only quote and backslash are escaped in it (RFC 8941 §3.3.3).
        Some(quoted) => unescaped(quoted).ok_or_else(|| fault("must be a string in double quotes, or bare"))?,
        None => text.to_owned(),
    };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX {
        return Err(fault("must be 1 to 255 characters"));
    }
    if !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(fault("must be visible ASCII characters without spaces"));
    }
    Ok(Some(key))
}

fn unescaped(quoted: &str) -> Option<String> {
    let mut key = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.push(chars.next().filter(|next| matches!(next, '"' | '\\'))?),
            '"' => return None,
            _ => key.push(c),
        }
    }
    Some(key)
}

/// Whether the caller insists on sending what may be a repeat.
#[must_use]
pub fn allows_duplicate(headers: &HeaderMap) -> bool {
    headers.get(X_ALLOW_DUPLICATE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// Puts the key's windows on an answer (contract §4).
pub fn put_standing(headers: &mut HeaderMap, standing: &Standing) {
    let mut ink = Ink(BytesMut::with_capacity(Ink::ENOUGH));
    let (sec, min) = (&standing.sec, &standing.min);
    let (sec_reset, min_reset) = (sec.reset_ms.div_ceil(1000), min.reset_ms.div_ceil(1000));
    headers.reserve(8);
    ink.put(headers, X_RATELIMIT_SEC_LIMIT, &[Word::Number(sec.limit.into())]);
    ink.put(headers, X_RATELIMIT_SEC_REMAINING, &[Word::Number(sec.remaining.into())]);
    ink.put(headers, X_RATELIMIT_SEC_RESET, &[Word::Number(sec_reset)]);
    ink.put(headers, X_RATELIMIT_MIN_LIMIT, &[Word::Number(min.limit.into())]);
    ink.put(headers, X_RATELIMIT_MIN_REMAINING, &[Word::Number(min.remaining.into())]);
    ink.put(headers, X_RATELIMIT_MIN_RESET, &[Word::Number(min_reset)]);
    ink.put(
        headers,
        RATE_LIMIT_POLICY,
        &[
            Word::Text("\"sec\";q="),
            Word::Number(sec.limit.into()),
            Word::Text(";w=1, \"min\";q="),
            Word::Number(min.limit.into()),
            Word::Text(";w=60"),
        ],
    );
    ink.put(
        headers,
        RATE_LIMIT,
        &[
            Word::Text("\"sec\";r="),
            Word::Number(sec.remaining.into()),
            Word::Text(";t="),
            Word::Number(sec_reset),
            Word::Text(", \"min\";r="),
            Word::Number(min.remaining.into()),
            Word::Text(";t="),
            Word::Number(min_reset),
        ],
    );
}

const X_RATELIMIT_SEC_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-sec-limit");
const X_RATELIMIT_SEC_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-sec-remaining");
const X_RATELIMIT_SEC_RESET: HeaderName = HeaderName::from_static("x-ratelimit-sec-reset");
const X_RATELIMIT_MIN_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-min-limit");
const X_RATELIMIT_MIN_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-min-remaining");
const X_RATELIMIT_MIN_RESET: HeaderName = HeaderName::from_static("x-ratelimit-min-reset");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Writes the values of several headers into one allocation: every answer bears eight of these, and
/// made one by one they would cost more than the limits themselves.
struct Ink(BytesMut);

/// A part of a header's value.
enum Word {
    Text(&'static str),
    Number(u64),
}

impl Ink {
    /// Bytes that the eight values take with numbers of the usual size.
    const ENOUGH: usize = 192;

    fn put(&mut self, headers: &mut HeaderMap, name: HeaderName, words: &[Word]) {
        for word in words {
            match word {
                Word::Text(text) => self.0.extend_from_slice(text.as_bytes()),
                Word::Number(number) => self.0.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            }
        }
        // Digits and visible characters are what a value may hold.
        if let Ok(value) = HeaderValue::from_maybe_shared(self.0.split().freeze()) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).expect("a header value")
    }

    #[test]
    fn what_is_left_of_the_windows_stands_in_both_spellings() {
        let window = |limit, remaining, reset_ms| turnpike_engine::limits::WindowStanding { limit, remaining, reset_ms };
        let sec = window(50, 49, 980);
        let min = window(1_200, u32::MAX, 59_001);
        let mut headers = HeaderMap::new();
        put_standing(&mut headers, &Standing { sec, min, day: None, concurrency: None, spend: None });
        for (name, expected) in [
            ("x-ratelimit-sec-limit", "50"),
            ("x-ratelimit-sec-remaining", "49"),
            ("x-ratelimit-sec-reset", "1"),
            ("x-ratelimit-min-limit", "1200"),
            ("x-ratelimit-min-remaining", "4294967295"),
            ("x-ratelimit-min-reset", "60"),
            ("ratelimit-policy", "\"sec\";q=50;w=1, \"min\";q=1200;w=60"),
            ("ratelimit", "\"sec\";r=49;t=1, \"min\";r=4294967295;t=60"),
        ] {
            assert_eq!(headers.get(name).and_then(|value| value.to_str().ok()), Some(expected), "{name}");
        }
        assert_eq!(headers.len(), 8);
    }

    #[test]
    fn a_key_is_taken_from_bearer_alone() {
        assert_eq!(bearer(Some(&value("Bearer pk_x"))), Ok("pk_x"));
        assert_eq!(bearer(Some(&value("bearer  pk_x"))), Ok("pk_x"));
        assert_eq!(bearer(None), Err(Refusal::NoAuthorization));
        for other in ["pk_x", "Basic cGs6eA==", "Bearer", "Bearer ", "Bearer a b"] {
            assert_eq!(bearer(Some(&value(other))), Err(Refusal::NotBearer), "{other}");
        }
    }

    #[test]
    fn a_quoted_and_a_bare_key_are_the_same() {
        for text in ["order-7", "\"order-7\"", " order-7 "] {
            assert_eq!(idempotency_key(Some(&value(text))), Ok(Some("order-7".to_owned())), "{text}");
        }
        assert_eq!(idempotency_key(Some(&value(r#""a\"b""#))), Ok(Some("a\"b".to_owned())));
        for text in ["", "\"\"", "a b", "\"a\\n\"", &"x".repeat(256)] {
            assert!(idempotency_key(Some(&value(text))).is_err(), "{text}");
        }
    }

    #[test]
    fn json_is_json_with_or_without_charset() {
        assert!(is_json(Some(&value("application/json"))));
        assert!(is_json(Some(&value("Application/JSON; charset=utf-8"))));
        assert!(!is_json(Some(&value("application/jsonp"))));
        assert!(!is_json(Some(&value("text/plain"))));
        assert!(!is_json(None));
    }
}
