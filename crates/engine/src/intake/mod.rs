//! Intake: what Meta reports, recorded once, for whom it concerns and nobody else.
//!
//! | step | what it refuses or decides |
//! | --- | --- |
//! | the signature over the raw bytes (`signers`) | who says so, and for which applications it counts |
//! | the payload, read into items (`domain::webhook::read`) | what cannot be read is kept and raised as an alarm |
//! | the way (`routes`) | number and account to applications; what fits nobody goes into quarantine |
//! | the event (`build`) | identity, user, window, status, the delivery's bytes, endpoints |
//! | one commit (`Store::record`) | all of it, or nothing |
//! | afterwards | deliveries and followers are woken, templates are read again |
//!
//! 200 follows the commit. What takes longer than we may is answered 503 and goes on: Meta sends it
//! again, and the repeat finds everything known. So the work belongs to a tracked task, like a send
//! from its commit on, though here nothing would be lost if it were dropped.

mod build;
mod callback;
mod effects;
mod erase;
mod health;
mod metrics;
mod poison;
mod quarantine;
mod routes;
mod signers;

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::Instant;
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::webhook::{self, EventKind};
use turnpike_store::StoreError;
use turnpike_store::endpoints::EndpointId;
use turnpike_store::events::{Intake, NewEvent, Quarantine, QuarantineReason, Recorded};
use turnpike_store::messages::Hash16;

use self::build::Built;
pub use self::erase::Erased;
pub(crate) use self::erase::{Forgotten, Says};
use self::poison::{Stopped, Taken, isolated, isolated_now};
pub use self::quarantine::{Payload, Replayed};
pub use self::signers::Signer;
use crate::Engine;
use crate::settings::Settings;
use crate::vault::Purpose;

/// What became of a POST of Meta's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenIn {
    /// Everything in it is on disk, or was before: 200.
    Durable,
    /// It is not signed by anybody whom we know: 401. Nothing was read or kept.
    NotSigned(NotSigned),
    /// It is not durable yet, or there is no room to begin: 503, and Meta sends it again.
    NotYet,
}

/// Why a request to the webhook was not believed; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotSigned {
    /// WH_001: a handshake without our words.
    VerifyToken,
    /// WH_002: no signature.
    NoSignature,
    /// WH_003: another signature than that of these bytes.
    WrongSignature,
}

impl From<webhook::NotSigned> for NotSigned {
    fn from(fault: webhook::NotSigned) -> NotSigned {
        match fault {
            webhook::NotSigned::Missing => NotSigned::NoSignature,
            webhook::NotSigned::Wrong => NotSigned::WrongSignature,
        }
    }
}

/// Webhooks in work at once, in KiB of their bodies: ten of the largest, or ten thousand of the
/// usual ones. What is in work stands in memory some three times over, and waits for one writer;
/// past this, more of it would only be answered later.
pub const IN_WORK_MAX_KIB: u32 = 32 * 1024;
/// Items between two moments in which other tasks get their turn: about a third of a millisecond.
const ITEMS_AT_ONCE: usize = 32;

/// What intake keeps in memory.
pub(crate) struct State {
    signers: signers::Signers,
    routes: routes::RouteBook,
    room: Arc<Semaphore>,
    followers: Mutex<HashMap<ApplicationId, watch::Sender<u64>>>,
    /// A notice may be waiting for its event.
    pub(crate) notice: Notify,
    /// Notices whose events the store would not take.
    pub(crate) refused_notices: crate::unwritten::SetAside<i64>,
    pub(crate) health: health::Health,
    /// How far the sweep came.
    pub(crate) sweep: crate::sweep::Progress,
    pub(crate) metrics: metrics::IntakeMetrics,
    /// Accounts whose templates are to be read again in a moment.
    rereading: Mutex<HashSet<String>>,
    /// What the addresses of received files begin with.
    media: String,
}

/// Where a received file is fetched, behind our own address.
const MEDIA_PATH: &str = "/v1/wa/media/";

impl State {
    pub(crate) fn new(settings: &Settings, metrics: &crate::metrics::Metrics) -> State {
        State {
            signers: signers::Signers::new(settings),
            routes: routes::RouteBook::default(),
            room: Arc::new(Semaphore::new(IN_WORK_MAX_KIB as usize)),
            followers: Mutex::default(),
            notice: Notify::new(),
            refused_notices: crate::unwritten::SetAside::default(),
            health: health::Health::default(),
            sweep: crate::sweep::Progress::default(),
            metrics: metrics::IntakeMetrics::registered(metrics),
            rereading: Mutex::default(),
            media: format!("{}{MEDIA_PATH}", settings.public_url),
        }
    }
}

impl Engine {
    /// Whether these are the words that one of our apps gives in a handshake.
    #[must_use]
    pub fn knows_verify_token(&self, verify_token: &[u8]) -> bool {
        self.intake.signers.knows_verify_token(verify_token)
    }

    /// Counts a request to the webhook that was not believed.
    pub fn count_unsigned(&self, fault: NotSigned) {
        self.intake.metrics.refused(fault);
    }

    /// Takes one POST in. `signatures` are all values of `X-Hub-Signature-256` that it has; `body`
    /// is what it brought, byte for byte.
    pub async fn take_in<'h>(self: &Arc<Self>, signatures: impl IntoIterator<Item = &'h [u8]>, body: Bytes) -> TakenIn {
        let begun = Instant::now();
        let room = u32::try_from(body.len() / 1024 + 1).unwrap_or(u32::MAX).min(IN_WORK_MAX_KIB);
        let Ok(room) = Arc::clone(&self.intake.room).try_acquire_many_owned(room) else {
            self.intake.metrics.not_yet.inc();
            self.intake.health.failed(self.clock.now());
            return TakenIn::NotYet;
        };
        let signer = match self.intake.signers.verify(signatures, &body) {
            Ok(signer) => signer,
            Err(fault) => return TakenIn::NotSigned(fault.into()),
        };
        let (done, durable) = oneshot::channel();
        let engine = Arc::clone(self);
        self.tasks.spawn(async move { engine.carry_in(signer, body, room, done).await });
        match tokio::time::timeout_at(begun + self.settings.intake_within, durable).await {
            Ok(Ok(())) => {
                self.intake.metrics.seconds.observe(begun.elapsed().as_secs_f64());
                TakenIn::Durable
            }
            // Too slow, or the store said no, or a bug: all the same to Meta.
            Err(_) | Ok(Err(_)) => {
                self.intake.metrics.not_yet.inc();
                self.intake.health.failed(self.clock.now());
                TakenIn::NotYet
            }
        }
    }

    /// Records a POST and says so; then does what follows from it.
    async fn carry_in(self: Arc<Self>, signer: Signer, body: Bytes, room: OwnedSemaphorePermit, done: oneshot::Sender<()>) {
        let Taken { after, poisoned, .. } = match self.take_body(&signer, &body, Kept::Raw).await {
            Ok(taken) => taken,
            Err(error) => {
                return tracing::error!(error = %error, bytes = body.len(), "recording a webhook of Meta's; Meta sends it again");
            }
        };
        drop(room);
        match poisoned {
            Ok(_) => {
                self.intake_worked();
                // Who waited has its answer by then if it is too late.
                let _ = done.send(());
            }
            Err(error) => {
                tracing::error!(error = %error, bytes = body.len(), "keeping what could not be taken in; Meta sends it again");
            }
        }
        self.follow_up(after);
    }

    /// Takes a POST apart, into events, what nobody here can have, and what something of ours stands in
    /// the way of ([`poison`]). Only the store's silence is an error: the rest is kept as it is.
    async fn read_post(self: &Arc<Self>, signer: &Signer, body: &[u8], kept: Kept) -> Result<Read, StoreError> {
        let now = self.clock.now();
        let raw = match kept {
            Kept::Raw if self.settings.retention.raw_days > 0 => Some(self.seal_webhook(body)),
            _ => None,
        };
        let mut read = Read { intake: Intake { received_at: now, raw, ..Intake::default() }, after: After::default(), poison: Vec::new() };
        let items = match isolated_now(|| webhook::read(body)) {
            Ok(Ok(items)) => items,
            Err(Stopped::InTheWay(fault)) => {
                read.poison.push((self.whole(signer, body, QuarantineReason::Poison), fault));
                return Ok(read);
            }
            Err(Stopped::Store(error)) => return Err(error),
            Ok(Err(fault)) => {
                tracing::error!(code = "WH_004", bytes = body.len(), app = signer.app_id(), fault = %fault, "Meta signed what this gateway cannot read; it is in quarantine");
                read.intake.quarantine.push(self.whole(signer, body, QuarantineReason::Unreadable));
                return Ok(read);
            }
        };
        let routes = self.intake.routes.of(&self.directory);
        let restoring = self.restoring(&items).await?;
        for (count, item) in items.iter().enumerate() {
            if count % ITEMS_AT_ONCE == ITEMS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            match &item.view {
                webhook::View::Unreadable(webhook::BUG_MET) => {
                    read.poison.push((self.poison_of(signer, item, body), webhook::BUG_MET.to_owned()));
                    continue;
                }
                webhook::View::Unreadable(problem) => {
                    tracing::error!(code = "WH_004", field = %item.field, app = signer.app_id(), problem, "Meta signed a part that this gateway cannot read; it is in quarantine");
                    read.intake.quarantine.push(self.quarantine_of(signer, item, QuarantineReason::Unreadable));
                    continue;
                }
                _ => {}
            }
            match routes.destinations(signer, item) {
                Ok(destinations) => {
                    if let Some(fault) = self.read_item(&mut read, signer, item, &destinations, restoring.as_ref()).await? {
                        read.poison.push((self.poison_of(signer, item, body), fault));
                    }
                }
                Err(reason) => read.intake.quarantine.push(self.quarantine_of(signer, item, reason)),
            }
        }
        Ok(read)
    }

    /// The events of a part, one for each application that it concerns. What something stands in the way
    /// of is told last; the others' are in `read`.
    async fn read_item(
        &self,
        read: &mut Read,
        signer: &Signer,
        item: &webhook::Item<'_>,
        destinations: &[routes::Destination],
        restoring: Option<&callback::Restoring>,
    ) -> Result<Option<String>, StoreError> {
        let mut in_the_way = None;
        for destination in destinations {
            let building = self.build_one(destination, signer, item, restoring, read.intake.received_at);
            let Built { event, moved } = match isolated(building).await {
                Ok(built) => built,
                Err(Stopped::InTheWay(fault)) => {
                    in_the_way = Some(fault);
                    continue;
                }
                Err(Stopped::Store(error)) => return Err(error),
            };
            read.intake.events.push(event);
            read.after.moved.extend(moved);
            self.note_effects(&mut read.after, destination, item);
        }
        Ok(in_the_way)
    }

    /// One commit, and what it made known; last the identities of events that something stood in the
    /// way of, with what that is.
    async fn record_read(&self, read: Read) -> Result<(After, Vec<Recorded>, Vec<(Hash16, String)>), StoreError> {
        let Read { intake, mut after, .. } = read;
        for part in &intake.quarantine {
            self.intake.metrics.quarantined(part.reason);
        }
        if intake.events.is_empty() && intake.quarantine.is_empty() && intake.raw.is_none() {
            return Ok((after, Vec::new(), Vec::new()));
        }
        let known = Known::of(&intake.events);
        let received_at = intake.received_at;
        let recorded = self.store.record(intake).await?;
        // Also where the event is a repeat: the first time may have ended between the two commits.
        let mut broken = Vec::new();
        for moved in std::mem::take(&mut after.moved) {
            let identity = moved.identity;
            match isolated(self.move_window(moved)).await {
                Ok(()) => {}
                Err(Stopped::InTheWay(fault)) => broken.push((identity, fault)),
                Err(Stopped::Store(error)) => return Err(error),
            }
        }
        for (event, became) in known.into_iter().zip(&recorded) {
            match became {
                Recorded::New { status, .. } => {
                    self.intake.metrics.recorded(event.kind, event.is_status.then(|| received_at.0 - event.at_ms));
                    after.hints.extend(event.endpoints);
                    after.changed.insert(event.application);
                    after.resolved |= status.as_ref().is_some_and(|effect| effect.resolved);
                }
                Recorded::Duplicate => {
                    self.intake.metrics.duplicates.inc();
                }
                // Deleted since the directory was read; its owner is gone with it.
                Recorded::NotFound => {}
                Recorded::Broken { fault } => broken.push((event.identity, fault.clone())),
            }
        }
        Ok((after, recorded, broken))
    }

    /// Wakes who waits for what was recorded.
    fn follow_up(self: &Arc<Self>, after: After) {
        if !after.hints.is_empty() {
            let endpoints: Vec<EndpointId> = after.hints.into_iter().collect();
            self.delivery_hint(&endpoints);
        }
        for application in after.changed {
            self.tell_followers(application);
        }
        if after.resolved {
            self.tell_soon();
        }
        for (application, waba_id) in after.reread {
            self.reread_templates(application, waba_id);
        }
    }

    /// Records events of our own (notices, a test event) as those of Meta's are: one commit, then
    /// deliveries and followers are woken.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn record_events(self: &Arc<Self>, events: Vec<NewEvent>) -> Result<Vec<Recorded>, StoreError> {
        let intake = Intake { received_at: self.clock.now(), events, ..Intake::default() };
        let read = Read { intake, after: After::default(), poison: Vec::new() };
        let (after, recorded, _) = self.record_read(read).await?;
        self.follow_up(after);
        Ok(recorded)
    }

    /// Changes whenever an event of the application was recorded: what a stream of events waits on.
    /// It says that there is something, not what: [`turnpike_store::events::Events::events_after`] does.
    #[must_use]
    pub fn events_changed(&self, application: ApplicationId) -> watch::Receiver<u64> {
        let mut followers = self.intake.followers.lock();
        followers.retain(|_, follower| !follower.is_closed());
        followers.entry(application).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    fn tell_followers(&self, application: ApplicationId) {
        if let Some(follower) = self.intake.followers.lock().get(&application) {
            follower.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Seals the bytes of an event's delivery, for its organization and application.
    #[must_use]
    pub fn seal_event_body(&self, organization: OrganizationId, application: ApplicationId, body: &[u8]) -> Vec<u8> {
        self.vault.seal(Purpose::Event, organization, &application.0.to_be_bytes(), body, &*self.entropy)
    }

    /// Opens what [`Engine::seal_event_body`] sealed; `None` where it was sealed for somebody else.
    #[must_use]
    pub fn open_event_body(&self, organization: OrganizationId, application: ApplicationId, sealed: &[u8]) -> Option<Vec<u8>> {
        self.vault.open(Purpose::Event, organization, &application.0.to_be_bytes(), sealed).ok()
    }
}

/// Whether a POST is kept as it came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// As the settings say.
    Raw,
    /// It is kept already.
    Already,
}

/// A POST, taken apart.
struct Read {
    intake: Intake,
    after: After,
    /// What something of ours stands in the way of, and what that is.
    poison: Vec<(Quarantine, String)>,
}

/// What follows from a POST beside its commit.
#[derive(Default)]
struct After {
    /// Windows that go over to a user's new name.
    moved: Vec<build::Moved>,
    /// Endpoints that have something waiting.
    hints: HashSet<EndpointId>,
    /// Applications with new events.
    changed: HashSet<ApplicationId>,
    /// Whether an unknown outcome was decided.
    resolved: bool,
    /// Accounts whose templates changed, each with an application that may ask Meta.
    reread: HashSet<(ApplicationId, String)>,
}

impl After {
    /// What follows from both.
    fn join(&mut self, other: After) {
        let After { moved, hints, changed, resolved, reread } = other;
        self.moved.extend(moved);
        self.hints.extend(hints);
        self.changed.extend(changed);
        self.resolved |= resolved;
        self.reread.extend(reread);
    }
}

/// What is still to be known of an event once it is the store's.
struct Known {
    identity: Hash16,
    application: ApplicationId,
    kind: EventKind,
    endpoints: Vec<EndpointId>,
    is_status: bool,
    at_ms: i64,
}

impl Known {
    fn of(events: &[NewEvent]) -> Vec<Known> {
        events
            .iter()
            .map(|event| Known {
                identity: event.identity,
                application: event.application,
                kind: event.kind,
                endpoints: event.endpoints.clone(),
                is_status: event.status.is_some(),
                at_ms: event.at.0,
            })
            .collect()
    }
}

impl Engine {
    fn seal_webhook(&self, body: &[u8]) -> Vec<u8> {
        self.vault.seal(Purpose::Webhook, NOBODY, WEBHOOK_ROW, body, &*self.entropy)
    }

    fn open_webhook(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        self.vault.open(Purpose::Webhook, NOBODY, WEBHOOK_ROW, sealed).ok()
    }

    fn quarantine_identity(&self, reason: QuarantineReason, body: &[u8]) -> Hash16 {
        self.vault.event().hash(&[b"quarantine", &[reason as u8], body])
    }

    /// A POST, whole.
    fn whole(&self, signer: &Signer, body: &[u8], reason: QuarantineReason) -> Quarantine {
        Quarantine {
            reason,
            meta_app_id: Some(signer.app_id().to_owned()),
            waba_id: None,
            phone_number_id: None,
            field: None,
            identity: self.quarantine_identity(reason, body),
            body: self.seal_webhook(body),
        }
    }

    fn quarantine_of(&self, signer: &Signer, item: &webhook::Item<'_>, reason: QuarantineReason) -> Quarantine {
        // As it came: our own token must still be in it when it is taken in again.
        let body = item.body(&webhook::BodyChanges::default());
        Quarantine {
            reason,
            meta_app_id: Some(signer.app_id().to_owned()),
            waba_id: item.waba_id.as_deref().map(shortened),
            phone_number_id: item.phone_number_id.as_deref().map(shortened),
            field: Some(shortened(&item.field)),
            identity: self.quarantine_identity(reason, &body),
            body: self.seal_webhook(&body),
        }
    }
}

/// Webhooks as they came and what is in quarantine belong to no organization (yet).
const NOBODY: OrganizationId = OrganizationId(0);
const WEBHOOK_ROW: &[u8] = b"webhook";

/// Meta's ids have some 20 characters and its fields 40; a longer text is nobody's id and is cut
/// for the list (the payload itself is whole).
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
