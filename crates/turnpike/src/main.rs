//! The program: what was typed becomes a gateway that runs, or one request to a gateway's operator
//! routes.

mod cli;
mod commands;
mod config;
mod log;
mod machine;
mod wire;

use clap::Parser as _;
use cli::{Cli, Command, SettingArgs};

fn main() -> std::process::ExitCode {
    let typed = Cli::parse();
    let environment = config::Environment::of_process();
    let done = match typed.command {
        Command::Serve(args) => match config::load(typed.data.as_deref(), &args.settings, &environment) {
            Ok(config) => {
                log::begin(&config.log);
                run(config.workers, commands::serve::run(&config, args.adopt_demo))
            }
            Err(problems) => {
                eprintln!("{problems}");
                return std::process::ExitCode::from(2);
            }
        },
        Command::Demo(args) => {
            let flags = SettingArgs { listen: Some(args.listen.to_string()), ..SettingArgs::default() };
            match config::load(Some(&args.data), &flags, &environment) {
                Ok(config) => {
                    log::begin(&config.log);
                    run(config.workers, commands::demo::run(&args, &config))
                }
                Err(problems) => {
                    eprintln!("{problems}");
                    return std::process::ExitCode::from(2);
                }
            }
        }
        Command::Simulator(args) => turnpike_simulator::command::blocking_main(args).map_err(anyhow::Error::from),
        Command::Config(_) | Command::Completions(_) => Ok(()),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("turnpike: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(workers: Option<usize>, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        runtime.worker_threads(workers);
    }
    runtime.enable_all().build()?.block_on(work)
}
