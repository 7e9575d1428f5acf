//! Regions in which t of n holders open a sum.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use aggregation::{ElGamal, Table};
use common::{DIGITS, meter, nth, open, plan, summed, unspoken, within};
use protocol::output::Event;
use protocol::reading::Register;
use simulator::{Party, Plan, Report, Truth, World};

/// Slots of two windows from the middle of the first one on.
const AWAY: std::ops::Range<u64> = 5..25;

#[test]
fn four_of_twelve_meters_are_away_for_two_windows_and_no_sum_is_missing() {
    let (mut world, grid) = open(plan(91).with_threshold(8));
    world.run_until(within(&grid, AWAY.start, 30)).unwrap();
    (2..6).for_each(|number| world.cut_off(Party::Meter(number)));
    world.run_until(within(&grid, AWAY.end, 30)).unwrap();
    (2..6).for_each(|number| world.reconnect(Party::Meter(number)));
    let report = world.run().unwrap();

    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    for position in AWAY {
        let sum = report.region(Register::Import, nth(&grid, position)).unwrap();
        assert_eq!(sum.uncounted, [2, 3, 4, 5].map(meter), "{position}");
    }
    let sum = report.region(Register::Import, nth(&grid, AWAY.end)).unwrap();
    assert!(sum.uncounted.is_empty(), "{sum:?}");
    assert_eq!(unspoken(&report, &grid), []);
}

#[test]
fn with_all_as_threshold_the_same_absence_costs_every_sum() {
    let (mut world, grid) = open(plan(91));
    world.run_until(within(&grid, AWAY.start, 30)).unwrap();
    world.cut_off(Party::Meter(2));
    world.run_until(within(&grid, AWAY.end, 30)).unwrap();
    world.reconnect(Party::Meter(2));
    let report = world.run().unwrap();
    let opened = summed(&report, &grid);
    // Until their deadline rounds wait for it.
    assert!(AWAY.start == 5 && !opened.contains(&5) && opened.contains(&26), "{opened:?}");
}

#[test]
fn one_holder_fewer_than_the_threshold_opens_nothing() {
    let (mut world, grid) = open(plan(92).with_threshold(9));
    world.run_until(within(&grid, 5, 30)).unwrap();
    (2..6).for_each(|number| world.stop(Party::Meter(number)));
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid), (0..5).collect::<Vec<_>>());
    assert_eq!(unspoken(&report, &grid), []);
}

/// Whose shares the collector found to be bad.
fn culprits(report: &Report) -> BTreeSet<String> {
    let found = report.events_of(Party::Collector, "bad-share").map(|event| match event {
        Event::BadShare { holder, .. } => holder.to_string(),
        other => other.to_string(),
    });
    found.collect()
}

#[test]
fn holders_that_answer_wrongly_are_named_and_the_round_succeeds() {
    let (mut world, grid) = open(plan(93).with_threshold(8));
    (8..12).for_each(|number| world.lie(number));
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    let liars: BTreeSet<_> = (8..12).map(|number| meter(number).to_string()).collect();
    assert_eq!(culprits(&report), liars);
}

#[test]
fn one_liar_more_than_can_be_spared_costs_the_sums_and_lies_in_none() {
    let (mut world, grid) = open(Plan { epoch_windows: 1, ..plan(94).with_threshold(8) });
    (7..12).for_each(|number| world.lie(number));
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid), [0; 0]);
    assert_eq!(culprits(&report).len(), 5);
}

#[test]
fn elgamal_names_a_liar_too() {
    let small = Plan::small::<ElGamal>(95, "north".parse().unwrap());
    let plan = Plan { meters: 6, epoch_windows: 1, ..small }.with_threshold(4);
    let decoder = Arc::new(Table::new(16));
    let mut world = World::<ElGamal>::new(plan, Truth::powers(DIGITS), decoder).unwrap();
    let grid = world.open().unwrap();
    world.lie(1);
    world.run_until(within(&grid, 2, 30)).unwrap();
    let report = world.run().unwrap();
    let sums = (0..10).filter(|at| report.region(Register::Import, nth(&grid, *at)).is_some());
    assert_eq!(sums.count(), 10);
    assert_eq!(culprits(&report), BTreeSet::from([meter(1).to_string()]));
}
