//! Who is calling: every usable API key of the gateway, in memory.
//!
//! A look-up is one keyed BLAKE3 of the presented text and one read under a shard's lock, so it
//! costs the same among one key and among a million, and a key that is not known costs no more
//! than one that is. What the control path changes (a key made, revoked, rotated) it applies here
//! right after its commit: a revoked key is refused from that instant on this node.
//!
//! A key is remembered by the first 16 bytes of its digest. They are a keyed hash of at least 154
//! random bits, so neither chance (2⁻⁸⁸ for a million keys) nor a caller without the pepper finds
//! two keys that share them; comparing the other 16 would double the largest part of the table.

mod network;
mod policies;
mod policy;
mod records;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashSet;
use parking_lot::RwLock;
use turnpike_domain::ids::{ApiKeyId, ApplicationId, OrganizationId};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_store::StoreError;
use turnpike_store::keys::{ApiKeyRow, Keys};

pub use network::IpNetwork;
pub use policy::{ALLOWED_IPS_MAX, CONCURRENCY_MAX, CompiledPolicy, RATE_PER_MINUTE_MAX, RATE_PER_SECOND_MAX, Scopes};

use policies::{Policies, PolicyNumber};
use records::{Record, Records};

/// Shards of the table. Enough that a write (which may move a shard's records to a larger place)
/// never holds up a reader for longer than some ten microseconds among a million keys.
const SHARDS: usize = 256;

/// A key that may be used, with what it may do.
#[derive(Clone, Debug)]
pub struct FoundKey {
    /// The key.
    pub key: ApiKeyId,
    /// Who pays.
    pub organization: OrganizationId,
    /// Which number sends.
    pub application: ApplicationId,
    /// Live or sandbox.
    pub mode: Mode,
    /// What it may do.
    pub policy: Arc<CompiledPolicy>,
}

/// All usable keys.
pub struct KeyTable {
    shards: Box<[RwLock<Records>]>,
    policies: Policies,
    /// Times that the store may have taken keys of which we never heard.
    doubts: AtomicU64,
    /// How many of them a reading of the store has answered since.
    answered: AtomicU64,
    /// See [`KeyTable::changing`].
    changes: tokio::sync::Mutex<()>,
}

impl KeyTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> KeyTable {
        let shards = (0..SHARDS).map(|_| RwLock::new(Records::default())).collect();
        let changes = tokio::sync::Mutex::new(());
        KeyTable { shards, policies: Policies::default(), doubts: AtomicU64::new(0), answered: AtomicU64::new(0), changes }
    }

    /// The key of a digest (`Presented::digest` of what the caller showed), if it may be used at
    /// `now`. Unknown, revoked, expired: all the same no.
    #[must_use]
    pub fn find(&self, digest: &[u8; 32], now: UnixMs) -> Option<FoundKey> {
        let records = self.shard(digest).read();
        let record = records.find(half(digest))?;
        if record.expires_at().is_some_and(|end| now >= end) {
            return None;
        }
        // Under the shard's lock: its number keeps its meaning while a record bears it.
        let policy = self.policies.get(record.policy())?;
        Some(FoundKey {
            key: record.key(),
            organization: record.organization(),
            application: record.application(),
            mode: record.mode(),
            policy,
        })
    }

    /// Whether a digest that [`KeyTable::find`] did not find is stored with a record that cannot be
    /// read (AUTH_005). Only asked after a no.
    #[must_use]
    pub fn is_unreadable(&self, digest: &[u8; 32]) -> bool {
        let records = self.shard(digest).read();
        records.find(half(digest)).is_some_and(|record| record.policy() == PolicyNumber::UNREADABLE)
    }

    /// Takes over a key as it is stored now: new, changed, rotated, revoked. The control path calls
    /// this after its commit; it holds for every look-up that begins later.
    ///
    /// `Unreadable` means that the key is kept, but refused with AUTH_005 until it is mended.
    pub fn apply(&self, row: &ApiKeyRow, now: UnixMs) -> Applied {
        let digest = &row.digest;
        if row.revoked_at.is_some() || row.expires_at.is_some_and(|end| now >= end) {
            self.remove(digest);
            return Applied::Ended;
        }
        let compiled = self.policies.intern(&row.policy);
        let number = compiled.as_ref().copied().unwrap_or(PolicyNumber::UNREADABLE);
        let record = Record::new(digest, row, number);
        let applied = match (&record, compiled) {
            (Some(_), Ok(_)) => Applied::Usable,
            (_, Err(faults)) => {
                Applied::Unreadable(faults.iter().map(|fault| format!("{} {}", fault.path, fault.problem)).collect::<Vec<_>>().join("; "))
            }
            (None, Ok(_)) => Applied::Unreadable("its ids or its mode are not those of a key".to_owned()),
        };
        let record = record.unwrap_or_else(|| {
            self.policies.release(number);
            Record::unreadable(digest)
        });
        let replaced = self.shard(digest).write().insert(record);
        if let Some(old) = replaced {
            self.policies.release(old.policy());
        }
        applied
    }

    /// Held from a commit that changes keys, or the reading of them, to [`KeyTable::apply`]: else one
    /// that is heard of late would put an older state of a key over a newer one, and a revoked key
    /// would be let in again. Look-ups do not wait for it.
    pub async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// Forgets a key at once. False where it was not known.
    pub fn remove(&self, digest: &[u8; 32]) -> bool {
        let mut records = self.shard(digest).write();
        let Some(old) = records.remove(half(digest)) else {
            return false;
        };
        self.policies.release(old.policy());
        true
    }

    /// Fills the table from the store, chunk by chunk. Gives how many keys can be used, and says
    /// which cannot be read and why.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(self: &Arc<Self>, store: &(dyn Keys + Sync), now: UnixMs) -> Result<Loaded, StoreError> {
        self.read(store, now, |_| ()).await
    }

    async fn read(
        self: &Arc<Self>,
        store: &(dyn Keys + Sync),
        now: UnixMs,
        mut also: impl FnMut(&ApiKeyRow) + Send + 'static,
    ) -> Result<Loaded, StoreError> {
        let loaded = Arc::new(parking_lot::Mutex::new(Loaded::default()));
        let (table, counted) = (Arc::clone(self), Arc::clone(&loaded));
        let take = move |rows: Vec<ApiKeyRow>| {
            let mut counted = counted.lock();
            for row in rows {
                also(&row);
                match table.apply(&row, now) {
                    Applied::Usable => counted.usable += 1,
                    Applied::Ended => {}
                    Applied::Unreadable(why) => counted.unreadable.push((row.key, why)),
                }
            }
        };
        store.load_keys(now, Box::new(take)).await?;
        let loaded = std::mem::take(&mut *loaded.lock());
        Ok(loaded)
    }

    /// The store was to make or end keys and its answer got lost: it may hold some that are not here,
    /// and may hold some as ended that are let in here.
    pub fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the store may hold keys that are not here. Then a key that is not found may still be
    /// a right one (AUTH_004), until [`KeyTable::catch_up`] has read the store.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.doubts.load(Ordering::Acquire) != self.answered.load(Ordering::Acquire)
    }

    /// Makes the table what the store holds, where that is in doubt; `None` where it is not.
    ///
    /// # Errors
    /// The store's; the doubt stays.
    pub async fn catch_up(self: &Arc<Self>, store: &(dyn Keys + Sync), now: UnixMs) -> Result<Option<Loaded>, StoreError> {
        // What is doubted while the store is read is not answered by this reading.
        let doubts = self.doubts.load(Ordering::Acquire);
        if doubts == self.answered.load(Ordering::Acquire) {
            return Ok(None);
        }
        let _changing = self.changing().await;
        let usable = Arc::new(parking_lot::Mutex::new(HashSet::new()));
        let seen = Arc::clone(&usable);
        let loaded = self
            .read(store, now, move |row| {
                seen.lock().insert(*half(&row.digest));
            })
            .await?;
        // What it does not hold as usable any more was ended by a call whose answer got lost.
        let usable = usable.lock();
        for shard in &self.shards {
            for old in shard.write().remove_but(|digest| usable.contains(digest)) {
                self.policies.release(old.policy());
            }
        }
        drop(usable);
        self.answered.store(doubts, Ordering::Release);
        Ok(Some(loaded))
    }

    /// Drops what has expired by `now`, one shard after the other. An expired key is refused
    /// without this too; it only gives the memory back.
    pub fn forget_expired(&self, now: UnixMs) -> usize {
        let mut forgotten = 0;
        for shard in &self.shards {
            for old in shard.write().remove_expired(now) {
                self.policies.release(old.policy());
                forgotten += 1;
            }
        }
        forgotten
    }

    /// How many keys are in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the table's records take, without the distinct policies.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().allocated_bytes()).sum()
    }

    fn shard(&self, digest: &[u8; 32]) -> &RwLock<Records> {
        &self.shards[usize::from(digest[0]) % SHARDS]
    }
}

impl Default for KeyTable {
    fn default() -> Self {
        KeyTable::new()
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTable").field("keys", &self.len()).finish_non_exhaustive()
    }
}

/// What [`KeyTable::apply`] made of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The key can be used.
    Usable,
    /// It is revoked or expired, and gone from the table.
    Ended,
    /// Its record cannot be read; in words, why. Its use is AUTH_005.
    Unreadable(String),
}

/// What [`KeyTable::load`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Keys that can be used.
    pub usable: usize,
    /// Keys whose record cannot be read, and why.
    pub unreadable: Vec<(ApiKeyId, String)>,
}

/// The part of a digest that the table remembers.
fn half(digest: &[u8; 32]) -> &[u8; 16] {
    digest.first_chunk().expect("32 bytes begin with 16")
}
