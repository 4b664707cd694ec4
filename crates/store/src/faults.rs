//! A store that fails on request: for tests of what stands above the seam.
//!
//! The engine must stay right when a commit is refused, when it happened but its answer was lost,
//! when it comes late and when it never comes. A real store does these things once a year; this
//! decorator does them at a scripted call, so that a test can name the moment. It is compiled only
//! with the feature `faults` (and for this crate's own tests), never into the program.

mod calls;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::{Answer, Store, StoreError};
use parking_lot::Mutex;
use turnpike_domain::ids::MessageKey;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call answers [`StoreError::Unavailable`] and nothing happened.
    Unavailable,
    /// The call happened, committed, and answers [`StoreError::Unavailable`]: the caller cannot know.
    UnavailableAfterCommit,
    /// The call answers [`StoreError::Corrupt`] and nothing happened.
    Corrupt,
    /// The call answers [`StoreError::Undone`] and nothing happened.
    Undone,
    /// The call begins after this long, then goes on as ever.
    Delay(Duration),
    /// The call happens at once; its answer comes this long after the commit.
    LateAnswer(Duration),
    /// The call never answers and nothing happened.
    NeverAnswers,
    /// The call happened, committed, and never answers.
    NeverAnswersAfterCommit,
    /// The call begins once the store is healed, then goes on as ever.
    Held,
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
    RotateKey,
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
    NotePoison,
    PoisonDue,
    GiveUpPoison,
    QuarantinedOne,
    OpenUnknowns,
    Overdue,
    ParkOverdue,
    IntakeWasDown,
    IntakeWorks,
    IntakeGaps,
    ForgetEventsBefore,
    NamesOfUser,
    EraseUser,
    KeptWebhooks,
    EraseWebhooks,
    AskErasure,
    NoteErasureNames,
    ErasureIsApplied,
    OpenErasures,
    Erasure,
    Erasures,
    FinishErasure,
    ForgetErasures,
    ErasureJournal,
    NewestRawWebhook,
    CutLog,
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
    /// Changes when the store is healed.
    healed: tokio::sync::watch::Sender<()>,
}

#[derive(Default)]
struct Script {
    /// One entry per coming call; `None` lets that call pass.
    coming: HashMap<Method, VecDeque<Option<Fault>>>,
    /// What happens to calls once nothing more is scripted for them.
    standing: HashMap<Method, Fault>,
    calls: HashMap<Method, u64>,
    lying_filter: bool,
    /// What every commit that writes something of it is undone for.
    broken: HashSet<Broken>,
}

/// What a broken row stands in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// Outcomes, resolutions and movements of this message.
    Message(MessageKey),
    /// The events of this notice.
    Notice(i64),
}

impl FaultyStore {
    /// A store that behaves as `inner` until told otherwise.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Arc<FaultyStore> {
        Arc::new(FaultyStore { inner, script: Mutex::default(), healed: tokio::sync::watch::Sender::new(()) })
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

    /// Every call that writes something of it is undone from now on, with whatever else it brings, as if
    /// a broken row stood in its way.
    pub fn break_row(&self, broken: Broken) {
        self.script.lock().broken.insert(broken);
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
        script.broken.clear();
        script.lying_filter = false;
        drop(script);
        self.healed.send_replace(());
    }

    /// How often `method` was called, failed calls included.
    #[must_use]
    pub fn calls(&self, method: Method) -> u64 {
        self.script.lock().calls.get(&method).copied().unwrap_or(0)
    }

    /// Every method that was called, and how often.
    #[must_use]
    pub fn called(&self) -> HashMap<Method, u64> {
        self.script.lock().calls.clone()
    }

    fn next_fault(&self, method: Method) -> Option<Fault> {
        let mut script = self.script.lock();
        *script.calls.entry(method).or_default() += 1;
        match script.coming.get_mut(&method).and_then(VecDeque::pop_front) {
            Some(scripted) => scripted,
            None => script.standing.get(&method).copied(),
        }
    }

    /// As [`FaultyStore::call`], for one that writes something of these.
    fn call_about<'a, T: Send + 'a>(
        &'a self,
        method: Method,
        mut about: impl Iterator<Item = Broken>,
        go: impl FnOnce(&'a dyn Store) -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        let meets_a_broken_row = {
            let script = self.script.lock();
            !script.broken.is_empty() && about.any(|one| script.broken.contains(&one))
        };
        match meets_a_broken_row {
            true => self.call(method, |_| Box::pin(async { Err(StoreError::Undone { reason: "a test broke this row".to_owned() }) })),
            false => self.call(method, go),
        }
    }

    /// Runs one call with the fault that the script has for it. The fault is drawn when the call is
    /// made, not when its future is first polled, so that a test's order is the order of its calls.
    fn call<'a, T: Send + 'a>(&'a self, method: Method, go: impl FnOnce(&'a dyn Store) -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        let inner = &*self.inner;
        // Subscribed before the script is asked: what is healed in between is not waited for.
        let mut healed = self.healed.subscribe();
        let Some(fault) = self.next_fault(method) else { return go(inner) };
        Box::pin(async move {
            match fault {
                Fault::Unavailable => Err(scripted()),
                Fault::UnavailableAfterCommit => {
                    go(inner).await?;
                    Err(scripted())
                }
                Fault::Corrupt => Err(StoreError::Corrupt { table: "scripted", column: "scripted", id: format!("{method:?}") }),
                Fault::Undone => Err(StoreError::Undone { reason: "a test asked for this".to_owned() }),
                Fault::Delay(long) => {
                    tokio::time::sleep(long).await;
                    go(inner).await
                }
                Fault::LateAnswer(long) => {
                    let answer = go(inner).await;
                    tokio::time::sleep(long).await;
                    answer
                }
                Fault::Held => {
                    // It cannot go: we borrow the store.
                    let _ = healed.changed().await;
                    go(inner).await
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

#[cfg(test)]
mod tests;
