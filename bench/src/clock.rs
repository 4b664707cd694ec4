//! The one place where the bench looks at a clock: a stopwatch needs one.

use std::time::Instant;

/// The instant that it is.
#[expect(clippy::disallowed_methods, reason = "measuring time is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
