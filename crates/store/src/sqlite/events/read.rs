//! Events as readers find them: one, those of an application in order, what quarantine holds.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use turnpike_domain::ids::{ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::market::Market;
use turnpike_domain::money::Micros;
use turnpike_domain::send::{Category, MetaBilling, Mode};
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::EventKind;
use uuid::Uuid;

use super::ids::{event_id, event_key};
use super::state::bodies_table;
use crate::events::{Contents, EventKey, EventRecord, QuarantineReason, QuarantineRecord};
use crate::messages::PinnedPrice;
use crate::sqlite::failure::{Failure, corrupt};
use crate::sqlite::messages::exists;
use crate::sqlite::statements::contents_table;

/// Most rows of one answer, whatever is asked for.
const PAGE_MAX: u32 = 1_000;

/// Places looked at per call of [`after`]: others' events among them cost a reader microseconds.
const LOOKED_AT_MAX: i64 = 20_000;

/// The sealed bytes of an event recorded `at`; `None` where they are kept no longer.
pub(in crate::sqlite) fn body(connection: &Connection, event: EventKey, at: UnixMs) -> Result<Option<Vec<u8>>, Failure> {
    let table = bodies_table(at.day());
    if !exists(connection, &table)? {
        return Ok(None);
    }
    Ok(connection
        .prepare_cached(&format!("SELECT sealed FROM {table} WHERE event = ?1"))?
        .query_row([event.0], |row| row.get(0))
        .optional()?)
}

const COLUMNS: &str = "key, application, mode, kind, at, message, message_at, organization";

fn from_row(connection: &Connection, cipher: &MessageCipher, row: &Row<'_>) -> Result<EventRecord, Failure> {
    let key = EventKey(row.get(0)?);
    let at = UnixMs(row.get(4)?);
    let message = match (row.get::<_, Option<i64>>(5)?, row.get::<_, Option<i64>>(6)?) {
        (Some(message), Some(admitted_at)) => Some(cipher.message_id(UnixMs(admitted_at), MessageKey(message))),
        _ => None,
    };
    Ok(EventRecord {
        key,
        id: event_id(cipher, at, key),
        application: ApplicationId(row.get(1)?),
        mode: Mode::from_number(row.get(2)?).ok_or_else(|| corrupt("events", "mode", key.0))?,
        kind: EventKind::from_number(row.get(3)?).ok_or_else(|| corrupt("events", "kind", key.0))?,
        at,
        message,
        body: body(connection, key, at)?,
    })
}

/// One event of an organization.
pub(super) fn one(
    connection: &Connection,
    cipher: &MessageCipher,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<EventRecord>, Failure> {
    let Some(key) = event_key(cipher, id) else { return Ok(None) };
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM events WHERE key = ?1 AND organization = ?2"))?;
    let mut rows = statement.query([key.0, organization.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(from_row(connection, cipher, row)?).filter(|event| event.id == id))
}

/// Events of an application after a place, and the place to go on from.
pub(super) fn after(
    connection: &Connection,
    cipher: &MessageCipher,
    organization: OrganizationId,
    application: ApplicationId,
    after: Option<EventKey>,
    limit: u32,
) -> Result<(Vec<EventRecord>, EventKey), Failure> {
    let (oldest, newest): (Option<i64>, i64) =
        connection.query_row("SELECT (SELECT min(key) FROM events), coalesce((SELECT max(key) FROM events), 0)", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let Some(after) = after else { return Ok((Vec::new(), EventKey(newest))) };
    // What retention dropped is not looked for.
    let from = after.0.max(oldest.map_or(0, |oldest| oldest - 1));
    if from >= newest {
        return Ok((Vec::new(), after));
    }
    let to = from.saturating_add(LOOKED_AT_MAX).min(newest);
    let limit = usize::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(1);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM events WHERE key > ?1 AND key <= ?2 AND application = ?3 AND organization = ?4 ORDER BY key LIMIT ?5"
    ))?;
    let mut rows = statement.query(params![from, to, application.0, organization.0, i64::try_from(limit).unwrap_or(1)])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(from_row(connection, cipher, row)?);
    }
    let next = match events.last() {
        Some(last) if events.len() == limit => last.key,
        _ => EventKey(to),
    };
    Ok((events, next))
}

/// The sealed content of each of these messages, with its owner, while kept.
pub(super) fn contents(connection: &Connection, messages: &[MessageKey]) -> Result<Contents, Failure> {
    let mut known_table = None;
    messages
        .iter()
        .map(|key| {
            let found: Option<(i64, i64)> = connection
                .prepare_cached("SELECT organization, at FROM messages WHERE key = ?1")?
                .query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((organization, at)) = found else { return Ok(None) };
            let day = UnixMs(at).day();
            // Most statuses are of messages of one day.
            if known_table.as_ref().is_none_or(|(known, _)| *known != day) {
                let table = contents_table(day);
                let table = exists(connection, &table)?.then_some(table);
                known_table = Some((day, table));
            }
            let Some((_, Some(table))) = &known_table else { return Ok(None) };
            let sealed: Option<Vec<u8>> = connection
                .prepare_cached(&format!("SELECT sealed FROM {table} WHERE message = ?1"))?
                .query_row([key.0], |row| row.get(0))
                .optional()?;
            Ok(sealed.filter(|sealed| !sealed.is_empty()).map(|sealed| (OrganizationId(organization), sealed)))
        })
        .collect()
}

/// The price pinned at a message's hold, and its admission.
pub(super) fn pinned(
    connection: &Connection,
    organization: OrganizationId,
    message: MessageKey,
) -> Result<Option<(PinnedPrice, UnixMs)>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT m.at, p.base, p.meta, p.meta_reported, p.meta_billing, p.market, p.category, p.card, p.factor_ppm, p.fixed
         FROM messages m
         JOIN pinned_prices p ON p.id = m.price
         WHERE m.key = ?1 AND m.organization = ?2",
    )?;
    let mut rows = statement.query([message.0, organization.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let unreadable = |column| corrupt("pinned_prices", column, message);
    let price = PinnedPrice {
        base: Micros(row.get(1)?),
        meta: Micros(row.get(2)?),
        meta_reported: Micros(row.get(3)?),
        meta_billing: MetaBilling::from_number(row.get(4)?).ok_or_else(|| unreadable("meta_billing"))?,
        market: Market::parse(&row.get::<_, String>(5)?).ok_or_else(|| unreadable("market"))?.code(),
        category: Category::from_number(row.get(6)?).ok_or_else(|| unreadable("category"))?,
        card: row.get::<_, String>(7)?.into(),
        factor_ppm: row.get(8)?,
        fixed: Micros(row.get(9)?),
    };
    Ok(Some((price, UnixMs(row.get(0)?))))
}

/// Quarantined payloads, newest first.
pub(super) fn quarantined(connection: &Connection, before: Option<i64>, limit: u32) -> Result<Vec<QuarantineRecord>, Failure> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {QUARANTINE_COLUMNS} FROM quarantine WHERE id < ?1 ORDER BY id DESC LIMIT ?2"))?;
    let mut rows = statement.query(params![before.unwrap_or(i64::MAX), limit.min(PAGE_MAX)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(quarantine_row(row)?);
    }
    Ok(found)
}

/// One quarantined payload.
pub(super) fn quarantined_one(connection: &Connection, id: i64) -> Result<Option<QuarantineRecord>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {QUARANTINE_COLUMNS} FROM quarantine WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(quarantine_row).transpose()
}

/// What [`quarantine_row`] reads, in its order.
const QUARANTINE_COLUMNS: &str =
    "id, at, reason, meta_app_id, waba_id, phone_number_id, field, replayed_at, body, tries, next_try_at, fault";

fn quarantine_row(row: &Row<'_>) -> Result<QuarantineRecord, Failure> {
    let id = row.get(0)?;
    Ok(QuarantineRecord {
        id,
        at: UnixMs(row.get(1)?),
        reason: reason(row.get(2)?).ok_or_else(|| corrupt("quarantine", "reason", id))?,
        meta_app_id: row.get(3)?,
        waba_id: row.get(4)?,
        phone_number_id: row.get(5)?,
        field: row.get(6)?,
        replayed_at: row.get::<_, Option<i64>>(7)?.map(UnixMs),
        body: row.get(8)?,
        tries: row.get(9)?,
        next_try_at: row.get::<_, Option<i64>>(10)?.map(UnixMs),
        fault: row.get(11)?,
    })
}

fn reason(number: i64) -> Option<QuarantineReason> {
    [QuarantineReason::Unreadable, QuarantineReason::UnknownNumber, QuarantineReason::Mismatch, QuarantineReason::Poison]
        .into_iter()
        .find(|known| *known as i64 == number)
}
