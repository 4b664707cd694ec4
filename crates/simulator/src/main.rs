//! The simulator alone, for those who have no use for the gateway. The same as
//! `turnpike simulator`.

use std::process::ExitCode;

use clap::Parser;
use turnpike_simulator::command::{Args, blocking_main};

#[derive(Parser)]
#[command(name = "turnpike-simulator", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    match blocking_main(Cli::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = format!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                line.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("{line}");
            ExitCode::FAILURE
        }
    }
}
