//! Reading a row, cell by cell: what cannot be read is named by table, column and row.

use rusqlite::Row;
use rusqlite::types::FromSql;
use turnpike_domain::money::Currency;
use uuid::Uuid;

use super::failure::{Failure, corrupt, is_unreadable};

/// A row whose first column is its key.
pub(super) struct Cells<'a> {
    row: &'a Row<'a>,
    table: &'static str,
    /// The row's key.
    pub(super) key: i64,
}

impl<'a> Cells<'a> {
    /// A row of `table`.
    pub(super) fn of(row: &'a Row<'a>, table: &'static str) -> Result<Cells<'a>, Failure> {
        Ok(Cells { row, table, key: row.get(0)? })
    }

    /// The cell at `place`, which is `column`.
    pub(super) fn get<T: FromSql>(&self, place: usize, column: &'static str) -> Result<T, Failure> {
        self.row.get(place).map_err(|error| unreadable(error, || self.corrupt(column)))
    }

    /// The cell at `place` as one of a closed set of words.
    pub(super) fn word<T>(&self, place: usize, column: &'static str, read: impl FnOnce(i64) -> Option<T>) -> Result<T, Failure> {
        read(self.get(place, column)?).ok_or_else(|| self.corrupt(column))
    }

    /// The cell at `place` as a UUID.
    pub(super) fn uuid(&self, place: usize, column: &'static str) -> Result<Uuid, Failure> {
        Ok(Uuid::from_bytes(self.get(place, column)?))
    }

    /// The cell at `place` as a currency.
    pub(super) fn currency(&self, place: usize, column: &'static str) -> Result<Currency, Failure> {
        Currency::parse(&self.get::<String>(place, column)?).ok_or_else(|| self.corrupt(column))
    }

    /// Says that `column` of this row does not say what it must.
    pub(super) fn corrupt(&self, column: &'static str) -> Failure {
        corrupt(self.table, column, self.key)
    }
}

/// The failure for `error`: the row's where the value is at fault, SQLite's where it is not.
pub(super) fn unreadable(error: rusqlite::Error, corrupt: impl FnOnce() -> Failure) -> Failure {
    if is_unreadable(&error) { corrupt() } else { Failure::Sqlite(error) }
}
