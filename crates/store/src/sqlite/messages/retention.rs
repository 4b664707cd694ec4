//! Forgetting: contents and answers go by the day, a slice per commit.
//!
//! An answer outlives its message's content, and bears the number that it went to. So whom the message
//! went to, as a keyed hash, stays as long as the answer does: else no erasure would find it.

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
        // What is forgotten here must not be found in the file either.
        if let Some(table) = oldest_table(self.connection, "contents_", contents)? {
            return self.securely(|writer| {
                writer.keep_recipients_slice(&table)?;
                writer.forget_day_slice(&table)
            });
        }
        if let Some(table) = oldest_table(self.connection, "recipients_", answers)? {
            return self.securely(|writer| {
                writer.forget_words_slice(&table)?;
                writer.forget_day_slice(&table)
            });
        }
        if let Some(table) = oldest_table(self.connection, "answers_", answers)? {
            return self.securely(|writer| writer.forget_day_slice(&table));
        }
        self.connection.prepare_cached("DELETE FROM usage WHERE day < ?1")?.execute([contents.0.min(answers.0)])?;
        Ok(Forgotten::Nothing)
    }

    /// Keeps whom the messages of the next slice went to.
    fn keep_recipients_slice(&mut self, contents: &str) -> Result<(), Failure> {
        let recipients = contents.replacen("contents_", "recipients_", 1);
        self.connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {recipients} (message INTEGER PRIMARY KEY, recipient BLOB NOT NULL) STRICT;
             INSERT OR IGNORE INTO {recipients} (message, recipient)
               SELECT message, recipient FROM {contents} ORDER BY message LIMIT {ROWS_PER_COMMIT};"
        ))?;
        Ok(())
    }

    /// What Meta wrote of failures is kept no longer than an erasure can find it.
    fn forget_words_slice(&mut self, recipients: &str) -> Result<(), Failure> {
        self.connection.execute(
            &format!(
                "UPDATE message_statuses SET failure = json_object('code', failure ->> '$.code')
                 WHERE failure IS NOT NULL AND message IN (SELECT message FROM {recipients} ORDER BY message LIMIT {ROWS_PER_COMMIT})"
            ),
            [],
        )?;
        Ok(())
    }

    fn forget_day_slice(&mut self, table: &str) -> Result<Forgotten, Failure> {
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
