//! What deliveries count about themselves. No label names an endpoint, a user or an organization.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::attempt::PostEnd;

/// `result="delivered"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// `lane="first"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabel {
    lane: &'static str,
}

/// `reason="beyond_age"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Counters of deliveries.
pub(crate) struct DeliveryMetrics {
    attempts: Family<ResultLabel, Counter<u64, AtomicU64>>,
    backlog: Family<LaneLabel, Gauge<i64, AtomicI64>>,
    given_up: Family<ReasonLabel, Counter<u64, AtomicU64>>,
    /// Deliveries whose schedule is over.
    pub(super) dead: Counter<u64, AtomicU64>,
    /// Endpoints that the gateway switched off.
    pub(super) disabled: Counter<u64, AtomicU64>,
    /// From the post to the answer's end, in seconds.
    pub(super) seconds: Histogram,
    /// From the event's recording to the answer that took it, in seconds, of first attempts.
    pub(super) lag_seconds: Histogram,
}

const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

impl DeliveryMetrics {
    pub(super) fn registered(metrics: &crate::metrics::Metrics) -> DeliveryMetrics {
        let made = DeliveryMetrics {
            attempts: Family::default(),
            backlog: Family::default(),
            given_up: Family::default(),
            dead: Counter::default(),
            disabled: Counter::default(),
            seconds: Histogram::new(SECONDS),
            lag_seconds: Histogram::new(SECONDS),
        };
        metrics.register(|registry| {
            registry.register("delivery_attempts", "Posts to endpoints, by result", made.attempts.clone());
            registry.register("delivery_backlog", "Deliveries that wait, by lane", made.backlog.clone());
            let given_up = "Deliveries that became dead letters untried, since their organization's backlog was too long or too old";
            registry.register("deliveries_given_up", given_up, made.given_up.clone());
            registry.register("deliveries_dead", "Deliveries whose schedule is over", made.dead.clone());
            registry.register("endpoints_disabled", "Endpoints that the gateway switched off", made.disabled.clone());
            registry.register("delivery_duration_seconds", "From a post to the end of its answer", made.seconds.clone());
            registry.register("delivery_lag_seconds", "From an event's recording to its first attempt's success", made.lag_seconds.clone());
        });
        made
    }

    pub(super) fn attempted(&self, end: PostEnd) {
        self.attempts.get_or_create(&ResultLabel { result: end.as_str() }).inc();
    }

    pub(super) fn gave_up(&self, beyond_number: u64, beyond_age: u64) {
        for (reason, count) in [("beyond_number", beyond_number), ("beyond_age", beyond_age)] {
            self.given_up.get_or_create(&ReasonLabel { reason }).inc_by(count);
        }
    }

    pub(super) fn waits(&self, first: u64, retries: u64) {
        let set = |lane, count: u64| self.backlog.get_or_create(&LaneLabel { lane }).set(i64::try_from(count).unwrap_or(i64::MAX));
        set("first", first);
        set("retry", retries);
    }
}
