//! What the writer keeps in memory so that it decides without reading: wallets, messages in
//! flight, unknown requests, and what the open batch still has to write.
//!
//! All of it is rebuilt at start from rows. It belongs to the writer's thread alone; nobody else
//! can read a balance that is not committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageKey, OrganizationId};
use turnpike_domain::ledger::Balance;
use turnpike_domain::money::Micros;
use turnpike_domain::send::{Category, MetaBilling, Mode};
use turnpike_domain::time::{DAY_MS, UnixMs, UtcDay};

use crate::messages::{Hash16, PinnedPrice};

/// Distinct prices remembered by their number; past this the memory begins anew and asks the table.
pub(super) const PRICES_MAX: usize = 16_384;

/// Unknown requests in memory before anybody looks for old ones among them; some 100 bytes each.
const UNKNOWN_REQUESTS: usize = 65_536;

/// Wamids of resolved messages in memory; past this the oldest are let go before their time. Some 80
/// bytes each. A status that bears our token, as nearly all do, needs none of them.
pub(super) const RESOLVED_WAMIDS_MAX: usize = 131_072;

/// The wallet of an organization in a mode.
pub(super) type WalletKey = (OrganizationId, Mode);

/// Everything of the writer's memory.
#[derive(Default)]
pub(super) struct Memory {
    /// The last place of the journal that was given out.
    pub(super) last_place: i64,
    /// The newest instant that a place was given out at since the clock was last set back.
    pub(super) placed_at: UnixMs,
    /// The newest instant that a job brought.
    pub(super) newest_at: UnixMs,
    /// Wallets that were used since the start.
    pub(super) wallets: HashMap<WalletKey, Balance>,
    /// Wallets that the open batch changed.
    pub(super) changed_wallets: HashSet<WalletKey>,
    /// Messages without an outcome, in order.
    pub(super) in_flight: BTreeMap<MessageKey, InFlight>,
    /// Requests without a key whose outcome is unknown and unresolved, by what makes them equal.
    pub(super) unknown_requests: HashMap<(ApplicationId, Mode, Hash16), Vec<(MessageKey, UnixMs)>>,
    /// How many of them there are when old ones are next let go.
    pub(super) prune_unknown_at: usize,
    /// Numbers of prices.
    pub(super) prices: HashMap<PriceKey, i64>,
    /// What the open batch adds to keys' days.
    pub(super) usage: HashMap<(UtcDay, ApiKeyId), (i64, i64)>,
    /// Idempotency keys of resolved messages, by when they may be forgotten.
    pub(super) resolved_keys: BTreeMap<(UnixMs, MessageKey), Hash16>,
    /// Wamids of resolved messages that statuses are looked for by, likewise.
    pub(super) resolved_wamids: BTreeMap<(UnixMs, MessageKey), Hash16>,
}

/// What settling a message needs to know of its admission.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) organization: OrganizationId,
    pub(super) application: ApplicationId,
    pub(super) at: UnixMs,
    pub(super) mode: Mode,
    pub(super) base: Micros,
    pub(super) meta: Micros,
    pub(super) fingerprint: Hash16,
    pub(super) idempotency: Option<Hash16>,
}

/// A [`PinnedPrice`] that can be looked up.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct PriceKey {
    pub(super) market: &'static str,
    pub(super) category: Category,
    pub(super) card: Arc<str>,
    pub(super) meta_billing: MetaBilling,
    pub(super) amounts: [i64; 5],
}

impl From<&PinnedPrice> for PriceKey {
    fn from(price: &PinnedPrice) -> Self {
        PriceKey {
            market: price.market,
            category: price.category,
            card: Arc::clone(&price.card),
            meta_billing: price.meta_billing,
            amounts: [price.base.0, price.meta.0, price.meta_reported.0, price.factor_ppm, price.fixed.0],
        }
    }
}

impl Memory {
    /// The next place of the journal: a message's key, or where a wallet movement stands.
    pub(super) fn next_place(&mut self) -> i64 {
        self.last_place += 1;
        self.last_place
    }

    /// Every message up to this one has an outcome.
    pub(super) fn settled_to(&self) -> MessageKey {
        MessageKey(self.in_flight.first_key_value().map_or(self.last_place, |(first, _)| first.0 - 1))
    }

    /// Notes an unknown outcome of a request without a key, to recognise its repeat. Those of
    /// yesterday are let go when there are many: nobody looks that far back (contract §3.5).
    pub(super) fn remember_unknown(&mut self, message: MessageKey, of: &InFlight) {
        if of.idempotency.is_some() {
            return;
        }
        self.unknown_requests.entry((of.application, of.mode, of.fingerprint)).or_default().push((message, of.at));
        if self.unknown_requests.len() >= self.prune_unknown_at.max(UNKNOWN_REQUESTS) {
            let yesterday = self.newest_at.plus_ms(-DAY_MS);
            self.unknown_requests.retain(|_, equal| equal.iter().any(|(_, at)| *at > yesterday));
            self.prune_unknown_at = self.unknown_requests.len() * 2;
        }
    }

    /// The outcome is known now: an equal request is no longer a likely repeat.
    pub(super) fn forget_unknown(&mut self, message: MessageKey, application: ApplicationId, mode: Mode, fingerprint: Hash16) {
        if let Some(equal) = self.unknown_requests.get_mut(&(application, mode, fingerprint)) {
            equal.retain(|(key, _)| *key != message);
            if equal.is_empty() {
                self.unknown_requests.remove(&(application, mode, fingerprint));
            }
        }
    }

    /// The newest unknown request equal to this one that was admitted after `since`.
    pub(super) fn likely_repeat(
        &self,
        application: ApplicationId,
        mode: Mode,
        fingerprint: Hash16,
        since: UnixMs,
    ) -> Option<(MessageKey, UnixMs)> {
        let equal = self.unknown_requests.get(&(application, mode, fingerprint))?;
        equal.iter().filter(|(_, at)| *at > since).max_by_key(|(key, _)| *key).copied()
    }
}
