//! `collector epoch`: what it shows, asks for and refuses.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aggregation::{ElGamal, Table};
use collector::Config;
use host::clock;
use host::keystore::Keystore;
use host::store::{Readers, Sqlite, Store as _};
use protocol::collector::Collector;
use protocol::collector::unproven::Kept;
use protocol::envelope::encode;
use protocol::id::{Digest, Epoch, MeterId};
use protocol::identity::Identity;
use protocol::keygen::Candidate;
use protocol::message::{Invitation, Lapse, Unproven};
use protocol::output::Output;
use protocol::portion::Portion;
use protocol::record::{Change, Key, Records};
use protocol::slot::{Slot, Window};
use protocol::tariff::StepId;
use serde_json::{Value, json};

const MEMBERS: usize = 3;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A collector's folder and configuration, and no collector that runs.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.configure("slot_seconds = 60");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Regions `north` and `south` of three members, `north` with one more
    /// line.
    fn configure(&self, line: &str) {
        let member = |at| format!("{{ id = \"{}\", key = \"{}\" }}", meter(at), identity(at).key());
        let members: Vec<_> = (0..MEMBERS).map(member).collect();
        let region = |name, line| {
            let same = "threshold = \"all\"\nmin_contributors = 3\n";
            let members = members.join(", ");
            format!("[[region]]\nname = \"{name}\"\n{same}{line}\nmembers = [{members}]\n")
        };
        let state = self.path("state");
        let state = format!("state_dir = '{}'\n", state.display());
        let text = [state, region("north", line), region("south", "")].concat();
        fs::write(self.path("collector.toml"), text).unwrap();
    }

    /// What the program `collector epoch` says, or its complaint.
    fn run(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
        command.arg("epoch").args(words).arg("--config").arg(self.path("collector.toml"));
        let run = command.env("RUST_BACKTRACE", "0").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if run.status.success() { Ok(text(run.stdout)) } else { Err(text(run.stderr)) }
    }

    fn north(&self) -> Value {
        self.look_at_north().unwrap()
    }

    fn look_at_north(&self) -> Result<Value, String> {
        let said = self.run(&["show", "--region", "north", "--json"])?;
        Ok(serde_json::from_str(&said).unwrap())
    }

    /// Looks at `north` until it is as expected. A database that is just being
    /// made cannot be looked at.
    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let end = clock::now() + PATIENCE;
        while !self.look_at_north().is_ok_and(|north| is_so(&north)) {
            let north = self.look_at_north();
            assert!(clock::now() < end, "waited in vain for {what}: {north:?}");
        }
    }

    /// Starts the program `collector run` on a free port.
    fn start(&self) -> Running {
        let broker = self.path("broker.toml");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let settings = include_str!("../../broker.toml").replace("127.0.0.1:1883", &listen);
        fs::write(&broker, settings).unwrap();
        let config = self.path("collector.toml");
        let text = fs::read_to_string(&config).unwrap();
        let lines = format!("[broker]\nconfig = '{}'\n{}", broker.display(), "[[region]]");
        fs::write(&config, text.replacen("[[region]]", &lines, 1)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
        command.arg("run").arg("--config").arg(config).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// Runs the ceremony of epoch 1 in `north` in memory with so many of its
    /// members, and keeps what the collector keeps of it.
    fn found(&self, present: usize) {
        let config = Config::load(&self.path("collector.toml")).unwrap();
        let (keys, terms) = (config.identities(&mut rng()).unwrap(), config.regions[0].terms());
        let tools = (Arc::new(Table::new(8)), rng());
        let kept = Records::default();
        let mut collector =
            Collector::<ElGamal>::new(terms, keys, &kept, tools, clock::now()).unwrap();
        let mut store = Sqlite::open(
            &Keystore::open(&self.path("state")).unwrap(),
            "region-north.db",
            Readers::OfTheFile,
        )
        .unwrap();
        let invitation = invitation(&config);
        for at in 0..present {
            collector.handle_message(&key_part(at, &invitation), clock::now());
        }
        // A step that does not end is kept when it is said again.
        collector.handle_connected(clock::now());
        let outputs = std::iter::from_fn(|| collector.poll_output());
        let changes = outputs.filter_map(|output| match output {
            Output::Persist(change) => Some(change),
            _ => None,
        });
        store.commit(&changes.collect::<Vec<_>>()).unwrap();
    }
}

/// The collector's process, for as long as the test lasts.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

fn rng() -> protocol::Rng {
    clock::generator().unwrap()
}

fn meter(at: usize) -> MeterId {
    format!("m-{at}").parse().unwrap()
}

fn identity(at: usize) -> Identity {
    Identity::from_seed(&[u8::try_from(at + 1).unwrap(); 32])
}

fn invitation(config: &Config) -> Invitation {
    let (terms, (collector, _)) =
        (config.regions[0].terms(), config.identities(&mut rng()).unwrap());
    Invitation {
        previous: Digest::NONE,
        attempt: 0,
        collector: collector.key(),
        parameters: terms.parameters_for(MEMBERS),
        members: terms.members,
    }
}

fn key_part(at: usize, invitation: &Invitation) -> Vec<u8> {
    let north = "north".parse().unwrap();
    let mut rng = rng();
    let candidate =
        Candidate::<ElGamal>::answer(&north, Epoch(1), invitation, &meter(at), &mut rng);
    candidate.unwrap().part_message(&identity(at))
}

#[test]
fn a_region_without_an_epoch_says_so() {
    let folder = Folder::new();
    let said = folder.run(&["show"]).unwrap();
    let lines = ["north", "south"]
        .map(|name| format!("region {name}: no epoch yet; is the collector running?\n"));
    assert_eq!(said, lines.concat());
    assert_eq!(
        folder.north(),
        json!({ "region": "north", "epochs": [], "ceremony": null, "unproven": {} })
    );
}

#[test]
fn a_region_that_is_not_there_is_refused_with_those_that_are() {
    let folder = Folder::new();
    for command in ["show", "next"] {
        let complaint = folder.run(&[command, "--region", "west"]).unwrap_err();
        assert!(complaint.contains("--region: the configuration has north, south"), "{complaint}");
    }
}

#[test]
fn an_open_epoch_is_shown_with_its_members_and_numbers() {
    let folder = Folder::new();
    folder.found(MEMBERS);
    let said = folder.run(&["show", "--region", "north"]).unwrap();
    assert!(said.starts_with("region north: epoch 1 from "), "{said}");
    assert!(said.contains("; 3 members, 3 of them open a sum; "), "{said}");
    let shown = folder.north();
    assert_eq!(shown["ceremony"], Value::Null);
    let [epoch] = &shown["epochs"].as_array().unwrap()[..] else { panic!("{shown}") };
    for (key, value) in [
        ("epoch", 1),
        ("members", 3),
        ("threshold", 3),
        ("min_contributors", 3),
        ("slot_seconds", 60),
    ] {
        assert_eq!(epoch[key], value, "{key}");
    }
    assert_eq!((&epoch["is_over"], &epoch["needs_every_member"]), (&false.into(), &true.into()));
    assert_eq!(epoch["left_out"], json!({}));
}

#[test]
fn a_ceremony_that_is_not_over_is_shown_with_whom_it_waits_for() {
    let folder = Folder::new();
    folder.found(1);
    let said = folder.run(&["show", "--region", "north"]).unwrap();
    let line = "region north: the ceremony of epoch 1, attempt 1, waits for the key parts of 2 \
                members: m-1, m-2\n";
    assert_eq!(said, line);
    let ceremony = &folder.north()["ceremony"];
    assert_eq!((&ceremony["epoch"], &ceremony["attempt"]), (&1.into(), &0.into()));
    assert_eq!(ceremony["missing"], json!(["m-1", "m-2"]));
}

#[test]
fn who_has_not_proved_what_it_was_asked_to_is_shown() {
    let folder = Folder::new();
    folder.found(MEMBERS);
    let portion = Portion { window: Window(7), step: StepId(0) };
    let (meter, slots) = (meter(1), vec![Slot(70), Slot(72)]);
    let said = Unproven { meter: meter.clone(), portion, slots, why: Lapse::Silent };
    let kept = Kept { epoch: Epoch(1), key: identity(1).key(), said };
    let change = Change::Write(Key::unproven(&meter), encode(&kept).into());
    let keystore = Keystore::open(&folder.path("state")).unwrap();
    Sqlite::open(&keystore, "region-north.db", Readers::OfTheFile)
        .unwrap()
        .commit(&[change])
        .unwrap();
    let said = folder.run(&["show", "--region", "north"]).unwrap();
    let line = "region north: m-1 has not proved 2 slots of step 0 of window 7 of epoch 1: it \
                sent no proof in time\n";
    assert!(said.ends_with(line), "{said}");
    assert_eq!(folder.north()["unproven"]["m-1"]["said"]["slots"], json!([70, 72]));
}

#[test]
fn the_next_epoch_is_asked_for_by_a_copy_of_the_configuration() {
    let folder = Folder::new();
    folder.found(MEMBERS);
    let said = folder.run(&["next"]).unwrap();
    let asked = ["north: epoch 2", "south: epoch 1"];
    let is_asked =
        |what: &&str| said.contains(&format!("region {what} is asked for, with 3 members"));
    assert!(asked.iter().all(is_asked), "{said}");
    let copy = fs::read(folder.path("state").join("next-north-2.toml")).unwrap();
    assert_eq!(copy, fs::read(folder.path("collector.toml")).unwrap());
}

#[test]
fn a_running_collector_begins_what_it_is_asked_for() {
    let folder = Folder::new();
    let running = folder.start();
    let attempt = |of: u32| move |north: &Value| north["ceremony"]["attempt"] == of;
    folder.until("the first attempt", attempt(0));
    folder.run(&["next", "--region", "north"]).unwrap();
    folder.until("another attempt", attempt(1));
    drop(running);
}

#[test]
fn an_epoch_of_other_slots_is_refused_with_the_length_that_holds() {
    let folder = Folder::new();
    folder.found(MEMBERS);
    folder.configure("slot_seconds = 30");
    let complaint = folder.run(&["next", "--region", "north"]).unwrap_err();
    let sentence = "region north: slot_seconds = 30: a region keeps the length of its slots, 60";
    assert!(complaint.contains(sentence), "{complaint}");
    assert!(!folder.path("state").join("next-north-2.toml").exists());
}
