//! `collector epoch`: which epochs a region has, and the next one on demand.
//!
//! The command speaks to a running collector by a file in its folder: a copy
//! of the configuration, whose region is what the next epoch is to be.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use aggregation::ElGamal;
use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use host::clock;
use host::keystore::Keystore;
use host::store::{Sqlite, Store as _};
use protocol::collector::unproven::{self, Kept};
use protocol::id::{Epoch, MeterId};
use protocol::identity::IdentityKey;
use protocol::keygen::Standing;
use protocol::parameters::Threshold;
use protocol::record::{Records, Sort};
use protocol::roster::AcceptedRoster;
use serde::Serialize;

use crate::config::{Config, RegionConfig};
use crate::region::database;

/// What to do about epochs.
#[derive(Debug, Subcommand)]
pub enum EpochCommand {
    /// Asks the running collector for the next epoch, with members and
    /// parameters as the configuration has them now. Its ceremony runs while
    /// the present epoch serves; it begins at the end of a window.
    Next(Wanted),
    /// Shows a region's epochs, and how far the ceremony of the next one is.
    Show {
        /// Of which regions.
        #[command(flatten)]
        wanted: Wanted,
        /// One JSON object for each region.
        #[arg(long)]
        json: bool,
    },
}

/// Which regions.
#[derive(Args, Clone, Debug)]
pub struct Wanted {
    /// The configuration file.
    #[arg(long, default_value = "/etc/hushgrid/collector.toml")]
    pub config: PathBuf,
    /// The region; all of them unless given.
    #[arg(long)]
    pub region: Option<String>,
}

impl EpochCommand {
    /// Does what is asked for.
    ///
    /// # Errors
    /// What went wrong, for a person.
    pub fn execute(&self, output: &mut impl Write) -> anyhow::Result<()> {
        match self {
            Self::Next(wanted) => ask(wanted, output),
            Self::Show { wanted, json } => show(wanted, *json, output),
        }
    }
}

impl Wanted {
    pub(crate) fn regions<'a>(&self, config: &'a Config) -> anyhow::Result<Vec<&'a RegionConfig>> {
        let is_wanted = |region: &&RegionConfig| {
            self.region.as_ref().is_none_or(|name| region.name.as_str() == name)
        };
        let regions: Vec<_> = config.regions.iter().filter(is_wanted).collect();
        let names: Vec<_> = config.regions.iter().map(|region| region.name.as_str()).collect();
        ensure!(!regions.is_empty(), "--region: the configuration has {}", names.join(", "));
        Ok(regions)
    }
}

fn ask(wanted: &Wanted, output: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&wanted.config)?;
    let (keystore, text) = (config.keystore()?, std::fs::read(&wanted.config)?);
    for region in wanted.regions(&config)? {
        let open = epochs(&config, &records(&keystore, region)?, region)?;
        let next = open.last().map_or(1, |latest| latest.epoch.0 + 1);
        if let Some(latest) = open.last() {
            ensure!(
                latest.slot_seconds == region.slot_seconds.get::<u32>(),
                "region {}: slot_seconds = {}: a region keeps the length of its slots, {}",
                region.name,
                region.slot_seconds.get::<u32>(),
                latest.slot_seconds
            );
        }
        keystore.write(&request(region, Epoch(next)), &text)?;
        writeln!(
            output,
            "region {}: epoch {next} is asked for, with {} members. A running collector begins \
             its ceremony within a few seconds; `collector epoch show` says how far it is.",
            region.name,
            region.members.len()
        )?;
    }
    Ok(())
}

fn show(wanted: &Wanted, json: bool, output: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&wanted.config)?;
    let keystore = config.keystore()?;
    for region in wanted.regions(&config)? {
        let records = records(&keystore, region)?;
        let shown = shown(&config, &records, region)?;
        if json {
            writeln!(output, "{}", serde_json::to_string(&shown)?)?;
        } else {
            shown.write(output)?;
        }
    }
    Ok(())
}

/// A region's epochs, and its latest ceremony: how far it is, or whom it left
/// out.
fn shown<'a>(
    config: &Config,
    records: &Records,
    region: &'a RegionConfig,
) -> anyhow::Result<Shown<'a>> {
    let mut epochs = epochs(config, records, region)?;
    let mut ceremony = Standing::of(records);
    if let Some(latest) = epochs.last_mut()
        && let Some(over) = ceremony.take_if(|at| at.epoch <= latest.epoch)
        && over.epoch == latest.epoch
    {
        latest.left_out = over.left_out;
    }
    let unproven = unproven::of(records)?;
    Ok(Shown { region: region.name.as_str(), epochs, ceremony, unproven })
}

/// A region's epochs, for a person or a machine.
#[derive(Serialize)]
struct Shown<'a> {
    region: &'a str,
    epochs: Vec<ShownEpoch>,
    /// The ceremony that is not over.
    ceremony: Option<Standing>,
    /// Who has not proved what it was asked to, of each the latest time.
    unproven: BTreeMap<MeterId, Kept>,
}

#[derive(Serialize)]
struct ShownEpoch {
    epoch: Epoch,
    begins: String,
    ends: String,
    is_over: bool,
    members: usize,
    threshold: usize,
    needs_every_member: bool,
    min_contributors: u16,
    max_corrupted: u16,
    slot_seconds: u32,
    roster: String,
    /// Whom its ceremony went on without, and why; known of the latest epoch
    /// until the ceremony of the next one begins.
    left_out: BTreeMap<MeterId, String>,
}

impl Shown<'_> {
    fn write(&self, output: &mut impl Write) -> anyhow::Result<()> {
        if self.epochs.is_empty() && self.ceremony.is_none() {
            writeln!(output, "region {}: no epoch yet; is the collector running?", self.region)?;
        }
        for shown in &self.epochs {
            let ShownEpoch { epoch, begins, ends, members, threshold, .. } = shown;
            let over = if shown.is_over { ", over" } else { "" };
            writeln!(
                output,
                "region {}: epoch {epoch} from {begins} to {ends}{over}; {members} members, \
                 {threshold} of them open a sum; a sum has at least {} contributors, {} of \
                 whom may collude with the collector",
                self.region,
                usize::from(shown.min_contributors) + usize::from(shown.max_corrupted),
                shown.max_corrupted,
            )?;
            write_left_out(output, &shown.left_out)?;
        }
        if let Some(Standing { epoch, attempt, step, missing, left_out }) = &self.ceremony {
            writeln!(
                output,
                "region {}: the ceremony of epoch {epoch}, attempt {}, waits for the {step} of {} \
                 members{}",
                self.region,
                attempt + 1,
                missing.len(),
                listed(missing.iter().take(10)),
            )?;
            write_left_out(output, left_out)?;
        }
        for (meter, Kept { epoch, said, .. }) in &self.unproven {
            writeln!(
                output,
                "region {}: {meter} has not proved {} slots of {} of epoch {epoch}: {}",
                self.region,
                said.slots.len(),
                said.portion,
                said.why,
            )?;
        }
        Ok(())
    }
}

fn write_left_out(
    output: &mut impl Write,
    left_out: &BTreeMap<MeterId, String>,
) -> anyhow::Result<()> {
    for (meter, why) in left_out {
        writeln!(output, "  left out: {meter}: {why}")?;
    }
    Ok(())
}

fn listed<T: ToString>(names: impl Iterator<Item = T>) -> String {
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

fn records(keystore: &Keystore, region: &RegionConfig) -> anyhow::Result<Records> {
    if keystore.dir().join(database(&region.name)).exists() {
        Sqlite::open_to_read(keystore, &database(&region.name))?.load()
    } else {
        Ok(Records::default())
    }
}

fn epochs(
    config: &Config,
    records: &Records,
    region: &RegionConfig,
) -> anyhow::Result<Vec<ShownEpoch>> {
    let (_, registrar) = config.identities(&mut clock::generator()?)?;
    let read = |bytes| shown_epoch(bytes, region, &registrar.key());
    let mut epochs = records
        .of(Sort::Roster)
        .map(|(_, bytes)| read(bytes))
        .collect::<anyhow::Result<Vec<_>>>()?;
    // An epoch ends where the next one begins.
    let begins: Vec<_> = epochs.iter().skip(1).map(|next| next.begins.clone()).collect();
    for (epoch, next_begins) in epochs.iter_mut().zip(begins) {
        epoch.ends = next_begins.min(std::mem::take(&mut epoch.ends));
    }
    Ok(epochs)
}

fn shown_epoch(
    bytes: &[u8],
    region: &RegionConfig,
    registrar: &IdentityKey,
) -> anyhow::Result<ShownEpoch> {
    let roster = AcceptedRoster::<ElGamal>::open(bytes, &region.name, registrar)
        .with_context(|| format!("region {}", region.name))?;
    let (grid, body, parameters) = (roster.grid(), roster.body(), roster.parameters());
    let end = grid.start(body.end_slot);
    Ok(ShownEpoch {
        epoch: roster.epoch(),
        begins: clock::utc(grid.start(body.first_slot)),
        ends: clock::utc(end),
        is_over: end <= clock::now(),
        members: body.members.len(),
        threshold: parameters.threshold.of(body.members.len()),
        needs_every_member: parameters.threshold == Threshold::All,
        min_contributors: parameters.min_contributors,
        max_corrupted: parameters.max_corrupted,
        slot_seconds: parameters.slot_seconds.get(),
        roster: roster.digest().to_string(),
        left_out: BTreeMap::new(),
    })
}

/// The file that asks a running collector for an epoch.
fn request(region: &RegionConfig, epoch: Epoch) -> String {
    format!("next-{}-{epoch}.toml", region.name)
}

/// What a running collector was asked for.
pub(crate) struct Asked {
    keystore: Keystore,
    region: RegionConfig,
    /// The latest file that was looked at, whatever became of it, and the epoch
    /// that it asked for: the one after may be asked for in the same words.
    taken: Option<(Epoch, Vec<u8>)>,
    /// The epoch that comes next.
    next: Epoch,
}

impl Asked {
    pub(crate) fn of(keystore: Keystore, region: RegionConfig) -> Self {
        Self { keystore, region, taken: None, next: Epoch::default() }
    }

    /// What the region is to be in the epoch `next`, if that is asked for and
    /// was not before.
    ///
    /// # Errors
    /// Where the file is of no use.
    pub(crate) fn poll(&mut self, next: Epoch) -> anyhow::Result<Option<RegionConfig>> {
        let file = request(&self.region, next);
        let Some(text) = self.keystore.read(&file)? else { return Ok(None) };
        let asked = Some((next, text.to_vec()));
        if self.taken == asked {
            return Ok(None);
        }
        self.taken = asked;
        let path = self.keystore.dir().join(file);
        let config = Config::load(&path)?;
        let region = config.regions.into_iter().find(|region| region.name == self.region.name);
        match region {
            Some(region) => Ok(Some(region)),
            None => bail!("{} has no region {}", path.display(), self.region.name),
        }
    }

    /// Removes what asked for the epoch before `next`, which is open by now.
    ///
    /// # Errors
    /// Where the file cannot be removed.
    pub(crate) fn is_open_until(&mut self, next: Epoch) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.next, next) == next {
            return Ok(());
        }
        self.keystore.remove(&request(&self.region, Epoch(next.0.saturating_sub(1))))
    }
}
