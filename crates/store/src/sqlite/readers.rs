//! The connections that only read.
//!
//! Each read borrows one for its own thread of the blocking pool and sees one snapshot of the
//! database, whatever the writer does meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::open;
use crate::StoreError;

/// A small pool. Connections are opened when first needed and kept.
pub(super) struct Readers {
    pool: Arc<Pool>,
    /// As many permits as connections, so that a burst of look-ups waits here and not in threads.
    permits: Arc<Semaphore>,
    inline: bool,
}

struct Pool {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// At most `count` reads at a time; `inline` reads on the caller's own thread.
    pub(super) fn new(file: PathBuf, count: usize, inline: bool) -> Readers {
        Readers { pool: Arc::new(Pool { file, idle: Mutex::default() }), permits: Arc::new(Semaphore::new(count.max(1))), inline }
    }

    /// Runs `work` in one read transaction.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.inline {
            return self.pool.read(work);
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(StoreError::unavailable)?;
        let pool = Arc::clone(&self.pool);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            pool.read(work)
        })
        .await
        .map_err(StoreError::unavailable)?
    }
}

impl Pool {
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, StoreError> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open::reading(&self.file).map_err(StoreError::unavailable)?,
        };
        let snapshot = connection.transaction_with_behavior(TransactionBehavior::Deferred).map_err(StoreError::unavailable)?;
        let answer = work(&snapshot);
        // Nothing was written; a failure to end the snapshot would show in the connection's next use.
        drop(snapshot);
        let answer = answer.map_err(StoreError::from)?;
        self.idle.lock().push(connection);
        Ok(answer)
    }
}
