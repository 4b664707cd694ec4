//! What Meta signed and nobody here could read or own: listed, and taken in again once the number
//! is connected or the gateway was upgraded. And the other end of keeping: a user's data erased.

use std::sync::Arc;

use serde::Serialize;
use turnpike_store::events::{QuarantineRecord, Recorded};
use turnpike_store::organizations::Organization;

use super::Kept;
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

impl Engine {
    /// Quarantined payloads, newest first, before `before`.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn quarantined(&self, before: Option<i64>, limit: u32) -> Result<Vec<QuarantineRecord>, ControlFault> {
        Ok(self.store.quarantined(before, limit).await?)
    }

    /// Takes a quarantined payload in as if Meta had just sent it. Its signature was checked when it
    /// came; whom its signer may speak for is decided anew.
    ///
    /// # Errors
    /// Not found, a payload that does not open, the store's silence.
    pub async fn replay_quarantined(self: &Arc<Self>, id: i64) -> Result<Replayed, ControlFault> {
        let before = id.checked_add(1).ok_or(ControlFault::NotFound("quarantined webhook"))?;
        let found = self.store.quarantined(Some(before), 1).await?.into_iter().find(|record| record.id == id);
        let record = found.ok_or(ControlFault::NotFound("quarantined webhook"))?;
        let body = self
            .open_webhook(&record.body)
            .ok_or_else(|| ControlFault::rule("it cannot be opened: it was sealed with another master key, or erased"))?;
        let signer = self.intake.signers.of_quarantine(record.meta_app_id.as_deref());
        let read = self.read_post(&signer, &body, Kept::Already).await?;
        let quarantined = read.intake.quarantine.len();
        let (after, recorded) = self.record_read(read).await?;
        self.follow_up(after);
        let replayed = Replayed {
            recorded: recorded.iter().filter(|one| matches!(one, Recorded::New { .. })).count(),
            duplicates: recorded.iter().filter(|one| matches!(one, Recorded::Duplicate)).count(),
            quarantined,
        };
        if quarantined == 0 {
            self.store.quarantine_replayed(id, self.clock.now()).await?;
        }
        Ok(replayed)
    }

    /// Erases a user of an organization: bodies of events and webhooks, contents and answers of
    /// messages, windows and wishes. `user` is a phone number (digits, a `+` in front is taken off) or
    /// a BSUID; who is known by both is erased under each. Returns how many rows were emptied.
    ///
    /// # Errors
    /// A text that can be no user's name, the store's silence.
    pub async fn erase_user(&self, organization: &Organization, user: &str) -> Result<u64, ControlFault> {
        let name = user.trim();
        let name = name.strip_prefix('+').unwrap_or(name);
        let is_name = !name.is_empty() && name.len() <= 200 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if !is_name {
            return Err(ControlFault::field(
                "user",
                "must be a phone number in digits with its country code, or a user id such as US.1349",
            ));
        }
        Ok(self.store.erase_user(organization.key, self.user_hash(name)).await?)
    }
}
