//! The configuration files of the daemons, as tables.

use std::path::PathBuf;

use protocol::id::{MeterId, RegionId};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct CollectorConfig<'a> {
    pub(super) state_dir: PathBuf,
    pub(super) broker: CollectorBroker,
    pub(super) health: Health,
    pub(super) region: Vec<Region<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum CollectorBroker {
    Embedded { config: PathBuf, port: u16 },
    Other { url: String },
}

#[derive(Serialize)]
pub(super) struct Region<'a> {
    pub(super) name: &'a RegionId,
    pub(super) slot_seconds: u32,
    pub(super) window_slots: u32,
    pub(super) epoch_windows: u32,
    pub(super) patience_s: u32,
    pub(super) grace_s: u32,
    pub(super) deadline_s: u32,
    pub(super) min_contributors: u16,
    pub(super) min_slots: u16,
    pub(super) members: Vec<Member<'a>>,
}

#[derive(Serialize)]
pub(super) struct Member<'a> {
    pub(super) id: &'a MeterId,
    pub(super) key: String,
}

#[derive(Serialize)]
pub(super) struct AgentConfig<'a> {
    pub(super) region: &'a RegionId,
    pub(super) meter: &'a MeterId,
    pub(super) registrar: String,
    pub(super) state_dir: PathBuf,
    pub(super) broker: AgentBroker,
    pub(super) clock: Clock,
    pub(super) health: Health,
    pub(super) floors: Floors,
    pub(super) source: SourceTable,
}

#[derive(Serialize)]
pub(super) struct AgentBroker {
    pub(super) url: String,
}

#[derive(Serialize)]
pub(super) struct Clock {
    pub(super) synchronised: bool,
}

#[derive(Serialize)]
pub(super) struct Health {
    pub(super) listen: &'static str,
}

#[derive(Serialize)]
pub(super) struct Floors {
    pub(super) min_contributors: u16,
    pub(super) min_slots: u16,
    pub(super) slot_seconds: u32,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum SourceTable {
    Simulated { seed: u64, solar_peak_w: u32, speedup: u32 },
    Csv { file: PathBuf, home: usize },
    P1 { tcp: String },
}
