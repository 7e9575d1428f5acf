//! `collector backup` and `restore`: a collector goes on elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use host::Keystore;
use host::lock::Lock;
use host::store::{Readers, Sqlite, Store as _};
use protocol::record::{Key, Sort};
use serde_json::Value;

use crate::hub::{Hub, run};

type Said = Result<String, String>;

/// A collector elsewhere that has nothing yet.
struct Elsewhere(tempfile::TempDir);

impl Elsewhere {
    fn new(hub: &Hub) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(hub.path("collector.toml")).unwrap();
        let state = dir.path().join("state").display().to_string();
        // No broker answers there: what has to be seen comes before.
        let broker = "\n[broker]\nurl = \"mqtt://127.0.0.1:1\"\n[[region]]";
        let config = config.replace(&hub.path("state"), &state).replacen("\n[[region]]", broker, 1);
        fs::write(dir.path().join("collector.toml"), config).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn keystore(&self) -> Keystore {
        Keystore::open(Path::new(&self.path("state"))).unwrap()
    }

    fn run(&self, words: &[&str]) -> Said {
        said(&[words, &["--config", &self.path("collector.toml")]].concat())
    }

    fn restore(&self, from: &str, words: &[&str]) -> Said {
        self.run(&[&["restore", "--from", from], words].concat())
    }

    /// The names of what is in its state folder.
    fn state(&self) -> Vec<String> {
        names(&self.path("state"))
    }
}

fn said(words: &[&str]) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    run(words).map(text).map_err(|(_, complaint)| complaint)
}

fn names(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// A backup of a hub, whose database is open meanwhile.
fn backup(hub: &Hub, name: &str) -> String {
    let out = hub.path(name);
    said(&["backup", "--out", &out, "--config", &hub.path("collector.toml")]).unwrap();
    out
}

fn records(store: &Sqlite) -> Vec<(Key, Vec<u8>)> {
    let records = store.load().unwrap();
    let all = Sort::ALL.iter().flat_map(|sort| records.of(*sort));
    all.map(|(key, value)| (key.clone(), value.to_vec())).collect()
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_backup_of_a_running_collector_restores_the_whole_of_it_elsewhere() {
    let hub = Hub::billed();
    let from = backup(&hub, "backup");
    let elsewhere = Elsewhere::new(&hub);
    elsewhere.restore(&from, &[]).unwrap();
    let restored =
        Sqlite::open(&elsewhere.keystore(), "region-north.db", Readers::OfTheFile).unwrap();
    assert_eq!(records(&restored), records(&hub.store));
    let here = said(&["id", "--config", &hub.path("collector.toml")]);
    assert_eq!(elsewhere.run(&["id"]), here);
    assert_eq!(elsewhere.run(&["report"]).unwrap(), hub.report(&[]));
}

#[test]
fn a_backup_is_its_owners_alone_and_takes_the_place_of_none() {
    let hub = Hub::billed();
    let out = backup(&hub, "backup");
    assert_eq!(mode(&out), 0o700);
    let expected =
        ["collector.toml", "identity.key", "manifest.json", "region-north.db", "registrar.key"];
    assert_eq!(names(&out), expected);
    for name in expected {
        assert_eq!(mode(&format!("{out}/{name}")), 0o600, "{name}");
    }
    let again = said(&["backup", "--out", &out, "--config", &hub.path("collector.toml")]);
    assert!(again.unwrap_err().contains("there is one already"));
}

#[test]
fn machines_are_told_what_is_in_a_backup_and_what_was_restored() {
    let hub = Hub::billed();
    let (out, config) = (hub.path("backup"), hub.path("collector.toml"));
    let made = said(&["backup", "--json", "--out", &out, "--config", &config]).unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["files"][2]["name"], "region-north.db");
    let restored = Elsewhere::new(&hub).restore(&out, &["--json"]).unwrap();
    let restored: Value = serde_json::from_str(&restored).unwrap();
    assert_eq!(restored["made"], made["made"]);
    assert_eq!(restored["restored"][1], "region-north.db");
}

/// What a restore of a backup says that was changed so, and that it changed
/// nothing.
fn refusal(hub: &Hub, change: impl Fn(&str)) -> String {
    let from = backup(hub, "changed");
    change(&from);
    let elsewhere = Elsewhere::new(hub);
    let refused = elsewhere.restore(&from, &[]).unwrap_err();
    assert_eq!(elsewhere.state(), ["lock"]);
    fs::remove_dir_all(from).unwrap();
    refused
}

/// Makes the manifest say what is in the folder now.
fn say_again(from: &str, name: &str) {
    let digest = std::process::Command::new("sha256sum").arg(format!("{from}/{name}")).output();
    let digest = String::from_utf8(digest.unwrap().stdout).unwrap()[..64].to_owned();
    let path = format!("{from}/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for file in manifest["files"].as_array_mut().unwrap() {
        if file["name"] == name {
            file["sha256"] = digest.clone().into();
            file["bytes"] = fs::metadata(format!("{from}/{name}")).unwrap().len().into();
        }
    }
    fs::write(path, manifest.to_string()).unwrap();
}

fn change_database(from: &str, sql: &str) {
    let path = format!("{from}/region-north.db");
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    say_again(from, "region-north.db");
}

#[test]
fn a_backup_that_is_not_what_was_written_is_refused_and_changes_nothing() {
    let hub = Hub::billed();
    let said = refusal(&hub, |from| {
        let path = format!("{from}/region-north.db");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert!(said.contains("not what the manifest says"), "{said}");
    let said = refusal(&hub, |from| fs::remove_file(format!("{from}/manifest.json")).unwrap());
    assert!(said.contains("this is no backup"), "{said}");
    let said = refusal(&hub, |from| {
        let open_to_all = Permissions::from_mode(0o644);
        fs::set_permissions(format!("{from}/registrar.key"), open_to_all).unwrap();
    });
    assert!(said.contains("others may read it"), "{said}");
}

#[test]
fn a_database_is_looked_into_whatever_the_manifest_says() {
    let hub = Hub::billed();
    let said = refusal(&hub, |from| change_database(from, "PRAGMA user_version = 1000"));
    assert!(said.contains("install a newer one"), "{said}");
    let said = refusal(&hub, |from| change_database(from, "PRAGMA application_id = 7"));
    assert!(said.contains("another program's file"), "{said}");
    let said = refusal(&hub, |from| {
        let path = format!("{from}/region-north.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[1_024..8_192].fill(0xa5);
        fs::write(path, bytes).unwrap();
        say_again(from, "region-north.db");
    });
    assert!(said.contains("malformed") || said.contains("database main"), "{said}");
    let said = refusal(&hub, |from| {
        fs::write(format!("{from}/registrar.key"), "11".repeat(32)).unwrap();
        say_again(from, "registrar.key");
    });
    assert!(said.contains("the roster of epoch 1"), "{said}");
}

#[test]
fn a_state_is_written_over_only_when_it_is_set_aside_and_never_while_it_is_in_use() {
    let hub = Hub::billed();
    let (from, elsewhere) = (backup(&hub, "backup"), Elsewhere::new(&hub));
    elsewhere.restore(&from, &[]).unwrap();
    let before = elsewhere.state();
    let refused = elsewhere.restore(&from, &[]).unwrap_err();
    assert!(refused.contains("holds a state: identity.key, region-north.db"), "{refused}");
    let running = Lock::take(&elsewhere.keystore()).unwrap();
    let refused = elsewhere.restore(&from, &["--set-aside"]).unwrap_err();
    assert!(refused.contains("is in use"), "{refused}");
    drop(running);
    assert_eq!(elsewhere.state(), before);
    let done = elsewhere.restore(&from, &["--set-aside", "--json"]).unwrap();
    let done: Value = serde_json::from_str(&done).unwrap();
    let kept = names(done["set_aside"].as_str().unwrap());
    assert_eq!(kept, ["identity.key", "region-north.db", "registrar.key"]);
}

#[test]
fn a_collector_does_not_start_on_a_state_that_is_in_use_damaged_or_half_restored() {
    let hub = Hub::billed();
    let (from, elsewhere) = (backup(&hub, "backup"), Elsewhere::new(&hub));
    elsewhere.restore(&from, &[]).unwrap();
    let running = Lock::take(&elsewhere.keystore()).unwrap();
    let refused = elsewhere.run(&["run"]).unwrap_err();
    assert!(refused.contains("another process runs on it"), "{refused}");
    drop(running);
    let database = elsewhere.path("state/region-north.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[1_024..8_192].fill(0xa5);
    fs::write(&database, bytes).unwrap();
    let refused = elsewhere.run(&["run"]).unwrap_err();
    assert!(refused.contains("`collector restore --set-aside"), "{refused}");
    fs::create_dir(elsewhere.path("state/restoring")).unwrap();
    let refused = elsewhere.run(&["run"]).unwrap_err();
    assert!(refused.contains("a restore was interrupted"), "{refused}");
}
