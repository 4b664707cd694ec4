//! What intake counts. Never a number, an account or an application as label.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use turnpike_domain::webhook::EventKind;
use turnpike_store::events::QuarantineReason;

use super::NotSigned;
use crate::metrics::Metrics;

type Count = Counter<u64, AtomicU64>;

/// `kind="messages"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// `reason="wrong_signature"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Intake's counters.
pub(crate) struct IntakeMetrics {
    /// By [`EventKind`]'s place in its list, resolved once: an event costs an atomic addition.
    recorded: Vec<Count>,
    pub(super) duplicates: Count,
    quarantined: Family<ReasonLabel, Count>,
    refused: Family<ReasonLabel, Count>,
    /// Parts that failed at every try.
    pub(super) given_up: Count,
    pub(super) not_yet: Count,
    pub(super) seconds: Histogram,
    status_seconds: Histogram,
    /// Changes of account or number that bar it, or may soon.
    pub(super) bars: Count,
    /// Unknown outcomes presumed not sent.
    pub(crate) presumed: Count,
    /// Holds that no status decided in time.
    pub(crate) overdue: Count,
}

/// From a POST's last byte to its commit, in seconds; 0.9 is where we answer 503.
const DURABLE_BOUNDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.9, 2.5];
/// From Meta's own timestamp (whole seconds) of a status to its commit.
const STATUS_BOUNDS: [f64; 9] = [1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3_600.0, 21_600.0, 86_400.0];

impl IntakeMetrics {
    pub(super) fn registered(metrics: &Metrics) -> IntakeMetrics {
        let kinds = Family::<KindLabel, Count>::default();
        let recorded = EventKind::ALL.iter().map(|kind| kinds.get_or_create(&KindLabel { kind: kind.as_str() }).clone()).collect();
        let made = IntakeMetrics {
            recorded,
            duplicates: Counter::default(),
            quarantined: Family::default(),
            refused: Family::default(),
            given_up: Counter::default(),
            not_yet: Counter::default(),
            seconds: Histogram::new(DURABLE_BOUNDS),
            status_seconds: Histogram::new(STATUS_BOUNDS),
            bars: Counter::default(),
            presumed: Counter::default(),
            overdue: Counter::default(),
        };
        metrics.register(|registry| {
            registry.register("events_recorded", "Events recorded, by kind", kinds);
            registry.register("events_repeated", "Events that were known already", made.duplicates.clone());
            registry.register("events_quarantined", "Parts of webhooks put into quarantine, by reason", made.quarantined.clone());
            registry.register("poison_given_up", "Parts of webhooks that could not be taken in at five tries", made.given_up.clone());
            registry.register("webhooks_refused", "Requests to Meta's webhook that were not believed, by reason", made.refused.clone());
            registry.register("webhooks_not_yet", "Webhooks of Meta's answered 503", made.not_yet.clone());
            registry.register("webhook_duration_seconds", "From a webhook's last byte to its commit", made.seconds.clone());
            registry.register("status_delay_seconds", "From Meta's timestamp of a status to its commit", made.status_seconds.clone());
            registry.register("meta_bars", "Changes of accounts or numbers by which Meta bars them, or announces it", made.bars.clone());
            registry.register("presumed_not_sent", "Unknown outcomes presumed not sent", made.presumed.clone());
            registry.register("overdue_holds", "Holds of Meta's fee that no status decided in time", made.overdue.clone());
        });
        made
    }

    pub(super) fn recorded(&self, kind: EventKind, status_delay_ms: Option<i64>) {
        if let Some(place) = EventKind::ALL.iter().position(|other| *other == kind) {
            self.recorded[place].inc();
        }
        if let Some(delay_ms) = status_delay_ms {
            #[expect(clippy::cast_precision_loss, reason = "a delay of more than 2^53 ms is not measured")]
            self.status_seconds.observe(delay_ms.max(0) as f64 / 1_000.0);
        }
    }

    pub(super) fn quarantined(&self, reason: QuarantineReason) {
        let reason = match reason {
            QuarantineReason::Unreadable => "unreadable",
            QuarantineReason::UnknownNumber => "unknown_number",
            QuarantineReason::Mismatch => "mismatch",
            QuarantineReason::Poison => "poison",
        };
        self.quarantined.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn refused(&self, fault: NotSigned) {
        let reason = match fault {
            NotSigned::VerifyToken => "verify_token",
            NotSigned::NoSignature => "no_signature",
            NotSigned::WrongSignature => "wrong_signature",
        };
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}
