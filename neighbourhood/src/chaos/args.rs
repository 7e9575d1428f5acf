//! The command line of `neighbourhood chaos`.

use std::time::Duration;

use clap::Args;

/// Kills, freezes and cuts off the parties of a neighbourhood at random, and
/// checks at the end that nothing is lost and nothing counted twice.
///
/// The exit status is 0 if every sum is right, every receipt kept, all energy
/// accounted for, and everything complete within a bound after the last fault.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChaosOptions {
    /// How many minutes faults happen at most, 1 to 600.
    #[arg(long, value_name = "M", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(super) minutes: u32,
    /// The same in seconds, 5 to 36000, in place of minutes.
    #[arg(long, value_name = "S", conflicts_with = "minutes",
          value_parser = clap::value_parser!(u32).range(5..=36_000))]
    pub(super) seconds: Option<u32>,
    /// The seed of all faults; drawn and printed unless given.
    #[arg(long, value_name = "S")]
    pub(super) seed: Option<u64>,
    /// Debian's mosquitto as the broker, which is then killed and frozen as
    /// well. Without it the collector's embedded one serves, and dies with it.
    #[arg(long)]
    pub(super) mosquitto: bool,
    /// Ends early, once every process was killed so many times.
    #[arg(long, value_name = "N")]
    pub(super) kills: Option<u64>,
    /// How many meters, 8 to 50.
    #[arg(long, value_name = "N", default_value_t = 12,
          value_parser = clap::value_parser!(u16).range(8..=50))]
    pub(super) meters: u16,
    /// Length of a slot in seconds, 1 to 60.
    #[arg(long, value_name = "S", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(super) slot_seconds: u32,
    /// Seconds after its grace in which a sum may be opened, 20 to 600. It has
    /// to be longer than anybody is away.
    #[arg(long, value_name = "S", default_value_t = 90,
          value_parser = clap::value_parser!(u32).range(20..=600))]
    pub(super) deadline_s: u32,
    /// One JSON object with the summary on standard output, and nothing else
    /// there.
    #[arg(long)]
    pub(super) json: bool,
}

impl ChaosOptions {
    /// How long faults happen at most.
    pub(super) fn span(&self) -> Duration {
        match self.seconds {
            Some(seconds) => Duration::from_secs(seconds.into()),
            None => Duration::from_mins(self.minutes.into()),
        }
    }
}
