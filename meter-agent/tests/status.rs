//! What `meter-agent status` tells of a database.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::street::{Street, kept};
use meter_agent::status::ShowStatus;
use protocol::message::State;
use protocol::meter::Quantities;
use protocol::output::Output;
use protocol::reading::Register;
use protocol::record::Records;
use protocol::topic;
use serde_json::Value;

/// What the first meter measured in a slot that it contributed nothing to.
const MISSED: u64 = 4_711;

/// A street in its third window, of which the first meter misses the second
/// slot.
fn missed() -> Street {
    let mut street = Street::open();
    (0..5).for_each(|position| street.run_slot(position));
    street.run_others(5);
    let slots = (street.slot(5), street.slot(6));
    street.meters[0].handle_gap(slots, &Quantities::from([(Register::Import, MISSED)]));
    street.deliver(street.end(5));
    street
}

/// The same once the listing of the third window is final.
fn settled() -> Street {
    let mut street = missed();
    street.wait_until(street.end(5) + Duration::from_secs(61));
    street
}

fn status(disk: &Records, json: bool) -> String {
    let (_dir, config, _store) = kept(disk);
    let mut out = Vec::new();
    ShowStatus { json }.run(&config, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn objects(disk: &Records) -> Vec<Value> {
    status(disk, true).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_household_reads_in_plain_words_what_became_of_its_energy() {
    let expected = "\
region north, epoch 1: bills of 2 slots and more
  step all: 5 contributions, latest final listing of window 2, 2025-06-15 16:15 to 2025-06-15 16:45
    4 counted and claimed: in this household's bill
    1 counted and withheld: in the sums of the region, in no bill
    withheld because this household is counted in 1 slot, and a bill takes 2; they join the next listing
import, step all:
  4711 Wh of 1 slot in no sum wait to be carried, until there are 2 slots
";
    assert_eq!(status(&settled().disk, false), expected);
}

#[test]
fn a_household_reads_what_waits_for_a_listing() {
    let said = status(&missed().disk, false);
    let expected = "\
    1 unsettled: no final listing of them was seen
    4 counted and claimed: in this household's bill
  gap 2025-06-15 16:30 to 2025-06-15 16:45: nothing was contributed; import 4711 Wh wait for the \
final listing of step all of window 2
";
    assert!(said.ends_with(expected), "{said}");
}

#[test]
fn a_program_reads_the_status_as_json() {
    let objects = objects(&settled().disk);
    let [step, pool] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!((&step["event"], &step["listed"]), (&"step".into(), &2.into()));
    assert_eq!((&step["contributed"], &step["withheld"]), (&5.into(), &1.into()));
    assert_eq!(
        (&step["withholding"]["why"], &step["withholding"]["counted"]),
        (&"own".into(), &1.into())
    );
    assert_eq!((&pool["event"], &pool["waiting_wh"]), (&"pool".into(), &MISSED.into()));
}

#[test]
fn a_program_reads_what_waits_for_a_listing_as_json() {
    let objects = objects(&missed().disk);
    let [step, gap] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!((&step["unsettled"], &step["claimed"]), (&1.into(), &4.into()));
    assert_eq!((&gap["event"], &gap["wh"]["import"]), (&"gap".into(), &MISSED.into()));
    assert_eq!(gap["waits_for"][0]["step"], "all");
}

#[test]
fn a_household_without_an_epoch_is_told_so() {
    let said = status(&Records::default(), false);
    assert_eq!(said, "this meter takes part in no epoch whose sums may be opened still\n");
    assert_eq!(status(&Records::default(), true), "");
}

/// What an agent says of its machine, which is nothing.
fn state() -> State {
    State {
        version: String::new(),
        source: String::new(),
        uptime_s: None,
        load_1m_milli: None,
        memory_used_bytes: None,
        agent_memory_bytes: None,
        disk_free_bytes: None,
        temperature_c: None,
        member_of: None,
        unsettled_slots: 0,
        withheld_slots: 0,
        pooled_slots: 0,
        lost_slots: 0,
        counters: BTreeMap::new(),
    }
}

#[test]
fn no_energy_is_in_what_is_published_of_the_state() {
    let mut street = settled();
    street.meters[0].publish_state(state());
    let said = std::iter::from_fn(|| street.meters[0].poll_output());
    let view = said.into_iter().find_map(|output| match output {
        Output::Publish(said) if topic::is_json(&said.topic) => {
            String::from_utf8(said.payload).ok()
        }
        _ => None,
    });
    let view = view.unwrap();
    let object: Value = serde_json::from_str(&view).unwrap();
    assert_eq!((&object["withheld_slots"], &object["pooled_slots"]), (&1.into(), &1.into()));
    assert!(!view.contains(&MISSED.to_string()), "{view}");
}
