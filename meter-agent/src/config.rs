//! The configuration of `meter-agent`, and its defaults.

use std::path::{Path, PathBuf};

use aggregation::{ElGamal, Scheme as _};
use anyhow::Context as _;
use host::Keystore;
use host::clock::ClockConfig;
use host::config::{Threshold, Within};
use host::health::{HealthConfig, Listen};
use protocol::Rng;
use protocol::id::{MeterId, RegionId};
use protocol::identity::{Identity, IdentityKey};
use protocol::meter::Terms;
use protocol::parameters::{Floors, RangeProofs, ThresholdRule};
use serde::{Deserialize, Deserializer};

use crate::source::SourceConfig;

/// Where health is asked for, unless the configuration says otherwise.
const HEALTH_PORT: u16 = 9871;

/// What an agent is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The region that the meter belongs to.
    pub region: RegionId,
    /// The meter's name in the region.
    pub meter: MeterId,
    /// The registrar's key, in hexadecimal. Whoever holds its secret decides
    /// who is summed with this meter.
    #[serde(deserialize_with = "identity_key")]
    pub registrar: IdentityKey,
    /// Where identity and key share are kept.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// Seconds between two reports of the machine's state.
    #[serde(default = "state_interval")]
    pub state_interval_s: Within<1, 86_400>,
    /// The broker.
    pub broker: BrokerConfig,
    /// What is asked of the machine's clock.
    #[serde(default)]
    pub clock: ClockConfig,
    /// Where the agent is asked for its health.
    #[serde(default)]
    pub health: HealthConfig,
    /// The least that this household accepts.
    #[serde(default)]
    pub floors: FloorsConfig,
    /// Where readings come from.
    pub source: SourceConfig,
}

/// How to reach the broker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// Its address.
    #[serde(deserialize_with = "address")]
    pub url: link::Address,
}

/// The least that a household accepts, whatever the registrar signs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FloorsConfig {
    /// Holders that it takes to open a sum.
    pub threshold: Threshold,
    /// Honest contributions in every region sum.
    pub min_contributors: Within<2, 65_535>,
    /// Members that may collude with the collector.
    pub max_corrupted: Within<0, 65_535>,
    /// Slots in every bill.
    pub min_slots: Within<2, 35_136>,
    /// Length of a slot in seconds.
    pub slot_seconds: Within<1, 86_400>,
    /// When members prove that their contributions lie in their range.
    pub range_proofs: RangeProofs,
}

impl Default for FloorsConfig {
    fn default() -> Self {
        Self {
            threshold: Threshold(ThresholdRule::TwoThirds),
            min_contributors: Within::of(10),
            max_corrupted: Within::of(0),
            min_slots: Within::of(10),
            slot_seconds: Within::of(900),
            range_proofs: RangeProofs::Off,
        }
    }
}

impl FloorsConfig {
    /// The floors as the protocol checks them.
    #[must_use]
    pub fn floors(&self) -> Floors {
        Floors {
            scheme: ElGamal::NAME.to_owned(),
            threshold: self.threshold.0,
            min_contributors: self.min_contributors.get(),
            max_corrupted: self.max_corrupted.get(),
            min_slots: self.min_slots.get(),
            slot_seconds: self.slot_seconds.get(),
            range_proofs: self.range_proofs,
        }
    }
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// The key, the value and what would be accepted.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        host::config::load(path)
    }

    /// What this meter knows before any message reaches it.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            region: self.region.clone(),
            meter: self.meter.clone(),
            registrar: self.registrar,
            floors: self.floors.floors(),
        }
    }

    /// Where to be asked for health.
    #[must_use]
    pub fn listen(&self) -> Listen {
        self.health.listen_or_on(HEALTH_PORT)
    }

    /// The folder of this meter's own files.
    ///
    /// # Errors
    /// Where it cannot be made, or others may read it.
    pub fn keystore(&self) -> anyhow::Result<Keystore> {
        Keystore::open(&self.state_dir).context("state_dir")
    }

    /// This meter's identity, drawn at the first start.
    ///
    /// # Errors
    /// Where it cannot be read or kept.
    pub fn identity(&self, rng: &mut Rng) -> anyhow::Result<Identity> {
        self.keystore()?.identity("identity.key", rng)
    }
}

fn state_dir() -> PathBuf {
    PathBuf::from("/var/lib/hushgrid-agent")
}

fn state_interval() -> Within<1, 86_400> {
    Within::of(60)
}

fn identity_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IdentityKey, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<link::Address, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}
