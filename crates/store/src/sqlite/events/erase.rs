//! Erasing one user of an organization: what was said to and by the user goes, the money's rows
//! stay, since they name nobody.
//!
//! Readers look for the user's rows, a range at a time; the writer empties what they found, a slice
//! per commit, with SQLite's secure delete, and in the end the log is copied away, so that the bytes
//! are in no page of the files. A quarantined payload is nobody's that we could tell, and goes by age.

use rusqlite::{Connection, params};
use turnpike_domain::ids::{MessageKey, OrganizationId};
use turnpike_domain::time::{UnixMs, UtcDay};

use super::job::EventsJob;
use super::record::SLOTS;
use super::state::{bodies_table, raw_table};
use crate::StoreError;
use crate::messages::Hash16;
use crate::sqlite::failure::Failure;
use crate::sqlite::messages::exists;
use crate::sqlite::statements::{answers_table, contents_table};
use crate::sqlite::writer::{Job, Writer};
use crate::sqlite::{SqliteStore, open};

/// Rows that a reader looks at before it lets others read.
const LOOKED_AT: i64 = 50_000;

/// Events or messages emptied per commit.
const PER_COMMIT: usize = 200;

/// How often the log's copying is tried before what is left of it waits for its own turn: readers
/// may stand in the way, each for a moment.
const COPY_TRIES: u32 = 50;

/// Between tries.
const COPY_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How long one try may hold up the writer.
const COPY_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

/// What is to be emptied in one commit.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Erasure {
    events: Vec<FoundEvent>,
    messages: Vec<(MessageKey, UtcDay)>,
    /// The window and wishes, in every application of the organization.
    user: Option<(OrganizationId, Hash16)>,
}

#[derive(Clone, Copy, Debug)]
struct FoundEvent {
    key: i64,
    day: UtcDay,
    raw: Option<i64>,
}

impl SqliteStore {
    /// Erases a user; returns how many rows were emptied.
    pub(super) async fn erase(&self, organization: OrganizationId, user: Hash16) -> Result<u64, StoreError> {
        let mut emptied = self.erase_some(Erasure { user: Some((organization, user)), ..Erasure::default() }).await?;
        let mut after = 0;
        loop {
            let (found, next) = self.read(move |snapshot| events_of(snapshot, organization, &user, after)).await?;
            for events in found.chunks(PER_COMMIT) {
                emptied += self.erase_some(Erasure { events: events.to_vec(), ..Erasure::default() }).await?;
            }
            let Some(next) = next else { break };
            after = next;
        }
        let days = self.read(days_of_contents).await?;
        for day in days {
            let mut after = 0;
            loop {
                let (found, next) = self.read(move |snapshot| messages_to(snapshot, organization, &user, day, after)).await?;
                for messages in found.chunks(PER_COMMIT) {
                    let messages = messages.iter().map(|message| (*message, day)).collect();
                    emptied += self.erase_some(Erasure { messages, ..Erasure::default() }).await?;
                }
                let Some(next) = next else { break };
                after = next;
            }
        }
        if emptied > 0 {
            self.copy_the_log_away().await?;
        }
        Ok(emptied)
    }

    async fn erase_some(&self, erasure: Erasure) -> Result<u64, StoreError> {
        self.ask(|caller| Job::Events(EventsJob::Erase(Box::new(erasure), caller))).await
    }

    /// The log still holds the pages as they were: it is copied into the database and cut.
    async fn copy_the_log_away(&self) -> Result<(), StoreError> {
        let file = self.file().to_owned();
        let copy = move || -> Result<(), Failure> {
            let connection = open::copying(&file)?;
            connection.busy_timeout(COPY_WAIT)?;
            for _ in 0..COPY_TRIES {
                let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
                if !busy {
                    return Ok(());
                }
                std::thread::sleep(COPY_PAUSE);
            }
            tracing::warn!("a user was erased, and readers kept the log from being cut: its old pages go when it is next copied");
            Ok(())
        };
        if self.inline {
            return copy().map_err(StoreError::from);
        }
        tokio::task::spawn_blocking(copy).await.map_err(StoreError::unavailable)?.map_err(StoreError::from)
    }
}

/// Events that are about a user, among the next range of places; and where to go on.
fn events_of(
    connection: &Connection,
    organization: OrganizationId,
    user: &Hash16,
    after: i64,
) -> Result<(Vec<FoundEvent>, Option<i64>), Failure> {
    let first: Option<i64> =
        connection.prepare_cached("SELECT min(key) FROM events WHERE key > ?1")?.query_row([after], |row| row.get(0))?;
    let Some(first) = first else { return Ok((Vec::new(), None)) };
    let last = first.saturating_add(LOOKED_AT);
    let mut statement = connection.prepare_cached(
        "SELECT key, at, raw FROM events
         WHERE key BETWEEN ?1 AND ?2 AND organization = ?3 AND (user = ?4 OR instr(aliases, ?4) > 0)
         ORDER BY key",
    )?;
    let found = statement
        .query_map(params![first, last, organization.0, user], |row| {
            Ok(FoundEvent { key: row.get(0)?, day: UnixMs(row.get(1)?).day(), raw: row.get(2)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok((found, Some(last)))
}

fn days_of_contents(connection: &Connection) -> Result<Vec<UtcDay>, Failure> {
    // Any one message tells the day of its table.
    let names: Vec<String> = connection
        .prepare_cached(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name >= 'contents_' AND name < 'contents_:' ORDER BY name",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut days = Vec::new();
    for name in names {
        let at: Option<i64> = connection.query_row(
            &format!("SELECT (SELECT at FROM messages WHERE key = (SELECT min(message) FROM {name}))"),
            [],
            |row| row.get(0),
        )?;
        days.extend(at.map(|at| UnixMs(at).day()));
    }
    Ok(days)
}

/// Messages to a user among the next range of a day's contents; and where to go on.
fn messages_to(
    connection: &Connection,
    organization: OrganizationId,
    user: &Hash16,
    day: UtcDay,
    after: i64,
) -> Result<(Vec<MessageKey>, Option<i64>), Failure> {
    let table = contents_table(day);
    if !exists(connection, &table)? {
        return Ok((Vec::new(), None));
    }
    let first: Option<i64> =
        connection.prepare_cached(&format!("SELECT min(message) FROM {table} WHERE message > ?1"))?.query_row([after], |row| row.get(0))?;
    let Some(first) = first else { return Ok((Vec::new(), None)) };
    let last = first.saturating_add(LOOKED_AT);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT c.message FROM {table} c CROSS JOIN messages m ON m.key = c.message
         WHERE c.message BETWEEN ?1 AND ?2 AND c.recipient = ?3 AND m.organization = ?4
         ORDER BY c.message"
    ))?;
    let found =
        statement.query_map(params![first, last, user, organization.0], |row| row.get(0).map(MessageKey))?.collect::<Result<_, _>>()?;
    Ok((found, Some(last)))
}

impl Writer<'_> {
    /// Empties what was found; returns how many rows.
    pub(super) fn erase_slice(&mut self, erasure: &Erasure) -> Result<u64, Failure> {
        self.connection.pragma_update(None, "secure_delete", true)?;
        let emptied = self.empty(erasure);
        self.connection.pragma_update(None, "secure_delete", false)?;
        Ok(u64::try_from(emptied?).unwrap_or(0))
    }

    fn empty(&mut self, erasure: &Erasure) -> Result<usize, Failure> {
        let mut emptied = 0;
        if let Some((organization, user)) = &erasure.user {
            emptied += self
                .connection
                .prepare_cached(
                    "DELETE FROM users WHERE user = ?1 AND application IN (SELECT id FROM applications WHERE organization = ?2)",
                )?
                .execute(params![user, organization.0])?;
        }
        for event in &erasure.events {
            emptied += self.empty_event(*event)?;
        }
        for (message, day) in &erasure.messages {
            for table in [contents_table(*day), answers_table(*day)] {
                if exists(self.connection, &table)? {
                    emptied += self.connection.prepare_cached(&format!("DELETE FROM {table} WHERE message = ?1"))?.execute([message.0])?;
                }
            }
        }
        Ok(emptied)
    }

    fn empty_event(&mut self, event: FoundEvent) -> Result<usize, Failure> {
        let mut emptied = 0;
        let bodies = bodies_table(event.day);
        if exists(self.connection, &bodies)? {
            emptied += self.connection.prepare_cached(&format!("DELETE FROM {bodies} WHERE event = ?1"))?.execute([event.key])?;
        }
        // The POST goes as a whole. Its row stays, so that its number is not given to another.
        let raw = raw_table(event.day);
        if let Some(row) = event.raw
            && exists(self.connection, &raw)?
        {
            emptied += self
                .connection
                .prepare_cached(&format!("UPDATE {raw} SET sealed = x'' WHERE id = ?1 AND length(sealed) > 0"))?
                .execute([row])?;
        }
        let (first, last) = (event.key * SLOTS, event.key * SLOTS + SLOTS - 1);
        emptied += self
            .connection
            .prepare_cached("UPDATE delivery_attempts SET answer = '' WHERE delivery BETWEEN ?1 AND ?2 AND answer <> ''")?
            .execute([first, last])?;
        // There is nothing left to deliver.
        self.connection
            .prepare_cached("UPDATE deliveries SET state = 3, lane = NULL, next_at = NULL WHERE key BETWEEN ?1 AND ?2 AND state = 0")?
            .execute([first, last])?;
        self.connection.prepare_cached("UPDATE events SET user = NULL, aliases = NULL WHERE key = ?1")?.execute([event.key])?;
        Ok(emptied)
    }
}
