//! What was sent to users and can still be answered, tapped or reported on.
//!
//! Kept only while somebody is told of events, so that a plain witness of sends
//! pays nothing for it; the newest [`KEPT_MAX`] messages. Where the record is in a
//! file they outlive a restart ([`crate::memory`]).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;
use crate::forgetting::Names;

/// Messages that are remembered; older ones can no longer be tapped.
pub(crate) const KEPT_MAX: usize = 50_000;

/// A message that a user has (or will have) on their phone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SentMessage {
    /// Simulated.
    #[serde(with = "clock::as_text")]
    pub(crate) at: Timestamp,
    pub(crate) phone_number_id: String,
    /// As addressed: digits, or a business-scoped id.
    pub(crate) user: String,
    pub(crate) by_phone: bool,
    pub(crate) wamid: String,
    pub(crate) kind: String,
    /// Name and language, where it is a template.
    pub(crate) template: Option<(String, String)>,
    /// The payload under its type; only of types that can be tapped.
    pub(crate) payload: Option<Value>,
    pub(crate) callback_data: Option<String>,
    pub(crate) voice: bool,
    /// What a price would name: `service`, `utility`, `marketing_lite`, …
    pub(crate) category: String,
    pub(crate) window_open: bool,
    /// Until when the user's free entry point is open, where it is.
    #[serde(with = "clock::as_text::or_none")]
    pub(crate) free_entry_until: Option<Timestamp>,
    /// Whether it is one of the month's free ones; decided when its price is first named.
    #[serde(skip)]
    pub(crate) free: OnceLock<bool>,
}

/// The newest messages.
#[derive(Default)]
pub(crate) struct SentMessages {
    inner: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    order: VecDeque<Arc<SentMessage>>,
    by_wamid: HashMap<String, Arc<SentMessage>>,
}

impl SentMessages {
    pub(crate) fn keep(&self, message: Arc<SentMessage>) {
        let mut kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.order.len() >= KEPT_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_wamid.remove(&oldest.wamid);
        }
        kept.by_wamid.insert(message.wamid.clone(), Arc::clone(&message));
        kept.order.push_back(message);
    }

    pub(crate) fn by_wamid(&self, wamid: &str) -> Option<Arc<SentMessage>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).by_wamid.get(wamid).cloned()
    }

    /// Forgets what was sent to a user; how many messages that were.
    pub(crate) fn forget(&self, names: &Names) -> usize {
        let mut kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.order.len();
        kept.order.retain(|message| !names.are(&message.user));
        kept.by_wamid.retain(|_, message| !names.are(&message.user));
        before - kept.order.len()
    }

    /// The newest message that fits.
    pub(crate) fn newest(&self, fits: impl Fn(&SentMessage) -> bool) -> Option<Arc<SentMessage>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).order.iter().rev().find(|message| fits(message)).cloned()
    }
}
