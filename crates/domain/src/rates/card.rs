//! One rate card: which markets it has, what each category costs there, and how two cards differ.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::csv_form::{self, CsvFault};
use crate::market::{Country, Market};
use crate::money::{Currency, Micros};
use crate::send::Category;

/// Which card: currency, the date it begins, and which edition of that date's card.
///
/// Written `usd-2026-10-01`, or `usd-2026-10-01.2` for the second edition. A card is never changed,
/// since held messages settle by it: a correction is a further edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardId {
    /// The currency of its prices.
    pub currency: Currency,
    /// The civil date on which it begins, at 00:00 in the application's time zone.
    pub effective: Date,
    /// 1 for the first card of that date, then counting up.
    pub edition: u8,
}

impl CardId {
    /// The number that the database keeps: unique per card, and telling it whole.
    #[must_use]
    pub fn number(self) -> i64 {
        let letters = self.currency.as_str().bytes().fold(0i64, |sum, letter| sum * 26 + i64::from(letter - b'A'));
        let date = i64::from(self.effective.year()) * 10_000 + i64::from(self.effective.month()) * 100 + i64::from(self.effective.day());
        (letters * 100_000_000 + date) * 256 + i64::from(self.edition)
    }

    /// The card of the database's number, or `None` where no card has it.
    #[must_use]
    pub fn from_number(number: i64) -> Option<CardId> {
        let edition = u8::try_from(number.rem_euclid(256)).ok()?;
        let (letters, date) = (number.div_euclid(256) / 100_000_000, number.div_euclid(256) % 100_000_000);
        let letter = |place: i64| u8::try_from(letters / place % 26).ok().map(|index| char::from(b'A' + index));
        let currency: String = [letter(676)?, letter(26)?, letter(1)?].iter().collect();
        let part = |value: i64| i8::try_from(value).ok();
        let effective = Date::new(i16::try_from(date / 10_000).ok()?, part(date / 100 % 100)?, part(date % 100)?).ok()?;
        let id = CardId { currency: Currency::parse(&currency)?, effective, edition };
        (id.number() == number).then_some(id)
    }
}

impl fmt::Display for CardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.currency.as_str().to_ascii_lowercase(), self.effective)?;
        if self.edition == 1 { Ok(()) } else { write!(f, ".{}", self.edition) }
    }
}

/// A text that names no card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must name a rate card such as usd-2026-10-01")]
pub struct NotACardId;

impl FromStr for CardId {
    type Err = NotACardId;

    fn from_str(text: &str) -> Result<CardId, NotACardId> {
        let (currency, rest) = text.split_once('-').ok_or(NotACardId)?;
        let (date, edition) = rest.split_once('.').unwrap_or((rest, "1"));
        let currency = Currency::parse(&currency.to_ascii_uppercase()).ok_or(NotACardId)?;
        let effective = date_of(date).ok_or(NotACardId)?;
        let edition = edition.parse().ok().filter(|edition| *edition > 0).ok_or(NotACardId)?;
        Ok(CardId { currency, effective, edition })
    }
}

/// A date written `2026-10-01`, and in no other of the ways that a calendar library would take.
pub(super) fn date_of(text: &str) -> Option<Date> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| if place == 4 || place == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    shape.then(|| text.parse().ok()).flatten()
}

impl Serialize for CardId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CardId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Prices of one market by place of the category in [`Category::ALL`].
pub(super) type Row = [Option<Micros>; Category::ALL.len()];

pub(super) fn place_of(category: Category) -> usize {
    usize::from(category.number()) - 1
}

/// Meta's list prices in one currency from one date on.
///
/// Complete by construction: every region and the market Other have a marketing, a utility and an
/// authentication price, so that every country of the world has one.
#[derive(Clone, PartialEq, Eq)]
pub struct RateCard {
    id: CardId,
    source: String,
    /// By place of the market; `None` where the card does not have it.
    rows: Box<[Option<Row>]>,
    /// By place of the country.
    markets: Box<[Market]>,
    /// Whether service messages have prices; before 2026-10-01 they were free.
    prices_service: bool,
}

impl RateCard {
    /// Reads a card from CSV; every faulty line is named.
    ///
    /// Lines `# currency: USD`, `# effective: 2026-10-01` and `# source: …` stand before the table;
    /// without the first two, the file's name must say them (`usd-2026-10-01.csv`). The table is
    /// either `market,category,amount` or, as Meta publishes it, a column per category. A market is
    /// a code (`rest_of_africa`) or an English name (`Rest of Africa`); an absent price is `n/a`,
    /// `-` or empty.
    ///
    /// # Errors
    /// Every line that cannot be used, with what is wrong; at most 100 of them.
    pub fn parse_csv(file_name: &str, text: &str) -> Result<RateCard, Vec<CsvFault>> {
        csv_form::parse(file_name, text)
    }

    /// A card of rows that were checked to be complete.
    pub(super) fn of_rows(id: CardId, source: String, rows: Box<[Option<Row>]>, prices_service: bool) -> RateCard {
        let has = |market: &Market| rows[market.index()].is_some();
        let markets = Country::in_table_order()
            .map(|country| country.market().filter(has).or(Some(country.region()).filter(has)).unwrap_or(Market::OTHER))
            .collect();
        RateCard { id, source, rows, markets, prices_service }
    }

    /// Which card this is.
    #[must_use]
    pub fn id(&self) -> CardId {
        self.id
    }

    /// The same prices as another edition of the date's card.
    #[must_use]
    pub fn with_edition(mut self, edition: u8) -> RateCard {
        self.id.edition = edition;
        self
    }

    /// The currency of its prices.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.id.currency
    }

    /// Where the prices come from, in the file's own words.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The markets that this card has.
    pub fn markets(&self) -> impl Iterator<Item = Market> {
        Market::ALL.iter().copied().filter(|market| self.rows[market.index()].is_some())
    }

    /// The market that prices a country: its own where the card has it, else its region.
    #[must_use]
    pub fn market_of(&self, country: Country) -> Market {
        self.markets[country.index()]
    }

    /// The list price of a delivered message, or `None` where the card does not have the market or
    /// (authentication-international only) the category there. Service is free on a card without
    /// service prices.
    #[must_use]
    pub fn list_price(&self, market: Market, category: Category) -> Option<Micros> {
        let row = self.rows[market.index()].as_ref()?;
        match row[place_of(category)] {
            None if category == Category::Service && !self.prices_service => Some(Micros::ZERO),
            price => price,
        }
    }

    /// What a message of the category is charged by: the list price, and where a market has no
    /// international rate that of authentication.
    #[must_use]
    pub fn charged_price(&self, market: Market, category: Category) -> Option<Micros> {
        match category {
            Category::AuthenticationInternational => {
                self.list_price(market, category).or_else(|| self.list_price(market, Category::Authentication))
            }
            _ => self.list_price(market, category),
        }
    }

    /// The dearest category of a market: by it a message is held whose category nobody knows, so
    /// that Meta cannot name a dearer one. Of equals marketing, which templates mostly are.
    #[must_use]
    pub fn dearest(&self, market: Market) -> Option<(Category, Micros)> {
        let mut dearest: Option<(Category, Micros)> = None;
        for category in Category::ALL.iter().rev() {
            let Some(amount) = self.list_price(market, *category) else { continue };
            let wins = match dearest {
                None => true,
                Some((_, most)) => amount > most || (amount == most && *category == Category::Marketing),
            };
            if wins {
                dearest = Some((*category, amount));
            }
        }
        dearest
    }

    /// Every price of the card, market by market.
    pub fn prices(&self) -> impl Iterator<Item = (Market, Category, Micros)> {
        self.markets().flat_map(move |market| {
            Category::ALL.iter().filter_map(move |category| Some((market, *category, self.list_price(market, *category)?)))
        })
    }

    /// The card in the form that [`RateCard::parse_csv`] reads.
    #[must_use]
    pub fn to_csv(&self) -> String {
        csv_form::write(self)
    }

    pub(super) fn prices_service(&self) -> bool {
        self.prices_service
    }
}

impl fmt::Debug for RateCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateCard({})", self.id)
    }
}

/// One difference between two cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum RateChange {
    /// A price is another, new (`old` is `None`) or gone (`new` is `None`).
    Price {
        /// Where.
        market: Market,
        /// What for.
        category: Category,
        /// The list price before.
        old: Option<Micros>,
        /// The list price from the new card's date on.
        new: Option<Micros>,
    },
    /// A country is priced by another market.
    Moved {
        /// Which country.
        country: Country,
        /// The market that priced it.
        from: Market,
        /// The market that will.
        to: Market,
    },
}

/// What changes from one card to another: first the countries that move, then the prices. What an
/// operator is shown before he imports a card.
#[must_use]
pub fn diff(old: &RateCard, new: &RateCard) -> Vec<RateChange> {
    let moved = Country::in_table_order().filter_map(|country| {
        let (from, to) = (old.market_of(country), new.market_of(country));
        (from != to).then_some(RateChange::Moved { country, from, to })
    });
    let prices = Market::ALL.iter().flat_map(|market| {
        Category::ALL.iter().filter_map(|category| {
            let (before, after) = (old.list_price(*market, *category), new.list_price(*market, *category));
            (before != after).then_some(RateChange::Price { market: *market, category: *category, old: before, new: after })
        })
    });
    moved.chain(prices).collect()
}
