//! The owner's side of a portion: one claim to what its final listing opens,
//! for ever.

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, Scheme};
use serde_bytes::ByteBuf;

use crate::listing::Listed;
use crate::message::Claim;
use crate::output::{Event, Obstacle};
use crate::portion::Portion;
use crate::record::{Change, Key, Records, Sort};
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp};
use crate::topic::MeterTopic;

use super::super::Core;
use super::super::outbox::Standing;
use super::Membership;

/// A claim that was made.
pub(super) struct OwnClaim {
    pub(super) message: Vec<u8>,
    /// None once the collector has asked about the portion's bills.
    pub(super) retry: Option<Retry>,
}

impl<S: Scheme> Membership<S> {
    /// Takes up the claims that were made before this start.
    pub(super) fn restore_claims(&mut self, core: &mut Core, kept: &Records, now: Timestamp) {
        for (key, bytes) in kept.within(Sort::Claim, self.roster.epoch()) {
            let Some(portion) = key.portion() else { continue };
            let open = !self.guard.has_billed(portion);
            let retry = open.then(|| Retry::started(now, &mut core.rng));
            self.claims.insert(portion, OwnClaim { message: bytes.to_vec(), retry });
        }
    }

    /// Claims the own slots that a final listing opens, if there are enough of
    /// them, and if the portion was not claimed before.
    pub(super) fn claim(&mut self, core: &mut Core, portion: Portion, now: Timestamp) {
        let Some(listed) = self.guard.listings().final_of(portion) else { return };
        let slots = listed.billed(self.own);
        let is_enough = slots.len() >= usize::from(self.roster.parameters().min_slots);
        if self.claims.contains_key(&portion) || !is_enough || self.deadline(portion.window) < now {
            return;
        }
        if let Some((slot, why)) = self.obstacle(&slots) {
            return core.event(Event::NotClaimed { portion, slot, why });
        }
        let Some(claim) = self.sum_up(core, listed, &slots) else { return };
        let message = self.seal(core, &claim);
        let record = message.clone().into();
        core.persist(Change::Write(Key::claim(self.roster.epoch(), portion), record));
        self.outbox.claimed(&slots);
        self.persist_outbox(core);
        core.publish(MeterTopic::Claim, message.clone());
        let retry = Some(Retry::started(now, &mut core.rng));
        self.claims.insert(portion, OwnClaim { message, retry });
    }

    /// Why a slot cannot be claimed: a slot is in one claim, and what it takes
    /// to claim it has to be at hand.
    fn obstacle(&self, slots: &[Slot]) -> Option<(Slot, Obstacle)> {
        let why = |slot: &Slot| match self.outbox.standing(*slot) {
            None => Some((*slot, Obstacle::Lost)),
            Some(Standing::Claimed) => Some((*slot, Obstacle::Claimed)),
            Some(_) => None,
        };
        slots.iter().find_map(why)
    }

    /// The sum of slots; none if what it takes is not at hand.
    fn sum_up(&self, core: &mut Core, listed: &Listed, slots: &[Slot]) -> Option<Claim> {
        let (portion, listing) = (listed.portion(), listed.digest());
        let mut registers = BTreeMap::new();
        for register in &self.roster.parameters().registers {
            let retained: Option<Vec<_>> =
                slots.iter().map(|slot| self.outbox.retained(*register, *slot)).collect();
            let meter = &core.terms.meter;
            let statement = self.roster.place().claim(meter, portion, &listing, *register);
            let context = Context(&statement);
            let sum = self.roster.scheme().claim(&retained?, context, &mut core.rng)?;
            registers.insert(*register, ByteBuf::from(sum.to_bytes()));
        }
        Some(Claim { portion, listing, registers })
    }
}
