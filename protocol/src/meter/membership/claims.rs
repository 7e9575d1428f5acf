//! The owner's side of a window: one claim to all of it, for ever.

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, Scheme};
use serde_bytes::ByteBuf;

use crate::message::Claim;
use crate::output::{Event, Obstacle};
use crate::record::{Change, Key, Records, Sort};
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp, Window};
use crate::slots::SlotSet;
use crate::topic::MeterTopic;

use super::super::Core;
use super::Membership;

/// A claim that was made.
pub(super) struct OwnClaim {
    pub(super) message: Vec<u8>,
    /// None once the collector has asked about the window's bills.
    pub(super) retry: Option<Retry>,
}

impl<S: Scheme> Membership<S> {
    /// Takes up the claims that were made before this start.
    pub(super) fn restore_claims(&mut self, core: &mut Core, kept: &Records, now: Timestamp) {
        for (key, bytes) in kept.within(Sort::Claim, self.roster.epoch()) {
            let window = Window(key.position);
            let open = !self.guard.has_billed(window);
            let retry = open.then(|| Retry::started(now, &mut core.rng));
            self.claims.insert(window, OwnClaim { message: bytes.to_vec(), retry });
        }
    }

    /// Claims a window at once if every slot of it was opened with everybody
    /// in it, and if it was not claimed before.
    pub(super) fn claim_if_complete(&mut self, core: &mut Core, window: Window, now: Timestamp) {
        let known = self.claims.contains_key(&window);
        if known || self.guard.uncounted(&self.roster, window).is_some() {
            return;
        }
        let Some(claim) = self.sum_up(core, window) else { return };
        let message = self.seal(core, &claim);
        let record = message.clone().into();
        core.persist(Change::Write(Key::claim(self.roster.epoch(), window), record));
        self.persist_receipts(core);
        core.publish(MeterTopic::Claim, message.clone());
        let retry = Some(Retry::started(now, &mut core.rng));
        self.claims.insert(window, OwnClaim { message, retry });
    }

    /// The sum of a whole window; none if what it takes is not at hand.
    fn sum_up(&self, core: &mut Core, window: Window) -> Option<Claim> {
        let slots: SlotSet = (0..self.roster.parameters().window_slots.get()).collect();
        let mut registers = BTreeMap::new();
        for register in &self.roster.parameters().registers {
            let retained: Option<Vec<_>> =
                self.slots_of(window).map(|slot| self.outbox.retained(*register, slot)).collect();
            let meter = &core.terms.meter;
            let statement = self.roster.place().claim(meter, window, &slots, *register);
            let context = Context(&statement);
            let sum = self.roster.scheme().claim(&retained?, context, &mut core.rng)?;
            registers.insert(*register, ByteBuf::from(sum.to_bytes()));
        }
        Some(Claim { window, slots, registers })
    }

    pub(super) fn slots_of(&self, window: Window) -> impl Iterator<Item = Slot> + use<S> {
        let grid = self.roster.grid();
        (grid.first_slot(window).0..=grid.last_slot(window).0).map(Slot)
    }

    /// Until when a holder waits for the requests that complete a window.
    pub(super) fn claim_due(&self) -> Timestamp {
        let last = self.roster.grid().last_slot(self.next_closing);
        self.roster.slot_closes(last) + self.roster.parameters().deadline() / 4
    }

    pub(super) fn covers_next_closing(&self) -> bool {
        self.roster.covers(self.roster.grid().last_slot(self.next_closing))
    }

    /// Says why a window was not claimed in time.
    pub(super) fn close_window(&mut self, core: &mut Core) {
        let window = self.next_closing;
        self.next_closing = Window(window.0 + 1);
        if !self.claims.contains_key(&window)
            && let Some((slot, why)) = self.obstacle(window)
        {
            core.event(Event::WindowClosed { window, slot, why });
        }
    }

    fn obstacle(&self, window: Window) -> Option<(Slot, Obstacle)> {
        if let Some(slot) = self.guard.uncounted(&self.roster, window) {
            let members = self.roster.body().members.len();
            let counted = self.guard.set(slot).map(std::collections::BTreeSet::len);
            let missing = |counted| Obstacle::Members { counted, members };
            return Some((slot, counted.map_or(Obstacle::Unanswered, missing)));
        }
        let lost = |slot: &Slot| self.outbox.message(*slot).is_none();
        self.slots_of(window).find(lost).map(|slot| (slot, Obstacle::Lost))
    }
}
