//! Erasures on SQLite: the journal's lines first, then the rows.
//!
//! At every opening both are compared ([`adopt`]). That one step is what a crash between the two, a
//! restored backup and a lost journal have in common: what one of them knows the other learns, and
//! what the database did not know is to be applied to it.

pub(super) mod journal;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use self::journal::{Journal, Told};
use super::failure::Failure;
use super::open::OpenError;
use super::{SqliteStore, events};
use crate::erasures::{Erasure, ErasureDone, Erasures, JournalStanding, NewErasure};
use crate::events::KeptWebhook;
use crate::{Answer, StoreError};

const COLUMNS: &str = "id, organization, asked_at, sealed, names, owed, done_at, erased, name_count, webhooks, unreadable";

/// Opens the journal beside the database, and its copy, and lets all know what one of them knows. Returns
/// how many erasures the database did not know.
pub(super) fn adopt(connection: &mut Connection, folder: &Path, copy: Option<PathBuf>) -> Result<(Journal, u64), OpenError> {
    let failed = |source: io::Error| OpenError::Folder { path: folder.join(journal::ERASURES_FILE), source };
    let ours: HashSet<Uuid> =
        connection.prepare("SELECT uuid FROM organizations")?.query_map([], |row| row.get(0).map(uuid))?.collect::<Result<_, _>>()?;
    let (journal, read) = Journal::open(folder, copy, |organization| ours.contains(&organization)).map_err(failed)?;
    let unreadable = journal.standing().unreadable;
    if unreadable > 0 {
        tracing::error!(
            lines = unreadable,
            "the journal of erasures has lines that cannot be read; whom they are about is not known, and they are not applied"
        );
    }
    let in_file: HashSet<Uuid> = read.told.iter().map(|told| told.new.id).collect();
    let rows: Vec<Erasure> = connection
        .prepare(&format!("SELECT {COLUMNS} FROM erasures ORDER BY asked_at, id"))?
        .query_map([], of_row)?
        .collect::<Result<_, _>>()?;
    for row in rows.into_iter().filter(|row| !in_file.contains(&row.id)) {
        let new = NewErasure { id: row.id, organization: row.organization, at: row.asked_at, sealed: row.sealed };
        journal.tell(&Told { new, names: row.names }).map_err(failed)?;
    }
    let step = connection.transaction()?;
    let mut owed = 0;
    for Told { new, names } in &read.told {
        owed += insert(&step, new, names.as_deref(), true)?;
    }
    step.commit()?;
    Ok((journal, owed as u64))
}

fn insert(connection: &Connection, new: &NewErasure, names: Option<&[u8]>, owed: bool) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO erasures (id, organization, asked_at, sealed, names, owed) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute(params![new.id.as_bytes(), new.organization.as_bytes(), new.at.0, new.sealed, names, owed])
}

/// How many of these a restored database does not know.
pub(super) fn unknown_to(connection: &Connection, told: &[Told]) -> rusqlite::Result<u64> {
    let has_table = connection.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'erasures'")?.exists([])?;
    if !has_table {
        return Ok(told.len() as u64);
    }
    let mut known = connection.prepare("SELECT 1 FROM erasures WHERE id = ?1")?;
    let mut unknown = 0;
    for told in told {
        unknown += u64::from(!known.exists([told.new.id.as_bytes()])?);
    }
    Ok(unknown)
}

/// Whether any of these is about an organization of a database: another gateway's are not.
pub(super) fn any_is_of(connection: &Connection, told: &[Told]) -> rusqlite::Result<bool> {
    let mut organization = connection.prepare("SELECT 1 FROM organizations WHERE uuid = ?1")?;
    for told in told {
        if organization.exists([told.new.organization.as_bytes()])? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    let number = |place: usize| row.get::<_, i64>(place).map(i64::unsigned_abs);
    let done_at: Option<i64> = row.get(6)?;
    Ok(Erasure {
        id: uuid(row.get(0)?),
        organization: uuid(row.get(1)?),
        asked_at: UnixMs(row.get(2)?),
        sealed: row.get(3)?,
        names: row.get(4)?,
        owed: row.get(5)?,
        done: match done_at {
            Some(at) => {
                Some(ErasureDone { at: UnixMs(at), erased: number(7)?, names: number(8)?, webhooks: number(9)?, unreadable: number(10)? })
            }
            None => None,
        },
    })
}

fn list(connection: &Connection, condition: &str, values: impl rusqlite::Params) -> Result<Vec<Erasure>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM erasures WHERE {condition}"))?;
    Ok(statement.query_map(values, of_row)?.collect::<Result<_, _>>()?)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl SqliteStore {
    /// Works on the journal where blocking is no harm: it syncs.
    async fn journal<T: Send + 'static>(&self, work: impl FnOnce(&Journal) -> io::Result<T> + Send + 'static) -> Result<T, StoreError> {
        let failed = |error: io::Error| StoreError::unavailable(format!("the journal of erasures: {error}"));
        if self.inline {
            return work(&self.erasures).map_err(failed);
        }
        let journal = Arc::clone(&self.erasures);
        tokio::task::spawn_blocking(move || work(&journal)).await.map_err(StoreError::unavailable)?.map_err(failed)
    }
}

impl Erasures for SqliteStore {
    fn ask_erasure(&self, new: NewErasure) -> Answer<'_, ()> {
        Box::pin(async move {
            let line = new.clone();
            self.journal(move |journal| journal.ask(&line)).await?;
            self.control(move |connection| Ok(insert(connection, &new, None, false).map(drop)?)).await
        })
    }

    fn note_erasure_names(&self, id: Uuid, sealed: Vec<u8>) -> Answer<'_, ()> {
        Box::pin(async move {
            let line = sealed.clone();
            self.journal(move |journal| journal.note_names(id, &line)).await?;
            self.control(move |connection| {
                connection.prepare_cached("UPDATE erasures SET names = ?2 WHERE id = ?1")?.execute(params![id.as_bytes(), sealed])?;
                Ok(())
            })
            .await
        })
    }

    fn erasure_is_applied(&self, ids: Vec<Uuid>) -> Answer<'_, ()> {
        Box::pin(self.control(move |connection| {
            let mut applied = connection.prepare_cached("UPDATE erasures SET owed = 0 WHERE id = ?1")?;
            for id in ids {
                applied.execute([id.as_bytes()])?;
            }
            Ok(())
        }))
    }

    fn open_erasures(&self, limit: u32) -> Answer<'_, Vec<Erasure>> {
        Box::pin(self.read(move |snapshot| list(snapshot, "done_at IS NULL ORDER BY asked_at, id LIMIT ?1", [limit])))
    }

    fn erasure(&self, organization: Uuid, id: Uuid) -> Answer<'_, Option<Erasure>> {
        Box::pin(self.read(move |snapshot| {
            let sql = format!("SELECT {COLUMNS} FROM erasures WHERE id = ?1 AND organization = ?2");
            Ok(snapshot.prepare_cached(&sql)?.query_row([id.as_bytes(), organization.as_bytes()], of_row).optional()?)
        }))
    }

    fn erasures(&self, organization: Uuid, limit: u32) -> Answer<'_, Vec<Erasure>> {
        Box::pin(self.read(move |snapshot| {
            list(snapshot, "organization = ?1 ORDER BY asked_at DESC, id DESC LIMIT ?2", params![organization.as_bytes(), limit])
        }))
    }

    fn finish_erasure(&self, id: Uuid, done: ErasureDone) -> Answer<'_, ()> {
        Box::pin(self.control(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE erasures SET owed = 0, done_at = ?2, erased = ?3, name_count = ?4, webhooks = ?5, unreadable = ?6 WHERE id = ?1",
                )?
                .execute(params![id.as_bytes(), done.at.0, whole(done.erased), whole(done.names), whole(done.webhooks), whole(done.unreadable)])?;
            Ok(())
        }))
    }

    fn forget_erasures(&self, before: UnixMs) -> Answer<'_, u64> {
        Box::pin(async move {
            let old: HashSet<Uuid> = self
                .read(move |snapshot| list(snapshot, "done_at IS NOT NULL AND asked_at < ?1", [before.0]))
                .await?
                .into_iter()
                .map(|erasure| erasure.id)
                .collect();
            if old.is_empty() {
                self.journal(|journal| {
                    journal.catch_up();
                    Ok(())
                })
                .await?;
                return Ok(0);
            }
            let goes = old.clone();
            self.journal(move |journal| journal.forget(|id| goes.contains(&id))).await?;
            self.control(move |connection| {
                let mut forget = connection.prepare_cached("DELETE FROM erasures WHERE id = ?1")?;
                let mut gone = 0;
                for id in &old {
                    gone += forget.execute([id.as_bytes()])?;
                }
                Ok(gone as u64)
            })
            .await
        })
    }

    fn erasure_journal(&self) -> Answer<'_, JournalStanding> {
        Box::pin(async { Ok(self.erasures.standing()) })
    }

    fn newest_raw_webhook(&self) -> Answer<'_, Option<KeptWebhook>> {
        Box::pin(self.read(events::newest_raw_webhook))
    }

    fn cut_log(&self) -> Answer<'_, bool> {
        Box::pin(self.copy_the_log_away())
    }
}
