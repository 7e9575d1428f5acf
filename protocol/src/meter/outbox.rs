//! What a meter has contributed: kept until no window can need it any more,
//! and sent again until the collector has receipted it.

use std::collections::BTreeMap;

use aggregation::{Rng, Scheme, Stored as _};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zeroize::{Zeroize as _, Zeroizing};

use crate::envelope::{Envelope, encode};
use crate::id::{Digest, Epoch};
use crate::message::Receipt;
use crate::reading::Register;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp};

/// What was retained of a slot, by register.
pub(super) type Retained<S> = BTreeMap<Register, <S as Scheme>::Retained>;

/// One slot's contribution with what it takes to claim it.
pub(super) struct Sent<S: Scheme> {
    pub(super) message: Vec<u8>,
    retained: Retained<S>,
    /// The signed receipt, if there is one; the best one of several.
    receipt: Option<(Receipt, Vec<u8>)>,
    /// Whether the receipt is on the disk too.
    is_written: bool,
}

/// A contribution as the disk holds it.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredSent {
    pub(crate) message: ByteBuf,
    retained: BTreeMap<Register, ByteBuf>,
    pub(crate) receipt: Option<ByteBuf>,
}

impl Drop for StoredSent {
    fn drop(&mut self) {
        self.retained.values_mut().for_each(|bytes| bytes.zeroize());
    }
}

impl<S: Scheme> Sent<S> {
    fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let stored = |(register, kept): (&Register, &S::Retained)| {
            (*register, ByteBuf::from(std::mem::take(&mut *kept.to_stored())))
        };
        let record = StoredSent {
            message: self.message.clone().into(),
            retained: self.retained.iter().map(stored).collect(),
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
        Ok(Self { message: record.message.to_vec(), retained, receipt, is_written: true })
    }
}

pub(super) struct Outbox<S: Scheme> {
    epoch: Epoch,
    slots: BTreeMap<Slot, Sent<S>>,
    retry: Option<Retry>,
}

impl<S: Scheme> Outbox<S> {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, slots: BTreeMap::new(), retry: None }
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

    /// Takes a contribution; the change that makes it durable.
    pub(super) fn add(
        &mut self,
        slot: Slot,
        message: Vec<u8>,
        retained: Retained<S>,
        (now, rng): (Timestamp, &mut Rng),
    ) -> Change {
        let sent = Sent { message, retained, receipt: None, is_written: true };
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

    pub(super) fn unreceipted(&self) -> impl Iterator<Item = &Sent<S>> {
        self.slots.values().filter(|sent| sent.receipt.is_none())
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
