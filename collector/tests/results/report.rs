//! `collector report`: bills for people, for tables and for machines.

use serde_json::{Value, json};

use crate::hub::{Hub, MEMBERS, meter};

#[test]
fn bills_are_reported_beside_the_sums_that_they_agree_with() {
    let said = Hub::billed().report(&[]);
    let first = "region north, epoch 1, window 0 from 2025-06-15T15:07:00Z, step all: 2 slots, \
                 2 billed, 0 withheld, 0 void\n";
    assert!(said.starts_with(first), "{said}");
    assert!(said.contains("  m-3              import           16      2\n"), "{said}");
    let agreed = "  import: the sum over meters is the sum over slots, 30 Wh\n";
    assert!(said.contains(agreed), "{said}");
}

#[test]
fn a_table_for_programs_has_a_line_for_each_meter() {
    let said = Hub::billed().report(&["--csv", "--window", "0"]);
    let (columns, lines) = said.split_once('\n').unwrap();
    let count = |line: &str| line.split(',').count();
    assert!(lines.lines().all(|line| count(line) == count(columns)), "{said}");
    assert_eq!(lines.lines().count(), MEMBERS);
    let second = "north,1,0,2025-06-15T15:07:00Z,all,m-1,import,4,2,0,0,0,0,";
    assert_eq!(lines.lines().nth(1).unwrap(), second);
}

#[test]
fn machines_are_told_the_same() {
    let hub = Hub::billed();
    let said = hub.report(&["--json", "--window", "0"]);
    let bills = &serde_json::from_str::<Value>(&said).unwrap()["bills"];
    let lines = bills["lines"].as_array().unwrap();
    for (at, line) in lines.iter().enumerate() {
        let expected = (json!(meter(at)), json!(2 << at));
        assert_eq!((&line["meter"], &line["wh"]), (&expected.0, &expected.1));
    }
    assert_eq!((lines.len(), &bills["billed_slots"]), (MEMBERS, &json!(2)));
    assert_eq!(hub.report(&["--json", "--window", "7"]), "");
}

#[test]
fn a_hub_without_an_epoch_says_so() {
    let said = Hub::new().report(&[]);
    assert_eq!(said, "region north: no epoch yet; is the collector running?\n");
}
