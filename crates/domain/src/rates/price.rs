//! The price of one message: the base fee, and Meta's fee as the operator passes it on.

use serde::{Deserialize, Serialize};

use super::card::{CardId, RateCard};
use crate::market::{Country, Market};
use crate::money::{Currency, Micros};
use crate::refusal::FieldFault;
use crate::send::{Category, MessageKind, MetaBilling};

/// What an organization pays on Meta's list prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Markup {
    /// Factor on the list price in millionths: 1,000,000 is Meta's own price.
    pub factor_ppm: i64,
    /// Added to every Meta fee, after the factor.
    pub fixed: Micros,
    /// The gateway's own fee for every message.
    pub base_fee: Micros,
}

/// A factor of one.
const FACTOR_ONE: i64 = 1_000_000;
/// A factor above 1,000 is a slip of the keyboard.
const FACTOR_MAX: i64 = 1_000 * FACTOR_ONE;
/// A fee above 100,000 units is one too.
const FEE_MAX: Micros = Micros(100_000 * crate::money::MICROS_PER_UNIT);

impl Default for Markup {
    /// Meta's own price and a base fee of 0.001.
    fn default() -> Markup {
        Markup { factor_ppm: FACTOR_ONE, fixed: Micros::ZERO, base_fee: Micros(1_000) }
    }
}

impl Markup {
    /// What is wrong with a markup that somebody wants to set; `path` is where its fields stand.
    #[must_use]
    pub fn faults(&self, path: &str) -> Vec<FieldFault> {
        let mut faults = Vec::new();
        if !(0..=FACTOR_MAX).contains(&self.factor_ppm) {
            faults.push(FieldFault::new(format!("{path}factor"), "must be from 0 to 1000"));
        }
        for (name, fee) in [("fixed", self.fixed), ("baseFee", self.base_fee)] {
            if fee.is_negative() || fee > FEE_MAX {
                faults.push(FieldFault::new(format!("{path}{name}"), "must be from 0 to 100000"));
            }
        }
        faults
    }
}

/// On what terms an application's messages are priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The organization's markup.
    pub markup: Markup,
    /// Who pays Meta.
    pub billing: MetaBilling,
}

/// What decides the price of a message, besides its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PricedAs {
    /// Costs nothing at all: a read mark.
    Nothing,
    /// Costs the base fee only: a reaction.
    BaseOnly,
    /// The rate of a category.
    Category(Category),
    /// The dearest rate of the market, because nobody knows the category.
    Dearest,
}

impl PricedAs {
    /// How a message is priced (contract §6). `template` is the category of the synced template,
    /// `None` where the template or its category is not known; `direct_send` is the category that a
    /// Direct Send names itself.
    #[must_use]
    pub fn of(kind: MessageKind, template: Option<Category>, direct_send: Option<Category>) -> PricedAs {
        match kind {
            MessageKind::ReadMark => PricedAs::Nothing,
            MessageKind::Reaction => PricedAs::BaseOnly,
            MessageKind::Template => template.map_or(PricedAs::Dearest, PricedAs::Category),
            _ => PricedAs::Category(direct_send.unwrap_or(Category::Service)),
        }
    }
}

/// What a message costs, with what it was worked out from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// The gateway's fee; held and captured by itself.
    pub base: Micros,
    /// Meta's fee as the wallet pays it; 0 where the customer pays Meta.
    pub meta: Micros,
    /// Meta's fee as it is reported: what the wallet pays, or where the customer pays Meta directly
    /// the list price that Meta will bill.
    pub reported_meta: Micros,
    /// The market that priced it.
    pub market: Market,
    /// The category that priced it.
    pub category: Category,
    /// The card that priced it, and by which it settles.
    pub card: CardId,
}

impl Price {
    /// What the wallet must cover.
    #[must_use]
    pub fn total(&self) -> Micros {
        self.base.checked_add(self.meta).expect("a price is only made when its total is in range")
    }

    /// The currency of the amounts.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.card.currency
    }
}

/// Why a message has no price. Cards and markups are checked when they come in, so this is the last
/// net under them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceFault {
    /// The amount does not fit.
    #[error("the price is out of range: look at the markup's factor and fees")]
    OutOfRange,
    /// The markup makes a fee below zero.
    #[error("the markup makes a fee below zero")]
    Negative,
    /// The card lacks the market.
    #[error("the rate card has no price for {0}")]
    NotOnCard(Market),
}

/// The price of a message to `country` by `card`. A sandbox or fake message costs the same.
///
/// # Errors
/// Where card or markup give no amount, see [`PriceFault`].
pub fn price(card: &RateCard, terms: &Terms, country: Country, priced_as: PricedAs) -> Result<Price, PriceFault> {
    let market = card.market_of(country);
    let free = |base: Micros| Price {
        base,
        meta: Micros::ZERO,
        reported_meta: Micros::ZERO,
        market,
        category: Category::Service,
        card: card.id(),
    };
    let category = match priced_as {
        PricedAs::Nothing => return Ok(free(Micros::ZERO)),
        PricedAs::BaseOnly => return not_negative(terms.markup.base_fee).map(free),
        PricedAs::Category(category) => category,
        PricedAs::Dearest => card.dearest(market).ok_or(PriceFault::NotOnCard(market))?.0,
    };
    let base = not_negative(terms.markup.base_fee)?;
    let (meta, reported_meta) = match terms.billing {
        MetaBilling::Operator => {
            let fee = meta_fee(card, &terms.markup, market, category)?;
            (fee, fee)
        }
        MetaBilling::Customer => (Micros::ZERO, card.charged_price(market, category).ok_or(PriceFault::NotOnCard(market))?),
    };
    base.checked_add(meta).ok_or(PriceFault::OutOfRange)?;
    Ok(Price { base, meta, reported_meta, market, category, card: card.id() })
}

/// Meta's fee with the operator's markup: round-half-up(list × factor) + fixed. Also how a message
/// settles in a category that Meta names, by the card and markup of its hold.
///
/// # Errors
/// Where card or markup give no amount, see [`PriceFault`].
pub fn meta_fee(card: &RateCard, markup: &Markup, market: Market, category: Category) -> Result<Micros, PriceFault> {
    let list = card.charged_price(market, category).ok_or(PriceFault::NotOnCard(market))?;
    // 64 by 64 bits fit in 128, so only the way back can be out of range.
    let exact = i128::from(list.0) * i128::from(markup.factor_ppm);
    let rounded = (exact + i128::from(FACTOR_ONE / 2)).div_euclid(i128::from(FACTOR_ONE));
    let fee = i64::try_from(rounded).map(Micros).map_err(|_| PriceFault::OutOfRange)?;
    not_negative(fee.checked_add(markup.fixed).ok_or(PriceFault::OutOfRange)?)
}

/// The price of a number (or user id) and a category, as an operator asks for it.
///
/// # Errors
/// Where card or markup give no amount, see [`PriceFault`].
pub fn quote(card: &RateCard, terms: &Terms, recipient: &str, category: Category) -> Result<Price, PriceFault> {
    price(card, terms, Country::of_recipient(recipient), PricedAs::Category(category))
}

fn not_negative(amount: Micros) -> Result<Micros, PriceFault> {
    if amount.is_negative() { Err(PriceFault::Negative) } else { Ok(amount) }
}
