//! Every method of the seam, each made through the script.

use std::path::PathBuf;

use turnpike_domain::ids::{ApplicationId, MessageId, MessageKey, OrganizationId};
use turnpike_domain::ledger::Balance;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{UnixMs, UtcDay};
use uuid::Uuid;

use super::{Broken, FaultyStore, Method};
use crate::applications::{Application, ApplicationChange, Applications, NewApplication};
use crate::deliveries::{
    Backlog, BacklogBounds, Deliveries, DeliveryFilter, DeliveryKey, DeliveryPage, DeliveryRecord, Due, Finished, GivenUp, Lane, NextDue,
    Overflow, Stalled,
};
use crate::endpoints::{Endpoint, EndpointChange, EndpointId, Endpoints, NewEndpoint};
use crate::erasures::{Erasure, ErasureDone, Erasures, JournalStanding, NewErasure};
use crate::events::{
    EventKey, EventRecord, Events, Intake, KeptWebhook, Notice, OpenUnknown, Overdue, Poisoned, Quarantine, QuarantineRecord, Recorded,
    StatusRecord,
};
use crate::keys::{ApiKeyRow, KeyEnd, KeyRotation, Keys, NewApiKey, Rotated};
use crate::ledger::{Ledger, LegMoved, MoveLeg, MoveWallet, StatementPage, StatementQuery, Verification, Wallet, WalletMoved};
use crate::messages::{
    Admission, Admit, DayUsage, Hash16, MessageFilter, MessageRecord, Messages, Outcome, PinnedPrice, Recalled, RecentSend, Resolve,
    Settled,
};
use crate::organizations::{Created, NewOrganization, Organization, Organizations};
use crate::rates::{ImportedCard, Rates};
use crate::templates::{SyncedTemplates, Templates};
use crate::users::{UserNote, UserStanding, Users};
use crate::{Answer, BackupReport, Store};

impl Organizations for FaultyStore {
    fn create_organization(&self, new: NewOrganization) -> Answer<'_, Created<Organization>> {
        self.call(Method::CreateOrganization, move |inner| inner.create_organization(new))
    }

    fn organizations(&self) -> Answer<'_, Vec<Organization>> {
        self.call(Method::Organizations, |inner| inner.organizations())
    }

    fn set_prices(
        &self,
        organization: OrganizationId,
        base_fee: Micros,
        factor_ppm: i64,
        fixed: Micros,
    ) -> Answer<'_, Option<Organization>> {
        self.call(Method::SetPrices, move |inner| inner.set_prices(organization, base_fee, factor_ppm, fixed))
    }
}

impl Applications for FaultyStore {
    fn create_application(&self, new: NewApplication) -> Answer<'_, Created<Application>> {
        self.call(Method::CreateApplication, move |inner| inner.create_application(new))
    }

    fn applications(&self) -> Answer<'_, Vec<Application>> {
        self.call(Method::Applications, |inner| inner.applications())
    }

    fn update_application(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        change: ApplicationChange,
        at: UnixMs,
    ) -> Answer<'_, Option<Created<Application>>> {
        self.call(Method::UpdateApplication, move |inner| inner.update_application(organization, application, change, at))
    }
}

impl Keys for FaultyStore {
    fn create_keys(&self, new: Vec<NewApiKey>) -> Answer<'_, Vec<ApiKeyRow>> {
        self.call(Method::CreateKeys, move |inner| inner.create_keys(new))
    }

    fn load_keys(&self, now: UnixMs, each: Box<dyn FnMut(Vec<ApiKeyRow>) + Send>) -> Answer<'_, ()> {
        self.call(Method::LoadKeys, move |inner| inner.load_keys(now, each))
    }

    fn keys_of(&self, organization: OrganizationId, application: ApplicationId) -> Answer<'_, Vec<ApiKeyRow>> {
        self.call(Method::KeysOf, move |inner| inner.keys_of(organization, application))
    }

    fn rotate_key(&self, rotation: KeyRotation) -> Answer<'_, Rotated> {
        self.call(Method::RotateKey, move |inner| inner.rotate_key(rotation))
    }

    fn end_key(&self, organization: OrganizationId, id: Uuid, end: KeyEnd) -> Answer<'_, Option<ApiKeyRow>> {
        self.call(Method::EndKey, move |inner| inner.end_key(organization, id, end))
    }
}

impl Messages for FaultyStore {
    fn admit(&self, batch: Vec<Admit>) -> Answer<'_, Vec<Admission>> {
        self.call(Method::Admit, move |inner| inner.admit(batch))
    }

    fn settle(&self, batch: Vec<Outcome>) -> Answer<'_, Vec<Settled>> {
        let about: Vec<Broken> = batch.iter().map(|outcome| Broken::Message(outcome.message)).collect();
        self.call_about(Method::Settle, about.into_iter(), move |inner| inner.settle(batch))
    }

    fn resolve(&self, batch: Vec<Resolve>) -> Answer<'_, Vec<Settled>> {
        let about: Vec<Broken> = batch.iter().map(|resolve| Broken::Message(resolve.message)).collect();
        self.call_about(Method::Resolve, about.into_iter(), move |inner| inner.resolve(batch))
    }

    fn may_know(&self, idempotency: &Hash16) -> bool {
        self.script.lock().lying_filter || self.inner.may_know(idempotency)
    }

    fn recall(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        idempotency: Hash16,
        fingerprint: Option<Hash16>,
        now: UnixMs,
    ) -> Answer<'_, Recalled> {
        self.call(Method::Recall, move |inner| inner.recall(organization, application, idempotency, fingerprint, now))
    }

    fn message(&self, organization: OrganizationId, key: MessageKey) -> Answer<'_, Option<MessageRecord>> {
        self.call(Method::Message, move |inner| inner.message(organization, key))
    }

    fn message_by_id(&self, organization: OrganizationId, id: MessageId) -> Answer<'_, Option<MessageRecord>> {
        self.call(Method::MessageById, move |inner| inner.message_by_id(organization, id))
    }

    fn messages_by_wamid(&self, organization: OrganizationId, wamid: Hash16) -> Answer<'_, Vec<MessageRecord>> {
        self.call(Method::MessagesByWamid, move |inner| inner.messages_by_wamid(organization, wamid))
    }

    fn list_messages(
        &self,
        organization: OrganizationId,
        application: Option<ApplicationId>,
        filter: MessageFilter,
        before: Option<MessageKey>,
        limit: u32,
    ) -> Answer<'_, Vec<MessageRecord>> {
        self.call(Method::ListMessages, move |inner| inner.list_messages(organization, application, filter, before, limit))
    }

    fn recent_sends(&self, since: UnixMs) -> Answer<'_, Vec<RecentSend>> {
        self.call(Method::RecentSends, move |inner| inner.recent_sends(since))
    }

    fn day_usage(&self, day: UtcDay) -> Answer<'_, Vec<DayUsage>> {
        self.call(Method::DayUsage, move |inner| inner.day_usage(day))
    }

    fn forget_before(&self, contents: UtcDay, answers: UtcDay) -> Answer<'_, u32> {
        self.call(Method::ForgetBefore, move |inner| inner.forget_before(contents, answers))
    }
}

impl Ledger for FaultyStore {
    fn move_wallet(&self, movement: MoveWallet) -> Answer<'_, WalletMoved> {
        self.call(Method::MoveWallet, move |inner| inner.move_wallet(movement))
    }

    fn move_legs(&self, batch: Vec<MoveLeg>) -> Answer<'_, Vec<LegMoved>> {
        let about: Vec<Broken> = batch.iter().map(|moved| Broken::Message(moved.message)).collect();
        self.call_about(Method::MoveLegs, about.into_iter(), move |inner| inner.move_legs(batch))
    }

    fn wallets(&self, organization: OrganizationId) -> Answer<'_, Vec<Wallet>> {
        self.call(Method::Wallets, move |inner| inner.wallets(organization))
    }

    fn balance(&self, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Balance>> {
        self.call(Method::Balance, move |inner| inner.balance(organization, mode))
    }

    fn statement(&self, query: StatementQuery) -> Answer<'_, StatementPage> {
        self.call(Method::Statement, move |inner| inner.statement(query))
    }

    fn set_wallet_alert(&self, organization: OrganizationId, mode: Mode, below: Option<Micros>) -> Answer<'_, bool> {
        self.call(Method::SetWalletAlert, move |inner| inner.set_wallet_alert(organization, mode, below))
    }

    fn wallet_alert(&self, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Micros>> {
        self.call(Method::WalletAlert, move |inner| inner.wallet_alert(organization, mode))
    }

    fn verify(&self) -> Answer<'_, Verification> {
        self.call(Method::Verify, |inner| inner.verify())
    }
}

impl Rates for FaultyStore {
    fn import_card(&self, card: ImportedCard) -> Answer<'_, ()> {
        self.call(Method::ImportCard, move |inner| inner.import_card(card))
    }

    fn imported_cards(&self) -> Answer<'_, Vec<ImportedCard>> {
        self.call(Method::ImportedCards, |inner| inner.imported_cards())
    }
}

impl Templates for FaultyStore {
    fn replace_templates(&self, synced: SyncedTemplates) -> Answer<'_, ()> {
        self.call(Method::ReplaceTemplates, move |inner| inner.replace_templates(synced))
    }

    fn templates(&self) -> Answer<'_, Vec<SyncedTemplates>> {
        self.call(Method::Templates, |inner| inner.templates())
    }
}

impl Users for FaultyStore {
    fn user(&self, organization: OrganizationId, application: ApplicationId, user: Hash16) -> Answer<'_, UserStanding> {
        self.call(Method::User, move |inner| inner.user(organization, application, user))
    }

    fn note_user(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        user: Hash16,
        note: UserNote,
    ) -> Answer<'_, Option<UserStanding>> {
        self.call(Method::NoteUser, move |inner| inner.note_user(organization, application, user, note))
    }
}

impl Events for FaultyStore {
    fn record(&self, intake: Intake) -> Answer<'_, Vec<Recorded>> {
        let about: Vec<Broken> = intake.events.iter().filter_map(|event| event.notice.map(Broken::Notice)).collect();
        self.call_about(Method::Record, about.into_iter(), move |inner| inner.record(intake))
    }

    fn contents(&self, messages: Vec<MessageKey>) -> Answer<'_, Vec<Option<(OrganizationId, Vec<u8>)>>> {
        self.call(Method::Contents, move |inner| inner.contents(messages))
    }

    fn pinned(&self, organization: OrganizationId, message: MessageKey) -> Answer<'_, Option<(PinnedPrice, UnixMs)>> {
        self.call(Method::Pinned, move |inner| inner.pinned(organization, message))
    }

    fn event(&self, organization: OrganizationId, id: Uuid) -> Answer<'_, Option<EventRecord>> {
        self.call(Method::Event, move |inner| inner.event(organization, id))
    }

    fn events_after(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        after: Option<EventKey>,
        limit: u32,
    ) -> Answer<'_, (Vec<EventRecord>, EventKey)> {
        self.call(Method::EventsAfter, move |inner| inner.events_after(organization, application, after, limit))
    }

    fn event_key(&self, id: Uuid) -> Option<EventKey> {
        self.inner.event_key(id)
    }

    fn statuses(&self, organization: OrganizationId, message: MessageKey) -> Answer<'_, Vec<StatusRecord>> {
        self.call(Method::Statuses, move |inner| inner.statuses(organization, message))
    }

    fn notices(&self, limit: u32) -> Answer<'_, Vec<Notice>> {
        self.call(Method::Notices, move |inner| inner.notices(limit))
    }

    fn drop_notice(&self, id: i64) -> Answer<'_, ()> {
        self.call(Method::DropNotice, move |inner| inner.drop_notice(id))
    }

    fn quarantined(&self, before: Option<i64>, limit: u32) -> Answer<'_, Vec<QuarantineRecord>> {
        self.call(Method::Quarantined, move |inner| inner.quarantined(before, limit))
    }

    fn quarantine_replayed(&self, id: i64, at: UnixMs) -> Answer<'_, bool> {
        self.call(Method::QuarantineReplayed, move |inner| inner.quarantine_replayed(id, at))
    }

    fn note_poison(&self, parts: Vec<(Quarantine, String)>, at: UnixMs) -> Answer<'_, Vec<Poisoned>> {
        self.call(Method::NotePoison, move |inner| inner.note_poison(parts, at))
    }

    fn poison_due(&self, now: UnixMs, limit: u32) -> Answer<'_, Vec<QuarantineRecord>> {
        self.call(Method::PoisonDue, move |inner| inner.poison_due(now, limit))
    }

    fn give_up_poison(&self, id: i64) -> Answer<'_, bool> {
        self.call(Method::GiveUpPoison, move |inner| inner.give_up_poison(id))
    }

    fn quarantined_one(&self, id: i64) -> Answer<'_, Option<QuarantineRecord>> {
        self.call(Method::QuarantinedOne, move |inner| inner.quarantined_one(id))
    }

    fn open_unknowns(&self, admitted_before: UnixMs, after: Option<MessageKey>, limit: u32) -> Answer<'_, Vec<OpenUnknown>> {
        self.call(Method::OpenUnknowns, move |inner| inner.open_unknowns(admitted_before, after, limit))
    }

    fn overdue(&self, admitted_before: UnixMs, delivered_before: UnixMs, limit: u32) -> Answer<'_, Vec<Overdue>> {
        self.call(Method::Overdue, move |inner| inner.overdue(admitted_before, delivered_before, limit))
    }

    fn park_overdue(&self, messages: Vec<MessageKey>, at: UnixMs) -> Answer<'_, ()> {
        self.call(Method::ParkOverdue, move |inner| inner.park_overdue(messages, at))
    }

    fn intake_was_down(&self, from: UnixMs, until: UnixMs) -> Answer<'_, ()> {
        self.call(Method::IntakeWasDown, move |inner| inner.intake_was_down(from, until))
    }

    fn intake_works(&self, at: UnixMs) -> Answer<'_, ()> {
        self.call(Method::IntakeWorks, move |inner| inner.intake_works(at))
    }

    fn intake_gaps(&self, since: UnixMs) -> Answer<'_, (Option<UnixMs>, Vec<(UnixMs, UnixMs)>)> {
        self.call(Method::IntakeGaps, move |inner| inner.intake_gaps(since))
    }

    fn forget_events_before(&self, raw: UtcDay, events: UtcDay, statuses: UtcDay) -> Answer<'_, u32> {
        self.call(Method::ForgetEventsBefore, move |inner| inner.forget_events_before(raw, events, statuses))
    }

    fn names_of_user(&self, organization: OrganizationId, names: Vec<Hash16>) -> Answer<'_, Vec<Hash16>> {
        self.call(Method::NamesOfUser, move |inner| inner.names_of_user(organization, names))
    }

    fn erase_user(&self, organization: OrganizationId, names: Vec<Hash16>) -> Answer<'_, u64> {
        self.call(Method::EraseUser, move |inner| inner.erase_user(organization, names))
    }

    fn kept_webhooks(&self, after: Option<KeptWebhook>, limit: u32) -> Answer<'_, Vec<(KeptWebhook, Vec<u8>)>> {
        self.call(Method::KeptWebhooks, move |inner| inner.kept_webhooks(after, limit))
    }

    fn erase_webhooks(&self, webhooks: Vec<KeptWebhook>) -> Answer<'_, u64> {
        self.call(Method::EraseWebhooks, move |inner| inner.erase_webhooks(webhooks))
    }
}

impl Erasures for FaultyStore {
    fn ask_erasure(&self, new: NewErasure) -> Answer<'_, ()> {
        self.call(Method::AskErasure, move |inner| inner.ask_erasure(new))
    }

    fn note_erasure_names(&self, id: Uuid, sealed: Vec<u8>) -> Answer<'_, ()> {
        self.call(Method::NoteErasureNames, move |inner| inner.note_erasure_names(id, sealed))
    }

    fn erasure_is_applied(&self, ids: Vec<Uuid>) -> Answer<'_, ()> {
        self.call(Method::ErasureIsApplied, move |inner| inner.erasure_is_applied(ids))
    }

    fn open_erasures(&self, limit: u32) -> Answer<'_, Vec<Erasure>> {
        self.call(Method::OpenErasures, move |inner| inner.open_erasures(limit))
    }

    fn erasure(&self, organization: Uuid, id: Uuid) -> Answer<'_, Option<Erasure>> {
        self.call(Method::Erasure, move |inner| inner.erasure(organization, id))
    }

    fn erasures(&self, organization: Uuid, limit: u32) -> Answer<'_, Vec<Erasure>> {
        self.call(Method::Erasures, move |inner| inner.erasures(organization, limit))
    }

    fn finish_erasure(&self, id: Uuid, done: ErasureDone) -> Answer<'_, ()> {
        self.call(Method::FinishErasure, move |inner| inner.finish_erasure(id, done))
    }

    fn forget_erasures(&self, before: UnixMs) -> Answer<'_, u64> {
        self.call(Method::ForgetErasures, move |inner| inner.forget_erasures(before))
    }

    fn erasure_journal(&self) -> Answer<'_, JournalStanding> {
        self.call(Method::ErasureJournal, |inner| inner.erasure_journal())
    }

    fn newest_raw_webhook(&self) -> Answer<'_, Option<KeptWebhook>> {
        self.call(Method::NewestRawWebhook, |inner| inner.newest_raw_webhook())
    }

    fn cut_log(&self) -> Answer<'_, bool> {
        self.call(Method::CutLog, |inner| inner.cut_log())
    }
}

impl Endpoints for FaultyStore {
    fn create_endpoint(&self, new: NewEndpoint) -> Answer<'_, Created<Endpoint>> {
        self.call(Method::CreateEndpoint, move |inner| inner.create_endpoint(new))
    }

    fn endpoints(&self) -> Answer<'_, Vec<Endpoint>> {
        self.call(Method::Endpoints, |inner| inner.endpoints())
    }

    fn update_endpoint(
        &self,
        organization: OrganizationId,
        endpoint: EndpointId,
        change: EndpointChange,
        at: UnixMs,
    ) -> Answer<'_, Option<Endpoint>> {
        self.call(Method::UpdateEndpoint, move |inner| inner.update_endpoint(organization, endpoint, change, at))
    }

    fn delete_endpoint(&self, organization: OrganizationId, endpoint: EndpointId) -> Answer<'_, bool> {
        self.call(Method::DeleteEndpoint, move |inner| inner.delete_endpoint(organization, endpoint))
    }
}

impl Deliveries for FaultyStore {
    fn backlogs(&self, organization: Option<OrganizationId>) -> Answer<'_, Vec<Backlog>> {
        self.call(Method::Backlogs, move |inner| inner.backlogs(organization))
    }

    fn next_due(&self) -> Answer<'_, Vec<NextDue>> {
        self.call(Method::NextDue, |inner| inner.next_due())
    }

    fn next_retry(&self, endpoint: EndpointId, after: UnixMs) -> Answer<'_, Option<UnixMs>> {
        self.call(Method::NextRetry, move |inner| inner.next_retry(endpoint, after))
    }

    fn stalled(&self, endpoint: EndpointId, since: UnixMs) -> Answer<'_, Vec<Stalled>> {
        self.call(Method::Stalled, move |inner| inner.stalled(endpoint, since))
    }

    fn trim_backlog(&self, organization: OrganizationId, bounds: BacklogBounds, at: UnixMs) -> Answer<'_, GivenUp> {
        self.call(Method::TrimBacklog, move |inner| inner.trim_backlog(organization, bounds, at))
    }

    fn overflows(&self, organization: Option<OrganizationId>) -> Answer<'_, Vec<Overflow>> {
        self.call(Method::Overflows, move |inner| inner.overflows(organization))
    }

    fn claim(&self, endpoint: EndpointId, lane: Lane, now: UnixMs, lease_until: UnixMs, limit: u32) -> Answer<'_, Vec<Due>> {
        self.call(Method::Claim, move |inner| inner.claim(endpoint, lane, now, lease_until, limit))
    }

    fn finish(&self, batch: Vec<Finished>) -> Answer<'_, ()> {
        self.call(Method::Finish, move |inner| inner.finish(batch))
    }

    fn deliveries(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        filter: DeliveryFilter,
        before: Option<DeliveryKey>,
        limit: u32,
    ) -> Answer<'_, DeliveryPage> {
        self.call(Method::Deliveries, move |inner| inner.deliveries(organization, application, filter, before, limit))
    }

    fn delivery(&self, organization: OrganizationId, event: Uuid, endpoint: EndpointId) -> Answer<'_, Option<DeliveryRecord>> {
        self.call(Method::Delivery, move |inner| inner.delivery(organization, event, endpoint))
    }

    fn replay(&self, organization: OrganizationId, event: Uuid, endpoint: EndpointId, now: UnixMs) -> Answer<'_, bool> {
        self.call(Method::Replay, move |inner| inner.replay(organization, event, endpoint, now))
    }

    fn replay_range(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        filter: DeliveryFilter,
        now: UnixMs,
    ) -> Answer<'_, u64> {
        self.call(Method::ReplayRange, move |inner| inner.replay_range(organization, application, filter, now))
    }

    fn drop_backlog(&self, organization: OrganizationId, endpoint: EndpointId) -> Answer<'_, u64> {
        self.call(Method::DropBacklog, move |inner| inner.drop_backlog(organization, endpoint))
    }
}

impl Store for FaultyStore {
    fn ready(&self) -> Answer<'_, ()> {
        self.call(Method::Ready, |inner| inner.ready())
    }

    fn backup(&self, target: PathBuf) -> Answer<'_, BackupReport> {
        self.call(Method::Backup, move |inner| inner.backup(target))
    }

    fn close(&self) -> Answer<'_, ()> {
        self.call(Method::Close, |inner| inner.close())
    }
}
