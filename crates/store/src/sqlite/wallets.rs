//! Wallets as people read them: a balance that is committed, not the one in the writer's memory.

use rusqlite::Connection;
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::ledger::Balance;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::send::Mode;

use super::failure::{Failure, corrupt};
use crate::ledger::Wallet;

/// Both wallets of an organization.
pub(super) fn of(connection: &Connection, organization: OrganizationId) -> Result<Vec<Wallet>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT w.mode, o.currency, w.posted, w.held_base, w.held_meta
         FROM wallets w
         JOIN organizations o ON o.id = w.organization
         WHERE w.organization = ?1
         ORDER BY w.mode",
    )?;
    let mut rows = statement.query([organization.0])?;
    let mut wallets = Vec::new();
    while let Some(row) = rows.next()? {
        let currency: String = row.get(1)?;
        wallets.push(Wallet {
            mode: Mode::from_number(row.get(0)?).ok_or_else(|| corrupt("wallets", "mode", organization))?,
            currency: Currency::parse(&currency).ok_or_else(|| corrupt("organizations", "currency", organization))?,
            balance: Balance { posted: Micros(row.get(2)?), held_base: Micros(row.get(3)?), held_meta: Micros(row.get(4)?) },
        });
    }
    Ok(wallets)
}
