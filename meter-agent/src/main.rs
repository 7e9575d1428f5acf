//! Entry point of `meter-agent`.

use std::process::ExitCode;

use clap::Parser as _;
use meter_agent::cli::Cli;

fn main() -> ExitCode {
    host::log::exit_code(Cli::parse().execute())
}
