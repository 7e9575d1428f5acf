//! Entry point of `collector`.

use std::process::ExitCode;

use clap::Parser as _;
use collector::cli::Cli;

fn main() -> ExitCode {
    host::log::exit_code(Cli::parse().execute())
}
