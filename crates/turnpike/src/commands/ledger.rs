//! `turnpike ledger`: the proof that the books balance.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::context::{Context, count, rows, text};
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Cell, Side, Style, Table};

/// Prove that the books balance.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Recompute every wallet from the journal and check the invariants; exit 1 where one is violated
    Verify,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let Command::Verify = args.command;
    let found = context.gateway(&args.remote)?.ask(Ask::post(&["ledger", "verify"], &json!({})))?.data;
    let clean = found["clean"] == true;
    if context.out.json {
        context.out.data(&found);
        return if clean { Ok(()) } else { Err(Failure::Said) };
    }
    let mut table = Table::new([("", Side::Left), ("", Side::Left), ("looked at", Side::Right), ("claim", Side::Left)]);
    for check in rows(&found["checks"]) {
        let holds = check["holds"] == true;
        let verdict = if holds { Cell::new("holds", Style::Good) } else { Cell::new("VIOLATED", Style::Bad) };
        table.row([text(&check["id"]).into(), verdict, text(&check["examined"]).into(), text(&check["claim"]).into()]);
    }
    context.out.table(&table);
    for check in rows(&found["checks"]) {
        for violation in rows(&check["violations"]) {
            context.out.line(context.out.paint(Style::Bad, &format!("{}: {}", text(&check["id"]), text(violation))));
        }
    }
    let number = |name: &str| usize::try_from(found[name].as_u64().unwrap_or_default()).unwrap_or(usize::MAX);
    let read = format!("{} of {}", count(number("entries"), "entry", "entries"), count(number("messages"), "message", "messages"));
    if clean {
        context.out.line(format!("The books balance: {read}."));
        return Ok(());
    }
    context.out.line(format!("The books do not balance: {read}. Stop sending, keep a backup as evidence, and report it."));
    Err(Failure::Said)
}
