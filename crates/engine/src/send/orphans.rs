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
                    if let Err(error) = engine.find_orphans().await {
                        tracing::warn!(error = %error, "looking for messages whose admission had no answer; it is tried again");
                    }
                }
            });
        }
    }

    /// Settles as not sent what was admitted after all. What is not in flight was never
    /// admitted.
    async fn find_orphans(&self) -> Result<(), StoreError> {
        let applications: Vec<_> = self.orphans.waiting.lock().keys().copied().collect();
        for (organization, application) in applications {
            // Those that come while the store answers wait for the next look.
            let asked: Salts = self.orphans.waiting.lock().get(&(organization, application)).cloned().unwrap_or_default();
            let newest = self.store.list_messages(organization, Some(application), MessageFilter::InFlight, None, NEWEST).await?;
            let outcomes: Vec<Outcome> =
                newest.iter().filter(|record| asked.contains(&record.token_salt)).map(|record| self.never_sent(record)).collect();
            if !outcomes.is_empty() {
                tracing::warn!(messages = outcomes.len(), "admitted though their callers were told otherwise: released, nothing was sent");
                self.store.settle(outcomes).await?;
            }
            let mut waiting = self.orphans.waiting.lock();
            if let Some(salts) = waiting.get_mut(&(organization, application)) {
                salts.retain(|salt| !asked.contains(salt));
                if salts.is_empty() {
                    waiting.remove(&(organization, application));
                }
            }
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
