//! How much may be sent: exact windows, day, concurrency, spend, the number's ceiling, the pair.
//!
//! Contract §4 in memory. Every decision is made under the lock of one shard, in well under a
//! microsecond, and takes either all that it asks for or nothing. Time comes in as an argument:
//! windows go by a monotonic [`Tick`], days by the wall clock.
//!
//! Nothing here is written down. After a restart [`Limits::restore`] rebuilds the windows from
//! stored messages; requests that never became a message are forgotten in the caller's favour.
//! What is idle is forgotten, so the memory follows the keys, numbers and pairs that are active,
//! up to the named maxima of [`LimitsConfig`]; past those a newcomer is refused as if his limit
//! were full, because admitting what cannot be counted would break the promise of the windows.

mod days;
mod pair;
mod shards;
mod slot;
mod standing;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use turnpike_domain::ids::{ApiKeyId, ApplicationId};
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{LimitKind, Refusal};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_store::messages::{DayUsage, Hash16, RecentSend};

use crate::keys::CompiledPolicy;

pub use pair::PairRate;
pub use slot::{KeySlot, NumberSlot, SpendGuard};
pub use standing::{ConcurrencyStanding, SpendStanding, Standing, WindowStanding};

use days::{DayUse, Days};
use pair::{Bucket, PairKey};
use shards::{Forget, Idle, STEPS_PER_TEND, Shards, Spread, mix};
use window::{Full, MINUTE_US, SECOND_US, Window};

/// A monotonic instant: microseconds on a line on which the process started at
/// [`Tick::START`], so that what was sent before the start has a place on it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// When the process started: one hour after the line's beginning.
    pub const START: Tick = Tick(3_600_000_000);

    /// The instant at which the process had run for `elapsed`.
    #[must_use]
    pub fn since_start(elapsed: Duration) -> Tick {
        Tick::START.plus_us(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    fn plus_us(self, us: u64) -> Tick {
        Tick(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to here; 0 if it is later.
    fn since_us(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The latest instant that a stored `at` can mean. Stored times are cut to the millisecond, and
    /// a window must not open early.
    fn of_stored(at: UnixMs, now_wall: UnixMs, now: Tick) -> Tick {
        let age_ms = u64::try_from(now_wall.0.saturating_sub(at.0)).unwrap_or(0);
        Tick(now.0.saturating_sub(age_ms.saturating_mul(1_000).saturating_sub(999)))
    }
}

/// Numbers that the limits work with, beside what each key's policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Keys that may be active (a request within the last minute, a send in flight, a limited day)
    /// at once. 150 to 250 bytes each, and 8 for each request of the last minute.
    pub active_keys_max: usize,
    /// Sending numbers that may be active within one second.
    pub active_numbers_max: usize,
    /// Pairs of number and recipient that may be active at once, that is mostly: within 6 s. Some
    /// 100 bytes each.
    pub active_pairs_max: usize,
    /// Addresses that may present wrong keys within one second. Past it every further address is
    /// answered as if it had tried too often, which costs nobody who has a key anything.
    pub wrong_addresses_max: usize,
    /// Wrong keys that one address (an IPv6 network of 64 bits) may present within one second.
    pub wrong_keys_per_second: u32,
    /// How many times the key's windows replays and look-ups have for themselves.
    pub lookup_factor: u32,
    /// The pair rate.
    pub pair: PairRate,
}

impl Default for LimitsConfig {
    /// Contract §3.2 and §4; the maxima are far above what the gateway forwards on large machines.
    fn default() -> Self {
        LimitsConfig {
            active_keys_max: 4_000_000,
            active_numbers_max: 200_000,
            active_pairs_max: 2_000_000,
            wrong_addresses_max: 65_536,
            wrong_keys_per_second: 20,
            lookup_factor: 10,
            pair: PairRate::default(),
        }
    }
}

/// A no: which limit is full, and for how long. Where several are, the one with the longest wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Which one.
    pub limit: LimitKind,
    /// The true wait until a slot frees, in milliseconds, rounded up. For `concurrency`, whose
    /// slots free when Meta answers, it is [`CONCURRENCY_RETRY_MS`].
    pub retry_after_ms: u64,
}

impl Limited {
    fn after_us(limit: LimitKind, wait_us: u64) -> Limited {
        Limited { limit, retry_after_ms: wait_us.div_ceil(1_000).max(1) }
    }
}

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Self {
        Refusal::Limited { limit: limited.limit, retry_after_ms: limited.retry_after_ms }
    }
}

/// What a caller with too many sends in flight is told to wait: nobody knows when Meta answers, and
/// it mostly does within a second.
pub const CONCURRENCY_RETRY_MS: u64 = 1_000;

/// Shards of what every request of a key passes. Enough that a growing table never holds up a shard
/// for more than some hundred microseconds at a million active keys.
const KEY_SHARDS: usize = 256;
/// Shards of the rest.
const OTHER_SHARDS: usize = 32;
/// How often an active key is asked whether it is idle: it is forgotten at most this long after its
/// last minute.
const ASK_KEYS_AFTER_US: u64 = 15 * SECOND_US;
/// How often the rest is asked.
const ASK_OTHERS_AFTER_US: u64 = 2 * SECOND_US;

/// All limits of one node. A clone is the same limits.
#[derive(Clone)]
pub struct Limits {
    state: Arc<State>,
}

struct State {
    config: LimitsConfig,
    keys: Shards<KeyShard>,
    lookups: Shards<Idle<ApiKeyId, Recent<MINUTE_US>>>,
    numbers: Shards<Idle<ApplicationId, Recent<SECOND_US>>>,
    pairs: Shards<Idle<PairKey, Bucket>>,
    wrong_keys: Shards<Idle<AddressKey, Recent<SECOND_US>>>,
    /// Addresses are chosen by strangers, so how they spread is not for them to know.
    address_hash: RandomState,
}

/// What one lock guards of the keys: whatever one decision takes together.
struct KeyShard {
    active: Idle<ApiKeyId, KeyUse>,
    days: Days,
}

#[derive(Default)]
struct KeyUse {
    window: Window,
    in_flight: u32,
}

impl Forget for KeyUse {
    fn is_idle(&self, now: Tick) -> bool {
        self.in_flight == 0 && is_past(&self.window, now, MINUTE_US)
    }

    fn heap_bytes(&self) -> usize {
        self.window.heap_bytes()
    }
}

/// A window that matters for `KEEP_US`.
#[derive(Default)]
struct Recent<const KEEP_US: u64>(Window);

impl<const KEEP_US: u64> Forget for Recent<KEEP_US> {
    fn is_idle(&self, now: Tick) -> bool {
        is_past(&self.0, now, KEEP_US)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

fn is_past(window: &Window, now: Tick, keep_us: u64) -> bool {
    window.newest().is_none_or(|newest| newest.plus_us(keep_us) <= now)
}

/// A hash of an address. With 65,536 of them at once two are the same once in 10¹⁰ times, and then
/// share a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
struct AddressKey(u64);

impl Spread for AddressKey {
    fn spread(&self) -> u64 {
        self.0
    }
}

impl Spread for ApiKeyId {
    fn spread(&self) -> u64 {
        mix(self.0.cast_unsigned())
    }
}

impl Spread for ApplicationId {
    fn spread(&self) -> u64 {
        mix(self.0.cast_unsigned())
    }
}

impl Limits {
    /// Limits of which nothing is taken.
    #[must_use]
    pub fn new(config: LimitsConfig) -> Limits {
        let others = |max: usize| per_shard(max, OTHER_SHARDS);
        let keys_max = per_shard(config.active_keys_max, KEY_SHARDS);
        let (numbers_max, pairs_max) = (others(config.active_numbers_max), others(config.active_pairs_max));
        let addresses_max = others(config.wrong_addresses_max);
        Limits {
            state: Arc::new(State {
                keys: Shards::new(KEY_SHARDS, || KeyShard { active: Idle::new(keys_max, ASK_KEYS_AFTER_US), days: Days::new(keys_max) }),
                lookups: Shards::new(KEY_SHARDS, || Idle::new(keys_max, ASK_KEYS_AFTER_US)),
                numbers: Shards::new(OTHER_SHARDS, || Idle::new(numbers_max, ASK_OTHERS_AFTER_US)),
                pairs: Shards::new(OTHER_SHARDS, || Idle::new(pairs_max, ASK_OTHERS_AFTER_US)),
                wrong_keys: Shards::new(OTHER_SHARDS, || Idle::new(addresses_max, ASK_OTHERS_AFTER_US)),
                address_hash: RandomState::new(),
                config,
            }),
        }
    }

    /// Step 4 of a send: the key's second and minute, a message of its day, a send in flight; all
    /// of them or none. The slot holds what is only held: see [`KeySlot`].
    ///
    /// # Errors
    /// `sec`, `min`, `day`, `concurrency`.
    pub fn take(&self, key: ApiKeyId, policy: &CompiledPolicy, now: Tick, wall: UnixMs) -> Result<KeySlot, Limited> {
        let mut shard = self.state.keys.of(&key);
        let KeyShard { active, days } = &mut *shard;
        let no_room = Limited { limit: LimitKind::Second, retry_after_ms: 1_000 };
        let usage = active.get_or_insert(key, now, KeyUse::default).map_err(|_| no_room)?;
        let at = usage.window.advance(now, MINUTE_US);

        let mut longest = None;
        if let Some(full) = usage.window.full(at, policy.rate_per_second, policy.rate_per_minute) {
            note(&mut longest, full.into());
        }
        if policy.concurrency_limit.is_some_and(|limit| usage.in_flight >= limit) {
            note(&mut longest, Limited { limit: LimitKind::Concurrency, retry_after_ms: CONCURRENCY_RETRY_MS });
        }
        let mut counted = None;
        if policy.counts_today() {
            counted = Some(days.move_to(wall));
            let used = days.used(key);
            if policy.daily_limit.is_some_and(|limit| used.messages >= limit) {
                note(&mut longest, Limited { limit: LimitKind::Day, retry_after_ms: days.ends_in_ms(wall) });
            }
        }
        if let Some(limited) = longest {
            return Err(limited);
        }

        if counted.is_some() {
            days.used_mut(key).map_err(|_| no_room)?.messages += 1;
        }
        usage.window.admit(at);
        usage.in_flight += 1;
        drop(shard);
        Ok(KeySlot::new(Arc::clone(&self.state), key, at, counted))
    }

    /// Takes a replay or a look-up, which have windows of their own, ten times the key's.
    ///
    /// # Errors
    /// `sec`, `min`.
    pub fn take_lookup(&self, key: ApiKeyId, policy: &CompiledPolicy, now: Tick) -> Result<(), Limited> {
        let factor = self.state.config.lookup_factor;
        let per_second = policy.rate_per_second.saturating_mul(factor);
        let per_minute = policy.rate_per_minute.saturating_mul(factor);
        let mut shard = self.state.lookups.of(&key);
        let no_room = Limited { limit: LimitKind::Second, retry_after_ms: 1_000 };
        let Recent(window) = shard.get_or_insert(key, now, Recent::default).map_err(|_| no_room)?;
        take_one::<MINUTE_US>(window, now, per_second, per_minute).map(drop)
    }

    /// Step 7 of a send: the number's ceiling towards Meta, and the pair of number and recipient;
    /// both or none. Not for sandbox and fake sends, which Meta never sees.
    ///
    /// The slot stays taken unless [`NumberSlot::give_back`] is called.
    ///
    /// # Errors
    /// `number`, `pair`.
    pub fn take_number_and_pair(
        &self,
        application: ApplicationId,
        ceiling_per_second: u32,
        recipient: Hash16,
        now: Tick,
    ) -> Result<NumberSlot, Limited> {
        let rate = self.state.config.pair;
        let pair = PairKey::new(application, recipient);
        // Always in this order: number, then pair.
        let mut numbers = self.state.numbers.of(&application);
        let mut pairs = self.state.pairs.of(&pair);
        let no_room = Limited { limit: LimitKind::Number, retry_after_ms: 1_000 };
        let Recent(window) = numbers.get_or_insert(application, now, Recent::default).map_err(|_| no_room)?;
        let at = window.advance(now, SECOND_US);
        let no_room = Limited::after_us(LimitKind::Pair, rate.interval_us);
        let bucket = pairs.get_or_insert(pair, now, || Bucket::full(now)).map_err(|_| no_room)?;

        let mut longest = None;
        if let Some(Full::Second { wait_us } | Full::Minute { wait_us }) = window.full(at, ceiling_per_second, u32::MAX) {
            note(&mut longest, Limited::after_us(LimitKind::Number, wait_us));
        }
        if let Some(wait_us) = bucket.wait_us(rate, now) {
            note(&mut longest, Limited::after_us(LimitKind::Pair, wait_us));
        }
        if let Some(limited) = longest {
            return Err(limited);
        }
        window.admit(at);
        bucket.draw(rate, now);
        drop((pairs, numbers));
        Ok(NumberSlot::new(Arc::clone(&self.state), application, pair, at))
    }

    /// Takes a wrong key's try from its address: allowed, or too often.
    ///
    /// # Errors
    /// `address`.
    pub fn take_wrong_key(&self, address: IpAddr, now: Tick) -> Result<(), Limited> {
        let key = AddressKey(self.state.address_hash.hash_one(network_of(address)));
        let mut shard = self.state.wrong_keys.of(&key);
        let no_room = Limited { limit: LimitKind::Address, retry_after_ms: 1_000 };
        let Recent(window) = shard.get_or_insert(key, now, Recent::default).map_err(|_| no_room)?;
        take_one::<SECOND_US>(window, now, self.state.config.wrong_keys_per_second, u32::MAX)
            .map(drop)
            .map_err(|limited| Limited { limit: LimitKind::Address, ..limited })
    }

    /// Reserves a price from the key's spend of the day. The guard gives it back when it is dropped,
    /// unless [`SpendGuard::spent`] says that the message was admitted.
    ///
    /// # Errors
    /// `spend`, until the day ends.
    pub fn reserve_spend(&self, key: ApiKeyId, wall: UnixMs, amount: Micros, limit: Micros) -> Result<SpendGuard, Limited> {
        assert!(!amount.is_negative(), "a price is never negative");
        let mut shard = self.state.keys.of(&key);
        let day = shard.days.move_to(wall);
        let full = Limited { limit: LimitKind::Spend, retry_after_ms: shard.days.ends_in_ms(wall) };
        let Some(spent) = shard.days.used(key).spend_micros.checked_add(amount.0).filter(|spent| *spent <= limit.0) else {
            return Err(full);
        };
        shard.days.used_mut(key).map_err(|_| full)?.spend_micros = spent;
        drop(shard);
        Ok(SpendGuard::new(Arc::clone(&self.state), key, day, amount))
    }

    /// What is left of a key's limits, for headers. Takes nothing.
    #[must_use]
    pub fn standing(&self, key: ApiKeyId, policy: &CompiledPolicy, now: Tick, wall: UnixMs) -> Standing {
        let mut shard = self.state.keys.of(&key);
        let KeyShard { active, days } = &mut *shard;
        days.move_to(wall);
        let (used, day_ends_in_ms) = (days.used(key), days.ends_in_ms(wall));
        match active.get(key) {
            Some(usage) => {
                let at = usage.window.advance(now, MINUTE_US);
                Standing::of(policy, &usage.window, at, usage.in_flight, used, day_ends_in_ms)
            }
            None => Standing::of(policy, &Window::default(), now, 0, used, day_ends_in_ms),
        }
    }

    /// How far back [`Limits::restore`] wants the stored sends.
    #[must_use]
    pub fn remembers_ms(&self) -> i64 {
        let longest_us = self.state.config.pair.remembered_us().max(MINUTE_US);
        i64::try_from(longest_us / 1_000).unwrap_or(i64::MAX)
    }

    /// Rebuilds windows, ceilings and pairs after a restart from the sends of the last
    /// [`Limits::remembers_ms`]; to be called before the first request.
    pub fn restore(&self, recent: &[RecentSend], now_wall: UnixMs, now: Tick) {
        let mut in_order: Vec<&RecentSend> = recent.iter().collect();
        in_order.sort_by_key(|send| send.at);
        for send in in_order {
            let at = Tick::of_stored(send.at, now_wall, now);
            if at.plus_us(MINUTE_US) > now
                && let Ok(usage) = self.state.keys.of(&send.api_key).active.get_or_insert(send.api_key, now, KeyUse::default)
            {
                let at = usage.window.advance(at, MINUTE_US);
                usage.window.admit(at);
            }
            if send.mode == Mode::Live && send.reached_meta {
                self.restore_number_and_pair(send, at, now);
            }
        }
    }

    fn restore_number_and_pair(&self, send: &RecentSend, at: Tick, now: Tick) {
        if at.plus_us(SECOND_US) > now
            && let Ok(Recent(window)) = self.state.numbers.of(&send.application).get_or_insert(send.application, now, Recent::default)
        {
            let at = window.advance(at, SECOND_US);
            window.admit(at);
        }
        let pair = PairKey::new(send.application, send.recipient);
        if let Ok(bucket) = self.state.pairs.of(&pair).get_or_insert(pair, now, || Bucket::full(at)) {
            bucket.draw(self.state.config.pair, at);
        }
    }

    /// Takes over what keys used of the day before a restart, as the store counted it; to be called
    /// before the first request.
    pub fn restore_day(&self, usage: &[DayUsage], now_wall: UnixMs) {
        for used in usage {
            let mut shard = self.state.keys.of(&used.api_key);
            if shard.days.move_to(now_wall) == used.day
                && let Ok(place) = shard.days.used_mut(used.api_key)
            {
                *place = DayUse { messages: used.messages, spend_micros: used.spend.0 };
            }
        }
    }

    /// Forgets what is idle in shards that no request comes to any more. Called every few seconds;
    /// holds no lock for longer than a request does by much.
    pub fn tend(&self, now: Tick, wall: UnixMs) {
        self.state.keys.tend(|shard| {
            shard.days.move_to(wall);
            shard.active.forget(now, STEPS_PER_TEND)
        });
        self.state.lookups.tend(|shard| shard.forget(now, STEPS_PER_TEND));
        self.state.numbers.tend(|shard| shard.forget(now, STEPS_PER_TEND));
        self.state.pairs.tend(|shard| shard.forget(now, STEPS_PER_TEND));
        self.state.wrong_keys.tend(|shard| shard.forget(now, STEPS_PER_TEND));
    }

    /// How much is remembered, for metrics and for the tests of the bounds.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let state = &self.state;
        let active = state.keys.size(|shard| shard.active.size());
        let days = state.keys.size(|shard| shard.days.size());
        let lookups = state.lookups.size(Idle::size);
        let numbers = state.numbers.size(Idle::size);
        let pairs = state.pairs.size(Idle::size);
        let addresses = state.wrong_keys.size(Idle::size);
        Footprint {
            keys: active.0,
            counted_days: days.0,
            lookups: lookups.0,
            numbers: numbers.0,
            pairs: pairs.0,
            addresses: addresses.0,
            bytes: active.1 + days.1 + lookups.1 + numbers.1 + pairs.1 + addresses.1,
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("config", &self.state.config).finish_non_exhaustive()
    }
}

/// How much is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Active keys.
    pub keys: usize,
    /// Keys whose day is counted.
    pub counted_days: usize,
    /// Keys that look up.
    pub lookups: usize,
    /// Active sending numbers.
    pub numbers: usize,
    /// Active pairs.
    pub pairs: usize,
    /// Addresses that presented wrong keys.
    pub addresses: usize,
    /// All of it, in bytes allocated.
    pub bytes: usize,
}

impl From<Full> for Limited {
    fn from(full: Full) -> Self {
        match full {
            Full::Second { wait_us } => Limited::after_us(LimitKind::Second, wait_us),
            Full::Minute { wait_us } => Limited::after_us(LimitKind::Minute, wait_us),
        }
    }
}

/// Keeps the no with the longest wait.
fn note(longest: &mut Option<Limited>, limited: Limited) {
    if longest.is_none_or(|other| other.retry_after_ms < limited.retry_after_ms) {
        *longest = Some(limited);
    }
}

/// Admits one, where all that matters is a window.
fn take_one<const KEEP_US: u64>(window: &mut Window, now: Tick, per_second: u32, per_minute: u32) -> Result<Tick, Limited> {
    let at = window.advance(now, KEEP_US);
    match window.full(at, per_second, per_minute) {
        Some(full) => Err(full.into()),
        None => {
            window.admit(at);
            Ok(at)
        }
    }
}

/// A quarter more than an even share, since shares are never quite even.
fn per_shard(max: usize, shards: usize) -> usize {
    let share = max.div_ceil(shards);
    share.saturating_add(share / 4).saturating_add(1)
}

/// The address itself, or the first 64 bits of an IPv6 address: a household or a server has that
/// many to choose from.
fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        // Shifted up again, so that no IPv6 network is taken for an IPv4 address.
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}
