//! Forgetting: contents and answers go by the day, a slice per commit.

use rusqlite::{Connection, OptionalExtension as _};
use turnpike_domain::time::UtcDay;

use crate::sqlite::failure::Failure;
use crate::sqlite::writer::Writer;

/// Rows deleted per commit: a whole day at once would stand in the way of sends for seconds.
const ROWS_PER_COMMIT: i64 = 2_000;

/// How far forgetting has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sqlite) enum Forgotten {
    /// A table is empty and gone.
    Table,
    /// There is more to delete.
    Slice,
    /// Nothing is that old.
    Nothing,
}

impl Writer<'_> {
    /// Deletes one slice of what is older than these days.
    pub(in crate::sqlite) fn forget_a_slice(&mut self, contents: UtcDay, answers: UtcDay) -> Result<Forgotten, Failure> {
        let table = match oldest_table(self.connection, "contents_", contents)? {
            Some(table) => Some(table),
            None => oldest_table(self.connection, "answers_", answers)?,
        };
        let Some(table) = table else {
            self.connection.prepare_cached("DELETE FROM usage WHERE day < ?1")?.execute([contents.0.min(answers.0)])?;
            return Ok(Forgotten::Nothing);
        };
        let deleted = self.connection.execute(
            &format!("DELETE FROM {table} WHERE message IN (SELECT message FROM {table} ORDER BY message LIMIT {ROWS_PER_COMMIT})"),
            [],
        )?;
        if i64::try_from(deleted).unwrap_or(0) == ROWS_PER_COMMIT {
            return Ok(Forgotten::Slice);
        }
        self.statements.forget_days();
        self.connection.flush_prepared_statement_cache();
        self.connection.execute_batch(&format!("DROP TABLE {table}"))?;
        Ok(Forgotten::Table)
    }
}

/// The oldest table of this kind whose day is before `before`. Names sort as their days do.
pub(in crate::sqlite) fn oldest_table(connection: &Connection, kind: &str, before: UtcDay) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT name FROM sqlite_schema
             WHERE type = 'table' AND name >= ?1 AND name < ?2
             ORDER BY name
             LIMIT 1",
        )?
        .query_row([kind.to_owned(), format!("{kind}{}", before.compact())], |row| row.get(0))
        .optional()
}
