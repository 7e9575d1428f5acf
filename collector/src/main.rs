//! Entry point of `collector`.

use clap::Parser as _;
use collector::cli::Cli;

fn main() -> anyhow::Result<()> {
    Cli::parse().execute()
}
