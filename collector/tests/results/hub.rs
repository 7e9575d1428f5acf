//! A collector's folder in which a window is billed.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use aggregation::{ElGamal, Table};
use collector::Config;
use host::keystore::Keystore;
use host::store::{Readers, Sqlite, Store as _};
use protocol::Rng;
use protocol::collector::Collector;
use protocol::id::MeterId;
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::meter::{Meter, Terms};
use protocol::output::{Output, Publication};
use protocol::parameters::{Floors, Parameters, ThresholdRule};
use protocol::reading::Register;
use protocol::record::{Change, Records, Sort};
use protocol::roster::AcceptedRoster;
use protocol::slot::Timestamp;
use protocol::topic::is_json;
use rand::SeedableRng as _;

pub(crate) const MEMBERS: usize = 4;

/// 2025-06-15T15:06:40Z; the first slot begins at the next full minute.
const START: Timestamp = Timestamp(1_750_000_000_000);
pub(crate) const FIRST: u64 = 29_166_667;

/// A collector's folder, and the database that it has open.
pub(crate) struct Hub {
    dir: tempfile::TempDir,
    config: Config,
    pub(crate) store: Sqlite,
    pub(crate) registrar: Registrar,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let config = dir.path().join("collector.toml");
        fs::write(&config, configuration(&state.display().to_string())).unwrap();
        let config = Config::load(&config).unwrap();
        let (_, registrar) = config.identities(&mut rng(1)).unwrap();
        let store =
            Sqlite::open(&Keystore::open(&state).unwrap(), "region-north.db", Readers::OfTheFile)
                .unwrap();
        Self { dir, config, store, registrar }
    }

    /// A hub whose first window is billed; meter i reads 2^i Wh in each slot.
    pub(crate) fn billed() -> Self {
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

    pub(crate) fn roster(&self) -> AcceptedRoster<ElGamal> {
        let records = self.store.load().unwrap();
        let (_, signed) = records.of(Sort::Roster).next().unwrap();
        AcceptedRoster::open(signed, &self.config.regions[0].name, &self.registrar.key()).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) fn transcript(&self, words: &[&str]) -> Result<Vec<u8>, (Option<i32>, String)> {
        let config = self.path("collector.toml");
        run(&[&["transcript"], words, &["--config", &config]].concat())
    }

    /// What `collector report` prints.
    pub(crate) fn report(&self, words: &[&str]) -> String {
        let config = self.path("collector.toml");
        let said = run(&[&["report"], words, &["--config", &config]].concat()).unwrap();
        String::from_utf8(said).unwrap()
    }

    pub(crate) fn list(&self) -> String {
        String::from_utf8(self.transcript(&["list"]).unwrap()).unwrap()
    }

    /// Writes the transcript of a round, and the roster beside it.
    pub(crate) fn export(&self, round: &[&str]) -> String {
        let (out, roster) = (self.path("round"), self.path("roster"));
        let files = ["--out", &out, "--roster-out", &roster];
        self.transcript(&[&["export"], round, &files].concat()).unwrap();
        out
    }

    pub(crate) fn verify(
        &self,
        file: &str,
        words: &[&str],
    ) -> Result<String, (Option<i32>, String)> {
        let roster = self.path("roster");
        let said = run(&[&["verify", file, "--roster", &roster], words].concat())?;
        Ok(String::from_utf8(said).unwrap())
    }
}

/// What the program says, or its complaint with the code that it ends with.
pub(crate) fn run(words: &[&str]) -> Result<Vec<u8>, (Option<i32>, String)> {
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
            store.commit(&changes).unwrap();
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

pub(crate) fn meter(at: usize) -> MeterId {
    format!("m-{at}").parse().unwrap()
}

pub(crate) fn identity(at: usize) -> Identity {
    Identity::from_seed(&[u8::try_from(at + 1).unwrap(); 32])
}

fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}
