//! The program: what was typed becomes a gateway that runs, or one request to a gateway's operator
//! routes.
//!
//! Exit codes: 0 done, 1 refused or a check failed, 2 wrong usage, 3 not reachable, 4 not found.

mod cli;
mod client;
mod commands;
mod config;
mod failure;
mod files;
mod log;
mod machine;
mod output;
mod panics;
mod wire;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cli::{Cli, Command, DemoArgs, ServeArgs, SettingArgs};
use commands::context::Context;
use config::{Config, Environment, Problems};
use failure::Failure;
use output::Out;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    panics::watch();
    let typed = match Cli::try_parse() {
        Ok(typed) => typed,
        Err(error) => return not_understood(&error),
    };
    let environment = Environment::of_process();
    let context = Context { out: Out::new(typed.is_for_programs(), &environment), data: typed.data, environment };
    match run(typed.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if context.out.json && !matches!(failure, Failure::Said) {
                eprintln!("{}", failure.to_json());
            } else if !matches!(failure, Failure::Said) {
                eprintln!("turnpike: {failure}");
            }
            failure.exit_code()
        }
    }
}

/// What was typed is no command, or asks for help. A program hears it in the form of every other failure.
fn not_understood(error: &clap::Error) -> ExitCode {
    if error.exit_code() != 0 && cli::asks_for_json(std::env::args_os().skip(1)) {
        let failure = Failure::Usage(cli::sentence(error));
        eprintln!("{}", failure.to_json());
        return failure.exit_code();
    }
    error.exit()
}

fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve(&args, context),
        Command::Demo(args) => demo(&args, context),
        Command::Simulator(args) => turnpike_simulator::command::blocking_main(args).map_err(|error| ended(&error.into())),
        Command::Org(args) => commands::org::run(&args, context),
        Command::App(args) => commands::app::run(&args, context),
        Command::Key(args) => commands::key::run(&args, context),
        Command::Wallet(args) => commands::wallet::run(&args, context),
        Command::Rates(args) => commands::rates::run(&args, context),
        Command::Ledger(args) => commands::ledger::run(&args, context),
        Command::Message(args) => commands::message::run(&args, context),
        Command::Template(args) => commands::template::run(&args, context),
        Command::User(args) => commands::user::run(&args, context),
        Command::Webhook(args) => commands::webhook::run(&args, context),
        Command::Quarantine(args) => commands::quarantine::run(&args, context),
        Command::Listen(args) => commands::listen::run(&args, context),
        Command::Send(args) => commands::send::run(&args, context),
        Command::Sim(args) => commands::sim::run(&args, context),
        Command::Doctor(args) => commands::doctor::run(&args, context),
        Command::Backup(args) => commands::backup::run(&args, context),
        Command::Restore(args) => commands::backup::restore(&args, context),
        Command::Config(args) => commands::config::run(&args, context),
        Command::Completions(args) => {
            clap_complete::generate(args.shell, &mut Cli::command(), "turnpike", &mut std::io::stdout().lock());
            Ok(())
        }
    }
}

fn serve(args: &ServeArgs, context: &Context) -> Result<(), Failure> {
    let mut config = config::load(context.data.as_deref(), &args.settings, &context.environment).map_err(|problems| unusable(&problems))?;
    log::begin(&config.log);
    config.warnings.extend(files::allow(config.server.connections));
    #[cfg(feature = "planted-bugs")]
    if let Some(name) = context.environment.get("TURNPIKE_PLANTED_BUG") {
        assert!(turnpike_store::planted::plant(name), "there is no bug named {name}");
    }
    until_stopped(&config, commands::serve::run(&config, args.adopt_demo, context.out.json))
}

fn demo(args: &DemoArgs, context: &Context) -> Result<(), Failure> {
    let flags = SettingArgs { listen: Some(args.listen.to_string()), ..SettingArgs::default() };
    let mut config = config::load(Some(&args.data), &flags, &context.environment).map_err(|problems| unusable(&problems))?;
    log::begin(&config.log);
    config.warnings.extend(files::allow(config.server.connections));
    until_stopped(&config, commands::demo::run(args, &config))
}

fn until_stopped(config: &Config, work: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failure> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers);
    }
    let runtime = runtime.enable_all().build().map_err(|error| ended(&error.into()))?;
    runtime.block_on(work).map_err(|error| ended(&error))
}

fn unusable(problems: &Problems) -> Failure {
    Failure::Usage(problems.to_string())
}

fn ended(error: &anyhow::Error) -> Failure {
    Failure::Refused(format!("{error:#}"))
}
