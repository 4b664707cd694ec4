//! Headers of the messaging API: who calls, which request it is, what is left of the limits.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use turnpike_domain::refusal::{FieldFault, Refusal};
use turnpike_engine::limits::{Standing, WindowStanding};

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
    put_window(headers, &SECOND, &standing.sec);
    put_window(headers, &MINUTE, &standing.min);
    let (sec, min) = (&standing.sec, &standing.min);
    put_text(headers, RATE_LIMIT_POLICY, format!("\"sec\";q={};w=1, \"min\";q={};w=60", sec.limit, min.limit));
    put_text(
        headers,
        RATE_LIMIT,
        format!(
            "\"sec\";r={};t={}, \"min\";r={};t={}",
            sec.remaining,
            sec.reset_ms.div_ceil(1000),
            min.remaining,
            min.reset_ms.div_ceil(1000)
        ),
    );
}

/// The three headers of one window.
struct WindowHeaders {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

static SECOND: WindowHeaders = WindowHeaders {
    limit: HeaderName::from_static("x-ratelimit-sec-limit"),
    remaining: HeaderName::from_static("x-ratelimit-sec-remaining"),
    reset: HeaderName::from_static("x-ratelimit-sec-reset"),
};
static MINUTE: WindowHeaders = WindowHeaders {
    limit: HeaderName::from_static("x-ratelimit-min-limit"),
    remaining: HeaderName::from_static("x-ratelimit-min-remaining"),
    reset: HeaderName::from_static("x-ratelimit-min-reset"),
};
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

fn put_window(headers: &mut HeaderMap, names: &WindowHeaders, window: &WindowStanding) {
    headers.insert(names.limit.clone(), HeaderValue::from(window.limit));
    headers.insert(names.remaining.clone(), HeaderValue::from(window.remaining));
    headers.insert(names.reset.clone(), HeaderValue::from(window.reset_ms.div_ceil(1000)));
}

fn put_text(headers: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).expect("a header value")
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
