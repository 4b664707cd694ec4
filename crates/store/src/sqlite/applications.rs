//! Applications: one row each, changed as a whole.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::send::{ConnectionType, MetaBilling};
use turnpike_domain::time::UnixMs;

use super::SqliteStore;
use super::cells::Cells;
use super::failure::Failure;
use crate::applications::{Application, ApplicationChange, ApplicationStatus, Applications, NewApplication};
use crate::organizations::Created;
use crate::{Answer, StoreError};

/// How long bodies of a new application are kept (contract §10).
const BODY_RETENTION_DAYS: u16 = 30;

impl Applications for SqliteStore {
    fn create_application(&self, new: NewApplication) -> Answer<'_, Created<Application>> {
        Box::pin(self.control(move |connection| create(connection, &new)))
    }

    fn applications(&self) -> Answer<'_, Vec<Application>> {
        Box::pin(self.read(all))
    }

    fn update_application(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        change: ApplicationChange,
        at: UnixMs,
    ) -> Answer<'_, Option<Created<Application>>> {
        Box::pin(self.control(move |connection| update(connection, organization, application, change, at)))
    }
}

/// `key` first, the others as [`read`] and [`save`] count them.
const COLUMNS: &str = "id, organization, uuid, app_id, display_name, status, phone_number_id, waba_id, phone_number,
   token_sealed, meta_app_id, connection_type, timezone, meta_billing, number_per_second, enforce_window,
   body_retention_days, paused, created_at, updated_at, meta_timezone_id";

fn create(connection: &Connection, new: &NewApplication) -> Result<Created<Application>, Failure> {
    // Asked before the insert: there is one writer, so what is so here is so below.
    let exists = |sql: &str, value: &dyn rusqlite::ToSql| connection.prepare_cached(sql)?.query_row([value], |_| Ok(())).optional();
    if exists("SELECT 1 FROM organizations WHERE id = ?1", &new.organization.0)?.is_none() {
        return Err(StoreError::unavailable(format!("there is no organization {}", new.organization)).into());
    }
    if exists("SELECT 1 FROM applications WHERE app_id = ?1", &new.app_id)?.is_some() {
        return Ok(Created::Taken("app_id"));
    }
    if exists("SELECT 1 FROM applications WHERE uuid = ?1", new.id.as_bytes())?.is_some() {
        return Ok(Created::Taken("id"));
    }
    let mut application = Application {
        key: ApplicationId(0),
        organization: new.organization,
        id: new.id,
        app_id: new.app_id.clone(),
        display_name: new.display_name.clone(),
        status: ApplicationStatus::Draft,
        phone_number_id: None,
        waba_id: None,
        phone_number: None,
        token_sealed: None,
        meta_app_id: None,
        connection_type: ConnectionType::CloudApi,
        timezone: None,
        meta_timezone_id: None,
        meta_billing: MetaBilling::Operator,
        number_per_second: None,
        enforce_window: false,
        body_retention_days: BODY_RETENTION_DAYS,
        paused: None,
        created_at: new.at,
        updated_at: new.at,
    };
    save(connection, None, &application)?;
    application.key = ApplicationId(connection.last_insert_rowid());
    Ok(Created::New(application))
}

fn update(
    connection: &Connection,
    organization: OrganizationId,
    application: ApplicationId,
    change: ApplicationChange,
    at: UnixMs,
) -> Result<Option<Created<Application>>, Failure> {
    let Some(before) = one(connection, organization, application)? else { return Ok(None) };
    if let Some(number) = &change.phone_number_id
        && connection
            .prepare_cached("SELECT 1 FROM applications WHERE phone_number_id = ?1 AND id <> ?2")?
            .query_row(params![number, application.0], |_| Ok(()))
            .optional()?
            .is_some()
    {
        return Ok(Some(Created::Taken("phone_number_id")));
    }
    let after = changed(before, change, at);
    save(connection, Some(application), &after)?;
    Ok(Some(Created::New(after)))
}

fn changed(before: Application, change: ApplicationChange, at: UnixMs) -> Application {
    let waba_id = change.waba_id.or_else(|| before.waba_id.clone());
    // The zone of an account that this is not any more says nothing.
    let known = before.meta_timezone_id.filter(|_| waba_id == before.waba_id);
    let told = change.meta_timezone.filter(|told| waba_id.as_deref() == Some(told.waba_id.as_str()));
    Application {
        display_name: change.display_name.unwrap_or(before.display_name),
        status: change.status.unwrap_or(before.status),
        phone_number_id: change.phone_number_id.or(before.phone_number_id),
        waba_id,
        phone_number: change.phone_number.or(before.phone_number),
        token_sealed: change.token_sealed.or(before.token_sealed),
        meta_app_id: change.meta_app_id.or(before.meta_app_id),
        connection_type: change.connection_type.unwrap_or(before.connection_type),
        timezone: change.timezone.unwrap_or(before.timezone),
        meta_timezone_id: told.map(|told| told.id).or(known),
        meta_billing: change.meta_billing.unwrap_or(before.meta_billing),
        number_per_second: change.number_per_second.unwrap_or(before.number_per_second),
        enforce_window: change.enforce_window.unwrap_or(before.enforce_window),
        body_retention_days: change.body_retention_days.unwrap_or(before.body_retention_days),
        paused: change.paused.unwrap_or(before.paused),
        updated_at: at,
        key: before.key,
        organization: before.organization,
        id: before.id,
        app_id: before.app_id,
        created_at: before.created_at,
    }
}

/// Inserts (`key` is `None`: SQLite gives one) or rewrites the whole row.
fn save(connection: &Connection, key: Option<ApplicationId>, row: &Application) -> Result<(), Failure> {
    let paused = row.paused.as_ref().map(serde_json::to_string).transpose().map_err(StoreError::unavailable)?;
    let sql = match key {
        None => format!(
            "INSERT INTO applications ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)"
        ),
        Some(_) => format!(
            "UPDATE applications
             SET ({COLUMNS}) = (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
             WHERE id = ?1"
        ),
    };
    connection.prepare_cached(&sql)?.execute(params![
        key.map(|key| key.0),
        row.organization.0,
        row.id.as_bytes(),
        row.app_id,
        row.display_name,
        row.status as u8,
        row.phone_number_id,
        row.waba_id,
        row.phone_number,
        row.token_sealed,
        row.meta_app_id,
        row.connection_type.number(),
        row.timezone,
        row.meta_billing.number(),
        row.number_per_second,
        row.enforce_window,
        row.body_retention_days,
        paused,
        row.created_at.0,
        row.updated_at.0,
        row.meta_timezone_id,
    ])?;
    Ok(())
}

fn all(connection: &Connection) -> Result<Vec<Application>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM applications ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut applications = Vec::new();
    while let Some(row) = rows.next()? {
        applications.push(read(row)?);
    }
    Ok(applications)
}

fn one(connection: &Connection, organization: OrganizationId, application: ApplicationId) -> Result<Option<Application>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM applications WHERE organization = ?1 AND id = ?2"))?;
    let mut rows = statement.query([organization.0, application.0])?;
    rows.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<Application, Failure> {
    let cells = Cells::of(row, "applications")?;
    let paused = match cells.get::<Option<String>>(17, "paused")? {
        Some(json) => Some(serde_json::from_str(&json).map_err(|_| cells.corrupt("paused"))?),
        None => None,
    };
    Ok(Application {
        key: ApplicationId(cells.key),
        organization: OrganizationId(cells.get(1, "organization")?),
        id: cells.uuid(2, "uuid")?,
        app_id: cells.get(3, "app_id")?,
        display_name: cells.get(4, "display_name")?,
        status: cells.word(5, "status", status)?,
        phone_number_id: cells.get(6, "phone_number_id")?,
        waba_id: cells.get(7, "waba_id")?,
        phone_number: cells.get(8, "phone_number")?,
        token_sealed: cells.get(9, "token_sealed")?,
        meta_app_id: cells.get(10, "meta_app_id")?,
        connection_type: cells.word(11, "connection_type", ConnectionType::from_number)?,
        timezone: cells.get(12, "timezone")?,
        meta_billing: cells.word(13, "meta_billing", MetaBilling::from_number)?,
        number_per_second: cells.get(14, "number_per_second")?,
        enforce_window: cells.get(15, "enforce_window")?,
        body_retention_days: cells.get(16, "body_retention_days")?,
        paused,
        created_at: UnixMs(cells.get(18, "created_at")?),
        updated_at: UnixMs(cells.get(19, "updated_at")?),
        meta_timezone_id: cells.get(20, "meta_timezone_id")?,
    })
}

fn status(number: i64) -> Option<ApplicationStatus> {
    [ApplicationStatus::Draft, ApplicationStatus::Activated, ApplicationStatus::Suspended]
        .into_iter()
        .find(|status| i64::from(*status as u8) == number)
}
