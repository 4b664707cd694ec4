//! A bug in one turn of what runs by the clock ends that turn, and nobody else's.
//!
//! What runs for as long as the process does (the sweep, notices, deliveries…) would otherwise end with
//! the first bug that it meets, and nobody would notice: sends go on. Sound, since a turn keeps nothing
//! half changed that the next one would use: what it decides by is the store's, and what it holds are
//! locks that know no poisoning and guard nothing between two writes.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use turnpike_store::StoreError;

/// Takes a turn; `None` where it met a bug, which is said.
pub(crate) async fn sheltered<T>(what: &'static str, turn: impl Future<Output = T>) -> Option<T> {
    let taken = AssertUnwindSafe(turn).catch_unwind().await.ok();
    if taken.is_none() {
        tracing::error!(what, "a bug was met; it goes on with the next turn");
    }
    taken
}

/// As [`sheltered`], for a turn that may fail anyway: to its caller a bug is the store's silence.
pub(crate) async fn or_unavailable<T>(what: &'static str, turn: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    sheltered(what, turn).await.unwrap_or_else(|| Err(StoreError::unavailable("a bug was met")))
}
