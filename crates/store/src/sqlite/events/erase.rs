//! Erasing one user of an organization: what was said to and by the user goes, the money's rows
//! stay, since they name nobody.
//!
//! Readers look for the user's rows, a range at a time; the writer empties what they found, a slice
//! per commit, with SQLite's secure delete. Once who asked has no more to empty, the log is copied away
//! ([`crate::erasures::Erasures::cut_log`]), so that the bytes are in no page of the files. Webhooks that are nobody's ([`super::kept`]) are emptied alike, once
//! who can open them has said which.

use hashbrown::HashSet;
use rusqlite::{Connection, params};
use turnpike_domain::ids::{MessageKey, OrganizationId};
use turnpike_domain::time::{UnixMs, UtcDay};

use super::job::EventsJob;
use super::names::names_in;
use super::record::SLOTS;
use super::state::bodies_table;
use crate::StoreError;
use crate::events::KeptWebhook;
use crate::messages::Hash16;
use crate::sqlite::failure::Failure;
use crate::sqlite::messages::exists;
use crate::sqlite::statements::{answers_table, contents_table, recipients_table};
use crate::sqlite::writer::{Job, Writer};
use crate::sqlite::{SqliteStore, open};

/// Rows that a reader looks at before it lets others read.
pub(super) const LOOKED_AT: i64 = 50_000;

/// Events or messages emptied per commit.
const PER_COMMIT: usize = 200;

/// How often the log's cutting is tried before who asked tries again later: readers may stand in the
/// way, each for a moment, and a backup for minutes.
const COPY_TRIES: u32 = 10;

/// Between tries.
const COPY_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How long one try may hold up the writer.
const COPY_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

/// What is to be emptied in one commit.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Erasure {
    events: Vec<FoundEvent>,
    messages: Vec<(MessageKey, UtcDay)>,
    /// Windows and wishes of these names, in every application of the organization.
    users: Option<(OrganizationId, Vec<Hash16>)>,
    /// Webhooks that are nobody's.
    kept: Vec<KeptWebhook>,
}

#[derive(Clone, Copy, Debug)]
struct FoundEvent {
    key: i64,
    day: UtcDay,
    raw: Option<i64>,
}

impl SqliteStore {
    /// Erases a user of these names; returns how many rows were emptied.
    pub(super) async fn erase(&self, organization: OrganizationId, names: Vec<Hash16>) -> Result<u64, StoreError> {
        let mut emptied = self.erase_some(Erasure { users: Some((organization, names.clone())), ..Erasure::default() }).await?;
        let names: HashSet<Hash16> = names.into_iter().collect();
        let mut after = 0;
        loop {
            let asked = names.clone();
            let (found, next) = self.read(move |snapshot| events_of(snapshot, organization, &asked, after)).await?;
            for events in found.chunks(PER_COMMIT) {
                emptied += self.erase_some(Erasure { events: events.to_vec(), ..Erasure::default() }).await?;
            }
            let Some(next) = next else { break };
            after = next;
        }
        for naming in NAMING {
            for (day, table) in self.read(|snapshot| tables_of(snapshot, naming)).await? {
                let mut after = 0;
                loop {
                    let (asked, table) = (names.clone(), table.clone());
                    let (found, next) = self.read(move |snapshot| messages_to(snapshot, organization, &asked, &table, after)).await?;
                    for messages in found.chunks(PER_COMMIT) {
                        let messages = messages.iter().map(|message| (*message, day)).collect();
                        emptied += self.erase_some(Erasure { messages, ..Erasure::default() }).await?;
                    }
                    let Some(next) = next else { break };
                    after = next;
                }
            }
        }
        Ok(emptied)
    }

    /// Empties kept webhooks; returns how many.
    pub(super) async fn erase_kept(&self, webhooks: Vec<KeptWebhook>) -> Result<u64, StoreError> {
        let mut emptied = 0;
        for kept in webhooks.chunks(PER_COMMIT) {
            emptied += self.erase_some(Erasure { kept: kept.to_vec(), ..Erasure::default() }).await?;
        }
        Ok(emptied)
    }

    async fn erase_some(&self, erasure: Erasure) -> Result<u64, StoreError> {
        self.ask(|caller| Job::Events(EventsJob::Erase(Box::new(erasure), caller))).await
    }

    /// The log still holds the pages as they were: it is copied into the database and cut. `false`
    /// where readers kept it from being cut.
    pub(in crate::sqlite) async fn copy_the_log_away(&self) -> Result<bool, StoreError> {
        let file = self.file().to_owned();
        let copy = move || -> Result<bool, Failure> {
            let connection = open::copying(&file)?;
            connection.busy_timeout(COPY_WAIT)?;
            for _ in 0..COPY_TRIES {
                // Nearly all of it beside the writer; what is left for the cut, which the writer waits
                // for, is small.
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
                let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
                if !busy {
                    return Ok(true);
                }
                std::thread::sleep(COPY_PAUSE);
            }
            Ok(false)
        };
        if self.inline {
            return copy().map_err(StoreError::from);
        }
        tokio::task::spawn_blocking(copy).await.map_err(StoreError::unavailable)?.map_err(StoreError::from)
    }
}

/// Events that are about a user of these names, among the next range of places; and where to go on.
fn events_of(
    connection: &Connection,
    organization: OrganizationId,
    names: &HashSet<Hash16>,
    after: i64,
) -> Result<(Vec<FoundEvent>, Option<i64>), Failure> {
    let first: Option<i64> =
        connection.prepare_cached("SELECT min(key) FROM events WHERE key > ?1")?.query_row([after], |row| row.get(0))?;
    let Some(first) = first else { return Ok((Vec::new(), None)) };
    let last = first.saturating_add(LOOKED_AT);
    let mut statement = connection.prepare_cached(
        "SELECT key, at, raw, user, aliases FROM events
         WHERE key BETWEEN ?1 AND ?2 AND organization = ?3 AND (user IS NOT NULL OR aliases IS NOT NULL)
         ORDER BY key",
    )?;
    let mut rows = statement.query(params![first, last, organization.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let of_event = names_in(row.get(3)?, row.get_ref(4)?.as_blob_or_null().unwrap_or(None));
        if of_event.iter().any(|name| names.contains(name)) {
            found.push(FoundEvent { key: row.get(0)?, day: UnixMs(row.get(1)?).day(), raw: row.get(2)? });
        }
    }
    Ok((found, Some(last)))
}

/// What begins the names of the tables by day that say whom messages went to, in the order in which a
/// message passes through them: who looks in this order misses none that moves on meanwhile.
pub(super) const NAMING: [&str; 2] = ["contents_", "recipients_"];

/// The tables by day of a kind, oldest first, each with its day.
pub(super) fn tables_of(connection: &Connection, kind: &str) -> Result<Vec<(UtcDay, String)>, Failure> {
    // Any one message tells the day of its table. A colon is what comes after the digits.
    let names: Vec<String> = connection
        .prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table' AND name >= ?1 AND name < ?2 ORDER BY name")?
        .query_map([kind.to_owned(), format!("{kind}:")], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut days = Vec::new();
    for name in names {
        let at: Option<i64> = connection.query_row(
            &format!("SELECT (SELECT at FROM messages WHERE key = (SELECT min(message) FROM {name}))"),
            [],
            |row| row.get(0),
        )?;
        days.extend(at.map(|at| (UnixMs(at).day(), name)));
    }
    Ok(days)
}

/// Messages to a user of these names among the next range of such a table; and where to go on.
pub(super) fn messages_to(
    connection: &Connection,
    organization: OrganizationId,
    names: &HashSet<Hash16>,
    table: &str,
    after: i64,
) -> Result<(Vec<MessageKey>, Option<i64>), Failure> {
    // It may have been forgotten meanwhile.
    if !exists(connection, table)? {
        return Ok((Vec::new(), None));
    }
    let first: Option<i64> =
        connection.prepare_cached(&format!("SELECT min(message) FROM {table} WHERE message > ?1"))?.query_row([after], |row| row.get(0))?;
    let Some(first) = first else { return Ok((Vec::new(), None)) };
    let last = first.saturating_add(LOOKED_AT);
    let mut owner = connection.prepare_cached("SELECT 1 FROM messages WHERE key = ?1 AND organization = ?2")?;
    let mut statement =
        connection.prepare_cached(&format!("SELECT message, recipient FROM {table} WHERE message BETWEEN ?1 AND ?2 ORDER BY message"))?;
    let mut rows = statement.query([first, last])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let message: i64 = row.get(0)?;
        if names.contains(&row.get::<_, Hash16>(1)?) && owner.exists([message, organization.0])? {
            found.push(MessageKey(message));
        }
    }
    Ok((found, Some(last)))
}

impl Writer<'_> {
    /// Empties what was found; returns how many rows.
    pub(super) fn erase_slice(&mut self, erasure: &Erasure) -> Result<u64, Failure> {
        let emptied = self.securely(|writer| writer.empty(erasure))?;
        Ok(u64::try_from(emptied).unwrap_or(0))
    }

    /// Deletes so that nothing of it stays in the file, not even in pages that become free.
    pub(in crate::sqlite) fn securely<T>(&mut self, delete: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.connection.pragma_update(None, "secure_delete", true)?;
        let deleted = delete(self);
        self.connection.pragma_update(None, "secure_delete", open::SECURE_DELETE)?;
        deleted
    }

    fn empty(&mut self, erasure: &Erasure) -> Result<usize, Failure> {
        let mut emptied = 0;
        if let Some((organization, names)) = &erasure.users {
            for name in names {
                emptied += self
                    .connection
                    .prepare_cached(
                        "DELETE FROM users WHERE user = ?1 AND application IN (SELECT id FROM applications WHERE organization = ?2)",
                    )?
                    .execute(params![name, organization.0])?;
            }
        }
        emptied += self.empty_kept(&erasure.kept)?;
        for event in &erasure.events {
            emptied += self.empty_event(*event)?;
        }
        for (message, day) in &erasure.messages {
            emptied += self
                .connection
                .prepare_cached(
                    "UPDATE message_statuses SET failure = json_object('code', failure ->> '$.code')
                     WHERE message = ?1 AND failure IS NOT NULL AND failure <> json_object('code', failure ->> '$.code')",
                )?
                .execute([message.0])?;
            for table in [contents_table(*day), recipients_table(*day), answers_table(*day)] {
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
        if let Some(row) = event.raw {
            emptied += self.empty_raw(event.day, row)?;
        }
        let (first, last) = (event.key * SLOTS, event.key * SLOTS + SLOTS - 1);
        emptied += self
            .connection
            .prepare_cached("UPDATE delivery_attempts SET answer = '' WHERE delivery BETWEEN ?1 AND ?2 AND answer <> ''")?
            .execute([first, last])?;
        emptied += self
            .connection
            .prepare_cached("UPDATE deliveries SET first_answer = '' WHERE key BETWEEN ?1 AND ?2 AND first_answer <> ''")?
            .execute([first, last])?;
        // There is nothing left to deliver.
        self.connection
            .prepare_cached("UPDATE deliveries SET state = 3, lane = NULL, next_at = NULL WHERE key BETWEEN ?1 AND ?2 AND state = 0")?
            .execute([first, last])?;
        self.connection.prepare_cached("UPDATE events SET user = NULL, aliases = NULL WHERE key = ?1")?.execute([event.key])?;
        Ok(emptied)
    }
}
