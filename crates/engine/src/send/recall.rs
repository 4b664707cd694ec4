//! Kept answers, given again: replays of an Idempotency-Key (contract §3.5), and read marks.

use std::sync::Arc;

use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::Resolution;
use turnpike_domain::message::NewMessage;
use turnpike_domain::refusal::{NotSentCause, Refusal};
use turnpike_domain::send::Mode;
use turnpike_store::messages::{MessageRecord, Recalled};

use super::claims::Claim;
use super::identity::Identity;
use super::request::{Billing, Reply, Sent, Trace};
use super::stored::{Answer, Content, answer_of_meta};
use crate::Engine;
use crate::caller::Caller;
use crate::graph::GraphFailure;
use crate::limits::KeySlot;
use crate::vault::Purpose;

impl Engine {
    /// Step 3, first half: nobody else is deciding a request under the same key at this moment.
    pub(super) fn claim(&self, caller: &Caller, identity: &Identity) -> Result<Option<Claim>, Refusal> {
        let Some(key) = identity.idempotency.filter(|_| identity.is_readable) else { return Ok(None) };
        match self.claims.claim(key) {
            Some(claim) => Ok(Some(claim)),
            None => {
                self.limits.take_lookup(caller.key.key, &caller.key.policy, self.tick())?;
                Err(Refusal::InFlight)
            }
        }
    }

    /// Step 3: what is kept under the request's Idempotency-Key, if anything. A filter in memory
    /// answers for keys that nobody used yet, which is nearly always.
    pub(super) async fn recall(&self, caller: &Caller, identity: &Identity) -> Result<Option<Reply>, Refusal> {
        let Some(key) = identity.idempotency.filter(|key| identity.is_readable && self.store.may_know(key)) else {
            return Ok(None);
        };
        let recalled = self
            .store
            .recall(caller.app.organization.key, caller.key.application, key, Some(identity.fingerprint), self.clock.now())
            .await
            .map_err(|_| Refusal::LedgerUnreachable)?;
        if recalled != Recalled::Nothing {
            // A repeat takes nothing of the key's windows; it has its own (contract §3.2).
            self.limits.take_lookup(caller.key.key, &caller.key.policy, self.tick())?;
        }
        match recalled {
            Recalled::Nothing => Ok(None),
            Recalled::InFlight(_) => Err(Refusal::InFlight),
            Recalled::KeyReused => Err(Refusal::KeyReused),
            Recalled::Kept(record) => {
                self.metrics.replayed.inc();
                Ok(Some(self.reply_of(caller, &record)))
            }
        }
    }

    /// The kept answer of a message that the store named as this request's first.
    pub(super) async fn reply_of_key(&self, caller: &Caller, key: MessageKey) -> Reply {
        match self.store.message(caller.app.organization.key, key).await {
            Ok(Some(record)) => {
                self.metrics.replayed.inc();
                self.reply_of(caller, &record)
            }
            Ok(None) => Reply::refused(Refusal::Bug, caller.mode()),
            Err(_) => Reply::refused(Refusal::LedgerUnreachable, caller.mode()),
        }
    }

    /// What a finished message answers when it is asked for again.
    fn reply_of(&self, caller: &Caller, record: &MessageRecord) -> Reply {
        let answer = self.open_answer(record);
        let presumed = record.resolution.as_ref().is_some_and(|end| end.resolution == Resolution::PresumedNotSent);
        let refusal = match answer {
            Some(Answer::Accepted(data)) => {
                let billing = billing_of(caller, record);
                return Reply::Sent(Sent { message: record.id, data, billing, mode: record.mode, replayed: true });
            }
            Some(Answer::Refused(refusal)) => Refusal::MetaRefused(refusal),
            Some(Answer::Reported(reported)) => match reported.failure {
                Some(refusal) => Refusal::MetaRefused(Box::new(refusal)),
                None => {
                    let recipient = self.open_content(record).map(|content| content.recipient);
                    let data = answer_of_meta(recipient.as_deref(), &reported.wamid);
                    let billing = billing_of(caller, record);
                    return Reply::Sent(Sent { message: record.id, data, billing, mode: record.mode, replayed: true });
                }
            },
            Some(Answer::NotSent(cause)) if !presumed => Refusal::NotSent { cause, retry_after_ms: None },
            Some(Answer::Unknown(cause)) => Refusal::OutcomeUnknown { message: record.id, cause: Some(cause), presumed_not_sent: presumed },
            Some(Answer::NotSent(_)) | None => Refusal::OutcomeUnknown { message: record.id, cause: None, presumed_not_sent: presumed },
        };
        Reply::Refused { refusal, message: Some(record.id), replayed: true, mode: record.mode }
    }

    /// The kept answer of a message, opened.
    pub(crate) fn open_answer(&self, record: &MessageRecord) -> Option<Answer> {
        let sealed = record.answer.as_deref()?;
        let bytes = self.vault.open(Purpose::Answer, record.organization, &record.key.0.to_be_bytes(), sealed).ok()?;
        Answer::decode(&bytes)
    }

    /// What a message's caller asked for, opened, while kept.
    pub(crate) fn open_content(&self, record: &MessageRecord) -> Option<Content> {
        let sealed = record.content.as_deref().filter(|sealed| !sealed.is_empty())?;
        let bytes = self.vault.open(Purpose::Content, record.organization, &record.token_salt, sealed).ok()?;
        Content::decode(&bytes)
    }

    /// Passes a read mark or typing indicator through: never charged, never stored.
    pub(super) async fn mark(
        self: &Arc<Self>,
        caller: &Caller,
        message: NewMessage,
        mode: Mode,
        trace: Trace,
        slot: KeySlot,
    ) -> Result<Reply, Refusal> {
        if mode == Mode::Fake {
            return Ok(Reply::Marked(mode));
        }
        let no_way = Refusal::NotSent { cause: NotSentCause::NumberPaused, retry_after_ms: None };
        let link = caller.app.link(mode).cloned().ok_or(no_way)?;
        let outcome = tokio::time::timeout(self.settings.answer_wait, self.graph.mark_read(&link, message.body().clone(), &trace)).await;
        drop(slot);
        match outcome {
            Ok(Ok(())) => Ok(Reply::Marked(mode)),
            Ok(Err(GraphFailure::Refused { refusal, .. })) => Err(Refusal::MetaRefused(refusal)),
            Ok(Err(GraphFailure::NotSent { cause, retry_after_ms })) => Err(Refusal::NotSent { cause, retry_after_ms }),
            // A read mark may be repeated without harm, so an unknown outcome is one to try again.
            Ok(Err(GraphFailure::Unknown { .. })) | Err(_) => {
                Err(Refusal::NotSent { cause: NotSentCause::ConnectionClosed, retry_after_ms: Some(1_000) })
            }
        }
    }
}

/// What a stored message cost at its admission.
pub(super) fn billing_of(caller: &Caller, record: &MessageRecord) -> Billing {
    Billing {
        base_fee: record.base,
        meta_fee_held: record.meta,
        currency: caller.app.organization.currency,
        market: record.market.clone(),
        category: record.category,
        rate_card: record.card.clone(),
    }
}
