//! The least that an agent accepts.

use std::fmt;

use super::{ParameterError, Parameters, RangeProofs, ThresholdRule, check};

/// The least that an agent accepts, whatever the registrar signs. No message
/// lowers a floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floors {
    /// The scheme that the agent runs.
    pub scheme: String,
    /// Floor of [`Parameters::threshold`].
    pub threshold: ThresholdRule,
    /// Floor of [`Parameters::min_contributors`].
    pub min_contributors: u16,
    /// Floor of [`Parameters::max_corrupted`].
    pub max_corrupted: u16,
    /// Floor of [`Parameters::min_slots`].
    pub min_slots: u16,
    /// Floor of [`Parameters::slot_seconds`].
    pub slot_seconds: u32,
    /// Floor of [`Parameters::range_proofs`].
    pub range_proofs: RangeProofs,
}

impl Floors {
    /// Whether parameters for a region of `members` keep to the floors.
    ///
    /// # Errors
    /// The first parameter below its floor.
    pub fn check(&self, given: &Parameters, members: usize) -> Result<(), ParameterError> {
        fn floor<T: Copy + PartialOrd + fmt::Display>(
            key: &'static str,
            given: T,
            floor: T,
        ) -> Result<(), ParameterError> {
            let accepted = format!("at least {floor}, this agent's own floor");
            check(given >= floor, key, &given, &accepted)
        }
        check(given.scheme == self.scheme, "scheme", &given.scheme, &self.scheme)?;
        let least = self.threshold.threshold(members).of(members);
        floor("threshold", given.threshold.of(members), least)?;
        floor("min_contributors", given.min_contributors, self.min_contributors)?;
        floor("max_corrupted", given.max_corrupted, self.max_corrupted)?;
        floor("min_slots", given.min_slots, self.min_slots)?;
        floor("slot_seconds", given.slot_seconds.get(), self.slot_seconds)?;
        floor("range_proofs", given.range_proofs, self.range_proofs)
    }
}
