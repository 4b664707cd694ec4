//! The gateway's own events: an unknown outcome was decided, an endpoint fails or was disabled, a
//! balance is low (contract §7).
//!
//! The store leaves a notice in the very commit that made it so; here it becomes an event like
//! Meta's, in one commit that also takes the notice off. So none is lost and none is told twice,
//! whatever ends in between. A wake-up is a hint, the clock is the truth.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::ledger::Resolution;
use turnpike_domain::send::{MessageState, Mode};
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::EventKind;
use turnpike_store::StoreError;
use turnpike_store::endpoints::EndpointId;
use turnpike_store::events::{NewEvent, Notice, NoticeKind};
use turnpike_store::messages::{Evidence, MessageRecord, ResolutionRecord};

use crate::Engine;
use crate::directory::App;
use crate::reasons;
use crate::shelter::{or_unavailable, sheltered};
use crate::unwritten::What;

/// How often notices are looked for without a hint: a read of an empty table.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Notices of one commit.
const AT_ONCE: u32 = 200;

impl Engine {
    /// Says that a notice may be waiting: it is told within moments instead of seconds.
    pub(crate) fn tell_soon(&self) {
        self.intake.notice.notify_one();
    }

    /// Begins to tell what was noticed.
    pub(crate) fn run_notices(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                if let Err(error) = or_unavailable("telling notices", engine.tell_notices()).await {
                    tracing::warn!(error = %error, "telling the gateway's own events; it is tried again");
                }
                let due = async {
                    tokio::select! {
                        () = engine.intake.notice.notified() => {}
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                };
                if engine.stopping().run_until_cancelled(due).await.is_none() {
                    return;
                }
            }
        });
    }

    /// Makes events of all notices that wait. Returns how many notices are told.
    ///
    /// # Errors
    /// The store's silence; what was told until then is told.
    pub async fn tell_notices(self: &Arc<Self>) -> Result<usize, StoreError> {
        let aside = &self.intake.refused_notices;
        let mut told = 0;
        loop {
            let many = AT_ONCE.saturating_add(u32::try_from(aside.forget_gone()).unwrap_or(u32::MAX));
            let mut notices = self.store.notices(many).await?;
            notices.retain(|notice| !aside.holds(&notice.id));
            if notices.is_empty() {
                return Ok(told);
            }
            let mut events = Vec::new();
            for notice in notices {
                match self.events_to_tell(&notice).await {
                    // Whom it was about is gone, and nobody is left to be told.
                    Ok(its) if its.is_empty() => {
                        self.done_with(notice.id, self.store.drop_notice(notice.id).await)?;
                        told += 1;
                    }
                    Ok(its) => events.push((notice.id, its)),
                    Err(error) => self.done_with(notice.id, Err(error))?,
                }
            }
            told += self.tell(events).await?;
        }
    }

    /// The events of a notice; none where nobody can be told. A bug is this notice's alone.
    async fn events_to_tell(&self, notice: &Notice) -> Result<Vec<NewEvent>, StoreError> {
        match sheltered("telling a notice", self.events_of(notice)).await {
            Some(Err(error @ StoreError::Corrupt { .. })) => {
                // It must not keep the others from being told.
                tracing::error!(error = %error, "a notice cannot be told, since what it is about cannot be read");
                Ok(Vec::new())
            }
            Some(its) => its,
            None => Err(StoreError::Undone { reason: "a bug was met".to_owned() }),
        }
    }

    /// Records the events of notices, each notice with its own; returns how many are told.
    async fn tell(self: &Arc<Self>, notices: Vec<(i64, Vec<NewEvent>)>) -> Result<usize, StoreError> {
        if notices.is_empty() {
            return Ok(0);
        }
        match self.record_events(notices.iter().flat_map(|(_, events)| events).cloned().collect()).await {
            Ok(_) => {
                notices.iter().for_each(|(notice, _)| self.intake.refused_notices.taken(notice));
                return Ok(notices.len());
            }
            Err(error) if error.is_in_the_way() => {}
            Err(error) => return Err(error),
        }
        let mut told = 0;
        for (notice, events) in notices {
            let recorded = self.record_events(events).await;
            told += usize::from(recorded.is_ok());
            self.done_with(notice, recorded.map(drop))?;
        }
        Ok(told)
    }

    /// What was tried with one notice alone: where something stands in its way, it waits behind the
    /// others.
    fn done_with(&self, notice: i64, tried: Result<(), StoreError>) -> Result<(), StoreError> {
        let aside = &self.intake.refused_notices;
        match tried {
            Ok(()) => aside.taken(&notice),
            Err(error) if error.is_in_the_way() => {
                if aside.refused(notice, &self.unwritten, What::Notice) {
                    tracing::error!(error = %error, notice.id = notice, "PAGE: a notice cannot be told; it is kept and tried again");
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A notice as events: one for each application that is to hear of it.
    async fn events_of(&self, notice: &Notice) -> Result<Vec<NewEvent>, StoreError> {
        Ok(match &notice.what {
            NoticeKind::MessageResolved(key) => {
                let record = self.store.message(notice.organization, *key).await?;
                let told = record.and_then(|record| Some((self.directory.application(record.application)?, record)));
                told.map(|(app, record)| self.event_of_notice(&app, record.mode, "message_resolved", &self.resolution_of(&record), notice))
                    .into_iter()
                    .collect()
            }
            NoticeKind::EndpointDisabled(endpoint, reason) => {
                let details = |value: &mut Value| value["reason"] = json!(reason);
                self.event_of_endpoint(*endpoint, "endpoint_disabled", details, notice)
            }
            NoticeKind::EndpointFailing(endpoint) => self.event_of_endpoint(*endpoint, "endpoint_failing", |_| (), notice),
            NoticeKind::BacklogOverflow(endpoint, given_up) => {
                let bounds = &self.settings.delivery;
                let details = |value: &mut Value| {
                    value["dead_letters"] = json!(given_up.many + given_up.old);
                    value["beyond_number"] = json!(given_up.many);
                    value["beyond_age"] = json!(given_up.old);
                    value["number_max"] = json!(bounds.backlog_max);
                    value["age_max_seconds"] = json!(bounds.backlog_age_max.as_secs());
                };
                self.event_of_endpoint(*endpoint, "backlog_overflow", details, notice)
            }
            NoticeKind::BalanceLow { mode, available } => {
                let below = self.store.wallet_alert(notice.organization, *mode).await?;
                let apps = self.apps_of(notice.organization);
                let currency = apps.first().map(|app| app.organization.currency);
                let value = json!({"mode": mode, "available": available, "below": below, "currency": currency,
                    "at": notice.at.to_rfc3339()});
                apps.iter().map(|app| self.event_of_notice(app, *mode, "balance_low", &value, notice)).collect()
            }
        })
    }

    fn event_of_endpoint(&self, endpoint: EndpointId, field: &str, details: impl FnOnce(&mut Value), notice: &Notice) -> Vec<NewEvent> {
        let Some(endpoint) = self.endpoints.endpoint(endpoint).filter(|known| known.row.organization == notice.organization) else {
            return Vec::new();
        };
        let row = &endpoint.row;
        let Some(app) = self.directory.application(row.application) else { return Vec::new() };
        let mut value = json!({"endpoint_id": row.id, "name": row.name,
            "failing_since": row.failing_since.map(UnixMs::to_rfc3339), "at": notice.at.to_rfc3339()});
        details(&mut value);
        vec![self.event_of_notice(&app, Mode::Live, field, &value, notice)]
    }

    /// How an unknown outcome ended, as its owner may know it.
    fn resolution_of(&self, record: &MessageRecord) -> Value {
        let view = self.view(record);
        let end = record.resolution.as_ref();
        // A status that came before the answer that never did decided it as evidence does afterwards.
        let early = record.statuses.iter().min_by_key(|status| status.received_at).filter(|_| end.is_none());
        let resolution = match view.state {
            MessageState::Failed => Resolution::Failed,
            _ => Resolution::Accepted,
        };
        json!({
            "message_id": record.id,
            "wamid": view.wamid,
            "state": view.state,
            "resolution": end.map(|end| end.resolution).or(early.map(|_| resolution)),
            "evidence": end.map(|end| end.evidence).or(early.map(|_| Evidence::Status)),
            "reason": end.map(owners_reason).or(early.map(|_| "a status of it came before Meta's answer was given up")),
            "resolved_at": end.map(|end| end.at).or(early.map(|status| status.received_at)).map(UnixMs::to_rfc3339),
            "to": view.to,
            "biz_opaque_callback_data": view.biz_opaque_callback_data,
            "money": view.money,
        })
    }

    fn event_of_notice(&self, app: &App, mode: Mode, field: &str, value: &Value, notice: &Notice) -> NewEvent {
        let mut event = self.gateway_event(app, mode, field, value);
        event.at = notice.at;
        event.identity = self.vault.event().hash(&[b"notice", &notice.id.to_be_bytes(), &app.row.key.0.to_be_bytes()]);
        event.notice = Some(notice.id);
        event
    }

    /// An event of the gateway's own, in Meta's shape under our own name. Each call makes another
    /// event: it is for what happens now, such as a test that somebody asks for.
    fn gateway_event(&self, app: &App, mode: Mode, field: &str, value: &Value) -> NewEvent {
        let now = self.clock.now();
        let body = json!({"object": "turnpike", "entry": [{"id": app.row.app_id, "time": now.0 / 1_000,
            "changes": [{"field": field, "value": value}]}]});
        let (organization, application) = (app.row.organization, app.row.key);
        NewEvent {
            organization,
            application,
            mode,
            kind: EventKind::Gateway,
            identity: self.vault.event().hash(&[b"gateway", self.uuid(now).as_bytes()]),
            at: now,
            user: None,
            aliases: Vec::new(),
            note: None,
            status: None,
            body: self.seal_event_body(organization, application, body.to_string().as_bytes()),
            endpoints: self.endpoints.wanting(application, mode, EventKind::Gateway),
            notice: None,
        }
    }

    fn apps_of(&self, organization: OrganizationId) -> Vec<Arc<App>> {
        let state = self.directory.snapshot();
        let mut apps: Vec<Arc<App>> = state.applications.values().filter(|app| app.row.organization == organization).cloned().collect();
        apps.sort_unstable_by_key(|app| app.row.key);
        apps
    }
}

/// The reason of a resolution, as the message's owner may see it.
fn owners_reason(end: &ResolutionRecord) -> &str {
    match end.evidence {
        Evidence::Operator => reasons::words(&end.reason),
        Evidence::Status | Evidence::LateAnswer | Evidence::Presumed => &end.reason,
    }
}
