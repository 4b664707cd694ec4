//! Meta, as a test wants it: answers by a script, remembers what it was asked.
//!
//! The network itself is proved elsewhere (`graph_matrix`); here what matters is what the engine
//! makes of each end, so the seam is the transport.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use turnpike_domain::refusal::{NotSentCause, UnknownCause};
use turnpike_engine::transport::{GraphRequest, GraphResponse, Transport, TransportError};

/// How one request ends.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// 200 with a fresh wamid.
    Accept,
    /// This status with this body.
    Answer(u16, String),
    /// No byte left.
    NotSent(NotSentCause),
    /// Bytes left, and nothing came.
    Lost,
    /// This long later, the rest.
    Later(Duration, Box<End>),
    /// Once the test opens the gate, the rest.
    Held(Arc<tokio::sync::Semaphore>, Box<End>),
    /// A bug in the transport.
    Panic,
}

impl End {
    /// Meta's error object with `code`, as a 400.
    pub(crate) fn refused(code: i64) -> End {
        let body = json!({"error": {"message": format!("(#{code}) Not this time"), "type": "OAuthException", "code": code,
            "error_data": {"messaging_product": "whatsapp", "details": "said by a test"}, "fbtrace_id": "AbCd"}});
        End::Answer(400, body.to_string())
    }

    pub(crate) fn after(self, wait: Duration) -> End {
        End::Later(wait, Box::new(self))
    }

    /// The end behind a gate, and the gate.
    pub(crate) fn held(self) -> (End, Arc<tokio::sync::Semaphore>) {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        (End::Held(Arc::clone(&gate), Box::new(self)), gate)
    }
}

/// One POST that reached Meta.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Posted {
    /// Our attempt token.
    pub(crate) fn token(&self) -> Option<&str> {
        self.body["biz_opaque_callback_data"].as_str()
    }
}

#[derive(Default)]
pub(crate) struct Meta {
    posts: Mutex<VecDeque<End>>,
    standing: Mutex<Option<End>>,
    posted: Mutex<Vec<Posted>>,
    templates: Mutex<Vec<Value>>,
    template_ends: Mutex<VecDeque<End>>,
    asked_for_templates: AtomicU64,
    timezone_id: Mutex<Option<String>>,
    zone_ends: Mutex<VecDeque<End>>,
    wamids: AtomicU64,
}

impl Meta {
    /// The next POST ends so; several queue up.
    pub(crate) fn next(&self, end: End) {
        self.posts.lock().push_back(end);
    }

    /// Every POST for which nothing is queued ends so.
    pub(crate) fn always(&self, end: End) {
        *self.standing.lock() = Some(end);
    }

    /// What `GET /{waba}/message_templates` gives.
    pub(crate) fn has_templates(&self, templates: Vec<Value>) {
        *self.templates.lock() = templates;
    }

    /// The next `GET /{waba}/message_templates` ends so instead.
    pub(crate) fn next_templates(&self, end: End) {
        self.template_ends.lock().push_back(end);
    }

    /// What `GET /{waba}?fields=timezone_id` gives; at first Meta does not say.
    pub(crate) fn has_zone(&self, id: &str) {
        *self.timezone_id.lock() = Some(id.to_owned());
    }

    /// The next `GET /{waba}?fields=timezone_id` ends so instead.
    pub(crate) fn next_zone(&self, end: End) {
        self.zone_ends.lock().push_back(end);
    }

    pub(crate) fn asked_for_templates(&self) -> u64 {
        self.asked_for_templates.load(Ordering::SeqCst)
    }

    /// All POSTs, oldest first.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().clone()
    }

    fn first_end(&self, request: &GraphRequest) -> End {
        if request.method == Method::GET && !request.path_and_query.path().ends_with("/message_templates") {
            let account = match &*self.timezone_id.lock() {
                Some(id) => json!({"id": "2001", "timezone_id": id}),
                None => json!({"id": "2001"}),
            };
            return self.zone_ends.lock().pop_front().unwrap_or_else(|| End::Answer(200, account.to_string()));
        }
        if request.method == Method::GET {
            self.asked_for_templates.fetch_add(1, Ordering::SeqCst);
            let list = json!({"data": *self.templates.lock(), "paging": {"cursors": {"before": "a", "after": "b"}}});
            return self.template_ends.lock().pop_front().unwrap_or_else(|| End::Answer(200, list.to_string()));
        }
        let body = serde_json::from_slice(&request.body).expect("the gateway sends JSON");
        self.posted.lock().push(Posted { path: request.path_and_query.path().to_owned(), body });
        self.posts.lock().pop_front().or_else(|| self.standing.lock().clone()).unwrap_or(End::Accept)
    }

    fn accepted(&self, request: &GraphRequest) -> String {
        let body: Value = serde_json::from_slice(&request.body).expect("the gateway sends JSON");
        if body["status"] == "read" {
            return json!({"success": true}).to_string();
        }
        let to = body["to"].as_str().unwrap_or_default();
        let number = self.wamids.fetch_add(1, Ordering::SeqCst);
        json!({"messaging_product": "whatsapp", "contacts": [{"input": to, "wa_id": to.trim_start_matches('+')}],
            "messages": [{"id": format!("wamid.HBgM/{number}+A==")}]})
        .to_string()
    }
}

impl Transport for Meta {
    fn send<'a>(&'a self, request: GraphRequest) -> BoxFuture<'a, Result<GraphResponse, TransportError>> {
        let mut end = self.first_end(&request);
        Box::pin(async move {
            let answer = |status: u16, body: String| GraphResponse {
                status: StatusCode::from_u16(status).expect("a status"),
                retry_after: None,
                trace_id: None,
                content_type: None,
                body: Bytes::from(body),
            };
            loop {
                end = match end {
                    End::Accept => return Ok(answer(200, self.accepted(&request))),
                    End::Answer(status, body) => return Ok(answer(status, body)),
                    End::NotSent(cause) => return Err(TransportError::not_sent(cause, "a test asked for it")),
                    End::Lost => return Err(TransportError::maybe(UnknownCause::ConnectionLost, "a test asked for it")),
                    End::Panic => panic!("a test asked for a bug"),
                    End::Later(wait, rest) => {
                        tokio::time::sleep(wait).await;
                        *rest
                    }
                    End::Held(gate, rest) => {
                        let _open = gate.acquire().await;
                        *rest
                    }
                };
            }
        })
    }
}
