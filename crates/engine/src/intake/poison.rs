//! Poison: a part of a webhook that can be read and has an owner, and that something of ours stands in
//! the way of: rows that cannot be read, or a bug (reliability §c3).
//!
//! It holds up nobody and is not lost. The rest of its POST is committed as ever, then the part is
//! kept, whole and sealed, and Meta gets its 200: only afterwards, so that a crash in between is
//! answered by nothing and repeated by Meta, to whom the rest is then known. From there on nobody
//! depends on Meta: the sweep tries the part again, five times in all with Meta's own repeats counted,
//! and what fails five times is an alarm, and waits for a person.
//!
//! A bug is caught around the one part that meets it. That is sound because what runs there borrows
//! the POST, the directory and the vault and hands back a value: nothing that outlives it is half
//! changed. What it may have been holding are locks that know no poisoning and guard nothing between
//! two writes.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt as _;
use hashbrown::HashSet;
use turnpike_domain::webhook::{self, Item};
use turnpike_store::StoreError;
use turnpike_store::events::{Intake, Poisoned, Quarantine, QuarantineReason, Recorded};
use turnpike_store::messages::Hash16;

use super::callback::Restoring;
use super::{After, Kept, Read, Signer};
use crate::Engine;
use crate::control::ControlFault;

/// Parts tried again by one pass of the sweep; the rest waits for the next.
const AGAIN_AT_ONCE: u32 = 100;

/// What a bug is called where its own words may hold what it met.
const BUG: &str = "a bug of the gateway's was met while this was taken in";

/// Why something came to nothing.
pub(super) enum Stopped {
    /// The store does not answer: it is nobody's own trouble.
    Store(StoreError),
    /// Something stands in the way of this one, and will again: in our words.
    InTheWay(String),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        if error.is_in_the_way() { Stopped::InTheWay(error.to_string()) } else { Stopped::Store(error) }
    }
}

/// Does it, and survives a bug in it.
pub(super) async fn isolated<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Stopped> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => done.map_err(Stopped::from),
        Err(_bug) => Err(Stopped::InTheWay(BUG.to_owned())),
    }
}

/// As [`isolated`], for what waits for nothing.
pub(super) fn isolated_now<T>(work: impl FnOnce() -> T) -> Result<T, Stopped> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_bug| Stopped::InTheWay(BUG.to_owned()))
}

/// A POST, taken in.
pub(super) struct Taken {
    pub(super) after: After,
    pub(super) recorded: Vec<Recorded>,
    /// Parts that are nobody's or cannot be read.
    pub(super) quarantined: usize,
    /// Parts that something stands in the way of; or why they could not be kept.
    pub(super) poisoned: Result<Vec<Poisoned>, StoreError>,
}

impl Engine {
    /// Takes a POST apart, records what can be, keeps what cannot.
    ///
    /// # Errors
    /// The store's silence; then nothing of it was recorded.
    pub(super) async fn take_body(self: &Arc<Self>, signer: &Signer, body: &[u8], kept: Kept) -> Result<Taken, StoreError> {
        let mut read = self.read_post(signer, body, kept).await?;
        let quarantined = read.intake.quarantine.len();
        let mut poison = std::mem::take(&mut read.poison);
        let (after, recorded, broken) = match self.record_read(read).await {
            // Something in the same commit, perhaps not even of this POST, stood in the way of all of it.
            Err(error) if error.is_in_the_way() => {
                let read = self.read_post(signer, body, kept).await?;
                self.record_one_by_one(read).await?
            }
            recorded => recorded?,
        };
        if !broken.is_empty() {
            poison.extend(self.parts_of(signer, body, broken));
        }
        let poisoned = if poison.is_empty() { Ok(Vec::new()) } else { self.keep_poison(poison).await };
        Ok(Taken { after, recorded, quarantined, poisoned })
    }

    /// Records each event in a call of its own, so that what one of them meets is that one's alone.
    async fn record_one_by_one(&self, read: Read) -> Result<(After, Vec<Recorded>, Vec<(Hash16, String)>), StoreError> {
        let Read { mut intake, mut after, .. } = read;
        let (mut all, mut in_the_way) = (Vec::new(), Vec::new());
        let (events, received_at) = (std::mem::take(&mut intake.events), intake.received_at);
        let mut moved = std::mem::take(&mut after.moved);
        let rest = Read { intake, after, poison: Vec::new() };
        let (mut after, _, _) = self.record_read(rest).await?;
        for event in events {
            let identity = event.identity;
            let (of_it, of_others) = moved.into_iter().partition(|moved| moved.identity == identity);
            moved = of_others;
            let alone = Read {
                intake: Intake { received_at, events: vec![event], ..Intake::default() },
                after: After { moved: of_it, ..After::default() },
                poison: Vec::new(),
            };
            match isolated(self.record_read(alone)).await {
                Ok((follows, recorded, broken)) => {
                    after.join(follows);
                    all.extend(recorded);
                    in_the_way.extend(broken);
                }
                Err(Stopped::InTheWay(fault)) => in_the_way.push((identity, fault)),
                Err(Stopped::Store(error)) => return Err(error),
            }
        }
        Ok((after, all, in_the_way))
    }

    /// A part as it is kept; the whole POST where even that meets a bug.
    pub(super) fn poison_of(&self, signer: &Signer, item: &Item<'_>, body: &[u8]) -> Quarantine {
        isolated_now(|| self.quarantine_of(signer, item, QuarantineReason::Poison))
            .unwrap_or_else(|_| self.whole(signer, body, QuarantineReason::Poison))
    }

    /// What stands between a batch and its callers' own texts must not stop the batch: `None` has each
    /// part look for its own.
    pub(super) async fn restoring(&self, items: &[Item<'_>]) -> Result<Option<Restoring>, StoreError> {
        match isolated(Restoring::of(self, items)).await {
            Ok(restoring) => Ok(Some(restoring)),
            Err(Stopped::InTheWay(_)) => Ok(None),
            Err(Stopped::Store(error)) => Err(error),
        }
    }

    /// The parts whose events the store could not record. Rare, so the POST is read once more instead
    /// of every event carrying its part along.
    fn parts_of(&self, signer: &Signer, body: &[u8], broken: Vec<(Hash16, String)>) -> Vec<(Quarantine, String)> {
        let found = isolated_now(|| {
            let Ok(items) = webhook::read(body) else { return Vec::new() };
            let routes = self.intake.routes.of(&self.directory);
            let fault_of = |item: &Item<'_>| {
                let destinations = routes.destinations(signer, item).ok()?;
                let identities: Vec<Hash16> = destinations.iter().map(|to| self.event_identity(to, signer, item)).collect();
                broken.iter().find(|(identity, _)| identities.contains(identity)).map(|(_, fault)| fault.clone())
            };
            let failed = items.iter().filter_map(|item| Some((item, fault_of(item)?)));
            failed.map(|(item, fault)| (self.poison_of(signer, item, body), fault)).collect()
        });
        match found {
            Ok(parts) if !parts.is_empty() => parts,
            // The directory changed meanwhile: everything is kept rather than the part guessed.
            _ => {
                let fault = broken.into_iter().next().map_or_else(|| BUG.to_owned(), |(_, fault)| fault);
                vec![(self.whole(signer, body, QuarantineReason::Poison), fault)]
            }
        }
    }

    async fn keep_poison(&self, mut parts: Vec<(Quarantine, String)>) -> Result<Vec<Poisoned>, StoreError> {
        // The same part twice in a POST is one try.
        let mut seen = HashSet::new();
        parts.retain(|(part, _)| seen.insert(part.identity));
        let faults: Vec<String> = parts.iter().map(|(_, fault)| fault.clone()).collect();
        let noted = self.store.note_poison(parts, self.clock.now()).await?;
        for (Poisoned { id, tries, is_given_up }, fault) in noted.iter().zip(faults) {
            if *tries == 1 {
                self.intake.metrics.quarantined(QuarantineReason::Poison);
            }
            if *is_given_up {
                self.intake.metrics.given_up.inc();
                tracing::error!(
                    quarantine.id = id,
                    tries,
                    fault,
                    "PAGE: a part of a webhook could not be taken in and is tried no more; mend what stands in its way, then: turnpike quarantine replay {id}"
                );
            } else {
                tracing::error!(quarantine.id = id, tries, fault, "a part of a webhook could not be taken in; it is kept and tried again");
            }
        }
        Ok(noted)
    }

    /// Tries again what is due.
    ///
    /// # Errors
    /// The store's silence, and what stood in the way of one part: the others are tried all the same.
    pub(crate) async fn try_poison_again(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut stopped = Ok(());
        for record in self.store.poison_due(self.clock.now(), AGAIN_AT_ONCE).await? {
            match self.take_again(&record).await {
                Ok(_) => {}
                Err(ControlFault::Store(error)) if error.is_in_the_way() => stopped = Err(error),
                Err(ControlFault::Store(error)) => return Err(error),
                // It was erased meanwhile, or the master key is another: no try will open it.
                Err(_) => {
                    self.store.give_up_poison(record.id).await?;
                    tracing::error!(
                        quarantine.id = record.id,
                        "a part of a webhook that waited for another try cannot be opened; it is tried no more"
                    );
                }
            }
        }
        stopped
    }
}
