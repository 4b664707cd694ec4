//! Imported rate cards. A card that priced a message is never replaced: its id is pinned there.

use rusqlite::{Connection, OptionalExtension as _, params};
use turnpike_domain::time::UnixMs;

use super::SqliteStore;
use super::cells::Cells;
use super::failure::Failure;
use crate::rates::{ImportedCard, Rates};
use crate::{Answer, StoreError};

impl Rates for SqliteStore {
    fn import_card(&self, card: ImportedCard) -> Answer<'_, ()> {
        Box::pin(self.control(move |connection| import(connection, &card)))
    }

    fn imported_cards(&self) -> Answer<'_, Vec<ImportedCard>> {
        Box::pin(self.read(all))
    }
}

/// The same card again changes nothing; another card under a taken id is refused, because messages
/// that were priced by the first must stay explainable.
fn import(connection: &Connection, card: &ImportedCard) -> Result<(), Failure> {
    let stored: Option<bool> = connection
        .prepare_cached("SELECT currency = ?2 AND effective = ?3 AND csv = ?4 FROM rate_cards WHERE id = ?1")?
        .query_row(params![card.id, card.currency.as_str(), card.effective, card.csv], |row| row.get(0))
        .optional()?;
    match stored {
        Some(true) => Ok(()),
        Some(false) => Err(StoreError::unavailable(format!(
            "another rate card is stored as {}, and messages may have been priced by it: import this one under a new id",
            card.id
        ))
        .into()),
        None => {
            connection
                .prepare_cached("INSERT INTO rate_cards (id, currency, effective, csv, imported_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![card.id, card.currency.as_str(), card.effective, card.csv, card.imported_at.0])?;
            Ok(())
        }
    }
}

fn all(connection: &Connection) -> Result<Vec<ImportedCard>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT sequence, id, currency, effective, csv, imported_at FROM rate_cards ORDER BY sequence")?;
    let mut rows = statement.query([])?;
    let mut cards = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = Cells::of(row, "rate_cards")?;
        cards.push(ImportedCard {
            id: cells.get(1, "id")?,
            currency: cells.currency(2, "currency")?,
            effective: cells.get(3, "effective")?,
            csv: cells.get(4, "csv")?,
            imported_at: UnixMs(cells.get(5, "imported_at")?),
        });
    }
    Ok(cards)
}
