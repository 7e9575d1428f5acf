//! The command line of `collector`.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use host::shutdown::Shutdown;
use tokio::runtime::Builder;

use crate::backup::Backup;
use crate::backup::restore::Restore;
use crate::config::Config;
use crate::epoch::EpochCommand;
use crate::transcript::TranscriptCommand;
use crate::{decode, evidence, report, verify};

/// Collects encrypted readings and publishes sums, and nothing but sums.
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
    /// Prints the identity keys of collector and registrar. Draws them if
    /// there are none yet. Agents pin the registrar's.
    Id(ConfigFile),
    /// Shows the epochs of a region, or asks for the next one.
    #[command(subcommand)]
    Epoch(EpochCommand),
    /// Explains messages field by field: reads the lines of
    /// `mosquitto_sub -F '%t %x'` from standard input. Signatures are not
    /// checked.
    Decode {
        /// One JSON object for each message.
        #[arg(long)]
        json: bool,
    },
    /// Shows who signed two things that exclude each other, as the collector
    /// has kept it; checks such evidence offline.
    Evidence {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        options: evidence::Options,
    },
    /// Copies all that the collector needs to go on elsewhere, also while it
    /// runs: its keys, its databases and its configuration.
    Backup(Backup),
    /// Checks a backup and makes it the collector's state. The collector must
    /// not run.
    Restore(Restore),
    /// Reports the bills of each meter, register and tariff step, what of its
    /// slots is pooled, withheld or estimated, and whether the sum over meters
    /// is the sum over slots.
    Report(report::Options),
    /// Lists the rounds that anyone can verify, or writes what that takes.
    #[command(subcommand)]
    Transcript(TranscriptCommand),
    /// Finds the results of rounds again from their transcripts and the
    /// roster, offline and without a key or a configuration.
    Verify(verify::Options),
}

/// Where the configuration is.
#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "/etc/hushgrid/collector.toml")]
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
            Command::Id(file) => print_ids(&file.config),
            Command::Epoch(command) => command.execute(&mut std::io::stdout()),
            Command::Decode { json } => {
                decode::lines(std::io::stdin().lock(), std::io::stdout().lock(), json)
            }
            Command::Evidence { file, options } => show_evidence(&file.config, &options),
            Command::Backup(backup) => backup.execute(&mut std::io::stdout()),
            Command::Restore(restore) => restore.execute(&mut std::io::stdout()),
            Command::Report(options) => report::show(&options, &mut std::io::stdout().lock()),
            Command::Transcript(command) => command.execute(&mut std::io::stdout()),
            Command::Verify(options) => verify::verify(&options, std::io::stdout().lock()),
        }
    }
}

/// Runs the collector of a configuration file until SIGTERM or SIGINT.
///
/// # Errors
/// What went wrong, for a person.
pub fn run(config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { crate::run(config, Shutdown::new()?.requested()).await })
}

fn show_evidence(config: &Path, options: &evidence::Options) -> anyhow::Result<()> {
    let output = std::io::stdout().lock();
    match &options.check {
        Some(file) => evidence::check(file, options.json, output),
        None => evidence::show(&host::config::load(config)?, options, output),
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn print_ids(config: &Path) -> anyhow::Result<()> {
    // The members' keys are not known yet when this is first asked for.
    let config: Config = host::config::load(config)?;
    let mut rng = host::clock::generator()?;
    let (identity, registrar) = config.identities(&mut rng)?;
    println!("collector = \"{}\"", identity.key());
    println!("registrar = \"{}\"", registrar.key());
    Ok(())
}
