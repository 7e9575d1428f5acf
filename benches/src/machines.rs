//! Meters and collectors as their daemons run them, each fed by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aggregation::{ElGamal, Table};
use protocol::collector::{self, Collector};
use protocol::id::Epoch;
use protocol::meter::{self, Meter, Quantities};
use protocol::output::{Output, Publication};
use protocol::parameters::{Floors, ThresholdRule};
use protocol::reading::Register;
use protocol::record::{Change, Key, Records};
use protocol::slot::{Slot, Timestamp};

use crate::region::{
    EPOCH, Region, collector as collector_identity, identity, invited, meter_id, parameters,
    reading, region_id, registrar, rng,
};

/// A moment in the slot before the first one of every region.
pub const BEFORE: Timestamp = Timestamp(1_750_000_000_000);

/// What a machine has handed out, and not yet done.
pub type Outputs = Vec<Output>;

/// A member, with what it kept; it starts at `now`.
pub fn meter(at: usize, members: usize, kept: &Records, now: Timestamp) -> Meter<ElGamal> {
    let given = parameters(ThresholdRule::TwoThirds, members);
    let floors = Floors {
        scheme: given.scheme,
        threshold: ThresholdRule::TwoThirds,
        min_contributors: given.min_contributors,
        max_corrupted: given.max_corrupted,
        min_slots: given.min_slots,
        slot_seconds: given.slot_seconds.get(),
        range_proofs: given.range_proofs,
    };
    let registrar = registrar().key();
    let terms = meter::Terms { region: region_id(), meter: meter_id(at), registrar, floors };
    Meter::new(terms, identity(at), kept, rng(100 + at as u64), now).unwrap()
}

/// A collector, with what it kept; it starts at `now`.
pub fn collector(
    members: usize,
    decoder: &Arc<Table>,
    kept: &Records,
    now: Timestamp,
) -> Collector<ElGamal> {
    let parameters = parameters(ThresholdRule::TwoThirds, members);
    let terms = collector::Terms {
        region: region_id(),
        threshold: ThresholdRule::TwoThirds,
        max_corrupted: Some(parameters.max_corrupted),
        parameters,
        epoch_windows: 1,
        members: invited(members),
        patience: Duration::from_mins(10),
        audit_percent: 0,
        readmitted: BTreeMap::new(),
    };
    let keys = (collector_identity(), registrar());
    Collector::new(terms, keys, kept, (decoder.clone(), rng(99)), now).unwrap()
}

/// Everything that a meter hands out.
pub fn drain(meter: &mut Meter<ElGamal>) -> Outputs {
    std::iter::from_fn(|| meter.poll_output()).collect()
}

/// Everything that a collector hands out.
pub fn drain_collector(collector: &mut Collector<ElGamal>) -> Outputs {
    std::iter::from_fn(|| collector.poll_output()).collect()
}

/// What is published under a topic that ends like this.
pub fn published<'a>(outputs: &'a [Output], topic: &str) -> Vec<&'a [u8]> {
    let payload = |output: &'a Output| match output {
        Output::Publish(Publication { topic: found, payload, .. }) if found.ends_with(topic) => {
            Some(payload.as_slice())
        }
        _ => None,
    };
    outputs.iter().filter_map(payload).collect()
}

/// Makes durable what a machine hands out to be kept.
pub fn keep(outputs: Outputs, disk: &mut Records) {
    for output in outputs {
        if let Output::Persist(change) = output {
            disk.apply(change);
        }
    }
}

impl Region {
    /// The disk of a member that has just joined.
    pub fn member_disk(&self, at: usize) -> Records {
        let mut disk = self.collector_disk();
        disk.apply(Change::Write(Key::key_share(EPOCH), self.stored_secret(at).into()));
        disk
    }

    /// The disk of a collector whose region has just opened.
    pub fn collector_disk(&self) -> Records {
        let epoch: Epoch = EPOCH;
        let mut disk = Records::default();
        disk.apply(Change::Write(Key::roster(epoch), self.signed.clone().into()));
        disk
    }

    /// The end of a slot.
    pub fn end(&self, slot: Slot) -> Timestamp {
        self.roster.grid().end(slot)
    }
}

/// Lets a member's own slot end: what it contributes.
pub fn contribute(
    meter: &mut Meter<ElGamal>,
    at: usize,
    slot: Slot,
    now: Timestamp,
) -> (Vec<u8>, Outputs) {
    let quantities = Quantities::from([(Register::Import, reading(at, slot))]);
    meter.handle_reading(slot, &quantities, now);
    let outputs = drain(meter);
    let [message] = published(&outputs, "/contribution")[..] else { panic!("{outputs:?}") };
    (message.to_vec(), outputs)
}
