//! What the judge makes of receipts: what was receipted as on time is in the
//! set of its slot, whatever crashed since.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;
use protocol::envelope::Envelope;
use protocol::id::{Digest, MeterId, Sender};
use protocol::message::Receipt;
use protocol::slot::{Slot, Timestamp};
use serde_bytes::ByteBuf;

use crate::plan::Party;

use super::{Judge, Violation};

/// What the collector has said that it has, and what it asked for.
#[derive(Default)]
pub(super) struct Receipts {
    /// Who is on time in a slot, and since when that is said.
    on_time: BTreeMap<Slot, BTreeMap<MeterId, Timestamp>>,
    /// Who is in the set of a slot, with the digest of the first request, and
    /// since when that is said.
    sets: BTreeMap<Slot, (Digest, BTreeSet<MeterId>, Timestamp)>,
}

impl<S: Scheme> Judge<S> {
    pub(super) fn see_receipt(&mut self, receipt: Receipt) -> Result<(), Violation> {
        if !receipt.on_time {
            return Ok(());
        }
        let Receipt { slot, meter, .. } = receipt;
        if let Some((_, set, _)) = self.receipts.sets.get(&slot)
            && !set.contains(&meter)
        {
            return Err(Violation::Lost { meter, slot });
        }
        self.receipts.on_time.entry(slot).or_default().entry(meter).or_insert(self.now);
        Ok(())
    }

    /// The first request for a slot: one set, with all that were on time.
    pub(super) fn see_set(
        &mut self,
        slot: Slot,
        request: Digest,
        listed: &[ByteBuf],
    ) -> Result<(), Violation> {
        let sender =
            |message: &ByteBuf| match Envelope::parse(message).ok()?.header().sender.clone() {
                Sender::Meter(meter) => Some(meter),
                _ => None,
            };
        let set: BTreeSet<_> = listed.iter().filter_map(sender).collect();
        let on_time = self.receipts.on_time.get(&slot);
        let lost = on_time.into_iter().flat_map(BTreeMap::keys).find(|meter| !set.contains(*meter));
        if let Some(meter) = lost {
            return Err(Violation::Lost { meter: meter.clone(), slot });
        }
        match self.receipts.sets.insert(slot, (request, set, self.now)) {
            Some((known, ..)) if known != request => Err(Violation::TwoRequests(slot)),
            _ => Ok(()),
        }
    }

    /// A party goes on with a disk of some time ago: what a collector said since
    /// it does not know any more.
    pub(crate) fn restored(&mut self, party: Party, at: Timestamp) {
        if party != Party::Collector {
            return;
        }
        self.is_restored = true;
        for meters in self.receipts.on_time.values_mut() {
            meters.retain(|_, said| *said < at);
        }
        self.receipts.sets.retain(|_, (_, _, said)| *said < at);
    }
}
