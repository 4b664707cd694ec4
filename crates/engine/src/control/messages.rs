//! Messages in an operator's hands: unknown outcomes resolved with a reason.

use bytes::Bytes;
use turnpike_domain::ledger::Resolution;
use turnpike_domain::refusal::{FieldFault, MetaRefusal, MetaRefusalClass};
use turnpike_store::messages::{Evidence, MessageRecord, Resolve, Settled};

use super::ControlFault;
use super::money::reason_faults;
use crate::Engine;
use crate::reasons::given_by;
use crate::send::stored::{Answer, Content};
use crate::vault::Purpose;

/// How an operator resolves an unknown outcome.
#[derive(Clone, Debug)]
pub struct ResolveOrder {
    /// What it was after all: accepted, failed or presumed not sent.
    pub resolution: Resolution,
    /// Meta's id, where the operator found it.
    pub wamid: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
}

impl Engine {
    /// Resolves an unknown outcome: the money follows in the same commit, once.
    ///
    /// # Errors
    /// Fields, or a message whose outcome is not unknown.
    pub async fn resolve_message(&self, record: &MessageRecord, order: ResolveOrder) -> Result<(), ControlFault> {
        let mut faults = reason_faults(&order.reason, true);
        if order.wamid.as_ref().is_some_and(|wamid| !wamid.starts_with("wamid.") || wamid.len() > 512) {
            faults.push(FieldFault::new("wamid", "must be Meta's id of the message: wamid.…"));
        }
        if order.wamid.is_some() && order.resolution != Resolution::Accepted {
            faults.push(FieldFault::new("wamid", "goes only with an accepted message"));
        }
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let answer = match order.resolution {
            Resolution::Accepted => self.sealed(record, &self.accepted_answer(record, order.wamid.as_deref())),
            Resolution::Failed | Resolution::Refused => self.sealed(record, &Answer::Refused(Box::new(found_failed()))),
            // What stands says the rest: nobody knows more than that nothing ever came.
            Resolution::PresumedNotSent => Vec::new(),
        };
        let resolve = Resolve {
            organization: record.organization,
            message: record.key,
            at: self.clock.now(),
            resolution: order.resolution,
            evidence: Evidence::Operator,
            reason: given_by(&order.actor, &order.reason),
            wamid: order.wamid.as_deref().map(|wamid| self.wamid_hash(wamid)),
            answer,
        };
        match self.store.resolve(vec![resolve]).await?.pop() {
            Some(Settled::Done) => Ok(()),
            Some(Settled::Broken { fault }) => Err(ControlFault::rule(fault)),
            Some(Settled::NotFound) | None => Err(ControlFault::NotFound("message")),
            Some(Settled::Already { .. } | Settled::NotUnknown) => {
                Err(ControlFault::rule("the outcome of this message is not unknown, so there is nothing to resolve"))
            }
        }
    }

    fn sealed(&self, record: &MessageRecord, answer: &Answer) -> Vec<u8> {
        self.vault.seal(Purpose::Answer, record.organization, &record.key.0.to_be_bytes(), &answer.encode(), &*self.entropy)
    }

    /// The answer that Meta would have given, from what the operator found: without its id of the
    /// message where the operator found none.
    fn accepted_answer(&self, record: &MessageRecord, wamid: Option<&str>) -> Answer {
        let recipient = record
            .content
            .as_deref()
            .and_then(|sealed| self.vault.open(Purpose::Content, record.organization, &record.token_salt, sealed).ok())
            .and_then(|bytes| Content::decode(&bytes))
            .map(|content| content.recipient);
        let contacts = recipient.map(|to| vec![serde_json::json!({"input": to, "wa_id": to})]).unwrap_or_default();
        let messages = wamid.map(|wamid| vec![serde_json::json!({"id": wamid})]).unwrap_or_default();
        let data = serde_json::json!({"messaging_product": "whatsapp", "contacts": contacts, "messages": messages});
        Answer::Accepted(Bytes::from(data.to_string()))
    }
}

/// What a repeat hears once an operator found that Meta had taken the message and not delivered it
/// (contract §3.5). Meta's own words are not known here.
fn found_failed() -> MetaRefusal {
    MetaRefusal {
        class: MetaRefusalClass::Link,
        code: 131_000,
        subcode: None,
        title: "The message failed at Meta".to_owned(),
        details: Some("An operator resolved the unknown outcome of this message as failed".to_owned()),
        fbtrace_id: None,
        hint: "It was not delivered. Decide whether it is still worth sending, with a new Idempotency-Key.".to_owned(),
        retryable: false,
        retry_after_ms: None,
        by_gateway: false,
    }
}
