//! `turnpike quarantine`: what Meta signed and sent, and nobody here could read, own or take in.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, text, time};
use super::listing::{Listing, Pages};
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::Side;

/// Webhooks of Meta's that could not be read or taken in, or belong to no application here.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Nothing that Meta signed is lost: what is about a number that no application has, or cannot be read
by this version, is kept here. Connect the number or upgrade, then replay it. What something of the
gateway's own stood in the way of (why: poison) is tried five times by itself, over some three
hours; after that it waits for you: `show` says what stood in its way.

Examples:
  turnpike quarantine list
  turnpike quarantine show 7
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
        #[command(flatten)]
        pages: Pages,
    },
    /// Show one: why it is here, how to go on, and its payload, which is personal data
    Show {
        /// Its number, as `quarantine list` shows it
        id: String,
    },
    /// Empty one for good: its payload is gone, and Meta's repeats of it change nothing
    Discard {
        /// Its number, as `quarantine list` shows it
        id: String,
    },
    /// Take one in again, as if Meta had just sent it; once
    Replay {
        /// Its number, as `quarantine list` shows it
        id: String,
    },
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::List { pages } => return context.pages(&args.remote, pages, || Ask::get(&["quarantine"]), &LIST),
        Command::Show { id } => {
            let Some(answer) = context.ask(&args.remote, Ask::get(&["quarantine", id]))? else { return Ok(()) };
            show(context, &answer.data);
        }
        Command::Discard { id } => {
            let Some(_) = context.ask(&args.remote, Ask::post(&["quarantine", id, "discard"], &json!({})))? else { return Ok(()) };
            context.out.line(format!("Number {id} is emptied, for good."));
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

const LIST: Listing<'static, 7> = Listing {
    headings: [
        ("number", Side::Right),
        ("came (UTC)", Side::Left),
        ("why", Side::Left),
        ("number id", Side::Left),
        ("account", Side::Left),
        ("field", Side::Left),
        ("replayed (UTC)", Side::Left),
    ],
    row: &|row| {
        [
            text(&row["id"]).into(),
            time(&row["at"]).into(),
            why(row).into(),
            text(&row["phoneNumberId"]).into(),
            text(&row["wabaId"]).into(),
            text(&row["field"]).into(),
            time(&row["replayedAt"]).into(),
        ]
    },
    none: "Nothing is in quarantine.",
    hint: None,
};

fn show(context: &Context, kept: &Value) {
    let signer = match kept["signerConfigured"].as_bool() {
        Some(true) => format!("verified when it came, by app {}", text(&kept["metaAppId"])),
        _ => format!("verified when it came, by app {}, which is not configured any more", text(&kept["metaAppId"])),
    };
    let goes_to: Vec<String> = kept["goesTo"].as_array().into_iter().flatten().map(text).collect();
    context.out.record(&[
        ("Number", text(&kept["id"]).into()),
        ("Came (UTC)", time(&kept["at"]).into()),
        ("Why", why(kept).into()),
        ("What stood in its way", text(&kept["fault"]).into()),
        ("Tries", text(&kept["tries"]).into()),
        ("Tried again (UTC)", time(&kept["nextTryAt"]).into()),
        ("Signature", signer.into()),
        ("Number id", text(&kept["phoneNumberId"]).into()),
        ("Account", text(&kept["wabaId"]).into()),
        ("Field", text(&kept["field"]).into()),
        ("Recorded", time(&kept["replayedAt"]).into()),
        ("A replay goes to", goes_to.join(", ").into()),
    ]);
    match (kept["payload"].as_str().or(kept["payloadHex"].as_str()), kept["erased"].as_bool()) {
        // Whoever can make Meta sign something must not steer this terminal.
        (Some(payload), _) => context.out.line(format!("\n{}", payload.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}"))),
        (None, Some(true)) => context.out.line("Its payload was erased."),
        (None, _) => context.out.line("Its payload cannot be opened with this master key."),
    }
    if kept["replayedAt"].is_null() && kept["erased"].as_bool() == Some(false) {
        let id = text(&kept["id"]);
        context.out.hint(format!(
            "To go on: {} Then turnpike quarantine replay {id}; or, for good, turnpike quarantine discard {id}",
            go_on(kept)
        ));
    }
}

/// What to do before a replay.
fn go_on(kept: &Value) -> &'static str {
    match text(&kept["reason"]).as_str() {
        "unknown_number" => "connect its number (turnpike app connect).",
        "mismatch" => "look at the number's account and app (turnpike app show).",
        "poison" => "mend what stood in its way, or upgrade.",
        _ => "upgrade to a version that can read it.",
    }
}

/// Why something is here, in words; what names no number is about an account.
fn why(row: &Value) -> String {
    match text(&row["reason"]).as_str() {
        "unknown_number" if row["phoneNumberId"].is_null() => "unknown account".to_owned(),
        reason => reason.replace('_', " "),
    }
}
