//! Worlds without fault.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aggregation::{ElGamal, Table};
use common::{DIGITS, meter, nth, open, plan, summed, unspoken, world};
use protocol::message::Subject;
use protocol::parameters::Parameters;
use protocol::reading::Register;
use protocol::slot::Window;
use simulator::{Faults, Plan, Report, Truth, World};

/// Seconds that a round takes at most where nothing is late.
const PROMPT: Duration = Duration::from_secs(2);

fn elgamal(plan: Plan, truth: Truth) -> Report {
    let small = Plan::small::<ElGamal>(plan.seed, plan.region.clone());
    let parameters = Parameters { scheme: small.parameters.scheme, ..plan.parameters };
    let plan = Plan { parameters, ..plan };
    World::<ElGamal>::new(plan, truth, Arc::new(Table::new(16))).unwrap().run().unwrap()
}

/// One short window.
fn one_window(meters: u16, slots: u32) -> Plan {
    let plan = plan(1);
    let window_slots = NonZeroU32::new(slots).unwrap();
    let parameters = Parameters { window_slots, min_slots: 2, ..plan.parameters };
    Plan { meters, parameters, epoch_windows: 1, ..plan }
}

#[test]
fn every_slot_and_every_window_has_its_result_in_time() {
    let (world, grid) = open(plan(1));
    let report = world.run().unwrap();
    assert_eq!(report.results.len(), 40 + 4 * 12);
    for published in report.results.values() {
        let outcome = &published.outcome;
        let last = match outcome.subject {
            Subject::Region(_) => outcome.first_slot,
            Subject::Meter(_) => outcome.first_slot.plus(9),
        };
        assert!(outcome.uncounted.is_empty() && outcome.uncounted_slots.is_empty());
        assert!(published.at.since(grid.end(last)) < PROMPT, "{outcome:?}");
    }
    assert!(report.abandoned.is_empty() && report.refusals.is_empty());
    assert_eq!(report.rejections.len(), 0, "{:?}", report.rejections);
}

#[test]
fn timers_may_fire_at_the_very_millisecond() {
    let faults = Faults { wake_late_ms: 0..=0, ..Faults::none() };
    let (mut world, grid) = open(Plan { faults, ..plan(1) });
    // From the next slot on nothing can be opened.
    world.run_until(common::within(&grid, 15, 30)).unwrap();
    world.stop(simulator::Party::Meter(3));
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid), (0..15).collect::<Vec<_>>());
    assert_eq!(unspoken(&report, &grid), []);
}

#[test]
fn elgamal_gives_what_plain_gives() {
    let report = elgamal(one_window(6, 5), Truth::powers(DIGITS));
    let plain = world(one_window(6, 5)).run().unwrap();
    let sums = |report: &Report| -> Vec<_> {
        report.results.iter().map(|(key, found)| (key.clone(), found.outcome.sum_wh)).collect()
    };
    assert_eq!(sums(&report).len(), 5 + 6);
    assert_eq!(sums(&report), sums(&plain));
}

#[test]
fn the_maximum_reading_of_every_meter_in_every_slot_decodes() {
    let report = elgamal(one_window(30, 2), Truth::always(32_767));
    let sums: Vec<_> = report.results.values().map(|found| found.outcome.sum_wh).collect();
    assert_eq!(sums[..2], [30 * 32_767; 2]);
    assert_eq!(sums[2..], [2 * 32_767; 30]);
}

#[test]
fn thirty_meters_with_digits_of_31_bits_come_back() {
    let plan = one_window(30, 6);
    let parameters = Parameters { max_wh_per_slot: u32::MAX, ..plan.parameters };
    let world = World::<aggregation::Plain>::new(
        Plan { parameters, ..plan },
        Truth::powers(31),
        Arc::new(()),
    );
    assert_eq!(world.unwrap().run().unwrap().results.len(), 6 + 30);
}

#[test]
fn two_registers_have_two_sums() {
    let plan = plan(2);
    let registers = vec![Register::Import, Register::Export];
    let parameters = Parameters { registers, ..plan.parameters };
    let (world, grid) = open(Plan { parameters, epoch_windows: 1, ..plan });
    let report = world.run().unwrap();
    assert_eq!(report.results.len(), 2 * (10 + 12));
    let first = grid.first_slot(Window(0));
    let wh = |register| report.bill(&meter(4), register, first).unwrap().sum_wh;
    assert_ne!(wh(Register::Import), wh(Register::Export));
    assert!(report.region(Register::Export, nth(&grid, 3)).is_some());
}

#[test]
fn two_regions_share_nothing() {
    let south = Plan { region: "south".parse().unwrap(), epoch_windows: 1, ..plan(1) };
    let mut south = world(south);
    let (mut north, grid) = open(Plan { epoch_windows: 1, ..plan(1) });
    let quiet = north_alone();
    south.run_until(grid.end(nth(&grid, 12))).unwrap();
    let foreign: Vec<_> = south.wire().iter().map(|message| message.payload.clone()).collect();
    // The same seed: the same identities, registrar and collector.
    assert!(foreign.len() > 100);
    for (count, message) in foreign.iter().enumerate() {
        north.inject(message);
        if count % 20 == 0 {
            north.run_until(north.now() + Duration::from_secs(2)).unwrap();
        }
    }
    let report = north.run().unwrap();
    let outcomes = |report: &Report| -> Vec<_> {
        report.results.values().map(|found| found.outcome.clone()).collect()
    };
    assert_eq!(outcomes(&report), outcomes(&quiet));
    assert!(report.rejections["region"] > 100, "{:?}", report.rejections);
}

fn north_alone() -> Report {
    world(Plan { epoch_windows: 1, ..plan(1) }).run().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let trace = |seed| {
        let faults = Faults::moderate();
        world(Plan { faults, epoch_windows: 1, ..plan(seed) }).run().unwrap().trace.unwrap()
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}
