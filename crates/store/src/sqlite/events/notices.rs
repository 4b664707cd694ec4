//! Notices: what happened and whose event is still to be made.
//!
//! A notice is written in the commit that made its matter happen, and goes in the commit that
//! records the event which tells of it; a crash in between leaves it to be told.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use turnpike_domain::ids::{MessageKey, OrganizationId};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;

use super::state::Alert;
use crate::deliveries::GivenUp;
use crate::endpoints::EndpointId;
use crate::events::{Notice, NoticeKind};
use crate::sqlite::failure::{Failure, corrupt};
use crate::sqlite::memory::WalletKey;
use crate::sqlite::writer::Writer;

/// Most notices of one page, whatever is asked for.
const PAGE_MAX: u32 = 1_000;

const MESSAGE_RESOLVED: i64 = 1;
const ENDPOINT_DISABLED: i64 = 2;
const ENDPOINT_FAILING: i64 = 3;
const BALANCE_LOW: i64 = 4;
const BACKLOG_OVERFLOW: i64 = 5;

/// Leaves a notice, in the open transaction.
pub(in crate::sqlite) fn leave(
    connection: &Connection,
    at: UnixMs,
    organization: OrganizationId,
    what: &NoticeKind,
) -> Result<(), Failure> {
    let (kind, subject, detail) = match what {
        NoticeKind::MessageResolved(message) => (MESSAGE_RESOLVED, message.0, String::new()),
        NoticeKind::EndpointDisabled(endpoint, reason) => (ENDPOINT_DISABLED, endpoint.0, reason.clone()),
        NoticeKind::EndpointFailing(endpoint) => (ENDPOINT_FAILING, endpoint.0, String::new()),
        NoticeKind::BacklogOverflow(endpoint, GivenUp { many, old }) => (BACKLOG_OVERFLOW, endpoint.0, format!("{many} {old}")),
        NoticeKind::BalanceLow { mode, available } => (BALANCE_LOW, i64::from(mode.number()), available.0.to_string()),
    };
    connection
        .prepare_cached("INSERT INTO notices (at, organization, kind, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![at.0, organization.0, kind, subject, detail])?;
    Ok(())
}

/// The message that a notice is about, with its admission; `None` where it is about something else
/// or there is no such notice of this organization.
pub(super) fn message_of(connection: &Connection, organization: OrganizationId, id: i64) -> Result<Option<(MessageKey, UnixMs)>, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT m.key, m.at FROM notices n JOIN messages m ON m.key = n.subject
             WHERE n.id = ?1 AND n.organization = ?2 AND n.kind = ?3",
        )?
        .query_row(params![id, organization.0, MESSAGE_RESOLVED], |row| Ok((MessageKey(row.get(0)?), UnixMs(row.get(1)?))))
        .optional()?)
}

/// Takes a notice off.
pub(super) fn drop_notice(connection: &Connection, id: i64) -> Result<(), Failure> {
    connection.prepare_cached("DELETE FROM notices WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Notices, oldest first.
pub(super) fn list(connection: &Connection, limit: u32) -> Result<Vec<Notice>, Failure> {
    let mut statement = connection.prepare_cached("SELECT id, at, organization, kind, subject, detail FROM notices ORDER BY id")?;
    let mut rows = statement.query([])?;
    let limit = usize::try_from(limit.min(PAGE_MAX)).unwrap_or(0);
    let mut notices = Vec::new();
    while notices.len() < limit
        && let Some(row) = rows.next()?
    {
        match read(row) {
            Ok(notice) => notices.push(notice),
            // Nobody can be told what it says; it stays, for who mends it, and the others are told.
            Err(failure) => drop(failure.of_one_item()?),
        }
    }
    Ok(notices)
}

fn read(row: &Row<'_>) -> Result<Notice, Failure> {
    let id: i64 = row.get(0)?;
    let (subject, detail): (i64, String) = (row.get(4)?, row.get(5)?);
    let what = match row.get::<_, i64>(3)? {
        MESSAGE_RESOLVED => NoticeKind::MessageResolved(MessageKey(subject)),
        ENDPOINT_DISABLED => NoticeKind::EndpointDisabled(EndpointId(subject), detail),
        ENDPOINT_FAILING => NoticeKind::EndpointFailing(EndpointId(subject)),
        BACKLOG_OVERFLOW => {
            let counts = detail.split_once(' ').and_then(|(many, old)| Some(GivenUp { many: many.parse().ok()?, old: old.parse().ok()? }));
            NoticeKind::BacklogOverflow(EndpointId(subject), counts.ok_or_else(|| corrupt("notices", "detail", id))?)
        }
        BALANCE_LOW => NoticeKind::BalanceLow {
            mode: Mode::from_number(subject).ok_or_else(|| corrupt("notices", "subject", id))?,
            available: detail.parse().map(Micros).map_err(|_| corrupt("notices", "detail", id))?,
        },
        _ => return Err(corrupt("notices", "kind", id)),
    };
    Ok(Notice { id, at: UnixMs(row.get(1)?), organization: OrganizationId(row.get(2)?), what })
}

/// Below which available an organization wants to be told.
pub(super) fn alert(connection: &Connection, (organization, mode): WalletKey) -> Result<Option<Micros>, Failure> {
    Ok(connection
        .prepare_cached("SELECT below FROM wallet_alerts WHERE organization = ?1 AND mode = ?2")?
        .query_row(params![organization.0, mode.number()], |row| row.get(0).map(Micros))
        .optional()?)
}

impl Writer<'_> {
    /// Sets or removes an alert; false where there is no such wallet.
    pub(super) fn set_alert(&mut self, wallet: WalletKey, below: Option<Micros>) -> Result<bool, Failure> {
        if self.wallet(wallet)?.is_none() {
            return Ok(false);
        }
        let (organization, mode) = (wallet.0.0, wallet.1.number());
        match below {
            Some(below) => {
                self.connection
                    .prepare_cached(
                        "INSERT INTO wallet_alerts (organization, mode, below, told) VALUES (?1, ?2, ?3, 0)
                         ON CONFLICT DO UPDATE SET below = excluded.below, told = 0",
                    )?
                    .execute(params![organization, mode, below.0])?;
                self.events.alerts.insert(wallet, Alert { below, told: false });
                // Looked at with the wallets that this batch changes.
                self.memory.changed_wallets.insert(wallet);
            }
            None => {
                self.connection
                    .prepare_cached("DELETE FROM wallet_alerts WHERE organization = ?1 AND mode = ?2")?
                    .execute(params![organization, mode])?;
                self.events.alerts.remove(&wallet);
            }
        }
        Ok(true)
    }

    /// Leaves a notice where this wallet's available has fallen below its alert since it was last
    /// above, as of the end of the open batch.
    pub(in crate::sqlite) fn watch_wallet(&mut self, wallet: WalletKey) -> Result<(), Failure> {
        let Some(alert) = self.events.alerts.get_mut(&wallet) else { return Ok(()) };
        let Some(balance) = self.memory.wallets.get(&wallet) else { return Ok(()) };
        let available = balance.available();
        let is_low = available < alert.below;
        if is_low == alert.told {
            return Ok(());
        }
        alert.told = is_low;
        let (organization, mode) = wallet;
        self.connection.prepare_cached("UPDATE wallet_alerts SET told = ?3 WHERE organization = ?1 AND mode = ?2")?.execute(params![
            organization.0,
            mode.number(),
            is_low
        ])?;
        if is_low {
            leave(self.connection, self.memory.newest_at, organization, &NoticeKind::BalanceLow { mode, available })?;
        }
        Ok(())
    }
}
