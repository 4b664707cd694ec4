//! Bugs that a test plants on purpose, to see that the tests would find them.
//!
//! A harness that has never failed proves nothing (reliability §d, T0). With the feature
//! `planted-bugs` one bug can be chosen when the process starts, so that one build serves every one
//! of them; without the feature [`is`] is the constant `false`, and nothing of this is compiled
//! into the program. Each bug is one that such gateways really had.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The writer answers before its commit, so that messages go out that no row knows.
    AnswerBeforeCommit,
    /// A send without an answer in time is taken for one that was not sent.
    ReleaseOnTimeout,
    /// A server error is answered by sending again.
    RetryOnServerError,
    /// The send belongs to the caller's request and ends with it.
    SendNotDetached,
    /// The caller hears of an outcome that nobody wrote down.
    OutcomeNotKept,
    /// The Idempotency-Key is claimed only once the outcome is there.
    KeyClaimedLate,
    /// Capturing takes the amount twice.
    DoubleCapture,
    /// At start, what was under way is taken for not sent and its hold is given back.
    ReleaseAtRestart,
    /// The key of an unknown outcome is free, so that its repeat sends again.
    UnknownFreesKey,
    /// The same key answers another request.
    FingerprintIgnored,
    /// The balance is compared without what is held.
    HoldsNotCounted,
    /// A definite refusal of Meta's leaves the price held for ever.
    RefusalKeepsHold,
    /// A handler meets an impossibility and says it in the caller's own words.
    PanicWithBody,
}

#[cfg(feature = "planted-bugs")]
mod chosen {
    use std::sync::OnceLock;

    use super::Bug;

    static CHOSEN: OnceLock<Bug> = OnceLock::new();

    impl Bug {
        /// All of them.
        pub const ALL: [Bug; 13] = [
            Bug::AnswerBeforeCommit,
            Bug::ReleaseOnTimeout,
            Bug::RetryOnServerError,
            Bug::SendNotDetached,
            Bug::OutcomeNotKept,
            Bug::KeyClaimedLate,
            Bug::DoubleCapture,
            Bug::ReleaseAtRestart,
            Bug::UnknownFreesKey,
            Bug::FingerprintIgnored,
            Bug::HoldsNotCounted,
            Bug::RefusalKeepsHold,
            Bug::PanicWithBody,
        ];
    }

    /// Plants the bug of this name, as `Debug` writes it, for the life of the process. False where
    /// there is no such bug.
    pub fn plant(name: &str) -> bool {
        let Some(bug) = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name) else { return false };
        CHOSEN.set(bug).is_ok()
    }

    /// Whether this bug was planted.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        CHOSEN.get() == Some(&bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{is, plant};

/// Whether this bug was planted: never, without the feature.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}
