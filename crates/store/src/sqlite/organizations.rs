//! Organizations and their empty wallets.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;

use super::SqliteStore;
use super::cells::Cells;
use super::failure::Failure;
use crate::Answer;
use crate::organizations::{Created, NewOrganization, Organization, Organizations};

impl Organizations for SqliteStore {
    fn create_organization(&self, new: NewOrganization) -> Answer<'_, Created<Organization>> {
        Box::pin(self.control(move |connection| create(connection, &new)))
    }

    fn organizations(&self) -> Answer<'_, Vec<Organization>> {
        Box::pin(self.read(all))
    }

    fn set_prices(
        &self,
        organization: OrganizationId,
        base_fee: Micros,
        factor_ppm: i64,
        fixed: Micros,
    ) -> Answer<'_, Option<Organization>> {
        Box::pin(self.control(move |connection| {
            connection
                .prepare_cached("UPDATE organizations SET base_fee = ?2, factor_ppm = ?3, fixed = ?4 WHERE id = ?1")?
                .execute(params![organization.0, base_fee.0, factor_ppm, fixed.0])?;
            one(connection, organization)
        }))
    }
}

const COLUMNS: &str = "id, uuid, name, currency, base_fee, factor_ppm, fixed, created_at";

fn create(connection: &Connection, new: &NewOrganization) -> Result<Created<Organization>, Failure> {
    // Asked before the insert, so that nobody has to read the answer out of an error's text. There
    // is one writer: what is free here is free below.
    let taken = |column: &str, value: &dyn rusqlite::ToSql| {
        connection.prepare_cached(&format!("SELECT 1 FROM organizations WHERE {column} = ?1"))?.query_row([value], |_| Ok(())).optional()
    };
    if taken("name", &new.name)?.is_some() {
        return Ok(Created::Taken("name"));
    }
    if taken("uuid", new.id.as_bytes())?.is_some() {
        return Ok(Created::Taken("id"));
    }
    connection
        .prepare_cached(
            "INSERT INTO organizations (uuid, name, currency, base_fee, factor_ppm, fixed, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![new.id.as_bytes(), new.name, new.currency.as_str(), new.base_fee.0, new.factor_ppm, new.fixed.0, new.at.0])?;
    let key = OrganizationId(connection.last_insert_rowid());
    for mode in [Mode::Live, Mode::Sandbox] {
        connection
            .prepare_cached("INSERT INTO wallets (organization, mode, posted, held_base, held_meta) VALUES (?1, ?2, 0, 0, 0)")?
            .execute(params![key.0, mode.number()])?;
    }
    Ok(Created::New(Organization {
        key,
        id: new.id,
        name: new.name.clone(),
        currency: new.currency,
        base_fee: new.base_fee,
        factor_ppm: new.factor_ppm,
        fixed: new.fixed,
        created_at: new.at,
    }))
}

fn all(connection: &Connection) -> Result<Vec<Organization>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM organizations ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut organizations = Vec::new();
    while let Some(row) = rows.next()? {
        organizations.push(read(row)?);
    }
    Ok(organizations)
}

fn one(connection: &Connection, organization: OrganizationId) -> Result<Option<Organization>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM organizations WHERE id = ?1"))?;
    let mut rows = statement.query([organization.0])?;
    rows.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<Organization, Failure> {
    let cells = Cells::of(row, "organizations")?;
    Ok(Organization {
        key: OrganizationId(cells.key),
        id: cells.uuid(1, "uuid")?,
        name: cells.get(2, "name")?,
        currency: cells.currency(3, "currency")?,
        base_fee: Micros(cells.get(4, "base_fee")?),
        factor_ppm: cells.get(5, "factor_ppm")?,
        fixed: Micros(cells.get(6, "fixed")?),
        created_at: UnixMs(cells.get(7, "created_at")?),
    })
}
