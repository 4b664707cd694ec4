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

/// What the store is to remember of an endpoint's standing, and does not yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwritten {
    pub(super) change: EndpointChange,
    is_writing: bool,
    /// Writes that failed in a row, and when the next may be made.
    failures: u32,
    not_before: UnixMs,
}

/// After a write that failed the next waits so long, doubled with each failure.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// And never longer.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);

impl Unwritten {
    /// Adds a change; what it says counts, and the rest stays.
    pub(super) fn add(&mut self, newer: EndpointChange) {
        let older = std::mem::take(&mut self.change);
        self.change = joined(older, newer);
    }

    /// What to write now, if anything; the end of it is told by the two below.
    pub(super) fn begin(&mut self, now: UnixMs) -> Option<EndpointChange> {
        if self.is_writing || now < self.not_before {
            return None;
        }
        let change = self.take()?;
        self.is_writing = true;
        Some(change)
    }

    /// It was written.
    pub(super) fn written(&mut self) {
        (self.is_writing, self.failures, self.not_before) = (false, 0, UnixMs(0));
    }

    /// It was not; returns when it may be tried again.
    pub(super) fn not_written(&mut self, change: EndpointChange, now: UnixMs) -> UnixMs {
        let newer = std::mem::take(&mut self.change);
        self.change = joined(change, newer);
        let wait = AGAIN_AFTER.saturating_mul(1 << self.failures.min(10)).min(AGAIN_AFTER_MAX);
        (self.is_writing, self.failures, self.not_before) = (false, self.failures + 1, after(now, wait));
        self.not_before
    }

    /// What waits to be written, which then waits no longer.
    pub(super) fn take(&mut self) -> Option<EndpointChange> {
        let EndpointChange { disabled, failing, failing_notice, .. } = &self.change;
        let is_something = disabled.is_some() || failing.is_some() || *failing_notice;
        is_something.then(|| std::mem::take(&mut self.change))
    }
}

/// Both changes of one standing, as if made one after the other.
fn joined(older: EndpointChange, newer: EndpointChange) -> EndpointChange {
    EndpointChange {
        failing: newer.failing.or(older.failing),
        disabled: newer.disabled.or(older.disabled),
        failing_notice: older.failing_notice || newer.failing_notice,
        ..EndpointChange::default()
    }
}

fn after(since: UnixMs, wait: Duration) -> UnixMs {
    since.plus_ms(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use turnpike_domain::ids::{ApplicationId, OrganizationId};
    use turnpike_domain::webhook::EventSet;
    use turnpike_store::endpoints::EndpointId;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn row() -> Endpoint {
        Endpoint {
            key: EndpointId(1),
            organization: OrganizationId(1),
            application: ApplicationId(1),
            slot: 0,
            id: uuid::Uuid::nil(),
            name: "default".to_owned(),
            url: String::new(),
            headers_sealed: None,
            events: EventSet::default(),
            sandbox: false,
            ordered: false,
            send_bearer: true,
            secret_sealed: Vec::new(),
            old_secret_sealed: None,
            bearer_sealed: Vec::new(),
            is_active: true,
            disabled_reason: None,
            failing_since: None,
            failures: 0,
            created_at: UnixMs(0),
            updated_at: UnixMs(0),
        }
    }

    /// Fails every `every_ms`; returns when the owner was told, and when the endpoint was disabled.
    fn fail_every(every_ms: i64, standing: &mut Standing) -> (Vec<i64>, i64) {
        let settings = DeliverySettings::default();
        let mut told = Vec::new();
        for at in (0..).map(|number| number * every_ms) {
            let Some(change) = standing.failed(UnixMs(at), &settings) else { continue };
            if change.failing_notice {
                told.push(at);
            }
            if change.disabled.is_some() {
                return (told, at);
            }
        }
        unreachable!("it fails for ever");
    }

    #[test]
    fn after_a_day_of_failures_the_owner_is_told_once_and_after_five_the_endpoint_is_disabled() {
        let mut standing = Standing::of(&row(), &DeliverySettings::default());
        assert_eq!(fail_every(HOUR, &mut standing), (vec![DAY], 5 * DAY));
    }

    #[test]
    fn five_days_alone_disable_nothing_before_twenty_attempts() {
        let mut standing = Standing::of(&row(), &DeliverySettings::default());
        assert_eq!(fail_every(12 * HOUR, &mut standing), (vec![DAY], 19 * 12 * HOUR), "its twentieth attempt");
    }

    #[test]
    fn a_success_begins_the_days_anew() {
        let settings = DeliverySettings::default();
        let mut standing = Standing::of(&row(), &settings);
        for at in 0..119 {
            assert!(standing.failed(UnixMs(at * HOUR), &settings).is_none_or(|change| change.disabled.is_none()));
        }
        let change = standing.succeeded().expect("what was written is taken back");
        assert_eq!(change.failing, Some(None));
        let again = standing.failed(UnixMs(120 * HOUR), &settings);
        assert!(again.is_none(), "one failure is not worth a write: {again:?}");
    }

    #[test]
    fn a_restart_goes_on_counting_and_tells_nobody_twice() {
        let settings = DeliverySettings::default();
        let mut stored = row();
        (stored.failing_since, stored.failures, stored.updated_at) = (Some(UnixMs(0)), 30, UnixMs(2 * DAY));
        let mut standing = Standing::of(&stored, &settings);
        let change = standing.failed(UnixMs(5 * DAY - 1), &settings).expect("it is time to write it down");
        assert!(!change.failing_notice && change.disabled.is_none(), "{change:?}");
        assert!(standing.failed(UnixMs(5 * DAY), &settings).expect("written").disabled.is_some());
    }
}
