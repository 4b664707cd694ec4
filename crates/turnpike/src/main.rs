//! The program: what was typed becomes a gateway that runs, or one request to a gateway's operator
//! routes.

mod cli;
mod config;

use clap::Parser as _;

fn main() {
    let typed = cli::Cli::parse();
    let _ = typed;
}
