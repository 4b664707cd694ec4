//! What a start does before the first job: rebuilds the writer's memory from rows, and gives every
//! admitted message that has no outcome one, because nobody will come back for it. A writer that has to
//! begin anew does the same without that.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use turnpike_domain::ids::{ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::ledger::OutcomeKind;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;

use super::events::{self, RecoveredEvents};
use super::failure::{Failure, corrupt};
use super::hash_index::{self, FILTERED_FOR_MS, HashIndex};
use super::memory::{InFlight, Memory, RESOLVED_WAMIDS_MAX};
use super::messages::KEY_KEPT_MS;
use super::open::OpenError;
use super::statement::DISORDER_MS;
use super::{Recovery, Tuning};
use crate::messages::Hash16;
use crate::planted::{self, Bug};

/// Beyond a key's day, how long its segment is kept: longer than any send is in flight.
const SEGMENT_MARGIN_MS: i64 = 3_600_000;

/// Memory and indexes as of the last commit, and what had to be settled.
pub(super) struct Recovered {
    pub(super) memory: Memory,
    pub(super) idempotency: Arc<HashIndex>,
    pub(super) wamids: Arc<HashIndex>,
    pub(super) events: RecoveredEvents,
    pub(super) recovery: Recovery,
}

/// Refuses a cipher that is not the database's own, before anything is written with it. The first
/// start leaves its mark.
pub(super) fn recognise(connection: &Connection, cipher: &MessageCipher) -> Result<(), OpenError> {
    let known: Option<i64> = connection.query_row("SELECT value FROM marks WHERE name = 'cipher'", [], |row| row.get(0)).optional()?;
    match known {
        Some(known) if known != cipher.mark() => Err(OpenError::OtherKey),
        Some(_) => Ok(()),
        None => {
            connection.execute("INSERT INTO marks (name, value) VALUES ('cipher', ?1)", [cipher.mark()])?;
            Ok(())
        }
    }
}

/// Recovers.
pub(super) fn recover(connection: &mut Connection, tuning: &Tuning, now: UnixMs) -> Result<Recovered, Failure> {
    let recovery = settle_the_abandoned(connection, now)?;
    let Read { memory, idempotency, wamids, events } = read(connection, tuning, now)?;
    Ok(Recovered { memory, idempotency: Arc::new(idempotency), wamids: Arc::new(wamids), events, recovery })
}

/// Undoes what is open, and makes memory and indexes what the rows say. What is in flight stays so:
/// whoever sent it is still there.
pub(super) fn again(
    connection: &Connection,
    tuning: &Tuning,
    now: UnixMs,
    known_keys: &HashIndex,
    known_wamids: &HashIndex,
) -> Result<(Memory, RecoveredEvents), Failure> {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    let Read { mut memory, idempotency, wamids, events } = read(connection, tuning, now)?;
    memory.in_flight = in_flight(connection)?;
    known_keys.take_over(idempotency);
    known_wamids.take_over(wamids);
    Ok((memory, events))
}

/// What the rows say.
struct Read {
    memory: Memory,
    idempotency: HashIndex,
    wamids: HashIndex,
    events: RecoveredEvents,
}

fn read(connection: &Connection, tuning: &Tuning, now: UnixMs) -> Result<Read, Failure> {
    let mut memory = Memory {
        last_place: connection.query_row(
            "SELECT max(coalesce((SELECT max(key) FROM messages), 0), coalesce((SELECT max(place) FROM wallet_movements), 0))",
            [],
            |row| row.get(0),
        )?,
        newest_at: now,
        placed_at: placed_at(connection)?,
        ..Memory::default()
    };
    let keep = Some(KEY_KEPT_MS + SEGMENT_MARGIN_MS);
    let (idempotency, covered) = HashIndex::load(connection, hash_index::IDEMPOTENCY, tuning.segment_entries, keep, now)?;
    add_recent_keys(connection, &idempotency, covered)?;
    pin_unknown_keys(connection, &idempotency, &mut memory)?;
    pin_resolved_keys(connection, &idempotency, &mut memory, now)?;
    let (wamids, covered) = HashIndex::load(connection, hash_index::WAMIDS, tuning.segment_entries, None, now)?;
    add_recent_wamids(connection, &wamids, covered)?;
    pin_resolved_wamids(connection, &wamids, &mut memory, now)?;
    let events = events::recover(connection, tuning, now)?;
    Ok(Read { memory, idempotency, wamids, events })
}

/// Messages without an outcome.
fn in_flight(connection: &Connection) -> Result<BTreeMap<MessageKey, InFlight>, Failure> {
    let settled_to: i64 =
        connection.query_row("SELECT value FROM marks WHERE name = 'settled'", [], |row| row.get(0)).optional()?.unwrap_or(0);
    let mut statement = connection.prepare(
        "SELECT m.key, m.organization, m.application, m.at, m.mode, m.base, m.meta, m.fingerprint, m.idempotency
         FROM messages m
         LEFT JOIN outcomes o ON o.message = m.key
         WHERE m.key > ?1 AND o.message IS NULL
         ORDER BY m.key",
    )?;
    let mut rows = statement.query([settled_to])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let key = MessageKey(row.get(0)?);
        let flying = InFlight {
            organization: OrganizationId(row.get(1)?),
            application: ApplicationId(row.get(2)?),
            at: UnixMs(row.get(3)?),
            mode: Mode::from_number(row.get(4)?).ok_or_else(|| corrupt("messages", "mode", key))?,
            base: Micros(row.get(5)?),
            meta: Micros(row.get(6)?),
            fingerprint: row.get(7)?,
            idempotency: row.get(8)?,
        };
        found.insert(key, flying);
    }
    Ok(found)
}

/// Every admitted message without an outcome gets one. Whether Meta saw a real one cannot be
/// known: unknown. A fake was never going to leave: not sent, so that its key is free.
fn settle_the_abandoned(connection: &mut Connection, now: UnixMs) -> Result<Recovery, Failure> {
    let settled_to: i64 =
        connection.query_row("SELECT value FROM marks WHERE name = 'settled'", [], |row| row.get(0)).optional()?.unwrap_or(0);
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut recovery = Recovery::default();
    {
        let mut abandoned = step.prepare(
            "SELECT m.key, m.mode
             FROM messages m
             LEFT JOIN outcomes o ON o.message = m.key
             WHERE m.key > ?1 AND o.message IS NULL
             ORDER BY m.key",
        )?;
        let abandoned: BTreeMap<i64, i64> =
            abandoned.query_map([settled_to], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let mut settle = step.prepare(
            "INSERT INTO outcomes (message, at, kind, meta_code, wamid, base_captured, base_released, meta_released)
             VALUES (?1, ?2, ?3, NULL, NULL, 0, 0, 0)",
        )?;
        let mut open = step.prepare("INSERT INTO open_unknowns (message) VALUES (?1)")?;
        for (key, mode) in abandoned {
            if Mode::from_number(mode) == Some(Mode::Fake) || planted::is(Bug::ReleaseAtRestart) {
                settle.execute(params![key, now.0, OutcomeKind::NotSent as i64])?;
                recovery.fakes += 1;
            } else {
                settle.execute(params![key, now.0, OutcomeKind::Unknown as i64])?;
                open.execute([key])?;
                recovery.unknown += 1;
            }
        }
        step.execute(
            "INSERT INTO marks (name, value) SELECT 'settled', coalesce(max(key), 0) FROM messages WHERE true
             ON CONFLICT DO UPDATE SET value = excluded.value",
            [],
        )?;
    }
    step.commit()?;
    Ok(recovery)
}

/// No place since the clock's last turn was given out later: callers overtake each other by so much and
/// no more, or it were a turn.
fn placed_at(connection: &Connection) -> Result<UnixMs, Failure> {
    let last: Option<i64> = connection
        .query_row(
            "SELECT at FROM (SELECT * FROM (SELECT key AS place, at FROM messages ORDER BY key DESC LIMIT 1)
                             UNION ALL
                             SELECT * FROM (SELECT place, at FROM wallet_movements ORDER BY place DESC LIMIT 1))
             ORDER BY place DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(last.map_or(UnixMs(i64::MIN), |at| UnixMs(at).plus_ms(DISORDER_MS)))
}

fn add_recent_keys(connection: &Connection, index: &HashIndex, covered: MessageKey) -> Result<(), Failure> {
    let mut statement =
        connection.prepare("SELECT key, idempotency, at FROM messages WHERE key > ?1 AND idempotency IS NOT NULL ORDER BY key")?;
    let mut rows = statement.query([covered.0])?;
    while let Some(row) = rows.next()? {
        index.add(row.get(1)?, MessageKey(row.get(0)?), UnixMs(row.get(2)?));
    }
    Ok(())
}

fn add_recent_wamids(connection: &Connection, index: &HashIndex, covered: MessageKey) -> Result<(), Failure> {
    let mut statement =
        connection.prepare("SELECT message, wamid, at FROM outcomes WHERE message > ?1 AND wamid IS NOT NULL ORDER BY message")?;
    let mut rows = statement.query([covered.0])?;
    while let Some(row) = rows.next()? {
        index.add(row.get(1)?, MessageKey(row.get(0)?), UnixMs(row.get(2)?));
    }
    Ok(())
}

/// The newest ones that statuses may still be about; a person's look-up of an older one asks the table.
fn pin_resolved_wamids(connection: &Connection, index: &HashIndex, memory: &mut Memory, now: UnixMs) -> Result<(), Failure> {
    let mut statement =
        connection.prepare("SELECT message, at, wamid FROM resolutions WHERE at > ?1 AND wamid IS NOT NULL ORDER BY at DESC LIMIT ?2")?;
    let most = i64::try_from(RESOLVED_WAMIDS_MAX).unwrap_or(i64::MAX);
    let mut rows = statement.query([now.0.saturating_sub(FILTERED_FOR_MS), most])?;
    while let Some(row) = rows.next()? {
        let (key, at, wamid): (i64, i64, Hash16) = (row.get(0)?, row.get(1)?, row.get(2)?);
        index.pin(wamid, MessageKey(key));
        memory.resolved_wamids.insert((UnixMs(at).plus_ms(FILTERED_FOR_MS), MessageKey(key)), wamid);
    }
    Ok(())
}

fn pin_unknown_keys(connection: &Connection, index: &HashIndex, memory: &mut Memory) -> Result<(), Failure> {
    let mut statement = connection.prepare(
        "SELECT m.key, m.application, m.mode, m.at, m.fingerprint, m.idempotency
         FROM open_unknowns u
         JOIN messages m ON m.key = u.message",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = MessageKey(row.get(0)?);
        match row.get::<_, Option<Hash16>>(5)? {
            Some(hash) => index.pin(hash, key),
            None => {
                let mode = Mode::from_number(row.get(2)?).ok_or_else(|| corrupt("messages", "mode", key))?;
                let request = (ApplicationId(row.get(1)?), mode, row.get(4)?);
                memory.unknown_requests.entry(request).or_default().push((key, UnixMs(row.get(3)?)));
            }
        }
    }
    Ok(())
}

fn pin_resolved_keys(connection: &Connection, index: &HashIndex, memory: &mut Memory, now: UnixMs) -> Result<(), Failure> {
    let mut statement = connection.prepare(
        "SELECT r.message, r.at, m.idempotency
         FROM resolutions r
         JOIN messages m ON m.key = r.message
         WHERE r.at > ?1 AND m.idempotency IS NOT NULL",
    )?;
    let mut rows = statement.query([now.0.saturating_sub(KEY_KEPT_MS)])?;
    while let Some(row) = rows.next()? {
        let (key, at, hash): (i64, i64, Hash16) = (row.get(0)?, row.get(1)?, row.get(2)?);
        index.pin(hash, MessageKey(key));
        memory.resolved_keys.insert((UnixMs(at).plus_ms(KEY_KEPT_MS), MessageKey(key)), hash);
    }
    Ok(())
}
