//! A region of meters in memory, with every key at hand: what a test needs to
//! play an honest party or a bent one.

pub(crate) mod bent;
pub(crate) mod billed;
pub(crate) mod disk;
pub(crate) mod founding;
pub(crate) mod home;
pub(crate) mod region;
pub(crate) mod relay;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aggregation::{ElGamal, Plain, Rng, Scheme, Table};
use protocol::id::{MeterId, RegionId};
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::message::Invited;
use protocol::output::{Event, Output, Publication};
use protocol::parameters::{Floors, Parameters, RangeProofs, Threshold, ThresholdRule};
use protocol::reading::Register;
use protocol::record::{Records, Sort};
use protocol::slot::Timestamp;
use protocol::tariff::{Step, Tariff};
use protocol::{collector, meter};
use rand::SeedableRng as _;

/// 2025-06-15T15:06:40Z, in the middle of slot 1944444.
pub(crate) const START: Timestamp = Timestamp(1_750_000_000_000);

/// How long a step of a ceremony waits.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// The seeds of the identities that are no meter's.
pub(crate) const COLLECTOR_SEED: [u8; 32] = [0xc0; 32];
pub(crate) const REGISTRAR_SEED: [u8; 32] = [0xee; 32];

/// A scheme with the tables that its collector holds.
pub(crate) trait Kit: Scheme {
    fn decoder() -> Arc<Self::Decoder>;
}

impl Kit for Plain {
    fn decoder() -> Arc<()> {
        Arc::new(())
    }
}

impl Kit for ElGamal {
    fn decoder() -> Arc<Table> {
        static TABLE: OnceLock<Arc<Table>> = OnceLock::new();
        TABLE.get_or_init(|| Arc::new(Table::new(16))).clone()
    }
}

/// A region name of 8 bytes.
pub(crate) fn region_id() -> RegionId {
    "north-01".parse().unwrap()
}

/// The id of the meter at a position, of 8 bytes.
pub(crate) fn meter_id(at: usize) -> MeterId {
    format!("meter-{:02}", at + 1).parse().unwrap()
}

pub(crate) fn meter_ids(positions: impl IntoIterator<Item = usize>) -> Vec<MeterId> {
    positions.into_iter().map(meter_id).collect()
}

pub(crate) fn meter_seed(at: usize) -> [u8; 32] {
    [u8::try_from(at + 1).unwrap(); 32]
}

pub(crate) fn meter_identity(at: usize) -> Identity {
    Identity::from_seed(&meter_seed(at))
}

pub(crate) fn collector_identity() -> Identity {
    Identity::from_seed(&COLLECTOR_SEED)
}

pub(crate) fn registrar() -> Registrar {
    Registrar::new(Identity::from_seed(&REGISTRAR_SEED))
}

pub(crate) fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

/// Four of the members make a sum; windows have four slots of 15 minutes.
pub(crate) fn parameters<S: Scheme>() -> Parameters {
    Parameters {
        scheme: S::NAME.to_owned(),
        threshold: Threshold::All,
        min_contributors: 3,
        max_corrupted: 1,
        min_slots: 3,
        slot_seconds: NonZeroU32::new(900).unwrap(),
        window_slots: NonZeroU32::new(4).unwrap(),
        grace_s: 60,
        deadline_s: 7200,
        max_wh_per_slot: 65_535,
        registers: vec![Register::Import],
        range_proofs: RangeProofs::Off,
        tariff: Tariff::single(),
    }
}

/// Four holders of five open a sum.
pub(crate) fn dealt<S: Scheme>() -> Parameters {
    Parameters { threshold: Threshold::Of(4), ..parameters::<S>() }
}

/// Members prove the range of what they encrypt in this mode.
pub(crate) fn proven<S: Scheme>(range_proofs: RangeProofs) -> Parameters {
    Parameters { range_proofs, ..parameters::<S>() }
}

pub(crate) fn both_registers<S: Scheme>() -> Parameters {
    Parameters { registers: vec![Register::Import, Register::Export], ..parameters::<S>() }
}

/// A step of the first so many slots of each so many, and the rest.
pub(crate) fn peak(slots: u32, of: u32) -> Tariff {
    let seconds = |slots| slots * parameters::<Plain>().slot_seconds.get();
    let step = |name: &str, spans| Step { name: name.parse().unwrap(), spans };
    let steps = vec![step("peak", vec![(0, seconds(slots))]), step("rest", vec![])];
    Tariff::new(NonZeroU32::new(seconds(of)).unwrap(), steps).unwrap()
}

/// Floors that [`parameters`] keep to without room, but for the threshold.
pub(crate) fn floors<S: Scheme>() -> Floors {
    let given = parameters::<S>();
    Floors {
        scheme: given.scheme,
        threshold: ThresholdRule::Count(4),
        min_contributors: given.min_contributors,
        max_corrupted: given.max_corrupted,
        min_slots: given.min_slots,
        slot_seconds: given.slot_seconds.get(),
        range_proofs: given.range_proofs,
    }
}

pub(crate) fn invited(count: usize) -> Vec<Invited> {
    let one = |at| Invited { meter: meter_id(at), key: meter_identity(at).key() };
    (0..count).map(one).collect()
}

pub(crate) fn meter_terms<S: Scheme>(at: usize) -> meter::Terms {
    meter::Terms {
        region: region_id(),
        meter: meter_id(at),
        registrar: registrar().key(),
        floors: floors::<S>(),
    }
}

pub(crate) fn new_meter<S: Scheme>(at: usize, now: Timestamp) -> meter::Meter<S> {
    new_meter_from(at, meter_rng(at), now)
}

/// A new meter that draws from this.
pub(crate) fn new_meter_from<S: Scheme>(at: usize, rng: Rng, now: Timestamp) -> meter::Meter<S> {
    let (terms, kept) = (meter_terms::<S>(at), Records::default());
    meter::Meter::new(terms, meter_identity(at), &kept, rng, now).unwrap()
}

/// What a new meter draws from.
pub(crate) fn meter_rng(at: usize) -> Rng {
    rng(100 + at as u64)
}

/// What a collector is told of so many meters; whatever the parameters say of
/// the threshold stays.
pub(crate) fn collector_terms(count: usize, parameters: Parameters) -> collector::Terms {
    collector::Terms {
        region: region_id(),
        threshold: match parameters.threshold {
            Threshold::All => ThresholdRule::All,
            Threshold::Of(holders) => ThresholdRule::Count(holders),
        },
        max_corrupted: Some(parameters.max_corrupted),
        parameters,
        epoch_windows: 4,
        members: invited(count),
        patience: PATIENCE,
        audit_percent: 100,
        readmitted: BTreeMap::new(),
    }
}

pub(crate) fn new_collector<S: Kit>(
    count: usize,
    parameters: Parameters,
    now: Timestamp,
) -> collector::Collector<S> {
    let terms = collector_terms(count, parameters);
    let keys = (collector_identity(), registrar());
    collector::Collector::new(terms, keys, &Records::default(), (S::decoder(), rng(99)), now)
        .unwrap()
}

/// A collector that starts with these terms and what was kept.
pub(crate) fn collector_with<S: Kit>(
    terms: collector::Terms,
    kept: &Records,
    now: Timestamp,
) -> collector::Collector<S> {
    let keys = (collector_identity(), registrar());
    collector::Collector::new(terms, keys, kept, (S::decoder(), rng(98)), now).unwrap()
}

/// What of a machine's outputs is on its disk.
pub(crate) fn persisted(outputs: impl IntoIterator<Item = Output>) -> Records {
    let mut disk = Records::default();
    for output in outputs {
        if let Output::Persist(change) = output {
            disk.apply(change);
        }
    }
    disk
}

/// The records of a disk of these sorts.
pub(crate) fn copy(disk: &Records, sorts: &[Sort]) -> Records {
    let all = sorts.iter().flat_map(|sort| disk.of(*sort));
    all.map(|(key, value)| (key.clone(), value.to_vec().into())).collect()
}

/// Everything that a meter hands out.
pub(crate) fn drain<S: Scheme>(meter: &mut meter::Meter<S>) -> Vec<Output> {
    std::iter::from_fn(|| meter.poll_output()).collect()
}

pub(crate) fn events(outputs: &[Output]) -> Vec<Event> {
    let event = |output: &Output| match output {
        Output::Event(event) => Some(event.clone()),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

/// What was published under a topic that ends like this.
pub(crate) fn published(outputs: &[Output], topic: &str) -> Vec<Vec<u8>> {
    let payload = |output: &Output| match output {
        Output::Publish(Publication { topic: found, payload, .. }) if found.ends_with(topic) => {
            Some(payload.clone())
        }
        _ => None,
    };
    outputs.iter().filter_map(payload).collect()
}
