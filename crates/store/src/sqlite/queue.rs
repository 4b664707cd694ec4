//! Where jobs wait for the writer: bounded, taken by the handful.
//!
//! Most jobs have somebody who waits for their commit and are taken at once. Some are patient
//! ([`Job::is_patient`]): alone, they wait a millisecond for more of their kind, so that
//! they share a commit; the first that is in a hurry takes them along.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::writer::Job;
use crate::StoreError;

/// How long patient jobs wait for company.
const PATIENCE: Duration = Duration::from_millis(1);

/// So much of them is company enough: past it a commit hardly gets cheaper by the message.
const COMPANY: usize = 128;

/// What the writer does meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    /// It works, and looks here before it sleeps: nobody needs to wake it.
    #[default]
    Works,
    /// It sleeps until there is anything.
    Sleeps,
    /// It lets patient jobs wait for company.
    Waits,
}

/// What waits, and whether anybody still comes for it.
#[derive(Default)]
struct Line {
    jobs: Vec<Job>,
    /// Messages and commands in `jobs`: a job is a batch.
    weight: usize,
    /// Some of them are in a hurry, or enough are not.
    is_due: bool,
    writer: Doing,
    /// Set once, when the writer has died or was closed.
    ended: Option<String>,
}

/// The writer's inbox.
pub(super) struct Queue {
    line: Mutex<Line>,
    changed: Condvar,
    limit: usize,
}

impl Queue {
    /// An empty queue that refuses once `limit` messages wait.
    pub(super) fn new(limit: usize) -> Queue {
        Queue { line: Mutex::default(), changed: Condvar::new(), limit }
    }

    /// Adds a job.
    ///
    /// # Errors
    /// Where the queue is full or has ended, with the reason; the job is dropped.
    pub(super) fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut line = self.line.lock();
        if let Some(reason) = &line.ended {
            return Err(StoreError::unavailable(reason));
        }
        if line.weight >= self.limit {
            return Err(StoreError::unavailable("too many writes wait for the disk"));
        }
        line.weight += job.weight();
        line.is_due |= !job.is_patient() || line.weight >= COMPANY;
        line.jobs.push(job);
        if line.writer == Doing::Sleeps || line.writer == Doing::Waits && line.is_due {
            line.writer = Doing::Works;
            drop(line);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Everything that waits, once something does.
    pub(super) fn take(&self, into: &mut Vec<Job>) {
        let mut line = self.line.lock();
        while line.jobs.is_empty() && line.ended.is_none() {
            line.writer = Doing::Sleeps;
            self.changed.wait(&mut line);
        }
        if !line.is_due && line.ended.is_none() {
            line.writer = Doing::Waits;
            let _timed_out = self.changed.wait_for(&mut line, PATIENCE);
        }
        line.writer = Doing::Works;
        line.is_due = false;
        line.weight = 0;
        into.append(&mut line.jobs);
    }

    /// Refuses everything from now on; what waits stays for the last [`Queue::take`].
    pub(super) fn end(&self, reason: &str) {
        let mut line = self.line.lock();
        if line.ended.is_none() {
            line.ended = Some(reason.to_owned());
        }
        drop(line);
        self.changed.notify_one();
    }

    /// Why nothing is taken any more, where that is so.
    pub(super) fn ended(&self) -> Option<String> {
        self.line.lock().ended.clone()
    }
}
