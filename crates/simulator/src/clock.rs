//! The simulator's one place that reads the clock and starts tasks.
//!
//! It is a program of its own and so has no clock given to it; keeping the
//! reads here keeps everything else a function of its arguments.

use std::future::Future;

use jiff::Timestamp;

/// The wall clock's time, for `at` in the record.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// RFC 3339 in UTC with milliseconds, as the record writes it.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Starts a task on the runtime that we were started on.
#[expect(clippy::disallowed_methods, reason = "the simulator has no engine to track its tasks; its accept loop owns them by handle")]
pub(crate) fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}
