//! Messages found by readers: pages of a list, a wamid, what limits are rebuilt from.

use rusqlite::{Connection, OptionalExtension as _, params};
use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::ledger::OutcomeKind;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{UnixMs, UtcDay};

use super::record::{self, COLUMNS, JOINS};
use crate::messages::{DayUsage, Hash16, MessageFilter, MessageRecord, RecentSend};
use crate::sqlite::failure::{Failure, corrupt};
use crate::sqlite::hash_index::HashIndex;
use crate::sqlite::statements::contents_table;

/// Most messages of one page, whatever is asked for.
const PAGE_MAX: u32 = 1_000;

/// Which page of which list.
pub(in crate::sqlite) struct Page {
    pub(in crate::sqlite) organization: OrganizationId,
    pub(in crate::sqlite) application: Option<ApplicationId>,
    pub(in crate::sqlite) filter: MessageFilter,
    pub(in crate::sqlite) before: Option<MessageKey>,
    pub(in crate::sqlite) limit: u32,
}

/// One message of an organization, whole.
pub(in crate::sqlite) fn one(
    connection: &Connection,
    cipher: &MessageCipher,
    organization: OrganizationId,
    key: MessageKey,
) -> Result<Option<MessageRecord>, Failure> {
    Ok(record::read_whole(connection, cipher, key)?.filter(|message| message.organization == organization))
}

/// Messages of an organization, newest first.
pub(in crate::sqlite) fn page(connection: &Connection, cipher: &MessageCipher, page: &Page) -> Result<Vec<MessageRecord>, Failure> {
    // The rare ones are found from the small table that names them (CROSS JOIN keeps that order),
    // the rest by reading messages backwards.
    let (source, key, state) = match page.filter {
        MessageFilter::Any => ("messages m", "m.key", ""),
        MessageFilter::InFlight => {
            ("messages m", "m.key", "AND o.message IS NULL AND m.key > coalesce((SELECT value FROM marks WHERE name = 'settled'), 0)")
        }
        MessageFilter::Unknown => ("open_unknowns u CROSS JOIN messages m ON m.key = u.message", "u.message", ""),
        MessageFilter::Accepted => ("messages m", "m.key", "AND (o.kind = 1 OR r.resolution IN (1, 2))"),
        MessageFilter::Refused => ("messages m", "m.key", "AND (o.kind IN (2, 3, 4) OR r.resolution = 3)"),
        MessageFilter::PresumedNotSent => ("resolutions d CROSS JOIN messages m ON m.key = d.message", "d.message", "AND d.resolution = 4"),
        // As `settle::state` has it: what a phone reported stands above a failure.
        MessageFilter::Sent => ("messages m", "m.key", "AND (SELECT max(status) FROM message_statuses s WHERE s.message = m.key) = 1"),
        MessageFilter::Delivered => {
            ("messages m", "m.key", "AND (SELECT max(status) FROM message_statuses s WHERE s.message = m.key AND status <= 4) = 2")
        }
        MessageFilter::Read => {
            ("messages m", "m.key", "AND (SELECT max(status) FROM message_statuses s WHERE s.message = m.key AND status <= 4) >= 3")
        }
        MessageFilter::Failed => (
            "messages m",
            "m.key",
            "AND (r.resolution = 2 OR EXISTS (SELECT 1 FROM message_statuses s WHERE s.message = m.key AND s.status = 5))
             AND NOT EXISTS (SELECT 1 FROM message_statuses s WHERE s.message = m.key AND s.status BETWEEN 2 AND 4)
             AND NOT (o.kind IN (2, 3) AND NOT EXISTS (SELECT 1 FROM message_statuses s WHERE s.message = m.key AND s.status = 1))",
        ),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}
         FROM {source}
         {JOINS}
         WHERE {key} < ?1 AND m.organization = ?2 AND (?3 IS NULL OR m.application = ?3) {state}
         ORDER BY {key} DESC
         LIMIT ?4"
    ))?;
    let before = page.before.map_or(i64::MAX, |key| key.0);
    let application = page.application.map(|application| application.0);
    let mut rows = statement.query(params![before, page.organization.0, application, page.limit.min(PAGE_MAX)])?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        messages.push(record::from_row(connection, row, Some(cipher))?);
    }
    Ok(messages)
}

/// Messages whose wamid has this hash.
pub(in crate::sqlite) fn by_wamid(
    connection: &Connection,
    index: &HashIndex,
    cipher: &MessageCipher,
    organization: OrganizationId,
    wamid: Hash16,
) -> Result<Vec<MessageRecord>, Failure> {
    let found = index.find(connection, &wamid, |key| {
        Ok(connection
            .prepare_cached(
                "SELECT 1 FROM messages m
                 LEFT JOIN outcomes o ON o.message = m.key
                 LEFT JOIN resolutions r ON r.message = m.key
                 WHERE m.key = ?1 AND m.organization = ?2 AND (o.wamid = ?3 OR r.wamid = ?3)",
            )?
            .exists(params![key.0, organization.0, &wamid])?)
    })?;
    let found = match found {
        Some(key) => Some(key),
        // What a resolution told long ago is in the table alone.
        None => connection
            .prepare_cached(
                "SELECT r.message FROM resolutions r CROSS JOIN messages m ON m.key = r.message
                 WHERE r.wamid = ?1 AND m.organization = ?2 ORDER BY r.message DESC LIMIT 1",
            )?
            .query_row(params![&wamid, organization.0], |row| row.get(0).map(MessageKey))
            .optional()?,
    };
    match found {
        Some(key) => Ok(one(connection, cipher, organization, key)?.into_iter().collect()),
        None => Ok(Vec::new()),
    }
}

/// Messages admitted since `since`, in order.
pub(in crate::sqlite) fn recent(connection: &Connection, since: UnixMs) -> Result<Vec<RecentSend>, Failure> {
    let days: Vec<String> = connection
        .prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table' AND name >= ?1 AND name < 'contents_:' ORDER BY name")?
        .query_map([contents_table(since.day())], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut sends = Vec::new();
    for contents in days {
        of_day(connection, &contents, since, &mut sends)?;
    }
    Ok(sends)
}

fn of_day(connection: &Connection, contents: &str, since: UnixMs, sends: &mut Vec<RecentSend>) -> Result<(), Failure> {
    // Read backwards: admission times rise with the key but for the spread of one batch, so the
    // first message that is this much older ends the search.
    const SPREAD_MS: i64 = 60_000;
    let mut statement = connection.prepare(&format!(
        "SELECT m.key, m.api_key, m.application, m.at, m.mode, c.recipient, o.kind
         FROM {contents} c
         JOIN messages m ON m.key = c.message
         LEFT JOIN outcomes o ON o.message = m.key
         ORDER BY c.message DESC"
    ))?;
    let mut rows = statement.query([])?;
    let begin = sends.len();
    while let Some(row) = rows.next()? {
        let at = UnixMs(row.get(3)?);
        if at.0 < since.0.saturating_sub(SPREAD_MS) {
            break;
        }
        if at < since {
            continue;
        }
        let key = MessageKey(row.get(0)?);
        let kind: Option<i64> = row.get(6)?;
        sends.push(RecentSend {
            api_key: ApiKeyId(row.get(1)?),
            application: ApplicationId(row.get(2)?),
            at,
            mode: Mode::from_number(row.get(4)?).ok_or_else(|| corrupt("messages", "mode", key))?,
            recipient: row.get(5)?,
            reached_meta: kind.and_then(OutcomeKind::from_number) != Some(OutcomeKind::NotSent),
        });
    }
    sends[begin..].reverse();
    Ok(())
}

/// What keys with daily limits used on a day.
pub(in crate::sqlite) fn usage(connection: &Connection, day: UtcDay) -> Result<Vec<DayUsage>, Failure> {
    let mut statement = connection.prepare_cached("SELECT api_key, messages, spend FROM usage WHERE day = ?1")?;
    let mut rows = statement.query([day.0])?;
    let mut used = Vec::new();
    while let Some(row) = rows.next()? {
        used.push(DayUsage { api_key: ApiKeyId(row.get(0)?), day, messages: row.get(1)?, spend: Micros(row.get(2)?) });
    }
    Ok(used)
}
