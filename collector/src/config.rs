//! The configuration of `collector`, and its defaults.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aggregation::{ElGamal, Scheme as _};
use anyhow::{Context as _, bail};
use host::Keystore;
use host::config::{Threshold, Within};
use host::health::{HealthConfig, Listen};
use protocol::Rng;
use protocol::collector::Terms;
use protocol::id::{Epoch, MeterId, RegionId};
use protocol::identity::{Identity, IdentityKey};
use protocol::keygen::Registrar;
use protocol::message::Invited;
use protocol::parameters::{self, Parameters, RangeProofs, ThresholdRule};
use protocol::reading::Register;
use serde::{Deserialize, Deserializer};

mod tariff;

pub use tariff::TariffConfig;

/// Where health is asked for, unless the configuration says otherwise.
const HEALTH_PORT: u16 = 9870;

/// What a collector is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where identity, registrar's key and rosters are kept.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// The broker.
    #[serde(default)]
    pub broker: BrokerConfig,
    /// Where the collector is asked for its health.
    #[serde(default)]
    pub health: HealthConfig,
    /// The regions that it serves.
    #[serde(rename = "region")]
    pub regions: Vec<RegionConfig>,
}

/// Which broker to use: the embedded one, unless an address is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerConfig {
    /// The configuration of the embedded broker.
    pub config: PathBuf,
    /// A port for the embedded broker, in place of the one that its
    /// configuration names.
    pub port: Option<Within<1, 65_535>>,
    /// The address of another broker. The embedded one is then not started.
    #[serde(deserialize_with = "address")]
    pub url: Option<link::Address>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self { config: PathBuf::from("/etc/hushgrid/broker.toml"), port: None, url: None }
    }
}

/// One region.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionConfig {
    /// Its name, as it stands in topics.
    pub name: RegionId,
    /// Length of a slot in seconds.
    #[serde(default = "slot_seconds")]
    pub slot_seconds: Within<1, 86_400>,
    /// Slots in a billing window.
    #[serde(default = "window_slots")]
    pub window_slots: Within<2, 35_136>,
    /// Billing windows in an epoch.
    #[serde(default = "epoch_windows")]
    pub epoch_windows: Within<1, 1_000_000>,
    /// Seconds after a slot in which contributions still count.
    #[serde(default = "grace")]
    pub grace_s: Within<0, 86_400>,
    /// Seconds after the grace in which a sum may be opened; the length of a
    /// window unless given.
    pub deadline_s: Option<Within<1, 31_622_400>>,
    /// Honest contributions in every region sum.
    #[serde(default = "min_contributors")]
    pub min_contributors: Within<2, 65_535>,
    /// How many holders it takes to open a sum.
    #[serde(default = "threshold")]
    pub threshold: Threshold,
    /// Members that may collude with the collector; as many as the threshold
    /// allows unless given.
    pub max_corrupted: Option<Within<0, 65_535>>,
    /// Seconds that each step of a ceremony waits for absent members before it
    /// goes on without them.
    #[serde(default = "patience")]
    pub patience_s: Within<1, 604_800>,
    /// Slots in every bill.
    #[serde(default = "min_slots")]
    pub min_slots: Within<2, 35_136>,
    /// Most that one contribution holds, in Wh: 65535 or 4294967295.
    #[serde(default = "max_wh_per_slot")]
    pub max_wh_per_slot: Within<65_535, 4_294_967_295>,
    /// What is counted: import, export or both.
    #[serde(default = "registers")]
    pub registers: Vec<RegisterName>,
    /// When members prove that their contributions lie in their range.
    #[serde(default = "range_proofs")]
    pub range_proofs: RangeProofs,
    /// How many of a hundred counted contributions are to be proved, where
    /// `range_proofs` is `audit`.
    #[serde(default = "audit_percent")]
    pub audit_percent: Within<0, 100>,
    /// Members that are let in again although they have not proved what they
    /// were asked to.
    #[serde(default)]
    pub readmit: Vec<Readmission>,
    /// The steps that are billed apart.
    #[serde(default)]
    pub tariff: TariffConfig,
    /// The members, each with the line that `meter-agent id` prints.
    pub members: Vec<MemberConfig>,
}

/// One member of a region.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// The meter's name.
    pub id: MeterId,
    /// Its identity key, in hexadecimal.
    #[serde(deserialize_with = "identity_key")]
    pub key: IdentityKey,
}

/// A member that is let in again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readmission {
    /// The meter's name.
    pub id: MeterId,
    /// The last epoch in which it may have failed to prove what it was asked
    /// to.
    pub epoch: Within<1, 4_294_967_295>,
}

/// A register by its name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct RegisterName(Register);

impl TryFrom<String> for RegisterName {
    type Error = protocol::reading::RegisterError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self(text.parse()?))
    }
}

impl Config {
    /// Reads a configuration file and checks what its keys mean together.
    ///
    /// # Errors
    /// The key, the value and what would be accepted.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let config: Self = host::config::load(path)?;
        config.check().with_context(|| format!("in the configuration {}", path.display()))?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.regions.is_empty() {
            bail!("region: at least one [[region]] is needed");
        }
        let mut names = BTreeSet::new();
        for region in &self.regions {
            if !names.insert(&region.name) {
                bail!("region: name = \"{}\" stands there twice", region.name);
            }
            let parameters = region.terms().parameters_for(region.members.len());
            let within = || format!("region {}", region.name);
            parameters.check(region.members.len()).with_context(within)?;
            let mut ids = BTreeSet::new();
            if let Some(twice) = region.members.iter().find(|member| !ids.insert(&member.id)) {
                bail!("region {}: member id = \"{}\" stands there twice", region.name, twice.id);
            }
            if let Some(other) = region.readmit.iter().find(|one| !ids.contains(&one.id)) {
                bail!("region {}: readmit: id = \"{}\" is no member", region.name, other.id);
            }
        }
        Ok(())
    }

    /// Where to be asked for health.
    #[must_use]
    pub fn listen(&self) -> Listen {
        self.health.listen_or_on(HEALTH_PORT)
    }

    /// The folder of the collector's own files.
    ///
    /// # Errors
    /// Where it cannot be made, or others may read it.
    pub fn keystore(&self) -> anyhow::Result<Keystore> {
        Keystore::open(&self.state_dir).context("state_dir")
    }

    /// The identities of collector and registrar, drawn at the first start.
    ///
    /// # Errors
    /// Where they cannot be read or kept.
    pub fn identities(&self, rng: &mut Rng) -> anyhow::Result<(Identity, Registrar)> {
        let keystore = self.keystore()?;
        let registrar = Registrar::new(keystore.identity("registrar.key", rng)?);
        Ok((keystore.identity("identity.key", rng)?, registrar))
    }
}

impl RegionConfig {
    /// The region as the protocol takes it.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let seconds: u32 = self.slot_seconds.get();
        let slots: u32 = self.window_slots.get();
        let mut registers: Vec<_> = self.registers.iter().map(|name| name.0).collect();
        registers.sort();
        let parameters = Parameters {
            scheme: ElGamal::NAME.to_owned(),
            threshold: parameters::Threshold::All,
            min_contributors: self.min_contributors.get(),
            max_corrupted: 0,
            min_slots: self.min_slots.get(),
            slot_seconds: NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN),
            window_slots: NonZeroU32::new(slots).unwrap_or(NonZeroU32::MIN),
            grace_s: self.grace_s.get(),
            deadline_s: self.deadline_s.map_or(seconds.saturating_mul(slots), Within::get),
            max_wh_per_slot: self.max_wh_per_slot.get(),
            registers,
            range_proofs: self.range_proofs,
            tariff: self.tariff.0.clone(),
        };
        let invited = |member: &MemberConfig| Invited { meter: member.id.clone(), key: member.key };
        Terms {
            region: self.name.clone(),
            parameters,
            threshold: self.threshold.0,
            max_corrupted: self.max_corrupted.map(Within::get),
            epoch_windows: self.epoch_windows.get(),
            members: self.members.iter().map(invited).collect(),
            patience: Duration::from_secs(self.patience_s.get()),
            audit_percent: self.audit_percent.get(),
            readmitted: self.readmit.iter().map(readmitted).collect(),
        }
    }
}

fn state_dir() -> PathBuf {
    PathBuf::from("/var/lib/hushgrid-collector")
}

fn slot_seconds() -> Within<1, 86_400> {
    Within::of(900)
}

fn window_slots() -> Within<2, 35_136> {
    Within::of(10)
}

fn epoch_windows() -> Within<1, 1_000_000> {
    Within::of(300)
}

fn grace() -> Within<0, 86_400> {
    Within::of(120)
}

fn min_contributors() -> Within<2, 65_535> {
    Within::of(10)
}

fn threshold() -> Threshold {
    Threshold(ThresholdRule::TwoThirds)
}

fn patience() -> Within<1, 604_800> {
    Within::of(600)
}

fn min_slots() -> Within<2, 35_136> {
    Within::of(10)
}

fn max_wh_per_slot() -> Within<65_535, 4_294_967_295> {
    Within::of(65_535)
}

fn registers() -> Vec<RegisterName> {
    vec![RegisterName(Register::Import)]
}

fn range_proofs() -> RangeProofs {
    RangeProofs::Audit
}

fn audit_percent() -> Within<0, 100> {
    Within::of(5)
}

fn readmitted(member: &Readmission) -> (MeterId, Epoch) {
    (member.id.clone(), Epoch(member.epoch.get()))
}

fn identity_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IdentityKey, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<link::Address>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}
