//! Where jobs wait for the writer: bounded, taken by the handful.

use parking_lot::{Condvar, Mutex};

use super::writer::Job;
use crate::StoreError;

/// What waits, and whether anybody still comes for it.
#[derive(Default)]
struct Line {
    jobs: Vec<Job>,
    /// Messages and commands in `jobs`: a job is a batch.
    weight: usize,
    /// The writer sleeps. False while it is at work, so that nobody wakes it for nothing.
    asleep: bool,
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
        line.jobs.push(job);
        if std::mem::take(&mut line.asleep) {
            drop(line);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Everything that waits, once something does.
    pub(super) fn take(&self, into: &mut Vec<Job>) {
        let mut line = self.line.lock();
        while line.jobs.is_empty() && line.ended.is_none() {
            line.asleep = true;
            self.changed.wait(&mut line);
        }
        line.asleep = false;
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
