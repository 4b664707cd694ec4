//! What is remembered. The only crate that names a database.
//!
//! A [`Store`] is one object-safe trait per concern, joined. Its methods are intentions (`admit`,
//! `settle`, `resolve`), take batches where the hot path needs them, and answer a "no" as a value;
//! a [`StoreError`] means that the store itself cannot be relied on now. No method holds a
//! transaction while its caller talks to the network, because none returns before it committed.
//!
//! What every engine promises:
//! - a message's admission, its holds and its idempotency key are one commit;
//! - an answer follows the commit that it reports;
//! - money rows are inserted once and never updated or deleted;
//! - a row of another organization is *not found*.

pub mod applications;
pub mod deliveries;
pub mod endpoints;
pub mod erasures;
pub mod error;
pub mod events;
#[cfg(any(test, feature = "faults"))]
pub mod faults;
pub mod keys;
pub mod ledger;
pub mod messages;
pub mod organizations;
pub mod planted;
pub mod rates;
pub mod sqlite;
pub mod templates;
pub mod users;

use std::future::Future;
use std::pin::Pin;

pub use error::StoreError;

/// What a method of the store gives: a future that ends after the commit (or the read).
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Everything that the engine asks of a database.
pub trait Store:
    organizations::Organizations
    + applications::Applications
    + keys::Keys
    + messages::Messages
    + ledger::Ledger
    + rates::Rates
    + templates::Templates
    + users::Users
    + events::Events
    + endpoints::Endpoints
    + deliveries::Deliveries
    + erasures::Erasures
    + Send
    + Sync
    + 'static
{
    /// Whether the store can take writes now: migrations done, disk not full. `Err` says why not.
    fn ready(&self) -> Answer<'_, ()>;

    /// Writes a consistent copy of the whole database to `target` (a folder that must not exist),
    /// while the gateway runs, and the journal of erasures. The master key is not in it.
    fn backup(&self, target: std::path::PathBuf) -> Answer<'_, BackupReport>;

    /// Ends the writer after what waits is committed. Later calls answer `Unavailable`.
    fn close(&self) -> Answer<'_, ()>;
}

/// What a backup holds.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// Size of the copy in bytes.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// The schema's version.
    pub schema_version: u32,
}
