//! `turnpike user`: what is known of an application's users (windows, opt-outs), and forgetting one.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, THE_ONLY_ONE, count, rows, text, time, yes_no};
use super::key::OfApp;
use super::org::put;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Side, Table};

/// Users of an application: their windows and opt-outs.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Only an application or key with --enforce-window looks at this: free-form messages to users without
an open window are then refused (POL_001), and marketing to users who opted out (POL_002).

Examples:
  turnpike user wrote 905321234567
  turnpike user opt-out 905321234567
  turnpike user show 905321234567")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is known of a user
    Show(Which),
    /// Note that a user wrote: his window is open for 24 hours from then
    Wrote {
        #[command(flatten)]
        which: Which,
        /// When, such as 2026-10-01T12:00:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Note that a user stopped marketing
    OptOut(Which),
    /// Note that a user wants marketing again
    OptIn(Which),
    /// Erase what is kept of a user: bodies, events, webhooks, window
    #[command(after_help = "\
One name is enough: whatever other number or user id the kept events know the same user by is erased
with it, in the organization's messages, events and webhooks, in quarantine, and in the record of
the built-in simulator. On a large store it goes on behind the command, beside sends and over
restarts: `turnpike user erasures` shows how far it is. Webhooks in quarantine that nobody can read
are counted: they go by age. The books keep the amounts, which name nobody.

A backup that was made before still holds the user. Restoring it applies the erasure again, from
erasures.journal: see turnpike restore --help.")]
    Erase {
        /// Phone number with country code, or user id
        user: String,
        /// Organization: its name or id; may be left out where there is one
        #[arg(long)]
        org: Option<String>,
        /// Go ahead without asking
        #[arg(long)]
        yes: bool,
    },
    /// List erasures and how far they are; whom they are about is not shown
    Erasures {
        /// Organization: its name or id; may be left out where there is one
        #[arg(long)]
        org: Option<String>,
    },
}

#[derive(Debug, ClapArgs)]
struct Which {
    /// Phone number with country code, or user id
    user: String,
    #[command(flatten)]
    app: OfApp,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if let Command::Erase { user, org, yes } = &args.command {
        return erase(args, context, user, org.as_deref(), *yes);
    }
    if let Command::Erasures { org } = &args.command {
        return erasures(args, context, org.as_deref());
    }
    let (which, path, body) = match &args.command {
        Command::Show(which) => (which, "show", json!({"user": which.user})),
        Command::Wrote { which, at } => {
            let mut body = json!({"user": which.user, "note": "wrote"});
            put(&mut body, "at", at.as_deref());
            (which, "note", body)
        }
        Command::OptOut(which) => (which, "note", json!({"user": which.user, "note": "opt-out"})),
        Command::OptIn(which) => (which, "note", json!({"user": which.user, "note": "opt-in"})),
        Command::Erase { .. } | Command::Erasures { .. } => return Ok(()),
    };
    let ask = Ask::post(&["applications", which.app.segment(), "users", path], &body);
    let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
    show(context, &answer.data);
    Ok(())
}

fn erase(args: &Args, context: &Context, user: &str, org: Option<&str>, yes: bool) -> Result<(), Failure> {
    if !yes && !context.confirm("Erase everything that is kept of this user?")? {
        context.out.line("Nothing was erased.");
        return Ok(());
    }
    let ask = Ask::post(&["organizations", org.unwrap_or(THE_ONLY_ONE), "erase"], &json!({"user": user}));
    let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
    if answer.data["state"] != "done" {
        context.out.line("It is remembered and goes on beside sends, also after a restart.");
        context.out.hint("How far it is: turnpike user erasures");
        return Ok(());
    }
    let number = |name: &str| usize::try_from(answer.data[name].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let under = count(number("names"), "name", "names");
    context.out.line(format!("{} emptied, of a user known under {under}.", count(number("erased"), "record is", "records are")));
    if number("unreadable") > 0 {
        let which = count(number("unreadable"), "webhook in quarantine cannot", "webhooks in quarantine cannot");
        context.out.line(format!("{which} be read and may name the user, too: see turnpike quarantine list."));
    }
    Ok(())
}

fn erasures(args: &Args, context: &Context, org: Option<&str>) -> Result<(), Failure> {
    let ask = Ask::get(&["organizations", org.unwrap_or(THE_ONLY_ONE), "erasures"]);
    let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
    if rows(&answer.data).is_empty() {
        context.out.line("Nobody was erased.");
        return Ok(());
    }
    let mut table = Table::new([
        ("asked (UTC)", Side::Left),
        ("state", Side::Left),
        ("done (UTC)", Side::Left),
        ("records", Side::Right),
        ("names", Side::Right),
        ("unreadable", Side::Right),
    ]);
    for row in rows(&answer.data) {
        table.row([
            time(&row["askedAt"]).into(),
            text(&row["state"]).into(),
            time(&row["doneAt"]).into(),
            text(&row["erased"]).into(),
            text(&row["names"]).into(),
            text(&row["unreadable"]).into(),
        ]);
    }
    context.out.table(&table);
    Ok(())
}

fn show(context: &Context, user: &Value) {
    let when = |at: &Value| if at.is_null() { "not known".to_owned() } else { time(at) };
    let opted_out = if user["optedOutAt"].is_null() { "no".to_owned() } else { format!("since {}", time(&user["optedOutAt"])) };
    context.out.record(&[
        ("Last wrote", when(&user["lastWroteAt"]).into()),
        ("Window open", yes_no(&user["windowOpen"]).into()),
        ("Opted out", opted_out.into()),
    ]);
}
