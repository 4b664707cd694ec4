//! Moves the write-ahead log into the database beside the writer, not in its way.
//!
//! Left alone, SQLite does this inside the commit that crosses a threshold, and everyone who waits
//! for that commit waits for megabytes. So a thread of its own copies the bulk while the writer
//! goes on, and then the writer copies what came in meanwhile, which is little: only it can see a
//! moment in which nothing is missing, and only then does the log begin anew. The threshold inside
//! SQLite stays as a ceiling for when this thread cannot keep up.

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::failure::Failure;

/// Pages in the log (about 16 MB) after which the bulk is copied: few enough that a start after a
/// crash reads the log in milliseconds, enough that the ends of tables, which every commit writes,
/// are copied once for hundreds of commits.
const PAGES_DUE: usize = 4_096;

/// Pages that a commit writes whatever it holds: the ends of the hot tables, and a wallet.
const PAGES_PER_COMMIT: usize = 6;

/// Messages of a few hundred bytes that share a page.
const MESSAGES_PER_PAGE: usize = 6;

/// What writer and keeper say to each other.
#[derive(Default)]
pub(super) struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Pages that the log has grown by, estimated.
    pages: usize,
    /// The bulk is to be copied.
    due: bool,
    /// The bulk has been copied; the writer does the rest.
    rest: bool,
    /// Nothing more will come.
    ended: bool,
}

impl Keeper {
    /// The writer has committed this many messages. True asks it to copy the rest of the log now.
    pub(super) fn committed(&self, messages: usize) -> bool {
        let mut state = self.state.lock();
        state.pages += PAGES_PER_COMMIT + messages / MESSAGES_PER_PAGE;
        if state.pages >= PAGES_DUE && !state.due && !state.rest {
            state.due = true;
            self.changed.notify_one();
        }
        if state.rest {
            state.rest = false;
            state.pages = 0;
            return true;
        }
        false
    }

    /// Ends [`Keeper::run`].
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_one();
    }

    /// Copies when it is due, until the end.
    ///
    /// # Errors
    /// What the disk says; the store does not survive it.
    pub(super) fn run(&self, connection: &Connection) -> Result<(), Failure> {
        loop {
            let mut state = self.state.lock();
            while !state.due && !state.ended {
                self.changed.wait(&mut state);
            }
            if state.ended {
                return Ok(());
            }
            drop(state);
            copy_the_log(connection)?;
            let mut state = self.state.lock();
            state.due = false;
            state.rest = true;
        }
    }
}

/// Copies as much of the log as no reader still needs, without waiting for anybody.
pub(super) fn copy_the_log(connection: &Connection) -> Result<(), Failure> {
    // The answer says how much was copied; where a reader was in the way, the next time gets it.
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
    Ok(())
}
