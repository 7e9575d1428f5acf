//! A region in memory, whose first meter has a disk.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aggregation::{ElGamal, Scheme as _, Table};
use host::store::{Readers, Sqlite, Store as _};
use meter_agent::Config;
use meter_agent::slots::Slots;
use protocol::Rng;
use protocol::collector::{self, Collector};
use protocol::envelope::{Envelope, seal};
use protocol::id::{MeterId, Sender};
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::message::{Invited, Request};
use protocol::meter::{self, Meter, Uncounted};
use protocol::output::{Output, Publication};
use protocol::parameters::{Floors, Parameters, RangeProofs, Threshold, ThresholdRule};
use protocol::reading::Register;
use protocol::record::{Change, Records, Sort};
use protocol::roster::AcceptedRoster;
use protocol::slot::{Grid, Slot, Timestamp};
use protocol::tariff::Tariff;
use protocol::topic;
use rand::SeedableRng as _;

/// 2025-06-15 15:00 UTC.
pub(crate) const START: Timestamp = Timestamp(1_749_999_600_000);
const MEMBERS: usize = 3;
pub(crate) const READING: u64 = 31_337;

/// Windows of two slots, of which a bill has both.
pub(crate) fn parameters() -> Parameters {
    Parameters {
        scheme: ElGamal::NAME.to_owned(),
        threshold: Threshold::All,
        min_contributors: 2,
        max_corrupted: 0,
        min_slots: 2,
        slot_seconds: NonZeroU32::new(900).unwrap(),
        window_slots: NonZeroU32::new(2).unwrap(),
        grace_s: 60,
        deadline_s: 7200,
        max_wh_per_slot: 65_535,
        registers: vec![Register::Import],
        range_proofs: RangeProofs::Off,
        tariff: Tariff::single(),
    }
}

pub(crate) fn identity(number: usize) -> Identity {
    Identity::from_seed(&[u8::try_from(number).unwrap(); 32])
}

fn meter_id(at: usize) -> MeterId {
    format!("m-{at:02}").parse().unwrap()
}

pub(crate) fn registrar() -> Registrar {
    Registrar::new(identity(201))
}

/// A region in memory; what its first meter has to keep goes to its disk.
pub(crate) struct Street {
    collector: Collector<ElGamal>,
    pub(crate) meters: Vec<Meter<ElGamal>>,
    pub(crate) disk: Records,
    /// What the collector published.
    pub(crate) said: Vec<Publication>,
}

impl Street {
    pub(crate) fn open() -> Self {
        Self::open_with(parameters())
    }

    pub(crate) fn open_with(parameters: Parameters) -> Self {
        Self::open_at(parameters, START)
    }

    pub(crate) fn open_at(parameters: Parameters, start: Timestamp) -> Self {
        let region = "north".parse().unwrap();
        let invited = |at| Invited { meter: meter_id(at), key: identity(at + 1).key() };
        let members = (0..MEMBERS).map(invited).collect();
        let slot_seconds = parameters.slot_seconds.get();
        let terms = collector::Terms {
            region,
            parameters,
            threshold: ThresholdRule::All,
            max_corrupted: None,
            epoch_windows: 100,
            members,
            patience: Duration::from_mins(10),
            audit_percent: 0,
            readmitted: BTreeMap::new(),
        };
        let table = Arc::new(Table::new(16));
        let keys = (identity(200), registrar());
        let decoder = (table, Rng::seed_from_u64(1));
        let collector = Collector::new(terms, keys, &Records::default(), decoder, start).unwrap();
        let new = |at| new_meter(at, slot_seconds, &Records::default(), start);
        let meters = (0..MEMBERS).map(new).collect();
        let mut street = Self { collector, meters, disk: Records::default(), said: Vec::new() };
        street.deliver(start);
        street
    }

    pub(crate) fn grid(&self) -> Grid {
        self.meters[0].grid().unwrap()
    }

    pub(crate) fn slot(&self, position: u64) -> Slot {
        self.grid().origin.plus(position)
    }

    pub(crate) fn run_slot(&mut self, position: u64) {
        let (slot, now) = (self.slot(position), self.end(position));
        self.meters[0].handle_reading(slot, &[(Register::Import, READING)].into(), now);
        self.run_others(position);
    }

    /// Lets all but the first meter contribute to a slot.
    pub(crate) fn run_others(&mut self, position: u64) {
        let (slot, now) = (self.slot(position), self.end(position));
        for meter in &mut self.meters[1..] {
            meter.handle_reading(slot, &BTreeMap::from([(Register::Import, READING)]), now);
        }
        self.deliver(now);
    }

    /// When the slot at a position ends.
    pub(crate) fn end(&self, position: u64) -> Timestamp {
        self.grid().end(self.slot(position))
    }

    /// Lets time pass for everybody.
    pub(crate) fn wait_until(&mut self, now: Timestamp) {
        self.collector.handle_timeout(now);
        self.meters.iter_mut().for_each(|meter| meter.handle_timeout(now));
        self.deliver(now);
    }

    /// Stops the first meter and starts it again with its disk.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        let slot_seconds = self.grid().slot_seconds.get();
        self.meters[0] = new_meter(0, slot_seconds, &self.disk, now);
    }

    /// Hands what a source has to the first meter; nothing is delivered.
    pub(crate) fn hand_in(&mut self, slots: &mut Slots, now: Timestamp) {
        slots.hand_in(&mut self.meters[0], now).unwrap();
        while let Some(output) = self.meters[0].poll_output() {
            if let Output::Persist(change) = output {
                self.disk.apply(change);
            }
        }
    }

    /// What of the first meter's imported energy is in no sum.
    pub(crate) fn uncounted(&self) -> Uncounted {
        let uncounted = self.meters[0].uncounted();
        uncounted.get(&Register::Import).copied().unwrap_or_default()
    }

    pub(crate) fn tell_first(&mut self, message: &[u8]) {
        let now = self.end(3);
        self.meters[0].handle_message(message, now);
        self.deliver(now);
    }

    /// Delivers messages until nobody has anything more to say.
    pub(crate) fn deliver(&mut self, now: Timestamp) {
        loop {
            let outputs: Vec<_> = std::iter::from_fn(|| self.collector.poll_output()).collect();
            let mut quiet = outputs.is_empty();
            let said: Vec<_> = outputs.into_iter().filter_map(publication).collect();
            for (at, meter) in self.meters.iter_mut().enumerate() {
                let topics = topic::meter_subscriptions(&"north".parse().unwrap(), &meter_id(at));
                for message in said.iter().filter(|message| topics.contains(&message.topic)) {
                    meter.handle_message(&message.payload, now);
                }
                while let Some(output) = meter.poll_output() {
                    quiet = false;
                    match output {
                        Output::Persist(change) if at == 0 => self.disk.apply(change),
                        Output::Publish(publication) if !topic::is_json(&publication.topic) => {
                            self.collector.handle_message(&publication.payload, now);
                        }
                        _ => {}
                    }
                }
            }
            self.said.extend(said);
            if quiet {
                return;
            }
        }
    }

    /// The first request, and one that leaves the last member out.
    pub(crate) fn second_set(&self) -> Vec<u8> {
        let last = |end: &str| self.said.iter().find(|said| said.topic.ends_with(end)).unwrap();
        let region = "north".parse().unwrap();
        let roster = AcceptedRoster::<ElGamal>::open(
            &last("/c/roster").payload,
            &region,
            &registrar().key(),
        );
        let roster = roster.unwrap();
        let envelope = Envelope::parse(&last("/c/request").payload).unwrap();
        let Request::Region(slot, mut set) = envelope.peek().unwrap() else { panic!("a bill") };
        set.pop();
        let place = (&region, roster.epoch(), Sender::Collector);
        seal(&identity(200), place, roster.digest(), &Request::Region(slot, set))
    }
}

fn new_meter(at: usize, slot_seconds: u32, kept: &Records, now: Timestamp) -> Meter<ElGamal> {
    let floors = Floors {
        scheme: ElGamal::NAME.to_owned(),
        threshold: ThresholdRule::All,
        min_contributors: 2,
        max_corrupted: 0,
        min_slots: 2,
        slot_seconds,
        range_proofs: RangeProofs::Off,
    };
    let (region, registrar) = ("north".parse().unwrap(), registrar().key());
    let terms = meter::Terms { region, meter: meter_id(at), registrar, floors };
    Meter::new(terms, identity(at + 1), kept, Rng::seed_from_u64(at as u64), now).unwrap()
}

fn publication(output: Output) -> Option<Publication> {
    match output {
        Output::Publish(publication) => Some(publication),
        _ => None,
    }
}

pub(crate) fn config(dir: &Path) -> Config {
    let text = format!(
        "region = \"north\"\nmeter = \"m-00\"\nstate_dir = \"{}\"\nregistrar = \"{}\"\n\
         [broker]\nurl = \"mqtt://127.0.0.1:1\"\n[source]\nkind = \"simulated\"\nseed = 1\n",
        dir.join("state").display(),
        registrar().key()
    );
    toml::from_str(&text).unwrap()
}

/// The configuration of a meter whose database holds these records, which is
/// open all the while.
pub(crate) fn kept(disk: &Records) -> (tempfile::TempDir, Config, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut store =
        Sqlite::open(&config.keystore().unwrap(), "meter.db", Readers::OfCopies).unwrap();
    let all = Sort::ALL.iter().flat_map(|sort| disk.of(*sort));
    let write = |(key, value): (&_, &[u8])| Change::Write(Clone::clone(key), value.to_vec().into());
    store.commit(&all.map(write).collect::<Vec<_>>()).unwrap();
    (dir, config, store)
}
