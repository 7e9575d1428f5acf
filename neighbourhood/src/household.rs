//! The parties' folders: identities and configurations, as an installation
//! would have them.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use host::clock;
use meter_agent::source::{Source, SourceConfig};
use protocol::id::{MeterId, RegionId};
use protocol::identity::IdentityKey;
use serde::Serialize;

use crate::args::Options;
use crate::floors::{Lowered, WINDOW_SLOTS};

/// The region's name.
const REGION: &str = "demo";
/// The repository's own settings of the broker.
const BROKER: &str = include_str!("../../broker.toml");
/// What a slot of a simulated meter stands for, in seconds.
const SIMULATED_SLOT_S: u32 = 900;
/// Every third simulated home has a solar plant of this power.
const SOLAR_PEAK_W: u32 = 4_000;

/// Everything that is written before a party starts.
pub(crate) struct Households {
    pub(crate) region: RegionId,
    pub(crate) registrar: IdentityKey,
    pub(crate) collector: PathBuf,
    pub(crate) agents: Vec<Agent>,
    collector_config: CollectorConfig,
}

/// One meter with the configuration of its agent.
pub(crate) struct Agent {
    pub(crate) meter: MeterId,
    pub(crate) config: PathBuf,
    pub(crate) source: SourceConfig,
}

#[derive(Serialize)]
struct CollectorConfig {
    state_dir: PathBuf,
    broker: CollectorBroker,
    region: Vec<Region>,
}

#[derive(Serialize)]
struct CollectorBroker {
    config: PathBuf,
    port: u16,
}

#[derive(Serialize)]
struct Region {
    name: RegionId,
    slot_seconds: u32,
    window_slots: u32,
    epoch_windows: u32,
    grace_s: u32,
    deadline_s: u32,
    min_contributors: u16,
    min_slots: u16,
    members: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    id: MeterId,
    key: String,
}

#[derive(Serialize)]
struct AgentConfig<'a> {
    region: &'a RegionId,
    meter: &'a MeterId,
    registrar: String,
    state_dir: PathBuf,
    broker: AgentBroker,
    floors: Floors,
    source: SourceTable,
}

#[derive(Serialize)]
struct AgentBroker {
    url: String,
}

#[derive(Serialize)]
struct Floors {
    min_contributors: u16,
    min_slots: u16,
    slot_seconds: u32,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum SourceTable {
    Simulated { seed: u64, solar_peak_w: u32, speedup: u32 },
    Csv { file: PathBuf, home: usize },
}

impl Households {
    /// Draws the identities of collector and registrar, and prepares the
    /// region, all within `dir`.
    pub(crate) fn found(dir: &Path, options: &Options, lowered: &Lowered) -> anyhow::Result<Self> {
        let region: RegionId = REGION.parse()?;
        let broker = dir.join("broker.toml");
        fs::write(&broker, BROKER)?;
        let state_dir = dir.join("collector");
        let collector_config = CollectorConfig {
            state_dir,
            broker: CollectorBroker { config: broker, port: 0 },
            region: vec![Region {
                name: region.clone(),
                slot_seconds: options.slot_seconds,
                window_slots: WINDOW_SLOTS,
                // The last slots need not be a whole window.
                epoch_windows: options.slots / WINDOW_SLOTS + 1,
                grace_s: lowered.grace_s(),
                deadline_s: lowered.deadline_s(),
                min_contributors: lowered.min_contributors,
                min_slots: lowered.min_slots,
                members: Vec::new(),
            }],
        };
        let registrar = registrar(&collector_config)?;
        let collector = dir.join("collector.toml");
        let agents = Vec::new();
        Ok(Self { region, registrar, collector, agents, collector_config })
    }

    /// Writes the configuration of the collector, and of its broker's port.
    pub(crate) fn write_collector(&mut self, port: u16) -> anyhow::Result<()> {
        self.collector_config.broker.port = port;
        write(&self.collector, &self.collector_config)
    }

    /// Draws the identity of every meter and makes it a member.
    pub(crate) fn settle(&mut self, dir: &Path, plan: (&Options, &Lowered)) -> anyhow::Result<()> {
        for place in 0..plan.0.meters {
            let (agent, key) = self.household(dir, place, plan)?;
            let member = Member { id: agent.meter.clone(), key: key.to_string() };
            self.collector_config.region.iter_mut().for_each(|region| {
                region.members.push(Member { id: member.id.clone(), key: member.key.clone() });
            });
            self.agents.push(agent);
        }
        Ok(())
    }
}
