//! Taking turns: what is ready together is worked out together, and then written together.
//!
//! A commit makes many sends ready at once. Were each to write to its socket as soon as it can,
//! there would be some ten microseconds of work between two writes: enough for whoever waits at the
//! other end to fall asleep again, so that each write has to wake a processor or a network card,
//! which costs more than the write. So whoever is about to write lets the others come first.

use std::future::poll_fn;
use std::task::Poll;

/// Lets every task of this thread that is ready now come before this one.
pub async fn others_first() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        // A task that wakes itself goes to the end of its thread's queue.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
