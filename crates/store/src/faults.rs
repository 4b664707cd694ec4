//! A store that fails on request: for tests of what stands above the seam.
//!
//! The engine must stay right when a commit is refused, when it happened but its answer was lost,
//! when it comes late and when it never comes. A real store does these things once a year; this
//! decorator does them at a scripted call, so that a test can name the moment. It is compiled only
//! with the feature `faults` (and for this crate's own tests), never into the program.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use turnpike_domain::ids::{ApplicationId, MessageId, MessageKey, OrganizationId};
use turnpike_domain::ledger::Balance;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{UnixMs, UtcDay};
use uuid::Uuid;

use crate::applications::{Application, ApplicationChange, Applications, NewApplication};
use crate::deliveries::{
    Backlog, BacklogBounds, Deliveries, DeliveryFilter, DeliveryKey, DeliveryPage, DeliveryRecord, Due, Finished, GivenUp, Lane, NextDue,
    Overflow, Stalled,
};
use crate::endpoints::{Endpoint, EndpointChange, EndpointId, Endpoints, NewEndpoint};
use crate::events::{
    EventKey, EventRecord, Events, Intake, KeptWebhook, Notice, OpenUnknown, Overdue, QuarantineRecord, Recorded, StatusRecord,
};
use crate::keys::{ApiKeyRow, KeyEnd, Keys, NewApiKey};
use crate::ledger::{Ledger, LegMoved, MoveLeg, MoveWallet, StatementLine, Verification, Wallet, WalletMoved};
use crate::messages::{
    Admission, Admit, DayUsage, Hash16, MessageFilter, MessageRecord, Messages, Outcome, PinnedPrice, Recalled, RecentSend, Resolve,
    Settled,
};
use crate::organizations::{Created, NewOrganization, Organization, Organizations};
use crate::rates::{ImportedCard, Rates};
use crate::templates::{SyncedTemplates, Templates};
use crate::users::{UserNote, UserStanding, Users};
use crate::{Answer, BackupReport, Store, StoreError};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call answers [`StoreError::Unavailable`] and nothing happened.
    Unavailable,
    /// The call happened, committed, and answers [`StoreError::Unavailable`]: the caller cannot know.
    UnavailableAfterCommit,
    /// The call answers [`StoreError::Corrupt`] and nothing happened.
    Corrupt,
    /// The call begins after this long, then goes on as ever.
    Delay(Duration),
    /// The call happens at once; its answer comes this long after the commit.
    LateAnswer(Duration),
    /// The call never answers and nothing happened.
    NeverAnswers,
    /// The call happened, committed, and never answers.
    NeverAnswersAfterCommit,
    /// The call panics and nothing happened: a bug below us.
    Panics,
}

/// The methods of the seam that can be made to fail; named as the methods are.
#[expect(missing_docs, reason = "each is the method of the same name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    CreateOrganization,
    Organizations,
    SetPrices,
    CreateApplication,
    Applications,
    UpdateApplication,
    CreateKeys,
    LoadKeys,
    KeysOf,
    EndKey,
    Admit,
    Settle,
    Resolve,
    Recall,
    Message,
    MessageById,
    MessagesByWamid,
    ListMessages,
    RecentSends,
    DayUsage,
    ForgetBefore,
    MoveWallet,
    MoveLegs,
    Wallets,
    Balance,
    Statement,
    SetWalletAlert,
    WalletAlert,
    Verify,
    ImportCard,
    ImportedCards,
    ReplaceTemplates,
    Templates,
    User,
    NoteUser,
    Record,
    Contents,
    Pinned,
    Event,
    EventsAfter,
    Statuses,
    Notices,
    DropNotice,
    Quarantined,
    QuarantineReplayed,
    OpenUnknowns,
    Overdue,
    IntakeWasDown,
    IntakeWorks,
    IntakeGaps,
    ForgetEventsBefore,
    NamesOfUser,
    EraseUser,
    KeptWebhooks,
    EraseWebhooks,
    CreateEndpoint,
    Endpoints,
    UpdateEndpoint,
    DeleteEndpoint,
    Backlogs,
    NextDue,
    NextRetry,
    Stalled,
    TrimBacklog,
    Overflows,
    Claim,
    Finish,
    Deliveries,
    Delivery,
    Replay,
    ReplayRange,
    DropBacklog,
    Ready,
    Backup,
    Close,
}

/// A store around another, whose calls fail as scripted. Unscripted calls pass through.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    /// One entry per coming call; `None` lets that call pass.
    coming: HashMap<Method, VecDeque<Option<Fault>>>,
    /// What happens to calls once nothing more is scripted for them.
    standing: HashMap<Method, Fault>,
    calls: HashMap<Method, u64>,
    lying_filter: bool,
}

impl FaultyStore {
    /// A store that behaves as `inner` until told otherwise.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Arc<FaultyStore> {
        Arc::new(FaultyStore { inner, script: Mutex::default() })
    }

    /// The next unscripted call of `method` fails so, once; several in a row queue up.
    pub fn fail_next(&self, method: Method, fault: Fault) {
        self.script.lock().coming.entry(method).or_default().push_back(Some(fault));
    }

    /// The next unscripted call of `method` passes: `pass_next` twice and `fail_next` makes the
    /// third call fail.
    pub fn pass_next(&self, method: Method) {
        self.script.lock().coming.entry(method).or_default().push_back(None);
    }

    /// Every call of `method` fails so from now on, where nothing else is scripted for it.
    pub fn fail_always(&self, method: Method, fault: Fault) {
        self.script.lock().standing.insert(method, fault);
    }

    /// [`Messages::may_know`] says yes to everything: a filter may be wrong in this direction, and
    /// nothing above it may come out differently.
    pub fn filter_says_yes(&self, yes: bool) {
        self.script.lock().lying_filter = yes;
    }

    /// Forgets every fault: the store is well again. The counts stay.
    pub fn heal(&self) {
        let mut script = self.script.lock();
        script.coming.clear();
        script.standing.clear();
        script.lying_filter = false;
    }

    /// How often `method` was called, failed calls included.
    #[must_use]
    pub fn calls(&self, method: Method) -> u64 {
        self.script.lock().calls.get(&method).copied().unwrap_or(0)
    }

    fn next_fault(&self, method: Method) -> Option<Fault> {
        let mut script = self.script.lock();
        *script.calls.entry(method).or_default() += 1;
        match script.coming.get_mut(&method).and_then(VecDeque::pop_front) {
            Some(scripted) => scripted,
            None => script.standing.get(&method).copied(),
        }
    }

    /// Runs one call with the fault that the script has for it. The fault is drawn when the call is
    /// made, not when its future is first polled, so that a test's order is the order of its calls.
    fn call<'a, T: Send + 'a>(&'a self, method: Method, go: impl FnOnce(&'a dyn Store) -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        let inner = &*self.inner;
        let Some(fault) = self.next_fault(method) else { return go(inner) };
        Box::pin(async move {
            match fault {
                Fault::Unavailable => Err(scripted()),
                Fault::UnavailableAfterCommit => {
                    go(inner).await?;
                    Err(scripted())
                }
                Fault::Corrupt => Err(StoreError::Corrupt { table: "scripted", column: "scripted", id: format!("{method:?}") }),
                Fault::Delay(long) => {
                    tokio::time::sleep(long).await;
                    go(inner).await
                }
                Fault::LateAnswer(long) => {
                    let answer = go(inner).await;
                    tokio::time::sleep(long).await;
                    answer
                }
                Fault::NeverAnswers => std::future::pending().await,
                Fault::NeverAnswersAfterCommit => {
                    go(inner).await?;
                    std::future::pending().await
                }
                Fault::Panics => panic!("a test asked for this bug"),
            }
        })
    }
}

fn scripted() -> StoreError {
    StoreError::unavailable("a test asked for this failure")
}

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

    fn end_key(&self, organization: OrganizationId, id: Uuid, end: KeyEnd) -> Answer<'_, Option<ApiKeyRow>> {
        self.call(Method::EndKey, move |inner| inner.end_key(organization, id, end))
    }
}

impl Messages for FaultyStore {
    fn admit(&self, batch: Vec<Admit>) -> Answer<'_, Vec<Admission>> {
        self.call(Method::Admit, move |inner| inner.admit(batch))
    }

    fn settle(&self, batch: Vec<Outcome>) -> Answer<'_, Vec<Settled>> {
        self.call(Method::Settle, move |inner| inner.settle(batch))
    }

    fn resolve(&self, batch: Vec<Resolve>) -> Answer<'_, Vec<Settled>> {
        self.call(Method::Resolve, move |inner| inner.resolve(batch))
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
        self.call(Method::MoveLegs, move |inner| inner.move_legs(batch))
    }

    fn wallets(&self, organization: OrganizationId) -> Answer<'_, Vec<Wallet>> {
        self.call(Method::Wallets, move |inner| inner.wallets(organization))
    }

    fn balance(&self, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Balance>> {
        self.call(Method::Balance, move |inner| inner.balance(organization, mode))
    }

    fn statement(&self, organization: OrganizationId, mode: Mode, before: Option<i64>, limit: u32) -> Answer<'_, Vec<StatementLine>> {
        self.call(Method::Statement, move |inner| inner.statement(organization, mode, before, limit))
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
        self.call(Method::Record, move |inner| inner.record(intake))
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

    fn open_unknowns(&self, admitted_before: UnixMs, after: Option<MessageKey>, limit: u32) -> Answer<'_, Vec<OpenUnknown>> {
        self.call(Method::OpenUnknowns, move |inner| inner.open_unknowns(admitted_before, after, limit))
    }

    fn overdue(&self, admitted_before: UnixMs, delivered_before: UnixMs, limit: u32) -> Answer<'_, Vec<Overdue>> {
        self.call(Method::Overdue, move |inner| inner.overdue(admitted_before, delivered_before, limit))
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

#[cfg(test)]
mod tests {
    use turnpike_domain::ids::MessageCipher;
    use turnpike_domain::money::Currency;

    use super::*;
    use crate::sqlite::{Options, SqliteStore, Tuning};

    fn faulty() -> (Arc<FaultyStore>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (store, _recovery) = SqliteStore::open(Options {
            folder: folder.path().to_owned(),
            cipher: MessageCipher::new(&[7; 32]),
            now: UnixMs(1),
            fatal: Arc::new(|reason| panic!("the store died: {reason}")),
            tuning: Tuning::default(),
        })
        .expect("opened");
        (FaultyStore::new(Arc::new(store)), folder)
    }

    async fn create(store: &FaultyStore, number: u128) -> Result<bool, StoreError> {
        let new = NewOrganization {
            id: Uuid::from_u128(number),
            name: format!("organization {number}"),
            currency: Currency::USD,
            base_fee: Micros(1),
            factor_ppm: 1_000_000,
            fixed: Micros(0),
            at: UnixMs(1),
        };
        store.create_organization(new).await.map(|created| matches!(created, Created::New(_)))
    }

    async fn count(store: &FaultyStore) -> usize {
        store.organizations().await.expect("listed").len()
    }

    #[tokio::test]
    async fn without_a_script_everything_passes() {
        let (store, _folder) = faulty();
        assert!(create(&store, 1).await.expect("created"));
        assert_eq!((count(&store).await, store.calls(Method::CreateOrganization), store.calls(Method::Admit)), (1, 1, 0));
        store.ready().await.expect("ready");
    }

    #[tokio::test]
    async fn a_failure_before_the_call_leaves_nothing_and_one_after_the_commit_leaves_it_all() {
        let (store, _folder) = faulty();
        store.fail_next(Method::CreateOrganization, Fault::Unavailable);
        store.fail_next(Method::CreateOrganization, Fault::UnavailableAfterCommit);
        store.fail_next(Method::CreateOrganization, Fault::Corrupt);
        assert!(matches!(create(&store, 1).await, Err(StoreError::Unavailable { .. })));
        assert_eq!(count(&store).await, 0);
        assert!(matches!(create(&store, 2).await, Err(StoreError::Unavailable { .. })));
        assert_eq!(count(&store).await, 1);
        assert!(matches!(create(&store, 3).await, Err(StoreError::Corrupt { .. })));
        assert_eq!(count(&store).await, 1);
        assert!(create(&store, 4).await.expect("the script is at its end"));
        assert_eq!(store.calls(Method::CreateOrganization), 4);
    }

    #[tokio::test]
    async fn a_standing_fault_holds_until_healed_and_scripted_calls_go_first() {
        let (store, _folder) = faulty();
        store.fail_always(Method::CreateOrganization, Fault::Unavailable);
        store.pass_next(Method::CreateOrganization);
        assert!(create(&store, 1).await.expect("this one passes"));
        for number in 2..5 {
            create(&store, number).await.expect_err("all others fail");
        }
        store.heal();
        assert!(create(&store, 6).await.expect("well again"));
        assert_eq!(count(&store).await, 2);
    }

    #[tokio::test]
    async fn a_call_that_never_answers_did_or_did_not_happen_as_scripted() {
        let (store, _folder) = faulty();
        let wait = Duration::from_millis(300);
        store.fail_next(Method::CreateOrganization, Fault::NeverAnswers);
        tokio::time::timeout(wait, create(&store, 1)).await.expect_err("no answer");
        assert_eq!(count(&store).await, 0);
        store.fail_next(Method::CreateOrganization, Fault::NeverAnswersAfterCommit);
        tokio::time::timeout(wait, create(&store, 2)).await.expect_err("no answer");
        assert_eq!(count(&store).await, 1);
    }

    #[tokio::test]
    async fn a_delay_comes_before_the_call_and_a_late_answer_after_it() {
        let (store, _folder) = faulty();
        let (long, soon) = (Duration::from_secs(3_600), Duration::from_millis(300));
        store.fail_next(Method::CreateOrganization, Fault::Delay(long));
        tokio::time::timeout(soon, create(&store, 1)).await.expect_err("it waits");
        assert_eq!(count(&store).await, 0);
        store.fail_next(Method::CreateOrganization, Fault::LateAnswer(long));
        tokio::time::timeout(soon, create(&store, 2)).await.expect_err("its answer waits");
        assert_eq!(count(&store).await, 1);
        store.fail_next(Method::CreateOrganization, Fault::Delay(Duration::from_millis(1)));
        assert!(create(&store, 3).await.expect("late and well"));
    }

    #[tokio::test]
    async fn a_filter_that_says_yes_to_everything_is_only_a_filter() {
        let (store, _folder) = faulty();
        assert!(!store.may_know(&[1; 16]));
        store.filter_says_yes(true);
        assert!(store.may_know(&[1; 16]));
        let recalled = store.recall(OrganizationId(1), ApplicationId(1), [1; 16], None, UnixMs(2)).await.expect("answered");
        assert_eq!(recalled, Recalled::Nothing);
    }
}
