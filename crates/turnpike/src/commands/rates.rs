//! `turnpike rates`: what Meta charges, by market and category, in dated cards.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Context, count, rows, text};
use crate::cli::Remote;
use crate::client::{Ask, Gateway};
use crate::failure::Failure;
use crate::output::{Cell, Side, Style, Table};

/// What Meta charges, by market and category.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnpike rates show
  turnpike rates show --at 2026-10-01
  turnpike rates price 905321234567 marketing
  turnpike rates import usd-2027-01-01.csv")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the rate cards, or show the prices of one
    Show {
        /// Cards in this currency
        #[arg(long, value_name = "CODE")]
        currency: Option<String>,
        /// Prices of the card that holds on this date, such as 2026-10-01
        #[arg(long, value_name = "DATE")]
        at: Option<String>,
        /// Prices of this card
        #[arg(long, value_name = "ID", conflicts_with = "at")]
        card: Option<String>,
    },
    /// Import a dated card, after showing what it changes
    Import {
        /// The card as CSV
        file: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Say what a message would cost
    Price {
        /// The recipient: digits with country code
        number: String,
        /// What for
        #[arg(value_enum)]
        category: Category,
        /// Application: its appId; may be left out where there is one
        #[arg(long)]
        app: Option<String>,
        /// On this date in the application's time zone, or at this instant [default: now]
        #[arg(long, value_name = "DATE")]
        at: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Category {
    Marketing,
    Utility,
    Authentication,
    AuthenticationInternational,
    Service,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Show { currency, at, card } => show(args, context, currency.as_deref(), at.as_deref(), card.as_deref()),
        Command::Import { file, yes } => import(args, context, file, *yes),
        Command::Price { number, category, app, at } => {
            let ask = Ask::get(&["rates", "price"])
                .with("to", Some(number))
                .with("category", Some(super::message::typed(*category)))
                .with("app", app.as_ref())
                .with("at", at.as_ref());
            let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
            price(context, &answer.data);
            Ok(())
        }
    }
}

fn show(args: &Args, context: &Context, currency: Option<&str>, at: Option<&str>, card: Option<&str>) -> Result<(), Failure> {
    let gateway = context.gateway(&args.remote)?;
    let cards = |card: Option<&str>| gateway.ask(Ask::get(&["rates"]).with("currency", currency).with("card", card));
    let named = match (card, at) {
        (Some(card), _) => Some(card.to_owned()),
        (None, Some(date)) => Some(holding_on(&cards(None)?.data, date)?),
        (None, None) => None,
    };
    let answer = cards(named.as_deref())?;
    if context.out.json {
        context.out.data(&answer.data);
        return Ok(());
    }
    match (rows(&answer.data), named) {
        ([], _) => context.out.line("There is no rate card in this currency."),
        ([card], Some(_)) => prices(context, card),
        (all, _) => list(context, all),
    }
    Ok(())
}

/// The card that holds on a date: of one currency, the latest that begins no later.
fn holding_on(cards: &Value, date: &str) -> Result<String, Failure> {
    let is_date =
        date.len() == 10 && date.bytes().enumerate().all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    if !is_date {
        return Err(Failure::Usage(format!("--at takes a date such as 2026-10-01, and is {date}")));
    }
    let mut currencies: Vec<&str> = rows(cards).iter().filter_map(|card| card["currency"].as_str()).collect();
    currencies.sort_unstable();
    currencies.dedup();
    if currencies.len() > 1 {
        return Err(Failure::Usage(format!(
            "there are cards in several currencies ({}); say which with --currency",
            currencies.join(", ")
        )));
    }
    rows(cards)
        .iter()
        .filter(|card| card["effective"].as_str().is_some_and(|effective| effective <= date))
        .max_by_key(|card| (text(&card["effective"]), text(&card["card"])))
        .map(|card| text(&card["card"]))
        .ok_or_else(|| Failure::NotFound(format!("no rate card holds on {date}: the first one begins later")))
}

fn list(context: &Context, cards: &[Value]) {
    let mut table = Table::new([("card", Side::Left), ("currency", Side::Left), ("begins", Side::Left), ("source", Side::Left)]);
    for card in cards {
        table.row([
            text(&card["card"]).into(),
            text(&card["currency"]).into(),
            text(&card["effective"]).into(),
            text(&card["source"]).into(),
        ]);
    }
    context.out.table(&table);
    context.out.hint("Prices: turnpike rates show --card CARD, or --at DATE");
}

const CATEGORIES: [&str; 5] = ["marketing", "utility", "authentication", "authentication-international", "service"];

fn prices(context: &Context, card: &Value) {
    context.out.line(format!(
        "{}, from {}, in {} a message, before markup",
        text(&card["card"]),
        text(&card["effective"]),
        text(&card["currency"])
    ));
    let [marketing, utility, authentication, international, service] = CATEGORIES;
    let mut table = Table::new([
        ("market", Side::Left),
        (marketing, Side::Right),
        (utility, Side::Right),
        (authentication, Side::Right),
        ("international", Side::Right),
        (service, Side::Right),
    ]);
    let mut markets: Vec<&str> = Vec::new();
    for price in rows(&card["prices"]) {
        let market = price["market"].as_str().unwrap_or_default();
        if !markets.contains(&market) {
            markets.push(market);
        }
    }
    for market in markets {
        let cell = |category: &str| {
            let found = rows(&card["prices"]).iter().find(|price| price["market"] == market && price["category"] == category);
            Cell::from(found.map(|price| text(&price["amount"])).unwrap_or_default())
        };
        table.row([market.into(), cell(marketing), cell(utility), cell(authentication), cell(international), cell(service)]);
    }
    context.out.table(&table);
    context.out.hint(format!("Source: {}", text(&card["source"])));
}

fn price(context: &Context, quote: &Value) {
    let amount = |name: &str| Cell::from(super::context::money(&quote[name], &quote["currency"]));
    let by_customer = quote["metaFeeReported"] != quote["metaFee"];
    let meta = if by_customer {
        format!("{} {}, which Meta bills the customer", text(&quote["metaFeeReported"]), text(&quote["currency"]))
    } else {
        super::context::money(&quote["metaFee"], &quote["currency"])
    };
    context.out.record(&[
        ("Country", text(&quote["country"]).into()),
        ("Market", text(&quote["market"]).into()),
        ("Category", text(&quote["category"]).into()),
        ("Base fee", amount("baseFee")),
        ("Meta's fee", meta.into()),
        ("Held from the wallet", Cell::new(super::context::money(&quote["total"], &quote["currency"]), Style::Bold)),
        ("Rate card", text(&quote["card"]).into()),
    ]);
}

fn import(args: &Args, context: &Context, file: &Path, yes: bool) -> Result<(), Failure> {
    let csv = std::fs::read_to_string(file)
        .map_err(|problem| Failure::Usage(format!("the rate card {} cannot be read: {problem}", file.display())))?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let body = json!({"fileName": name, "csv": csv});
    let gateway = context.gateway(&args.remote)?;
    if !yes {
        let preview = gateway.ask(Ask::post(&["rates", "preview"], &body))?.data;
        show_changes(context, &preview);
        if !context.confirm("Import it?")? {
            return Err(Failure::Refused("Nothing was imported.".to_owned()));
        }
    }
    let imported = send_card(&gateway, &body)?;
    if context.out.json {
        context.out.data(&imported);
        return Ok(());
    }
    if yes {
        show_changes(context, &imported);
    }
    context.out.line(format!("Imported {}. Messages that are under way keep their price.", text(&imported["card"])));
    Ok(())
}

fn send_card(gateway: &Gateway, body: &Value) -> Result<Value, Failure> {
    Ok(gateway.ask(Ask::post(&["rates"], body))?.data)
}

/// Shown before the question, so on a terminal also with `--json`; then on stderr by the question.
fn show_changes(context: &Context, preview: &Value) {
    if context.out.json {
        return;
    }
    let changes = rows(&preview["changes"]);
    match preview["comparedWith"].as_str() {
        None => return context.out.line(format!("{} is the first card of its currency.", text(&preview["card"]))),
        Some(before) if changes.is_empty() => {
            return context.out.line(format!("{} changes nothing against {before}.", text(&preview["card"])));
        }
        Some(before) => context.out.line(format!("{} against {before}:", text(&preview["card"]))),
    }
    let mut table = Table::new([("what", Side::Left), ("category", Side::Left), ("before", Side::Right), ("after", Side::Right)]);
    for change in changes {
        if change["change"] == "moved" {
            table.row([
                format!("country {}", text(&change["country"])).into(),
                "all".into(),
                text(&change["from"]).into(),
                text(&change["to"]).into(),
            ]);
        } else {
            let or_none = |value: &Value| if value.is_null() { "none".to_owned() } else { text(value) };
            table.row([
                text(&change["market"]).into(),
                text(&change["category"]).into(),
                or_none(&change["old"]).into(),
                or_none(&change["new"]).into(),
            ]);
        }
    }
    context.out.table(&table);
    context.out.line(count(changes.len(), "change", "changes"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_of_a_date_is_the_latest_that_has_begun() {
        let cards = json!([
            {"card": "usd-2026-07-01", "currency": "USD", "effective": "2026-07-01"},
            {"card": "usd-2026-10-01", "currency": "USD", "effective": "2026-10-01"},
        ]);
        assert_eq!(holding_on(&cards, "2026-09-30").expect("there is one"), "usd-2026-07-01");
        assert_eq!(holding_on(&cards, "2026-10-01").expect("there is one"), "usd-2026-10-01");
        assert!(matches!(holding_on(&cards, "2025-01-01"), Err(Failure::NotFound(_))));
        assert!(matches!(holding_on(&cards, "tomorrow"), Err(Failure::Usage(_))));
    }
}
