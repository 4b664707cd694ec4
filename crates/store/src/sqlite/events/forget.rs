//! Forgetting events: POSTs, bodies, events with their deliveries, and statuses, each at its own
//! age, a slice per commit.

use rusqlite::params;
use turnpike_domain::time::{DAY_MS, UnixMs, UtcDay};

use super::record::SLOTS;
use super::state::{BLOCK, heard_span};
use super::sweep::{mark, write_mark};
use crate::sqlite::failure::Failure;
use crate::sqlite::messages::{Forgotten, oldest_table};
use crate::sqlite::writer::Writer;

/// Rows deleted per commit: a whole day at once would stand in the way of sends for seconds.
const ROWS_PER_COMMIT: i64 = 2_000;

/// Bodies deleted per commit: each is written over, so they weigh more.
const BODIES_PER_COMMIT: i64 = 500;

/// How long spans in which a number was heard of are kept: longer than an outcome stays unknown
/// before an operator decides it.
const HEARD_KEPT_MS: i64 = 15 * DAY_MS;

/// The mark that says up to which message statuses were forgotten: `ledger verify` asks no more for
/// them there.
pub(in crate::sqlite) const STATUSES_FORGOTTEN: &str = "statuses_forgotten";

/// What is older than these days goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::sqlite) struct Before {
    /// POSTs as they came.
    pub(in crate::sqlite) raw: UtcDay,
    /// Events, their bodies, deliveries and attempts; quarantine.
    pub(in crate::sqlite) events: UtcDay,
    /// Statuses, by their message's admission.
    pub(in crate::sqlite) statuses: UtcDay,
}

impl Writer<'_> {
    /// Deletes one slice.
    pub(super) fn forget_events_slice(&mut self, before: Before) -> Result<Forgotten, Failure> {
        for (kind, column, day) in [("raw_", "id", before.raw), ("event_bodies_", "event", before.events)] {
            if let Some(table) = oldest_table(self.connection, kind, day)? {
                return self.securely(|writer| writer.forget_table_slice(&table, column));
            }
        }
        if self.forget_events(before.events)? || self.forget_quarantine(before.events)? || self.forget_statuses(before.statuses)? {
            return Ok(Forgotten::Slice);
        }
        self.forget_by_application()?;
        Ok(Forgotten::Nothing)
    }

    fn forget_table_slice(&mut self, table: &str, column: &str) -> Result<Forgotten, Failure> {
        let deleted = self.connection.execute(
            &format!("DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table} ORDER BY {column} LIMIT {BODIES_PER_COMMIT})"),
            [],
        )?;
        if i64::try_from(deleted).unwrap_or(0) == BODIES_PER_COMMIT {
            return Ok(Forgotten::Slice);
        }
        self.events.forget_days();
        self.connection.flush_prepared_statement_cache();
        self.connection.execute_batch(&format!("DROP TABLE {table}"))?;
        Ok(Forgotten::Table)
    }

    /// Events go in order of their keys, and their deliveries and attempts with them.
    fn forget_events(&mut self, before: UtcDay) -> Result<bool, Failure> {
        let last: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(key) FROM (SELECT key, at FROM events ORDER BY key LIMIT ?1) WHERE at < ?2")?
            .query_row([ROWS_PER_COMMIT, before.start().0], |row| row.get(0))?;
        let Some(last) = last else { return Ok(false) };
        self.events.mark_last_event()?;
        let last_delivery = last.saturating_mul(SLOTS).saturating_add(SLOTS - 1);
        self.connection.prepare_cached("DELETE FROM delivery_attempts WHERE delivery <= ?1")?.execute([last_delivery])?;
        self.connection.prepare_cached("DELETE FROM deliveries WHERE key <= ?1")?.execute([last_delivery])?;
        self.connection.prepare_cached("DELETE FROM events WHERE key <= ?1")?.execute([last])?;
        Ok(true)
    }

    fn forget_quarantine(&mut self, before: UtcDay) -> Result<bool, Failure> {
        let deleted = self
            .connection
            .prepare_cached("DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine WHERE at < ?1 ORDER BY id LIMIT ?2)")?
            .execute([before.start().0, ROWS_PER_COMMIT])?;
        Ok(deleted > 0)
    }

    fn forget_statuses(&mut self, before: UtcDay) -> Result<bool, Failure> {
        let last: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(key) FROM (
                   SELECT key, at FROM messages
                   WHERE key >= (SELECT min(message) FROM message_statuses)
                   ORDER BY key
                   LIMIT ?1
                 ) WHERE at < ?2",
            )?
            .query_row([ROWS_PER_COMMIT, before.start().0], |row| row.get(0))?;
        let Some(last) = last else { return Ok(false) };
        self.connection.prepare_cached("DELETE FROM message_statuses WHERE message <= ?1")?.execute([last])?;
        let marked = mark(self.connection, STATUSES_FORGOTTEN)?.unwrap_or(0);
        write_mark(self.connection, STATUSES_FORGOTTEN, marked.max(last))?;
        Ok(true)
    }

    /// The small rows by application: spans in which a number was heard of, blocks without an event.
    fn forget_by_application(&mut self) -> Result<(), Failure> {
        let oldest = heard_span(UnixMs(self.memory.newest_at.0.saturating_sub(HEARD_KEPT_MS)));
        let applications: Vec<i64> =
            self.connection.prepare_cached("SELECT id FROM applications")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let first_event: i64 = self.connection.query_row("SELECT coalesce(min(key), 0) FROM events", [], |row| row.get(0))?;
        for application in applications {
            self.connection
                .prepare_cached("DELETE FROM event_blocks WHERE application = ?1 AND block < ?2")?
                .execute([application, first_event.div_euclid(BLOCK)])?;
            self.connection
                .prepare_cached("DELETE FROM heard WHERE application = ?1 AND span < ?2")?
                .execute(params![application, oldest])?;
        }
        self.events.forget_spans();
        Ok(())
    }
}
