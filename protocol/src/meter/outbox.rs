//! What a meter has contributed: kept until no window can need it any more,
//! and sent again until the collector has receipted it.

mod sent;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Rng, Scheme};

use crate::envelope::encode;
use crate::id::{Digest, Epoch};
use crate::message::Receipt;
use crate::parameters::RangeProofs;
use crate::portion::Portion;
use crate::range_proof::Own;
use crate::reading::Register;
use crate::record::{Change, Key, Records, Sort, Unreadable};
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp};

use super::Quantities;
pub(super) use sent::{Retained, Sent};
pub(crate) use sent::{Standing, StoredSent, standings};

pub(super) struct Outbox<S: Scheme> {
    epoch: Epoch,
    slots: BTreeMap<Slot, Sent<S>>,
    /// Portions whose standings the disk does not hold as they are.
    unwritten: BTreeSet<Portion>,
    retry: Option<Retry>,
    /// How long the latest receipt was.
    room: usize,
    /// Whether what was counted may have to be proved to lie in its range.
    is_audited: bool,
}

impl<S: Scheme> Outbox<S> {
    pub(super) fn new(epoch: Epoch, range_proofs: RangeProofs) -> Self {
        let is_audited = range_proofs == RangeProofs::Audit;
        let (slots, unwritten, retry, room) = Default::default();
        Self { epoch, slots, unwritten, retry, room, is_audited }
    }

    /// Takes up what was kept of the epoch.
    pub(super) fn restore(
        &mut self,
        kept: &Records,
        (now, rng): (Timestamp, &mut Rng),
    ) -> Result<(), Unreadable> {
        for (key, bytes) in kept.within(Sort::Sent, self.epoch) {
            self.slots.insert(Slot(key.position), Sent::from_stored(key, bytes)?);
        }
        self.room = self.slots.values().next_back().map_or(0, |sent| sent.room);
        self.restore_standings(kept)?;
        self.retry = Some(Retry::started(now, rng));
        self.rest_if_done();
        Ok(())
    }

    fn restore_standings(&mut self, kept: &Records) -> Result<(), Unreadable> {
        for (portion, standings) in standings(kept, self.epoch)? {
            for (slot, standing) in standings {
                if let Some(sent) = self.slots.get_mut(&slot) {
                    (sent.standing, sent.portion) = (standing, Some(portion));
                    if !needs_energy(self.is_audited, standing) {
                        sent.forget_energy();
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn message(&self, slot: Slot) -> Option<&[u8]> {
        self.slots.get(&slot).map(|sent| sent.message.as_slice())
    }

    /// A contribution that is in the sum of its slot, or may be.
    pub(super) fn countable(&self, slot: Slot) -> Option<&[u8]> {
        let sent = self.slots.get(&slot)?;
        let is_left_out = matches!(sent.standing, Standing::Pooled | Standing::Void);
        (!is_left_out).then_some(sent.message.as_slice())
    }

    /// Takes a contribution; the change that makes it durable.
    pub(super) fn add(
        &mut self,
        slot: Slot,
        message: Vec<u8>,
        (retained, energy): (Retained<S>, Quantities),
        (now, rng): (Timestamp, &mut Rng),
    ) -> Change {
        let standing = Standing::Unsettled;
        let (portion, receipt, room, is_written) = (None, None, self.room, true);
        let sent = Sent { message, retained, energy, standing, portion, receipt, room, is_written };
        let record = sent.to_stored();
        self.slots.insert(slot, sent);
        self.retry = Some(Retry::started(now, rng));
        Change::Write(Key::sent(self.epoch, slot), record)
    }

    /// Notes a receipt with its signed message; false if it is for nothing
    /// that was sent.
    pub(super) fn receipt(&mut self, receipt: Receipt, message: &[u8]) -> bool {
        let Some(sent) = self.slots.get_mut(&receipt.slot) else { return false };
        if digest(&sent.message) != receipt.contribution {
            return false;
        }
        let known = sent.receipt.as_ref().map(|(known, _)| known.on_time);
        if known.is_none_or(|on_time| receipt.on_time && !on_time) {
            sent.receipt = Some((receipt, message.to_vec()));
            self.room = message.len();
            sent.is_written = false;
        }
        self.rest_if_done();
        true
    }

    /// The receipts and standings that are not on the disk yet. Those of a
    /// portion change together, and in a small record.
    pub(super) fn unwritten(&mut self) -> Vec<Change> {
        let epoch = self.epoch;
        let portions = std::mem::take(&mut self.unwritten).into_iter();
        let standings = portions.map(|portion| {
            let record = encode(&self.of_portion(portion));
            Change::Write(Key::standings(epoch, portion), record.into())
        });
        let mut changes: Vec<_> = standings.collect();
        let unwritten = self.slots.iter_mut().filter(|(_, sent)| !sent.is_written);
        let write = |(slot, sent): (&Slot, &mut Sent<S>)| {
            sent.is_written = true;
            Change::Write(Key::sent(epoch, *slot), sent.to_stored())
        };
        changes.extend(unwritten.map(write));
        changes
    }

    /// What became of the contributions to a portion.
    fn of_portion(&self, portion: Portion) -> BTreeMap<Slot, Standing> {
        let sent = self.slots.iter().filter(|(_, sent)| sent.portion == Some(portion));
        sent.map(|(slot, sent)| (*slot, sent.standing)).collect()
    }

    /// The signed receipt that says that a slot's contribution was on time.
    pub(super) fn on_time(&self, slot: Slot) -> Option<&[u8]> {
        let (receipt, message) = self.slots.get(&slot)?.receipt.as_ref()?;
        receipt.on_time.then_some(message.as_slice())
    }

    /// Notes what became of a contribution, and hands out its energy where
    /// that waits from now on; none if there is no such contribution, or if
    /// that was noted before.
    pub(super) fn settle(
        &mut self,
        (portion, slot): (Portion, Slot),
        standing: Standing,
    ) -> Option<Quantities> {
        let sent = self.slots.get_mut(&slot).filter(|sent| sent.standing == Standing::Unsettled)?;
        (sent.standing, sent.portion) = (standing, Some(portion));
        self.unwritten.insert(portion);
        let stays = needs_energy(self.is_audited, standing);
        let energy = if stays { Quantities::new() } else { std::mem::take(&mut sent.energy) };
        self.rest_if_done();
        Some(energy)
    }

    /// Notes that contributions are in a claim.
    pub(super) fn claimed(&mut self, slots: &[Slot]) {
        for slot in slots {
            if let Some(sent) = self.slots.get_mut(slot) {
                sent.standing = Standing::Claimed;
                match sent.portion {
                    Some(portion) => _ = self.unwritten.insert(portion),
                    None => sent.is_written = false,
                }
            }
        }
    }

    pub(super) fn standing(&self, slot: Slot) -> Option<Standing> {
        self.slots.get(&slot).map(|sent| sent.standing)
    }

    /// Slots of which no final listing was seen.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = Slot> {
        let unsettled = |(_, sent): &(&Slot, &Sent<S>)| sent.standing == Standing::Unsettled;
        self.slots.iter().filter(unsettled).map(|(slot, _)| *slot)
    }

    /// What a contribution holds in Wh, while it is unsettled.
    pub(super) fn contents(&self, slot: Slot) -> Option<&Quantities> {
        let sent = self.slots.get(&slot).filter(|sent| sent.standing == Standing::Unsettled)?;
        Some(&sent.energy)
    }

    /// Slots that are in a sum and in no claim.
    pub(super) fn unbilled(&self) -> usize {
        self.slots.values().filter(|sent| sent.standing == Standing::Counted).count()
    }

    /// Energy that is unsettled.
    pub(super) fn unsettled_energy(&self) -> impl Iterator<Item = &Quantities> {
        let unsettled = self.slots.values().filter(|sent| sent.standing == Standing::Unsettled);
        unsettled.map(|sent| &sent.energy)
    }

    /// Contributions that the collector may not have.
    pub(super) fn unreceipted(&self) -> impl Iterator<Item = &Sent<S>> {
        self.slots
            .values()
            .filter(|sent| sent.receipt.is_none() && sent.standing == Standing::Unsettled)
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.retry.map(|retry| retry.due())
    }

    pub(super) fn again(&mut self, now: Timestamp, rng: &mut Rng) {
        if let Some(retry) = &mut self.retry {
            retry.again(now, rng);
        }
    }

    /// What was retained of a register in a slot.
    pub(super) fn retained(&self, register: Register, slot: Slot) -> Option<&S::Retained> {
        self.slots.get(&slot)?.retained.get(&register)
    }

    /// What a contribution hides, register by register, if it is in a sum or
    /// may be.
    pub(super) fn own(&self, slot: Slot) -> impl Iterator<Item = Own<'_, S>> {
        let sent = self.slots.get(&slot).filter(|sent| {
            matches!(sent.standing, Standing::Unsettled | Standing::Counted | Standing::Claimed)
        });
        sent.into_iter().flat_map(move |sent| own(slot, &sent.retained, &sent.energy))
    }

    /// Drops what was sent before a slot and is settled, unless it may be
    /// claimed still; nothing of that has to be proved any more.
    pub(super) fn forget(&mut self, before: Slot, is_needed: impl Fn(Slot) -> bool) -> Vec<Change> {
        let epoch = self.epoch;
        let settled = |sent: &Sent<S>| sent.standing != Standing::Unsettled;
        let over = self.slots.extract_if(..before, |slot, sent| settled(sent) && !is_needed(*slot));
        let over: Vec<_> = over.map(|(slot, sent)| (slot, sent.portion)).collect();
        let portions: BTreeSet<_> = over.iter().filter_map(|(_, portion)| *portion).collect();
        let left = self.slots.values().filter_map(|sent| sent.portion).collect();
        let gone = &portions - &left;
        self.unwritten = &self.unwritten - &gone;
        let sent = over.into_iter().map(|(slot, _)| Key::sent(epoch, slot));
        let gone = gone.into_iter().map(|portion| Key::standings(epoch, portion));
        let changes = sent.chain(gone).map(Change::Erase).collect();
        for (_, sent) in self.slots.range_mut(..before) {
            if settled(sent) && !sent.energy.is_empty() {
                sent.forget_energy();
                sent.is_written = false;
            }
        }
        self.rest_if_done();
        changes
    }

    fn rest_if_done(&mut self) {
        if self.unreceipted().next().is_none() {
            self.retry = None;
        }
    }
}

/// Whether what a contribution holds may have to be carried or proved.
fn needs_energy(is_audited: bool, standing: Standing) -> bool {
    match standing {
        Standing::Unsettled => true,
        Standing::Counted | Standing::Claimed => is_audited,
        Standing::Pooled | Standing::Void => false,
    }
}

/// What is hidden of a slot, register by register.
pub(super) fn own<'a, S: Scheme>(
    slot: Slot,
    retained: &'a Retained<S>,
    energy: &'a Quantities,
) -> impl Iterator<Item = Own<'a, S>> {
    retained.iter().filter_map(move |(register, retained)| {
        let plaintext = *energy.get(register)?;
        Some(Own { slot, register: *register, retained, plaintext })
    })
}

/// The digest that a receipt names.
pub(crate) fn digest(message: &[u8]) -> Digest {
    Digest::of("contribution", message)
}
