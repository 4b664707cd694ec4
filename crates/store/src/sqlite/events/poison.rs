//! Poison: parts of webhooks that something of ours stands in the way of.
//!
//! The part is kept whole at its first try, so that nobody needs Meta to repeat it; how often it was
//! tried and when it is tried again stands beside it.

use rusqlite::{Connection, OptionalExtension as _, params};
use turnpike_domain::time::UnixMs;

use super::read;
use crate::events::{POISON_AGAIN_AFTER_MS, POISON_TRIES, Poisoned, Quarantine, QuarantineReason, QuarantineRecord};
use crate::sqlite::failure::Failure;

/// Notes one more try of each; keeps those that are not kept yet.
pub(super) fn note(connection: &Connection, parts: &[(Quarantine, String)], at: UnixMs) -> Result<Vec<Poisoned>, Failure> {
    parts.iter().map(|(part, fault)| note_one(connection, part, fault, at)).collect()
}

fn note_one(connection: &Connection, part: &Quarantine, fault: &str, at: UnixMs) -> Result<Poisoned, Failure> {
    let known: Option<(i64, u16, bool)> = connection
        .prepare_cached("SELECT id, tries, replayed_at IS NOT NULL FROM quarantine WHERE identity = ?1")?
        .query_row([&part.identity], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    // One that was taken in after all and fails again, begins anew.
    let tries = known.map_or(0, |(_, tries, was_replayed)| if was_replayed { 0 } else { tries }).saturating_add(1);
    let next_try_at = again_at(tries, at).map(|next| next.0);
    let id = match known {
        Some((id, ..)) => {
            connection
                .prepare_cached("UPDATE quarantine SET tries = ?2, next_try_at = ?3, fault = ?4, replayed_at = NULL WHERE id = ?1")?
                .execute(params![id, tries, next_try_at, fault])?;
            id
        }
        None => {
            connection
                .prepare_cached(
                    "INSERT INTO quarantine (at, reason, meta_app_id, waba_id, phone_number_id, field, identity, body, tries, next_try_at, fault)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute(params![
                    at.0,
                    part.reason as i64,
                    part.meta_app_id,
                    part.waba_id,
                    part.phone_number_id,
                    part.field,
                    &part.identity,
                    &part.body,
                    tries,
                    next_try_at,
                    fault,
                ])?;
            connection.last_insert_rowid()
        }
    };
    Ok(Poisoned { id, tries, is_given_up: next_try_at.is_none() })
}

/// When it is tried again after so many tries; `None` after the last.
fn again_at(tries: u16, at: UnixMs) -> Option<UnixMs> {
    if tries >= POISON_TRIES {
        return None;
    }
    POISON_AGAIN_AFTER_MS.get(usize::from(tries).checked_sub(1)?).map(|wait| at.plus_ms(*wait))
}

/// What is to be tried again by now, the longest due first.
pub(super) fn due(connection: &Connection, now: UnixMs, limit: u32) -> Result<Vec<QuarantineRecord>, Failure> {
    let ids: Vec<i64> = connection
        .prepare_cached("SELECT id FROM quarantine WHERE next_try_at <= ?1 AND reason = ?2 ORDER BY next_try_at, id LIMIT ?3")?
        .query_map(params![now.0, QuarantineReason::Poison as i64, limit], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(read::quarantined_one(connection, id)?);
    }
    Ok(found)
}

/// Tries it no more.
pub(super) fn give_up(connection: &Connection, id: i64) -> Result<bool, Failure> {
    Ok(connection.prepare_cached("UPDATE quarantine SET next_try_at = NULL WHERE id = ?1")?.execute([id])? == 1)
}
