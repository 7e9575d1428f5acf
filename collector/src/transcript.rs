//! `collector transcript`: which rounds anyone can verify, and what that takes,
//! in files.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use host::store::Sqlite;
use protocol::envelope::Envelope;
use protocol::id::Epoch;
use protocol::message::{Roster, Target};
use protocol::record::{Key, Part, Records, Sort};
use protocol::tariff::StepName;
use protocol::transcript;

use crate::config::{Config, RegionConfig};
use crate::epoch::Wanted;
use crate::region::database;
use crate::round::Round;

/// What to do about transcripts.
#[derive(Debug, Subcommand)]
pub enum TranscriptCommand {
    /// Lists the rounds whose transcripts are kept.
    List {
        /// Of which regions.
        #[command(flatten)]
        wanted: Wanted,
        /// One JSON object for each round.
        #[arg(long)]
        json: bool,
    },
    /// Writes the transcript of a round: of a slot, or of the bills of a
    /// window.
    Export(Export),
}

/// Which round, and where to.
#[derive(Args, Debug)]
pub struct Export {
    /// Of which region.
    #[command(flatten)]
    pub wanted: Wanted,
    /// The slot, by its number.
    #[arg(long, conflicts_with = "window", required_unless_present = "window")]
    pub slot: Option<u64>,
    /// The window of the bills, by its number in the epoch.
    #[arg(long)]
    pub window: Option<u64>,
    /// The tariff step of the bills, where there are several.
    #[arg(long, requires = "window")]
    pub step: Option<StepName>,
    /// The epoch; the latest with such a round unless given.
    #[arg(long)]
    pub epoch: Option<u32>,
    /// The file; standard output unless given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also writes the signed roster of the epoch to this file.
    #[arg(long, value_name = "FILE")]
    pub roster_out: Option<PathBuf>,
}

impl TranscriptCommand {
    /// Does what is asked for, also while the collector runs.
    ///
    /// # Errors
    /// What went wrong, for a person.
    pub fn execute(&self, output: &mut impl Write) -> anyhow::Result<()> {
        match self {
            Self::List { wanted, json } => list(wanted, *json, output),
            Self::Export(export) => export.execute(output),
        }
    }
}

fn list(wanted: &Wanted, as_json: bool, output: &mut impl Write) -> anyhow::Result<()> {
    let config: Config = host::config::load(&wanted.config)?;
    let mut found = 0_usize;
    for region in wanted.regions(&config)? {
        let is_end = |key: &Key| key.part() == Some(Part::End);
        let records = load(&config, region, |key| is_roster(key) || is_end(key))?;
        for (epoch, target) in transcript::combined(&records) {
            found += 1;
            let (_, roster) = roster_of(&records, epoch)?;
            let round = Round { region: &region.name, epoch, target, roster: &roster };
            if as_json {
                writeln!(output, "{}", serde_json::Value::from(round.fields()))?;
            } else {
                writeln!(output, "{round}")?;
            }
        }
    }
    if found == 0 && !as_json {
        writeln!(output, "no round yet")?;
    }
    Ok(())
}

impl Export {
    fn execute(&self, output: &mut impl Write) -> anyhow::Result<()> {
        let config: Config = host::config::load(&self.wanted.config)?;
        let regions = self.wanted.regions(&config)?;
        let [region] = regions[..] else { bail!("--region: the configuration has several") };
        let records = load(&config, region, |key| is_roster(key) || self.needs(key))?;
        let (epoch, target) = self.round(&records)?;
        let transcript = transcript::of(&records, epoch, target)?;
        let bytes = transcript.context("the round has no results on record")?.to_bytes();
        if let Some(path) = &self.roster_out {
            write_file(path, roster_of(&records, epoch)?.0)?;
        }
        match &self.out {
            Some(path) => write_file(path, &bytes),
            None => Ok(output.write_all(&bytes)?),
        }
    }

    /// Whether a record belongs to a round that may be meant.
    fn needs(&self, key: &Key) -> bool {
        let position = Some(key.position);
        match key.sort {
            Sort::SlotRound => self.slot == position,
            Sort::BillRound => self.window == position,
            Sort::Final => self.window >= position,
            _ => false,
        }
    }

    /// The round that is meant.
    fn round(&self, records: &Records) -> anyhow::Result<(Epoch, Target)> {
        let mut rounds = Vec::new();
        for (epoch, target) in transcript::combined(records) {
            let step = match target {
                Target::Region(_) => None,
                Target::Bill(portion) => {
                    let tariff = roster_of(records, epoch)?.1.parameters.tariff;
                    tariff.name(portion.step).cloned()
                }
            };
            let is_step = self.step.is_none() || self.step == step;
            if is_step && self.epoch.is_none_or(|wanted| wanted == epoch.0) {
                rounds.push((epoch, target));
            }
        }
        let latest = rounds.iter().map(|(epoch, _)| *epoch).max();
        rounds.retain(|(epoch, _)| Some(*epoch) == latest);
        ensure!(rounds.len() < 2, "--step: the window has bills of several tariff steps");
        rounds.pop().context("no transcript of such a round is kept: see `transcript list`")
    }
}

fn load(
    config: &Config,
    region: &RegionConfig,
    wanted: impl Fn(&Key) -> bool,
) -> anyhow::Result<Records> {
    Sqlite::open_to_read(&config.keystore()?, &database(&region.name))?.load_some(wanted)
}

fn is_roster(key: &Key) -> bool {
    matches!(key.sort, Sort::Roster | Sort::PastRoster)
}

/// The roster of an epoch, as it was signed and what it says.
fn roster_of(records: &Records, epoch: Epoch) -> anyhow::Result<(&[u8], Roster)> {
    let roster = records.get(&Key::roster(epoch)).or(records.get(&Key::past_roster(epoch)));
    let signed = roster.with_context(|| format!("the roster of epoch {epoch} is not kept"))?;
    Ok((signed, Envelope::parse(signed)?.peek()?))
}

fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}
