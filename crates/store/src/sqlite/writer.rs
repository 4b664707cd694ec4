//! The one writer: a thread that brings what waits to the disk, a commit for many.
//!
//! SQLite has one writer at a time, so we bring the work to it: callers leave jobs in the queue,
//! the thread drains them into one `BEGIN IMMEDIATE … COMMIT` and answers after the commit. When
//! nothing waits a job is committed at once; under load the thread gathers for a fraction of a
//! millisecond first, because a synced commit costs as much CPU as several messages.
//!
//! An error of disk or file ends the store: the failed batch is never tried again, everyone who
//! waits hears `Unavailable`, and the `fatal` hook ends the program. The next start knows what was
//! committed.

use std::sync::Arc;

use rusqlite::Connection;

use super::Tuning;
use super::failure::Failure;
use super::queue::Queue;
use super::reply::{self, Withheld};

/// What the writer is asked to do.
pub(super) enum Job {
    /// Rare writes of the control plane, each in a savepoint of its own.
    Control(Box<dyn ControlJob>),
}

impl Job {
    /// How many messages or commands it carries.
    pub(super) fn weight(&self) -> usize {
        match self {
            Job::Control(_) => 1,
        }
    }
}

/// A control-plane write whose result type is its own business.
pub(super) trait ControlJob: Send {
    /// Does the work inside the savepoint. `Ok` keeps it, `Err` undoes it (and has told its caller).
    fn run(self: Box<Self>, connection: &Connection) -> Result<Withheld, Failure>;
}

/// What the thread needs.
pub(super) struct WriterSetup {
    /// The connection that writes.
    pub(super) connection: Connection,
    /// Where jobs come from.
    pub(super) queue: Arc<Queue>,
    /// See [`Tuning`].
    pub(super) tuning: Tuning,
    /// Called once with the reason when the store dies.
    pub(super) fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Runs until the queue ends.
pub(super) fn run(setup: WriterSetup) {
    let WriterSetup { connection, queue, tuning, fatal } = setup;
    let death = Death { queue: &queue, fatal: fatal.as_ref() };
    let mut waiting = Vec::new();
    let mut last_weight = 0;
    loop {
        let gather = (last_weight >= tuning.gather_from).then_some((tuning.gather, tuning.batch_enough));
        queue.take(gather, &mut waiting);
        if waiting.is_empty() {
            return;
        }
        last_weight = 0;
        let mut jobs = waiting.drain(..).peekable();
        while jobs.peek().is_some() {
            let mut weight = 0;
            let mut batch = Vec::new();
            while weight < tuning.batch_max
                && let Some(job) = jobs.next()
            {
                weight += job.weight();
                batch.push(job);
            }
            last_weight = last_weight.max(weight);
            if let Err(failure) = write(&connection, batch) {
                death.because(&failure.to_string());
                return;
            }
        }
    }
}

/// One batch, one commit. An error means that the store is dead.
fn write(connection: &Connection, batch: Vec<Job>) -> Result<(), Failure> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut answers = Vec::with_capacity(batch.len());
    for job in batch {
        match job {
            Job::Control(job) => answers.extend(control(connection, job)?),
        }
    }
    let committed = reply::commit(connection)?;
    for answer in answers {
        answer.release(&committed);
    }
    Ok(())
}

/// A control job in its savepoint: what fails there is undone there, and does not touch the rest
/// of the batch.
fn control(connection: &Connection, job: Box<dyn ControlJob>) -> Result<Option<Withheld>, Failure> {
    connection.prepare_cached("SAVEPOINT control")?.execute([])?;
    let answer = match job.run(connection) {
        Ok(answer) => Some(answer),
        Err(failure) if failure.is_fatal() => return Err(failure),
        Err(_told_by_the_job) => {
            connection.prepare_cached("ROLLBACK TO control")?.execute([])?;
            None
        }
    };
    connection.prepare_cached("RELEASE control")?.execute([])?;
    Ok(answer)
}

/// Ends the store for good; also when the thread panics, which would otherwise leave callers to
/// wait for ever.
struct Death<'a> {
    queue: &'a Queue,
    fatal: &'a (dyn Fn(&str) + Send + Sync),
}

impl Death<'_> {
    fn because(&self, reason: &str) {
        tracing::error!("the store stops for good: {reason}");
        self.queue.end(reason);
        let mut refused = Vec::new();
        self.queue.take(None, &mut refused);
        drop(refused);
        (self.fatal)(reason);
    }
}

impl Drop for Death<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.because("the writer met a bug and stopped");
        }
    }
}
