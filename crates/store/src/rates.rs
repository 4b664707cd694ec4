//! Rate cards that an operator imported. The cards that ship with the gateway are not stored.

use turnpike_domain::money::Currency;
use turnpike_domain::time::UnixMs;

use crate::Answer;

/// An imported card: its text is kept whole, so that what was priced by it can be recomputed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCard {
    /// Its id, pinned on every message that it priced: `usd-2026-10-01` or `usd-2027-01-01.2`.
    pub id: String,
    /// Currency.
    pub currency: Currency,
    /// First day, `2027-01-01`.
    pub effective: String,
    /// The CSV.
    pub csv: String,
    /// When it was imported.
    pub imported_at: UnixMs,
}

/// Reads and writes of cards.
pub trait Rates {
    /// Adds a card; a later import for the same currency and day wins over an earlier one.
    fn import_card(&self, card: ImportedCard) -> Answer<'_, ()>;
    /// All imported cards, oldest import first.
    fn imported_cards(&self) -> Answer<'_, Vec<ImportedCard>>;
}
