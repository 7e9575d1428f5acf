//! `collector transcript` and `collector verify`: what the collector hands on,
//! and what anybody finds in it.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that fails says so")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use aggregation::{ElGamal, Table};
use collector::Config;
use host::keystore::Keystore;
use host::store::{Sqlite, Store as _};
use protocol::Rng;
use protocol::collector::Collector;
use protocol::id::MeterId;
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::meter::{Meter, Terms};
use protocol::output::{Output, Publication};
use protocol::parameters::{Floors, Parameters, ThresholdRule};
use protocol::reading::Register;
use protocol::record::{Change, Key, Records, Sort};
use protocol::roster::AcceptedRoster;
use protocol::slot::Timestamp;
use protocol::topic::is_json;
use rand::SeedableRng as _;
use serde_json::{Value, json};

const MEMBERS: usize = 4;

/// 2025-06-15T15:06:40Z; the first slot begins at the next full minute.
const START: Timestamp = Timestamp(1_750_000_000_000);
const FIRST: u64 = 29_166_667;

/// A collector's folder, and the database that it has open.
struct Hub {
    dir: tempfile::TempDir,
    config: Config,
    store: Sqlite,
    registrar: Registrar,
}

impl Hub {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let config = dir.path().join("collector.toml");
        fs::write(&config, configuration(&state.display().to_string())).unwrap();
        let config = Config::load(&config).unwrap();
        let (_, registrar) = config.identities(&mut rng(1)).unwrap();
        let store = Sqlite::open(&Keystore::open(&state).unwrap(), "region-north.db").unwrap();
        Self { dir, config, store, registrar }
    }

    /// A hub whose first window is billed; meter i reads 2^i Wh in each slot.
    fn billed() -> Self {
        let mut hub = Self::new();
        hub.run_window();
        hub
    }

    fn run_window(&mut self) {
        let mut street = Street::new(self);
        street.deliver(&mut self.store, START);
        let roster = self.roster();
        for position in 0..2 {
            let slot = roster.body().first_slot.plus(position);
            let now = roster.grid().end(slot);
            for (at, meter) in street.meters.iter_mut().enumerate() {
                let quantities = BTreeMap::from([(Register::Import, 1 << at)]);
                meter.handle_reading(slot, &quantities, now);
            }
            street.deliver(&mut self.store, now);
        }
    }

    fn roster(&self) -> AcceptedRoster<ElGamal> {
        let records = self.store.load().unwrap();
        let (_, signed) = records.of(Sort::Roster).next().unwrap();
        AcceptedRoster::open(signed, &self.config.regions[0].name, &self.registrar.key()).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn transcript(&self, words: &[&str]) -> Result<Vec<u8>, (Option<i32>, String)> {
        let config = self.path("collector.toml");
        run(&[&["transcript"], words, &["--config", &config]].concat())
    }

    fn list(&self) -> String {
        String::from_utf8(self.transcript(&["list"]).unwrap()).unwrap()
    }

    /// Writes the transcript of a round, and the roster beside it.
    fn export(&self, round: &[&str]) -> String {
        let (out, roster) = (self.path("round"), self.path("roster"));
        let files = ["--out", &out, "--roster-out", &roster];
        self.transcript(&[&["export"], round, &files].concat()).unwrap();
        out
    }

    fn verify(&self, file: &str, words: &[&str]) -> Result<String, (Option<i32>, String)> {
        let roster = self.path("roster");
        let said = run(&[&["verify", file, "--roster", &roster], words].concat())?;
        Ok(String::from_utf8(said).unwrap())
    }
}

/// What the program says, or its complaint with the code that it ends with.
fn run(words: &[&str]) -> Result<Vec<u8>, (Option<i32>, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    let run = command.args(words).env("RUST_BACKTRACE", "0").output().unwrap();
    let complaint = || (run.status.code(), String::from_utf8(run.stderr.clone()).unwrap());
    if run.status.success() { Ok(run.stdout) } else { Err(complaint()) }
}

fn configuration(state: &str) -> String {
    let member = |at| format!("{{ id = \"{}\", key = \"{}\" }}", meter(at), identity(at).key());
    let members: Vec<_> = (0..MEMBERS).map(member).collect();
    format!(
        "state_dir = '{state}'\n[[region]]\nname = \"north\"\nthreshold = \"all\"\n\
         min_contributors = 3\nmin_slots = 2\nwindow_slots = 2\nslot_seconds = 60\n\
         epoch_windows = 4\nmembers = [{}]\n",
        members.join(", ")
    )
}

/// A collector and its meters in memory.
struct Street {
    collector: Collector<ElGamal>,
    meters: Vec<Meter<ElGamal>>,
}

impl Street {
    fn new(hub: &Hub) -> Self {
        let (keys, terms) =
            (hub.config.identities(&mut rng(1)).unwrap(), hub.config.regions[0].terms());
        let parameters = terms.parameters_for(MEMBERS);
        let (tools, kept) = ((Arc::new(Table::new(8)), rng(2)), Records::default());
        let collector = Collector::new(terms, keys, &kept, tools, START).unwrap();
        let meter = |at| new_meter(at, &parameters, &hub.registrar);
        Self { collector, meters: (0..MEMBERS).map(meter).collect() }
    }

    /// Delivers messages until nobody has anything more to say.
    fn deliver(&mut self, store: &mut Sqlite, now: Timestamp) {
        loop {
            let outputs: Vec<_> = std::iter::from_fn(|| self.collector.poll_output()).collect();
            let mut is_quiet = outputs.is_empty();
            let (messages, changes) = apart(outputs);
            store.commit(changes).unwrap();
            for meter in &mut self.meters {
                for message in &messages {
                    meter.handle_message(message, now);
                }
                let said = std::iter::from_fn(|| meter.poll_output()).collect();
                for message in apart(said).0 {
                    self.collector.handle_message(&message, now);
                    is_quiet = false;
                }
            }
            if is_quiet {
                return;
            }
        }
    }
}

/// What is published, and what is to be durable.
fn apart(outputs: Vec<Output>) -> (Vec<Vec<u8>>, Vec<Change>) {
    let (mut messages, mut changes) = (Vec::new(), Vec::new());
    for output in outputs {
        match output {
            Output::Publish(Publication { topic, payload, .. }) if !is_json(&topic) => {
                messages.push(payload);
            }
            Output::Persist(change) => changes.push(change),
            Output::Publish(_) | Output::Event(_) => {}
        }
    }
    (messages, changes)
}

fn new_meter(at: usize, given: &Parameters, registrar: &Registrar) -> Meter<ElGamal> {
    let floors = Floors {
        scheme: given.scheme.clone(),
        threshold: ThresholdRule::All,
        min_contributors: given.min_contributors,
        max_corrupted: given.max_corrupted,
        min_slots: given.min_slots,
        slot_seconds: given.slot_seconds.get(),
        range_proofs: given.range_proofs,
    };
    let (region, meter, registrar) = ("north".parse().unwrap(), meter(at), registrar.key());
    let terms = Terms { region, meter, registrar, floors };
    let kept = Records::default();
    Meter::new(terms, identity(at), &kept, rng(10 + at as u64), START).unwrap()
}

fn meter(at: usize) -> MeterId {
    format!("m-{at}").parse().unwrap()
}

fn identity(at: usize) -> Identity {
    Identity::from_seed(&[u8::try_from(at + 1).unwrap(); 32])
}

fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

/// Flips a bit of a file.
fn bend(file: &str) {
    let path = PathBuf::from(file);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn rounds_that_were_opened_are_listed_while_the_collector_runs() {
    let hub = Hub::billed();
    let first = format!(
        "region north, epoch 1: slot {FIRST}, 2025-06-15T15:07:00Z to 2025-06-15T15:08:00Z\n"
    );
    let said = hub.list();
    assert!(said.starts_with(&first), "{said}");
    let bills =
        "region north, epoch 1: bills of window 0, 2025-06-15T15:07:00Z to 2025-06-15T15:09:00Z\n";
    assert!(said.ends_with(bills) && said.lines().count() == 3, "{said}");
    let said = hub.transcript(&["list", "--json"]).unwrap();
    let first: Value =
        serde_json::from_slice(said.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!((&first["slot"], &first["window"]), (&json!(FIRST), &Value::Null));
}

#[test]
fn a_hub_without_rounds_says_so() {
    assert_eq!(Hub::new().list(), "no round yet\n");
}

#[test]
fn the_sums_of_a_slot_are_verified_without_the_collector() {
    let hub = Hub::billed();
    let file = hub.export(&["--slot", &FIRST.to_string()]);
    let key = hub.registrar.key().to_string();
    let said = hub.verify(&file, &["--registrar", &key]).unwrap();
    for line in [
        "  import of region north: 15 Wh in 1 slot\n",
        "  contributed: 4: m-0, m-1, m-2, m-3\n  did not: none\n",
        "  helped: 4: m-0, m-1, m-2, m-3; it takes 4\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.ends_with(&format!("  signed by the registrar {key}\n")), "{said}");
}

#[test]
fn the_bills_of_a_window_are_verified_without_the_collector() {
    let hub = Hub::billed();
    let file = hub.export(&["--window", "0"]);
    let said = hub.verify(&file, &["--json"]).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    let sum = |at: usize| {
        let subject = json!({ "meter": meter(at) });
        json!({ "subject": subject, "register": "import", "slots": 2, "sum_wh": 2 << at })
    };
    let sums: Vec<_> = (0..MEMBERS).map(sum).collect();
    assert_eq!((&said["window"], &said["sums"]), (&json!(0), &Value::from(sums)));
    assert_eq!(said["registrar"], Value::Null);
}

#[test]
fn a_transcript_goes_to_standard_output_unless_a_file_is_named() {
    let hub = Hub::billed();
    let file = hub.export(&["--slot", &FIRST.to_string()]);
    let said = hub.transcript(&["export", "--slot", &FIRST.to_string()]).unwrap();
    assert_eq!(said, fs::read(file).unwrap());
}

#[test]
fn a_transcript_that_was_altered_is_refused_with_what_is_wrong() {
    let hub = Hub::billed();
    let file = hub.export(&["--slot", &FIRST.to_string()]);
    bend(&file);
    let (code, said) = hub.verify(&file, &[]).unwrap_err();
    assert_eq!(code, Some(1));
    let wrong = "round: result 1: the signature does not verify under this roster";
    assert!(said.contains(wrong), "{said}");
}

#[test]
fn a_roster_that_another_registrar_signed_is_refused() {
    let hub = Hub::billed();
    let file = hub.export(&["--slot", &FIRST.to_string()]);
    let other = identity(9).key().to_string();
    let (code, said) = hub.verify(&file, &["--registrar", &other]).unwrap_err();
    assert!(code == Some(1) && said.contains("the signature does not verify"), "{said}");
}

#[test]
fn a_roster_is_compared_by_its_digest_where_no_registrar_is_named() {
    let hub = Hub::billed();
    let file = hub.export(&["--slot", &FIRST.to_string()]);
    let said = hub.verify(&file, &[]).unwrap();
    let digest = hub.roster().digest().to_string();
    assert!(said.contains(&digest) && said.contains("Its signature is not checked"), "{said}");
    // The last bytes of a roster are its signature.
    bend(&hub.path("roster"));
    assert!(hub.verify(&file, &[]).is_ok());
    let key = hub.registrar.key().to_string();
    assert!(hub.verify(&file, &["--registrar", &key]).is_err());
}

#[test]
fn a_round_that_is_not_kept_is_refused() {
    let hub = Hub::billed();
    for round in [["--slot", "7"], ["--window", "7"]] {
        let (code, said) = hub.transcript(&[&["export"], &round[..]].concat()).unwrap_err();
        assert!(code == Some(1) && said.contains("no transcript of such a round"), "{said}");
    }
}

#[test]
fn rounds_of_an_epoch_that_is_over_are_exported_with_its_roster() {
    let mut hub = Hub::billed();
    let file = hub.export(&["--window", "0"]);
    let (before, key) = (fs::read(&file).unwrap(), hub.registrar.key().to_string());
    let records = hub.store.load().unwrap();
    let (roster, signed) = records.of(Sort::Roster).next().unwrap();
    let changes = vec![
        Change::Erase(roster.clone()),
        Change::Write(Key::past_roster(roster.epoch), signed.to_vec().into()),
    ];
    hub.store.commit(changes).unwrap();
    assert_eq!(fs::read(hub.export(&["--window", "0"])).unwrap(), before);
    assert!(hub.verify(&file, &["--registrar", &key]).is_ok());
}
