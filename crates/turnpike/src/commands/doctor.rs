//! `turnpike doctor`: whether the gateway and its surroundings are as they should be.

use clap::Args as ClapArgs;
use serde_json::Value;

use super::context::{Context, count, rows, text};
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::Style;

/// Check the gateway and its surroundings.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Looks at the data folder, the disk, the database, the ledger, each application's token at Meta,\nendpoints that do not take their events, what waits in quarantine, and erasures that are late.\nExit code 1 where a check fails."
)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let gateway = context.gateway(&args.remote)?;
    let found = gateway.ask(Ask::get(&["doctor"]))?.data;
    let failed = rows(&found).iter().filter(|check| check["ok"] != true).count();
    let verdict = if failed == 0 { Ok(()) } else { Err(Failure::Said) };
    if context.out.json {
        context.out.data(&found);
        return verdict;
    }
    if !gateway.runs() {
        context.out.hint("No gateway runs on this folder; looking at the folder itself.");
    }
    let width = rows(&found).iter().map(|check| text(&check["name"]).chars().count()).max().unwrap_or(0);
    rows(&found).iter().for_each(|check| line(context, check, width));
    context.out.line(match failed {
        0 => "Everything is as it should be.".to_owned(),
        failed => format!("{} failed.", count(failed, "check", "checks")),
    });
    verdict
}

fn line(context: &Context, check: &Value, width: usize) {
    let ok = check["ok"] == true;
    let (mark, style) = if ok { ("ok  ", Style::Good) } else { ("FAIL", Style::Bad) };
    let name = text(&check["name"]);
    let padding = " ".repeat(width - name.chars().count());
    context.out.line(format!("{}  {name}{padding}  {}", context.out.paint(style, mark), text(&check["detail"])));
    if let Some(advice) = check["advice"].as_str() {
        context.out.hint(format!("      {}  {advice}", " ".repeat(width)));
    }
}
