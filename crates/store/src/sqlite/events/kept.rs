//! Webhooks that are kept as they came, and are nobody's: quarantine, and raw ones by day.
//!
//! Only who has the master key can tell whom one is about; here they are given out sealed, page by
//! page, and emptied by their place.

use rusqlite::{Connection, params};
use turnpike_domain::time::{UnixMs, UtcDay};

use super::state::raw_table;
use crate::events::KeptWebhook;
use crate::sqlite::failure::Failure;
use crate::sqlite::messages::exists;
use crate::sqlite::writer::Writer;

/// Most rows of one page, whatever is asked for: a payload may have megabytes.
const PAGE_MAX: u32 = 100;

/// A page of kept webhooks.
pub(super) fn after(connection: &Connection, after: Option<KeptWebhook>, limit: u32) -> Result<Vec<(KeptWebhook, Vec<u8>)>, Failure> {
    let limit = limit.clamp(1, PAGE_MAX);
    let first_day = match after {
        Some(KeptWebhook::Raw(day, _)) => Some(day),
        quarantined => {
            let after = quarantined.map_or(0, |place| if let KeptWebhook::Quarantined(id) = place { id } else { 0 });
            let mut statement =
                connection.prepare_cached("SELECT id, body FROM quarantine WHERE id > ?1 AND length(body) > 0 ORDER BY id LIMIT ?2")?;
            let page: Vec<_> = statement
                .query_map(params![after, limit], |row| Ok((KeptWebhook::Quarantined(row.get(0)?), row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            if !page.is_empty() {
                return Ok(page);
            }
            None
        }
    };
    for day in days(connection)?.into_iter().filter(|day| first_day.is_none_or(|first| *day >= first)) {
        let after = match after {
            Some(KeptWebhook::Raw(of, id)) if of == day => id,
            _ => 0,
        };
        let table = raw_table(day);
        let mut statement =
            connection.prepare(&format!("SELECT id, sealed FROM {table} WHERE id > ?1 AND length(sealed) > 0 ORDER BY id LIMIT ?2"))?;
        let page: Vec<_> = statement
            .query_map(params![after, limit], |row| Ok((KeptWebhook::Raw(day, row.get(0)?), row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if !page.is_empty() {
            return Ok(page);
        }
    }
    Ok(Vec::new())
}

/// The youngest raw webhook, emptied ones among them.
pub(in crate::sqlite) fn newest_raw(connection: &Connection) -> Result<Option<KeptWebhook>, Failure> {
    for day in days(connection)?.into_iter().rev() {
        let newest: Option<i64> = connection.query_row(&format!("SELECT max(id) FROM {}", raw_table(day)), [], |row| row.get(0))?;
        if let Some(id) = newest {
            return Ok(Some(KeptWebhook::Raw(day, id)));
        }
    }
    Ok(None)
}

/// Days that raw webhooks are kept of, oldest first.
fn days(connection: &Connection) -> Result<Vec<UtcDay>, Failure> {
    let names: Vec<String> = connection
        .prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table' AND name >= 'raw_' AND name < 'raw_:' ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let day = |name: &String| {
        let digits = name.strip_prefix("raw_").filter(|digits| digits.len() == 8)?;
        UnixMs::parse(&format!("{}-{}-{}", digits.get(..4)?, digits.get(4..6)?, digits.get(6..)?)).map(UnixMs::day)
    };
    Ok(names.iter().filter_map(day).collect())
}

impl Writer<'_> {
    /// Empties these; returns how many.
    pub(super) fn empty_kept(&mut self, webhooks: &[KeptWebhook]) -> Result<usize, Failure> {
        let mut emptied = 0;
        for webhook in webhooks {
            emptied += match *webhook {
                KeptWebhook::Quarantined(id) => {
                    self.connection.prepare_cached("UPDATE quarantine SET body = x'' WHERE id = ?1 AND length(body) > 0")?.execute([id])?
                }
                KeptWebhook::Raw(day, id) => self.empty_raw(day, id)?,
            };
        }
        Ok(emptied)
    }

    /// Empties a POST, whole. Its row stays, so that its number is not given to another.
    pub(super) fn empty_raw(&mut self, day: UtcDay, id: i64) -> Result<usize, Failure> {
        let table = raw_table(day);
        if !exists(self.connection, &table)? {
            return Ok(0);
        }
        Ok(self
            .connection
            .prepare_cached(&format!("UPDATE {table} SET sealed = x'' WHERE id = ?1 AND length(sealed) > 0"))?
            .execute([id])?)
    }
}
