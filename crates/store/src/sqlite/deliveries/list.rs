//! Deliveries as people find them.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use turnpike_domain::ids::{ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, EventSet};
use uuid::Uuid;

use super::SLOTS;
use crate::StoreError;
use crate::deliveries::{Attempt, DeliveryFilter, DeliveryKey, DeliveryPage, DeliveryRecord, DeliveryState};
use crate::endpoints::EndpointId;
use crate::events::EventKey;
use crate::sqlite::SqliteStore;
use crate::sqlite::events::{BLOCK, event_id, event_key};
use crate::sqlite::failure::{Failure, corrupt};

/// Most rows of one answer, whatever is asked for.
const PAGE_MAX: u32 = 1_000;

/// Blocks of events looked at in one snapshot: longer ones would keep the log from shrinking.
const BLOCKS_AT_ONCE: usize = 5;
/// Blocks looked at for one page; the next page goes on from there. Two million events, which takes
/// a second or two.
const BLOCKS_MAX: usize = 500;
/// Of a block only the dead letters are read where only these are wanted, by an index of their own.
const DEAD_BLOCKS_AT_ONCE: usize = 500;
/// See [`BLOCKS_MAX`].
const DEAD_BLOCKS_MAX: usize = 50_000;

/// Keys follow the time of recording but for callers that overtake each other by this at most.
const DISORDER_MS: i64 = 60_000;

/// Attempts shown of one delivery: a schedule has ten, and replays add to them.
const ATTEMPTS_SHOWN: u32 = 200;

/// Whose deliveries, and which.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub(super) organization: OrganizationId,
    pub(super) application: ApplicationId,
    pub(super) filter: DeliveryFilter,
}

impl Page {
    /// The bits of the kinds that are wanted: a coarse name means its finer ones too. `None` where all
    /// are, also one that cannot be read.
    fn kinds(&self) -> Option<u32> {
        let named = self.filter.kinds?;
        Some(EventKind::ALL.iter().copied().filter(|kind| named.wants(*kind)).collect::<EventSet>().bits())
    }
}

impl SqliteStore {
    /// A page, newest first.
    pub(super) async fn list_deliveries(&self, page: Page, before: Option<DeliveryKey>, limit: u32) -> Result<DeliveryPage, StoreError> {
        let limit = usize::try_from(limit.min(PAGE_MAX)).unwrap_or(0);
        let (oldest, newest) = self.read(move |snapshot| events_between(snapshot, page.filter.from, page.filter.until)).await?;
        let mut place = before.map_or(i64::MAX, |before| before.0).min(newest.saturating_add(1).saturating_mul(SLOTS));
        let stop = oldest.saturating_mul(SLOTS);
        let only_dead = page.filter.state == Some(DeliveryState::Dead);
        let (at_once, mut left) = if only_dead { (DEAD_BLOCKS_AT_ONCE, DEAD_BLOCKS_MAX) } else { (BLOCKS_AT_ONCE, BLOCKS_MAX) };
        let mut deliveries: Vec<DeliveryRecord> = Vec::new();
        while deliveries.len() < limit && place > stop && left > 0 {
            let (cipher, wanted, span) = (self.cipher.clone(), limit - deliveries.len(), (stop, place));
            let looked = self.read(move |snapshot| some_blocks(snapshot, &cipher, &page, span, at_once.min(left), wanted)).await?;
            deliveries.extend(looked.found);
            left = left.saturating_sub(looked.blocks);
            place = looked.place;
        }
        let next =
            if deliveries.len() >= limit { deliveries.last().map(|last| last.key) } else { (place > stop).then_some(DeliveryKey(place)) };
        Ok(DeliveryPage { deliveries, next })
    }
}

/// What a look at some blocks came to.
struct Looked {
    found: Vec<DeliveryRecord>,
    blocks: usize,
    /// Everything from here on was looked at.
    place: i64,
}

/// Looks through the application's newest blocks between two deliveries.
fn some_blocks(
    snapshot: &Connection,
    cipher: &MessageCipher,
    page: &Page,
    (stop, before): (i64, i64),
    most: usize,
    wanted: usize,
) -> Result<Looked, Failure> {
    let block_of = |delivery: i64| delivery.div_euclid(SLOTS * BLOCK);
    let blocks: Vec<i64> = snapshot
        .prepare_cached("SELECT block FROM event_blocks WHERE application = ?1 AND block BETWEEN ?2 AND ?3 ORDER BY block DESC LIMIT ?4")?
        .query_map(
            params![page.application.0, block_of(stop), block_of(before.saturating_sub(1)), i64::try_from(most).unwrap_or(i64::MAX)],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    let mut looked = Looked { found: Vec::new(), blocks: blocks.len(), place: before };
    for block in &blocks {
        let first = block.saturating_mul(SLOTS * BLOCK);
        let (from, to) = (first.max(stop), first.saturating_add(SLOTS * BLOCK).min(before));
        looked.found.extend(slice(snapshot, cipher, page, from, to, wanted - looked.found.len())?);
        looked.place = from;
        if looked.found.len() >= wanted {
            return Ok(looked);
        }
    }
    if blocks.len() < most {
        looked.place = stop;
    }
    Ok(looked)
}

/// The application's blocks of events between two events, oldest first.
pub(super) fn blocks_between(snapshot: &Connection, application: ApplicationId, (from, to): (i64, i64)) -> Result<Vec<i64>, Failure> {
    let mut statement =
        snapshot.prepare_cached("SELECT block FROM event_blocks WHERE application = ?1 AND block BETWEEN ?2 AND ?3 ORDER BY block")?;
    let blocks = statement.query_map([application.0, from.div_euclid(BLOCK), to.div_euclid(BLOCK)], |row| row.get(0))?;
    Ok(blocks.collect::<Result<_, _>>()?)
}

/// The keys of the first and the last event that may have been recorded between two instants.
pub(super) fn events_between(snapshot: &Connection, from: Option<UnixMs>, until: Option<UnixMs>) -> Result<(i64, i64), Failure> {
    let (oldest, newest): (i64, i64) = snapshot.query_row(
        "SELECT coalesce((SELECT min(key) FROM events), 0), coalesce((SELECT max(key) FROM events), -1)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let from = match from {
        Some(from) => first_at(snapshot, oldest, newest, from.0.saturating_sub(DISORDER_MS))?,
        None => oldest,
    };
    let until = match until {
        Some(until) => first_at(snapshot, oldest, newest, until.0.saturating_add(DISORDER_MS))?,
        None => newest,
    };
    Ok((from, until))
}

/// The first event recorded at an instant or after it, or the last of all, by halving.
fn first_at(snapshot: &Connection, oldest: i64, newest: i64, at: i64) -> Result<i64, Failure> {
    let mut statement = snapshot.prepare_cached("SELECT at FROM events WHERE key >= ?1 ORDER BY key LIMIT 1")?;
    let (mut low, mut high) = (oldest, newest);
    while low < high {
        let middle = low + (high - low) / 2;
        let recorded: i64 = statement.query_row([middle], |row| row.get(0)).optional()?.unwrap_or(i64::MAX);
        if recorded < at { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

const COLUMNS: &str = "d.key, d.endpoint, d.state, d.next_at, d.tries,
   e.key, e.application, e.kind, e.mode, e.at, e.message, e.message_at";

/// Within the page's filter, and of its owner; the parameters are those of [`slice`].
const WANTED: &str = "e.application = ?3 AND e.organization = ?4 AND (?5 IS NULL OR d.endpoint = ?5) AND (?6 IS NULL OR d.state = ?6)
   AND (?7 IS NULL OR (1 << e.kind) & ?7 <> 0) AND e.at >= ?8 AND e.at < ?9";

fn slice(
    snapshot: &Connection,
    cipher: &MessageCipher,
    page: &Page,
    from: i64,
    before: i64,
    limit: usize,
) -> Result<Vec<DeliveryRecord>, Failure> {
    let filter = &page.filter;
    // The number stands in the text, since an index of some rows is taken only by what names them.
    let (index, narrowed) =
        if filter.state == Some(DeliveryState::Dead) { ("INDEXED BY deliveries_dead", "AND d.state = 2") } else { ("", "") };
    let mut statement = snapshot.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM deliveries d {index} CROSS JOIN events e ON e.key = d.key / 16
         WHERE d.key >= ?1 AND d.key < ?2 {narrowed} AND {WANTED} ORDER BY d.key DESC"
    ))?;
    let mut rows = statement.query(params![
        from,
        before,
        page.application.0,
        page.organization.0,
        filter.endpoint.map(|endpoint| endpoint.0),
        filter.state.map(|state| state as u8),
        page.kinds(),
        filter.from.map_or(i64::MIN, |from| from.0),
        filter.until.map_or(i64::MAX, |until| until.0),
    ])?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        match read(cipher, row) {
            Ok(record) => found.push(record),
            // The others are shown all the same.
            Err(failure) => drop(failure.of_one_item()?),
        }
    }
    Ok(found)
}

/// One delivery with its attempts.
pub(super) fn one(
    snapshot: &Connection,
    cipher: &MessageCipher,
    organization: OrganizationId,
    event: Uuid,
    endpoint: EndpointId,
) -> Result<Option<DeliveryRecord>, Failure> {
    let Some(key) = event_key(cipher, event) else { return Ok(None) };
    let first = key.0.saturating_mul(SLOTS);
    let mut statement = snapshot.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM deliveries d JOIN events e ON e.key = ?1
         WHERE d.key >= ?2 AND d.key < ?3 AND d.endpoint = ?4 AND e.organization = ?5"
    ))?;
    let mut rows = statement.query([key.0, first, first.saturating_add(SLOTS), endpoint.0, organization.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut record = read(cipher, row)?;
    if record.event_id != event {
        return Ok(None);
    }
    // One that was taken at its first try keeps that try itself.
    record.attempts = snapshot
        .prepare_cached(
            "SELECT at, status, latency_ms, fault, answer FROM (
               SELECT * FROM (
                 SELECT number, at, status, latency_ms, fault, answer FROM delivery_attempts WHERE delivery = ?1
                 UNION ALL
                 SELECT 1, first_at, first_status, first_latency_ms, NULL, first_answer FROM deliveries
                 WHERE key = ?1 AND first_at IS NOT NULL
               )
               ORDER BY number DESC LIMIT ?2
             )
             ORDER BY number",
        )?
        .query_map(params![record.key.0, ATTEMPTS_SHOWN], |row| {
            Ok(Attempt { at: UnixMs(row.get(0)?), status: row.get(1)?, latency_ms: row.get(2)?, fault: row.get(3)?, answer: row.get(4)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(record))
}

fn read(cipher: &MessageCipher, row: &Row<'_>) -> Result<DeliveryRecord, Failure> {
    let key: i64 = row.get(0)?;
    let unreadable = |column| corrupt("deliveries", column, key);
    let at = UnixMs(row.get(9)?);
    let message = match (row.get::<_, Option<i64>>(10)?, row.get::<_, Option<i64>>(11)?) {
        (Some(message), Some(admitted_at)) => Some(cipher.message_id(UnixMs(admitted_at), MessageKey(message))),
        _ => None,
    };
    Ok(DeliveryRecord {
        key: DeliveryKey(key),
        event_id: event_id(cipher, at, EventKey(row.get(5)?)),
        endpoint: EndpointId(row.get(1)?),
        application: ApplicationId(row.get(6)?),
        kind: EventKind::from_number(row.get(7)?),
        mode: Mode::from_number(row.get(8)?),
        state: state(row.get(2)?).ok_or_else(|| unreadable("state"))?,
        at,
        next_at: row.get::<_, Option<i64>>(3)?.map(UnixMs),
        message,
        tries: row.get(4)?,
        attempts: Vec::new(),
    })
}

fn state(number: i64) -> Option<DeliveryState> {
    [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Dead, DeliveryState::Dropped]
        .into_iter()
        .find(|state| *state as i64 == number)
}
