//! The command line of `meter-agent`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use host::shutdown::Shutdown;
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::evidence::Show;
use crate::probe::Probe;
use crate::read::Read;
use crate::sent::Sent;
use crate::status::ShowStatus;

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
    /// Looks for a P1 meter on the serial ports, and prints the configuration
    /// for it. Shows no reading.
    Probe(Probe),
    /// Shows the live readings of this household, here and nowhere else. Needs
    /// no broker; a serial port must not be held by a running agent.
    Read {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        read: Read,
    },
    /// Shows what this household has sent and helped to open, as far as its
    /// deadline has not passed. Shows no reading.
    Sent {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        sent: Sent,
    },
    /// Shows what has become of this household's energy: how much of it is
    /// billed, withheld, or waits to be carried, and why. Shows energy in Wh,
    /// here and nowhere else.
    Status {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        show: ShowStatus,
    },
    /// Shows what this meter holds against others: pairs of signed messages
    /// that exclude each other.
    Evidence {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        show: Show,
    },
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
            Command::Probe(wanted) => probe(&wanted),
            Command::Read { file, read } => show(&read, &file.config),
            Command::Sent { file, sent } => {
                sent.run(&Config::load(&file.config)?, &mut io::stdout())
            }
            Command::Status { file, show } => {
                show.run(&Config::load(&file.config)?, &mut io::stdout())
            }
            Command::Evidence { file, show } => {
                show.run(&Config::load(&file.config)?, &mut io::stdout())
            }
        }
    }
}

/// Runs the agent of a configuration file until SIGTERM or SIGINT.
///
/// # Errors
/// What went wrong, for a person.
pub fn run(config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    runtime()?.block_on(async { crate::run(config, Shutdown::new()?.requested()).await })
}

fn probe(wanted: &Probe) -> anyhow::Result<()> {
    let watched = io::stderr().is_terminal();
    runtime()?.block_on(async {
        let stop = Shutdown::new()?.requested();
        wanted.run(Path::new("/dev"), &mut io::stdout(), watched, stop).await
    })
}

fn show(read: &Read, config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    runtime()?.block_on(async {
        read.run(&config, &mut io::stdout(), Shutdown::new()?.requested()).await
    })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn print_id(config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let identity = config.identity(&mut host::clock::generator()?)?;
    println!("{{ id = \"{}\", key = \"{}\" }},", config.meter, identity.key());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_can_be_called() {
        Cli::command().debug_assert();
        for line in [
            "run",
            "id",
            "probe --tcp a:1 --json",
            "read --json --seconds 5",
            "sent --json",
            "status --json",
            "evidence --json --export a",
        ] {
            let args = ["meter-agent"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(args).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_probe_of_two_lines_or_of_no_time_is_refused() {
        let both = ["meter-agent", "probe", "--tcp", "a:1", "--device", "b"];
        let error = Cli::try_parse_from(both).unwrap_err().to_string();
        assert!(error.contains("cannot be used with"), "{error}");
        let never = ["meter-agent", "probe", "--seconds", "0"];
        assert!(Cli::try_parse_from(never).unwrap_err().to_string().contains("1..=3600"));
    }
}
