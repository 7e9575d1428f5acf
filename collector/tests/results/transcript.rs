//! `collector transcript` and `collector verify`: what the collector hands on,
//! and what anybody finds in it.

use std::fs;
use std::path::PathBuf;

use host::store::Store as _;
use protocol::record::{Change, Key, Sort};
use serde_json::{Value, json};

use crate::hub::{FIRST, Hub, MEMBERS, identity, meter};

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
    hub.store.commit(&changes).unwrap();
    assert_eq!(fs::read(hub.export(&["--window", "0"])).unwrap(), before);
    assert!(hub.verify(&file, &["--registrar", &key]).is_ok());
}
