//! The end of a backlog: what waits too long, and the oldest beyond a number, become dead letters
//! (reliability §c4).
//!
//! A reader finds them by the index of what waits, among the organization's own endpoints only; the
//! writer takes them by their keys, a slice per commit, and looks at each once more, so that what was
//! delivered meanwhile stays delivered. What it gave up is counted in the same commit, and the owner
//! is told of the sum.

use rusqlite::{Connection, OptionalExtension as _, params};
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::time::UnixMs;

use crate::StoreError;
use crate::deliveries::{BacklogBounds, DeliveryState, GivenUp, Overflow};
use crate::endpoints::EndpointId;
use crate::events::NoticeKind;
use crate::sqlite::SqliteStore;
use crate::sqlite::events::leave_notice;
use crate::sqlite::failure::Failure;

/// Deliveries given up per commit: sends wait meanwhile.
const ROWS_PER_COMMIT: usize = 500;

/// Deliveries found by one read: beyond the number it reads the whole backlog, so it is worth many.
const FOUND_AT_ONCE: u64 = 50_000;

/// Why a delivery is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Many,
    Old,
}

impl Why {
    /// As the delivery's last attempt says.
    fn text(self) -> &'static str {
        match self {
            Why::Many => "given up: more of the organization's events waited than may",
            Why::Old => "given up: it had waited for longer than events may",
        }
    }
}

/// A delivery that waits.
type Found = (i64, EndpointId);

impl SqliteStore {
    /// See [`crate::deliveries::Deliveries::trim_backlog`].
    pub(super) async fn trim(&self, organization: OrganizationId, bounds: BacklogBounds, at: UnixMs) -> Result<GivenUp, StoreError> {
        let mut given_up = GivenUp::default();
        loop {
            let found = self.read(move |snapshot| too_old(snapshot, organization, bounds.due_after)).await?;
            let is_last = u64::try_from(found.len()).unwrap_or(u64::MAX) < FOUND_AT_ONCE;
            given_up.old += self.give_up(found, Why::Old, at).await?;
            if is_last {
                break;
            }
        }
        loop {
            let found = self.read(move |snapshot| beyond(snapshot, organization, bounds.most)).await?;
            let is_last = u64::try_from(found.len()).unwrap_or(u64::MAX) < FOUND_AT_ONCE;
            given_up.many += self.give_up(found, Why::Many, at).await?;
            if is_last {
                break;
            }
        }
        // Also what an earlier pass did not come to tell.
        self.control(move |connection| tell(connection, organization, bounds.told_before, at)).await?;
        Ok(given_up)
    }

    async fn give_up(&self, found: Vec<Found>, why: Why, at: UnixMs) -> Result<u64, StoreError> {
        let mut given_up = 0;
        for slice in found.chunks(ROWS_PER_COMMIT) {
            let slice = slice.to_vec();
            given_up += self.control(move |connection| give_up_a_slice(connection, &slice, why, at)).await?;
        }
        Ok(given_up)
    }
}

fn endpoints_of(snapshot: &Connection, organization: OrganizationId) -> Result<Vec<EndpointId>, Failure> {
    let mut statement = snapshot.prepare_cached("SELECT id FROM endpoints WHERE organization = ?1 ORDER BY id")?;
    let rows = statement.query_map([organization.0], |row| row.get(0).map(EndpointId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What was due before an instant: the beginning of each lane in the index.
fn too_old(snapshot: &Connection, organization: OrganizationId, due_after: UnixMs) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    let most = usize::try_from(FOUND_AT_ONCE).unwrap_or(usize::MAX);
    let mut statement = snapshot.prepare_cached(
        "SELECT key FROM deliveries INDEXED BY deliveries_waiting
         WHERE endpoint = ?1 AND lane = ?2 AND next_at < ?3
         ORDER BY next_at, key
         LIMIT ?4",
    )?;
    for endpoint in endpoints_of(snapshot, organization)? {
        for lane in [0, 1] {
            let left = i64::try_from(most - found.len()).unwrap_or(0);
            let mut rows = statement.query(params![endpoint.0, lane, due_after.0, left])?;
            while let Some(row) = rows.next()? {
                found.push((row.get(0)?, endpoint));
            }
        }
    }
    Ok(found)
}

/// The oldest beyond the number, of all that waits for the organization: an event's key tells its age.
fn beyond(snapshot: &Connection, organization: OrganizationId, most: u64) -> Result<Vec<Found>, Failure> {
    let of_owner = "FROM deliveries INDEXED BY deliveries_waiting
         WHERE lane IS NOT NULL AND endpoint IN (SELECT id FROM endpoints WHERE organization = ?1)";
    let waiting: i64 = snapshot.prepare_cached(&format!("SELECT count(*) {of_owner}"))?.query_row([organization.0], |row| row.get(0))?;
    let excess = waiting.unsigned_abs().saturating_sub(most).min(FOUND_AT_ONCE);
    if excess == 0 {
        return Ok(Vec::new());
    }
    let mut statement = snapshot.prepare_cached(&format!("SELECT key, endpoint {of_owner} ORDER BY key LIMIT ?2"))?;
    let rows = statement
        .query_map(params![organization.0, i64::try_from(excess).unwrap_or(i64::MAX)], |row| Ok((row.get(0)?, EndpointId(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn give_up_a_slice(connection: &Connection, slice: &[Found], why: Why, at: UnixMs) -> Result<u64, Failure> {
    let mut dead = connection.prepare_cached(
        "UPDATE deliveries SET state = ?3, lane = NULL, next_at = NULL, tries = tries + 1
         WHERE key = ?1 AND endpoint = ?2 AND lane IS NOT NULL
         RETURNING tries",
    )?;
    let mut said = connection.prepare_cached(
        "INSERT OR REPLACE INTO delivery_attempts (delivery, number, at, status, latency_ms, fault, answer)
         VALUES (?1, ?2, ?3, NULL, 0, ?4, '')",
    )?;
    let mut counted = connection.prepare_cached(
        "INSERT INTO overflows (endpoint, many, old, last_at, untold_many, untold_old, told_at)
         VALUES (?1, ?2, ?3, ?4, ?2, ?3, NULL)
         ON CONFLICT (endpoint) DO UPDATE SET many = many + excluded.many, old = old + excluded.old, last_at = excluded.last_at,
           untold_many = untold_many + excluded.many, untold_old = untold_old + excluded.old",
    )?;
    let mut given_up = 0;
    // Endpoint by endpoint, so that each is counted once.
    let mut by_endpoint = slice.to_vec();
    by_endpoint.sort_unstable_by_key(|(key, endpoint)| (*endpoint, *key));
    for of_one in by_endpoint.chunk_by(|one, next| one.1 == next.1) {
        let mut count: i64 = 0;
        for (key, endpoint) in of_one {
            let tries: Option<i64> = dead.query_row(params![key, endpoint.0, DeliveryState::Dead as u8], |row| row.get(0)).optional()?;
            // Delivered, or dropped with its endpoint, since it was found.
            let Some(tries) = tries else { continue };
            said.execute(params![key, tries, at.0, why.text()])?;
            count += 1;
        }
        if let (1.., Some((_, endpoint))) = (count, of_one.first()) {
            let (many, old) = if why == Why::Many { (count, 0) } else { (0, count) };
            counted.execute(params![endpoint.0, many, old, at.0])?;
            given_up += count.unsigned_abs();
        }
    }
    Ok(given_up)
}

/// Leaves a notice for each endpoint of which something was given up untold.
fn tell(connection: &Connection, organization: OrganizationId, told_before: UnixMs, at: UnixMs) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT o.endpoint, o.untold_many, o.untold_old
         FROM endpoints e
         CROSS JOIN overflows o ON o.endpoint = e.id
         WHERE e.organization = ?1 AND o.untold_many + o.untold_old > 0 AND coalesce(o.told_at <= ?2, TRUE)",
    )?;
    let untold: Vec<(EndpointId, i64, i64)> = statement
        .query_map([organization.0, told_before.0], |row| Ok((EndpointId(row.get(0)?), row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (endpoint, many, old) in untold {
        let given_up = GivenUp { many: many.unsigned_abs(), old: old.unsigned_abs() };
        leave_notice(connection, at, organization, &NoticeKind::BacklogOverflow(endpoint, given_up))?;
        connection
            .prepare_cached("UPDATE overflows SET untold_many = 0, untold_old = 0, told_at = ?2 WHERE endpoint = ?1")?
            .execute([endpoint.0, at.0])?;
    }
    Ok(())
}

/// What was given up, per endpoint.
pub(super) fn list(snapshot: &Connection, organization: Option<OrganizationId>) -> Result<Vec<Overflow>, Failure> {
    let mut statement = snapshot.prepare_cached(
        "SELECT o.endpoint, e.organization, o.many, o.old, o.last_at, o.untold_many + o.untold_old, o.told_at
         FROM overflows o
         CROSS JOIN endpoints e ON e.id = o.endpoint
         WHERE ?1 IS NULL OR e.organization = ?1",
    )?;
    let rows = statement.query_map([organization.map(|organization| organization.0)], |row| {
        let count = |place| row.get::<_, i64>(place).map(i64::unsigned_abs);
        Ok(Overflow {
            endpoint: EndpointId(row.get(0)?),
            organization: OrganizationId(row.get(1)?),
            given_up: GivenUp { many: count(2)?, old: count(3)? },
            last_at: UnixMs(row.get(4)?),
            untold: count(5)?,
            told_at: row.get::<_, Option<i64>>(6)?.map(UnixMs),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
