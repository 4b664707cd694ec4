//! What Meta signed and nobody here could read or own: listed, and taken in again once the number
//! is connected or the gateway was upgraded.

use std::sync::Arc;

use serde::Serialize;
use turnpike_store::events::{QuarantineRecord, Recorded};

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
}
