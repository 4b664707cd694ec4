//! Endpoints and deliveries as people see them.

use std::collections::BTreeMap;

use serde::Serialize;
use turnpike_domain::ids::{OrganizationId, webhook_id};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, EventSet};
use turnpike_store::StoreError;
use turnpike_store::deliveries::{Attempt, Backlog, DeliveryRecord, DeliveryState, Overflow};
use turnpike_store::endpoints::Endpoint;
use uuid::Uuid;

use crate::Engine;
use crate::directory::App;

/// An endpoint, as people see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// Its UUID.
    pub id: Uuid,
    /// Its name, unique in its application.
    pub name: String,
    /// Its application's public name.
    pub app_id: String,
    /// Where events are posted.
    pub url: String,
    /// What it gets.
    pub events: EventSet,
    /// Whether it also gets sandbox events.
    pub sandbox: bool,
    /// Whether a user's line waits for a failed event.
    pub ordered: bool,
    /// Whether `Authorization: Bearer` is sent.
    pub send_bearer: bool,
    /// The customer's own headers.
    pub headers: BTreeMap<String, String>,
    /// Whether events are posted.
    pub is_active: bool,
    /// Why the gateway switched it off.
    pub disabled_reason: Option<String>,
    /// Since when every attempt failed.
    pub failing_since: Option<String>,
    /// Until when the old signing secret also signs.
    pub old_secret_until: Option<String>,
    /// What waits.
    pub backlog: BacklogView,
    /// What was given up since its organization's backlog was too long or too old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow: Option<OverflowView>,
    /// Why it cannot be posted to at all, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// The signing secret, only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The bearer, only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer: Option<String>,
}

/// What waits for an endpoint.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BacklogView {
    /// Never tried.
    pub first: u64,
    /// To be tried again.
    pub retries: u64,
    /// When the earliest of these is due.
    pub next_retry_at: Option<String>,
}

/// What became dead letters untried.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OverflowView {
    /// Since more waited than may.
    pub beyond_number: u64,
    /// Since it had waited for longer than it may.
    pub beyond_age: u64,
    /// When the last of them did.
    pub last_at: String,
}

/// What a test event came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// The test event's `webhook-id`.
    pub event_id: String,
    /// Whether the endpoint took it (2xx).
    pub ok: bool,
    /// What it answered.
    pub status: Option<u16>,
    /// Why it did not answer.
    pub fault: Option<String>,
    /// How long it took.
    pub latency_ms: u32,
    /// The first bytes of its answer.
    pub answer: String,
}

/// A delivery, as people see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The event's `webhook-id`.
    pub id: String,
    /// What it is; `unreadable` where that cannot be read.
    pub event: &'static str,
    /// What of it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'static str>,
    /// The endpoint's name; `null` where it was deleted.
    pub endpoint: Option<String>,
    /// Where it stands.
    pub state: DeliveryState,
    /// Live or sandbox; `null` where that cannot be read.
    pub mode: Option<Mode>,
    /// When the event was recorded.
    pub at: String,
    /// When it is tried next.
    pub next_at: Option<String>,
    /// The message of ours that it is about.
    pub message_id: Option<String>,
    /// How often it was tried.
    pub tries: u16,
    /// The tries, oldest first; only where one delivery was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<AttemptView>>,
}

/// One try, as people see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// When it began.
    pub at: String,
    /// What the endpoint answered; `null` where it did not.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub latency_ms: u32,
    /// Why there was no answer.
    pub fault: Option<String>,
    /// The first bytes of the answer.
    pub answer: String,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> AttemptView {
        let Attempt { at, status, latency_ms, fault, answer } = attempt;
        AttemptView { at: at.to_rfc3339(), status, latency_ms, fault, answer }
    }
}

/// What waits for an organization's endpoints, and what did.
#[derive(Default)]
pub(super) struct Waiting {
    backlogs: Vec<Backlog>,
    overflows: Vec<Overflow>,
}

impl Engine {
    /// Asks the store what waits for an organization's endpoints.
    pub(super) async fn waiting_of(&self, organization: OrganizationId) -> Result<Waiting, StoreError> {
        let of_owner = Some(organization);
        Ok(Waiting { backlogs: self.store.backlogs(of_owner).await?, overflows: self.store.overflows(of_owner).await? })
    }

    /// An endpoint with what waits for it; `waiting` is of its organization.
    pub(super) fn view_endpoint(&self, app: &App, row: &Endpoint, waiting: &Waiting) -> EndpointView {
        let backlog = waiting.backlogs.iter().find(|backlog| backlog.endpoint == row.key);
        let backlog = backlog.map_or_else(BacklogView::default, |backlog| BacklogView {
            first: backlog.first,
            retries: backlog.retries,
            next_retry_at: backlog.next_retry_at.map(UnixMs::to_rfc3339),
        });
        let overflow = waiting.overflows.iter().find(|overflow| overflow.endpoint == row.key).map(|overflow| OverflowView {
            beyond_number: overflow.given_up.many,
            beyond_age: overflow.given_up.old,
            last_at: overflow.last_at.to_rfc3339(),
        });
        let now = self.clock.now();
        EndpointView {
            id: row.id,
            name: row.name.clone(),
            app_id: app.row.app_id.clone(),
            url: row.url.clone(),
            events: row.events,
            sandbox: row.sandbox,
            ordered: row.ordered,
            send_bearer: row.send_bearer,
            headers: self.opened_headers(row).into_iter().collect(),
            is_active: row.is_active,
            disabled_reason: row.disabled_reason.clone(),
            failing_since: row.failing_since.map(UnixMs::to_rfc3339),
            old_secret_until: row.old_secret_sealed.as_ref().map(|(_, until)| *until).filter(|until| *until > now).map(UnixMs::to_rfc3339),
            backlog,
            overflow,
            problem: self.endpoints.endpoint(row.key).and_then(|known| known.way.as_ref().err().cloned()),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
            secret: None,
            bearer: None,
        }
    }

    pub(super) fn view_delivery(&self, record: DeliveryRecord, with_attempts: bool) -> DeliveryView {
        DeliveryView {
            id: webhook_id(record.event_id),
            event: record.kind.map_or("unreadable", EventKind::as_str),
            problem: match (record.kind, record.mode) {
                (None, _) => Some("the kind of its event cannot be read"),
                (_, None) => Some("the mode of its event cannot be read"),
                (Some(_), Some(_)) => None,
            },
            endpoint: self.endpoints.endpoint(record.endpoint).map(|known| known.row.name.clone()),
            state: record.state,
            mode: record.mode,
            at: record.at.to_rfc3339(),
            next_at: record.next_at.map(UnixMs::to_rfc3339),
            message_id: record.message.map(|message| message.to_string()),
            tries: record.tries,
            attempts: with_attempts.then(|| record.attempts.into_iter().map(AttemptView::from).collect()),
        }
    }
}
