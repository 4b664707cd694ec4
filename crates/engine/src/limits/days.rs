//! What keys used of their UTC day: messages and spend.
//!
//! Only keys whose policy limits the day are counted. When a day begins the counts of the last are
//! dropped with their table, all at once and without a walk.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use turnpike_domain::ids::ApiKeyId;
use turnpike_domain::time::{UnixMs, UtcDay};

use super::shards::{NoRoom, Spread};

/// One shard's counts of one day.
#[derive(Debug)]
pub(super) struct Days {
    today: UtcDay,
    used: HashTable<(ApiKeyId, DayUse)>,
    max: usize,
}

/// What one key used today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DayUse {
    pub(super) messages: u32,
    pub(super) spend_micros: i64,
}

impl Days {
    pub(super) fn new(max: usize) -> Days {
        Days { today: UtcDay(i32::MIN), used: HashTable::new(), max }
    }

    /// Moves to the day of `wall` and gives it. A clock that is set back over midnight leaves the
    /// day where it is (else stepping to and fro would empty the counts); one that is set back
    /// further was wrong, and is believed now.
    pub(super) fn move_to(&mut self, wall: UnixMs) -> UtcDay {
        let day = wall.day();
        if day != self.today && day.next() != self.today {
            self.today = day;
            self.used = HashTable::new();
        }
        self.today
    }

    /// The wait until the counted day ends.
    pub(super) fn ends_in_ms(&self, wall: UnixMs) -> u64 {
        u64::try_from(self.today.next().start().0.saturating_sub(wall.0)).unwrap_or(0).max(1)
    }

    /// What a key used of the counted day.
    pub(super) fn used(&self, key: ApiKeyId) -> DayUse {
        self.used.find(key.spread(), |(other, _)| *other == key).map(|(_, used)| *used).unwrap_or_default()
    }

    /// The same, to be changed.
    pub(super) fn used_mut(&mut self, key: ApiKeyId) -> Result<&mut DayUse, NoRoom> {
        let room = self.used.len() < self.max;
        match self.used.entry(key.spread(), |(other, _)| *other == key, |(other, _)| other.spread()) {
            Entry::Occupied(known) => Ok(&mut known.into_mut().1),
            Entry::Vacant(_) if !room => Err(NoRoom),
            Entry::Vacant(vacant) => Ok(&mut vacant.insert((key, DayUse::default())).into_mut().1),
        }
    }

    /// Changes what a key used of `day`, if that is still the counted day.
    pub(super) fn change(&mut self, key: ApiKeyId, day: UtcDay, change: impl FnOnce(&mut DayUse)) {
        if day == self.today
            && let Some((_, used)) = self.used.find_mut(key.spread(), |(other, _)| *other == key)
        {
            change(used);
        }
    }

    /// Keys and bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.used.len(), self.used.allocation_size())
    }
}
