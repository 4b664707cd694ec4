//! The messaging API, `/v1/wa/…`: what customers' back ends call with an API key.
//!
//! A handler frames the request, finds the caller, makes one engine call and says how it looks.
//! Every rule is the engine's.

pub mod answer;
mod events;
pub mod headers;
mod lookup;
mod media;
pub mod query;
mod send;

use std::sync::Arc;

use http::{HeaderValue, Method};
use turnpike_domain::refusal::Refusal;
use turnpike_engine::Engine;
use turnpike_engine::caller::Caller;
use turnpike_engine::send::Trace;

use crate::error::render;
use crate::gate::Gate;
use crate::request_id::{RequestId, TraceParent};
use crate::server::{BodyPace, CHECK_PATH, Incoming, Known, Peer, Response, SEND_PATH, Service};

/// The messaging API over one engine.
#[derive(Clone)]
pub struct Messaging {
    /// The works.
    pub engine: Arc<Engine>,
    /// Sheds what is more than we can answer in time.
    pub gate: Gate,
    /// How slowly a body may come.
    pub body_pace: BodyPace,
}

impl Service for Messaging {
    async fn call(&self, request: Incoming) -> Response {
        if request.head.method == Method::POST && request.path() == SEND_PATH {
            return self.send(request).await;
        }
        // In a box, so that a send has no room for it.
        Box::pin(self.call_other(request)).await
    }
}

/// The caller's own standing.
const ME_PATH: &str = "/v1/wa/me";

/// One path of the messaging API, and what answers its methods.
struct Row {
    /// `{id}` at the end is all that is left of the path, if anything: a wamid holds `/`.
    path: &'static str,
    answers: &'static [(Method, Answers)],
    /// The methods, as an `Allow` header names them.
    allow: &'static str,
}

/// What answers a request.
#[derive(Clone, Copy)]
enum Answers {
    Send,
    LookUpByKey,
    Check,
    LookUp,
    Media,
    Events,
    Me,
}

/// Every path there is, those of one fixed text before those that end in an id.
static ROWS: [Row; 7] = [
    Row { path: SEND_PATH, answers: &[(Method::GET, Answers::LookUpByKey), (Method::POST, Answers::Send)], allow: "GET, POST" },
    Row { path: CHECK_PATH, answers: &[(Method::POST, Answers::Check)], allow: "POST" },
    Row { path: "/v1/wa/message/{id}", answers: &[(Method::GET, Answers::LookUp)], allow: "GET" },
    Row { path: media::MEDIA_PATH, answers: &[(Method::POST, Answers::Media)], allow: "POST" },
    Row { path: "/v1/wa/media/{id}", answers: &[(Method::GET, Answers::Media), (Method::DELETE, Answers::Media)], allow: "GET, DELETE" },
    Row { path: events::EVENTS_PATH, answers: &[(Method::GET, Answers::Events)], allow: "GET" },
    Row { path: ME_PATH, answers: &[(Method::GET, Answers::Me)], allow: "GET" },
];

/// Every route of the messaging API: method and path, in which `{id}` stands for what is left of it.
pub fn routes() -> impl Iterator<Item = (Method, &'static str)> {
    ROWS.iter().flat_map(|row| row.answers.iter().map(|(method, _)| (method.clone(), row.path)))
}

impl Row {
    /// What stands for the id, which is nothing where the path has none; `None` where it is another path.
    fn id_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.path.strip_suffix("{id}") {
            Some(base) => path.strip_prefix(base).filter(|id| !id.is_empty()),
            None => (path == self.path).then_some(""),
        }
    }
}

impl Messaging {
    /// Everything but a send.
    async fn call_other(&self, request: Incoming) -> Response {
        let context = request.error_context();
        let path = request.head.uri.path().to_owned();
        let Some((row, id)) = ROWS.iter().find_map(|row| Some((row, row.id_of(&path)?))) else {
            return render(&Refusal::NotFound, context);
        };
        match row.answers.iter().find(|(method, _)| *method == request.head.method).map(|(_, answers)| *answers) {
            Some(Answers::Send) => self.send(request).await,
            Some(Answers::LookUpByKey) => self.look_up_by_key(request, context).await,
            Some(Answers::Check) => self.check(request).await,
            Some(Answers::LookUp) => self.look_up(request, id, context).await,
            Some(Answers::Media) => self.media(request, id, context).await,
            Some(Answers::Events) => self.events(request, context).await,
            Some(Answers::Me) => self.me(request, context).await,
            None => render(&Refusal::MethodNotAllowed { allow: row.allow }, context),
        }
    }

    /// Step 2: who calls. Before the body is read, so that nobody without a key makes us read one.
    ///
    /// # Errors
    /// AUTH_001 to AUTH_006, RATE_001 `address`.
    fn caller(&self, known: &Known, peer: Peer) -> Result<Caller, Refusal> {
        let caller = self.engine.authenticate(headers::bearer(known.authorization.as_ref())?, peer.address())?;
        known.refuse_browser()?;
        Ok(caller)
    }
}

/// What Meta and our logs know the request by.
fn trace(request_id: &RequestId, traceparent: Option<&TraceParent>) -> Trace {
    Trace {
        request_id: Some(Arc::from(request_id.as_str())),
        traceparent: traceparent.and_then(|parent| HeaderValue::from_str(parent.as_str()).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_method_is_told_those_of_the_table() {
        for row in &ROWS {
            let methods: Vec<&str> = row.answers.iter().map(|(method, _)| method.as_str()).collect();
            assert_eq!(methods.join(", "), row.allow, "{}", row.path);
        }
    }

    #[test]
    fn each_path_leads_to_its_own_row() {
        let found = |path: &str| ROWS.iter().find_map(|row| Some((row.path, row.id_of(path)?.to_owned())));
        let row = |path: &'static str, id: &str| Some((path, id.to_owned()));
        assert_eq!(found("/v1/wa/message"), row("/v1/wa/message", ""));
        assert_eq!(found("/v1/wa/message/check"), row("/v1/wa/message/check", ""));
        assert_eq!(found("/v1/wa/message/wamid.a/b=="), row("/v1/wa/message/{id}", "wamid.a/b=="));
        assert_eq!(found("/v1/wa/media"), row("/v1/wa/media", ""));
        assert_eq!(found("/v1/wa/media/900"), row("/v1/wa/media/{id}", "900"));
        assert_eq!(found("/v1/wa/media/a/b"), row("/v1/wa/media/{id}", "a/b"));
        for nowhere in ["/v1/wa/", "/v1/wa/message/", "/v1/wa/media/", "/v1/wa/mediaX", "/v1/wa/me/", "/v1/wa/events/1"] {
            assert_eq!(found(nowhere), None, "{nowhere}");
        }
    }
}
