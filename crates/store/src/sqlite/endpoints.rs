//! Endpoints: one row each, changed as a whole.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::EventSet;

use super::SqliteStore;
use super::cells::Cells;
use super::events::leave_notice;
use super::failure::Failure;
use crate::Answer;
use crate::endpoints::{ENDPOINTS_MAX, Endpoint, EndpointChange, EndpointId, Endpoints, NewEndpoint};
use crate::events::NoticeKind;
use crate::organizations::Created;

/// Waiting deliveries deleted per commit: a whole backlog at once would stand in the way of sends.
const ROWS_PER_COMMIT: i64 = 2_000;

/// The name under which the last endpoint's key is kept: rows of deliveries outlive their endpoint,
/// so a key is never used twice.
const LAST_ENDPOINT: &str = "last_endpoint";

impl Endpoints for SqliteStore {
    fn create_endpoint(&self, new: NewEndpoint) -> Answer<'_, Created<Endpoint>> {
        Box::pin(self.control(move |connection| create(connection, new)))
    }

    fn endpoints(&self) -> Answer<'_, Vec<Endpoint>> {
        Box::pin(self.read(all))
    }

    fn update_endpoint(
        &self,
        organization: OrganizationId,
        endpoint: EndpointId,
        change: EndpointChange,
        at: UnixMs,
    ) -> Answer<'_, Option<Endpoint>> {
        // How an endpoint fares is written while its neighbours' events are delivered.
        Box::pin(self.control_beside_deliveries(move |connection| update(connection, organization, endpoint, change, at)))
    }

    fn delete_endpoint(&self, organization: OrganizationId, endpoint: EndpointId) -> Answer<'_, bool> {
        Box::pin(async move {
            loop {
                match self.control(move |connection| delete_a_slice(connection, organization, endpoint)).await? {
                    Deleted::Slice => {}
                    Deleted::Whole => return Ok(true),
                    Deleted::NotFound => return Ok(false),
                }
            }
        })
    }
}

/// `key` first, the others as [`read`] and [`save`] count them.
const COLUMNS: &str = "id, organization, application, slot, uuid, name, url, headers_sealed, events, sandbox, ordered, send_bearer,
   secret_sealed, old_secret_sealed, old_secret_until, bearer_sealed, is_active, disabled_reason, failing_since, failures,
   created_at, updated_at";

fn create(connection: &Connection, new: NewEndpoint) -> Result<Created<Endpoint>, Failure> {
    let owns = connection
        .prepare_cached("SELECT 1 FROM applications WHERE id = ?1 AND organization = ?2")?
        .exists([new.application.0, new.organization.0])?;
    if !owns {
        return Err(crate::StoreError::unavailable(format!("the organization has no application {}", new.application.0)).into());
    }
    // Asked before the insert: there is one writer, so what is so here is so below.
    let of_application: Vec<(u8, String)> = connection
        .prepare_cached("SELECT slot, name FROM endpoints WHERE application = ?1")?
        .query_map([new.application.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if of_application.iter().any(|(_, name)| *name == new.name) {
        return Ok(Created::Taken("name"));
    }
    let Some(slot) = (0..ENDPOINTS_MAX).find(|slot| of_application.iter().all(|(taken, _)| taken != slot)) else {
        return Ok(Created::Taken("endpoints"));
    };
    let last: i64 = connection.query_row(
        "SELECT max(coalesce((SELECT max(id) FROM endpoints), 0), coalesce((SELECT value FROM marks WHERE name = ?1), 0))",
        [LAST_ENDPOINT],
        |row| row.get(0),
    )?;
    connection
        .prepare_cached("INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value")?
        .execute(params![LAST_ENDPOINT, last + 1])?;
    let endpoint = Endpoint {
        key: EndpointId(last + 1),
        organization: new.organization,
        application: new.application,
        slot,
        id: new.id,
        name: new.name,
        url: new.url,
        headers_sealed: new.headers_sealed,
        events: new.events,
        sandbox: new.sandbox,
        ordered: new.ordered,
        send_bearer: new.send_bearer,
        secret_sealed: new.secret_sealed,
        old_secret_sealed: None,
        bearer_sealed: new.bearer_sealed,
        is_active: true,
        disabled_reason: None,
        failing_since: None,
        failures: 0,
        created_at: new.at,
        updated_at: new.at,
    };
    save(connection, "INSERT INTO", &endpoint)?;
    Ok(Created::New(endpoint))
}

fn update(
    connection: &Connection,
    organization: OrganizationId,
    endpoint: EndpointId,
    change: EndpointChange,
    at: UnixMs,
) -> Result<Option<Endpoint>, Failure> {
    let Some(before) = one(connection, organization, endpoint)? else { return Ok(None) };
    let (was_active, is_told) = (before.is_active, change.failing_notice);
    let is_disabled = change.disabled.is_some();
    let after = changed(before, change, at);
    save(connection, "REPLACE INTO", &after)?;
    if is_disabled && was_active {
        let reason = after.disabled_reason.clone().unwrap_or_default();
        leave_notice(connection, at, organization, &NoticeKind::EndpointDisabled(endpoint, reason))?;
    }
    if is_told {
        leave_notice(connection, at, organization, &NoticeKind::EndpointFailing(endpoint))?;
    }
    Ok(Some(after))
}

fn changed(before: Endpoint, change: EndpointChange, at: UnixMs) -> Endpoint {
    let mut after = before;
    if let Some((secret, until)) = change.secret {
        after.old_secret_sealed = Some((std::mem::replace(&mut after.secret_sealed, secret), until));
    }
    after.url = change.url.unwrap_or(after.url);
    after.headers_sealed = change.headers_sealed.unwrap_or(after.headers_sealed);
    after.events = change.events.unwrap_or(after.events);
    after.sandbox = change.sandbox.unwrap_or(after.sandbox);
    after.ordered = change.ordered.unwrap_or(after.ordered);
    after.send_bearer = change.send_bearer.unwrap_or(after.send_bearer);
    after.bearer_sealed = change.bearer_sealed.unwrap_or(after.bearer_sealed);
    if let Some(failing) = change.failing {
        (after.failing_since, after.failures) = failing.map_or((None, 0), |(since, failures)| (Some(since), failures));
    }
    if let Some(is_active) = change.is_active {
        after.is_active = is_active;
        if is_active {
            (after.disabled_reason, after.failing_since, after.failures) = (None, None, 0);
        }
    }
    if let Some(reason) = change.disabled {
        (after.is_active, after.disabled_reason) = (false, Some(reason));
    }
    after.updated_at = at;
    after
}

enum Deleted {
    Slice,
    Whole,
    NotFound,
}

/// What waits goes first, so that an endpoint that is gone leaves nothing waiting.
fn delete_a_slice(connection: &Connection, organization: OrganizationId, endpoint: EndpointId) -> Result<Deleted, Failure> {
    if one(connection, organization, endpoint)?.is_none() {
        return Ok(Deleted::NotFound);
    }
    connection.prepare_cached("UPDATE endpoints SET is_active = 0 WHERE id = ?1")?.execute([endpoint.0])?;
    let keys: Vec<i64> = connection
        .prepare_cached("SELECT key FROM deliveries WHERE endpoint = ?1 AND lane IS NOT NULL LIMIT ?2")?
        .query_map([endpoint.0, ROWS_PER_COMMIT], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for key in &keys {
        connection.prepare_cached("DELETE FROM delivery_attempts WHERE delivery = ?1")?.execute([key])?;
        connection.prepare_cached("DELETE FROM deliveries WHERE key = ?1")?.execute([key])?;
    }
    if i64::try_from(keys.len()).unwrap_or(0) == ROWS_PER_COMMIT {
        return Ok(Deleted::Slice);
    }
    connection.prepare_cached("DELETE FROM overflows WHERE endpoint = ?1")?.execute([endpoint.0])?;
    connection.prepare_cached("DELETE FROM endpoints WHERE id = ?1")?.execute([endpoint.0])?;
    Ok(Deleted::Whole)
}

fn save(connection: &Connection, verb: &str, row: &Endpoint) -> Result<(), Failure> {
    let (old_secret, old_until) = match &row.old_secret_sealed {
        Some((sealed, until)) => (Some(sealed), Some(until.0)),
        None => (None, None),
    };
    connection
        .prepare_cached(&format!(
            "{verb} endpoints ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)"
        ))?
        .execute(params![
            row.key.0,
            row.organization.0,
            row.application.0,
            row.slot,
            row.id.as_bytes(),
            row.name,
            row.url,
            row.headers_sealed,
            row.events.bits(),
            row.sandbox,
            row.ordered,
            row.send_bearer,
            row.secret_sealed,
            old_secret,
            old_until,
            row.bearer_sealed,
            row.is_active,
            row.disabled_reason,
            row.failing_since.map(|since| since.0),
            row.failures,
            row.created_at.0,
            row.updated_at.0,
        ])?;
    Ok(())
}

fn all(connection: &Connection) -> Result<Vec<Endpoint>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM endpoints ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut endpoints = Vec::new();
    while let Some(row) = rows.next()? {
        endpoints.push(read(row)?);
    }
    Ok(endpoints)
}

/// One endpoint of an organization.
pub(super) fn one(connection: &Connection, organization: OrganizationId, endpoint: EndpointId) -> Result<Option<Endpoint>, Failure> {
    let found: Option<Result<Endpoint, Failure>> = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM endpoints WHERE id = ?1 AND organization = ?2"))?
        .query_row([endpoint.0, organization.0], |row| Ok(read(row)))
        .optional()?;
    found.transpose()
}

fn read(row: &Row<'_>) -> Result<Endpoint, Failure> {
    let cells = Cells::of(row, "endpoints")?;
    let old_until: Option<i64> = cells.get(14, "old_secret_until")?;
    Ok(Endpoint {
        key: EndpointId(cells.key),
        organization: OrganizationId(cells.get(1, "organization")?),
        application: ApplicationId(cells.get(2, "application")?),
        slot: cells.get(3, "slot")?,
        id: cells.uuid(4, "uuid")?,
        name: cells.get(5, "name")?,
        url: cells.get(6, "url")?,
        headers_sealed: cells.get(7, "headers_sealed")?,
        events: EventSet::from_bits(cells.get(8, "events")?),
        sandbox: cells.get(9, "sandbox")?,
        ordered: cells.get(10, "ordered")?,
        send_bearer: cells.get(11, "send_bearer")?,
        secret_sealed: cells.get(12, "secret_sealed")?,
        old_secret_sealed: cells.get::<Option<Vec<u8>>>(13, "old_secret_sealed")?.zip(old_until.map(UnixMs)),
        bearer_sealed: cells.get(15, "bearer_sealed")?,
        is_active: cells.get(16, "is_active")?,
        disabled_reason: cells.get(17, "disabled_reason")?,
        failing_since: cells.get::<Option<i64>>(18, "failing_since")?.map(UnixMs),
        failures: cells.get(19, "failures")?,
        created_at: UnixMs(cells.get(20, "created_at")?),
        updated_at: UnixMs(cells.get(21, "updated_at")?),
    })
}
