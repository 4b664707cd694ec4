//! How the operator's routes read requests and look: one envelope, faults that name their field.

use std::error::Error as _;

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use turnpike_domain::refusal::{FieldFault, Refusal};
use turnpike_engine::control::ControlFault;
use turnpike_store::StoreError;

use crate::error::doc_link;
use crate::messaging::headers::is_json;

/// Who asks: a person's name for logs and reasons, as the command says it.
#[derive(Clone, Debug)]
pub struct Actor(String);

/// Characters of a name in logs and reasons.
const ACTOR_MAX: usize = 64;

impl Actor {
    /// The name that was given, made harmless; `operator` where none was.
    #[must_use]
    pub fn new(named: Option<&str>) -> Actor {
        let name: String = named.unwrap_or("").chars().filter(|c| !c.is_control()).take(ACTOR_MAX).collect();
        Actor(if name.trim().is_empty() { "operator".to_owned() } else { name })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Actor, Fault> {
        Ok(parts.extensions.get::<Actor>().cloned().unwrap_or_else(|| Actor::new(None)))
    }
}

/// A request's body, read as JSON. No body is `{}`.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Fault> {
        // None at all is let pass; what a tool says by itself (`curl -d` says a form) is not.
        let kind = request.headers().get(CONTENT_TYPE).cloned();
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Fault::Control(ControlFault::field("", "the body could not be read, or is over 1 MiB")))?;
        if kind.is_some() && !is_json(kind.as_ref()) && !bytes.is_empty() {
            return Err(Refusal::NotJson.into());
        }
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let mut reader = serde_json::Deserializer::from_slice(json);
        serde_path_to_error::deserialize(&mut reader).map(Body).map_err(|fault| {
            let (inner, path) = (fault.inner(), fault.path().to_string());
            let text = inner.to_string();
            // The reader says where in the text, which helps only where the text is no JSON at all.
            let place = format!(" at line {} column {}", inner.line(), inner.column());
            let text = if inner.is_data() { text.strip_suffix(&place).unwrap_or(&text) } else { &text };
            faulty(&path, text)
        })
    }
}

/// A request's query.
pub(super) struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked<T>, Fault> {
        Query::try_from_uri(&parts.uri).map(|Query(query)| Asked(query)).map_err(|rejection| {
            let text = rejection.source().map_or_else(|| rejection.body_text(), ToString::to_string);
            // `category: unknown variant …`, or only what is wrong where no single field is meant.
            match text.split_once(": ") {
                Some((path, problem)) if path.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => faulty(path, problem),
                _ => faulty(".", &text),
            }
        })
    }
}

/// What a reader of fields found wrong, as the fault of a field in words for people.
fn faulty(path: &str, problem: &str) -> Fault {
    let (inside, problem) = plainly(problem);
    let path = match (path.trim_matches('.'), inside) {
        (path, None) => path.to_owned(),
        ("", Some(field)) => field.to_owned(),
        // An unknown field is named by some readers and not by others.
        (path, Some(field)) if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
        (path, Some(field)) => format!("{path}.{field}"),
    };
    Fault::Control(ControlFault::Fields(vec![FieldFault::new(path, problem)]))
}

/// serde's sentence turned into one that can follow a field's name, and the field that it names.
fn plainly(problem: &str) -> (Option<&str>, String) {
    let named = |prefix: &str| problem.strip_prefix(prefix).and_then(|rest| rest.split_once('`'));
    if let Some((field, _)) = named("missing field `") {
        return (Some(field), "is required".to_owned());
    }
    if let Some((field, _)) = named("duplicate field `") {
        return (Some(field), "must be given once".to_owned());
    }
    if let Some((field, rest)) = named("unknown field `") {
        let known = choices(rest);
        // Where a route knows none at all: `, there are no fields`.
        let problem =
            if rest.starts_with(", there") { "is not known here".to_owned() } else { format!("is not known here; known are {known}") };
        return (Some(field), problem);
    }
    if let Some((_, rest)) = named("unknown variant `") {
        return (None, format!("must be one of {}", choices(rest)));
    }
    if problem.starts_with("UUID parsing failed") {
        return (None, "must be a UUID such as 0199f3a1-7c1e-7b52-9d3f-2f6a1c0e4b77".to_owned());
    }
    if problem.starts_with("invalid digit found") || problem.starts_with("number too ") || problem.starts_with("cannot parse integer") {
        return (None, "must be a whole number, not negative".to_owned());
    }
    if let Some((_, wanted)) = problem
        .strip_prefix("invalid type: ")
        .or_else(|| problem.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "))
    {
        let wanted = match wanted {
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
            "i8" | "i16" | "i32" | "i64" => "a whole number",
            "a boolean" => "true or false",
            "a sequence" => "a list",
            "a map" => "an object",
            wanted if wanted.starts_with("struct ") => "an object",
            wanted => wanted,
        };
        return (None, format!("must be {wanted}"));
    }
    (None, problem.to_owned())
}

/// ", expected one of `a`, `b`" and ", expected `a` or `b`" both become `a, b`.
fn choices(rest: &str) -> String {
    rest.trim_start_matches(", expected ").trim_start_matches("one of ").replace("` or `", ", ").replace('`', "")
}

/// `{"isSuccess":true,"data":…}`.
pub(super) struct Data<T>(pub T);

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        envelope(StatusCode::OK, &json!({"isSuccess": true, "data": self.0}))
    }
}

/// A page: data, and where the next begins.
pub(super) struct Page<T> {
    pub data: Vec<T>,
    pub next: Option<String>,
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        envelope(StatusCode::OK, &json!({"isSuccess": true, "data": self.data, "pagingMetadata": {"nextCursor": self.next}}))
    }
}

/// Why an operator's request was not carried out.
#[derive(Debug)]
pub enum Fault {
    /// The engine's no.
    Control(ControlFault),
    /// A refusal that the messaging API knows too.
    Refusal(Refusal),
}

impl From<ControlFault> for Fault {
    fn from(fault: ControlFault) -> Fault {
        Fault::Control(fault)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Refusal(refusal)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Control(ControlFault::Store(error))
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, code, group, description, params) = match self {
            Fault::Refusal(refusal) => return render(&refusal),
            Fault::Control(ControlFault::Store(error)) => {
                tracing::error!(error = %error, "answering an operator");
                return render(&Refusal::LedgerUnreachable);
            }
            Fault::Control(ControlFault::Fields(fields)) => (
                StatusCode::BAD_REQUEST,
                "MGMT_001",
                "BAD_REQUEST",
                "Some fields are wrong; each is named.".to_owned(),
                json!({"fields": fields}),
            ),
            Fault::Control(ControlFault::NotFound(what)) => {
                (StatusCode::NOT_FOUND, "MGMT_404", "NOT_FOUND", format!("There is no such {what}."), json!({"object": what}))
            }
            Fault::Control(ControlFault::Taken(field)) => {
                let field = member(field);
                (StatusCode::CONFLICT, "MGMT_409", "CONFLICT", format!("This {field} is taken; choose another."), json!({"field": field}))
            }
            Fault::Control(ControlFault::Rule(sentence)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "MGMT_422", "UNPROCESSABLE_ENTITY", sentence_of(&sentence), json!({}))
            }
        };
        envelope(
            status,
            &json!({"isSuccess": false, "errors": {"code": code, "group": group, "description": description, "params": params, "doc": doc_link(code)}}),
        )
    }
}

/// The member of a body that fills a column of the store's.
fn member(column: &'static str) -> &'static str {
    match column {
        "app_id" => "appId",
        "phone_number_id" => "phoneNumberId",
        same => same,
    }
}

/// `this would …` becomes `This would ….`
fn sentence_of(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', ')']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

fn render(refusal: &Refusal) -> Response {
    let (parts, body) = crate::error::render(refusal, crate::error::ErrorContext::default()).into_parts();
    Response::from_parts(parts, axum::body::Body::new(body))
}

pub(super) fn envelope(status: StatusCode, value: &serde_json::Value) -> Response {
    let mut response = Response::new(axum::body::Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) async fn no_such_route() -> Fault {
    Fault::Refusal(Refusal::NotFound)
}

/// A page's size as asked, within bounds.
pub(super) fn page_size(asked: Option<u32>) -> u32 {
    asked.unwrap_or(50).clamp(1, 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readers_sentence_becomes_one_about_its_field() {
        for (path, problem, named, said) in [
            (".", "missing field `to`", "to", "is required"),
            ("policy", "missing field `name`", "policy.name", "is required"),
            (".", "duplicate field `to`", "to", "must be given once"),
            (".", "unknown field `foo`, expected `to` or `category`", "foo", "is not known here; known are to, category"),
            ("foo", "unknown field `foo`, expected one of `a`, `b`, `c`", "foo", "is not known here; known are a, b, c"),
            ("category", "unknown variant `foo`, expected one of `marketing`, `utility`", "category", "must be one of marketing, utility"),
            ("limit", "invalid digit found in string", "limit", "must be a whole number, not negative"),
            (
                "id",
                "UUID parsing failed: invalid character: found `n` at 0",
                "id",
                "must be a UUID such as 0199f3a1-7c1e-7b52-9d3f-2f6a1c0e4b77",
            ),
            ("limit", "invalid type: string \"x\", expected u32", "limit", "must be a whole number, not negative"),
            ("amount", "must be a decimal number such as 12.34", "amount", "must be a decimal number such as 12.34"),
        ] {
            let Fault::Control(ControlFault::Fields(faults)) = faulty(path, problem) else { panic!("{problem}") };
            assert_eq!(faults, [FieldFault::new(named, said)], "{problem}");
        }
    }
}
