//! `turnpike backup` and `turnpike restore`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;
use turnpike_store::sqlite;

use super::context::{Context, count, text};
use crate::cli::Remote;
use crate::client::Ask;
use crate::config;
use crate::failure::Failure;
use crate::output::Cell;

/// Copy the database while the gateway runs.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The master key is not in a backup: keep a copy elsewhere, since without it no API key works and
no token opens. Users who are erased after the backup are in it: set retention.erasures_copy to a
folder on another disk, and a restored backup forgets them again though this machine is lost.

Example:
  turnpike backup /var/backups/turnpike-2026-11-22")]
pub(crate) struct BackupArgs {
    /// Folder to write; it must not exist. With --server it is a folder of that machine
    #[arg(value_name = "DIR")]
    target: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

/// Bring a backup into a new data folder.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Restores into --data DIR, which must not exist or hold nothing but master.key and erasures.journal.
Nothing is ever written over.

A backup brings back users who were erased after it. They are erased again: here, where master.key
lies in DIR already, or else by the first start. Who they are is taken from erasures.journal of this
backup, of the backups beside it, of DIR, and of what --erasures names: give it the folder that you
replace, or the one of retention.erasures_copy, since only there stand the erasures since the newest
backup. With retention.erasures_copy set, the first start looks there by itself.

Example:
  turnpike restore /var/backups/turnpike-2026-11-22 --data ./turnpike-data --erasures ./turnpike-old")]
pub(crate) struct RestoreArgs {
    /// The folder that `turnpike backup` wrote
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Folder that is replaced, or its erasures.journal: users erased since the backup stay erased (repeatable)
    #[arg(long, value_name = "PATH")]
    erasures: Vec<PathBuf>,
}

/// Backs up.
pub(crate) fn run(args: &BackupArgs, context: &Context) -> Result<(), Failure> {
    let target = match &args.remote.server {
        Some(_) => args.target.clone(),
        None => std::path::absolute(&args.target)
            .map_err(|problem| Failure::Usage(format!("{} is no path: {problem}", args.target.display())))?,
    };
    let Some(answer) = context.ask(&args.remote, Ask::post(&["backup"], &json!({"target": target})))? else { return Ok(()) };
    let report = &answer.data;
    context.out.line(format!("Wrote a backup to {}.", target.display()));
    context.out.record(&[
        ("Messages", text(&report["messages"]).into()),
        ("Size", size(report["bytes"].as_u64().unwrap_or_default())),
        ("Schema", text(&report["schemaVersion"]).into()),
    ]);
    context.out.hint("The master key is not in it: keep a copy of master.key elsewhere.");
    Ok(())
}

/// Restores. The one command that works on files itself: there is no gateway to ask yet.
pub(crate) fn restore(args: &RestoreArgs, context: &Context) -> Result<(), Failure> {
    let folder = config::data_folder(context.data.as_deref(), None, &context.environment)
        .map_err(|problems| Failure::Usage(problems.to_string()))?;
    let report = sqlite::restore(&args.backup, &folder, &args.erasures).map_err(|error| {
        let missing = !args.backup.exists();
        let error = anyhow::Error::from(error);
        if missing {
            Failure::NotFound(format!("there is no folder {}; give the one that `turnpike backup` wrote", args.backup.display()))
        } else {
            Failure::Refused(format!("{error:#}"))
        }
    })?;
    let applied = (report.erasures_owed > 0 && report.master_key_present).then(|| erase_again(context));
    if context.out.json {
        let mut shown =
            serde_json::to_value(&report).map_err(|problem| Failure::Refused(format!("the report cannot be shown: {problem}")))?;
        shown["erasuresApplied"] = matches!(applied, Some(Ok(()))).into();
        context.out.data(&shown);
        return Ok(());
    }
    let number = |of: u64| usize::try_from(of).unwrap_or(usize::MAX);
    context.out.line(format!("Restored {} into {}.", count(number(report.messages), "message", "messages"), folder.display()));
    if report.erasures_owed > 0 {
        let owed = count(number(report.erasures_owed), "erasure", "erasures");
        context.out.line(match applied {
            Some(Ok(())) => format!("{owed} from after the backup: applied again."),
            Some(Err(failure)) => {
                format!("{owed} from after the backup: the first start applies them again. Here they could not be: {failure}")
            }
            None => format!("{owed} from after the backup: the first start applies them again."),
        });
    }
    context.out.line("Before you start it:");
    for (at, step) in report.next.iter().enumerate() {
        context.out.line(format!("  {}. {step}", at + 1));
    }
    Ok(())
}

/// Opens the restored folder once, which finds what is owed, and carries it out to the end.
fn erase_again(context: &Context) -> Result<(), Failure> {
    context.gateway(&Remote::default())?.ask(Ask::post(&["erasures", "carry-out"], &json!({}))).map(drop)
}

fn size(bytes: u64) -> Cell {
    let mib = bytes / (1 << 20);
    if mib == 0 { format!("{} KiB", bytes / 1_024).into() } else { format!("{mib} MiB").into() }
}
