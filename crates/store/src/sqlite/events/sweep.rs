//! What time decides: unknown outcomes that no evidence reached, holds that no status settled, and
//! spans in which silence proves nothing because intake could not be relied on.

use rusqlite::{Connection, OptionalExtension as _, params};
use turnpike_domain::ids::{ApplicationId, MessageKey, OrganizationId};
use turnpike_domain::time::{DAY_MS, UnixMs};

use super::state::heard_span;
use crate::events::{IntakeGaps, OPEN_UNKNOWNS_MAX, OpenUnknown, Overdue};
use crate::sqlite::failure::Failure;
use crate::sqlite::writer::Writer;

/// Most rows of one answer, whatever is asked for.
const PAGE_MAX: u32 = 1_000;

/// Messages looked at per call of `overdue`: a fraction of a second of reading.
const LOOKED_AT_MAX: i64 = 50_000;

/// Places looked at on each side of an unknown message for a neighbour with a status, in the span
/// of admission where the table `heard` cannot tell before from after.
const NEAR_PLACES: i64 = 2_000;

/// Gaps of intake are forgotten after this: no open hold is older.
const GAPS_KEPT_MS: i64 = 60 * DAY_MS;

/// The mark that says up to which message every old hold was looked at.
const SWEPT: &str = "swept";

/// The mark of the instant at which intake last worked.
const INTAKE_WORKS: &str = "intake_works";

impl Writer<'_> {
    /// The message's Meta fee has its end: the sweeper need not come back to it.
    pub(in crate::sqlite) fn is_settled(&mut self, message: MessageKey) -> Result<(), Failure> {
        self.events.not_unpriced.execute([message.0])?;
        self.events.not_straggling.execute([message.0])?;
        Ok(())
    }

    /// A message was resolved as sent: where the sweep has passed it, it is noted to be swept again.
    pub(in crate::sqlite) fn may_straggle(&mut self, message: MessageKey, at: UnixMs) -> Result<(), Failure> {
        if message.0 <= mark(self.connection, SWEPT)?.unwrap_or(0) {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO stragglers (message, since) VALUES (?1, ?2)")?
                .execute([message.0, at.0])?;
        }
        Ok(())
    }
}

/// Unknown outcomes that nothing decided, those after a message, oldest first.
pub(super) fn open_unknowns(
    connection: &Connection,
    admitted_before: UnixMs,
    after: Option<MessageKey>,
    limit: u32,
) -> Result<Vec<OpenUnknown>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT m.key, m.organization, m.application, m.at
         FROM open_unknowns u
         CROSS JOIN messages m ON m.key = u.message
         WHERE u.message > ?1 AND m.at < ?2
         ORDER BY u.message
         LIMIT ?3",
    )?;
    let after = after.map_or(0, |after| after.0);
    let mut rows = statement.query(params![after, admitted_before.0, limit.min(OPEN_UNKNOWNS_MAX)])?;
    let mut unknowns = Vec::new();
    while let Some(row) = rows.next()? {
        let (message, application, admitted_at) = (MessageKey(row.get(0)?), ApplicationId(row.get(2)?), UnixMs(row.get(3)?));
        unknowns.push(OpenUnknown {
            organization: OrganizationId(row.get(1)?),
            application,
            message,
            admitted_at,
            neighbours_heard: heard_before(connection, application, message, admitted_at)?
                && heard_after(connection, application, message, admitted_at)?,
        });
    }
    Ok(unknowns)
}

fn heard_before(connection: &Connection, application: ApplicationId, message: MessageKey, at: UnixMs) -> Result<bool, Failure> {
    let (from, own) = (heard_span(at.plus_ms(-DAY_MS)), heard_span(at));
    Ok(heard_in(connection, application, from, own - 1)?
        || near(connection, application, message.0 - NEAR_PLACES, message.0 - 1, at.plus_ms(-DAY_MS), at)?)
}

fn heard_after(connection: &Connection, application: ApplicationId, message: MessageKey, at: UnixMs) -> Result<bool, Failure> {
    let (own, until) = (heard_span(at), heard_span(at.plus_ms(DAY_MS)));
    Ok(heard_in(connection, application, own + 1, until)?
        || near(connection, application, message.0 + 1, message.0 + NEAR_PLACES, at, at.plus_ms(DAY_MS))?)
}

fn heard_in(connection: &Connection, application: ApplicationId, from: i64, to: i64) -> Result<bool, Failure> {
    Ok(connection.prepare_cached("SELECT 1 FROM heard WHERE application = ?1 AND span BETWEEN ?2 AND ?3")?.exists([
        application.0,
        from,
        to,
    ])?)
}

/// Whether a status came of a message of this application among these places.
fn near(connection: &Connection, application: ApplicationId, from: i64, to: i64, since: UnixMs, until: UnixMs) -> Result<bool, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT 1 FROM messages m
             WHERE m.key BETWEEN ?1 AND ?2 AND m.application = ?3 AND m.at BETWEEN ?4 AND ?5
               AND EXISTS (SELECT 1 FROM message_statuses s WHERE s.message = m.key)",
        )?
        .exists([from, to, application.0, since.0, until.0])?)
}

/// What [`overdue`] found, and how far it came.
pub(super) struct Swept {
    pub(super) overdue: Vec<Overdue>,
    /// The mark to write; `None` where it stands.
    pub(super) mark: Option<i64>,
}

/// Holds that are due for the sweeper.
///
/// The mark stops before the first message that is still to be decided, so that what its caller
/// did not come to is found again.
pub(super) fn overdue(connection: &Connection, admitted_before: UnixMs, delivered_before: UnixMs, limit: u32) -> Result<Swept, Failure> {
    let limit = limit.min(PAGE_MAX);
    let mut found = Vec::new();
    let unpriced = "SELECT m.organization, m.key FROM unpriced p CROSS JOIN messages m ON m.key = p.message
                    WHERE p.delivered_at < ?1 ORDER BY p.message LIMIT ?2";
    collect(connection, unpriced, delivered_before, limit, &mut found)?;
    let stragglers = "SELECT m.organization, m.key FROM stragglers p CROSS JOIN messages m ON m.key = p.message
                      WHERE p.since < ?1 ORDER BY p.message LIMIT ?2";
    collect(connection, stragglers, admitted_before, limit, &mut found)?;

    let swept = mark(connection, SWEPT)?.unwrap_or(0);
    let mut looked_to = swept;
    let mut first_open = None;
    let mut statement = connection.prepare_cached(
        "SELECT m.key, m.organization, m.at,
                m.meta > 0 AND m.mode <> 2 AND (o.kind = 1 OR r.resolution = 1)
                AND NOT EXISTS (SELECT 1 FROM leg_movements l WHERE l.message = m.key AND l.leg = 2)
                AND NOT EXISTS (SELECT 1 FROM stragglers s WHERE s.message = m.key)
         FROM messages m
         LEFT JOIN outcomes o ON o.message = m.key
         LEFT JOIN resolutions r ON r.message = m.key
         WHERE m.key > ?1
         ORDER BY m.key
         LIMIT ?2",
    )?;
    let mut rows = statement.query([swept, LOOKED_AT_MAX])?;
    while found.len() < usize::try_from(limit).unwrap_or(0)
        && let Some(row) = rows.next()?
    {
        let key = MessageKey(row.get(0)?);
        if UnixMs(row.get(2)?) >= admitted_before {
            break;
        }
        looked_to = key.0;
        if row.get::<_, Option<bool>>(3)?.unwrap_or(false) {
            first_open.get_or_insert(key.0);
            found.push((OrganizationId(row.get(1)?), key));
        }
    }
    drop(rows);
    let mark = first_open.map_or(looked_to, |first| first - 1);
    found.sort_by_key(|(_, key)| *key);
    found.dedup();
    found.truncate(usize::try_from(limit).unwrap_or(0));
    let overdue = found
        .into_iter()
        .map(|(organization, message)| Ok(Overdue { organization, message, delivered: was_delivered(connection, message)? }))
        .collect::<Result<_, Failure>>()?;
    Ok(Swept { overdue, mark: (mark != swept).then_some(mark) })
}

fn collect(
    connection: &Connection,
    sql: &str,
    before: UnixMs,
    limit: u32,
    found: &mut Vec<(OrganizationId, MessageKey)>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![before.0, limit])?;
    while let Some(row) = rows.next()? {
        found.push((OrganizationId(row.get(0)?), MessageKey(row.get(1)?)));
    }
    Ok(())
}

/// Puts holds aside that cannot be decided: the mark passes them, and they come again after as long as
/// if they had been reported `at`.
pub(super) fn park(connection: &Connection, messages: &[MessageKey], at: UnixMs) -> Result<(), Failure> {
    for message in messages {
        connection.prepare_cached("UPDATE unpriced SET delivered_at = ?2 WHERE message = ?1")?.execute([message.0, at.0])?;
        connection
            .prepare_cached("INSERT INTO stragglers (message, since) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET since = excluded.since")?
            .execute([message.0, at.0])?;
    }
    Ok(())
}

/// Whether a delivery was reported by a status that settles.
fn was_delivered(connection: &Connection, message: MessageKey) -> Result<bool, Failure> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM message_statuses WHERE message = ?1 AND status BETWEEN 2 AND 4 AND settles = 1")?
        .exists([message.0])?)
}

/// Writes how far the sweep came.
pub(super) fn write_swept(connection: &Connection, to: i64) -> Result<(), Failure> {
    write_mark(connection, SWEPT, to)
}

/// Notes a span in which intake could not be relied on.
pub(super) fn note_gap(connection: &Connection, from: UnixMs, until: UnixMs) -> Result<(), Failure> {
    connection.prepare_cached("INSERT OR IGNORE INTO intake_gaps (since, until) VALUES (?1, ?2)")?.execute([from.0, until.0])?;
    connection.prepare_cached("DELETE FROM intake_gaps WHERE until < ?1")?.execute([until.0.saturating_sub(GAPS_KEPT_MS)])?;
    Ok(())
}

/// Notes that intake works.
pub(super) fn note_works(connection: &Connection, at: UnixMs) -> Result<(), Failure> {
    write_mark(connection, INTAKE_WORKS, at.0)
}

/// When intake last worked, and the spans since `since` in which it did not.
pub(super) fn gaps(connection: &Connection, since: UnixMs) -> Result<IntakeGaps, Failure> {
    let mut statement = connection.prepare_cached("SELECT since, until FROM intake_gaps WHERE until > ?1 ORDER BY since, until")?;
    let gaps = statement.query_map([since.0], |row| Ok((UnixMs(row.get(0)?), UnixMs(row.get(1)?))))?.collect::<Result<_, _>>()?;
    Ok((mark(connection, INTAKE_WORKS)?.map(UnixMs), gaps))
}

/// The value of a mark.
pub(super) fn mark(connection: &Connection, name: &str) -> Result<Option<i64>, Failure> {
    Ok(connection.prepare_cached("SELECT value FROM marks WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()?)
}

/// Writes a mark.
pub(super) fn write_mark(connection: &Connection, name: &str, value: i64) -> Result<(), Failure> {
    connection
        .prepare_cached("INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value")?
        .execute(params![name, value])?;
    Ok(())
}
