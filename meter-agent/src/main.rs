//! Entry point of `meter-agent`.

use clap::Parser as _;
use meter_agent::cli::Cli;

fn main() -> anyhow::Result<()> {
    Cli::parse().execute()
}
