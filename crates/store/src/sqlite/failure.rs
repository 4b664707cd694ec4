//! What can go wrong inside a transaction, and which of it the store does not survive.

use rusqlite::ErrorCode;

use crate::StoreError;

/// Why work on a connection did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite said no.
    Sqlite(rusqlite::Error),
    /// The rows say something that they cannot.
    Store(StoreError),
    /// The commit itself failed: whether it is on disk is unknown.
    Commit(rusqlite::Error),
    /// A bug of ours stopped the writer in the middle of it.
    Bug,
}

impl Failure {
    /// Whether the file or the disk is to blame: after that no later answer could be trusted, so
    /// the writer stops for good (reliability §e).
    pub(super) fn is_fatal(&self) -> bool {
        let error = match self {
            Failure::Sqlite(error) => error,
            Failure::Commit(_) => return true,
            Failure::Store(_) | Failure::Bug => return false,
        };
        matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::OutOfMemory
                    | ErrorCode::PermissionDenied
            )
        )
    }
}

impl Failure {
    /// Whether it is about what was written, and not about the file, the disk or the schema: then what
    /// was begun can be undone, and the writer goes on from what is on disk.
    pub(super) fn can_be_undone(&self) -> bool {
        let error = match self {
            Failure::Store(_) | Failure::Bug => return true,
            Failure::Commit(_) => return false,
            Failure::Sqlite(error) => error,
        };
        let is_of_values = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig | ErrorCode::ParameterOutOfRange)
        );
        is_of_values || is_unreadable(error) || matches!(error, rusqlite::Error::QueryReturnedNoRows)
    }

    /// What is told to whom it happened.
    pub(super) fn told(&self) -> StoreError {
        match self {
            Failure::Store(StoreError::Corrupt { table, column, id }) => StoreError::Corrupt { table, column, id: id.clone() },
            failure if failure.can_be_undone() => StoreError::Undone { reason: failure.to_string() },
            failure => StoreError::unavailable(failure),
        }
    }

    /// Whether what a row says is to blame, and nothing else: another row may well be read.
    pub(super) fn is_about_a_row(&self) -> bool {
        match self {
            Failure::Store(error) => matches!(error, StoreError::Corrupt { .. }),
            Failure::Sqlite(error) => is_unreadable(error),
            Failure::Commit(_) | Failure::Bug => false,
        }
    }

    /// What stands in the way of one item, where that is a row of its own; else the failure itself.
    pub(super) fn of_one_item(self) -> Result<String, Failure> {
        if !self.is_about_a_row() {
            return Err(self);
        }
        let fault = StoreError::from(self).to_string();
        tracing::error!(fault, "what belongs to this row is passed over; the rest goes on");
        Ok(fault)
    }
}

/// Whether a cell holds what its column cannot.
pub(super) fn is_unreadable(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            // SQLite tells the column by its place, and not the row.
            Failure::Sqlite(error) if is_unreadable(&error) => StoreError::Corrupt { table: "?", column: "?", id: error.to_string() },
            Failure::Sqlite(error) => StoreError::unavailable(error),
            Failure::Store(error) => error,
            failure @ (Failure::Commit(_) | Failure::Bug) => failure.told(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Sqlite(error) | Failure::Commit(error) => error.fmt(f),
            Failure::Store(error) => error.fmt(f),
            Failure::Bug => f.write_str("the writer met a bug"),
        }
    }
}

/// A row's value that cannot be what its column means.
pub(super) fn corrupt(table: &'static str, column: &'static str, id: impl std::fmt::Display) -> Failure {
    Failure::Store(StoreError::Corrupt { table, column, id: id.to_string() })
}
