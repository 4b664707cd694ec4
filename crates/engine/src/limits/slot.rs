//! What a send holds of the limits, and how it is given back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use turnpike_domain::ids::{ApiKeyId, ApplicationId};
use turnpike_domain::money::Micros;
use turnpike_domain::time::UtcDay;

use super::pair::PairKey;
use super::{Recent, State, Tick};

/// A request that step 4 admitted.
///
/// Moves into the send's own task and ends with it, and with it the send in flight. Its place in
/// the windows stays taken whatever follows. The message of the day that it reserved is given back
/// unless [`KeySlot::became_message`] was called: a refusal, or a caller who hangs up before the
/// admission, uses nothing of the day.
#[must_use = "dropping the slot ends the send in flight"]
pub struct KeySlot {
    state: Arc<State>,
    key: ApiKeyId,
    at: Tick,
    day: Option<UtcDay>,
    day_is_reserved: AtomicBool,
    window_is_taken: AtomicBool,
}

impl KeySlot {
    pub(super) fn new(state: Arc<State>, key: ApiKeyId, at: Tick, counted: Option<UtcDay>) -> KeySlot {
        KeySlot {
            state,
            key,
            at,
            day: counted,
            day_is_reserved: AtomicBool::new(counted.is_some()),
            window_is_taken: AtomicBool::new(true),
        }
    }

    /// When the windows count it.
    #[must_use]
    pub fn at(&self) -> Tick {
        self.at
    }

    /// The day in which it counts as a message, where its key's day is limited.
    #[must_use]
    pub fn day(&self) -> Option<UtcDay> {
        self.day
    }

    /// The message was admitted: its place in the day is used, and the store knows it.
    pub fn became_message(&self) {
        self.day_is_reserved.store(false, Ordering::Relaxed);
    }

    /// There will be no message: gives the reserved place in the day back now rather than when the
    /// slot is dropped.
    pub fn not_a_message(&self) {
        if let Some(day) = self.day
            && self.day_is_reserved.swap(false, Ordering::Relaxed)
        {
            self.state.keys.of(&self.key).days.change(self.key, day, |used| used.messages = used.messages.saturating_sub(1));
        }
    }

    /// It was a replay after all, which takes nothing: gives windows and day back.
    pub fn give_back_window(&self) {
        self.not_a_message();
        if self.window_is_taken.swap(false, Ordering::Relaxed)
            && let Some(usage) = self.state.keys.of(&self.key).active.get(self.key)
        {
            usage.window.take_back(self.at);
        }
    }
}

impl Drop for KeySlot {
    fn drop(&mut self) {
        self.not_a_message();
        let mut shard = self.state.keys.of(&self.key);
        let usage = shard.active.get(self.key);
        debug_assert!(usage.as_ref().is_some_and(|usage| usage.in_flight > 0), "a key with a send in flight is not forgotten");
        if let Some(usage) = usage {
            usage.in_flight = usage.in_flight.saturating_sub(1);
        }
    }
}

impl fmt::Debug for KeySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySlot").field("key", &self.key).field("at", &self.at).finish_non_exhaustive()
    }
}

/// A place in a number's second and in a pair's bucket. Dropping it changes nothing.
pub struct NumberSlot {
    state: Arc<State>,
    application: ApplicationId,
    pair: PairKey,
    at: Tick,
}

impl NumberSlot {
    pub(super) fn new(state: Arc<State>, application: ApplicationId, pair: PairKey, at: Tick) -> NumberSlot {
        NumberSlot { state, application, pair, at }
    }

    /// When the number's ceiling counts it.
    #[must_use]
    pub fn at(&self) -> Tick {
        self.at
    }

    /// Nothing went to Meta, and nothing will: it was a replay, or the balance did not cover it.
    pub fn give_back(self) {
        if let Some(Recent(window)) = self.state.numbers.of(&self.application).get(self.application) {
            window.take_back(self.at);
        }
        if let Some(bucket) = self.state.pairs.of(&self.pair).get(self.pair) {
            bucket.give_back(self.state.config.pair);
        }
    }
}

impl fmt::Debug for NumberSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NumberSlot").field("application", &self.application).field("at", &self.at).finish_non_exhaustive()
    }
}

/// A reserved part of a key's spend of the day, given back when dropped.
#[must_use = "dropping the guard gives the reserved amount back"]
pub struct SpendGuard {
    state: Arc<State>,
    key: ApiKeyId,
    day: UtcDay,
    amount: Micros,
}

impl SpendGuard {
    pub(super) fn new(state: Arc<State>, key: ApiKeyId, day: UtcDay, amount: Micros) -> SpendGuard {
        SpendGuard { state, key, day, amount }
    }

    /// The day whose spend it is part of.
    #[must_use]
    pub fn day(&self) -> UtcDay {
        self.day
    }

    /// The message was admitted with this price: it stays spent, also if its hold is released
    /// later (the store counts held amounts likewise).
    pub fn spent(mut self) {
        self.amount = Micros::ZERO;
    }
}

impl Drop for SpendGuard {
    fn drop(&mut self) {
        if self.amount != Micros::ZERO {
            let amount = self.amount;
            self.state.keys.of(&self.key).days.change(self.key, self.day, |used| used.spend_micros -= amount.0);
        }
    }
}

impl fmt::Debug for SpendGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpendGuard").field("key", &self.key).field("amount", &self.amount).finish_non_exhaustive()
    }
}
