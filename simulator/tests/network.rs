//! What the network does to a region.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says so"
)]

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aggregation::{ElGamal, Table};
use common::{
    DIGITS, billed, complete, count, meter, nth, open, plan, plan_with, summed, unheard, unspoken,
    within,
};
use protocol::message::Target;
use protocol::output::Event;
use protocol::parameters::Parameters;
use protocol::reading::Register;
use simulator::{Faults, Party, Plan, Truth, World};

#[test]
fn what_is_lost_repeated_and_reordered_completes_all_the_same() {
    for seed in 1..=2 {
        // Time to connect again, and for two hops.
        let plan = plan_with(seed, Faults::moderate());
        let parameters = Parameters { grace_s: 30, ..plan.parameters };
        let (world, grid) = open(Plan { parameters, ..plan });
        let report = world.run().unwrap();
        assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>(), "seed {seed}");
        let windows = complete(&report, &grid);
        assert!(windows.len() >= 3, "seed {seed}: {windows:?}");
        for number in 0..12 {
            assert_eq!(billed(&report, &grid, number), windows, "seed {seed}, {number}");
        }
    }
}

#[test]
fn whatever_the_network_does_nothing_false_is_published_and_no_round_ends_in_silence() {
    let (mut opened, mut abandoned) = (0, 0);
    for seed in 11..=13 {
        let (world, grid) = open(plan_with(seed, Faults::severe()));
        let report = world.run().unwrap();
        assert_eq!(unspoken(&report, &grid), [], "seed {seed}");
        opened += summed(&report, &grid).len();
        abandoned += report.abandoned.len();
    }
    assert!(opened > 40 && abandoned > 0, "opened {opened}, abandoned {abandoned}");
}

#[test]
fn elgamal_stands_the_same_network() {
    let small = Plan::small::<ElGamal>(21, "north".parse().unwrap());
    let window_slots = NonZeroU32::new(6).unwrap();
    let parameters = Parameters { window_slots, ..small.parameters };
    let faults = Faults::moderate();
    let plan = Plan { meters: 6, epoch_windows: 1, parameters, faults, ..small };
    let world = World::<ElGamal>::new(plan, Truth::powers(DIGITS), Arc::new(Table::new(16)));
    let report = world.unwrap().run().unwrap();
    assert_eq!(report.results.len(), 6 + 6, "{:?}", report.abandoned);
}

#[test]
fn a_late_contribution_is_uncounted_and_both_sides_say_so() {
    let (mut world, grid) = open(plan(31));
    world.run_until(within(&grid, 3, 30)).unwrap();
    world.cut_off(Party::Meter(5));
    world.run_until(within(&grid, 4, 30)).unwrap();
    world.reconnect(Party::Meter(5));
    let report = world.run().unwrap();

    let late = nth(&grid, 3);
    let found = common::events(&report, Party::Meter(5), "uncounted");
    assert!(matches!(found[..], [Event::Uncounted { slot }, ..] if *slot == late));
    let found = common::events(&report, Party::Collector, "late");
    assert!(matches!(found[..], [Event::Late { slot, .. }, ..] if *slot == late));
    assert_eq!(report.region(Register::Import, late).unwrap().uncounted, [meter(5)]);
    assert_eq!(billed(&report, &grid, 5), [0, 1, 2, 3]);
    assert_eq!(summed(&report, &grid).len(), 40);
}

#[test]
fn a_meter_without_a_reading_is_named_and_still_helps() {
    let (mut world, grid) = open(plan(32));
    for position in [2, 3, 14] {
        world.silence(7, nth(&grid, position));
    }
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid).len(), 40);
    assert_eq!(report.region(Register::Import, nth(&grid, 2)).unwrap().uncounted, [meter(7)]);
    for number in [6, 7] {
        assert_eq!(billed(&report, &grid, number), [0, 1, 2, 3]);
    }
    let first = report.bill(&meter(7), Register::Import, nth(&grid, 0)).unwrap();
    assert_eq!(first.uncounted_slots, [nth(&grid, 2), nth(&grid, 3)]);
}

#[test]
fn a_meter_counted_in_too_few_slots_is_billed_for_them_with_the_next_window() {
    let (mut world, grid) = open(plan(33));
    (10..16).for_each(|position| world.silence(7, nth(&grid, position)));
    let report = world.run().unwrap();
    assert_eq!(billed(&report, &grid, 7), [0, 2, 3]);
    assert_eq!(billed(&report, &grid, 6), [0, 1, 2, 3]);
    let withheld: Vec<_> = (16..20).map(|position| nth(&grid, position)).collect();
    let second = report.bill(&meter(6), Register::Import, nth(&grid, 10)).unwrap();
    assert_eq!((second.slots, &second.withheld_slots), (6, &withheld));
    let third = report.bill(&meter(7), Register::Import, nth(&grid, 20)).unwrap();
    assert_eq!((third.slots, &third.joined_slots), (14, &withheld));
}

#[test]
fn too_few_contributors_open_nothing() {
    let (mut world, grid) = open(plan(34));
    (0..8).for_each(|number| world.silence(number, nth(&grid, 5)));
    let report = world.run().unwrap();
    assert!(report.region(Register::Import, nth(&grid, 5)).is_none());
    assert!(report.abandoned.contains_key(&Target::Region(nth(&grid, 5))));
    assert_eq!(summed(&report, &grid).len(), 39);
    assert_eq!(unspoken(&report, &grid), []);
}

#[test]
fn a_meter_away_for_an_hour_costs_results_and_never_their_truth() {
    let (mut world, grid) = open(plan(35));
    world.run_until(within(&grid, 4, 30)).unwrap();
    world.cut_off(Party::Meter(0));
    world.run_until(within(&grid, 24, 30)).unwrap();
    world.reconnect(Party::Meter(0));
    let report = world.run().unwrap();
    assert_eq!(unspoken(&report, &grid), []);
    let named = report.abandoned[&Target::Region(nth(&grid, 5))].waiting_for.clone();
    assert_eq!(named, [meter(0)]);
    assert_eq!(billed(&report, &grid, 3).last(), Some(&3));
}

#[test]
fn a_holder_that_misses_a_request_costs_nobody_else_the_bill() {
    let (mut world, grid) = open(plan(36));
    // Its contribution is out and counted; it is back when it has claimed
    // without that slot.
    world.run_until(within(&grid, 8, 0) + Duration::from_millis(75)).unwrap();
    world.cut_off(Party::Meter(4));
    world.run_until(within(&grid, 13, 30)).unwrap();
    world.reconnect(Party::Meter(4));
    let report = world.run().unwrap();
    let missed = report.region(Register::Import, nth(&grid, 7)).unwrap();
    assert!(missed.contributors.contains(&meter(4)));
    assert_eq!(summed(&report, &grid).len(), 40);
    assert_eq!(billed(&report, &grid, 6), [0, 1, 2, 3]);
}

#[test]
fn a_broker_that_restarts_costs_time_and_no_result() {
    for seed in 41..=44 {
        // Time to connect again, and for two hops.
        let plan = plan_with(seed, Faults::moderate());
        let parameters = Parameters { grace_s: 30, ..plan.parameters };
        let (mut world, grid) = open(Plan { parameters, ..plan });
        for (position, seconds) in [(3, 0), (7, 2), (9, 59), (20, 1), (20, 30), (33, 0)] {
            world.run_until(within(&grid, position, seconds)).unwrap();
            world.restart_broker();
        }
        let report = world.run().unwrap();
        assert_eq!(summed(&report, &grid).len(), 40, "seed {seed}");
        assert_eq!(billed(&report, &grid, 0), [0, 1, 2, 3], "seed {seed}");
        assert_eq!(count(&report, "abandoned"), 0, "seed {seed}");
    }
}

#[test]
fn results_that_are_lost_with_the_collectors_connection_arrive_once_it_is_back() {
    let (mut world, grid) = open(plan(37));
    world.run_until(grid.end(nth(&grid, 8))).unwrap();
    let said = |world: &World<_>| {
        world.wire().iter().filter(|sent| sent.topic.ends_with("/c/result")).count()
    };
    let before = said(&world);
    while said(&world) == before {
        world.run_until(world.now() + Duration::from_millis(1)).unwrap();
    }
    // It has just opened the sum, which is on its way.
    world.cut_off(Party::Collector);
    world.run_until(within(&grid, 9, 40)).unwrap();
    let back = world.now();
    world.reconnect(Party::Collector);
    let report = world.run().unwrap();
    let mut published = report.results.iter().filter(|(key, _)| key.first_slot == nth(&grid, 8));
    assert!(published.next().unwrap().1.at > back);
    assert_eq!(summed(&report, &grid).len(), 40);
    assert_eq!(unheard(&report, &grid), []);
}

#[test]
fn a_collector_that_loses_its_connection_again_and_again_loses_no_result() {
    let faults = Faults { disconnect_per_mille: 20, unnoticed_ms: 0..=5_000, ..Faults::none() };
    let (world, grid) = open(Plan { epoch_windows: 2, ..plan_with(38, faults) });
    let report = world.run().unwrap();
    assert!(count(&report, "combined") > 10);
    assert_eq!(unheard(&report, &grid), []);
}
