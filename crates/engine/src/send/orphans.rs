//! Admissions whose answer got lost: the store may have committed a message that nobody sends.
//!
//! The caller has heard BILL_002, so such a message must not go out, and its money must not stay
//! held until the next start. Each send draws a random salt that its row keeps, so the row can be
//! told from every other once the store answers again. One task looks for all of them together: a
//! store in trouble is not helped by a question for every send that it failed.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::ledger::OutcomeKind;
use turnpike_domain::refusal::NotSentCause;
use turnpike_store::StoreError;
use turnpike_store::messages::{MessageFilter, MessageRecord, Outcome};

use super::stored::Answer;
use crate::Engine;
use crate::shelter::sheltered;
use crate::unwritten::{What, one_by_one};
use crate::vault::Purpose;

/// Salts of admissions without an answer, by application.
#[derive(Default)]
pub(crate) struct Orphans {
    waiting: Mutex<HashMap<(OrganizationId, ApplicationId), Salts>>,
}

/// What each of these admissions drew for its row.
type Salts = HashSet<[u8; 12]>;

/// How long the store is left alone before it is asked, and between two tries.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Salts that are remembered for one application. What is beyond is found by the next start, as
/// unknown: a store that fails so often has been restarted by then.
const SALTS_MAX: usize = 10_000;
/// An orphan is among the newest messages in flight, since it is looked for at once.
const NEWEST: u32 = 1_000;

impl Engine {
    /// Notes that the admission with this salt had no answer, and has it looked for.
    pub(super) fn disown(self: &Arc<Self>, organization: OrganizationId, application: ApplicationId, salt: [u8; 12]) {
        let mut waiting = self.orphans.waiting.lock();
        let is_first = waiting.is_empty();
        let salts = waiting.entry((organization, application)).or_default();
        if salts.len() < SALTS_MAX {
            salts.insert(salt);
        }
        drop(waiting);
        if is_first {
            let engine = Arc::clone(self);
            self.tasks.spawn(async move {
                while !engine.orphans.waiting.lock().is_empty() {
                    if engine.stopping().run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                        return;
                    }
                    sheltered("looking for orphans", engine.find_orphans()).await;
                }
            });
        }
    }

    /// Looks in every application; what stops the look in one of them leaves the others to be done.
    async fn find_orphans(self: &Arc<Self>) {
        let applications: Vec<_> = self.orphans.waiting.lock().keys().copied().collect();
        for owner in applications {
            // Those that come while the store answers wait for the next look.
            let asked: Salts = self.orphans.waiting.lock().get(&owner).cloned().unwrap_or_default();
            if let Err(error) = self.find_orphans_of(owner, &asked).await {
                tracing::warn!(error = %error, "looking for messages whose admission had no answer; it is tried again");
                continue;
            }
            let mut waiting = self.orphans.waiting.lock();
            if let Some(salts) = waiting.get_mut(&owner) {
                salts.retain(|salt| !asked.contains(salt));
                if salts.is_empty() {
                    waiting.remove(&owner);
                }
            }
        }
    }

    /// Settles as not sent what was admitted after all. What is not in flight was never
    /// admitted.
    async fn find_orphans_of(
        self: &Arc<Self>,
        (organization, application): (OrganizationId, ApplicationId),
        asked: &Salts,
    ) -> Result<(), StoreError> {
        let newest = self.store.list_messages(organization, Some(application), MessageFilter::InFlight, None, NEWEST).await?;
        let outcomes: Vec<Outcome> =
            newest.iter().filter(|record| asked.contains(&record.token_salt)).map(|record| self.never_sent(record)).collect();
        if outcomes.is_empty() {
            return Ok(());
        }
        tracing::warn!(messages = outcomes.len(), "admitted though their callers were told otherwise: released, nothing was sent");
        let settled = one_by_one(outcomes.clone(), |outcomes| self.store.settle(outcomes)).await?;
        let is_open = |place: usize| settled.get(place).is_none_or(Result::is_err);
        for (_, outcome) in outcomes.into_iter().enumerate().filter(|(place, _)| is_open(*place)) {
            // It is found, so nobody looks for it any more: it is written when it can be.
            let engine = Arc::clone(self);
            self.tasks.spawn(async move {
                let _ = engine.insist(What::Outcome, outcome.message, || engine.store.settle(vec![outcome.clone()])).await;
            });
        }
        Ok(())
    }

    fn never_sent(&self, record: &MessageRecord) -> Outcome {
        let answer = Answer::NotSent(NotSentCause::TooLate).encode();
        Outcome {
            organization: record.organization,
            message: record.key,
            at: self.clock.now(),
            kind: OutcomeKind::NotSent,
            meta_code: None,
            wamid: None,
            answer: self.vault.seal(Purpose::Answer, record.organization, &record.key.0.to_be_bytes(), &answer, &*self.entropy),
        }
    }
}
