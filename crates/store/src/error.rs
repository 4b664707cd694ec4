//! The ways in which a store can fail its callers.

/// The store cannot be relied on for this call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It did not answer: stopped, disk full, I/O error. Whether a write took place is unknown to
    /// the caller; the next start knows.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What happened, for the operator's log.
        reason: String,
    },
    /// The commit that it was part of met a broken row or a bug, its own or another's, and was undone.
    /// The store goes on. Whether a write took place is unknown to the caller all the same; who asks
    /// again is asked alone, and meets this again only for a reason of his own.
    #[error("the write was undone: {reason}")]
    Undone {
        /// What was met, for the operator's log.
        reason: String,
    },
    /// A row does not say what it must.
    #[error("the store holds an unreadable row: {table}.{column} of {id}")]
    Corrupt {
        /// Table of the row.
        table: &'static str,
        /// Column that cannot be read.
        column: &'static str,
        /// Key of the row.
        id: String,
    },
}

impl StoreError {
    /// An [`StoreError::Unavailable`] for `reason`.
    pub fn unavailable(reason: impl std::fmt::Display) -> StoreError {
        StoreError::Unavailable { reason: reason.to_string() }
    }

    /// Whether a row or a bug stands in the way of what was asked, and the store is well: then each of
    /// a batch is worth asking for alone, and what is refused alone may be refused for ever.
    #[must_use]
    pub fn is_in_the_way(&self) -> bool {
        match self {
            StoreError::Undone { .. } | StoreError::Corrupt { .. } => true,
            StoreError::Unavailable { .. } => false,
        }
    }
}
