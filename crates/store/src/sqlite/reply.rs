//! Answers that cannot leave before the commit that they report.
//!
//! A job's answer is withheld as soon as it is known, and [`Withheld::release`] asks for a
//! [`Committed`], which only a successful COMMIT makes. So "reply before commit" does not compile.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::Failure;
use crate::StoreError;

/// Proof that the transaction of the current batch is on disk.
pub(super) struct Committed(());

/// Commits the open transaction.
///
/// # Errors
/// Whatever SQLite says. Whether the batch is on disk is then unknown, so the caller must not try
/// again: a second sync may claim what the first one lost.
pub(super) fn commit(connection: &Connection) -> rusqlite::Result<Committed> {
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(Committed(()))
}

/// A proof of nothing: what [`crate::planted::Bug::AnswerBeforeCommit`] releases answers by.
#[cfg(feature = "planted-bugs")]
pub(super) fn pretended() -> Committed {
    Committed(())
}

/// Who waits for the answer of a job.
pub(super) struct Caller<T>(Line<T>);

enum Line<T> {
    Task(oneshot::Sender<Result<T, StoreError>>),
    Thread(std::sync::mpsc::SyncSender<Result<T, StoreError>>),
}

impl<T: Send + 'static> Caller<T> {
    /// A caller that awaits.
    pub(super) fn task() -> (Caller<T>, oneshot::Receiver<Result<T, StoreError>>) {
        let (sender, receiver) = oneshot::channel();
        (Caller(Line::Task(sender)), receiver)
    }

    /// A caller that blocks its thread (inline mode).
    pub(super) fn thread() -> (Caller<T>, std::sync::mpsc::Receiver<Result<T, StoreError>>) {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        (Caller(Line::Thread(sender)), receiver)
    }

    /// Keeps the answer until the commit.
    pub(super) fn withhold(self, answer: T) -> Withheld {
        Withheld(Box::new(move || self.send(Ok(answer))))
    }

    /// Keeps the answer until the commit, or says at once why there will be none.
    ///
    /// # Errors
    /// What stands in the way of an answer.
    pub(super) fn withheld(self, answer: Result<T, Failure>) -> Result<Withheld, Failure> {
        match answer {
            Ok(answer) => Ok(self.withhold(answer)),
            Err(failure) => {
                self.refuse(failure.told());
                Err(failure)
            }
        }
    }

    /// Says that nothing can be said. Promises nothing, so it may go at any time.
    pub(super) fn refuse(self, error: StoreError) {
        self.send(Err(error));
    }

    /// A caller who has gone needs no answer: the commit stands either way.
    fn send(self, answer: Result<T, StoreError>) {
        match self.0 {
            Line::Task(sender) => drop(sender.send(answer)),
            Line::Thread(sender) => drop(sender.send(answer)),
        }
    }
}

/// An answer that waits for its commit. Dropped instead, it tells the caller that the commit was undone,
/// or that the store is unavailable.
pub(super) struct Withheld(Box<dyn FnOnce() + Send>);

impl Withheld {
    /// Sends the answer.
    pub(super) fn release(self, _proof: &Committed) {
        (self.0)();
    }
}
