//! How the operator's routes read requests and look: one envelope, faults that name their field.

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

use crate::error::ERRORS_PAGE;

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
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Fault::Control(ControlFault::field("", "the body could not be read, or is over 1 MiB")))?;
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let mut reader = serde_json::Deserializer::from_slice(json);
        serde_path_to_error::deserialize(&mut reader).map(Body).map_err(|fault| {
            let path = fault.path().to_string();
            let path = if path == "." { String::new() } else { path };
            Fault::Control(ControlFault::Fields(vec![FieldFault::new(path, fault.inner().to_string())]))
        })
    }
}

/// A request's query.
pub(super) struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked<T>, Fault> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Asked(query))
            .map_err(|fault| Fault::Control(ControlFault::field("query", fault.body_text())))
    }
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
                (StatusCode::CONFLICT, "MGMT_409", "CONFLICT", format!("This {field} is taken; choose another."), json!({"field": field}))
            }
            Fault::Control(ControlFault::Rule(sentence)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "MGMT_422", "UNPROCESSABLE_ENTITY", sentence_of(&sentence), json!({}))
            }
        };
        let doc = format!("{ERRORS_PAGE}#{}", code.to_ascii_lowercase());
        envelope(
            status,
            &json!({"isSuccess": false, "errors": {"code": code, "group": group, "description": description, "params": params, "doc": doc}}),
        )
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

fn envelope(status: StatusCode, value: &serde_json::Value) -> Response {
    let mut response = Response::new(axum::body::Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) async fn no_such_route() -> Fault {
    Fault::Refusal(Refusal::NotFound)
}

pub(super) async fn no_such_method() -> Fault {
    Fault::Refusal(Refusal::MethodNotAllowed { allow: "GET, POST, PATCH, DELETE" })
}

/// A page's size as asked, within bounds.
pub(super) fn page_size(asked: Option<u32>) -> u32 {
    asked.unwrap_or(50).clamp(1, 500)
}
