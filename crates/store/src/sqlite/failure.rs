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
}

impl Failure {
    /// Whether the file or the disk is to blame: after that no later answer could be trusted, so
    /// the writer stops for good (reliability §e).
    pub(super) fn is_fatal(&self) -> bool {
        let Failure::Sqlite(error) = self else { return false };
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
    /// Whether what a row says is to blame, and nothing else: another row may well be read.
    pub(super) fn is_about_a_row(&self) -> bool {
        match self {
            Failure::Store(error) => matches!(error, StoreError::Corrupt { .. }),
            Failure::Sqlite(error) => is_unreadable(error),
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
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Sqlite(error) => error.fmt(f),
            Failure::Store(error) => error.fmt(f),
        }
    }
}

/// A row's value that cannot be what its column means.
pub(super) fn corrupt(table: &'static str, column: &'static str, id: impl std::fmt::Display) -> Failure {
    Failure::Store(StoreError::Corrupt { table, column, id: id.to_string() })
}
