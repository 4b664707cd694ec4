//! Where a recipient is, as far as prices know: country by number or user id, market by rate card.
//!
//! Meta prices by market, and which market a country belongs to changes with the rate card: since
//! 2026-10-01 Morocco is one of its own, before it was Rest of Africa. So the number decides only
//! the [`Country`], once and for ever, and the card that is in force decides its [`Market`]
//! (`RateCard::market_of`). The look-up is one table of the first four digits, filled when this is
//! compiled: the hot path pays nanoseconds and no general phone-number library.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod countries;
mod region;

use countries::{COUNTRIES, SHARED};
use region::REGIONS;

/// What Meta prices by: one country, or one of the regions that gather the rest.
///
/// Any country can be a market; a rate card says which of them are. [`Market::number`] and
/// [`Market::code`] never change and are what is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Market(u16);

const REGION_COUNT: u16 = 8;
const COUNTRY_COUNT: u16 = {
    assert!(COUNTRIES.len() < 255, "a country is one byte in the table of prefixes");
    let mut count = 0;
    while (count as usize) < COUNTRIES.len() {
        count += 1;
    }
    count
};
const MARKET_COUNT: u16 = REGION_COUNT + COUNTRY_COUNT;

impl Market {
    /// Every market that a card could name: the regions first, then each country.
    pub const ALL: &'static [Market] = &{
        let mut all = [Market(0); MARKET_COUNT as usize];
        let mut index = 0;
        while index < MARKET_COUNT {
            all[index as usize] = Market(index);
            index += 1;
        }
        all
    };

    /// What no list of Meta's names.
    pub const OTHER: Market = Market(region::OTHER);

    /// The regions, which every card prices.
    pub fn regions() -> impl Iterator<Item = Market> {
        (0..REGION_COUNT).map(Market)
    }

    /// The number that the database keeps: regions from 1, a country by the letters of its ISO
    /// code. It does not depend on the order of any table.
    #[must_use]
    pub fn number(self) -> u16 {
        match self.country_row() {
            Some(row) => {
                let iso = row.iso.as_bytes();
                1_000 + 26 * u16::from(iso[0] - b'A') + u16::from(iso[1] - b'A')
            }
            None => self.0 + 1,
        }
    }

    /// The market of the database's number, or `None` where it was never given out.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Market> {
        Market::ALL.iter().copied().find(|market| i64::from(market.number()) == number)
    }

    /// The word of API and files: `turkey`, `rest_of_africa`, `other`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.country_row().map_or_else(|| REGIONS[usize::from(self.0)].0, |row| row.code)
    }

    /// The name as Meta's lists have it: `Rest of Central & Eastern Europe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.country_row().map_or_else(|| REGIONS[usize::from(self.0)].1, |row| row.name)
    }

    /// The market of a code or an English name, in any case: `turkey`, `Rest of Africa`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Market> {
        let mut code = String::with_capacity(text.len());
        for word in text.replace('&', " and ").split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            if !code.is_empty() {
                code.push('_');
            }
            code.push_str(&word.to_lowercase());
        }
        Market::ALL.iter().copied().find(|market| market.code() == code)
    }

    /// Whether a list such as a key's `allowedMarkets` permits a recipient: it may name the market
    /// that prices him, or his country, which stays right when a card moves the country.
    #[must_use]
    pub fn list_allows(list: &[Market], country: Country, priced_as: Market) -> bool {
        list.contains(&priced_as) || country.market().is_some_and(|own| list.contains(&own))
    }

    /// Place in tables by market, below [`Market::ALL`]'s length. Not for storing.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    fn country_row(self) -> Option<&'static countries::CountryRow> {
        COUNTRIES.get(usize::from(self.0.checked_sub(REGION_COUNT)?))
    }
}

impl fmt::Debug for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Market {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Market {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Market::parse(&text).ok_or_else(|| serde::de::Error::custom("no such market; one is written such as turkey or rest_of_africa"))
    }
}

/// The country of a recipient: the finest place that prices know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(u8);

impl Country {
    /// No country that we know.
    pub const UNLISTED: Country = Country(0);

    /// Every country, without [`Country::UNLISTED`].
    pub fn all() -> impl Iterator<Item = Country> {
        (1..=u8::MAX).take(COUNTRIES.len()).map(Country)
    }

    /// The country of a number: digits with its calling code first and no `+`, by longest prefix.
    /// Whatever is not digits is of no country.
    #[must_use]
    pub fn of_digits(digits: &str) -> Country {
        let mut first_four = 0usize;
        for place in 0..4 {
            let digit = match digits.as_bytes().get(place) {
                Some(byte @ b'0'..=b'9') => byte - b'0',
                Some(_) => return Country::UNLISTED,
                // The beginning of a number counts as if zeros followed.
                None => 0,
            };
            first_four = first_four * 10 + usize::from(digit);
        }
        Country(BY_FIRST_FOUR_DIGITS[first_four])
    }

    /// The country of a business-scoped user id (`TR.1349…`, `TR.ENT.1181…`), by its first part.
    #[must_use]
    pub fn of_user_id(user_id: &str) -> Country {
        user_id.split_once('.').map_or(Country::UNLISTED, |(iso, _)| Country::of_iso(iso))
    }

    /// The country of a recipient as people write one: digits with or without `+`, or a user id.
    #[must_use]
    pub fn of_recipient(recipient: &str) -> Country {
        let digits = recipient.strip_prefix('+').unwrap_or(recipient);
        if digits.starts_with(|c: char| c.is_ascii_digit()) { Country::of_digits(digits) } else { Country::of_user_id(recipient) }
    }

    /// The country of two capital letters. Territories that share a calling code with a country
    /// count as it, so that a user costs the same by id and by number.
    #[must_use]
    pub fn of_iso(iso: &str) -> Country {
        let iso = SHARED.iter().find(|(territory, _)| *territory == iso).map_or(iso, |(_, country)| country);
        match COUNTRIES.binary_search_by(|row| row.iso.cmp(iso)) {
            Ok(place) => u8::try_from(place + 1).map_or(Country::UNLISTED, Country),
            Err(_) => Country::UNLISTED,
        }
    }

    /// ISO 3166 alpha-2, or `None` for [`Country::UNLISTED`].
    #[must_use]
    pub fn iso(self) -> Option<&'static str> {
        self.row().map(|row| row.iso)
    }

    /// The English name, or `None` for [`Country::UNLISTED`].
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// The market that is this country alone, whether or not a card has it.
    #[must_use]
    pub fn market(self) -> Option<Market> {
        self.row().map(|_| Market(REGION_COUNT + u16::from(self.0) - 1))
    }

    /// The market that prices this country on a card without a market of its own.
    #[must_use]
    pub fn region(self) -> Market {
        self.row().map_or(Market::OTHER, |row| Market(row.region))
    }

    /// Place in tables by country. Not for storing.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// [`Country::UNLISTED`] and every country, in order of their place in tables.
    pub(crate) fn in_table_order() -> impl Iterator<Item = Country> {
        std::iter::once(Country::UNLISTED).chain(Country::all())
    }

    fn row(self) -> Option<&'static countries::CountryRow> {
        COUNTRIES.get(usize::from(self.0).checked_sub(1)?)
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.iso().unwrap_or("unlisted"))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("no listed country"))
    }
}

impl Serialize for Country {
    /// The ISO code, or null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.iso().serialize(serializer)
    }
}

/// The country of every beginning of four digits; the longest prefix that fits has won here.
static BY_FIRST_FOUR_DIGITS: [u8; 10_000] = {
    let mut table = [0u8; 10_000];
    // Short prefixes first, so that longer ones overwrite their part of them.
    let mut length = 1;
    while length <= 4 {
        let mut country = 0u8;
        while (country as usize) < COUNTRIES.len() {
            let prefixes = COUNTRIES[country as usize].prefixes;
            let mut place = 0;
            while place < prefixes.len() {
                if decimal_length(prefixes[place]) == length {
                    let span = 10usize.pow(4 - length);
                    let first = prefixes[place] as usize * span;
                    let mut entry = first;
                    while entry < first + span {
                        table[entry] = country + 1;
                        entry += 1;
                    }
                }
                place += 1;
            }
            country += 1;
        }
        length += 1;
    }
    // No area code of +1 begins with 0 or 1: such a number is nobody's.
    let mut entry = 1_000;
    while entry < 1_200 {
        table[entry] = 0;
        entry += 1;
    }
    table
};

const fn decimal_length(prefix: u16) -> u32 {
    assert!(prefix > 0 && prefix < 10_000, "a prefix has one to four digits");
    prefix.ilog10() + 1
}

#[cfg(test)]
mod tests;
