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
The master key is not in a backup: keep a copy of it elsewhere, since without it no API key works and
no token opens.

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
Restores into --data DIR, which must not exist or hold nothing but master.key. Nothing is ever
written over.

Example:
  turnpike restore /var/backups/turnpike-2026-11-22 --data ./turnpike-data")]
pub(crate) struct RestoreArgs {
    /// The folder that `turnpike backup` wrote
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
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
    let report = sqlite::restore(&args.backup, &folder, &[]).map_err(|error| {
        let missing = !args.backup.exists();
        let error = anyhow::Error::from(error);
        if missing {
            Failure::NotFound(format!("there is no folder {}; give the one that `turnpike backup` wrote", args.backup.display()))
        } else {
            Failure::Refused(format!("{error:#}"))
        }
    })?;
    if context.out.json {
        let report = serde_json::to_value(&report).map_err(|problem| Failure::Refused(format!("the report cannot be shown: {problem}")))?;
        context.out.data(&report);
        return Ok(());
    }
    let messages = usize::try_from(report.messages).unwrap_or(usize::MAX);
    context.out.line(format!("Restored {} into {}. Before you start it:", count(messages, "message", "messages"), folder.display()));
    for (at, step) in report.next.iter().enumerate() {
        context.out.line(format!("  {}. {step}", at + 1));
    }
    Ok(())
}

fn size(bytes: u64) -> Cell {
    let mib = bytes / (1 << 20);
    if mib == 0 { format!("{} KiB", bytes / 1_024).into() } else { format!("{mib} MiB").into() }
}
