//! `turnpike message`: messages and their outcomes.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Context, money, rows, state, text, time};
use super::listing::{Listing, Pages};
use super::org::put;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Cell, Side, Style, Table};

/// Messages and their outcomes.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnpike message list --state unknown
  turnpike message list --app shop --all --json
  turnpike message show wamid.HBgM…
  turnpike message resolve 0199… --as not-sent --reason \"not in Meta's insights of 3 May\"")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List messages, newest first
    List {
        /// Those that stand here only
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Of this application only: its appId
        #[arg(long)]
        app: Option<String>,
        /// Organization: its name or id; may be left out where there is one
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        pages: Pages,
    },
    /// Show one message: what happened, what it cost, what went wrong
    Show {
        /// Its id or wamid
        message: String,
        /// Organization: its name or id
        #[arg(long)]
        org: Option<String>,
    },
    /// Say what became of a message whose outcome is unknown
    #[command(after_help = "\
Look it up at Meta first. The money follows at once and once: an accepted message is paid for, one
that failed after Meta took it costs the base fee, and one that was not sent costs nothing. A repeat
of the request with its Idempotency-Key hears of it: 200, GW_001, or GW_003 (presumed not sent).")]
    Resolve {
        /// Its id
        message: String,
        /// What became of it: accepted, failed (after Meta took it) or not-sent
        #[arg(long = "as", value_enum, value_name = "OUTCOME", hide_possible_values = true)]
        outcome: Outcome,
        /// Meta's id of it, where it was accepted; without it a repeat's 200 names no message
        #[arg(long)]
        wamid: Option<String>,
        /// How you know, for the record
        #[arg(long)]
        reason: String,
        /// Organization: its name or id
        #[arg(long)]
        org: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    InFlight,
    Unknown,
    Accepted,
    Sent,
    Delivered,
    Read,
    Failed,
    Refused,
    PresumedNotSent,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Outcome {
    Accepted,
    Failed,
    NotSent,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::List { state, app, org, pages } => {
            let ask = || Ask::get(&["messages"]).with("state", state.map(typed)).with("app", app.as_ref()).with("org", org.as_ref());
            context.pages(&args.remote, pages, ask, &LIST)
        }
        Command::Show { message, org } => {
            let ask = Ask::get(&["messages", message]).with("org", org.as_ref());
            let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
            show(context, &answer.data);
            Ok(())
        }
        Command::Resolve { message, outcome, wamid, reason, org } => {
            let mut body = json!({"message": message, "as": typed(*outcome), "reason": reason});
            put(&mut body, "wamid", wamid.as_deref());
            put(&mut body, "org", org.as_deref());
            let Some(answer) = context.ask(&args.remote, Ask::post(&["messages", "resolve"], &body))? else { return Ok(()) };
            context.out.line("Resolved.");
            show(context, &answer.data);
            Ok(())
        }
    }
}

/// A choice as it is typed, which is how the routes take it.
pub(super) fn typed(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

const LIST: Listing<'static, 7> = Listing {
    headings: [
        ("admitted (UTC)", Side::Left),
        ("state", Side::Left),
        ("to", Side::Left),
        ("type", Side::Left),
        ("mode", Side::Left),
        ("app", Side::Left),
        ("id", Side::Left),
    ],
    row: &|row| {
        [
            time(&row["timeline"][0]["at"]).into(),
            state(&row["state"]),
            text(&row["to"]).into(),
            text(&row["type"]).into(),
            text(&row["mode"]).into(),
            text(&row["appId"]).into(),
            text(&row["id"]).into(),
        ]
    },
    none: "There is no such message yet, or none any more.",
    hint: None,
};

fn show(context: &Context, message: &Value) {
    let (price, money_now, problem) = (&message["price"], &message["money"], &message["problem"]);
    let currency = &money_now["currency"];
    let leg = |name: &str| {
        let leg = &money_now[name];
        match leg["amount"].as_str() {
            Some(_) => format!("{} {}", text(&leg["state"]).replace('_', " "), money(&leg["amount"], currency)),
            None => text(&leg["state"]).replace('_', " "),
        }
    };
    let priced = format!("{}, {}, {}", text(&price["category"]), text(&price["market"]), text(&price["rateCard"]));
    let codes: Vec<String> = [("", &problem["code"]), ("Meta ", &problem["metaCode"])]
        .into_iter()
        .filter(|(_, code)| !code.is_null())
        .map(|(whose, code)| format!("{whose}{}", text(code)))
        .collect();
    let went_wrong = if problem.is_null() { String::new() } else { format!("{} ({})", text(&problem["title"]), codes.join(", ")) };
    context.out.record(&[
        ("Message", Cell::new(text(&message["id"]), Style::Bold)),
        ("Wamid", text(&message["wamid"]).into()),
        ("State", state(&message["state"])),
        ("Problem", Cell::new(went_wrong, Style::Bad)),
        ("Details", text(&problem["details"]).into()),
        ("What to do", text(&problem["hint"]).into()),
        ("Trace id", text(&problem["fbtraceId"]).into()),
        ("App", text(&message["appId"]).into()),
        ("To", text(&message["to"]).into()),
        ("Type", text(&message["type"]).into()),
        ("Mode", text(&message["mode"]).into()),
        ("Priced as", priced.into()),
        ("Base fee", leg("base").into()),
        ("Meta's fee", leg("meta").into()),
        ("Callback data", text(&message["bizOpaqueCallbackData"]).into()),
    ]);
    let timeline = rows(&message["timeline"]);
    if timeline.is_empty() {
        return;
    }
    context.out.line("");
    let mut table = Table::new([("when (UTC)", Side::Left), ("event", Side::Left), ("detail", Side::Left)]);
    for entry in timeline {
        table.row([time(&entry["at"]).into(), state(&json!(text(&entry["event"]))), text(&entry["detail"]).into()]);
    }
    context.out.table(&table);
}
