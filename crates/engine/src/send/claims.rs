//! Idempotency-Keys of requests that are being decided: from the first look until the commit knows
//! them.
//!
//! The store decides who was first, and only its commit is binding. But until that commit a hundred
//! equal requests would all go on, each taking a place in windows, number and pair that only one of
//! them needs, and the others would hear of a limit instead of IDEM_001. On several nodes each has
//! claims of its own, and the store still admits one.

use std::sync::Arc;

use hashbrown::HashSet;
use parking_lot::Mutex;
use turnpike_store::messages::Hash16;

/// Enough that requests on different cores do not meet.
const SHARDS: usize = 64;

/// All claims. As many as requests with a key are being decided.
pub(crate) struct Claims {
    shards: Arc<[Mutex<HashSet<Hash16>>]>,
}

impl Default for Claims {
    fn default() -> Self {
        Claims { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

/// One key, claimed until this is dropped.
pub(super) struct Claim {
    shards: Arc<[Mutex<HashSet<Hash16>>]>,
    key: Hash16,
}

impl Claims {
    /// Claims a key; `None` where another request has it.
    pub(super) fn claim(&self, key: Hash16) -> Option<Claim> {
        let is_mine = shard(&self.shards, &key).lock().insert(key);
        is_mine.then(|| Claim { shards: Arc::clone(&self.shards), key })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        shard(&self.shards, &self.key).lock().remove(&self.key);
    }
}

/// The hash is keyed, so its first byte is as even as any.
fn shard<'a>(shards: &'a [Mutex<HashSet<Hash16>>], key: &Hash16) -> &'a Mutex<HashSet<Hash16>> {
    &shards[usize::from(key[0]) % SHARDS]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_claimed_once_until_it_is_let_go() {
        let claims = Claims::default();
        let claim = claims.claim([7; 16]).expect("nobody has it");
        assert!(claims.claim([7; 16]).is_none());
        assert!(claims.claim([8; 16]).is_some());
        drop(claim);
        assert!(claims.claim([7; 16]).is_some());
    }
}
