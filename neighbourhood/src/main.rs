//! Entry point of `neighbourhood`.

use std::process::ExitCode;

use clap::Parser as _;
use neighbourhood::args::Cli;

fn main() -> anyhow::Result<ExitCode> {
    Cli::parse().execute()
}
