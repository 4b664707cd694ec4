//! `turnpike quarantine`: what Meta signed and sent, and nobody here could read or own.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, rows, text, time};
use super::wallet::more;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Side, Table};

/// Webhooks of Meta's that could not be read, or belong to no application here.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Nothing that Meta signed is lost: what is about a number that no application has, or cannot be read
by this version, is kept here. Connect the number or upgrade, then replay it.

Examples:
  turnpike quarantine list
  turnpike quarantine replay 7")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is kept, newest first
    List {
        /// Payloads at most, up to 500 [default: 50]
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u32>,
        /// Go on where the last page ended
        #[arg(long, value_name = "CURSOR")]
        before: Option<String>,
    },
    /// Take one in again, as if Meta had just sent it
    Replay {
        /// Its number, as `quarantine list` shows it
        id: String,
    },
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::List { limit, before } => {
            let ask = Ask::get(&["quarantine"]).with("limit", *limit).with("before", before.as_ref());
            let Some(answer) = context.ask_page(&args.remote, ask)? else { return Ok(()) };
            if rows(&answer.data).is_empty() {
                context.out.line(if before.is_some() { "There is none before that." } else { "Nothing is in quarantine." });
                return Ok(());
            }
            let mut table = Table::new([
                ("number", Side::Right),
                ("came (UTC)", Side::Left),
                ("why", Side::Left),
                ("number id", Side::Left),
                ("account", Side::Left),
                ("field", Side::Left),
                ("replayed (UTC)", Side::Left),
            ]);
            for row in rows(&answer.data) {
                table.row([
                    text(&row["id"]).into(),
                    time(&row["at"]).into(),
                    why(row).into(),
                    text(&row["phoneNumberId"]).into(),
                    text(&row["wabaId"]).into(),
                    text(&row["field"]).into(),
                    time(&row["replayedAt"]).into(),
                ]);
            }
            context.out.table(&table);
            more(context, answer.next.as_deref());
        }
        Command::Replay { id } => {
            let Some(answer) = context.ask(&args.remote, Ask::post(&["quarantine", id, "replay"], &json!({})))? else { return Ok(()) };
            context.out.record(&[
                ("Recorded", text(&answer.data["recorded"]).into()),
                ("Known before", text(&answer.data["duplicates"]).into()),
                ("Still in quarantine", text(&answer.data["quarantined"]).into()),
            ]);
            if answer.data["quarantined"].as_u64().is_some_and(|left| left > 0) {
                context.out.hint("What is still here: connect its number (turnpike app connect), or upgrade, and replay it again.");
            }
        }
    }
    Ok(())
}

/// Why something is here, in words; what names no number is about an account.
fn why(row: &Value) -> String {
    match text(&row["reason"]).as_str() {
        "unknown_number" if row["phoneNumberId"].is_null() => "unknown account".to_owned(),
        reason => reason.replace('_', " "),
    }
}
