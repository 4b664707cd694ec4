//! What a message costs: the gateway and nginx side by side on one upstream.
//!
//! `cargo run --release -p bench` measures everything, prints it and writes `bench/RESULTS.md`;
//! `-- --quick --json` takes less than a minute and ends with one line of JSON. What is measured
//! and why so is told in `bench/README.md`.
//!
//! Exit codes: 0 measured, 1 the run is void or could not be made, 2 wrong usage.

mod clock;
mod control;
mod figures;
mod gateway;
mod load;
mod machine;
mod nginx;
mod process;
mod results;
mod rounds;
mod scenarios;
mod stats;
mod upstream;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use crate::load::Load;
use crate::results::Results;
use crate::scenarios::House;

/// Measures what a message costs, beside nginx
#[derive(Debug, Parser)]
struct Cli {
    /// Only the side by side, in less than a minute once built
    #[arg(long)]
    quick: bool,
    /// Only webhooks: intake and delivery
    #[arg(long, conflicts_with = "quick")]
    webhooks: bool,
    /// Only two hundred endpoints of which half are broken, and a quiet customer beside a backlog
    #[arg(long, conflicts_with_all = ["quick", "webhooks"])]
    chaos: bool,
    /// Events of the chaos
    #[arg(long, value_name = "NUMBER", default_value_t = 200_000)]
    events: usize,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
    /// Measure this binary instead of building one
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// Rounds of the side by side
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,
    /// Connections under saturating load; the gateway allows 256 from one address
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    connections: usize,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts that run as processes of their own.
#[derive(Debug, Subcommand)]
enum Part {
    /// The load generator
    #[command(hide = true)]
    Load(Load),
    /// Meta's side of webhooks
    #[command(hide = true)]
    Meta(webhooks::meta::Meta),
    /// A customer's endpoint
    #[command(hide = true)]
    Endpoint {
        /// Where to listen
        #[arg(long)]
        address: SocketAddr,
    },
    /// A client that posts events and does nothing else
    #[command(hide = true)]
    Bare(webhooks::bare::Bare),
    /// Meta and two hundred endpoints in one
    #[command(hide = true)]
    ChaosSides(webhooks::chaos::Sides),
    /// The minimal upstream
    #[command(hide = true)]
    Upstream {
        /// Where to listen
        #[arg(long)]
        address: SocketAddr,
    },
}

/// Seconds of a slice that count.
const SLICE_SECONDS: f64 = 1.0;
/// Rounds of a full run, odd so that a median is one of them.
const ROUNDS: usize = 9;
/// Rounds of a comparison for growth.
const GROWTH_ROUNDS: usize = 7;
/// Rounds of a quick run.
const QUICK_ROUNDS: usize = 5;
/// Disturbed slices that a quick run may do again: few, so that it ends within its minute.
const QUICK_RETRIES: u32 = 9;
/// Disturbed slices that a run may do again.
const RETRIES: u32 = 60;
/// Starts of the demo.
const DEMO_STARTS: usize = 5;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(typed: &Cli) -> anyhow::Result<()> {
    match &typed.part {
        Some(Part::Load(load)) => return load.run(),
        Some(Part::Meta(meta)) => return meta.run(),
        Some(Part::Endpoint { address }) => return webhooks::endpoint::run(*address),
        Some(Part::Bare(bare)) => return bare.run(),
        Some(Part::ChaosSides(sides)) => return sides.run(),
        Some(Part::Upstream { address }) => return upstream::run(*address),
        None => {}
    }
    let processors = std::thread::available_parallelism()?.get();
    ensure!(processors >= 2, "at least two processors are needed: one for the subject, one for the load");
    let gateway = match &typed.gateway {
        Some(file) => file.canonicalize().with_context(|| format!("finding {}", file.display()))?,
        None => gateway::build()?,
    };
    match typed {
        Cli { quick: true, .. } => quick(typed, gateway),
        Cli { webhooks: true, .. } => only_webhooks(typed, gateway),
        Cli { chaos: true, .. } => only_chaos(typed, gateway),
        _ => full(typed, gateway),
    }
}

fn quick(typed: &Cli, gateway: PathBuf) -> anyhow::Result<()> {
    let house = House::open(gateway, typed.connections, QUICK_RETRIES, typed.json)?;
    let (both, idle_mib, loaded_mib) = house.side_by_side(typed.rounds.unwrap_or(QUICK_ROUNDS), SLICE_SECONDS)?;
    let foreign = house.bench.foreign.borrow();
    eprint!("{}", results::side_by_side(&both, typed.connections));
    eprintln!(
        "\nCPU over nginx's: {}. Resident memory: {} MiB idle, {} MiB after the run. Foreign processes took {:.2} of one processor (median slice).",
        figures::number(both.cpu_ratio()),
        figures::number(idle_mib),
        figures::number(loaded_mib),
        stats::median(foreign.iter().copied())
    );
    if typed.json {
        println!("{}", serde_json::to_string(&both.line(idle_mib))?);
    }
    Ok(())
}

fn only_webhooks(typed: &Cli, gateway: PathBuf) -> anyhow::Result<()> {
    let house = House::open(gateway, typed.connections, RETRIES, typed.json)?;
    let figures = house.webhooks()?;
    eprint!("{}", figures.to_markdown());
    if typed.json {
        println!("{}", serde_json::to_string(&figures)?);
    }
    Ok(())
}

fn only_chaos(typed: &Cli, gateway: PathBuf) -> anyhow::Result<()> {
    let house = House::open(gateway, typed.connections, RETRIES, typed.json)?;
    let report = house.chaos(typed.events)?;
    eprint!("{}", report.to_markdown());
    if typed.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

fn full(typed: &Cli, gateway: PathBuf) -> anyhow::Result<()> {
    let version = said(Command::new(&gateway).arg("--version"))?;
    let house = House::open(gateway, typed.connections, RETRIES, false)?;
    let (both, idle_mib, loaded_mib) = house.side_by_side(typed.rounds.unwrap_or(ROUNDS), SLICE_SECONDS)?;
    let demo_ms = house.demo_ready_ms(DEMO_STARTS)?;
    let keys = house.growth_with_keys(GROWTH_ROUNDS, SLICE_SECONDS)?;
    let messages = house.growth_with_messages(GROWTH_ROUNDS, SLICE_SECONDS)?;
    let webhooks = house.webhooks()?;
    let chaos = house.chaos(typed.events)?;
    let results = Results {
        connections: typed.connections,
        date: said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?,
        machine: scenarios::machine(),
        nginx: scenarios::nginx_version(),
        gateway: version,
        idle_mib,
        loaded_mib,
        keys,
        messages,
        demo_ms,
        webhooks,
        chaos,
        foreign: house.bench.foreign.borrow().clone(),
        disturbed: house.bench.disturbed.get(),
        both,
    };
    let text = results.to_markdown();
    print!("{text}");
    let file = scenarios::results_file();
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    if typed.json {
        println!("{}", serde_json::to_string(&results.both.line(idle_mib))?);
    }
    Ok(())
}

/// What a program prints, without the end of its line.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("running {:?}", command.get_program()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
