//! The Graph API as far as a WhatsApp sender needs it.
//!
//! | call | answered by |
//! | --- | --- |
//! | `POST /{version}/{number}/messages`, `/marketing_messages` | [`messages`] |
//! | `GET`, `POST`, `DELETE /{version}/{waba}/message_templates`; `GET`, `POST /{version}/{template}` | [`templates`] |
//! | `GET /{version}/{number}`, `/{version}/{waba}` | [`objects`] |
//! | `POST /{version}/{number}/media`; `GET`, `DELETE /{version}/{media}` | [`media`] |
//! | `POST /{version}/{app}/uploads`; `POST`, `GET /{version}/upload:…` | [`uploads`] |
//! | `/{version}/{app}/subscriptions`, `/{version}/{waba}/subscribed_apps`; `POST /{version}/{number}` with `webhook_configuration` | [`subscriptions`] |
//!
//! Any number of digits is a number or a WABA, but those beginning with `404`,
//! which do not exist; `sandbox-<id>` is one too, for the sandbox token.

pub(crate) mod auth;
pub mod codes;
pub(crate) mod error;
pub(crate) mod form;
pub(crate) mod limits;
pub(crate) mod media;
pub(crate) mod messages;
mod objects;
pub(crate) mod request;
pub(crate) mod subscriptions;
pub(crate) mod templates;
pub(crate) mod uploads;

use serde_json::Value;

use crate::exchange::{Answer, World};
use crate::faults::Behaviour;
use auth::SANDBOX_PREFIX;
use error::GraphError;
use request::GraphRequest;

/// Ids that begin so name nothing.
const UNKNOWN_PREFIX: &str = "404";

/// Whether a call changes anything, or only gets the answer that it would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// It is taken.
    Takes,
    /// It is not; a script wants the answer to be untrue.
    OnlyAnswers,
}

/// What a route found: a JSON value, and the message id in it.
pub(crate) struct Found {
    pub(crate) body: Vec<u8>,
    pub(crate) wamid: Option<String>,
    /// Whether the call counts against the WABA's management limit, and so
    /// bears `x-business-use-case-usage` for this id.
    pub(crate) counted_for: Option<String>,
    /// What the answer waits for: statuses that are to overtake it.
    pub(crate) held: Vec<tokio::sync::oneshot::Receiver<()>>,
}

impl Found {
    fn json(value: &Value) -> Found {
        Found { body: value.to_string().into_bytes(), wamid: None, counted_for: None, held: Vec::new() }
    }
}

/// Meta's answer. `None` is a path that is no Graph path.
pub(crate) fn answer(world: &World, request: Option<&GraphRequest<'_>>, taking: Taking) -> Answer {
    let found = match request {
        None => Err(GraphError::platform(
            400,
            "OAuthException",
            2500,
            None,
            "An active access token must be used to query information about the current user, or the path is unknown.".to_owned(),
        )),
        Some(request) => route(world, request, taking),
    };
    let trace = Trace::new(world, request);
    match found {
        Ok(found) => {
            let mut answer = trace.answer(200, found.body);
            answer.wamid = found.wamid;
            answer.held = found.held;
            if let Some(waba) = found.counted_for {
                let usage = format!(
                    r#"{{"{waba}":[{{"type":"whatsapp_business_management","call_count":1,"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":0}}]}}"#
                );
                answer.headers.push(("x-business-use-case-usage", usage));
            }
            answer
        }
        Err(error) => trace.error(&error),
    }
}

/// What a script wants said instead of Meta's answer.
pub(crate) fn scripted(world: &World, request: Option<&GraphRequest<'_>>, behaviour: &Behaviour) -> Answer {
    let trace = Trace::new(world, request);
    match behaviour {
        Behaviour::Reply { status, content_type, location, body } => {
            let mut answer = trace.answer(*status, body.clone().into_bytes());
            for (name, value) in &mut answer.headers {
                if *name == "content-type" {
                    value.clone_from(content_type);
                }
            }
            if let Some(location) = location {
                answer.headers.push(("location", location.clone()));
            }
            answer
        }
        Behaviour::GraphError { code, status, subcode, details } => {
            let mut error = GraphError::usual(*code);
            if let Some(details) = details {
                error.details = Some(details.clone());
            }
            if let Some(status) = status {
                error = error.with_status(*status);
            }
            if let Some(subcode) = subcode {
                error = error.with_subcode(*subcode);
            }
            trace.error(&error)
        }
        _ => answer(world, request, Taking::OnlyAnswers),
    }
}

/// The answer when the record cannot be written.
pub(crate) fn broken(world: &World) -> Answer {
    let error = GraphError::new(1, "The simulator could not write its record; nothing was taken.").with_status(500);
    Trace::new(world, None).error(&error)
}

fn route(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let method = request.head.method.as_str();
    let id = request.object_id;
    match (request.edge, media::owner(world, request)) {
        // An app access token is made of what the caller must know anyway.
        (Some("subscriptions"), _) if request.token().is_some_and(|token| token.contains('|')) => {}
        (_, Some(number)) => world.door.check(request, &number)?,
        _ => world.door.check(request, id)?,
    }
    let known = id.starts_with(SANDBOX_PREFIX) && id.len() > SANDBOX_PREFIX.len()
        || uploads::is_upload(id)
        || id.bytes().all(|byte| byte.is_ascii_digit()) && !id.starts_with(UNKNOWN_PREFIX);
    if !known {
        return Err(unknown_object(method, id));
    }
    if request.deeper {
        return Err(unknown_path(request));
    }
    match (method, request.edge) {
        ("POST", Some("messages")) => messages::send(world, request, messages::Endpoint::Cloud, taking),
        ("POST", Some("marketing_messages")) => messages::send(world, request, messages::Endpoint::Marketing, taking),
        ("GET", Some("message_templates")) => templates::list(world, request),
        ("POST", Some("message_templates")) => templates::create(world, request, taking),
        ("DELETE", Some("message_templates")) => templates::delete(world, request, taking),
        ("POST", Some("media")) => media::upload(world, request, taking),
        ("POST", Some("uploads")) => uploads::begin(world, request, taking),
        ("POST", None) if uploads::is_upload(id) => uploads::go_on(world, request, taking),
        ("GET", None) if uploads::is_upload(id) => uploads::progress(world, request),
        ("POST", None) if subscriptions::is_configuration(request) => subscriptions::override_number(world, request, taking),
        ("POST", Some("subscriptions")) => subscriptions::subscribe(world, request, taking),
        ("GET", Some("subscriptions")) => Ok(subscriptions::list(world)),
        ("DELETE", Some("subscriptions")) => Ok(subscriptions::unsubscribe(world, taking)),
        ("POST", Some("subscribed_apps")) => subscriptions::subscribe_account(world, request, taking),
        ("GET", Some("subscribed_apps")) => Ok(subscriptions::list_account(world, request)),
        ("DELETE", Some("subscribed_apps")) => Ok(subscriptions::unsubscribe_account(world, request, taking)),
        ("GET", None) if media::is_meant(world, request) => media::read(world, request),
        ("DELETE", None) => media::delete(world, request, taking),
        ("GET", None) => match world.templates.by_id(id) {
            Some(template) => templates::read(request, &template),
            None => objects::read(world, request),
        },
        ("POST", None) => templates::edit(world, request, taking),
        _ => Err(unknown_path(request)),
    }
}

fn unknown_object(method: &str, id: &str) -> GraphError {
    let verb = method.to_ascii_lowercase();
    let message = format!(
        "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, \
         or does not support this operation. Please read the Graph API documentation at \
         https://developers.facebook.com/docs/graph-api"
    );
    GraphError::platform(400, "GraphMethodException", 100, Some(33), message)
}

fn unknown_path(request: &GraphRequest<'_>) -> GraphError {
    let message = format!("Unknown path components: /{}", request.edge.unwrap_or_default());
    GraphError::platform(400, "OAuthException", 2500, None, message)
}

/// The ids by which Meta's support would find one answer.
struct Trace {
    version: String,
    id: [u8; 32],
}

impl Trace {
    fn new(world: &World, request: Option<&GraphRequest<'_>>) -> Trace {
        let version = request.map_or_else(|| "v26.0".to_owned(), |request| request.version.to_owned());
        Trace { version, id: world.chance.trace() }
    }

    fn error(&self, error: &GraphError) -> Answer {
        let mut answer = self.answer(error.status, error.body(&self.fbtrace_id()).to_string().into_bytes());
        answer.headers.push(("www-authenticate", format!("OAuth \"Facebook Platform\" \"invalid_request\" \"code {}\"", error.code)));
        answer
    }

    fn answer(&self, status: u16, body: Vec<u8>) -> Answer {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        Answer {
            status,
            headers: vec![
                ("content-type", "application/json; charset=UTF-8".to_owned()),
                ("facebook-api-version", self.version.clone()),
                ("x-fb-request-id", hex::encode(&self.id[..16])),
                ("x-fb-trace-id", self.fbtrace_id()),
                ("x-fb-rev", "1018000000".to_owned()),
                ("x-fb-debug", STANDARD.encode(self.id)),
                ("cache-control", "private, no-cache, no-store, must-revalidate".to_owned()),
                ("access-control-allow-origin", "*".to_owned()),
            ],
            body,
            wamid: None,
            held: Vec::new(),
        }
    }

    fn fbtrace_id(&self) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        format!("A{}", URL_SAFE_NO_PAD.encode(&self.id[..16]))
    }
}
