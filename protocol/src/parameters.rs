//! What holds for an epoch, the ranges of it, and the floors that each agent
//! sets for itself.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use thiserror::Error;

use crate::envelope::MESSAGE_MAX;
use crate::reading::Register;
use crate::slot::{Grid, Slot};
use crate::tariff::Tariff;

mod floors;
mod range_proofs;
#[cfg(test)]
mod tests;

pub use floors::Floors;
pub use range_proofs::{RangeProofs, RangeProofsError};

/// Most members of a region whose secret is dealt: each reads the dealings of
/// all: 54 MiB for so many with two thirds of them as threshold.
const DEALT_MEMBERS_MAX: usize = 900;

/// How many holders it takes to open a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// Every member: the group key is the sum of their key parts.
    All,
    /// So many of the members: the group's secret is dealt.
    Of(u16),
}

impl Threshold {
    /// Holders that it takes of so many members.
    #[must_use]
    pub fn of(self, members: usize) -> usize {
        match self {
            Self::All => members,
            Self::Of(holders) => holders.into(),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Of(holders) => holders.fmt(f),
        }
    }
}

/// How a threshold follows from the number of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdRule {
    /// Every member.
    All,
    /// Two thirds of them, rounded up.
    TwoThirds,
    /// So many.
    Count(u16),
}

impl ThresholdRule {
    /// The threshold for so many members.
    #[must_use]
    pub fn threshold(self, members: usize) -> Threshold {
        let two_thirds = u16::try_from((2 * members).div_ceil(3)).unwrap_or(u16::MAX);
        match self {
            Self::All => Threshold::All,
            Self::TwoThirds => Threshold::Of(two_thirds),
            Self::Count(holders) => Threshold::Of(holders),
        }
    }

    /// The most members that may collude with the collector under this rule:
    /// as many as two quorums have in common, less one, and no more than leave
    /// a region sum its honest contributors.
    #[must_use]
    pub fn max_corrupted(self, members: usize, min_contributors: u16) -> u16 {
        let common = match self {
            Self::All => 1,
            _ => (2 * self.threshold(members).of(members)).saturating_sub(members),
        };
        let left = members.saturating_sub(min_contributors.into());
        u16::try_from(common.saturating_sub(1).min(left)).unwrap_or(u16::MAX)
    }
}

impl fmt::Display for ThresholdRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::TwoThirds => f.write_str("two-thirds"),
            Self::Count(holders) => holders.fmt(f),
        }
    }
}

/// A text that is no rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no threshold: \"all\", \"two-thirds\" or a number from 2 to 65535")]
pub struct ThresholdRuleError(String);

impl FromStr for ThresholdRule {
    type Err = ThresholdRuleError;
    fn from_str(text: &str) -> Result<Self, ThresholdRuleError> {
        match text {
            "all" => Ok(Self::All),
            "two-thirds" => Ok(Self::TwoThirds),
            number => match number.parse() {
                Ok(holders @ 2..) => Ok(Self::Count(holders)),
                _ => Err(ThresholdRuleError(text.to_owned())),
            },
        }
    }
}

/// What holds for an epoch, the same for all members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Parameters {
    /// Name of the scheme.
    pub scheme: String,
    /// How many holders it takes to open a sum.
    pub threshold: Threshold,
    /// Honest contributions that every region sum holds at least.
    pub min_contributors: u16,
    /// Members that may collude with the collector.
    pub max_corrupted: u16,
    /// Slots that every bill holds at least.
    pub min_slots: u16,
    /// Length of a slot in seconds.
    pub slot_seconds: NonZeroU32,
    /// Slots in a billing window.
    pub window_slots: NonZeroU32,
    /// Seconds after the end of a slot in which contributions still count.
    pub grace_s: u32,
    /// Seconds after the grace in which a target may be opened.
    pub deadline_s: u32,
    /// Most that one contribution holds, in Wh: 2^16 - 1 or 2^32 - 1.
    pub max_wh_per_slot: u32,
    /// What is counted, in rising order.
    pub registers: Vec<Register>,
    /// When members prove that their contributions lie in their range.
    pub range_proofs: RangeProofs,
    /// The steps that are billed apart.
    pub tariff: Tariff,
}

/// A parameter outside its range.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key} = {value}: accepted is {accepted}")]
pub struct ParameterError {
    /// The parameter.
    pub key: &'static str,
    /// What was given.
    pub value: String,
    /// What would be accepted.
    pub accepted: String,
}

pub(crate) fn check(
    legal: bool,
    key: &'static str,
    value: &dyn fmt::Display,
    accepted: &dyn fmt::Display,
) -> Result<(), ParameterError> {
    if legal {
        return Ok(());
    }
    Err(ParameterError { key, value: value.to_string(), accepted: accepted.to_string() })
}

fn within<T: Copy + PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ParameterError> {
    let accepted = format!("{} to {}", range.start(), range.end());
    check(range.contains(&value), key, &value, &accepted)
}

impl Parameters {
    /// Checks every parameter against its range and against the others, for a
    /// region of `members` members.
    ///
    /// # Errors
    /// The first parameter that is outside its range.
    pub fn check(&self, members: usize) -> Result<(), ParameterError> {
        let (slots, needed) = (self.window_slots.get(), self.contributors_needed());
        within("slot_seconds", self.slot_seconds.get(), 1..=86_400)?;
        within("window_slots", slots, 2..=35_136)?;
        within("min_slots", u32::from(self.min_slots), 2..=slots)?;
        within("min_contributors", self.min_contributors, 2..=u16::MAX)?;
        within("members", members, needed..=self.members_max())?;
        within("grace_s", self.grace_s, 0..=86_400)?;
        within("deadline_s", self.deadline_s, 1..=31_622_400)?;
        let max_wh = self.max_wh_per_slot;
        let known = [u32::from(u16::MAX), u32::MAX].contains(&max_wh);
        check(known, "max_wh_per_slot", &max_wh, &"65535 or 4294967295")?;
        self.check_threshold(members)?;
        let distinct = self.registers.is_sorted_by(|a, b| a < b) && !self.registers.is_empty();
        let names: Vec<_> = self.registers.iter().map(|r| r.as_str()).collect();
        let accepted = "import, export or both, in this order";
        check(distinct, "registers", &names.join(", "), &accepted)?;
        self.check_listing(members)?;
        self.check_steps()
    }

    /// The listing of a window, which says of each slot which members were
    /// counted, fits into one message.
    fn check_listing(&self, members: usize) -> Result<(), ParameterError> {
        // Header, signature, digests and their framing.
        const FRAMING: usize = 1024;
        // What a slot's set of members stands in.
        const SLOT: usize = 8;
        // An endorsement's header, digest and signature, with names of 31 bytes.
        const ENDORSEMENT: usize = 240;
        let endorsements = ENDORSEMENT * self.threshold.of(members);
        let left = MESSAGE_MAX.saturating_sub(FRAMING + endorsements);
        let most = left / (members.div_ceil(8) + SLOT);
        let accepted =
            format!("at most {most} with {members} members, whose listing is one message");
        let slots = self.window_slots.get();
        check(slots as usize <= most, "window_slots", &slots, &accepted)
    }

    /// Every step has slots enough for a bill in every window, wherever it
    /// begins: an epoch begins with whatever slot it is opened in.
    fn check_steps(&self) -> Result<(), ParameterError> {
        let (cycle_s, slot_seconds) = (self.tariff.cycle_s(), self.slot_seconds);
        if self.tariff.len() == 1 {
            return Ok(());
        }
        let accepted = format!("a multiple of slot_seconds = {slot_seconds} for several steps");
        check(cycle_s.get() % slot_seconds == 0, "tariff.cycle_s", &cycle_s, &accepted)?;
        let (slots, least) = (self.window_slots, self.min_slots);
        let accepted = format!(
            "at least min_slots = {least} of each step, wherever a window begins; windows of a \
             whole cycle are all alike: window_slots = {} or a multiple of it",
            cycle_s.get() / slot_seconds
        );
        for (name, fewest) in self.tariff.fewest_slots(slot_seconds, slots) {
            let value = format!("`{name}` with {fewest} slots in a window of {slots}");
            check(fewest >= u32::from(least), "tariff.steps", &value, &accepted)?;
        }
        Ok(())
    }

    /// Two quorums have a member in common that does not collude, so that no
    /// two of them can be shown two different sets.
    fn check_threshold(&self, members: usize) -> Result<(), ParameterError> {
        if let Threshold::Of(holders) = self.threshold {
            within("threshold", usize::from(holders), 2..=members)?;
        }
        let common = (2 * self.threshold.of(members)).saturating_sub(members);
        let accepted = format!(
            "less than 2 * threshold - members = {common}, so that two quorums have an honest \
             member in common"
        );
        let corrupted = usize::from(self.max_corrupted);
        check(corrupted < common, "max_corrupted", &self.max_corrupted, &accepted)
    }

    /// Members whose messages fit into one request, of contributions or of
    /// claims, and whose dealings can be relayed.
    fn members_max(&self) -> usize {
        // Names, header, signature and their framing, with names of 31 bytes.
        const FRAMING: usize = 200;
        // A point or scalar has 32 bytes; a ciphertext with its proof is four.
        const HIDDEN: usize = 4 * 32 + 4;
        let slots = self.window_slots.get().div_ceil(8) as usize;
        let hidden = HIDDEN * self.registers.len() + self.range_proof_bytes();
        let members = MESSAGE_MAX / (FRAMING + hidden + slots);
        match self.threshold {
            Threshold::All => members.min(usize::from(u16::MAX)),
            Threshold::Of(_) => members.min(DEALT_MEMBERS_MAX),
        }
    }

    /// What a range proof adds to each contribution: the link and the fixed
    /// part of the proof, two points for each doubling of the bits that are
    /// proved together, and its framing.
    fn range_proof_bytes(&self) -> usize {
        const FIXED: usize = 10 * 32 + 4;
        const DOUBLING: usize = 2 * 32;
        let bits = if self.max_wh_per_slot > 0xffff { 32 } else { 16 };
        let all = (bits * self.registers.len()).max(1).next_power_of_two();
        match self.range_proofs {
            RangeProofs::Off | RangeProofs::Audit => 0,
            RangeProofs::Each => FIXED + DOUBLING * all.ilog2() as usize,
        }
    }

    /// Contributions that a region sum needs, so that `min_contributors` of
    /// them are honest whatever the collector leaves out.
    #[must_use]
    pub fn contributors_needed(&self) -> usize {
        usize::from(self.min_contributors) + usize::from(self.max_corrupted)
    }

    /// The grid that starts at `origin`.
    #[must_use]
    pub fn grid(&self, origin: Slot) -> Grid {
        Grid { slot_seconds: self.slot_seconds, window_slots: self.window_slots, origin }
    }

    /// For how long after the end of a slot contributions still count.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_s.into())
    }

    /// For how long after the grace a target may be opened.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s.into())
    }
}
