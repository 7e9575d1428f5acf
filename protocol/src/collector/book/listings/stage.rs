//! How far the listing of each portion is.

use std::collections::BTreeMap;

use crate::evidence::Evidence;
use crate::id::MeterId;
use crate::listing::Listed;
use crate::members::MemberSet;
use crate::message::Listing;
use crate::portion::Portion;
use crate::slot::{Slot, Timestamp, Window};
use crate::tariff::StepId;

/// Where the listing of a portion stands.
pub(in crate::collector::book) enum Stage {
    /// Holders are asked to endorse it.
    Published { listing: Listing, message: Vec<u8>, endorsements: BTreeMap<MeterId, Vec<u8>> },
    /// Enough of them have.
    Final {
        listed: Box<Listed>,
        message: Vec<u8>,
        answered: Option<Timestamp>,
        /// When it became final, if that was since this start.
        since: Timestamp,
    },
    /// Too few of them did in time, or nobody asked.
    Unlisted,
}

/// The listings of an epoch.
#[derive(Default)]
pub(in crate::collector::book) struct Listings {
    pub(in crate::collector::book) stages: BTreeMap<Portion, Stage>,
    /// The window whose listing comes next, by step.
    pub(super) next: BTreeMap<StepId, Window>,
    /// Slots that were asked about with two sets.
    pub(super) void: BTreeMap<Slot, Evidence>,
}

impl Listings {
    /// The final listing of a portion.
    pub(in crate::collector::book) fn final_of(&self, portion: Portion) -> Option<&Listed> {
        match self.stages.get(&portion) {
            Some(Stage::Final { listed, .. }) => Some(listed),
            _ => None,
        }
    }

    /// When the listing of a portion became final, if that was since this
    /// start.
    pub(in crate::collector::book) fn final_since(&self, portion: Portion) -> Timestamp {
        match self.stages.get(&portion) {
            Some(Stage::Final { since, .. }) => *since,
            _ => Timestamp(0),
        }
    }

    pub(super) fn next(&self, step: StepId) -> Portion {
        let window = self.next.get(&step).copied().unwrap_or(Window(0));
        Portion { window, step }
    }

    /// The final listing of the portion directly before.
    pub(super) fn before(&self, portion: Portion) -> Option<&Listed> {
        self.final_of(portion_before(portion)?)
    }

    /// The withheld slots that may join a later listing, by the latest final
    /// listing of each step.
    pub(in crate::collector::book) fn withheld(&self) -> BTreeMap<Slot, MemberSet> {
        let mut latest = BTreeMap::new();
        for (portion, stage) in &self.stages {
            if let Stage::Final { listed, .. } = stage {
                latest.insert(portion.step, listed);
            }
        }
        latest.values().flat_map(|listed| listed.withheld()).collect()
    }
}

/// The portion of the same step in the window before.
pub(super) fn portion_before(portion: Portion) -> Option<Portion> {
    let window = portion.window.0.checked_sub(1).map(Window)?;
    Some(Portion { window, ..portion })
}
