//! What a message costs: dated rate cards, the operator's markup, and the price that both make.
//!
//! A card is Meta's price list for one currency from one date on; cards are data, so that a change
//! of prices is an import and no release. Everything is integers of a millionth and checked: an
//! amount past the range is a fault for the caller, never a wrong number (contract §6).
//!
//! The way of a price: [`Country`](crate::market::Country) of the recipient → [`CardSchedule::at`]
//! the instant → [`RateCard::market_of`] the country → [`price`].

mod card;
mod csv_form;
mod meta_zones;
mod price;
mod schedule;

pub use card::{CardId, RateCard, RateChange, diff};
pub use csv_form::CsvFault;
pub use meta_zones::{AppZone, ZoneFrom, meta_zone};
pub use price::{Markup, Price, PriceFault, PricedAs, Terms, meta_fee, price, quote};
pub use schedule::{CardSchedule, Cards, Zone};

/// The cards that ship with the gateway, by file name: USD as of 2026-07-01 and 2026-10-01.
pub const SHIPPED: &[(&str, &str)] = &[
    ("usd-2026-07-01.csv", include_str!("../data/rates/usd-2026-07-01.csv")),
    ("usd-2026-10-01.csv", include_str!("../data/rates/usd-2026-10-01.csv")),
];

#[cfg(test)]
mod tests;
