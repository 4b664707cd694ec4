//! Rate cards: show, preview an import, import, price a number.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use turnpike_domain::market::{Country, Market};
use turnpike_domain::message::{Bsuid, PhoneNumber};
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::rates::{CardId, quote};
use turnpike_domain::send::Category;
use turnpike_engine::control::ControlFault;
use turnpike_engine::rates::RatePreview;

use super::Operator;
use super::answer::{Actor, Asked, Body, Data, Fault};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichCards {
    currency: Option<Currency>,
    /// A card's id; its prices are shown.
    card: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CardView {
    card: CardId,
    currency: Currency,
    effective: String,
    source: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prices: Vec<PriceLine>,
}

#[derive(Serialize)]
pub(super) struct PriceLine {
    market: Market,
    category: Category,
    amount: Micros,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CardFile {
    file_name: Option<String>,
    csv: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhatCosts {
    to: String,
    category: Category,
    app: Option<String>,
    /// A date, whose beginning in the application's time zone is meant, or an RFC 3339 instant; now
    /// where none is given.
    at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quote {
    market: Market,
    market_name: &'static str,
    country: Option<&'static str>,
    category: Category,
    card: CardId,
    currency: Currency,
    base_fee: Micros,
    meta_fee: Micros,
    meta_fee_reported: Micros,
    total: Micros,
}

pub(super) async fn show(State(operator): State<Operator>, Asked(which): Asked<WhichCards>) -> Result<Data<Vec<CardView>>, Fault> {
    let cards = operator.engine.rate_cards();
    let wanted = |id: CardId| which.card.as_ref().is_none_or(|name| *name == id.to_string());
    let views: Vec<CardView> = cards
        .iter()
        .filter(|card| which.currency.is_none_or(|currency| currency == card.currency()) && wanted(card.id()))
        .map(|card| CardView {
            card: card.id(),
            currency: card.currency(),
            effective: card.id().effective.to_string(),
            source: card.source().to_owned(),
            prices: if which.card.is_some() {
                card.prices().map(|(market, category, amount)| PriceLine { market, category, amount }).collect()
            } else {
                Vec::new()
            },
        })
        .collect();
    if views.is_empty() && which.card.is_some() {
        return Err(ControlFault::NotFound("rate card").into());
    }
    Ok(Data(views))
}

pub(super) async fn preview(State(operator): State<Operator>, Body(file): Body<CardFile>) -> Result<Data<RatePreview>, Fault> {
    Ok(Data(operator.engine.preview_rates(file.file_name.as_deref().unwrap_or("card.csv"), &file.csv)?))
}

pub(super) async fn import(State(operator): State<Operator>, actor: Actor, Body(file): Body<CardFile>) -> Result<Data<RatePreview>, Fault> {
    let imported = operator.engine.import_rates(file.file_name.as_deref().unwrap_or("card.csv"), &file.csv).await?;
    tracing::info!(actor = actor.name(), card.id = %imported.card, changes = imported.changes.len(), "imported a rate card");
    Ok(Data(imported))
}

pub(super) async fn price(State(operator): State<Operator>, Asked(asked): Asked<WhatCosts>) -> Result<Data<Quote>, Fault> {
    let to = asked.to.trim_start_matches('+');
    if PhoneNumber::parse(to).is_none() && Bsuid::parse(to).is_none() {
        return Err(
            ControlFault::field("to", "must be 7 to 15 digits with country code, or a user id such as US.13491208655302741918").into()
        );
    }
    let app = operator.application(asked.app.as_deref().unwrap_or("-"))?;
    let at = match &asked.at {
        Some(text) => app
            .zone
            .zone
            .instant(text)
            .ok_or_else(|| ControlFault::field("at", "must be a date such as 2026-10-01 or an instant such as 2026-10-01T00:00:00Z"))?,
        None => operator.engine.clock().now(),
    };
    let card = app.schedule.at(at);
    let price = quote(card, &app.terms, to, asked.category).map_err(|fault| ControlFault::rule(fault.to_string()))?;
    Ok(Data(Quote {
        market: price.market,
        market_name: price.market.name(),
        country: Country::of_recipient(to).name(),
        category: price.category,
        card: price.card,
        currency: price.currency(),
        base_fee: price.base,
        meta_fee: price.meta,
        meta_fee_reported: price.reported_meta,
        total: price.total(),
    }))
}
