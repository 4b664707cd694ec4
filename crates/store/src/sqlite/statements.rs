//! The writer's statements on hot tables, prepared once for the life of its connection.

use rusqlite::{Connection, Statement};
use turnpike_domain::time::UtcDay;

/// Days whose statements are kept: today, and the days of messages that still change.
const DAYS_KEPT: usize = 8;

/// Prepared statements of the hot path.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    pub(super) begin: Statement<'c>,
    pub(super) insert_message: Statement<'c>,
    pub(super) insert_outcome: Statement<'c>,
    pub(super) update_wallet: Statement<'c>,
    days: Vec<Day<'c>>,
}

/// Statements on the tables of one day.
pub(super) struct Day<'c> {
    day: UtcDay,
    pub(super) insert_content: Statement<'c>,
    pub(super) put_answer: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Statements<'c>> {
        Ok(Statements {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            insert_message: connection.prepare(
                "INSERT INTO messages
                   (key, organization, application, api_key, at, mode, kind, endpoint, price, base, meta, fingerprint, idempotency, salt)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?,
            insert_outcome: connection.prepare(
                "INSERT INTO outcomes (message, at, kind, meta_code, wamid, base_captured, base_released, meta_released)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            update_wallet: connection
                .prepare("UPDATE wallets SET posted = ?3, held_base = ?4, held_meta = ?5 WHERE organization = ?1 AND mode = ?2")?,
            days: Vec::new(),
        })
    }

    /// The statements of a day; makes its tables where they are missing.
    pub(super) fn day(&mut self, day: UtcDay) -> rusqlite::Result<&mut Day<'c>> {
        if let Some(place) = self.days.iter().position(|known| known.day == day) {
            return Ok(&mut self.days[place]);
        }
        if self.days.len() >= DAYS_KEPT {
            self.days.remove(0);
        }
        let (contents, answers) = (contents_table(day), answers_table(day));
        self.connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {contents} (message INTEGER PRIMARY KEY, recipient BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS {answers} (message INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;"
        ))?;
        self.days.push(Day {
            day,
            insert_content: self.connection.prepare(&format!("INSERT INTO {contents} (message, recipient, sealed) VALUES (?1, ?2, ?3)"))?,
            put_answer: self.connection.prepare(&format!("INSERT OR REPLACE INTO {answers} (message, sealed) VALUES (?1, ?2)"))?,
        });
        let last = self.days.len() - 1;
        Ok(&mut self.days[last])
    }

    /// Lets go of every day's statements: a table of theirs may have been dropped.
    pub(super) fn forget_days(&mut self) {
        self.days.clear();
    }
}

/// Sealed recipients and bodies of a day of admission.
pub(super) fn contents_table(day: UtcDay) -> String {
    format!("contents_{}", day.compact())
}

/// Whom messages of a day of admission went to, once their contents are forgotten: an erasure must find
/// what is left of them, which is their answers and what Meta wrote of failures.
pub(super) fn recipients_table(day: UtcDay) -> String {
    format!("recipients_{}", day.compact())
}

/// Sealed answers to messages of a day of admission.
pub(super) fn answers_table(day: UtcDay) -> String {
    format!("answers_{}", day.compact())
}
