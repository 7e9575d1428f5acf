//! What `meter-agent sent` and `meter-agent evidence` tell of a database.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::path::Path;

use common::street::{READING, START, Street, config, identity, kept};
use meter_agent::Config;
use meter_agent::evidence::Show;
use meter_agent::sent::Sent;
use protocol::envelope::encode;
use protocol::evidence::Evidence;
use protocol::record::Records;
use serde_json::Value;

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
    let (_dir, config, _store) = kept(&lived().disk);
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
        "  window 0, 2025-06-15 15:15 to 2025-06-15 15:45, step all: claimed; helped to open the \
         bills of 3 members"
    );
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_program_reads_the_same_as_json() {
    let (_dir, config, _store) = kept(&lived().disk);
    let lines: Vec<Value> =
        sent(&config, true).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let (slot, portion) = (&lines[0], &lines[3]);
    assert_eq!((&slot["event"], &slot["start_ms"]), (&"slot".into(), &(START.0 + 900_000).into()));
    assert_eq!((&slot["on_time"], &slot["contributors"]), (&true.into(), &3.into()));
    assert_eq!((&portion["event"], &portion["claimed"]), (&"portion".into(), &true.into()));
    assert_eq!((&portion["window"], &portion["step"]), (&0.into(), &"all".into()));
    assert_eq!((&portion["bills"], &portion["members"]), (&3.into(), &3.into()));
}

#[test]
fn nothing_that_was_sent_shows_a_reading() {
    let (_dir, config, _store) = kept(&lived().disk);
    for said in [sent(&config, false), sent(&config, true)] {
        for wh in [READING, 2 * READING, 3 * READING, 6 * READING] {
            assert!(!said.contains(&wh.to_string()), "{said}");
        }
    }
}

#[test]
fn a_household_that_has_sent_nothing_is_told_so() {
    let (_dir, config, _store) = kept(&Records::default());
    assert_eq!(sent(&config, false), "nothing was sent or opened whose deadline has not passed\n");
    assert_eq!(sent(&config, true), "");
    assert_eq!(shown(&config, false, None), "no evidence against anyone\n");
}

#[test]
fn a_household_without_a_database_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = Sent { json: false }.run(&config(dir.path()), &mut Vec::new()).unwrap_err();
    assert!(format!("{error:#}").contains("nothing has run here yet"), "{error:#}");
}

#[test]
fn evidence_is_shown_and_exported_for_anyone_to_check() {
    let mut street = lived();
    let second = street.second_set();
    street.tell_first(&second);
    let (dir, config, _store) = kept(&street.disk);
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
