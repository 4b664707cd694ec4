//! Asking for deliveries again, and giving them up: by slices, each a commit of its own.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use turnpike_domain::ids::{MessageCipher, OrganizationId};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::EventKind;
use uuid::Uuid;

use super::SLOTS;
use super::claims::Bodies;
use super::list::{Page, blocks_between, events_between};
use crate::StoreError;
use crate::deliveries::{DeliveryState, Lane};
use crate::endpoints::{Endpoint, EndpointId};
use crate::events::EventKey;
use crate::sqlite::SqliteStore;
use crate::sqlite::endpoints;
use crate::sqlite::events::{BLOCK, event_id};
use crate::sqlite::failure::{Failure, corrupt};

/// Events looked at, or deliveries given up, per commit: sends wait meanwhile.
const ROWS_PER_COMMIT: i64 = 1_000;

/// Makes one pending again. A delivery that waits already is tried at once.
pub(super) fn one(
    connection: &Connection,
    cipher: &MessageCipher,
    organization: OrganizationId,
    (id, event): (Uuid, EventKey),
    endpoint: EndpointId,
    now: UnixMs,
) -> Result<bool, Failure> {
    let at = connection
        .prepare_cached("SELECT at FROM events WHERE key = ?1 AND organization = ?2")?
        .query_row([event.0, organization.0], |row| row.get(0).map(UnixMs))
        .optional()?;
    let Some(at) = at.filter(|at| event_id(cipher, *at, event) == id) else { return Ok(false) };
    if endpoints::one(connection, organization, endpoint)?.is_none() || !(Bodies { snapshot: connection, day: None }).are_kept(event, at)? {
        return Ok(false);
    }
    let first = event.0.saturating_mul(SLOTS);
    let again = connection
        .prepare_cached(
            "UPDATE deliveries SET state = 0, lane = ?4, next_at = ?5, attempts = 0 WHERE key >= ?1 AND key < ?2 AND endpoint = ?3",
        )?
        .execute(params![first, first.saturating_add(SLOTS), endpoint.0, Lane::Retry as u8, now.0])?;
    Ok(again > 0)
}

impl SqliteStore {
    /// Makes a range pending again, oldest first.
    pub(super) async fn replay_a_range(&self, page: Page, now: UnixMs) -> Result<u64, StoreError> {
        let Some(endpoint) = page.filter.endpoint else { return Ok(0) };
        if page.filter.state == Some(DeliveryState::Pending) {
            return self.replay_what_waits(page, endpoint, now).await;
        }
        let (first, last) = self.read(move |snapshot| events_between(snapshot, page.filter.from, page.filter.until)).await?;
        let blocks = self.read(move |snapshot| blocks_between(snapshot, page.application, (first, last))).await?;
        let mut replayed = 0;
        for block in blocks {
            let mut from = first.max(block * BLOCK);
            let last = last.min(block * BLOCK + BLOCK - 1);
            while from <= last {
                let to = last.min(from.saturating_add(ROWS_PER_COMMIT - 1));
                let slice = move |connection: &Connection| {
                    again(connection, &page, endpoint, now, |slot| within(connection, &page, slot, (from, to)))
                };
                replayed += self.control(slice).await?;
                from = to + 1;
            }
        }
        Ok(replayed)
    }

    /// What waits stands in an index: it takes as long as the backlog is, and not as all that ever was.
    async fn replay_what_waits(&self, page: Page, endpoint: EndpointId, now: UnixMs) -> Result<u64, StoreError> {
        let waiting = self.read(move |snapshot| waiting_retries(snapshot, endpoint)).await?;
        let mut replayed = 0;
        for keys in waiting.chunks(usize::try_from(ROWS_PER_COMMIT).unwrap_or(1)) {
            let keys = keys.to_vec();
            let slice = move |connection: &Connection| again(connection, &page, endpoint, now, |_| each(connection, &page, &keys));
            replayed += self.control(slice).await?;
        }
        Ok(replayed)
    }
}

/// What of an endpoint waits for another try, oldest first. What was never tried is on its way, in
/// order.
fn waiting_retries(snapshot: &Connection, endpoint: EndpointId) -> Result<Vec<i64>, Failure> {
    let mut statement =
        snapshot.prepare_cached("SELECT key FROM deliveries INDEXED BY deliveries_waiting WHERE endpoint = ?1 AND lane = ?2")?;
    let mut keys: Vec<i64> =
        statement.query_map([endpoint.0, i64::from(Lane::Retry as u8)], |row| row.get(0))?.collect::<Result<_, _>>()?;
    keys.sort_unstable();
    Ok(keys)
}

/// An event that may be delivered again, and its delivery where it has one.
struct Found {
    event: EventKey,
    at: UnixMs,
    mode: i64,
    kind: i64,
    delivery: Option<(EndpointId, i64, Option<i64>)>,
}

/// The page's events between two of them, and their deliveries in one slot.
fn within(connection: &Connection, page: &Page, slot: i64, (from, to): (i64, i64)) -> Result<Vec<Found>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT e.key, e.at, e.mode, e.kind, d.endpoint, d.state, d.lane
         FROM events e LEFT JOIN deliveries d ON d.key = e.key * 16 + ?1
         WHERE e.key >= ?2 AND e.key <= ?3 AND e.application = ?4 AND e.organization = ?5 AND e.at >= ?6 AND e.at < ?7
         ORDER BY e.key",
    )?;
    let (since, until) = span(page);
    let rows = statement.query_map(params![slot, from, to, page.application.0, page.organization.0, since, until], found)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// These deliveries with their events, where they are the page's.
fn each(connection: &Connection, page: &Page, keys: &[i64]) -> Result<Vec<Found>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT e.key, e.at, e.mode, e.kind, d.endpoint, d.state, d.lane
         FROM deliveries d JOIN events e ON e.key = d.key / 16
         WHERE d.key = ?1 AND e.application = ?2 AND e.organization = ?3 AND e.at >= ?4 AND e.at < ?5",
    )?;
    let (since, until) = span(page);
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        all.extend(statement.query_row(params![key, page.application.0, page.organization.0, since, until], found).optional()?);
    }
    Ok(all)
}

fn span(page: &Page) -> (i64, i64) {
    (page.filter.from.map_or(i64::MIN, |from| from.0), page.filter.until.map_or(i64::MAX, |until| until.0))
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let endpoint: Option<i64> = row.get(4)?;
    let delivery = match endpoint {
        Some(endpoint) => Some((EndpointId(endpoint), row.get(5)?, row.get(6)?)),
        None => None,
    };
    Ok(Found { event: EventKey(row.get(0)?), at: UnixMs(row.get(1)?), mode: row.get(2)?, kind: row.get(3)?, delivery })
}

/// Makes pending again what `find` finds for the endpoint's slot and the page wants.
fn again(
    connection: &Connection,
    page: &Page,
    endpoint: EndpointId,
    now: UnixMs,
    find: impl FnOnce(i64) -> Result<Vec<Found>, Failure>,
) -> Result<u64, Failure> {
    let found_endpoint = endpoints::one(connection, page.organization, endpoint)?;
    let Some(to_whom) = found_endpoint.filter(|found| found.application == page.application) else { return Ok(0) };
    let slot = i64::from(to_whom.slot);
    let found = find(slot)?;
    let mut bodies = Bodies { snapshot: connection, day: None };
    let mut replayed = 0;
    for event in found {
        if !is_wanted(page, &to_whom, &event)? || !bodies.are_kept(event.event, event.at)? {
            continue;
        }
        let key = event.event.0.saturating_mul(SLOTS) + slot;
        if event.delivery.is_some_and(|(of, ..)| of != endpoint) {
            // The slot was another endpoint's, which is deleted: nothing of it is shown any more.
            connection.prepare_cached("DELETE FROM delivery_attempts WHERE delivery = ?1")?.execute([key])?;
            connection.prepare_cached("DELETE FROM deliveries WHERE key = ?1")?.execute([key])?;
        }
        connection
            .prepare_cached(
                "INSERT INTO deliveries (key, endpoint, state, lane, next_at, attempts, tries) VALUES (?1, ?2, 0, ?3, ?4, 0, 0)
                 ON CONFLICT (key) DO UPDATE SET state = 0, lane = excluded.lane, next_at = excluded.next_at, attempts = 0",
            )?
            .execute(params![key, endpoint.0, Lane::Retry as u8, now.0])?;
        replayed += 1;
    }
    Ok(replayed)
}

/// Whether the filter names it. What the endpoint never got is replayed only where it would get it
/// today.
fn is_wanted(page: &Page, endpoint: &Endpoint, event: &Found) -> Result<bool, Failure> {
    let kind = EventKind::from_number(event.kind).ok_or_else(|| corrupt("events", "kind", event.event.0))?;
    let mode = Mode::from_number(event.mode).ok_or_else(|| corrupt("events", "mode", event.event.0))?;
    if page.filter.kinds.is_some_and(|kinds| !kinds.wants(kind)) {
        return Ok(false);
    }
    Ok(match event.delivery.filter(|(of, ..)| *of == endpoint.key) {
        // What was never tried is on its way, in order.
        Some((_, state, lane)) => {
            page.filter.state.is_none_or(|wanted| wanted as i64 == state) && lane != Some(i64::from(Lane::First as u8))
        }
        None => page.filter.state.is_none() && endpoint.events.wants(kind) && (mode != Mode::Sandbox || endpoint.sandbox),
    })
}

/// What one slice of a dropped backlog came to.
pub(super) struct Dropped {
    pub(super) dropped: u64,
    /// Up to this delivery the backlog is dropped: what comes later was not meant.
    pub(super) to: i64,
    pub(super) is_last: bool,
}

/// Gives up a slice of what waits, up to the delivery that was the newest when the dropping began.
pub(super) fn drop_a_slice(
    connection: &Connection,
    organization: OrganizationId,
    endpoint: EndpointId,
    to: Option<i64>,
) -> Result<Dropped, Failure> {
    if endpoints::one(connection, organization, endpoint)?.is_none() {
        return Ok(Dropped { dropped: 0, to: 0, is_last: true });
    }
    let to = match to {
        Some(to) => to,
        None => connection.query_row("SELECT coalesce(max(key), 0) FROM deliveries", [], |row| row.get(0))?,
    };
    let dropped = connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?1, lane = NULL, next_at = NULL WHERE key IN
               (SELECT key FROM deliveries WHERE endpoint = ?2 AND lane IS NOT NULL AND key <= ?3 LIMIT ?4)",
        )?
        .execute(params![DeliveryState::Dropped as u8, endpoint.0, to, ROWS_PER_COMMIT])?;
    let dropped = u64::try_from(dropped).unwrap_or(0);
    Ok(Dropped { dropped, to, is_last: dropped < ROWS_PER_COMMIT.unsigned_abs() })
}
