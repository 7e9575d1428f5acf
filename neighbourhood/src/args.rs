//! The command line of `neighbourhood`.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::chaos::{self, ChaosOptions};
use crate::demonstration;
use crate::floors::WINDOW_SLOTS;

/// Runs a whole neighbourhood on this machine: broker, collector and agents,
/// each a process of its own, over real MQTT. Shows every sum beside the truth
/// that only the demonstration knows.
///
/// The exit status is 0 if no result is wrong or missing. Ctrl-C ends the run
/// early with a summary; missing is then only what was given up before.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to demonstrate.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many meters, 3 to 200. Every holder checks every contribution, so
    /// the work grows with the square: 50 meters suit slots of 5 s on two
    /// cores, 200 meters slots of 10 s.
    #[arg(long, value_name = "N", default_value_t = 12,
          value_parser = clap::value_parser!(u16).range(3..=200))]
    pub meters: u16,
    /// How many slots have to be summed, 1 to 10000. Ten make a billing
    /// window; slots beyond the last full window are not billed.
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub slots: u32,
    /// Length of a slot in seconds, 1 to 900. Simulated meters put a quarter
    /// of an hour's energy into each.
    #[arg(long, value_name = "S", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=900))]
    pub slot_seconds: u32,
    /// Over how many epochs the slots are spread, 1 to 100. Each has whole
    /// windows, and the ceremony of the next one runs while the present one
    /// serves. Not with --csv: a file is read from the first slot of an epoch.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub epochs: u32,
    /// Up to so many agents at a time are killed at random moments and brought
    /// back within two windows, again and again, as long as those that are
    /// left can open every region sum. A meter that was killed may miss to
    /// claim its own sum in time.
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u16).range(0..=66))]
    pub kill: u16,
    /// The seed of who is killed, when, and for how long.
    #[arg(long, value_name = "S", default_value_t = 1, requires = "kill")]
    pub kill_seed: u64,
    /// At the end, verifies the transcript of every result, and that none
    /// verifies with a byte flipped: every byte of one region's and of one
    /// window's transcript, 100 random ones of each other.
    #[arg(long)]
    pub transcripts: bool,
    /// Recorded homes in place of simulated ones: a CSV file, plain or gzip,
    /// with one row for each slot and one column of kWh for each home.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// The last meter is a real one: a capture of its P1 port, whose telegrams
    /// its agent receives over TCP, one a second. The others are simulated.
    /// The summary compares the meter's opened sums with its register. When
    /// the capture ends before the run, the meter is left out from there on.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "kill"])]
    pub p1: Option<PathBuf>,
    /// One JSON object on each line of standard output, and nothing else
    /// there.
    #[arg(long)]
    pub json: bool,
}

impl Options {
    /// How many windows each epoch has. A run of one epoch has as many again as
    /// its slots need, so that no ceremony follows while it lasts.
    ///
    /// # Errors
    /// Where the slots do not spread over so many epochs.
    pub(crate) fn epoch_windows(&self) -> anyhow::Result<u32> {
        if self.epochs == 1 {
            return Ok(2 * (self.slots / WINDOW_SLOTS + 1));
        }
        if self.csv.is_some() {
            bail!("--epochs {}: a file of recorded homes serves one epoch", self.epochs);
        }
        let windows = self.slots.div_ceil(WINDOW_SLOTS);
        let each = windows.div_ceil(self.epochs);
        if each * (self.epochs - 1) >= windows {
            bail!(
                "--epochs {}: {windows} windows of {WINDOW_SLOTS} slots do not spread over so many",
                self.epochs
            );
        }
        Ok(each)
    }
}

/// Another run than the demonstration, or a party of the neighbourhood in a
/// process of its own.
#[derive(Debug, Subcommand)]
enum Command {
    Chaos(ChaosOptions),
    /// One meter's agent.
    #[command(hide = true)]
    Agent(PartyArgs),
    /// The collector with its broker.
    #[command(hide = true)]
    Collector(PartyArgs),
    /// Debian's mosquitto.
    #[command(hide = true)]
    Mosquitto(PartyArgs),
}

#[derive(Args, Debug)]
struct PartyArgs {
    /// The party's configuration file.
    #[arg(long)]
    config: PathBuf,
    /// The process that the party must not outlive.
    #[arg(long)]
    parent: i32,
}

impl Cli {
    /// Does what the command line asks for.
    ///
    /// # Errors
    /// What went wrong, for a person.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            None => demonstration::run(&self.options),
            Some(Command::Chaos(options)) => chaos::run(&options),
            Some(Command::Agent(party)) => party.run(meter_agent::cli::run),
            Some(Command::Collector(party)) => party.run(collector::cli::run),
            Some(Command::Mosquitto(party)) => party.become_mosquitto(),
        }
    }
}

impl PartyArgs {
    fn run(&self, daemon: fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
        die_with(self.parent)?;
        host::log::start();
        daemon(&self.config)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Another program takes this one's place and keeps its ties.
    fn become_mosquitto(&self) -> anyhow::Result<ExitCode> {
        die_with(self.parent)?;
        let error = process::Command::new("mosquitto").arg("-c").arg(&self.config).exec();
        Err(error).context("mosquitto")
    }
}

/// Ties this process to its parent, even to one that is killed.
fn die_with(parent: i32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("the parent's death signal")?;
    // The parent may have died before.
    if Pid::as_raw(getppid()) != parent {
        bail!("the demonstration that this party belongs to has ended");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn refusal(args: &[&str]) -> String {
        let args = std::iter::once("neighbourhood").chain(args.iter().copied());
        Cli::try_parse_from(args).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn by_default_twelve_meters_run_for_a_minute() {
        let options = Cli::try_parse_from(["neighbourhood"]).unwrap().options;
        assert_eq!((options.meters, options.slots, options.slot_seconds), (12, 20, 3));
    }

    #[test]
    fn a_number_out_of_range_is_refused_with_its_range() {
        assert!(refusal(&["--meters", "2"]).contains("3..=200"));
        assert!(refusal(&["--slots", "0"]).contains("1..=10000"));
        assert!(refusal(&["--slot-seconds", "901"]).contains("1..=900"));
    }

    fn epoch_windows(args: &[&str]) -> anyhow::Result<u32> {
        let args = std::iter::once("neighbourhood").chain(args.iter().copied());
        Cli::try_parse_from(args).unwrap().options.epoch_windows()
    }

    #[test]
    fn slots_are_spread_over_epochs_of_whole_windows() {
        let windows = |slots, epochs| epoch_windows(&["--slots", slots, "--epochs", epochs]).ok();
        assert_eq!(
            [windows("60", "3"), windows("20", "2"), windows("12", "2")],
            [2, 1, 1].map(Some)
        );
        assert_eq!([windows("10", "2"), windows("50", "4")], [None, None]);
        // Twice what is needed.
        assert_eq!(windows("20", "1"), Some(6));
    }

    #[test]
    fn recorded_homes_serve_one_epoch() {
        assert!(epoch_windows(&["--csv", "homes.csv"]).is_ok());
        assert!(epoch_windows(&["--csv", "homes.csv", "--epochs", "2"]).is_err());
    }

    #[test]
    fn a_capture_goes_with_simulated_homes_alone() {
        let refused = refusal(&["--p1", "capture.txt", "--csv", "homes.csv"]);
        assert!(refused.contains("cannot be used with"), "{refused}");
        let refused = refusal(&["--p1", "capture.txt", "--kill", "1"]);
        assert!(refused.contains("cannot be used with"), "{refused}");
    }

    #[test]
    fn the_parties_are_no_part_of_the_help() {
        let help = Cli::command().render_long_help().to_string();
        assert!(!help.contains("agent's") && help.contains("--meters"), "{help}");
    }
}
