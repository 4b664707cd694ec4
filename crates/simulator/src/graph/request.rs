//! A Graph call taken apart: version, object, edge, parameters.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::form::{self, Part};
use crate::exchange::Head;

/// A call as the Graph sees it. Parameters may come by query and by body.
pub(crate) struct GraphRequest<'a> {
    pub(crate) head: &'a Head,
    /// `v23.0`, as in the path.
    pub(crate) version: &'a str,
    /// The first segment behind the version.
    pub(crate) object_id: &'a str,
    /// The second, if there is one.
    pub(crate) edge: Option<&'a str>,
    /// What lies behind the edge; the routes that we have go no deeper.
    pub(crate) deeper: bool,
    pub(crate) body: &'a Body,
    /// Why the callback that it names failed its handshake, where it did.
    pub(crate) handshake_problem: Option<String>,
}

/// A request's body, parsed once.
#[derive(Default)]
pub(crate) struct Body {
    pub(crate) json: Option<Value>,
    /// The parts of a multipart form.
    pub(crate) form: Option<Vec<Part>>,
    /// The whole body, where it is a file.
    pub(crate) file: Option<Bytes>,
}

impl Body {
    /// A body that is a file and nothing else.
    pub(crate) fn of_file(bytes: &[u8]) -> Body {
        Body { file: Some(Bytes::copy_from_slice(bytes)), ..Body::default() }
    }

    /// JSON, whatever the content type says, as at Meta; else a form.
    pub(crate) fn parse(content_type: &str, bytes: &[u8]) -> Body {
        if content_type.starts_with("multipart/") {
            return Body { form: form::multipart(content_type, bytes), ..Body::default() };
        }
        let json = serde_json::from_slice(bytes).ok();
        let json = match json {
            None if content_type.starts_with("application/x-www-form-urlencoded") => form::urlencoded(bytes).map(Value::Object),
            json => json,
        };
        Body { json, ..Body::default() }
    }

    /// The body's members; none where it is not a JSON object.
    pub(crate) fn object(&self) -> Option<&Map<String, Value>> {
        self.json.as_ref().and_then(Value::as_object)
    }
}

/// The path's parts: `/v23.0/123/messages` → (`v23.0`, `123`, `messages`, nothing
/// deeper). `None` where it does not begin with a version and an id.
pub(crate) fn split_path(path: &str) -> Option<(&str, &str, Option<&str>, bool)> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let version = segments.next()?;
    let (major, minor) = version.strip_prefix('v')?.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(major) || !digits(minor) {
        return None;
    }
    let object_id = segments.next().filter(|id| !id.is_empty())?;
    let edge = segments.next().filter(|edge| !edge.is_empty());
    let deeper = segments.any(|segment| !segment.is_empty());
    Some((version, object_id, edge, deeper))
}

impl<'a> GraphRequest<'a> {
    pub(crate) fn new(head: &'a Head, body: &'a Body) -> Option<GraphRequest<'a>> {
        let (version, object_id, edge, deeper) = split_path(&head.path)?;
        Some(GraphRequest { head, version, object_id, edge, deeper, body, handshake_problem: None })
    }

    /// A parameter of the query, decoded; or of the body, where it is a string.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.query(name).or_else(|| self.body.object()?.get(name)?.as_str().map(str::to_owned))
    }

    /// A parameter of the query, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.head.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }

    /// The access token: by header, or by `access_token`.
    pub(crate) fn token(&self) -> Option<&'a str> {
        let by_header = self.head.header("authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth")).then(|| token.trim())
        });
        by_header
            .or_else(|| {
                // Tokens are made of characters that need no encoding.
                self.head.query.split('&').find_map(|pair| pair.strip_prefix("access_token="))
            })
            .or_else(|| self.body.object()?.get("access_token")?.as_str())
            .filter(|token| !token.is_empty())
    }
}

pub(super) fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_needs_a_version_and_an_object() {
        assert_eq!(split_path("/v23.0/1/messages"), Some(("v23.0", "1", Some("messages"), false)));
        assert_eq!(split_path("/v9.1/1/"), Some(("v9.1", "1", None, false)));
        assert_eq!(split_path("/v23.0/1/a/b"), Some(("v23.0", "1", Some("a"), true)));
        for path in ["/", "/v23/1", "/23.0/1", "/v23.0/", "/v23.0", "/vx.0/1", "/v1234.0/1", "v23.0/1"] {
            assert_eq!(split_path(path), None, "{path}");
        }
    }
}
