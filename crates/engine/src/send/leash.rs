//! Work that nobody can cancel, at the price of a task only where somebody tries.
//!
//! From its admission on a send must go on though its caller hangs up (reliability §c1). A task of
//! its own would ensure that, and cost every message a spawn, a channel and two more wake-ups for
//! the sake of the few whose callers leave. So the caller's own future drives the work for as long
//! as it waits, and the moment it is dropped the work moves, wherever it stands, into a tracked
//! task. A drain waits for it either way.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Context;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use turnpike_store::planted::{self, Bug};

/// Work that goes on when this is dropped.
pub(super) struct Leash {
    /// `None` once it has ended.
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    tasks: TaskTracker,
    _counted: TaskTrackerToken,
}

impl Leash {
    /// Takes `work`; a bug that it meets ends it and nobody else.
    pub(super) fn new(work: impl Future<Output = ()> + Send + 'static, tasks: &TaskTracker) -> Leash {
        // In a box its kilobytes are written once; bare, they would be copied wherever it goes.
        Leash { work: Some(Box::pin(work)), tasks: tasks.clone(), _counted: tasks.token() }
    }

    /// Drives the work; true once it has ended.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(work) = &mut self.work else { return true };
        let ended = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(polled) => polled.is_ready(),
            Err(_) => {
                tracing::error!("a send met a bug; its outcome is unknown");
                true
            }
        };
        if ended {
            self.work = None;
        }
        ended
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| !planted::is(Bug::SendNotDetached)) else { return };
        // Without a runtime the process is ending, and the next start finds the send unknown.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.spawn_on(work, &runtime);
        }
    }
}
