//! Moves the write-ahead log into the database beside the writer, not in its way.
//!
//! Left alone, SQLite does this inside the commit that crosses a threshold, and everyone who waits
//! for that commit waits for megabytes. So a thread of its own copies while the writer goes on: in
//! small slices, since even a thread with nothing to do with sends keeps its processor for
//! milliseconds once it has it. When the log is long enough to begin anew, this thread brings the
//! copies to the disk itself, because SQLite syncs the database only in the copy that finds nothing
//! newer in the log, and beside a busy writer that is never this thread's. Then the writer copies
//! what came in meanwhile, a few pages: only it can see a moment in which nothing is missing, and
//! only then does the log begin anew. The threshold inside SQLite stays as a ceiling for when this
//! thread cannot keep up.

use std::fs::File;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::failure::Failure;
use crate::StoreError;

/// Pages in the log (about 32 MB) after which it is to begin anew: few enough that a start after a
/// crash reads the log in some ten milliseconds, enough that syncing the database is rare.
const PAGES_DUE: i64 = 8_192;

/// Pages that the log grows by between two slices. The ends of tables, which every commit writes,
/// are then copied once for dozens of commits, and a slice takes a fraction of a millisecond.
const PAGES_PER_SLICE: usize = 512;

/// Pages that a commit writes whatever it holds: the ends of two hot tables, and a wallet.
const PAGES_PER_COMMIT: usize = 3;

/// Messages and outcomes of a few hundred bytes that share a page.
const MESSAGES_PER_PAGE: usize = 2;

/// What writer and keeper say to each other.
#[derive(Default)]
pub(super) struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Pages that the log has grown by since the last slice, estimated.
    pages: usize,
    /// A slice is to be copied.
    due: bool,
    /// The bulk is copied and on the disk; the writer does the rest.
    rest: bool,
    /// Nothing more will come.
    ended: bool,
}

impl Keeper {
    /// The writer has committed this many messages. True asks it to copy the rest of the log now.
    pub(super) fn committed(&self, messages: usize) -> bool {
        let mut state = self.state.lock();
        state.pages += PAGES_PER_COMMIT + messages / MESSAGES_PER_PAGE;
        let rest = std::mem::take(&mut state.rest);
        if state.pages >= PAGES_PER_SLICE && !state.due && !rest {
            state.due = true;
            drop(state);
            self.changed.notify_one();
        }
        rest
    }

    /// Ends [`Keeper::run`].
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_one();
    }

    /// Copies when it is due, until the end. `database` is the file that `connection` has open.
    ///
    /// # Errors
    /// What the disk says; the store does not survive it.
    pub(super) fn run(&self, connection: &Connection, database: &File) -> Result<(), Failure> {
        loop {
            let mut state = self.state.lock();
            while !state.due && !state.ended {
                self.changed.wait(&mut state);
            }
            if state.ended {
                return Ok(());
            }
            state.pages = 0;
            drop(state);
            let is_long = copy_the_log(connection)? >= PAGES_DUE;
            if is_long {
                sync(database)?;
                // Syncing took a while; a second time leaves the writer next to nothing.
                copy_the_log(connection)?;
                sync(database)?;
            }
            let mut state = self.state.lock();
            state.due = false;
            state.rest = is_long;
        }
    }
}

/// Copies as much of the log as no reader still needs, without waiting for anybody. Returns how
/// many pages the log has.
pub(super) fn copy_the_log(connection: &Connection) -> Result<i64, Failure> {
    // Where a reader was in the way, the next time gets the rest.
    Ok(connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |row| row.get(1))?)
}

/// Brings what was copied to the disk. Nothing relies on it: SQLite syncs again before it lets go
/// of the log, and then finds little to do. But a sync that fails ends the store, as the next one
/// may then lie.
fn sync(database: &File) -> Result<(), Failure> {
    database.sync_data().map_err(|error| StoreError::unavailable(format_args!("syncing the database: {error}")).into())
}
