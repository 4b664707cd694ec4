//! What Meta signed and nobody here could read or own: listed, and taken in again once the number
//! is connected or the gateway was upgraded.

use std::sync::Arc;

use serde::Serialize;
use turnpike_domain::webhook;
use turnpike_store::events::{KeptWebhook, QuarantineRecord, Recorded};

use super::Kept;
use super::poison::Taken;
use crate::Engine;
use crate::control::ControlFault;

/// What taking a quarantined payload in again came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Events that are recorded now.
    pub recorded: usize,
    /// Events that were known already.
    pub duplicates: usize,
    /// Parts that still belong to nobody, or cannot be read; they stay in quarantine.
    pub quarantined: usize,
}

/// A quarantined payload, opened for somebody who asked for it.
pub struct Payload {
    /// What is known of it.
    pub record: QuarantineRecord,
    /// The bytes as Meta sent them (a part of a POST as a whole payload of its own); `None` where they
    /// were erased, or sealed with another master key.
    pub body: Option<Vec<u8>>,
    /// They were emptied by an erasure.
    pub is_erased: bool,
    /// Whether the app whose secret signed it is still configured here.
    pub is_signer_known: bool,
    /// The applications that a replay would record it for now.
    pub goes_to: Vec<String>,
}

impl Engine {
    /// Quarantined payloads, newest first, before `before`.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn quarantined(&self, before: Option<i64>, limit: u32) -> Result<Vec<QuarantineRecord>, ControlFault> {
        Ok(self.store.quarantined(before, limit).await?)
    }

    /// One quarantined payload with its bytes, which are personal data: for who asks for this one.
    ///
    /// # Errors
    /// Not found, the store's silence.
    pub async fn quarantined_payload(&self, id: i64) -> Result<Payload, ControlFault> {
        let record = self.store.quarantined_one(id).await?.ok_or(ControlFault::NotFound("quarantined webhook"))?;
        let body = if record.body.is_empty() { None } else { self.open_webhook(&record.body) };
        let signer = self.intake.signers.of_quarantine(record.meta_app_id.as_deref());
        let mut goes_to = Vec::new();
        if let Some(Ok(items)) = body.as_deref().map(webhook::read) {
            let routes = self.intake.routes.of(&self.directory);
            for destination in items.iter().filter_map(|item| routes.destinations(&signer, item).ok()).flatten() {
                let app_id = destination.app.row.app_id.to_string();
                if !goes_to.contains(&app_id) {
                    goes_to.push(app_id);
                }
            }
        }
        let is_signer_known = self.intake.signers.knows(record.meta_app_id.as_deref());
        Ok(Payload { is_erased: record.body.is_empty(), body, is_signer_known, goes_to, record })
    }

    /// Empties a quarantined payload for good, and tries it no more. Its row stays, so that Meta's
    /// repeat of it is known.
    ///
    /// # Errors
    /// Not found, the store's silence.
    pub async fn discard_quarantined(&self, id: i64) -> Result<(), ControlFault> {
        if !self.store.give_up_poison(id).await? {
            return Err(ControlFault::NotFound("quarantined webhook"));
        }
        self.store.erase_webhooks(vec![KeptWebhook::Quarantined(id)]).await?;
        Ok(())
    }

    /// Takes a quarantined payload in as if Meta had just sent it, once: what was taken in whole is
    /// refused, since Meta's own repeats are told from new events for eight days only. Its signature
    /// was checked when it came; whom its signer may speak for is decided anew.
    ///
    /// # Errors
    /// Not found, taken in before, a payload that does not open, the store's silence.
    pub async fn replay_quarantined(self: &Arc<Self>, id: i64) -> Result<Replayed, ControlFault> {
        let record = self.store.quarantined_one(id).await?.ok_or(ControlFault::NotFound("quarantined webhook"))?;
        if let Some(at) = record.replayed_at {
            return Err(ControlFault::rule(format!("it was taken in at {}; a payload is taken in once", at.to_rfc3339())));
        }
        self.take_again(&record).await
    }

    /// Takes in what was kept: by a person's order, or because another try is due.
    pub(super) async fn take_again(self: &Arc<Self>, record: &QuarantineRecord) -> Result<Replayed, ControlFault> {
        let id = record.id;
        let body = self
            .open_webhook(&record.body)
            .ok_or_else(|| ControlFault::rule("it cannot be opened: it was sealed with another master key, or erased"))?;
        let signer = self.intake.signers.of_quarantine(record.meta_app_id.as_deref());
        let Taken { after, recorded, quarantined, poisoned } = self.take_body(&signer, &body, Kept::Already).await?;
        self.follow_up(after);
        let poisoned = poisoned?;
        let quarantined = quarantined + poisoned.len();
        let replayed = Replayed {
            recorded: recorded.iter().filter(|one| matches!(one, Recorded::New { .. })).count(),
            duplicates: recorded.iter().filter(|one| matches!(one, Recorded::Duplicate)).count(),
            quarantined,
        };
        if quarantined == 0 {
            self.store.quarantine_replayed(id, self.clock.now()).await?;
        } else if record.next_try_at.is_some() && poisoned.iter().all(|part| part.id != id) {
            // What is left of it stands in rows of its own: this one is not to be tried for ever.
            self.store.give_up_poison(id).await?;
        }
        Ok(replayed)
    }
}
