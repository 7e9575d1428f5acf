//! What a meter has contributed: kept until no window can need it any more,
//! and sent again until the collector has receipted it.

use std::collections::BTreeMap;

use aggregation::{Rng, Scheme};

use crate::id::Digest;
use crate::reading::Register;
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp};
use crate::slots::SlotSet;

/// One slot's contribution with what it takes to claim it.
pub(super) struct Sent<S: Scheme> {
    pub(super) message: Vec<u8>,
    pub(super) retained: BTreeMap<Register, S::Retained>,
    receipted: bool,
}

pub(super) struct Outbox<S: Scheme> {
    slots: BTreeMap<Slot, Sent<S>>,
    retry: Option<Retry>,
}

impl<S: Scheme> Outbox<S> {
    pub(super) fn new() -> Self {
        Self { slots: BTreeMap::new(), retry: None }
    }

    pub(super) fn message(&self, slot: Slot) -> Option<Vec<u8>> {
        self.slots.get(&slot).map(|sent| sent.message.clone())
    }

    pub(super) fn add(
        &mut self,
        slot: Slot,
        message: Vec<u8>,
        retained: BTreeMap<Register, S::Retained>,
        (now, rng): (Timestamp, &mut Rng),
    ) {
        self.slots.insert(slot, Sent { message, retained, receipted: false });
        self.retry = Some(Retry::started(now, rng));
    }

    /// Notes a receipt; false if it is for nothing that was sent.
    pub(super) fn receipt(&mut self, slot: Slot, contribution: &Digest) -> bool {
        let Some(sent) = self.slots.get_mut(&slot) else { return false };
        if digest(&sent.message) != *contribution {
            return false;
        }
        sent.receipted = true;
        self.rest_if_done();
        true
    }

    pub(super) fn unreceipted(&self) -> impl Iterator<Item = &Sent<S>> {
        self.slots.values().filter(|sent| !sent.receipted)
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.retry.map(|retry| retry.due())
    }

    pub(super) fn again(&mut self, now: Timestamp, rng: &mut Rng) {
        if let Some(retry) = &mut self.retry {
            retry.again(now, rng);
        }
    }

    /// What was retained of a register at the given positions after `first`;
    /// none if any of it is missing.
    pub(super) fn retained(
        &self,
        register: Register,
        first: Slot,
        positions: &SlotSet,
    ) -> Option<Vec<&S::Retained>> {
        let at = |position: u32| self.slots.get(&first.plus(position.into()));
        positions.positions().map(|position| at(position)?.retained.get(&register)).collect()
    }

    pub(super) fn forget(&mut self, before: Slot) {
        self.slots = self.slots.split_off(&before);
        self.rest_if_done();
    }

    fn rest_if_done(&mut self) {
        if self.unreceipted().next().is_none() {
            self.retry = None;
        }
    }
}

/// The digest that a receipt names.
pub(crate) fn digest(message: &[u8]) -> Digest {
    Digest::of("contribution", message)
}
