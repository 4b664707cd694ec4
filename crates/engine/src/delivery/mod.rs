//! Deliveries: events on their way to customers' endpoints (contract §7).
//!
//! A reconciler without input: the store says what waits, and this room brings about that nothing
//! does. It is woken by a hint after a commit, by the time of a retry and by a slow tick; what it
//! holds in memory is only a claim, so that losing all of it loses nothing.
//!
//! | part | what it decides |
//! | --- | --- |
//! | `scheduler` | what is tried next: lines per user, turns of tenants, lanes, limits; no I/O, no clock |
//! | `breaker` | whether an endpoint is tried at all |
//! | `standing` | since when an endpoint fails, and what follows from it |
//! | `attempt` | one post: headers, signatures, what the answer means |
//! | `reconciler` | the loop that joins them with the store |
//! | `overflow` | which backlogs are too long or too old, and what becomes of them |

mod attempt;
mod breaker;
mod metrics;
mod overflow;
mod reconciler;
mod scheduler;
mod settings;
mod standing;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use turnpike_store::endpoints::EndpointId;

pub use self::settings::DeliverySettings;
use crate::Engine;
use crate::net::guard::Guard;
use crate::net::hooks::HookClient;

/// What others see of the room.
pub(crate) struct Deliveries {
    /// Endpoints with something new, and whether retries are among it.
    hints: Mutex<HashMap<EndpointId, bool>>,
    wake: Notify,
    pub(crate) client: HookClient,
    pub(crate) metrics: metrics::DeliveryMetrics,
}

impl Deliveries {
    pub(crate) fn new(
        settings: &DeliverySettings,
        guard: Guard,
        metrics: &crate::metrics::Metrics,
    ) -> Result<Deliveries, crate::net::NetError> {
        Ok(Deliveries {
            hints: Mutex::default(),
            wake: Notify::new(),
            client: HookClient::new(settings, guard)?,
            metrics: metrics::DeliveryMetrics::registered(metrics),
        })
    }

    /// Wakes the reconciler: the book of endpoints has changed.
    pub(crate) fn look_again(&self) {
        self.wake.notify_one();
    }

    fn hint(&self, endpoints: &[EndpointId], has_retries: bool) {
        if endpoints.is_empty() {
            return;
        }
        let mut hints = self.hints.lock();
        for endpoint in endpoints {
            *hints.entry(*endpoint).or_default() |= has_retries;
        }
        drop(hints);
        self.wake.notify_one();
    }
}

impl Engine {
    /// Says that these endpoints have something waiting: it is tried at once instead of at the next
    /// tick. A hint that is lost delays, and loses nothing.
    pub(crate) fn delivery_hint(&self, endpoints: &[EndpointId]) {
        self.delivery.hint(endpoints, false);
    }

    /// Says that this endpoint's deliveries were asked for again.
    pub(crate) fn replay_hint(&self, endpoint: EndpointId) {
        self.delivery.hint(&[endpoint], true);
    }
}
