//! What a meter has contributed: kept until no window can need it any more,
//! and sent again until the collector has receipted it.

use std::collections::BTreeMap;

use aggregation::{Rng, Scheme, Stored as _};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zeroize::{Zeroize, Zeroizing};

use crate::envelope::{Envelope, encode};
use crate::id::{Digest, Epoch};
use crate::message::Receipt;
use crate::parameters::RangeProofs;
use crate::range_proof::Own;
use crate::reading::Register;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp};

use super::Quantities;

/// What was retained of a slot, by register.
pub(super) type Retained<S> = BTreeMap<Register, <S as Scheme>::Retained>;

/// What a final listing made of a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// No final listing of its slot was seen.
    Unsettled,
    /// It is in the sum of its slot, and in no bill.
    Counted,
    /// It is in the sum of its slot, and in a claim.
    Claimed,
    /// It is in no sum, and its energy went into the pool.
    Pooled,
    /// Its slot is void.
    Void,
}

/// One slot's contribution with what it takes to claim it.
pub(super) struct Sent<S: Scheme> {
    pub(super) message: Vec<u8>,
    retained: Retained<S>,
    /// What it holds in Wh, while it may have to be carried or proved.
    energy: Quantities,
    pub(super) standing: Standing,
    /// The signed receipt, if there is one; the best one of several.
    receipt: Option<(Receipt, Vec<u8>)>,
    /// Whether the disk holds it as it is.
    is_written: bool,
}

/// A contribution as the disk holds it.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredSent {
    pub(crate) message: ByteBuf,
    retained: BTreeMap<Register, ByteBuf>,
    energy: Quantities,
    pub(crate) standing: Standing,
    pub(crate) receipt: Option<ByteBuf>,
}

impl<S: Scheme> Drop for Sent<S> {
    fn drop(&mut self) {
        self.forget_energy();
    }
}

impl Drop for StoredSent {
    fn drop(&mut self) {
        self.energy.values_mut().for_each(Zeroize::zeroize);
        self.retained.values_mut().for_each(|bytes| bytes.zeroize());
    }
}

impl<S: Scheme> Sent<S> {
    fn forget_energy(&mut self) {
        for wh in self.energy.values_mut() {
            wh.zeroize();
        }
        self.energy.clear();
    }

    fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let stored = |(register, kept): (&Register, &S::Retained)| {
            (*register, ByteBuf::from(std::mem::take(&mut *kept.to_stored())))
        };
        let record = StoredSent {
            message: self.message.clone().into(),
            retained: self.retained.iter().map(stored).collect(),
            energy: self.energy.clone(),
            standing: self.standing,
            receipt: self.receipt.as_ref().map(|(_, message)| message.clone().into()),
        };
        Zeroizing::new(encode(&record))
    }

    fn from_stored(key: &Key, bytes: &[u8]) -> Result<Self, Unreadable> {
        let record: StoredSent = record::read(key, bytes)?;
        let retained = record.retained.iter().map(|(register, bytes)| {
            let kept = S::Retained::from_stored(bytes).map_err(|_| Unreadable::from(key))?;
            Ok((*register, kept))
        });
        let retained = retained.collect::<Result<_, Unreadable>>()?;
        let receipt = |message: &ByteBuf| {
            let body = Envelope::parse(message).and_then(|envelope| envelope.peek());
            body.map(|body| (body, message.to_vec())).map_err(|_| Unreadable::from(key))
        };
        let receipt = record.receipt.as_ref().map(receipt).transpose()?;
        Ok(Self {
            message: record.message.to_vec(),
            retained,
            energy: record.energy.clone(),
            standing: record.standing,
            receipt,
            is_written: true,
        })
    }
}

pub(super) struct Outbox<S: Scheme> {
    epoch: Epoch,
    slots: BTreeMap<Slot, Sent<S>>,
    retry: Option<Retry>,
    /// Whether what was counted may have to be proved to lie in its range.
    is_audited: bool,
}

impl<S: Scheme> Outbox<S> {
    pub(super) fn new(epoch: Epoch, range_proofs: RangeProofs) -> Self {
        let is_audited = range_proofs == RangeProofs::Audit;
        Self { epoch, slots: BTreeMap::new(), retry: None, is_audited }
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
        self.retry = Some(Retry::started(now, rng));
        self.rest_if_done();
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
        let sent = Sent { message, retained, energy, standing, receipt: None, is_written: true };
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
            sent.is_written = false;
        }
        self.rest_if_done();
        true
    }

    /// The receipts that are not on the disk yet.
    pub(super) fn unwritten(&mut self) -> Vec<Change> {
        let epoch = self.epoch;
        let unwritten = self.slots.iter_mut().filter(|(_, sent)| !sent.is_written);
        let write = |(slot, sent): (&Slot, &mut Sent<S>)| {
            sent.is_written = true;
            Change::Write(Key::sent(epoch, *slot), sent.to_stored())
        };
        unwritten.map(write).collect()
    }

    /// The signed receipt that says that a slot's contribution was on time.
    pub(super) fn on_time(&self, slot: Slot) -> Option<&[u8]> {
        let (receipt, message) = self.slots.get(&slot)?.receipt.as_ref()?;
        receipt.on_time.then_some(message.as_slice())
    }

    /// Notes what became of a contribution, and hands out its energy where
    /// that waits from now on; none if there is no such contribution, or if
    /// that was noted before.
    pub(super) fn settle(&mut self, slot: Slot, standing: Standing) -> Option<Quantities> {
        let sent = self.slots.get_mut(&slot).filter(|sent| sent.standing == Standing::Unsettled)?;
        sent.standing = standing;
        sent.is_written = false;
        let stays = self.is_audited && standing == Standing::Counted;
        let energy = if stays { Quantities::new() } else { std::mem::take(&mut sent.energy) };
        self.rest_if_done();
        Some(energy)
    }

    /// Notes that contributions are in a claim.
    pub(super) fn claimed(&mut self, slots: &[Slot]) {
        for slot in slots {
            if let Some(sent) = self.slots.get_mut(slot) {
                sent.standing = Standing::Claimed;
                sent.is_written = false;
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
        let changes = over.map(|(slot, _)| Change::Erase(Key::sent(epoch, slot))).collect();
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
