//! What survives the restart of a party.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use std::time::Duration;

use common::{billed, events, meter, nth, open, plan, plan_with, summed, unspoken, within, world};
use protocol::message::Target;
use protocol::reading::Register;
use simulator::{Faults, Party, Plan};

#[test]
fn a_restarted_meter_refuses_what_ended_before_its_start_and_takes_part_again() {
    let (mut world, grid) = open(plan(51));
    world.run_until(within(&grid, 10, 30)).unwrap();
    world.stop(Party::Meter(2));
    world.run_until(within(&grid, 12, 30)).unwrap();
    world.start(Party::Meter(2)).unwrap();
    let report = world.run().unwrap();

    assert!(report.refusals["before-start"] >= 2, "{:?}", report.refusals);
    for position in [10, 11] {
        let status = &report.abandoned[&Target::Region(nth(&grid, position))];
        assert_eq!(status.waiting_for, [meter(2)]);
        assert_eq!(status.uncounted, [meter(2)]);
    }
    assert_eq!(events(&report, Party::Meter(2), "joined").len(), 2);
    assert_eq!(summed(&report, &grid).len(), 38);
    let outcome = report.region(Register::Import, nth(&grid, 12)).unwrap();
    assert!(outcome.contributors.contains(&meter(2)));
    assert_eq!(billed(&report, &grid, 2), [0, 1, 2, 3]);
}

#[test]
fn a_restart_amid_a_window_costs_nobody_else_the_bill() {
    let (mut world, grid) = open(plan(52));
    world.run_until(within(&grid, 13, 30)).unwrap();
    world.start(Party::Meter(2)).unwrap();
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid).len(), 40);
    assert_eq!(billed(&report, &grid, 3), [0, 1, 2, 3]);
    assert_eq!(billed(&report, &grid, 2), [0, 2, 3]);
}

#[test]
fn meters_that_restart_while_the_epoch_opens_keep_their_key_share() {
    let mut world = world(plan(53));
    let start = world.now();
    for (number, millis) in (0..12).zip((100..).step_by(150)) {
        world.run_until(start + Duration::from_millis(millis)).unwrap();
        world.start(Party::Meter(number)).unwrap();
    }
    let grid = world.open().unwrap();
    assert_eq!(summed(&world.run().unwrap(), &grid).len(), 40);
}

#[test]
fn a_collector_that_restarts_goes_on_with_the_same_roster() {
    let (mut world, grid) = open(plan(54));
    world.run_until(within(&grid, 13, 30)).unwrap();
    world.start(Party::Collector).unwrap();
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    // The second epoch opens ahead of its time.
    assert_eq!(events(&report, Party::Collector, "opened").len(), 2);
    // What was counted before the restart is not known any more.
    assert_eq!(billed(&report, &grid, 0), [0, 2, 3]);
    assert_eq!(unspoken(&report, &grid), []);
}

#[test]
fn a_collector_that_restarts_while_the_epoch_opens_opens_it_all_the_same() {
    let mut world = world(plan(55));
    world.run_until(world.now() + Duration::from_millis(400)).unwrap();
    world.start(Party::Collector).unwrap();
    let grid = world.open().unwrap();
    assert_eq!(summed(&world.run().unwrap(), &grid).len(), 40);
}

#[test]
fn a_collector_that_was_down_bills_what_it_counted_since() {
    let (mut world, grid) = open(plan(56));
    world.run_until(within(&grid, 11, 0) + Duration::from_millis(60)).unwrap();
    world.stop(Party::Collector);
    world.run_until(within(&grid, 13, 30)).unwrap();
    world.start(Party::Collector).unwrap();
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid).len(), 37);
    assert_eq!(billed(&report, &grid, 0), [0, 1, 2, 3]);
    let bill = report.bill(&meter(0), Register::Import, nth(&grid, 10)).unwrap();
    assert_eq!(bill.uncounted_slots, [nth(&grid, 10), nth(&grid, 11), nth(&grid, 12)]);
}

#[test]
fn whoever_restarts_nothing_false_is_published() {
    for seed in 61..=64 {
        chaos(seed, Faults::moderate());
    }
}

#[test]
#[ignore = "minutes: for the nightly run, with --release"]
fn in_a_hundred_chaotic_worlds_nothing_false_is_published() {
    for seed in 1_000..1_100 {
        chaos(seed, if seed % 2 == 0 { Faults::moderate() } else { Faults::severe() });
    }
}

/// A world over two epochs in which somebody restarts in every other slot. In
/// half of all, eight of twelve holders open a sum.
fn chaos(seed: u64, faults: Faults) {
    let plan = Plan { epochs: 2, epoch_windows: 2, ..plan_with(seed, faults) };
    let (mut world, grid) =
        open(if (seed / 2).is_multiple_of(2) { plan } else { plan.with_threshold(8) });
    for round in 0..20 {
        world.run_until(within(&grid, 2 * round, (seed * 7 + round * 13) % 60)).unwrap();
        match u16::try_from((seed * 5 + round * 7) % 14).unwrap() {
            13 => world.restart_broker(),
            12 => world.start(Party::Collector).unwrap(),
            number => world.start(Party::Meter(number)).unwrap(),
        }
    }
    let report = world.run().unwrap();
    assert!(!report.results.is_empty() || !report.abandoned.is_empty(), "seed {seed}");
    assert!(report.rosters.len() >= 2, "seed {seed}: {:?}", report.rosters.keys());
}
