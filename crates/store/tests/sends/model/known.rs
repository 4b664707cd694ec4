//! A message as the model remembers it: what was said of it, and nothing worked out.

use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::ledger::{LegState, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{DAY_MS, UnixMs};
use turnpike_domain::webhook::settle::Report;
use turnpike_store::messages::Hash16;

/// A message as the model remembers it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) organization: OrganizationId,
    pub(super) application: ApplicationId,
    pub(super) mode: Mode,
    pub(super) at: UnixMs,
    pub(super) fingerprint: Hash16,
    pub(super) idempotency: Option<Hash16>,
    pub(super) legs: [LegState; 2],
    pub(super) held: [Micros; 2],
    pub(super) outcome: Option<(OutcomeKind, UnixMs)>,
    pub(super) resolution: Option<(Resolution, UnixMs)>,
    pub(super) wamid: Option<Hash16>,
    pub(super) reports: Vec<Report>,
}

impl Known {
    /// Whether its Idempotency-Key is still its own (contract §3.5).
    pub(super) fn keeps_its_key(&self, now: UnixMs) -> bool {
        match (self.outcome, self.resolution) {
            (None, _) | (Some((OutcomeKind::Unknown, _)), None) => true,
            (Some(_), Some((_, at))) => now.0 - at.0 < DAY_MS,
            (Some((kind, at)), None) => kind.keeps_the_key() && now.0 - at.0 < DAY_MS,
        }
    }

    pub(super) fn is_open_unknown(&self) -> bool {
        matches!((self.outcome, self.resolution), (Some((OutcomeKind::Unknown, _)), None))
    }
}
