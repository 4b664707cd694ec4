//! The rate cards in force: those that ship with the gateway and those that were imported.

use std::sync::Arc;

use arc_swap::ArcSwap;
use turnpike_domain::money::Currency;
use turnpike_domain::rates::{CardId, CardSchedule, Cards, RateCard, RateChange, Zone, diff};
use turnpike_store::rates::ImportedCard;

use crate::Engine;
use crate::control::ControlFault;

/// All cards, as of the last import.
pub(crate) struct RateBook {
    state: ArcSwap<State>,
}

struct State {
    cards: Cards,
    /// Every card's id as text, made once: it is pinned on each message.
    names: Vec<(CardId, Arc<str>)>,
}

impl State {
    fn new(cards: Cards) -> State {
        let names = cards.iter().map(|card| (card.id(), Arc::from(card.id().to_string()))).collect();
        State { cards, names }
    }
}

impl RateBook {
    /// The shipped cards, then the imported ones in the order of their import. An imported card
    /// that no longer reads is left out and said so: a corrupt row must not stop every send.
    #[must_use]
    pub(crate) fn new(imported: &[ImportedCard]) -> RateBook {
        let mut cards = Cards::shipped();
        for card in imported {
            match RateCard::parse_csv(&format!("{}.csv", card.id), &card.csv) {
                Ok(parsed) => {
                    cards.add(parsed);
                }
                Err(_) => tracing::error!(card.id = %card.id, "an imported rate card can no longer be read; import it again"),
            }
        }
        RateBook { state: ArcSwap::from_pointee(State::new(cards)) }
    }

    /// The id of a card as text.
    #[must_use]
    pub(crate) fn name_of(&self, id: CardId) -> Arc<str> {
        let state = self.state.load();
        let known = state.names.iter().find(|(known, _)| *known == id).map(|(_, name)| Arc::clone(name));
        known.unwrap_or_else(|| Arc::from(id.to_string()))
    }

    /// Which card is in force when, for a currency and a zone; `None` for a currency without card.
    #[must_use]
    pub(crate) fn schedule(&self, currency: Currency, zone: &Zone) -> Option<CardSchedule> {
        self.state.load().cards.schedule(currency, zone)
    }

    /// All cards.
    #[must_use]
    pub(crate) fn cards(&self) -> Cards {
        self.state.load().cards.clone()
    }
}

/// What an import would change, against the card that the new one follows.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RatePreview {
    /// The new card's id.
    pub card: CardId,
    /// The card that it is compared with; `None` for a currency's first.
    pub compared_with: Option<CardId>,
    /// What differs.
    pub changes: Vec<RateChange>,
}

impl Engine {
    /// What importing `csv` would change.
    ///
    /// # Errors
    /// Every faulty line of the file.
    pub fn preview_rates(&self, file_name: &str, csv: &str) -> Result<RatePreview, ControlFault> {
        let card = parse(file_name, csv)?;
        let cards = self.rates.cards();
        let before = cards.card_on(card.currency(), card.id().effective).cloned();
        let changes = before.as_ref().map(|before| diff(before, &card)).unwrap_or_default();
        Ok(RatePreview { card: card.id(), compared_with: before.map(|before| before.id()), changes })
    }

    /// Imports a card: new messages are priced by it from its date on, held ones keep theirs.
    ///
    /// # Errors
    /// Every faulty line, or the store's silence.
    pub async fn import_rates(&self, file_name: &str, csv: &str) -> Result<RatePreview, ControlFault> {
        let preview = self.preview_rates(file_name, csv)?;
        let card = parse(file_name, csv)?;
        let (currency, effective) = (card.currency(), card.id().effective.to_string());
        let id = {
            // One import at a time, stored before it prices anything: a message's price names its
            // card, which the next start must find.
            let _alone = self.rebuilding.lock().await;
            let mut cards = self.rates.cards();
            let id =
                cards.add(card).ok_or_else(|| ControlFault::rule("255 editions of this date's card exist; no further one can be added"))?;
            let imported = ImportedCard { id: id.to_string(), currency, effective, csv: csv.to_owned(), imported_at: self.clock.now() };
            self.store.import_card(imported).await?;
            self.rates.state.store(Arc::new(State::new(cards)));
            id
        };
        self.reload_directory().await?;
        Ok(RatePreview { card: id, ..preview })
    }
}

fn parse(file_name: &str, csv: &str) -> Result<RateCard, ControlFault> {
    RateCard::parse_csv(file_name, csv).map_err(|faults| {
        ControlFault::Fields(
            faults
                .iter()
                .map(|fault| turnpike_domain::refusal::FieldFault::new(format!("csv line {}", fault.line), fault.problem.clone()))
                .collect(),
        )
    })
}
