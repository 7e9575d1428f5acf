//! What a world is made of.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::Scheme;
use protocol::collector::TermsError;
use protocol::id::{MeterId, NameError, RegionId};
use protocol::keygen::StoredError;
use protocol::parameters::{Floors, Parameters, RangeProofs, Threshold, ThresholdRule};
use protocol::reading::Register;
use protocol::slot::Timestamp;
use protocol::tariff::Tariff;
use thiserror::Error;

use crate::faults::Faults;
use crate::judge::Violation;

/// A party of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The one that sums and asks.
    Collector,
    /// A meter, by its number.
    Meter(u16),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collector => f.write_str("the collector"),
            Self::Meter(number) => write!(f, "meter {number}"),
        }
    }
}

/// What a world is made of, and the seed of all that is left to chance.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The region's name.
    pub region: RegionId,
    /// How many meters there are.
    pub meters: u16,
    /// What holds for every epoch; every agent's floors are the same.
    pub parameters: Parameters,
    /// The last so many meters are no members of the first epoch.
    pub outside: u16,
    /// How many windows an epoch lasts.
    pub epoch_windows: u32,
    /// How many epochs the world is watched for.
    pub epochs: u32,
    /// How long a step of a ceremony waits for absent meters.
    pub patience: Duration,
    /// How many of a hundred counted contributions are to be proved to lie in
    /// their range, where the parameters have audits.
    pub audit_percent: u8,
    /// When the world begins.
    pub start: Timestamp,
    /// What goes wrong.
    pub faults: Faults,
}

impl Plan {
    /// Twelve meters and four windows of ten slots of a minute, without fault.
    /// What is opened later than ten minutes after its slot is too late.
    #[must_use]
    pub fn small<S: Scheme>(seed: u64, region: RegionId) -> Self {
        let parameters = Parameters {
            scheme: S::NAME.to_owned(),
            threshold: Threshold::All,
            min_contributors: 5,
            max_corrupted: 0,
            min_slots: 5,
            slot_seconds: NonZeroU32::MIN.saturating_add(59),
            window_slots: NonZeroU32::MIN.saturating_add(9),
            grace_s: 20,
            deadline_s: 600,
            max_wh_per_slot: 0xffff,
            registers: vec![Register::Import],
            range_proofs: RangeProofs::Off,
            tariff: Tariff::single(),
        };
        let start = Timestamp(1_800_000_000_000);
        Self {
            seed,
            region,
            meters: 12,
            outside: 0,
            parameters,
            epoch_windows: 4,
            epochs: 1,
            patience: Duration::from_hours(2),
            audit_percent: 100,
            start,
            faults: Faults::none(),
        }
    }

    /// Twenty meters under light faults: windows of six slots of a minute, three
    /// of them an epoch. How many open a sum, which registers there are and
    /// whether ranges are proved follows from the seed.
    #[must_use]
    pub fn random<S: Scheme>(seed: u64, region: RegionId) -> Self {
        let small = Self::small::<S>(seed, region);
        let is_one_in = |count: u64| seed % count == count - 1;
        let parameters = Parameters {
            min_slots: 3,
            window_slots: NonZeroU32::MIN.saturating_add(5),
            deadline_s: 240,
            registers: if is_one_in(5) {
                vec![Register::Import, Register::Export]
            } else {
                vec![Register::Import]
            },
            range_proofs: if is_one_in(7) { RangeProofs::Audit } else { RangeProofs::Off },
            ..small.parameters.clone()
        };
        let plan = Self {
            meters: 20,
            epoch_windows: 3,
            patience: Duration::from_mins(1),
            parameters,
            faults: Faults::light(),
            ..small
        };
        let plan = if is_one_in(8) { plan } else { plan.with_threshold(14) };
        let most = plan.parameters.max_corrupted.min(3);
        Self { parameters: Parameters { max_corrupted: most, ..plan.parameters.clone() }, ..plan }
    }

    /// The same plan, in which so many holders open a sum, and as many members
    /// may collude with the collector as that allows.
    #[must_use]
    pub fn with_threshold(self, holders: u16) -> Self {
        let (rule, members) = (ThresholdRule::Count(holders), self.first_members().count());
        let parameters = Parameters {
            threshold: rule.threshold(members),
            max_corrupted: rule.max_corrupted(members, self.parameters.min_contributors),
            ..self.parameters
        };
        Self { parameters, ..self }
    }

    /// The numbers of the meters that are members of the first epoch.
    pub(crate) fn first_members(&self) -> impl Iterator<Item = u16> + use<> {
        0..self.meters.saturating_sub(self.outside)
    }

    /// All parties.
    pub fn parties(&self) -> impl Iterator<Item = Party> + use<> {
        std::iter::once(Party::Collector).chain((0..self.meters).map(Party::Meter))
    }

    /// The meters' names, in the order of their numbers and of their ids.
    pub(crate) fn ids(&self) -> Result<Vec<MeterId>, NameError> {
        (0..self.meters).map(|number| format!("m-{number:05}").parse()).collect()
    }

    /// The rule that gives the plan's threshold, whoever is absent.
    pub(crate) fn threshold(&self) -> ThresholdRule {
        match self.parameters.threshold {
            Threshold::All => ThresholdRule::All,
            Threshold::Of(holders) => ThresholdRule::Count(holders),
        }
    }

    pub(crate) fn floors(&self) -> Floors {
        let given = &self.parameters;
        Floors {
            scheme: given.scheme.clone(),
            threshold: self.threshold(),
            min_contributors: given.min_contributors,
            max_corrupted: given.max_corrupted,
            min_slots: given.min_slots,
            slot_seconds: given.slot_seconds.get(),
            range_proofs: given.range_proofs,
        }
    }
}

/// Why a party does not start.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StartError {
    /// The plan's parameters, or the roster that the collector kept.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The key share that a meter kept.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A meter's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No party of the plan.
    #[error("{0} is no party of this world")]
    Unknown(Party),
}

/// Why no other epoch follows.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NextEpochError {
    /// The collector's terms, or a meter that is none of the plan's.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A failure condition held meanwhile.
    #[error(transparent)]
    Violation(#[from] Violation),
}
