//! Who is calling: from a presented key to a caller, without asking the store.

use std::net::IpAddr;
use std::sync::Arc;

use turnpike_domain::api_key::ApiKeyText;
use turnpike_domain::refusal::{LimitKind, NotAllowed, Refusal};
use turnpike_domain::send::Mode;

use crate::Engine;
use crate::directory::App;
use crate::keys::{FoundKey, Scopes};

/// A valid key and the application that it speaks for.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key and what it may do.
    pub key: FoundKey,
    /// Its application.
    pub app: Arc<App>,
}

impl Caller {
    /// Live or sandbox.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.key.mode
    }

    /// Refuses a key that lacks a scope (AUTH_006 `scope`).
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`].
    pub fn needs(&self, scope: Scopes) -> Result<(), Refusal> {
        if self.key.policy.scopes.contains(scope) { Ok(()) } else { Err(Refusal::NotAllowed(NotAllowed::Scope)) }
    }
}

impl Engine {
    /// The caller that presents `key` from `address` (`None` over a local socket).
    ///
    /// Junk is refused by its checksum, wrong keys are counted per address (20 a second, contract
    /// §3.2), and revocation takes effect at once, since the table in memory is what revocation
    /// changes.
    ///
    /// # Errors
    /// AUTH_001, AUTH_004, AUTH_005, AUTH_006 (address list), RATE_001 `address`.
    pub fn authenticate(&self, key: &str, address: Option<IpAddr>) -> Result<Caller, Refusal> {
        let Some(presented) = ApiKeyText::parse(key) else { return Err(self.refuse_wrong_key(address)) };
        let digest = presented.digest(self.vault.pepper()).0;
        let Some(found) = self.keys.find(&digest, self.clock.now()) else {
            if self.keys.is_unreadable(&digest) {
                return Err(Refusal::KeyRecordUnreadable);
            }
            return Err(match self.refuse_wrong_key(address) {
                // Its checksum is right, and the store may know it.
                Refusal::UnknownKey if self.keys.is_in_doubt() => Refusal::KeyStoreUnreachable,
                refusal => refusal,
            });
        };
        let Some(app) = self.directory.application(found.application) else { return Err(Refusal::KeyRecordUnreadable) };
        if let (Some(address), Some(_)) = (address, found.policy.allowed_ips.as_ref())
            && !found.policy.allows_ip(address)
        {
            return Err(Refusal::NotAllowed(NotAllowed::Address));
        }
        Ok(Caller { key: found, app })
    }

    /// Counts a wrong key, or an operator's wrong token, that came from `address`, and gives the refusal
    /// for it: AUTH_001, and RATE_001 `address` past 20 a second (contract §3.2).
    #[must_use]
    pub fn refuse_wrong_key(&self, address: Option<IpAddr>) -> Refusal {
        self.metrics.wrong_keys.inc();
        match address.map(|address| self.limits.take_wrong_key(address, self.tick())) {
            Some(Err(limited)) => Refusal::Limited { limit: LimitKind::Address, retry_after_ms: limited.retry_after_ms },
            _ => Refusal::UnknownKey,
        }
    }
}
