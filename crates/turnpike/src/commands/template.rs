//! `turnpike template`: message templates, as Meta has them.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::app::zone;
use super::context::{Context, count, rows, state, text, time};
use super::key::OfApp;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Side, Table};

/// Message templates, as Meta has them.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the templates as they were last read
    List(Which),
    /// Read the templates from Meta now
    Sync(Which),
}

#[derive(Debug, ClapArgs)]
struct Which {
    #[command(flatten)]
    app: OfApp,
    /// Those that sandbox keys see
    #[arg(long)]
    sandbox: bool,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::List(which) => list(args, context, which),
        Command::Sync(which) => {
            let body = json!({"sandbox": which.sandbox});
            let ask = Ask::post(&["applications", which.app.segment(), "templates", "sync"], &body);
            let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
            let read = usize::try_from(answer.data["templates"].as_u64().unwrap_or_default()).unwrap_or(usize::MAX);
            context.out.line(format!("Read {} from Meta.", count(read, "template", "templates")));
            context.out.line(format!("Prices' dates begin in {}.", zone(&answer.data)));
            if let Some(advice) = answer.data["timezoneAdvice"].as_str() {
                context.out.hint(advice);
            }
            Ok(())
        }
    }
}

fn list(args: &Args, context: &Context, which: &Which) -> Result<(), Failure> {
    let ask = Ask::get(&["applications", which.app.segment(), "templates"]).with("sandbox", which.sandbox.then_some(true));
    let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
    if rows(&answer.data).is_empty() {
        context.out.line("No template is known.");
        context.out.hint("Read them from Meta with: turnpike template sync");
        return Ok(());
    }
    let mut table = Table::new([
        ("name", Side::Left),
        ("language", Side::Left),
        ("category", Side::Left),
        ("status", Side::Left),
        ("quality", Side::Left),
        ("read (UTC)", Side::Left),
    ]);
    for row in rows(&answer.data) {
        table.row([
            text(&row["name"]).into(),
            text(&row["language"]).into(),
            text(&row["category"]).to_lowercase().into(),
            state(&row["status"]),
            text(&row["quality"]).into(),
            time(&row["syncedAt"]).into(),
        ]);
    }
    context.out.table(&table);
    Ok(())
}
