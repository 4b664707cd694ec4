//! Events: what Meta reported, with everything that follows from it, in one commit.

use turnpike_domain::ids::{ApplicationId, MessageKey, OrganizationId};
use turnpike_domain::time::{UnixMs, UtcDay};
use uuid::Uuid;

use super::SqliteStore;
use crate::events::{EventKey, EventRecord, Events, Intake, Notice, OpenUnknown, Overdue, QuarantineRecord, Recorded, StatusRecord};
use crate::messages::{Hash16, PinnedPrice};
use crate::{Answer, StoreError};

pub(in crate::sqlite) fn not_ready<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(async { Err(StoreError::unavailable("not ready")) })
}

impl Events for SqliteStore {
    fn record(&self, _intake: Intake) -> Answer<'_, Vec<Recorded>> {
        not_ready()
    }
    fn contents(&self, _messages: Vec<MessageKey>) -> Answer<'_, Vec<Option<(OrganizationId, Vec<u8>)>>> {
        not_ready()
    }
    fn pinned(&self, _organization: OrganizationId, _message: MessageKey) -> Answer<'_, Option<(PinnedPrice, UnixMs)>> {
        not_ready()
    }
    fn event(&self, _organization: OrganizationId, _id: Uuid) -> Answer<'_, Option<EventRecord>> {
        not_ready()
    }
    fn events_after(
        &self,
        _organization: OrganizationId,
        _application: ApplicationId,
        _after: Option<EventKey>,
        _limit: u32,
    ) -> Answer<'_, (Vec<EventRecord>, EventKey)> {
        not_ready()
    }
    fn event_key(&self, _id: Uuid) -> Option<EventKey> {
        None
    }
    fn statuses(&self, _organization: OrganizationId, _message: MessageKey) -> Answer<'_, Vec<StatusRecord>> {
        not_ready()
    }
    fn notices(&self, _limit: u32) -> Answer<'_, Vec<Notice>> {
        not_ready()
    }
    fn drop_notice(&self, _id: i64) -> Answer<'_, ()> {
        not_ready()
    }
    fn quarantined(&self, _before: Option<i64>, _limit: u32) -> Answer<'_, Vec<QuarantineRecord>> {
        not_ready()
    }
    fn quarantine_replayed(&self, _id: i64, _at: UnixMs) -> Answer<'_, bool> {
        not_ready()
    }
    fn open_unknowns(&self, _admitted_before: UnixMs, _limit: u32) -> Answer<'_, Vec<OpenUnknown>> {
        not_ready()
    }
    fn overdue(&self, _admitted_before: UnixMs, _delivered_before: UnixMs, _limit: u32) -> Answer<'_, Vec<Overdue>> {
        not_ready()
    }
    fn intake_was_down(&self, _from: UnixMs, _until: UnixMs) -> Answer<'_, ()> {
        not_ready()
    }
    fn intake_works(&self, _at: UnixMs) -> Answer<'_, ()> {
        not_ready()
    }
    fn intake_gaps(&self, _since: UnixMs) -> Answer<'_, (Option<UnixMs>, Vec<(UnixMs, UnixMs)>)> {
        not_ready()
    }
    fn forget_events_before(&self, _raw: UtcDay, _events: UtcDay, _statuses: UtcDay) -> Answer<'_, u32> {
        not_ready()
    }
    fn erase_user(&self, _organization: OrganizationId, _user: Hash16) -> Answer<'_, u64> {
        not_ready()
    }
}
