//! What survives the restart of a party.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use std::time::Duration;

use common::{
    billed, count, events, meter, nth, open, plan, plan_with, summed, unheard, unspoken, within,
    world,
};
use protocol::message::Target;
use protocol::reading::Register;
use simulator::{Faults, Moment, Party, Plan};

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
    assert_eq!(billed(&report, &grid, 3), [0, 1, 2, 3]);
    let outcome = report.region(Register::Import, nth(&grid, 12)).unwrap();
    assert!(outcome.contributors.contains(&meter(2)));
    assert_eq!(billed(&report, &grid, 2), [0, 1, 2, 3]);
}

#[test]
fn a_restart_amid_a_window_costs_nobody_the_bill() {
    let (mut world, grid) = open(plan(52));
    world.run_until(within(&grid, 13, 30)).unwrap();
    world.start(Party::Meter(2)).unwrap();
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid).len(), 40);
    for number in 0..12 {
        assert_eq!(billed(&report, &grid, number), [0, 1, 2, 3]);
    }
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
    assert_eq!(billed(&report, &grid, 0), [0, 1, 2, 3]);
    assert_eq!(count(&report, "abandoned"), 0);
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
fn a_collector_that_was_down_collects_what_it_missed() {
    let (mut world, grid) = open(plan(56));
    world.run_until(within(&grid, 11, 0) + Duration::from_millis(60)).unwrap();
    world.stop(Party::Collector);
    world.run_until(within(&grid, 13, 30)).unwrap();
    world.start(Party::Collector).unwrap();
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid).len(), 40);
    assert_eq!(billed(&report, &grid, 0), [0, 1, 2, 3]);
    assert_eq!(count(&report, "abandoned"), 0);
}

#[test]
fn a_collector_that_restarts_again_and_again_loses_no_result() {
    let (mut world, grid) = open(plan(57));
    for (position, seconds) in [(2, 0), (5, 1), (9, 59), (10, 0), (10, 20), (19, 30), (30, 0)] {
        let at = within(&grid, position, seconds) + Duration::from_millis(40 * seconds);
        world.run_until(at).unwrap();
        world.start(Party::Collector).unwrap();
    }
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid).len(), 40);
    assert_eq!(billed(&report, &grid, 11), [0, 1, 2, 3]);
    let abandoned = events(&report, Party::Collector, "abandoned");
    assert_eq!((abandoned, unheard(&report, &grid)), (vec![], vec![]));
}

#[test]
fn what_a_collector_abandoned_as_it_crashed_is_said_by_its_next_life() {
    let (mut world, grid) = open(plan(59));
    (0..8).for_each(|number| world.silence(number, nth(&grid, 5)));
    // Before the grace of the slot is over.
    world.run_until(within(&grid, 6, 15)).unwrap();
    world.crash_at(Party::Collector, Moment::AfterCommit, Duration::from_secs(1));
    let report = world.run().unwrap();
    assert_eq!(unspoken(&report, &grid), []);
}

#[test]
fn a_collector_that_starts_after_an_epochs_last_deadline_says_what_it_missed() {
    let (mut world, grid) = open(plan(60));
    world.run_until(within(&grid, 35, 30)).unwrap();
    world.stop(Party::Collector);
    world.run_until(within(&grid, 51, 30)).unwrap();
    world.start(Party::Collector).unwrap();
    let report = world.run().unwrap();
    assert_eq!(unspoken(&report, &grid), []);
}

/// Four of twelve meters are away for a window, and come back without
/// anybody's help.
#[test]
fn absent_meters_that_return_take_part_again() {
    let (mut world, grid) = open(plan(58));
    world.run_until(within(&grid, 9, 30)).unwrap();
    (0..4).for_each(|number| world.cut_off(Party::Meter(number)));
    world.run_until(within(&grid, 19, 30)).unwrap();
    (0..4).for_each(|number| world.reconnect(Party::Meter(number)));
    let threshold = world.threshold().unwrap();
    let report = world.run().unwrap();

    assert_eq!(unspoken(&report, &grid), []);
    // Those that stayed open the sums if they are enough. Else the rounds
    // wait, and those open whose deadline has not passed meanwhile.
    let away = (9..19).filter(|at| report.region(Register::Import, nth(&grid, *at)).is_some());
    let away: Vec<_> = away.collect();
    if threshold <= 8 {
        assert_eq!(away, (9..19).collect::<Vec<_>>());
    } else {
        assert!(!away.is_empty());
    }
    for position in 20..40 {
        let outcome = report.region(Register::Import, nth(&grid, position)).unwrap();
        assert!(outcome.uncounted.is_empty() && outcome.helpers.len() >= threshold, "{outcome:?}");
    }
    for number in [0, 11] {
        assert_eq!(billed(&report, &grid, number).last_chunk(), Some(&[2, 3]));
    }
}

#[test]
fn whoever_restarts_nothing_false_is_published() {
    for seed in 61..=64 {
        chaos(seed, Faults::moderate());
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
