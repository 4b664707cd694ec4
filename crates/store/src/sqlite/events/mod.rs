//! Events on SQLite: what Meta reported, with everything that follows from it, in one commit.

mod erase;
mod forget;
mod ids;
mod job;
mod kept;
mod names;
mod notices;
mod poison;
mod read;
mod record;
mod state;
mod status;
mod sweep;

use turnpike_domain::ids::{ApplicationId, MessageKey, OrganizationId};
use turnpike_domain::time::{UnixMs, UtcDay};
use uuid::Uuid;

pub(super) use self::forget::STATUSES_FORGOTTEN;
pub(super) use self::ids::{event_id, event_key};
pub(super) use self::job::{EventsJob, set_wallet_alert, wallet_alert};
pub(super) use self::kept::newest_raw as newest_raw_webhook;
pub(super) use self::notices::leave as leave_notice;
pub(super) use self::state::{BLOCK, EventState, RecoveredEvents, bodies_table, recover};
use super::SqliteStore;
use super::messages::{self as stored, Forgotten};
use super::writer::Job;
use crate::Answer;
use crate::events::{
    EventKey, EventRecord, Events, Intake, KeptWebhook, Notice, OpenUnknown, Overdue, Poisoned, Quarantine, QuarantineRecord, Recorded,
    StatusRecord,
};
use crate::messages::{Hash16, PinnedPrice};

impl Events for SqliteStore {
    fn record(&self, intake: Intake) -> Answer<'_, Vec<Recorded>> {
        Box::pin(self.ask(|caller| Job::Events(EventsJob::Record(Box::new(intake), caller))))
    }

    fn contents(&self, messages: Vec<MessageKey>) -> Answer<'_, Vec<Option<(OrganizationId, Vec<u8>)>>> {
        Box::pin(self.read(move |snapshot| read::contents(snapshot, &messages)))
    }

    fn pinned(&self, organization: OrganizationId, message: MessageKey) -> Answer<'_, Option<(PinnedPrice, UnixMs)>> {
        Box::pin(self.read(move |snapshot| read::pinned(snapshot, organization, message)))
    }

    fn event(&self, organization: OrganizationId, id: Uuid) -> Answer<'_, Option<EventRecord>> {
        let cipher = self.cipher.clone();
        Box::pin(self.read(move |snapshot| read::one(snapshot, &cipher, organization, id)))
    }

    fn events_after(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        after: Option<EventKey>,
        limit: u32,
    ) -> Answer<'_, (Vec<EventRecord>, EventKey)> {
        let cipher = self.cipher.clone();
        Box::pin(self.read(move |snapshot| read::after(snapshot, &cipher, organization, application, after, limit)))
    }

    fn event_key(&self, id: Uuid) -> Option<EventKey> {
        event_key(&self.cipher, id)
    }

    fn statuses(&self, organization: OrganizationId, message: MessageKey) -> Answer<'_, Vec<StatusRecord>> {
        Box::pin(self.read(move |snapshot| {
            let owns = snapshot
                .prepare_cached("SELECT 1 FROM messages WHERE key = ?1 AND organization = ?2")?
                .exists([message.0, organization.0])?;
            if owns { stored::statuses(snapshot, message) } else { Ok(Vec::new()) }
        }))
    }

    fn notices(&self, limit: u32) -> Answer<'_, Vec<Notice>> {
        Box::pin(self.read(move |snapshot| notices::list(snapshot, limit)))
    }

    fn drop_notice(&self, id: i64) -> Answer<'_, ()> {
        Box::pin(self.control(move |connection| notices::drop_notice(connection, id)))
    }

    fn quarantined(&self, before: Option<i64>, limit: u32) -> Answer<'_, Vec<QuarantineRecord>> {
        Box::pin(self.read(move |snapshot| read::quarantined(snapshot, before, limit)))
    }

    fn quarantine_replayed(&self, id: i64, at: UnixMs) -> Answer<'_, bool> {
        Box::pin(self.control(move |connection| {
            Ok(connection
                .prepare_cached("UPDATE quarantine SET replayed_at = ?2, next_try_at = NULL WHERE id = ?1")?
                .execute([id, at.0])?
                == 1)
        }))
    }

    fn note_poison(&self, parts: Vec<(Quarantine, String)>, at: UnixMs) -> Answer<'_, Vec<Poisoned>> {
        Box::pin(self.control(move |connection| poison::note(connection, &parts, at)))
    }

    fn poison_due(&self, now: UnixMs, limit: u32) -> Answer<'_, Vec<QuarantineRecord>> {
        Box::pin(self.read(move |snapshot| poison::due(snapshot, now, limit)))
    }

    fn give_up_poison(&self, id: i64) -> Answer<'_, bool> {
        Box::pin(self.control(move |connection| poison::give_up(connection, id)))
    }

    fn quarantined_one(&self, id: i64) -> Answer<'_, Option<QuarantineRecord>> {
        Box::pin(self.read(move |snapshot| read::quarantined_one(snapshot, id)))
    }

    fn open_unknowns(&self, admitted_before: UnixMs, after: Option<MessageKey>, limit: u32) -> Answer<'_, Vec<OpenUnknown>> {
        Box::pin(self.read(move |snapshot| sweep::open_unknowns(snapshot, admitted_before, after, limit)))
    }

    fn overdue(&self, admitted_before: UnixMs, delivered_before: UnixMs, limit: u32) -> Answer<'_, Vec<Overdue>> {
        Box::pin(async move {
            let found = self.read(move |snapshot| sweep::overdue(snapshot, admitted_before, delivered_before, limit)).await?;
            if let Some(mark) = found.mark {
                self.control(move |connection| sweep::write_swept(connection, mark)).await?;
            }
            Ok(found.overdue)
        })
    }

    fn park_overdue(&self, messages: Vec<MessageKey>, at: UnixMs) -> Answer<'_, ()> {
        Box::pin(self.control(move |connection| sweep::park(connection, &messages, at)))
    }

    fn intake_was_down(&self, from: UnixMs, until: UnixMs) -> Answer<'_, ()> {
        Box::pin(self.control(move |connection| sweep::note_gap(connection, from, until)))
    }

    fn intake_works(&self, at: UnixMs) -> Answer<'_, ()> {
        Box::pin(self.control(move |connection| sweep::note_works(connection, at)))
    }

    fn intake_gaps(&self, since: UnixMs) -> Answer<'_, (Option<UnixMs>, Vec<(UnixMs, UnixMs)>)> {
        Box::pin(self.read(move |snapshot| sweep::gaps(snapshot, since)))
    }

    fn forget_events_before(&self, raw: UtcDay, events: UtcDay, statuses: UtcDay) -> Answer<'_, u32> {
        Box::pin(async move {
            let before = forget::Before { raw, events, statuses };
            let mut tables = 0;
            loop {
                match self.ask(|caller| Job::Events(EventsJob::Forget(before, caller))).await? {
                    Forgotten::Slice => {}
                    Forgotten::Table => tables += 1,
                    Forgotten::Nothing => return Ok(tables),
                }
            }
        })
    }

    fn names_of_user(&self, organization: OrganizationId, names: Vec<Hash16>) -> Answer<'_, Vec<Hash16>> {
        Box::pin(self.all_names(organization, names))
    }

    fn erase_user(&self, organization: OrganizationId, names: Vec<Hash16>) -> Answer<'_, u64> {
        Box::pin(self.erase(organization, names))
    }

    fn kept_webhooks(&self, after: Option<KeptWebhook>, limit: u32) -> Answer<'_, Vec<(KeptWebhook, Vec<u8>)>> {
        Box::pin(self.read(move |snapshot| kept::after(snapshot, after, limit)))
    }

    fn erase_webhooks(&self, webhooks: Vec<KeptWebhook>) -> Answer<'_, u64> {
        Box::pin(self.erase_kept(webhooks))
    }
}
