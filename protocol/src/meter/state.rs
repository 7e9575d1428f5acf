//! What a meter says of itself, and what it knows of its own energy.

use std::collections::BTreeMap;

use aggregation::Scheme;

use crate::envelope::seal;
use crate::id::{Digest, Epoch, Sender};
use crate::message::State;
use crate::output::{Output, Publication};
use crate::reading::Register;
use crate::slot::Slot;
use crate::topic::{self, MeterTopic};

use super::membership::Membership;
use super::{Meter, Quantities, Terms};

/// Energy of one register that no final listing counts, in Wh.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// Of slots that no final listing settles yet.
    pub unsettled_wh: u64,
    /// Waiting to be carried.
    pub pooled_wh: u64,
    /// Given up: of void slots, and of those that were never settled.
    pub lost_wh: u64,
}

impl<S: Scheme> Meter<S> {
    /// Signs and publishes how the machine is, with its JSON view. The meter
    /// adds its epoch, its slots and its own counters, and hands back the whole.
    pub fn publish_state(&mut self, mut state: State) -> State {
        let (epoch, binding) = match self.epochs.values().next_back() {
            Some(membership) => (membership.roster().epoch(), *membership.roster().digest()),
            None => (Epoch::default(), Digest::NONE),
        };
        let Terms { region, meter, .. } = &self.core.terms;
        state.member_of = (epoch != Epoch::default()).then_some(epoch.0);
        self.count_slots(&mut state);
        state.counters.extend(self.counters());
        let place = (region, epoch, Sender::Meter(meter.clone()));
        let message = seal(&self.core.identity, place, &binding, &state);
        let topic = topic::of_meter(region, meter, MeterTopic::State);
        let view = crate::view::json(region, epoch, &state);
        self.core.outputs.push_back(Output::Publish(Publication {
            topic: topic::json(&topic),
            payload: view,
            retain: false,
        }));
        self.core.publish(MeterTopic::State, message);
        state
    }

    fn count_slots(&self, state: &mut State) {
        for membership in self.epochs.values() {
            let (unsettled, withheld) = membership.open_slots();
            state.unsettled_slots = state.unsettled_slots.saturating_add(unsettled);
            state.withheld_slots = state.withheld_slots.saturating_add(withheld);
        }
        (state.pooled_slots, state.lost_slots) = self.core.pools.slots();
    }

    /// Energy in Wh of each register that this meter was given and that no
    /// final listing counts: unsettled, pooled, and given up.
    #[must_use]
    pub fn uncounted(&self) -> BTreeMap<Register, Uncounted> {
        let mut all: BTreeMap<Register, Uncounted> = BTreeMap::new();
        for energy in self.epochs.values().flat_map(Membership::unsettled_energy) {
            for (register, wh) in energy {
                let of = all.entry(*register).or_default();
                of.unsettled_wh = of.unsettled_wh.saturating_add(*wh);
            }
        }
        for ((register, _), pool) in self.core.pools.all() {
            let of = all.entry(*register).or_default();
            of.pooled_wh = of.pooled_wh.saturating_add(pool.pooled_wh());
            of.lost_wh = of.lost_wh.saturating_add(pool.lost_wh);
        }
        all
    }

    /// What this meter's contribution to a slot holds in Wh, while no final
    /// listing settles it.
    #[must_use]
    pub fn contents(&self, slot: Slot) -> Option<&Quantities> {
        self.epochs.values().find_map(|membership| membership.contents(slot))
    }
}
