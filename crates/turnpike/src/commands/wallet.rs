//! `turnpike wallet`: prepaid money of organizations.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Context, THE_ONLY_ONE, money, rows, text, time};
use super::listing::{Listing, Pages};
use super::org::put;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Cell, Side, Style};

/// Prepaid money of organizations.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnpike wallet top-up --amount 25.00 --reason \"invoice 2026-118\"
  turnpike wallet adjust --amount -3.00 --reason \"top-up entered twice\"
  turnpike wallet refund 0199… --leg base --reason \"outage of 3 May\"
  turnpike wallet statement --limit 20")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a wallet holds
    Show(Which),
    /// Enter money that was paid in
    TopUp {
        #[command(flatten)]
        which: Which,
        /// How much, such as 25.00
        #[arg(long, allow_hyphen_values = true)]
        amount: String,
        /// Why, for the statement
        #[arg(long)]
        reason: Option<String>,
        /// UUID of this top-up: the same one again changes nothing
        #[arg(long, value_name = "UUID")]
        id: Option<String>,
    },
    /// Correct a wallet, either way
    Adjust {
        #[command(flatten)]
        which: Which,
        /// How much, such as -3.00
        #[arg(long, allow_hyphen_values = true)]
        amount: String,
        /// Why, for the statement
        #[arg(long)]
        reason: String,
        /// UUID of this correction: the same one again changes nothing
        #[arg(long, value_name = "UUID")]
        id: Option<String>,
    },
    /// Give back what a message cost
    Refund {
        /// The message's id or wamid
        message: String,
        /// Which fee: base (ours), meta, or both as far as they were captured
        #[arg(long, value_enum, default_value_t = Leg::Both, hide_possible_values = true)]
        leg: Leg,
        /// Why, for the statement
        #[arg(long)]
        reason: String,
        /// Organization: its name or id
        #[arg(long)]
        org: Option<String>,
    },
    /// Be told by a `balance_low` event when available falls below an amount
    Alert {
        #[command(flatten)]
        which: Which,
        /// The amount, such as 5.00
        #[arg(long, value_name = "AMOUNT", required_unless_present = "off")]
        below: Option<String>,
        /// Be told no more
        #[arg(long, conflicts_with = "below")]
        off: bool,
    },
    /// List what moved, each at its own time, newest first, with what was available after it
    #[command(after_help = "\
A date begins at midnight UTC. With --from or --until, what was available at both ends of the period
stands around its lines.

Examples:
  turnpike wallet statement --from 2026-10-01 --until 2026-11-01 --all
  turnpike wallet statement --all --json")]
    Statement {
        #[command(flatten)]
        which: Which,
        /// What moved from then on, such as 2026-10-01 or 2026-10-01T08:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// What moved before then
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        pages: Pages,
    },
}

#[derive(Debug, ClapArgs)]
struct Which {
    /// Organization: its name or id; may be left out where there is one
    #[arg(long)]
    org: Option<String>,
    /// The play wallet that sandbox keys spend from
    #[arg(long)]
    sandbox: bool,
}

impl Which {
    fn path<'a>(&'a self, action: &[&'a str]) -> Vec<&'a str> {
        ["organizations", self.org.as_deref().unwrap_or(THE_ONLY_ONE), "wallet"].iter().chain(action).copied().collect()
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Leg {
    Base,
    Meta,
    Both,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Show(which) => {
            let ask = Ask::get(&which.path(&[])).with("sandbox", which.sandbox.then_some(true));
            let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
            record(context, &answer.data);
            Ok(())
        }
        Command::TopUp { which, amount, reason, id } => {
            let moved = move_wallet(args, context, which, "top-up", amount, reason.as_deref(), id.as_deref())?;
            say_moved(context, moved.as_ref(), "Topped up");
            Ok(())
        }
        Command::Adjust { which, amount, reason, id } => {
            let moved = move_wallet(args, context, which, "adjust", amount, Some(reason), id.as_deref())?;
            say_moved(context, moved.as_ref(), "Adjusted");
            Ok(())
        }
        Command::Refund { message, leg, reason, org } => refund(args, context, message, *leg, reason, org.as_deref()),
        Command::Alert { which, below, off: _ } => {
            let body = json!({"below": below, "sandbox": which.sandbox});
            let Some(answer) = context.ask(&args.remote, Ask::post(&which.path(&["alert"]), &body))? else { return Ok(()) };
            context.out.line(match answer.data["below"].as_str() {
                Some(below) => format!(
                    "When available falls below {below}, endpoints that get `gateway` events hear balance_low; see: turnpike webhook set --help"
                ),
                None => "Nobody is told of a low balance.".to_owned(),
            });
            Ok(())
        }
        Command::Statement { which, from, until, pages } => {
            let ask = || {
                Ask::get(&which.path(&["statement"]))
                    .with("sandbox", which.sandbox.then_some(true))
                    .with("from", from.as_ref())
                    .with("until", until.as_ref())
            };
            context.framed_pages(&args.remote, pages, ask, &STATEMENT, both_ends)
        }
    }
}

fn move_wallet(
    args: &Args,
    context: &Context,
    which: &Which,
    action: &str,
    amount: &str,
    reason: Option<&str>,
    id: Option<&str>,
) -> Result<Option<Value>, Failure> {
    let mut body = json!({"amount": amount, "sandbox": which.sandbox});
    put(&mut body, "reason", reason);
    put(&mut body, "id", id);
    Ok(context.ask(&args.remote, Ask::post(&which.path(&[action]), &body))?.map(|answer| answer.data))
}

fn say_moved(context: &Context, moved: Option<&Value>, done: &str) {
    let Some(wallet) = moved else { return };
    context.out.line(format!("{done}. {} now has {} available.", owner(wallet), money(&wallet["available"], &wallet["currency"])));
}

fn refund(args: &Args, context: &Context, message: &str, leg: Leg, reason: &str, org: Option<&str>) -> Result<(), Failure> {
    let leg = match leg {
        Leg::Base => "base",
        Leg::Meta => "meta",
        Leg::Both => "both",
    };
    let mut body = json!({"message": message, "leg": leg, "reason": reason});
    put(&mut body, "org", org);
    let Some(answer) = context.ask(&args.remote, Ask::post(&["messages", "refund"], &body))? else { return Ok(()) };
    for row in rows(&answer.data) {
        context.out.line(format!("Gave back the {} fee: {}.", text(&row["leg"]), text(&row["amount"])));
    }
    Ok(())
}

/// What was available after the period, which begins a list with the newest, and before it.
fn both_ends(period: &Value) -> Option<[String; 2]> {
    let said = |what: &str, end: &str| format!("{what}: {} available", money(&period[end], &period["currency"]));
    period.is_object().then(|| [said("At the end of the period", "closing"), said("At its beginning", "opening")])
}

const STATEMENT: Listing<'static, 8> = Listing {
    headings: [
        ("when (UTC)", Side::Left),
        ("what", Side::Left),
        ("amount", Side::Right),
        ("from", Side::Left),
        ("to", Side::Left),
        ("available", Side::Right),
        ("message", Side::Left),
        ("reason", Side::Left),
    ],
    row: &|row| {
        let leg = text(&row["leg"]);
        let what = text(&row["kind"]).replace('_', " ");
        [
            time(&row["when"]).into(),
            if leg.is_empty() { what.into() } else { format!("{what} {leg}").into() },
            text(&row["amount"]).into(),
            text(&row["debit"]).replace('_', " ").into(),
            text(&row["credit"]).replace('_', " ").into(),
            text(&row["available"]).into(),
            text(&row["message"]).into(),
            text(&row["reason"]).into(),
        ]
    },
    none: "Nothing has moved yet.",
    hint: None,
};

fn record(context: &Context, wallet: &Value) {
    let currency = &wallet["currency"];
    let held = format!("{} (base {}, Meta {})", money(&wallet["held"], currency), text(&wallet["heldBase"]), text(&wallet["heldMeta"]));
    context.out.record(&[
        ("Wallet", owner(wallet).into()),
        ("Available", Cell::new(money(&wallet["available"], currency), Style::Bold)),
        ("Held", held.into()),
        ("Posted", money(&wallet["posted"], currency).into()),
    ]);
}

fn owner(wallet: &Value) -> String {
    let organization = text(&wallet["organization"]);
    if wallet["mode"] == "sandbox" { format!("{organization}'s play wallet") } else { organization }
}

/// What a wallet as the store shows it (posted and held) has available.
pub(super) fn available(wallet: &Value, currency: &Value) -> String {
    use turnpike_domain::money::Micros;
    let amount = |name: &str| wallet[name].as_str().and_then(|text| text.parse::<Micros>().ok());
    let held = amount("heldBase").and_then(|base| base.checked_add(amount("heldMeta")?));
    let available = amount("posted").and_then(|posted| posted.checked_sub(held?));
    available.map(|available| format!("{available} {} available", text(currency))).unwrap_or_default()
}
