//! Where readings come from: one file for each kind of meter.

pub mod csv;
pub mod p1;
pub mod simulated;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use protocol::meter::Stands;
use protocol::slot::{Grid, Slot, Timestamp};
use serde::Deserialize;
use thiserror::Error;

use self::csv::{BadRow, Csv, CsvConfig, CsvError};
use self::p1::{LeftOut, P1, P1Config, P1Error};
use self::simulated::{Simulated, SimulatedConfig};

pub use protocol::meter::Quantities;

/// Which meter to read, chosen by the key `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceConfig {
    /// An invented household.
    Simulated(SimulatedConfig),
    /// A file of recorded homes.
    Csv(CsvConfig),
    /// The P1 port of a meter.
    P1(P1Config),
}

/// A meter that answers for one slot after the other.
pub enum Source {
    /// An invented household.
    Simulated(Simulated),
    /// A home out of a file.
    Csv(Csv),
    /// The P1 port of a meter.
    P1(Box<P1>),
}

/// What a source says of a slot that has ended.
pub enum Answer {
    /// What the meter counted. A register that it does not have is absent.
    Ready(Quantities),
    /// The meter has not told yet; ask again then, or when it tells something.
    Pending(Timestamp),
}

/// Why a source cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A configured number that its key does not allow.
    #[error("{key} = {value} is out of range: {least} to {most} are accepted")]
    OutOfRange {
        /// The key in the source's table.
        key: &'static str,
        /// The number given.
        value: u64,
        /// The least number accepted.
        least: u64,
        /// The greatest number accepted.
        most: u64,
    },
    /// The file of homes is of no use.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// The P1 port is of no use.
    #[error(transparent)]
    P1(#[from] P1Error),
    /// There is no randomness for the pauses between attempts.
    #[error("{0:#}")]
    Randomness(anyhow::Error),
}

/// Why there is no reading of a slot. None of these says what the reading is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// The source holds no later slots either.
    #[error("{} ended: it holds {slots} slots", file.display())]
    Ended {
        /// The file that ended.
        file: PathBuf,
        /// How many slots it holds.
        slots: u64,
    },
    /// The file has a row for the slot, but no reading in it.
    #[error(transparent)]
    BadRow(#[from] BadRow),
    /// The meter did not tell enough about the slot.
    #[error(transparent)]
    LeftOut(#[from] LeftOut),
}

impl Source {
    /// Opens the source that `config` describes, for slots of `slot_seconds`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &SourceConfig, slot_seconds: NonZeroU32) -> Result<Self, OpenError> {
        Ok(match config {
            SourceConfig::Simulated(config) => {
                Self::Simulated(Simulated::open(config, slot_seconds)?)
            }
            SourceConfig::Csv(config) => Self::Csv(Csv::open(config)?),
            SourceConfig::P1(config) => {
                let rng = host::clock::generator().map_err(OpenError::Randomness)?;
                Self::P1(Box::new(P1::open(config, slot_seconds, rng, host::clock::now)?))
            }
        })
    }

    /// What the meter counted in `slot`, which has ended.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&mut self, grid: &Grid, slot: Slot, now: Timestamp) -> Result<Answer, ReadError> {
        // No slot of an epoch comes before its first.
        let index = slot.since(grid.origin).unwrap_or_default();
        Ok(match self {
            Self::Simulated(home) => Answer::Ready(home.read(slot)),
            Self::Csv(home) => Answer::Ready(home.read(index)?),
            Self::P1(port) => match port.read(grid, slot, now) {
                p1::Answer::Ready(quantities) => Answer::Ready(quantities),
                p1::Answer::Pending(until) => Answer::Pending(until),
                p1::Answer::LeftOut(reason) => return Err(reason.into()),
            },
        })
    }

    /// What cumulative registers showed at a boundary of slots, where there are
    /// any and they have told.
    #[must_use]
    pub fn stands(&self, boundary: Timestamp) -> Option<Stands> {
        match self {
            Self::P1(port) => port.stands(boundary),
            Self::Simulated(_) | Self::Csv(_) => None,
        }
    }

    /// Waits for the meter to tell something. A source that is only asked
    /// never does.
    pub async fn arrival(&mut self) {
        match self {
            Self::P1(port) => port.arrival().await,
            Self::Simulated(_) | Self::Csv(_) => std::future::pending().await,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match self {
            Self::P1(port) => port.poll_timeout(),
            Self::Simulated(_) | Self::Csv(_) => None,
        }
    }

    /// Notices that the meter is silent.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if let Self::P1(port) = self {
            port.handle_timeout(now);
        }
    }

    /// Whether the meter has told nothing for long.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        match self {
            Self::P1(port) => port.is_silent(),
            Self::Simulated(_) | Self::Csv(_) => false,
        }
    }

    /// How often what happened, for the reports of state.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        match self {
            Self::Simulated(_) => BTreeMap::new(),
            Self::Csv(home) => BTreeMap::from([("cells-rounded".to_owned(), home.rounded())]),
            Self::P1(port) => port.counters(),
        }
    }

    /// What to write beside every number that comes from this source.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Simulated(_) => "simulated",
            Self::Csv(_) => "replayed from a file",
            Self::P1(port) => port.label(),
        }
    }

    /// Whether the readings are invented.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated(_))
    }
}

/// Refuses a number that the key `key` does not allow.
fn in_range(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), OpenError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(OpenError::OutOfRange { key, value, least, most })
    }
}

/// A file of the real data that stand beside the workspace or where
/// `HUSHGRID_DATA` says. Where they are missing, `test` is reported as
/// skipped; with `CI=true` it fails instead.
#[cfg(test)]
fn real_data(test: &str, file: &str) -> Option<PathBuf> {
    use std::io::Write as _;

    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").into();
    let path = std::env::var_os("HUSHGRID_DATA").unwrap_or_else(beside);
    let path = PathBuf::from(path).join(file);
    if path.exists() {
        return Some(path);
    }
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "{test} needs {}", path.display());
    // Written directly, since the harness swallows what a passing test prints.
    writeln!(std::io::stderr(), "SKIPPED {test}: no {}", path.display()).ok();
    None
}

#[cfg(test)]
mod tests {
    use protocol::reading::Register;

    use super::*;

    fn config(json: &str) -> Result<SourceConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    fn open(json: &str, slot_seconds: u32) -> Result<Source, OpenError> {
        Source::open(&config(json).unwrap(), NonZeroU32::new(slot_seconds).unwrap())
    }

    #[test]
    fn a_kind_and_its_few_needs_make_a_source() {
        assert!(config(r#"{"kind": "simulated", "seed": 7}"#).is_ok());
        let by_place = config(r#"{"kind": "csv", "file": "homes.csv", "home": 0}"#).unwrap();
        let by_name =
            config(r#"{"kind": "csv", "file": "homes.csv", "home": "0", "unit": "wh"}"#).unwrap();
        assert_ne!(by_place, by_name);
    }

    #[test]
    fn a_key_that_nobody_reads_is_refused() {
        for json in [
            r#"{"kind": "simulated", "seed": 7, "sead": 8}"#,
            r#"{"kind": "csv", "file": "homes.csv", "home": 0, "seed": 7}"#,
            r#"{"kind": "gas"}"#,
            r#"{"seed": 7}"#,
        ] {
            assert!(config(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_number_out_of_range_is_named_with_its_range() {
        let json = r#"{"kind": "simulated", "seed": 7, "speedup": 0}"#;
        let refused = open(json, 900).err().unwrap().to_string();
        assert_eq!(refused, "speedup = 0 is out of range: 1 to 96 are accepted");
        let json = r#"{"kind": "simulated", "seed": 7, "solar_peak_w": 20001}"#;
        let refused = open(json, 900).err().unwrap().to_string();
        assert_eq!(refused, "solar_peak_w = 20001 is out of range: 0 to 20000 are accepted");
    }

    #[test]
    fn an_invented_home_says_so() {
        let source = open(r#"{"kind": "simulated", "seed": 7}"#, 900).unwrap();
        assert!(source.is_simulated());
        assert_eq!(source.label(), "simulated");
    }

    #[test]
    fn a_file_is_read_from_the_first_slot_of_the_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homes.csv");
        std::fs::write(&file, "slot,a\n0,0.001\n1,0.002\n").unwrap();
        let json = serde_json::json!({"kind": "csv", "file": file, "home": "a"}).to_string();
        let mut source = open(&json, 900).unwrap();
        assert!(!source.is_simulated());
        let slot_seconds = NonZeroU32::new(900).unwrap();
        let grid = Grid { slot_seconds, window_slots: slot_seconds, origin: Slot(1_970_000) };
        let second = source.read(&grid, Slot(1_970_001), Timestamp(0)).unwrap();
        assert!(matches!(second, Answer::Ready(read) if read == [(Register::Import, 2)].into()));
    }
}
