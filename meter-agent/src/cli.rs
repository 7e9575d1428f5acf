//! The command line of `meter-agent`.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use host::shutdown::Shutdown;
use tokio::runtime::Builder;

use crate::config::Config;

/// Reports a meter's energy, encrypted, and helps to open sums of many.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs until SIGTERM or SIGINT.
    Run(ConfigFile),
    /// Prints this meter's identity key, as the collector's configuration
    /// takes it. Draws the key if there is none yet.
    Id(ConfigFile),
}

/// Where the configuration is.
#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "/etc/hushgrid/meter-agent.toml")]
    config: PathBuf,
}

impl Cli {
    /// Does what the command line asks for.
    ///
    /// # Errors
    /// What went wrong, for a person.
    pub fn execute(self) -> anyhow::Result<()> {
        host::log::start();
        match self.command {
            Command::Run(file) => run(&file.config),
            Command::Id(file) => print_id(&file.config),
        }
    }
}

/// Runs the agent of a configuration file until SIGTERM or SIGINT.
///
/// # Errors
/// What went wrong, for a person.
pub fn run(config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { crate::run(config, Shutdown::new()?.requested()).await })
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn print_id(config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let identity = config.identity(&mut host::clock::generator()?)?;
    println!("{{ id = \"{}\", key = \"{}\" }},", config.meter, identity.key());
    Ok(())
}
