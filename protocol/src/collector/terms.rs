//! What a collector is told of its region.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregation::Scheme;
use thiserror::Error;

use super::book::KeptError;
use crate::id::{Epoch, MeterId, RegionId};
use crate::message::Invited;
use crate::parameters::{ParameterError, Parameters, ThresholdRule};
use crate::roster::{AcceptedRoster, RosterError};

/// Steps of a ceremony, with as many attempts, that the next epoch is begun
/// ahead of time for.
const STEPS_AHEAD: u32 = 6;

/// What a collector knows of a region before any message reaches it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The region.
    pub region: RegionId,
    /// What is to hold; `threshold` and `max_corrupted` in it follow from the
    /// members.
    pub parameters: Parameters,
    /// How many holders it shall take to open a sum.
    pub threshold: ThresholdRule,
    /// Members that may collude with the collector; as many as the threshold
    /// allows unless given.
    pub max_corrupted: Option<u16>,
    /// How many windows an epoch lasts.
    pub epoch_windows: u32,
    /// The members, in any order.
    pub members: Vec<Invited>,
    /// How long each step of a ceremony waits for absent members before it
    /// goes on without them.
    pub patience: Duration,
    /// How many of a hundred counted contributions are to be proved to lie in
    /// their range, where the roster has audits.
    pub audit_percent: u8,
    /// Members that are let in again although they have not proved what they
    /// were asked to, each up to the epoch in which that was.
    pub readmitted: BTreeMap<MeterId, Epoch>,
}

impl Terms {
    /// What is to hold for so many members.
    #[must_use]
    pub fn parameters_for(&self, members: usize) -> Parameters {
        let most = || self.threshold.max_corrupted(members, self.parameters.min_contributors);
        Parameters {
            threshold: self.threshold.threshold(members),
            max_corrupted: self.max_corrupted.unwrap_or_else(most),
            ..self.parameters.clone()
        }
    }

    /// Puts the members in order and checks what is to hold.
    pub(super) fn checked(mut self) -> Result<Self, TermsError> {
        self.members.sort_by(|a, b| a.meter.cmp(&b.meter));
        if !self.members.is_sorted_by(|a, b| a.meter < b.meter) {
            return Err(TermsError::Members);
        }
        let members = self.members.len();
        self.parameters_for(members).check(members)?;
        Ok(self)
    }

    pub(super) fn epoch_slots(&self) -> u64 {
        u64::from(self.epoch_windows) * u64::from(self.parameters.window_slots.get())
    }

    /// How long before its end the epoch after it is begun.
    pub(super) fn ahead(&self) -> Duration {
        let slot = Duration::from_secs(self.parameters.slot_seconds.get().into());
        let window = slot * self.parameters.window_slots.get();
        let half = window * self.epoch_windows / 2;
        (self.patience * STEPS_AHEAD).max(window).min(half)
    }

    pub(super) fn agree_with<S: Scheme>(&self, roster: &AcceptedRoster<S>) -> bool {
        let members = roster.body().members.iter().map(|member| (&member.meter, &member.key));
        let slots = roster.body().end_slot.since(roster.body().first_slot);
        self.parameters_for(self.members.len()) == *roster.parameters()
            && slots == Some(self.epoch_slots())
            && members.eq(self.members.iter().map(|invited| (&invited.meter, &invited.key)))
    }
}

/// Why a collector cannot serve a region.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TermsError {
    /// A parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A roster that was kept and is not this collector's.
    #[error("the kept {0}")]
    Roster(#[from] RosterError),
    /// A member twice.
    #[error("two members have the same id")]
    Members,
    /// What was kept of an epoch's rounds.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// Slots of different epochs would overlap.
    #[error("slot_seconds: a region keeps the length of its slots from epoch to epoch")]
    SlotSeconds,
    /// The kept roster names another collector.
    #[error("the kept roster names another collector's identity key")]
    Collector,
}
