//! A contribution of this meter's own, and what became of it.

use std::collections::BTreeMap;

use aggregation::{Scheme, Stored as _};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zeroize::{Zeroize, Zeroizing};

use crate::envelope::{Envelope, encode};
use crate::id::Epoch;
use crate::message::Receipt;
use crate::portion::Portion;
use crate::reading::Register;
use crate::record::{self, Key, Records, Sort, Unreadable};
use crate::slot::Slot;

use super::super::Quantities;

/// What was retained of a slot, by register.
pub(in crate::meter) type Retained<S> = BTreeMap<Register, <S as Scheme>::Retained>;

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
pub(in crate::meter) struct Sent<S: Scheme> {
    pub(in crate::meter) message: Vec<u8>,
    pub(super) retained: Retained<S>,
    /// What it holds in Wh, while it may have to be carried or proved.
    pub(super) energy: Quantities,
    pub(in crate::meter) standing: Standing,
    /// The portion whose final listing settled it.
    pub(super) portion: Option<Portion>,
    /// The signed receipt, if there is one; the best one of several.
    pub(super) receipt: Option<(Receipt, Vec<u8>)>,
    /// How long a receipt is expected to be.
    pub(super) room: usize,
    /// Whether the disk holds all but the standing as it is.
    pub(super) is_written: bool,
}

/// A contribution as the disk holds it.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredSent {
    pub(crate) message: ByteBuf,
    retained: BTreeMap<Register, ByteBuf>,
    energy: Quantities,
    /// As it was when this was written: that of a portion's standings is newer.
    pub(crate) standing: Standing,
    pub(crate) receipt: Option<ByteBuf>,
    /// As many bytes as its receipt will have: a record that keeps its length is
    /// written again in its place.
    #[serde(default)]
    room: ByteBuf,
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
    pub(super) fn forget_energy(&mut self) {
        for wh in self.energy.values_mut() {
            wh.zeroize();
        }
        self.energy.clear();
    }

    pub(super) fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let stored = |(register, kept): (&Register, &S::Retained)| {
            (*register, ByteBuf::from(std::mem::take(&mut *kept.to_stored())))
        };
        let record = StoredSent {
            message: self.message.clone().into(),
            retained: self.retained.iter().map(stored).collect(),
            energy: self.energy.clone(),
            standing: self.standing,
            receipt: self.receipt.as_ref().map(|(_, message)| message.clone().into()),
            room: vec![0; if self.receipt.is_some() { 0 } else { self.room }].into(),
        };
        Zeroizing::new(encode(&record))
    }

    pub(super) fn from_stored(key: &Key, bytes: &[u8]) -> Result<Self, Unreadable> {
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
            portion: None,
            room: receipt.as_ref().map_or(record.room.len(), |(_, message)| message.len()),
            receipt,
            is_written: true,
        })
    }
}

/// What final listings made of the contributions of an epoch, as the disk
/// holds it.
///
/// # Errors
/// The record that is not what was written.
pub(crate) fn standings(
    kept: &Records,
    epoch: Epoch,
) -> Result<BTreeMap<Portion, BTreeMap<Slot, Standing>>, Unreadable> {
    let read = |(key, bytes): (&Key, _)| Ok((key.portion().ok_or(key)?, record::read(key, bytes)?));
    kept.within(Sort::Standings, epoch).map(read).collect()
}
