//! API keys. The table is read whole at start; after that only the control path touches it, so its
//! unique indexes on random digests and UUIDs cost the hot path nothing.

use rusqlite::{Connection, Row, params};
use turnpike_domain::ids::{ApiKeyId, ApplicationId, OrganizationId};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use super::SqliteStore;
use super::cells::Cells;
use super::failure::Failure;
use crate::keys::{ApiKeyRow, KeyEnd, KeyPolicy, KeyRotation, Keys, NewApiKey, Rotated};
use crate::{Answer, StoreError};

/// Keys that stand in memory at once while the table is loaded: a chunk is a megabyte or two, and
/// larger ones load no faster.
const CHUNK: usize = 4_096;

impl Keys for SqliteStore {
    fn create_keys(&self, new: Vec<NewApiKey>) -> Answer<'_, Vec<ApiKeyRow>> {
        Box::pin(self.control(move |connection| create(connection, new)))
    }

    fn load_keys(&self, now: UnixMs, each: Box<dyn FnMut(Vec<ApiKeyRow>) + Send>) -> Answer<'_, ()> {
        Box::pin(self.read(move |connection| load(connection, now, each)))
    }

    fn keys_of(&self, organization: OrganizationId, application: ApplicationId) -> Answer<'_, Vec<ApiKeyRow>> {
        Box::pin(self.read(move |connection| of_application(connection, organization, application)))
    }

    fn rotate_key(&self, rotation: KeyRotation) -> Answer<'_, Rotated> {
        Box::pin(self.control(move |connection| rotate(connection, rotation)))
    }

    fn end_key(&self, organization: OrganizationId, id: Uuid, end: KeyEnd) -> Answer<'_, Option<ApiKeyRow>> {
        Box::pin(self.control(move |connection| self::end(connection, organization, id, end)))
    }
}

const COLUMNS: &str =
    "id, organization, application, uuid, name, mode, digest, prefix, last_four, policy, expires_at, revoked_at, created_at";

fn create(connection: &Connection, new: Vec<NewApiKey>) -> Result<Vec<ApiKeyRow>, Failure> {
    let mut owner = connection.prepare_cached("SELECT count(*) FROM applications WHERE organization = ?1 AND id = ?2")?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO api_keys (id, organization, application, uuid, name, mode, digest, prefix, last_four, policy, expires_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    // Batches are of one application with one policy nearly always, so what was found out for the
    // last row is kept for the next.
    let mut last_owner = None;
    let mut last_policy: Option<(&KeyPolicy, String)> = None;
    let mut belongs = |key: &NewApiKey| match last_owner {
        Some((organization, application, belongs)) if (organization, application) == (key.organization, key.application) => Ok(belongs),
        _ => {
            let belongs = owner.query_row([key.organization.0, key.application.0], |row| row.get::<_, i64>(0))? == 1;
            last_owner = Some((key.organization, key.application, belongs));
            Ok::<bool, Failure>(belongs)
        }
    };
    let mut key = connection.query_row("SELECT coalesce(max(id), 0) FROM api_keys", [], |row| row.get(0))?;
    let mut created = Vec::with_capacity(new.len());
    for new in new {
        if belongs(&new)? {
            key += 1;
            created.push(row(ApiKeyId(key), new));
        }
    }
    // Digests are random, so their index is written all over in the rows' own order; in the
    // digests' order each of its pages is written once, however many keys there are already.
    let mut by_digest: Vec<&ApiKeyRow> = created.iter().collect();
    by_digest.sort_unstable_by_key(|row| row.digest);
    for row in by_digest {
        let policy = match &last_policy {
            Some((policy, json)) if **policy == row.policy => json,
            _ => &last_policy.insert((&row.policy, serde_json::to_string(&row.policy).map_err(StoreError::unavailable)?)).1,
        };
        insert.execute(params![
            row.key.0,
            row.organization.0,
            row.application.0,
            row.id.as_bytes(),
            row.name,
            row.mode.number(),
            row.digest,
            row.prefix,
            row.last_four,
            policy,
            row.expires_at.map(|at| at.0),
            row.created_at.0,
        ])?;
    }
    Ok(created)
}

fn row(key: ApiKeyId, new: NewApiKey) -> ApiKeyRow {
    ApiKeyRow {
        key,
        organization: new.organization,
        application: new.application,
        id: new.id,
        name: new.name,
        mode: new.mode,
        digest: new.digest,
        prefix: new.prefix,
        last_four: new.last_four,
        policy: new.policy,
        expires_at: new.expires_at,
        revoked_at: None,
        created_at: new.at,
    }
}

fn load(connection: &Connection, now: UnixMs, mut each: Box<dyn FnMut(Vec<ApiKeyRow>) + Send>) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?1) ORDER BY id"
    ))?;
    let mut rows = statement.query([now.0])?;
    let mut policies = Policies::default();
    let mut chunk = Vec::new();
    while let Some(row) = rows.next()? {
        chunk.push(read(row, &mut policies)?);
        if chunk.len() == CHUNK {
            each(std::mem::take(&mut chunk));
        }
    }
    if !chunk.is_empty() {
        each(chunk);
    }
    Ok(())
}

/// By the index on `application`; the organization is compared, never trusted.
fn of_application(connection: &Connection, organization: OrganizationId, application: ApplicationId) -> Result<Vec<ApiKeyRow>, Failure> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM api_keys WHERE application = ?2 AND organization = ?1 ORDER BY id DESC"))?;
    let mut rows = statement.query([organization.0, application.0])?;
    let mut policies = Policies::default();
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(read(row, &mut policies)?);
    }
    Ok(keys)
}

/// In the savepoint of its call: both or none.
fn rotate(connection: &Connection, rotation: KeyRotation) -> Result<Rotated, Failure> {
    let KeyRotation { new, old: old_id, end } = rotation;
    let belongs = |row: &ApiKeyRow| row.application == new.application;
    let Some(old) = one(connection, new.organization, old_id)?.filter(belongs) else { return Ok(Rotated::NotFound) };
    if let Some(made) = one(connection, new.organization, new.id)? {
        return Ok(if made.digest == new.digest { Rotated::Done { new: Box::new(made), old: Box::new(old) } } else { Rotated::NotFound });
    }
    if old.revoked_at.is_some() || old.expires_at.is_some_and(|ends| ends <= new.at) {
        return Ok(Rotated::Ended);
    }
    let Some(old) = self::end(connection, new.organization, old_id, end)? else { return Ok(Rotated::NotFound) };
    let made = create(connection, vec![new])?.pop();
    Ok(made.map_or(Rotated::NotFound, |made| Rotated::Done { new: Box::new(made), old: Box::new(old) }))
}

fn end(connection: &Connection, organization: OrganizationId, id: Uuid, end: KeyEnd) -> Result<Option<ApiKeyRow>, Failure> {
    // A second revocation keeps the first one's instant, an overlap only ever gets shorter.
    let (sql, at) = match end {
        KeyEnd::Revoked(at) => {
            ("UPDATE api_keys SET revoked_at = min(?3, coalesce(revoked_at, ?3)) WHERE organization = ?1 AND uuid = ?2", at)
        }
        KeyEnd::Expires(at) => {
            ("UPDATE api_keys SET expires_at = min(?3, coalesce(expires_at, ?3)) WHERE organization = ?1 AND uuid = ?2", at)
        }
    };
    connection.prepare_cached(sql)?.execute(params![organization.0, id.as_bytes(), at.0])?;
    one(connection, organization, id)
}

fn one(connection: &Connection, organization: OrganizationId, id: Uuid) -> Result<Option<ApiKeyRow>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM api_keys WHERE organization = ?1 AND uuid = ?2"))?;
    let mut rows = statement.query(params![organization.0, id.as_bytes()])?;
    match rows.next()? {
        Some(row) => Ok(Some(read(row, &mut Policies::default())?)),
        None => Ok(None),
    }
}

fn read(row: &Row<'_>, policies: &mut Policies) -> Result<ApiKeyRow, Failure> {
    let cells = Cells::of(row, "api_keys")?;
    Ok(ApiKeyRow {
        key: ApiKeyId(cells.key),
        organization: OrganizationId(cells.get(1, "organization")?),
        application: ApplicationId(cells.get(2, "application")?),
        id: cells.uuid(3, "uuid")?,
        name: cells.get(4, "name")?,
        mode: cells.word(5, "mode", Mode::from_number)?,
        digest: cells.get(6, "digest")?,
        prefix: cells.get(7, "prefix")?,
        last_four: cells.get(8, "last_four")?,
        policy: policies.read(cells.get(9, "policy")?).ok_or_else(|| cells.corrupt("policy"))?,
        expires_at: cells.get::<Option<i64>>(10, "expires_at")?.map(UnixMs),
        revoked_at: cells.get::<Option<i64>>(11, "revoked_at")?.map(UnixMs),
        created_at: UnixMs(cells.get(12, "created_at")?),
    })
}

/// The last policy that was parsed: of a million keys nearly all have the same text.
#[derive(Default)]
struct Policies(Option<(String, KeyPolicy)>);

impl Policies {
    fn read(&mut self, json: String) -> Option<KeyPolicy> {
        if let Some((last, policy)) = &self.0
            && *last == json
        {
            return Some(policy.clone());
        }
        let policy: KeyPolicy = serde_json::from_str(&json).ok()?;
        self.0 = Some((json, policy.clone()));
        Some(policy)
    }
}
