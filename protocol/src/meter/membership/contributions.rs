//! Contributions: what a slot has measured, with what waits to be carried,
//! hidden and handed in once.

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, Scheme};
use serde_bytes::ByteBuf;

use crate::listing::portion_of;
use crate::message::Contribution;
use crate::output::SlotError;
use crate::parameters::{Parameters, RangeProofs};
use crate::range_proof;
use crate::reading::{Reading, Readings};
use crate::slot::{Slot, Timestamp};
use crate::topic::MeterTopic;

use super::super::outbox::{Retained, own};
use super::super::{Core, Measured, Quantities};
use super::Membership;

impl<S: Scheme> Membership<S> {
    pub(in crate::meter) fn contribute(
        &mut self,
        core: &mut Core,
        slot: Slot,
        measured: Measured<'_>,
        now: Timestamp,
    ) -> Result<(), SlotError> {
        self.check_slot(core, slot, now)?;
        let energy = self.carry(core, slot, self.readings(measured.energy)?);
        let (body, retained) = self.hide(core, slot, &energy);
        let message = self.seal(core, &body);
        let kept = (retained, energy);
        let sent = self.outbox.add(slot, message.clone(), kept, (now, &mut core.rng));
        core.persist(sent);
        core.note_measured(self.roster.grid().end(slot), measured.stands);
        self.persist_outbox(core);
        // How long a range proof takes depends on the number. It leaves by the
        // outbox's timer, which counts from before the proof was begun.
        if self.roster.parameters().range_proofs != RangeProofs::Each {
            core.publish(MeterTopic::Contribution, message);
        }
        Ok(())
    }

    /// What a contribution holds of each register: the reading, and a part of
    /// what waits in the pools of the slot's step, unless it may have been
    /// carried before.
    fn carry(&self, core: &mut Core, slot: Slot, readings: Readings) -> Quantities {
        let Parameters { min_slots, max_wh_per_slot, .. } = *self.roster.parameters();
        let portion = portion_of(&self.roster, slot);
        let left = portion.map_or(0, |portion| {
            let slots = self.roster.step_slots(portion.window, portion.step);
            slots.iter().filter(|left| **left >= slot).count() as u64
        });
        let step = portion.and_then(|portion| self.step_name(portion));
        let mut energy = Quantities::new();
        for (register, reading) in readings {
            let room = reading.room(max_wh_per_slot);
            let step = step.as_ref().filter(|_| !core.doubts.hold_pools());
            let (carried, change) = step
                .map_or((0, None), |step| core.pools.draw((register, step), min_slots, left, room));
            if let Some(change) = change {
                core.persist(change);
            }
            energy.insert(register, reading.to_plaintext().saturating_add(carried));
        }
        energy
    }

    fn check_slot(&self, core: &Core, slot: Slot, now: Timestamp) -> Result<(), SlotError> {
        let grid = self.roster.grid();
        if !self.roster.covers(slot) {
            return Err(SlotError::NoEpoch);
        }
        if grid.end(slot) > now {
            return Err(SlotError::NotEnded);
        }
        // What ended before this start may have been sent before it, even if
        // an older disk says nothing of it.
        if grid.end(slot) <= core.started || grid.start(slot) < core.marks.measured {
            return Err(SlotError::Again);
        }
        Ok(())
    }

    fn hide(
        &self,
        core: &mut Core,
        slot: Slot,
        energy: &Quantities,
    ) -> (Contribution, Retained<S>) {
        let (mut registers, mut retained) = (BTreeMap::new(), BTreeMap::new());
        let device = core.identity.device_secret();
        for (register, wh) in energy {
            let statement = self.roster.place().contribution(&core.terms.meter, slot, *register);
            let (hidden, kept) =
                self.roster.scheme().contribute(&device, *wh, Context(&statement), &mut core.rng);
            registers.insert(*register, ByteBuf::from(hidden.to_bytes()));
            retained.insert(*register, kept);
        }
        let range_proof = match self.roster.parameters().range_proofs {
            RangeProofs::Off | RangeProofs::Audit => None,
            // What a meter hides lies in its range.
            RangeProofs::Each => {
                let own: Vec<_> = own(slot, &retained, energy).collect();
                range_proof::prove(&self.roster, &core.terms.meter, &own, &mut core.rng)
            }
        };
        (Contribution { slot, registers, range_proof }, retained)
    }

    fn readings(&self, quantities: &Quantities) -> Result<Readings, SlotError> {
        let parameters = self.roster.parameters();
        let reading = |register: &_| {
            let wh = quantities.get(register).ok_or(SlotError::Missing(*register))?;
            let reading = Reading::new(*wh, parameters.max_wh_per_slot);
            Ok((*register, reading.map_err(|error| SlotError::Reading(*register, error))?))
        };
        parameters.registers.iter().map(reading).collect()
    }
}
