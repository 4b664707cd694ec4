//! A message read back from its rows.

use rusqlite::{Connection, OptionalExtension as _, Row};
use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::ledger::{Leg, LegState, Movement, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::{Category, MessageKind, MetaBilling, MetaEndpoint, Mode};
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::StatusKind;

use crate::events::StatusRecord;
use crate::messages::{Evidence, Hash16, LegMovement, MessageRecord, ResolutionRecord};
use crate::sqlite::failure::{Failure, corrupt};
use crate::sqlite::statements::{answers_table, contents_table};

/// Where a message and its legs stand: what deciding about its money needs.
#[derive(Clone, Debug)]
pub(in crate::sqlite) struct Standing {
    pub(in crate::sqlite) organization: OrganizationId,
    pub(in crate::sqlite) application: ApplicationId,
    pub(in crate::sqlite) admitted_at: UnixMs,
    pub(in crate::sqlite) mode: Mode,
    pub(in crate::sqlite) fingerprint: Hash16,
    pub(in crate::sqlite) idempotency: Option<Hash16>,
    pub(in crate::sqlite) salt: [u8; 12],
    pub(in crate::sqlite) held_base: Micros,
    pub(in crate::sqlite) held_meta: Micros,
    pub(in crate::sqlite) base: LegState,
    pub(in crate::sqlite) meta: LegState,
    pub(in crate::sqlite) outcome: Option<(OutcomeKind, UnixMs)>,
    pub(in crate::sqlite) resolution: Option<(Resolution, UnixMs)>,
}

/// Reads where a message stands; `None` where there is none.
pub(in crate::sqlite) fn standing(connection: &Connection, key: MessageKey) -> Result<Option<Standing>, Failure> {
    let Some(record) = read(connection, key)? else { return Ok(None) };
    Ok(Some(Standing {
        organization: record.organization,
        application: record.application,
        admitted_at: record.admitted_at,
        mode: record.mode,
        fingerprint: record.fingerprint,
        idempotency: record.idempotency,
        salt: record.token_salt,
        held_base: record.base,
        held_meta: record.meta,
        base: record.base_leg,
        meta: record.meta_leg,
        outcome: record.outcome,
        resolution: record.resolution.map(|resolution| (resolution.resolution, resolution.at)),
    }))
}

/// The columns that [`from_row`] reads, in its order, of `messages m` and [`JOINS`].
pub(super) const COLUMNS: &str = "
    m.key, m.organization, m.application, m.api_key, m.at, m.mode, m.kind, m.endpoint,
    p.market, p.category, p.card, p.meta_billing, m.base, m.meta, p.meta_reported, m.salt, m.fingerprint, m.idempotency,
    o.kind, o.at, o.meta_code, o.base_captured, o.base_released, o.meta_released,
    r.resolution, r.evidence, r.reason, r.at, r.base_captured, r.base_released, r.meta_released, p.base, p.meta";

/// What else a message's row is joined with, each by its primary key.
pub(super) const JOINS: &str = "
  JOIN pinned_prices p ON p.id = m.price
  LEFT JOIN outcomes o ON o.message = m.key
  LEFT JOIN resolutions r ON r.message = m.key";

/// A message without its sealed parts.
pub(super) fn read(connection: &Connection, key: MessageKey) -> Result<Option<MessageRecord>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM messages m {JOINS} WHERE m.key = ?1"))?;
    let mut rows = statement.query([key.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    from_row(connection, row, None).map(Some)
}

/// A message, whole.
pub(super) fn read_whole(connection: &Connection, cipher: &MessageCipher, key: MessageKey) -> Result<Option<MessageRecord>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM messages m {JOINS} WHERE m.key = ?1"))?;
    let mut rows = statement.query([key.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    from_row(connection, row, Some(cipher)).map(Some)
}

/// Makes a record of a row of [`RECORD`] and what other tables say; with the cipher it is whole,
/// without it has no public id and no sealed parts.
pub(super) fn from_row(connection: &Connection, row: &Row<'_>, cipher: Option<&MessageCipher>) -> Result<MessageRecord, Failure> {
    let key = MessageKey(row.get(0)?);
    let admitted_at = UnixMs(row.get(4)?);
    let (held_base, held_meta) = (Micros(row.get(12)?), Micros(row.get(13)?));
    let mode = Mode::from_number(row.get(5)?).ok_or_else(|| corrupt("messages", "mode", key))?;
    let outcome = match row.get::<_, Option<i64>>(18)? {
        Some(kind) => Some((OutcomeKind::from_number(kind).ok_or_else(|| corrupt("outcomes", "kind", key))?, UnixMs(row.get(19)?))),
        None => None,
    };
    let resolution = match row.get::<_, Option<i64>>(24)? {
        Some(kind) => Some(ResolutionRecord {
            resolution: Resolution::from_number(kind).ok_or_else(|| corrupt("resolutions", "resolution", key))?,
            evidence: evidence(row.get(25)?).ok_or_else(|| corrupt("resolutions", "evidence", key))?,
            reason: row.get(26)?,
            at: UnixMs(row.get(27)?),
        }),
        None => None,
    };
    let moved = |column: usize| row.get::<_, Option<i64>>(column).map(|amount| amount.unwrap_or(0));
    let mut base_leg = held_leg(held_base, moved(21)? + moved(28)?, moved(22)? + moved(29)?);
    let mut meta_leg = held_leg(held_meta, 0, moved(23)? + moved(30)?);
    let movements = movements(connection, key)?;
    for later in &movements {
        let leg = if later.leg == Leg::Base { &mut base_leg } else { &mut meta_leg };
        *leg = leg.apply(later.movement, later.amount).map_err(|_| corrupt("leg_movements", "movement", key))?;
    }
    let ((content, answer), statuses) = match cipher {
        Some(_) => (sealed(connection, key, admitted_at)?, statuses(connection, key)?),
        None => ((None, None), Vec::new()),
    };
    Ok(MessageRecord {
        key,
        id: cipher.map(|cipher| cipher.message_id(admitted_at, key)).unwrap_or(turnpike_domain::ids::MessageId(uuid::Uuid::nil())),
        organization: OrganizationId(row.get(1)?),
        application: ApplicationId(row.get(2)?),
        api_key: ApiKeyId(row.get(3)?),
        admitted_at,
        mode,
        kind: MessageKind::from_number(row.get(6)?).ok_or_else(|| corrupt("messages", "kind", key))?,
        endpoint: MetaEndpoint::from_number(row.get(7)?).ok_or_else(|| corrupt("messages", "endpoint", key))?,
        market: row.get(8)?,
        category: Category::from_number(row.get(9)?).ok_or_else(|| corrupt("pinned_prices", "category", key))?,
        card: row.get(10)?,
        meta_billing: MetaBilling::from_number(row.get(11)?).ok_or_else(|| corrupt("pinned_prices", "meta_billing", key))?,
        base: Micros(row.get(31)?),
        meta: Micros(row.get(32)?),
        meta_reported: Micros(row.get(14)?),
        base_leg,
        meta_leg,
        token_salt: row.get(15)?,
        fingerprint: row.get(16)?,
        idempotency: row.get(17)?,
        outcome,
        meta_code: row.get(20)?,
        resolution,
        movements,
        statuses,
        content,
        answer,
    })
}

/// A leg after its outcome and resolution.
fn held_leg(hold: Micros, captured: i64, released: i64) -> LegState {
    match (hold, captured, released) {
        (Micros::ZERO, _, _) => LegState::None,
        (_, 0, 0) => LegState::Held(hold),
        (_, 0, _) => LegState::Released(hold),
        (_, captured, _) => LegState::Captured(Micros(captured)),
    }
}

/// Later movements of a message, oldest first. A leg's own stand in the only order in which they can
/// follow each other, that of their numbers, since the clock may have been set back in between.
fn movements(connection: &Connection, key: MessageKey) -> Result<Vec<LegMovement>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT leg, movement, amount, reason, at
         FROM leg_movements
         WHERE message = ?1
         ORDER BY movement, leg",
    )?;
    let mut rows = statement.query([key.0])?;
    let mut movements: Vec<(UnixMs, LegMovement)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (leg, movement): (i64, i64) = (row.get(0)?, row.get(1)?);
        let leg = Leg::ALL.into_iter().find(|known| *known as i64 == leg).ok_or_else(|| corrupt("leg_movements", "leg", key))?;
        let at = UnixMs(row.get(4)?);
        let before = movements.iter().filter(|(_, moved)| moved.leg == leg).map(|(place, _)| *place).max();
        let moved = LegMovement {
            leg,
            movement: movement_of(movement).ok_or_else(|| corrupt("leg_movements", "movement", key))?,
            amount: Micros(row.get(2)?),
            reason: row.get(3)?,
            at,
        };
        movements.push((before.map_or(at, |before| before.max(at)), moved));
    }
    movements.sort_by_key(|(place, _)| *place);
    Ok(movements.into_iter().map(|(_, moved)| moved).collect())
}

/// The statuses of a message, in the order in which they follow each other.
pub(in crate::sqlite) fn statuses(connection: &Connection, key: MessageKey) -> Result<Vec<StatusRecord>, Failure> {
    let unreadable = |column| move |_: serde_json::Error| corrupt("message_statuses", column, key);
    let mut statement = connection
        .prepare_cached("SELECT status, at, received_at, pricing, failure FROM message_statuses WHERE message = ?1 ORDER BY status")?;
    let mut rows = statement.query([key.0])?;
    let mut statuses = Vec::new();
    while let Some(row) = rows.next()? {
        let (pricing, failure): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
        statuses.push(StatusRecord {
            status: StatusKind::from_number(row.get(0)?).ok_or_else(|| corrupt("message_statuses", "status", key))?,
            at: UnixMs(row.get(1)?),
            received_at: UnixMs(row.get(2)?),
            pricing: pricing.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable("pricing"))?,
            failure: failure.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable("failure"))?,
        });
    }
    Ok(statuses)
}

/// Sealed bytes, `None` where they were never there or are forgotten.
type Sealed = Option<Vec<u8>>;

/// Content and answer of a message, as far as they are still kept.
fn sealed(connection: &Connection, key: MessageKey, admitted_at: UnixMs) -> Result<(Sealed, Sealed), Failure> {
    let from = |table: String| -> Result<Sealed, Failure> {
        if !exists(connection, &table)? {
            return Ok(None);
        }
        let sealed: Option<Vec<u8>> = connection
            .prepare_cached(&format!("SELECT sealed FROM {table} WHERE message = ?1"))?
            .query_row([key.0], |row| row.get(0))
            .optional()?;
        Ok(sealed.filter(|sealed| !sealed.is_empty()))
    };
    Ok((from(contents_table(admitted_at.day()))?, from(answers_table(admitted_at.day()))?))
}

/// Whether a table by day is (still) there.
pub(in crate::sqlite) fn exists(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?.exists([table])
}

fn movement_of(number: i64) -> Option<Movement> {
    [Movement::Capture, Movement::Release, Movement::LateCapture, Movement::Refund].into_iter().find(|known| *known as i64 == number)
}

fn evidence(number: i64) -> Option<Evidence> {
    [Evidence::LateAnswer, Evidence::Status, Evidence::Operator, Evidence::Presumed].into_iter().find(|known| *known as i64 == number)
}
