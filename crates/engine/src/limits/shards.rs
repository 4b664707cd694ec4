//! Maps that forget what is idle, in shards with a lock each.
//!
//! Every entry can tell whether it still means anything. A queue of entries to ask again is worked
//! off a step at a time by the very calls that add entries, so the memory follows what is active
//! without a sweep that holds anybody up; [`Idle::forget`] from outside does the same for shards that nobody
//! calls any more, in small steps too.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::{Mutex, MutexGuard};

use super::Tick;

/// Entries asked per call. Each call adds one at most, so two a call always catch up.
const STEPS_PER_CALL: usize = 2;
/// Entries asked by a broom before it lets others to the lock: some ten microseconds.
pub(super) const STEPS_PER_TEND: usize = 256;
/// A table with less than an eighth of its places in use gives memory back, but not below this.
const SHRINK_ABOVE: usize = 64;

/// A key that knows how to scatter itself.
pub(super) trait Spread: Copy + Eq {
    /// A hash with all bits stirred.
    fn spread(&self) -> u64;
}

/// An entry that can be forgotten.
pub(super) trait Forget {
    /// Whether it says no more at `now` than its absence would.
    fn is_idle(&self, now: Tick) -> bool;

    /// Bytes that it has beside itself.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Stirs all bits of a number into all others (the finaliser of MurmurHash3).
pub(super) fn mix(number: u64) -> u64 {
    let stirred = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let stirred = (stirred ^ (stirred >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    stirred ^ (stirred >> 33)
}

/// A sharded map from `K` to what `T` keeps.
pub(super) struct Shards<T> {
    shards: Box<[Mutex<T>]>,
}

impl<T> Shards<T> {
    /// `count` shards (at most 65,536), each made by `make`.
    pub(super) fn new(count: usize, make: impl Fn() -> T) -> Shards<T> {
        Shards { shards: (0..count).map(|_| Mutex::new(make())).collect() }
    }

    /// The locked shard of a key.
    pub(super) fn of(&self, key: &impl Spread) -> MutexGuard<'_, T> {
        // The table inside uses the lowest and the highest bits.
        let middle = usize::try_from(key.spread() >> 32 & 0xffff).expect("16 bits");
        self.shards[middle % self.shards.len()].lock()
    }

    /// Does something small in each shard, again while it says that there is more, and lets others
    /// to the lock in between.
    pub(super) fn tend(&self, small: impl Fn(&mut T) -> bool) {
        for shard in &self.shards {
            while small(&mut shard.lock()) {}
        }
    }

    /// Entries and bytes of all shards, as `of` counts them.
    pub(super) fn size(&self, of: impl Fn(&T) -> (usize, usize)) -> (usize, usize) {
        self.shards
            .iter()
            .map(|shard| of(&shard.lock()))
            .fold((0, 0), |(entries, bytes), (more, heavier)| (entries + more, bytes + heavier))
    }
}

/// One shard's map of what is active.
pub(super) struct Idle<K, V> {
    table: HashTable<(K, V)>,
    /// When to ask which entry again, in order. Each entry is in it once.
    due: VecDeque<(Tick, K)>,
    ask_after_us: u64,
    max: usize,
}

/// The map has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl<K: Spread, V: Forget> Idle<K, V> {
    /// An empty map of at most `max` entries, each asked every `ask_after_us` whether it is idle.
    /// It takes no memory before the first.
    pub(super) fn new(max: usize, ask_after_us: u64) -> Idle<K, V> {
        Idle { table: HashTable::new(), due: VecDeque::new(), ask_after_us, max }
    }

    /// The entry of a key, made by `make` where there is none.
    pub(super) fn get_or_insert(&mut self, key: K, now: Tick, make: impl FnOnce() -> V) -> Result<&mut V, NoRoom> {
        self.forget(now, STEPS_PER_CALL);
        let room = self.table.len() < self.max;
        match self.table.entry(key.spread(), |(other, _)| *other == key, |(other, _)| other.spread()) {
            Entry::Occupied(known) => Ok(&mut known.into_mut().1),
            Entry::Vacant(_) if !room => Err(NoRoom),
            Entry::Vacant(vacant) => {
                self.due.push_back((now.plus_us(self.ask_after_us), key));
                Ok(&mut vacant.insert((key, make())).into_mut().1)
            }
        }
    }

    /// The entry of a key, if there is one.
    pub(super) fn get(&mut self, key: K) -> Option<&mut V> {
        self.table.find_mut(key.spread(), |(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Asks up to `steps` entries that are due; true where there may be more.
    pub(super) fn forget(&mut self, now: Tick, steps: usize) -> bool {
        for _ in 0..steps {
            match self.due.front() {
                Some((due, _)) if *due <= now => {}
                _ => return false,
            }
            let Some((_, key)) = self.due.pop_front() else { return false };
            let Ok(entry) = self.table.find_entry(key.spread(), |(other, _)| *other == key) else { continue };
            if entry.get().1.is_idle(now) {
                entry.remove();
                self.shrink();
            } else {
                self.due.push_back((now.plus_us(self.ask_after_us), key));
            }
        }
        true
    }

    fn shrink(&mut self) {
        if self.table.capacity() > SHRINK_ABOVE && self.table.len() < self.table.capacity() / 8 {
            self.table.shrink_to(self.table.capacity() / 4, |(key, _)| key.spread());
            self.due.shrink_to(self.due.len() * 2);
        }
    }

    /// Entries and bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let beside: usize = self.table.iter().map(|(_, value)| value.heap_bytes()).sum();
        (self.table.len(), self.table.allocation_size() + self.due.capacity() * size_of::<(Tick, K)>() + beside)
    }
}
