//! What waits, and for when: read from the index of what waits alone, wherever that is enough.

use rusqlite::{Connection, OptionalExtension as _, params};
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::time::UnixMs;

use crate::deliveries::{Backlog, DeliveryKey, NextDue, Stalled};
use crate::endpoints::EndpointId;
use crate::sqlite::failure::Failure;

/// What waits, per endpoint: counted.
pub(super) fn backlogs(snapshot: &Connection, organization: Option<OrganizationId>) -> Result<Vec<Backlog>, Failure> {
    let of_whom = match organization {
        Some(_) => "endpoint IN (SELECT id FROM endpoints WHERE organization = ?1)",
        None => "?1 IS NULL",
    };
    let mut statement = snapshot.prepare_cached(&format!(
        "SELECT endpoint, sum(lane = 0), sum(lane = 1), min(iif(lane = 1, next_at, NULL)), min(next_at)
         FROM deliveries INDEXED BY deliveries_waiting
         WHERE lane IS NOT NULL AND {of_whom}
         GROUP BY endpoint"
    ))?;
    let rows = statement.query_map([organization.map(|organization| organization.0)], |row| {
        Ok(Backlog {
            endpoint: EndpointId(row.get(0)?),
            first: row.get::<_, i64>(1)?.unsigned_abs(),
            retries: row.get::<_, i64>(2)?.unsigned_abs(),
            next_retry_at: row.get::<_, Option<i64>>(3)?.map(UnixMs),
            due_since: UnixMs(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When something of each endpoint is to be tried next: two look-ups in the index each.
pub(super) fn next_due(snapshot: &Connection) -> Result<Vec<NextDue>, Failure> {
    let mut statement = snapshot.prepare_cached(
        "SELECT e.id,
                EXISTS (SELECT 1 FROM deliveries d INDEXED BY deliveries_waiting WHERE d.endpoint = e.id AND d.lane = 0),
                (SELECT min(d.next_at) FROM deliveries d INDEXED BY deliveries_waiting WHERE d.endpoint = e.id AND d.lane = 1)
         FROM endpoints e",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(NextDue { endpoint: EndpointId(row.get(0)?), has_first: row.get(1)?, retry_at: row.get::<_, Option<i64>>(2)?.map(UnixMs) })
    })?;
    let all: Vec<NextDue> = rows.collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter(|due| due.has_first || due.retry_at.is_some()).collect())
}

/// When the earliest retry after an instant is due.
pub(super) fn next_retry(snapshot: &Connection, endpoint: EndpointId, after: UnixMs) -> Result<Option<UnixMs>, Failure> {
    let found = snapshot
        .prepare_cached(
            "SELECT next_at FROM deliveries INDEXED BY deliveries_waiting
             WHERE endpoint = ?1 AND lane = 1 AND next_at > ?2
             ORDER BY next_at
             LIMIT 1",
        )?
        .query_row([endpoint.0, after.0], |row| row.get(0).map(UnixMs))
        .optional()?;
    Ok(found)
}

/// What failed for the first time after an instant. Its next try is later still, which leaves out
/// what is overdue; of the rest each is looked at.
pub(super) fn stalled(snapshot: &Connection, endpoint: EndpointId, since: UnixMs) -> Result<Vec<Stalled>, Failure> {
    let mut statement = snapshot.prepare_cached(
        "SELECT d.key, e.user, a.at + a.latency_ms
         FROM deliveries d INDEXED BY deliveries_waiting
         CROSS JOIN delivery_attempts a ON a.delivery = d.key AND a.number = 1
         CROSS JOIN events e ON e.key = d.key / 16
         WHERE d.endpoint = ?1 AND d.lane = 1 AND d.next_at > ?2 AND a.at + a.latency_ms > ?2 AND e.user IS NOT NULL
         ORDER BY d.key",
    )?;
    let rows = statement.query_map(params![endpoint.0, since.0], |row| {
        Ok(Stalled { key: DeliveryKey(row.get(0)?), user: row.get(1)?, failed_at: UnixMs(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
