//! What `meter-agent sent` and `meter-agent evidence` tell of a database.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aggregation::{ElGamal, Scheme as _, Table};
use host::store::{Sqlite, Store as _};
use meter_agent::Config;
use meter_agent::evidence::Show;
use meter_agent::sent::Sent;
use protocol::Rng;
use protocol::collector::{self, Collector};
use protocol::envelope::{Envelope, encode, seal};
use protocol::evidence::Evidence;
use protocol::id::{MeterId, Sender};
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::message::{Invited, Request};
use protocol::meter::{self, Meter};
use protocol::output::{Output, Publication};
use protocol::parameters::{Floors, Parameters, RangeProofs, Threshold, ThresholdRule};
use protocol::reading::Register;
use protocol::record::{Change, Records};
use protocol::roster::AcceptedRoster;
use protocol::slot::Timestamp;
use protocol::tariff::Tariff;
use protocol::topic;
use rand::SeedableRng as _;
use serde_json::Value;

/// 2025-06-15 15:00 UTC.
const START: Timestamp = Timestamp(1_749_999_600_000);
const MEMBERS: usize = 3;
const READING: u64 = 31_337;

fn parameters() -> Parameters {
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

fn identity(number: usize) -> Identity {
    Identity::from_seed(&[u8::try_from(number).unwrap(); 32])
}

fn meter_id(at: usize) -> MeterId {
    format!("m-{at:02}").parse().unwrap()
}

fn registrar() -> Registrar {
    Registrar::new(identity(201))
}

/// A region in memory; what its first meter has to keep goes to its disk.
struct Street {
    collector: Collector<ElGamal>,
    meters: Vec<Meter<ElGamal>>,
    kept: Vec<Change>,
    /// What the collector published.
    said: Vec<Publication>,
}

impl Street {
    fn open() -> Self {
        let region = "north".parse().unwrap();
        let invited = |at| Invited { meter: meter_id(at), key: identity(at + 1).key() };
        let members = (0..MEMBERS).map(invited).collect();
        let terms = collector::Terms {
            region,
            parameters: parameters(),
            threshold: ThresholdRule::All,
            max_corrupted: None,
            epoch_windows: 2,
            members,
            patience: Duration::from_mins(10),
        };
        let table = Arc::new(Table::new(16));
        let keys = (identity(200), registrar());
        let decoder = (table, Rng::seed_from_u64(1));
        let collector = Collector::new(terms, keys, &Records::default(), decoder, START).unwrap();
        let meters = (0..MEMBERS).map(new_meter).collect();
        let mut street = Self { collector, meters, kept: Vec::new(), said: Vec::new() };
        street.deliver(START);
        street
    }

    fn run_slot(&mut self, position: u64) {
        let grid = self.meters[0].grid().unwrap();
        let slot = grid.origin.plus(position);
        let now = grid.end(slot);
        for meter in &mut self.meters {
            meter.handle_reading(slot, &[(Register::Import, READING)].into(), now);
        }
        self.deliver(now);
    }

    fn tell_first(&mut self, message: &[u8]) {
        let now = self.meters[0].grid().unwrap();
        let now = now.end(now.origin.plus(3));
        self.meters[0].handle_message(message, now);
        self.deliver(now);
    }

    /// Delivers messages until nobody has anything more to say.
    fn deliver(&mut self, now: Timestamp) {
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
                        Output::Persist(change) if at == 0 => self.kept.push(change),
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
    fn second_set(&self) -> Vec<u8> {
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

fn new_meter(at: usize) -> Meter<ElGamal> {
    let given = parameters();
    let floors = Floors {
        scheme: given.scheme,
        threshold: ThresholdRule::All,
        min_contributors: 2,
        max_corrupted: 0,
        min_slots: 2,
        slot_seconds: 900,
        range_proofs: RangeProofs::Off,
    };
    let (region, registrar) = ("north".parse().unwrap(), registrar().key());
    let terms = meter::Terms { region, meter: meter_id(at), registrar, floors };
    let (rng, kept) = (Rng::seed_from_u64(at as u64), Records::default());
    Meter::new(terms, identity(at + 1), &kept, rng, START).unwrap()
}

fn publication(output: Output) -> Option<Publication> {
    match output {
        Output::Publish(publication) => Some(publication),
        _ => None,
    }
}

fn config(dir: &Path) -> Config {
    let text = format!(
        "region = \"north\"\nmeter = \"m-00\"\nstate_dir = \"{}\"\nregistrar = \"{}\"\n\
         [broker]\nurl = \"mqtt://127.0.0.1:1\"\n[source]\nkind = \"simulated\"\nseed = 1\n",
        dir.join("state").display(),
        registrar().key()
    );
    toml::from_str(&text).unwrap()
}

/// The configuration of a meter whose database holds these changes, which is
/// open all the while.
fn kept(changes: Vec<Change>) -> (tempfile::TempDir, Config, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut store = Sqlite::open(&config.keystore().unwrap(), "meter.db").unwrap();
    store.commit(changes).unwrap();
    (dir, config, store)
}

fn sent(config: &Config, json: bool) -> String {
    let mut out = Vec::new();
    Sent { json }.run(config, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn shown(config: &Config, json: bool, export: Option<&Path>) -> String {
    let mut out = Vec::new();
    let export = export.map(Path::to_owned);
    Show { json, export }.run(config, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A street whose first window and one slot more were opened.
fn lived() -> Street {
    let mut street = Street::open();
    (0..3).for_each(|position| street.run_slot(position));
    street
}

#[test]
fn a_household_reads_in_plain_words_what_it_sent_and_helped_to_open() {
    let (_dir, config, _store) = kept(lived().kept);
    let said = sent(&config, false);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[0],
        "region north, epoch 1: 3 members, slots of 900 s, windows of 2 slots, times in UTC"
    );
    let slot = START.0 / 900_000 + 1;
    assert_eq!(
        lines[1],
        format!(
            "  slot {slot}, 2025-06-15 15:15 to 2025-06-15 15:30: 234 bytes sent, on time by \
             their receipt; helped to open the sum of 3 members"
        )
    );
    assert_eq!(
        lines[4],
        "  window 0, 2025-06-15 15:15 to 2025-06-15 15:45: claimed; helped to open the bills of \
         3 members"
    );
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_program_reads_the_same_as_json() {
    let (_dir, config, _store) = kept(lived().kept);
    let lines: Vec<Value> =
        sent(&config, true).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let (slot, window) = (&lines[0], &lines[3]);
    assert_eq!((&slot["event"], &slot["start_ms"]), (&"slot".into(), &(START.0 + 900_000).into()));
    assert_eq!((&slot["on_time"], &slot["contributors"]), (&true.into(), &3.into()));
    assert_eq!((&window["event"], &window["claimed"]), (&"window".into(), &true.into()));
    assert_eq!((&window["bills"], &window["members"]), (&3.into(), &3.into()));
}

#[test]
fn nothing_that_was_sent_shows_a_reading() {
    let (_dir, config, _store) = kept(lived().kept);
    for said in [sent(&config, false), sent(&config, true)] {
        for wh in [READING, 2 * READING, 3 * READING, 6 * READING] {
            assert!(!said.contains(&wh.to_string()), "{said}");
        }
    }
}

#[test]
fn a_household_that_has_sent_nothing_is_told_so() {
    let (_dir, config, _store) = kept(vec![]);
    assert_eq!(sent(&config, false), "nothing was sent or opened whose deadline has not passed\n");
    assert_eq!(sent(&config, true), "");
    assert_eq!(shown(&config, false, None), "no evidence against anyone\n");
}

#[test]
fn a_household_without_a_database_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = Sent { json: false }.run(&config(dir.path()), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("nothing has run here yet"), "{error}");
}

#[test]
fn evidence_is_shown_and_exported_for_anyone_to_check() {
    let mut street = lived();
    let second = street.second_set();
    street.tell_first(&second);
    let (dir, config, _store) = kept(street.kept);
    let slot = START.0 / 900_000 + 1;
    let accusation =
        format!("collector signed requests for two sets of slot {slot} of region north in epoch 1");
    let folder = dir.path().join("out");
    let said = shown(&config, false, Some(&folder));
    assert_eq!(said.lines().next(), Some(accusation.as_str()));
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap()).collect();
    let [file] = &files[..] else { panic!("no one file") };
    let bytes = std::fs::read(file.path()).unwrap();
    let evidence: Evidence = ciborium::from_reader(bytes.as_slice()).unwrap();
    assert_eq!(encode(&evidence), bytes);
    assert_eq!(evidence.key, identity(200).key());
    assert_eq!(evidence.check().unwrap().to_string(), accusation);
    let object: Value = serde_json::from_str(&shown(&config, true, None)).unwrap();
    assert_eq!(object["second"], hex::encode(second));
}
