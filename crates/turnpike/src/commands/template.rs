//! `turnpike template`: message templates, as Meta has them.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::app::zone;
use super::context::{Context, count, state, text, time};
use super::key::OfApp;
use super::listing::Listing;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::Side;

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
        Command::List(which) => {
            let ask = Ask::get(&["applications", which.app.segment(), "templates"]).with("sandbox", which.sandbox.then_some(true));
            context.list(&args.remote, ask, &LIST).map(drop)
        }
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

const LIST: Listing<'static, 6> = Listing {
    headings: [
        ("name", Side::Left),
        ("language", Side::Left),
        ("category", Side::Left),
        ("status", Side::Left),
        ("quality", Side::Left),
        ("read (UTC)", Side::Left),
    ],
    row: &|row| {
        [
            text(&row["name"]).into(),
            text(&row["language"]).into(),
            text(&row["category"]).to_lowercase().into(),
            state(&row["status"]),
            text(&row["quality"]).into(),
            time(&row["syncedAt"]).into(),
        ]
    },
    none: "No template is known.",
    hint: Some("Read them from Meta with: turnpike template sync"),
};
