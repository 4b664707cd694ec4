//! Users who are to be forgotten, from being asked to being done.
//!
//! An erasure is remembered before anything is emptied (`turnpike_store::erasures`), and is carried out
//! beside sends: names are followed, rows emptied and kept webhooks opened a slice at a time, the writer
//! being free in between. It is *done* when no page of the database's files holds anything of the user
//! any more, and until then it is begun anew by every start: each step finds only what is left.
//!
//! What a restored backup brought back is owed ([`turnpike_store::erasures::Erasure::owed`]). The start
//! empties the rows of all such users before anything of theirs can be shown or delivered; the rest,
//! which needs every kept webhook to be opened, goes on like any other erasure.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::time::DAY_MS;
use turnpike_store::StoreError;
use turnpike_store::erasures::{CopyStanding, Erasure, ErasureDone, JournalStanding, NewErasure};
use turnpike_store::events::KeptWebhook;
use turnpike_store::messages::Hash16;
use turnpike_store::organizations::Organization;
use uuid::Uuid;

use crate::Engine;
use crate::control::ControlFault;
use crate::intake::{Erased, Forgotten, Says};
use crate::shelter::{or_unavailable, sheltered};
use crate::vault::Purpose;

/// Kept webhooks read at a time.
const PAGE: u32 = 100;
/// Erasures that share one pass over all kept webhooks: more would make each webhook's turn long.
const AT_ONCE: usize = 16;
/// Erasures that a start or a pass looks at: they come from people, one by one.
const OPEN_MAX: u32 = 10_000;
/// After each page of webhooks nothing is done for as long as the page took, at most so long: sends
/// have at least half of a processor that both want.
const REST_MAX: Duration = Duration::from_millis(20);
/// Between looks at what is left to do: an erasure wakes the worker, a failure waits for this.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A reader that keeps the log from being cut is a backup, mostly, and has an end.
const CUT_AGAIN: Duration = Duration::from_secs(2);
/// Erasures that a list shows.
const LISTED_MAX: u32 = 500;
/// Within this an erasure is done, or something is wrong (contract §10).
const DONE_WITHIN_MS: i64 = 72 * 3_600_000;

/// What the work is called where it meets a bug.
const ERASING: &str = "erasing users";

/// Who else keeps something of users: the built-in simulator, which plays Meta for sandbox keys.
pub trait Elsewhere: Send + Sync {
    /// Forgets the user whom this name names. The error is a sentence for the log.
    fn forget(&self, name: String) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// What is at work.
pub(crate) struct Erasures {
    /// Wakes the worker.
    asked: Notify,
    /// Whether there is a worker: a command that works on the folder itself has none.
    is_run: AtomicBool,
    /// One pass at a time.
    alone: tokio::sync::Mutex<()>,
    /// Changes whenever one is done.
    ended: watch::Sender<u64>,
    elsewhere: OnceLock<Arc<dyn Elsewhere>>,
}

impl Default for Erasures {
    fn default() -> Erasures {
        Erasures {
            asked: Notify::new(),
            is_run: AtomicBool::new(false),
            alone: tokio::sync::Mutex::new(()),
            ended: watch::channel(0).0,
            elsewhere: OnceLock::new(),
        }
    }
}

/// An erasure as its operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErasureView {
    /// Its id.
    pub id: Uuid,
    /// How far it is.
    pub state: ErasureState,
    /// Whether a restored backup brought the user back, so that it is applied again.
    pub again: bool,
    /// When it was asked for.
    pub asked_at: String,
    /// When it was done.
    pub done_at: Option<String>,
    /// What it came to; zeros until it is done.
    #[serde(flatten)]
    pub erased: Erased,
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ErasureState {
    /// Remembered, and at work.
    Pending,
    /// Nothing of the user is left.
    Done,
}

impl ErasureView {
    fn of(erasure: &Erasure) -> ErasureView {
        let erased = erasure.done.map_or_else(Erased::default, |done| Erased {
            erased: done.erased,
            names: usize::try_from(done.names).unwrap_or(usize::MAX),
            webhooks: done.webhooks,
            unreadable: done.unreadable,
        });
        ErasureView {
            id: erasure.id,
            state: if erasure.done.is_some() { ErasureState::Done } else { ErasureState::Pending },
            again: erasure.owed,
            asked_at: erasure.asked_at.to_rfc3339(),
            done_at: erasure.done.map(|done| done.at.to_rfc3339()),
            erased,
        }
    }
}

/// How erasures stand in all, for who looks after the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasuresStanding {
    /// Not done yet.
    pub open: usize,
    /// Not done though they were asked for more than 72 hours ago.
    pub late: usize,
    /// What cannot be opened with this master key: lines of the journal, erasures.
    pub unreadable: usize,
    /// Whether the journal's second copy could not be written.
    pub copy_is_behind: bool,
}

/// An erasure whose name could be opened.
struct Opened {
    id: Uuid,
    forgotten: Forgotten,
    /// The names that are remembered of it, sorted.
    noted: Option<Vec<Hash16>>,
    is_done: bool,
}

impl Engine {
    /// Erases a user of an organization, and returns once that is done: what a program without a
    /// worker, or with patience, calls.
    ///
    /// # Errors
    /// A text that can be no user's name, the store's silence.
    pub async fn erase_user(self: &Arc<Self>, organization: &Organization, user: &str) -> Result<Erased, ControlFault> {
        let id = self.ask_erasure(organization, user).await?;
        self.carry_out_erasures().await?;
        let view = self.erasure(organization, id).await?;
        match view.state {
            ErasureState::Done => Ok(view.erased),
            ErasureState::Pending => Err(StoreError::unavailable("the erasure is remembered and not done yet").into()),
        }
    }

    /// Remembers that a user of an organization is to be erased: bodies of events and webhooks,
    /// contents and answers of messages, windows and wishes. `user` is a phone number (digits, a `+` in
    /// front is taken off) or a BSUID; every other name that what is kept knows the same user by is
    /// erased with it. From here on it happens, whatever becomes of this process.
    ///
    /// # Errors
    /// A text that can be no user's name, the store's silence.
    pub async fn ask_erasure(&self, organization: &Organization, user: &str) -> Result<Uuid, ControlFault> {
        let name = user.trim();
        let name = name.strip_prefix('+').unwrap_or(name);
        let is_name = !name.is_empty() && name.len() <= 200 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if !is_name {
            return Err(ControlFault::field(
                "user",
                "must be a phone number in digits with its country code, or a user id such as US.1349",
            ));
        }
        let at = self.clock.now();
        let id = self.uuid(at);
        let sealed = self.seal_erasure(id, organization.id, name.as_bytes());
        self.store.ask_erasure(NewErasure { id, organization: organization.id, at, sealed }).await?;
        Ok(id)
    }

    /// An erasure of an organization, once it is done or `patience` is over. Without a worker it is
    /// carried out here, however long that takes.
    ///
    /// # Errors
    /// Not found; the store's silence.
    pub async fn erasure_within(
        self: &Arc<Self>,
        organization: &Organization,
        id: Uuid,
        patience: Duration,
    ) -> Result<ErasureView, ControlFault> {
        if !self.erasures.is_run.load(Ordering::SeqCst) {
            self.carry_out_erasures().await?;
            return self.erasure(organization, id).await;
        }
        let mut ended = self.erasures.ended.subscribe();
        let until = Instant::now() + patience;
        self.erasures.asked.notify_one();
        loop {
            let view = self.erasure(organization, id).await?;
            if view.state == ErasureState::Done || tokio::time::timeout_at(until, ended.changed()).await.is_err() {
                return Ok(view);
            }
        }
    }

    /// An erasure of an organization as it stands.
    ///
    /// # Errors
    /// Not found, also where it is another organization's; the store's silence.
    pub async fn erasure(&self, organization: &Organization, id: Uuid) -> Result<ErasureView, ControlFault> {
        let found = self.store.erasure(organization.id, id).await?;
        found.as_ref().map(ErasureView::of).ok_or(ControlFault::NotFound("erasure"))
    }

    /// The newest erasures of an organization.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn erasures_of(&self, organization: &Organization) -> Result<Vec<ErasureView>, ControlFault> {
        Ok(self.store.erasures(organization.id, LISTED_MAX).await?.iter().map(ErasureView::of).collect())
    }

    /// How erasures stand.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn erasures_standing(&self) -> Result<ErasuresStanding, StoreError> {
        let JournalStanding { unreadable, copy, .. } = self.store.erasure_journal().await?;
        let open = self.store.open_erasures(OPEN_MAX).await?;
        let late = self.clock.now().plus_ms(-DONE_WITHIN_MS);
        let sealed = open.iter().filter(|erasure| self.open_erasure(erasure).is_none()).count();
        Ok(ErasuresStanding {
            open: open.len(),
            late: open.iter().filter(|erasure| erasure.asked_at < late).count(),
            unreadable: unreadable + sealed,
            copy_is_behind: copy == CopyStanding::Behind,
        })
    }

    /// Names who else keeps something of users. The first call counts.
    pub fn keeps_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) {
        // A second one would be a bug of the composition, and the first is in place.
        let _ = self.erasures.elsewhere.set(elsewhere);
    }

    /// What a start does before anything else can: empties the rows of users who were erased, and whom
    /// a restored backup brought back.
    pub(crate) async fn apply_owed_erasures(&self) -> Result<(), StoreError> {
        let open = self.store.open_erasures(OPEN_MAX).await?;
        let owed: Vec<&Erasure> = open.iter().filter(|erasure| erasure.owed).collect();
        if owed.is_empty() {
            return Ok(());
        }
        self.warn_of_age().await?;
        let mut by_organization: HashMap<OrganizationId, HashSet<Hash16>> = HashMap::new();
        let mut applied = Vec::new();
        for erasure in owed {
            let Some(opened) = self.open_erasure(erasure) else {
                tracing::error!(erasure.id = %erasure.id, "an erasure cannot be opened with this master key, so its user is not erased again");
                continue;
            };
            applied.push(opened.id);
            if let Some(organization) = opened.forgotten.organization {
                by_organization.entry(organization).or_default().extend(opened.forgotten.names);
            }
        }
        let mut emptied = 0;
        for (organization, names) in by_organization {
            emptied += self.store.erase_user(organization, names.into_iter().collect()).await?;
        }
        tracing::warn!(
            erasures = applied.len(),
            records = emptied,
            "users who were erased after this database was backed up are erased again; kept webhooks follow beside sends"
        );
        self.store.erasure_is_applied(applied).await
    }

    /// A database older than the journal's memory may hold users whose erasure is remembered no more.
    async fn warn_of_age(&self) -> Result<(), StoreError> {
        let days = i64::from(self.settings.retention.backup_days);
        let now = self.clock.now();
        let (last, _) = self.store.intake_gaps(now).await?;
        if last.is_some_and(|last| last < now.plus_ms(-days * DAY_MS)) {
            tracing::error!(
                days,
                "this database last worked longer ago than erasures are remembered (retention.backups_days): users erased before that may be back"
            );
        }
        Ok(())
    }

    /// Begins to carry erasures out, now and whenever one is asked for.
    pub(crate) fn run_erasures(self: &Arc<Self>) {
        self.erasures.is_run.store(true, Ordering::SeqCst);
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                let pass = async {
                    if let Err(error) = or_unavailable(ERASING, engine.carry_out_erasures()).await {
                        tracing::warn!(error = %error, "erasing users; it is tried again");
                    }
                    if let Err(error) = or_unavailable(ERASING, engine.forget_old_erasures()).await {
                        tracing::warn!(error = %error, "forgetting erasures that no backup is old enough for; it is tried again");
                    }
                    let _ = tokio::time::timeout(LOOK_EVERY, engine.erasures.asked.notified()).await;
                };
                // It may be cut short anywhere: what is not done is begun anew by the next start.
                if engine.stopping().run_until_cancelled(pass).await.is_none() {
                    return;
                }
            }
        });
    }

    async fn forget_old_erasures(&self) -> Result<(), StoreError> {
        let days = i64::from(self.settings.retention.backup_days);
        self.store.forget_erasures(self.clock.now().plus_ms(-days * DAY_MS)).await.map(drop)
    }

    /// Carries out every erasure that is not done. Returns how many were.
    ///
    /// # Errors
    /// The store's silence, and what stood in the way of one of them: the others are done all the same.
    pub async fn carry_out_erasures(self: &Arc<Self>) -> Result<usize, StoreError> {
        let _alone = self.erasures.alone.lock().await;
        let open = self.store.open_erasures(OPEN_MAX).await?;
        let mut opened: Vec<Opened> = open.iter().filter_map(|erasure| self.open_erasure(erasure)).collect();
        let (mut done, mut stopped) = (0, Ok(()));
        for some in opened.chunks_mut(AT_ONCE) {
            match self.carry_out_sheltered(some).await {
                Err(error) if error.is_in_the_way() => {}
                carried => carried?,
            }
            // Each alone, so that what stands in one's way is that one's.
            for one in some.chunks_mut(1).filter(|one| !one[0].is_done) {
                match self.carry_out_sheltered(one).await {
                    Err(error) if error.is_in_the_way() => stopped = Err(error),
                    carried => carried?,
                }
            }
            done += some.iter().filter(|one| one.is_done).count();
        }
        stopped.map(|()| done)
    }

    /// A bug stands in the way of these, and of nobody else.
    async fn carry_out_sheltered(&self, some: &mut [Opened]) -> Result<(), StoreError> {
        let met = || Err(StoreError::Undone { reason: "a bug was met".to_owned() });
        sheltered(ERASING, self.carry_out(some)).await.unwrap_or_else(met)
    }

    async fn carry_out(&self, some: &mut [Opened]) -> Result<(), StoreError> {
        let mut came_to = vec![ErasureDone::default(); some.len()];
        for (one, done) in some.iter_mut().zip(&mut came_to) {
            self.follow_names(one).await?;
            done.names = one.forgotten.names.len() as u64;
            if let Some(organization) = one.forgotten.organization {
                done.erased = self.store.erase_user(organization, one.forgotten.names.iter().copied().collect()).await?;
            }
        }
        self.erase_kept_webhooks(&*some, &mut came_to).await?;
        // That took its time: what came of a webhook meanwhile (one out of quarantine, say) goes too.
        for (one, done) in some.iter().zip(&mut came_to) {
            if let Some(organization) = one.forgotten.organization {
                done.erased += self.store.erase_user(organization, one.forgotten.names.iter().copied().collect()).await?;
            }
        }
        if let Some(elsewhere) = self.erasures.elsewhere.get() {
            for one in &*some {
                elsewhere.forget(one.forgotten.name.clone()).await.map_err(StoreError::unavailable)?;
            }
        }
        while !self.store.cut_log().await? {
            tracing::warn!(
                "users are erased, and readers keep the log from being cut; it is tried again, and until then its old pages are there"
            );
            tokio::time::sleep(CUT_AGAIN).await;
        }
        for (one, mut done) in some.iter_mut().zip(came_to) {
            done.at = self.clock.now();
            self.store.finish_erasure(one.id, done).await?;
            one.is_done = true;
            self.erasures.ended.send_modify(|count| *count = count.wrapping_add(1));
            tracing::info!(erasure.id = %one.id, records = done.erased, names = done.names, unreadable = done.unreadable, "erased a user");
        }
        Ok(())
    }

    /// Finds every name of the user and remembers them before anything is emptied: what joined them
    /// is gone afterwards, and an older copy may never have had it.
    async fn follow_names(&self, one: &mut Opened) -> Result<(), StoreError> {
        if let Some(organization) = one.forgotten.organization {
            let known = one.forgotten.names.iter().copied().collect();
            one.forgotten.names.extend(self.store.names_of_user(organization, known).await?);
        }
        let mut names: Vec<Hash16> = one.forgotten.names.iter().copied().collect();
        names.sort_unstable();
        if one.noted.as_ref() != Some(&names) {
            let sealed = self.seal_erasure(one.id, one.forgotten.organization_id, &names.concat());
            self.store.note_erasure_names(one.id, sealed).await?;
        }
        Ok(())
    }

    async fn erase_kept_webhooks(&self, some: &[Opened], came_to: &mut [ErasureDone]) -> Result<(), StoreError> {
        // What comes in from here on is new, and there may be more of it than this pass could follow.
        let newest = self.store.newest_raw_webhook().await?;
        let is_of_the_pass = |place: KeptWebhook| matches!(place, KeptWebhook::Quarantined(_)) || Some(place) <= newest;
        let mut after = None;
        loop {
            let begun = Instant::now();
            let mut page = self.store.kept_webhooks(after, PAGE).await?;
            page.retain(|(place, _)| is_of_the_pass(*place));
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            let mut about = Vec::new();
            for (place, sealed) in &page {
                let forgotten: Vec<&Forgotten> = some.iter().map(|one| &one.forgotten).collect();
                let said = self.says_of(&forgotten, *place, sealed);
                for (says, done) in said.iter().zip(&mut *came_to) {
                    match says {
                        Says::Something => {
                            done.webhooks += 1;
                            done.erased += 1;
                        }
                        // A raw one that cannot be read stands in quarantine, too, and is counted there.
                        Says::Unreadable if matches!(place, KeptWebhook::Quarantined(_)) => done.unreadable += 1,
                        Says::Unreadable | Says::Nothing => {}
                    }
                }
                if said.contains(&Says::Something) {
                    about.push(*place);
                }
                // Each may have megabytes.
                tokio::task::yield_now().await;
            }
            if !about.is_empty() {
                self.store.erase_webhooks(about).await?;
            }
            if self.erasures.is_run.load(Ordering::Relaxed) {
                tokio::time::sleep(begun.elapsed().min(REST_MAX)).await;
            }
        }
    }

    /// `None` where another master key sealed it.
    fn open_erasure(&self, erasure: &Erasure) -> Option<Opened> {
        let name = self.open_sealed_erasure(erasure, &erasure.sealed)?;
        let name = String::from_utf8(name).ok()?;
        let noted = erasure.names.as_ref().and_then(|sealed| self.open_sealed_erasure(erasure, sealed));
        let noted: Option<Vec<Hash16>> = noted.map(|names| names.chunks_exact(16).filter_map(|name| name.try_into().ok()).collect());
        let mut names: HashSet<Hash16> = noted.iter().flatten().copied().collect();
        names.insert(self.user_hash(&name));
        let state = self.directory.snapshot();
        let organization = state.organizations.values().find(|known| known.id == erasure.organization).map(|known| known.key);
        let forgotten = Forgotten { organization, organization_id: erasure.organization, name, names };
        Some(Opened { id: erasure.id, forgotten, noted, is_done: false })
    }

    fn seal_erasure(&self, id: Uuid, organization: Uuid, plain: &[u8]) -> Vec<u8> {
        self.vault.seal(Purpose::Erasure, NOBODY, &row_of(id, organization), plain, &*self.entropy)
    }

    fn open_sealed_erasure(&self, erasure: &Erasure, sealed: &[u8]) -> Option<Vec<u8>> {
        self.vault.open(Purpose::Erasure, NOBODY, &row_of(erasure.id, erasure.organization), sealed).ok()
    }
}

/// Sealed for no organization's key, which a restored database may have given to another; its public
/// id is bound in instead.
const NOBODY: OrganizationId = OrganizationId(0);

fn row_of(id: Uuid, organization: Uuid) -> Vec<u8> {
    [id.as_bytes().as_slice(), organization.as_bytes()].concat()
}
