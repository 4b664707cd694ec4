//! What the gateway counts about itself, for Prometheus. Never a number, key or message id as label.

use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use turnpike_domain::refusal::Refusal;
use turnpike_domain::send::Mode;

/// `mode="live"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModeLabel {
    mode: &'static str,
}

/// `reason="limited"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The engine's counters. Those on the hot path are resolved once, so that a message costs an
/// atomic addition and no look-up of labels.
pub struct Metrics {
    registry: Mutex<Registry>,
    admitted: [Counter<u64, AtomicU64>; 3],
    refusals: Family<ReasonLabel, Counter<u64, AtomicU64>>,
    /// Kept answers given again.
    pub replayed: Counter<u64, AtomicU64>,
    /// Keys that are not known.
    pub wrong_keys: Counter<u64, AtomicU64>,
    /// From the caller's bytes to the answer, in seconds, Meta's time included.
    pub send_seconds: Histogram,
}

/// Bounds of the OpenTelemetry convention for HTTP durations (conventions §7), in seconds.
const DURATION_BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("turnpike");
        let messages = Family::<ModeLabel, Counter<u64, AtomicU64>>::default();
        registry.register("messages_admitted", "Messages admitted with their money held", messages.clone());
        let admitted =
            [Mode::Live, Mode::Sandbox, Mode::Fake].map(|mode| messages.get_or_create(&ModeLabel { mode: mode.as_str() }).clone());
        let refusals = Family::default();
        registry.register("sends_refused", "Sends that were answered with a no, by reason", Family::clone(&refusals));
        let replayed = Counter::default();
        registry.register("sends_replayed", "Kept answers given again under their Idempotency-Key", Counter::clone(&replayed));
        let wrong_keys = Counter::default();
        registry.register("wrong_keys", "Requests with a key that is not known", Counter::clone(&wrong_keys));
        let send_seconds = Histogram::new(DURATION_BOUNDS);
        registry.register("send_duration_seconds", "From a caller's bytes to the answer, Meta's time included", send_seconds.clone());
        Metrics { registry: Mutex::new(registry), admitted, refusals, replayed, wrong_keys, send_seconds }
    }
}

impl Metrics {
    pub(crate) fn admitted(&self, mode: Mode) {
        self.admitted[usize::from(mode.number())].inc();
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals.get_or_create(&ReasonLabel { reason: reason_of(refusal) }).inc();
    }

    /// Lets another room register what it counts.
    pub fn register(&self, with: impl FnOnce(&mut Registry)) {
        with(&mut self.registry.lock());
    }

    /// All of it in Prometheus' text form.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry.lock());
        text
    }
}

fn reason_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownKey | Refusal::NoAuthorization | Refusal::NotBearer => "authentication",
        Refusal::KeyStoreUnreachable | Refusal::KeyRecordUnreadable => "key_store",
        Refusal::NotAllowed(_) => "not_allowed",
        Refusal::Limited { limit, .. } => limit.as_str(),
        Refusal::InsufficientBalance { .. } => "balance",
        Refusal::LedgerUnreachable => "ledger",
        Refusal::WindowClosed { .. } | Refusal::OptedOut => "policy",
        Refusal::InFlight | Refusal::KeyReused => "idempotency",
        Refusal::MetaRefused(_) => "meta_refused",
        Refusal::NotSent { .. } => "not_sent",
        Refusal::OutcomeUnknown { .. } => "unknown",
        Refusal::Overloaded { .. } => "overloaded",
        Refusal::Bug => "bug",
        _ => "request",
    }
}
