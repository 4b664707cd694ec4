//! When two requests are the same (contract §3.5).
//!
//! An Idempotency-Key counts within application and mode, not API key, so that a key can be rotated
//! in the middle of a retry. The request itself is its surface, path, flags and body bytes, hashed
//! with keyed BLAKE3: as hard to collide as SHA-256, at a fifth of its price
//! (docs/decisions/0003-blake3.md).

use turnpike_domain::refusal::Refusal;
use turnpike_store::messages::Hash16;

use super::SendRequest;
use crate::Engine;
use crate::caller::Caller;

/// What a request is recognised by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// Hash of (application, mode of the key, Idempotency-Key).
    pub idempotency: Option<Hash16>,
    /// Hash of the request.
    pub fingerprint: Hash16,
    /// `X-Allow-Duplicate: true`.
    pub allow_duplicate: bool,
    /// False where the query could not be read: then nothing may be recalled by it.
    pub is_readable: bool,
}

impl Identity {
    /// The identity of `request`.
    ///
    /// # Errors
    /// REQ_002 for an Idempotency-Key that is none.
    pub(super) fn of(engine: &Engine, caller: &Caller, request: &SendRequest) -> Result<Identity, Refusal> {
        let key = match &request.idempotency_key {
            Ok(key) => key.as_deref(),
            Err(fault) => return Err(Refusal::Fields(vec![fault.clone()])),
        };
        let flags = request.flags.as_ref().ok().copied().unwrap_or_default();
        let scope = scope(caller);
        let idempotency = key.map(|key| engine.vault.idempotency().hash(&[&scope, key.as_bytes()]));
        let marks = [b'm', u8::from(flags.mmlite), u8::from(flags.is_fake)];
        let fingerprint = engine.vault.fingerprint().hash(&[&scope, &marks, &request.body]);
        Ok(Identity { idempotency, fingerprint, allow_duplicate: request.allow_duplicate, is_readable: request.flags.is_ok() })
    }
}

/// Application and mode of the key, as bytes.
fn scope(caller: &Caller) -> [u8; 9] {
    let mut scope = [0u8; 9];
    scope[..8].copy_from_slice(&caller.key.application.0.to_be_bytes());
    scope[8] = caller.mode().number();
    scope
}

impl Engine {
    /// The hash that an Idempotency-Key has for a caller: for look-ups by key.
    pub(super) fn idempotency_hash(&self, caller: &Caller, key: &str) -> Hash16 {
        self.vault.idempotency().hash(&[&scope(caller), key.as_bytes()])
    }
}
