//! `turnpike serve`: a gateway until it is told to stop.

use std::io::Write as _;
use std::path::Path;

use anyhow::bail;
use tokio::signal::unix::{SignalKind, signal};

use super::demo;
use crate::config::Config;
use crate::wire::{self, Play};

/// Serves until SIGTERM or SIGINT, then drains. With `json`, one line on stdout says where, once ready.
pub(crate) async fn run(config: &Config, adopt_demo: bool, json: bool) -> anyhow::Result<()> {
    leave_demo(&config.data, adopt_demo)?;
    let running = wire::start(config, config.sandbox.then(|| Play::anywhere(simulator(config)))).await?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    tracing::info!(address = %running.address, data = %config.data.display(), graph = %config.settings.graph_url, "serving on {scheme}://{}", running.address);
    if json {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::json!({"address": format!("{scheme}://{}", running.address)}))?;
        out.flush()?;
    }
    until_told_to_stop().await?;
    tracing::info!("told to stop: taking no new sends, letting those under way end");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Waits for SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) async fn until_told_to_stop() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    #[expect(clippy::disallowed_methods, reason = "it must outlive the tasks that draining waits for")]
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("told twice to stop: ending now; sends under way are found unknown at the next start");
        std::process::exit(130);
    });
    Ok(())
}

/// The built-in simulator that answers sandbox keys.
fn simulator(config: &Config) -> turnpike_simulator::Config {
    turnpike_simulator::Config {
        record: turnpike_simulator::Record::File(config.data.join(wire::SIMULATOR_RECORD)),
        record_newest: Some(config.sandbox_requests),
        // Nobody but this process talks to it.
        tokens: turnpike_simulator::Tokens::Only(Vec::new()),
        seed_templates: turnpike_simulator::demo_templates(),
        ..Default::default()
    }
}

/// A folder of `demo` keeps its keys in a file; a real gateway must not.
fn leave_demo(folder: &Path, adopt: bool) -> anyhow::Result<()> {
    let keys = folder.join(demo::KEYS_FILE);
    if !keys.exists() {
        return Ok(());
    }
    if !adopt {
        bail!(
            "{} was made by `turnpike demo`, which keeps its API keys in {}; serve another folder, or take this one over with \
             --adopt-demo (the keys go on working, the file is removed)",
            folder.display(),
            demo::KEYS_FILE
        );
    }
    std::fs::remove_file(&keys)?;
    tracing::warn!("took over a demo's folder: its keys go on working; revoke them with: turnpike key revoke");
    Ok(())
}
