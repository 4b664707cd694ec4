//! One shard of the table: packed records, and an index of them by digest.
//!
//! A hash table of whole records would be up to half empty at 44 bytes a place. So the records
//! stand tight in one array and only their numbers, 4 bytes, in the hash table; with the slack of
//! both a key takes at most 59 bytes, whatever the number of keys (architecture: at most 64).

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use turnpike_domain::ids::{ApiKeyId, ApplicationId, OrganizationId};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_store::keys::ApiKeyRow;

use super::half;
use super::policies::PolicyNumber;

/// The array grows by a sixteenth: the copying is amortised over as many inserts, and no more than
/// that is ever unused.
const GROWTH: usize = 16;
/// The smallest step in which the array grows.
const GROWTH_MIN: usize = 4;

/// What is known of a key, without padding: 44 bytes.
#[derive(Clone, Copy)]
pub(super) struct Record {
    digest: [u8; 16],
    /// Flagged where it is a sandbox key.
    key: Packed,
    organization: Packed,
    application: Packed,
    /// Milliseconds of Unix time; [`Packed::MAX`] is never.
    expires_at: Packed,
    /// The policy's number, little-endian.
    policy: [u8; 4],
}

/// 47 bits of a number and a flag, in 6 bytes: row ids and milliseconds until the year 6429.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Packed([u8; 6]);

impl Packed {
    const MAX: i64 = (1 << 47) - 1;
    const FLAG: u8 = 0x80;

    /// `None` for what no row has: negative or past 47 bits.
    fn new(number: i64) -> Option<Packed> {
        if !(0..=Packed::MAX).contains(&number) {
            return None;
        }
        let [a, b, c, d, e, f, ..] = number.to_le_bytes();
        Some(Packed([a, b, c, d, e, f]))
    }

    fn flagged(mut self, flag: bool) -> Packed {
        if flag {
            self.0[5] |= Packed::FLAG;
        }
        self
    }

    fn number(self) -> i64 {
        let [a, b, c, d, e, f] = self.0;
        i64::from_le_bytes([a, b, c, d, e, f & !Packed::FLAG, 0, 0])
    }

    fn flag(self) -> bool {
        self.0[5] & Packed::FLAG != 0
    }
}

impl Record {
    /// The record of a stored key; `None` where its ids or its mode are not those of a key.
    pub(super) fn new(digest: &[u8; 32], row: &ApiKeyRow, policy: PolicyNumber) -> Option<Record> {
        let sandbox = match row.mode {
            Mode::Live => false,
            Mode::Sandbox => true,
            // Fake is a way to ask, not a kind of key.
            Mode::Fake => return None,
        };
        // An end past the year 6429 is as good as none.
        let expires_at = row.expires_at.map_or(Packed::MAX, |end| end.0.min(Packed::MAX));
        Some(Record {
            digest: *half(digest),
            key: Packed::new(row.key.0)?.flagged(sandbox),
            organization: Packed::new(row.organization.0)?,
            application: Packed::new(row.application.0)?,
            expires_at: Packed::new(expires_at)?,
            policy: policy.0.to_le_bytes(),
        })
    }

    /// Marks a digest whose row cannot be read.
    pub(super) fn unreadable(digest: &[u8; 32]) -> Record {
        let none = Packed([0; 6]);
        Record {
            digest: *half(digest),
            key: none,
            organization: none,
            application: none,
            expires_at: none,
            policy: PolicyNumber::UNREADABLE.0.to_le_bytes(),
        }
    }

    pub(super) fn key(&self) -> ApiKeyId {
        ApiKeyId(self.key.number())
    }

    pub(super) fn organization(&self) -> OrganizationId {
        OrganizationId(self.organization.number())
    }

    pub(super) fn application(&self) -> ApplicationId {
        ApplicationId(self.application.number())
    }

    pub(super) fn mode(&self) -> Mode {
        if self.key.flag() { Mode::Sandbox } else { Mode::Live }
    }

    pub(super) fn expires_at(&self) -> Option<UnixMs> {
        let end = self.expires_at.number();
        (end != Packed::MAX).then_some(UnixMs(end))
    }

    pub(super) fn policy(&self) -> PolicyNumber {
        PolicyNumber(u32::from_le_bytes(self.policy))
    }
}

/// The records of one shard.
#[derive(Default)]
pub(super) struct Records {
    records: Vec<Record>,
    index: HashTable<u32>,
}

impl Records {
    pub(super) fn find(&self, digest: &[u8; 16]) -> Option<&Record> {
        let place = self.index.find(hash(digest), |place| self.records[*place as usize].digest == *digest)?;
        Some(&self.records[*place as usize])
    }

    /// Puts a record in, and gives the one that it replaced.
    pub(super) fn insert(&mut self, record: Record) -> Option<Record> {
        let Records { records, index } = self;
        let place = u32::try_from(records.len()).expect("a shard has fewer than 2³² keys");
        match index.entry(
            hash(&record.digest),
            |place| records[*place as usize].digest == record.digest,
            |place| hash(&records[*place as usize].digest),
        ) {
            Entry::Occupied(known) => Some(std::mem::replace(&mut records[*known.get() as usize], record)),
            Entry::Vacant(vacant) => {
                vacant.insert(place);
                if records.len() == records.capacity() {
                    records.reserve_exact((records.len() / GROWTH).max(GROWTH_MIN));
                }
                records.push(record);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, digest: &[u8; 16]) -> Option<Record> {
        let Records { records, index } = self;
        let entry = index.find_entry(hash(digest), |place| records[*place as usize].digest == *digest).ok()?;
        let (place, _) = entry.remove();
        let last = records.len() - 1;
        if place as usize != last {
            // The last record moves into the gap, so its number changes.
            let moved = index.find_mut(hash(&records[last].digest), |at| *at as usize == last);
            *moved.expect("every record is in the index") = place;
        }
        Some(records.swap_remove(place as usize))
    }

    /// Takes out all that has ended by `now`.
    pub(super) fn remove_expired(&mut self, now: UnixMs) -> Vec<Record> {
        let ended = |record: &Record| record.policy() != PolicyNumber::UNREADABLE && record.expires_at().is_some_and(|end| now >= end);
        let digests: Vec<_> = self.records.iter().filter(|record| ended(record)).map(|record| record.digest).collect();
        digests.iter().filter_map(|digest| self.remove(digest)).collect()
    }

    /// Takes out all but those whose digest `is_kept`.
    pub(super) fn remove_but(&mut self, is_kept: impl Fn(&[u8; 16]) -> bool) -> Vec<Record> {
        let digests: Vec<_> = self.records.iter().map(|record| record.digest).filter(|digest| !is_kept(digest)).collect();
        digests.iter().filter_map(|digest| self.remove(digest)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.index.allocation_size()
    }
}

/// A digest is random already; its first byte chose the shard, so others are taken.
fn hash(digest: &[u8; 16]) -> u64 {
    let [_, _, _, _, _, _, _, _, rest @ ..] = *digest;
    u64::from_le_bytes(rest)
}
