//! Since when an endpoint fails, and what follows from it: a notice after a day, the end after five.

use std::time::Duration;

use turnpike_domain::time::UnixMs;
use turnpike_store::endpoints::{Endpoint, EndpointChange};

use super::settings::DeliverySettings;

/// What the store knows of an endpoint that goes on failing is at most this much behind.
const SAVED_EVERY: Duration = Duration::from_secs(60);

/// How an endpoint has fared lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    failing: Option<(UnixMs, u32)>,
    saved_at: UnixMs,
    is_saved: bool,
    is_told: bool,
}

impl Standing {
    /// As stored.
    pub(super) fn of(row: &Endpoint, settings: &DeliverySettings) -> Standing {
        let is_told = row.failing_since.is_some_and(|since| row.updated_at >= after(since, settings.failing_told_after));
        Standing {
            failing: row.failing_since.map(|since| (since, row.failures)),
            saved_at: row.updated_at,
            is_saved: row.failing_since.is_some(),
            is_told,
        }
    }

    /// It answered 2xx; what to write, if anything.
    pub(super) fn succeeded(&mut self) -> Option<EndpointChange> {
        let forgets = std::mem::replace(&mut self.is_saved, false);
        (self.failing, self.is_told) = (None, false);
        forgets.then(|| EndpointChange { failing: Some(None), ..EndpointChange::default() })
    }

    /// An attempt failed; what to write, if anything.
    pub(super) fn failed(&mut self, now: UnixMs, settings: &DeliverySettings) -> Option<EndpointChange> {
        let (since, failures) = self.failing.map_or((now, 1), |(since, failures)| (since, failures.saturating_add(1)));
        self.failing = Some((since, failures));
        let disabled = (now >= after(since, settings.disabled_after) && failures >= settings.disabled_after_attempts)
            .then(|| format!("every attempt failed since {} ({failures} attempts)", since.to_rfc3339()));
        let failing_notice = disabled.is_none() && !self.is_told && now >= after(since, settings.failing_told_after);
        // One that fails now and then is not worth a write at each turn.
        let is_early = now < after(since, SAVED_EVERY) || (self.is_saved && now < after(self.saved_at, SAVED_EVERY));
        if is_early && disabled.is_none() && !failing_notice {
            return None;
        }
        self.is_told |= failing_notice;
        (self.is_saved, self.saved_at) = (true, now);
        Some(EndpointChange { failing: Some(self.failing), disabled, failing_notice, ..EndpointChange::default() })
    }
}

fn after(since: UnixMs, wait: Duration) -> UnixMs {
    since.plus_ms(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}
