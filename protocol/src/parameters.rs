//! What holds for an epoch, the ranges of it, and the floors that each agent
//! sets for itself.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use thiserror::Error;

use crate::envelope::MESSAGE_MAX;
use crate::reading::Register;
use crate::slot::{Grid, Slot};

/// How many holders it takes to open a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// Every member.
    All,
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
        let distinct = self.registers.is_sorted_by(|a, b| a < b) && !self.registers.is_empty();
        let names: Vec<_> = self.registers.iter().map(|r| r.as_str()).collect();
        check(distinct, "registers", &names.join(", "), &"import, export or both, in this order")
    }

    /// Members whose messages fit into one request, of contributions or of
    /// claims.
    fn members_max(&self) -> usize {
        // Names, header, signature and their framing, with names of 31 bytes.
        const FRAMING: usize = 200;
        // A point or scalar has 32 bytes; a ciphertext with its proof is four.
        const HIDDEN: usize = 4 * 32 + 4;
        let slots = self.window_slots.get().div_ceil(8) as usize;
        let members = MESSAGE_MAX / (FRAMING + HIDDEN * self.registers.len() + slots);
        members.min(usize::from(u16::MAX))
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

/// The least that an agent accepts, whatever the registrar signs. No message
/// lowers a floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floors {
    /// The scheme that the agent runs.
    pub scheme: String,
    /// Floor of [`Parameters::threshold`].
    pub threshold: Threshold,
    /// Floor of [`Parameters::min_contributors`].
    pub min_contributors: u16,
    /// Floor of [`Parameters::max_corrupted`].
    pub max_corrupted: u16,
    /// Floor of [`Parameters::min_slots`].
    pub min_slots: u16,
    /// Floor of [`Parameters::slot_seconds`].
    pub slot_seconds: u32,
}

impl Floors {
    /// Whether parameters keep to the floors.
    ///
    /// # Errors
    /// The first parameter below its floor.
    pub fn check(&self, given: &Parameters) -> Result<(), ParameterError> {
        fn floor<T: Copy + PartialOrd + fmt::Display>(
            key: &'static str,
            given: T,
            floor: T,
        ) -> Result<(), ParameterError> {
            let accepted = format!("at least {floor}, this agent's own floor");
            check(given >= floor, key, &given, &accepted)
        }
        check(given.scheme == self.scheme, "scheme", &given.scheme, &self.scheme)?;
        check(given.threshold >= self.threshold, "threshold", &"lower", &"all")?;
        floor("min_contributors", given.min_contributors, self.min_contributors)?;
        floor("max_corrupted", given.max_corrupted, self.max_corrupted)?;
        floor("min_slots", given.min_slots, self.min_slots)?;
        floor("slot_seconds", given.slot_seconds.get(), self.slot_seconds)
    }
}
