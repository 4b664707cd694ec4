//! The journal as people read it: wallets and statements.

use rusqlite::{Connection, Row, params};
use turnpike_domain::ids::{MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::ledger::{Balance, Leg};
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;

use super::failure::{Failure, corrupt};
use crate::ledger::{StatementLine, Wallet};

/// Most lines of one page, whatever is asked for.
const PAGE_MAX: u32 = 1_000;

/// Places that a statement looks at first; the range grows while it finds too little, so that a
/// busy wallet reads little and a quiet one few ranges.
const FIRST_RANGE: i64 = 256;

/// Steps of one place: `sequence = place * 16 + step` (the view `journal`).
const STEPS: i64 = 16;

/// Both wallets of an organization.
pub(super) fn wallets(connection: &Connection, organization: OrganizationId) -> Result<Vec<Wallet>, Failure> {
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

/// A page of an organization's journal, newest place first. What happens to a message later stands
/// at its place, beside its hold.
pub(super) fn statement(
    connection: &Connection,
    cipher: &MessageCipher,
    organization: OrganizationId,
    mode: Mode,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<StatementLine>, Failure> {
    let wanted = usize::try_from(limit.min(PAGE_MAX)).unwrap_or(0);
    let newest: i64 = connection.query_row(
        "SELECT max(coalesce((SELECT max(key) FROM messages), 0), coalesce((SELECT max(place) FROM wallet_movements), 0))",
        [],
        |row| row.get(0),
    )?;
    let before = before.unwrap_or(i64::MAX);
    let mut last = newest.min(before.saturating_sub(1).div_euclid(STEPS));
    let mut range = FIRST_RANGE;
    let mut lines = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT sequence, at, kind, leg, message, admitted_at, debit, credit, amount, reason
         FROM journal
         WHERE place BETWEEN ?1 AND ?2 AND organization = ?3 AND mode = ?4 AND sequence < ?5
         ORDER BY sequence DESC
         LIMIT ?6",
    )?;
    while last > 0 && lines.len() < wanted {
        let first = last.saturating_sub(range).max(0) + 1;
        let missing = i64::try_from(wanted - lines.len()).unwrap_or(0);
        let mut rows = statement.query(params![first, last, organization.0, mode.number(), before, missing])?;
        while let Some(row) = rows.next()? {
            lines.push(line(row, cipher)?);
        }
        last = first - 1;
        range = range.saturating_mul(4);
    }
    Ok(lines)
}

fn line(row: &Row<'_>, cipher: &MessageCipher) -> Result<StatementLine, Failure> {
    let sequence: i64 = row.get(0)?;
    let leg: Option<i64> = row.get(3)?;
    let message = match (row.get::<_, Option<i64>>(4)?, row.get::<_, Option<i64>>(5)?) {
        (Some(key), Some(at)) => Some(cipher.message_id(UnixMs(at), MessageKey(key))),
        _ => None,
    };
    Ok(StatementLine {
        sequence,
        at: UnixMs(row.get(1)?),
        kind: row.get::<_, Option<String>>(2)?.ok_or_else(|| corrupt("journal", "kind", sequence))?,
        leg: match leg {
            None => None,
            Some(number) => {
                Some(Leg::ALL.into_iter().find(|leg| *leg as i64 == number).ok_or_else(|| corrupt("journal", "leg", sequence))?)
            }
        },
        message,
        debit: row.get::<_, Option<String>>(6)?.ok_or_else(|| corrupt("journal", "debit", sequence))?,
        credit: row.get::<_, Option<String>>(7)?.ok_or_else(|| corrupt("journal", "credit", sequence))?,
        amount: Micros(row.get(8)?),
        reason: row.get(9)?,
    })
}
