//! Epochs that follow each other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{count, events, meter, nth, open, plan, within, world};
use protocol::id::Epoch;
use protocol::message::{Roster, Target};
use protocol::output::Event;
use protocol::parameters::Parameters;
use protocol::reading::Register;
use protocol::slot::{Grid, Slot};
use simulator::{Faults, Party, Plan, Report, World};

/// Two epochs of two windows, in which eight of twelve holders open a sum.
fn two_epochs(seed: u64) -> Plan {
    Plan { epoch_windows: 2, epochs: 2, ..plan(seed).with_threshold(8) }
}

/// The slots, by position, that have a result, of the first forty.
fn summed(report: &Report, grid: &Grid) -> Vec<u64> {
    common::summed(report, grid)
}

fn slots(roster: &Roster, grid: &Grid) -> (u64, u64) {
    let position = |slot: Slot| slot.since(grid.origin).unwrap();
    (position(roster.first_slot), position(roster.end_slot))
}

fn members(roster: &Roster) -> BTreeSet<String> {
    roster.members.iter().map(|member| member.meter.to_string()).collect()
}

fn of(numbers: impl Iterator<Item = u16>) -> BTreeSet<String> {
    numbers.map(|number| meter(number).to_string()).collect()
}

/// How many rounds of each epoch were abandoned.
fn abandoned(report: &Report) -> Vec<&(Epoch, Target)> {
    report.all_abandoned.keys().collect()
}

#[test]
fn an_epoch_follows_by_itself_and_no_slot_is_lost() {
    let (world, grid) = open(two_epochs(101));
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    assert_eq!(slots(&report.rosters[&Epoch(2)], &grid), (20, 40));
    assert_eq!(report.results.len(), 40 + 4 * 12);
    assert_eq!(abandoned(&report), [] as [&(Epoch, Target); 0]);
    assert_eq!(count(&report, "epoch-erased"), 2 * 12);
}

#[test]
fn a_member_more_and_one_less_make_another_epoch_at_the_end_of_a_window() {
    let small = plan(102);
    let plan = Plan { meters: 13, outside: 1, epochs: 2, ..small }.with_threshold(8);
    let (mut world, grid) = open(plan);
    world.run_until(within(&grid, 15, 30)).unwrap();
    world.next_epoch(1..13).unwrap();
    let report = world.run().unwrap();

    let [first, second] = [1, 2].map(|epoch| &report.rosters[&Epoch(epoch)]);
    assert_eq!((members(first), members(second)), (of(0..12), of(1..13)));
    // The first one was to last for forty slots.
    assert_eq!((slots(first, &grid), slots(second, &grid)), ((0, 40), (20, 60)));
    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    let contributors = |at| &report.region(Register::Import, nth(&grid, at)).unwrap().contributors;
    assert!(contributors(19).contains(&meter(0)) && !contributors(19).contains(&meter(12)));
    assert!(contributors(20).contains(&meter(12)) && !contributors(20).contains(&meter(0)));
    let mut left = report.events_of(Party::Meter(0), "left");
    assert!(matches!(left.next(), Some(Event::Left { epoch: Epoch(2), .. })));
    for number in 1..12 {
        let first_slots = [0, 10, 20, 30, 40, 50].map(|at| nth(&grid, at));
        let billed = first_slots
            .iter()
            .filter(|first| report.bill(&meter(number), Register::Import, **first).is_some());
        assert_eq!(billed.count(), 6, "{number}");
    }
}

/// Restarts the collector and then every meter, one each `millis`.
fn restart_all(world: &mut World<aggregation::Plain>, millis: u64) {
    let parties = std::iter::once(Party::Collector).chain((0..12).map(Party::Meter));
    for party in parties {
        world.run_until(world.now() + Duration::from_millis(millis)).unwrap();
        world.start(party).unwrap();
    }
}

/// When the ceremony of the second epoch begins: half of the first one ahead
/// of its end.
const CEREMONY: u64 = 10;

#[test]
fn restarts_in_the_middle_of_a_ceremony_cost_time_alone() {
    for (seed, millis) in [(111, 7), (113, 90), (115, 700)] {
        let (mut world, grid) = open(two_epochs(seed));
        world.run_until(within(&grid, CEREMONY, 1)).unwrap();
        restart_all(&mut world, millis);
        let report = world.run().unwrap();
        let second = &report.rosters[&Epoch(2)];
        assert_eq!(slots(second, &grid), (20, 40), "seed {seed}");
        assert_eq!(members(second), of(0..12), "seed {seed}");
        // Holders refuse what ended before their start: sums of one slot.
        let summed = summed(&report, &grid);
        assert!((11..40).all(|at| summed.contains(&at)), "seed {seed}: {summed:?}");
    }
}

/// A random world, seed 193: the gap that a card put back leaves spanned two
/// epochs, and the part of the second one held energy that the first counts.
#[test]
fn a_card_put_back_across_two_epochs_counts_no_energy_twice() {
    let (mut world, grid) = open(two_epochs(105));
    // Its readings double from slot to slot, up to the 19th.
    let party = Party::Meter(9);
    world.run_until(within(&grid, 17, 30)).unwrap();
    world.back_up(party);
    world.run_until(within(&grid, 20, 30)).unwrap();
    world.stop(party);
    world.run_until(within(&grid, 22, 30)).unwrap();
    world.restore(party).unwrap();
    let report = world.run().unwrap();
    assert_eq!(count(&report, "disk-is-older"), 1);
}

#[test]
fn restarts_in_the_middle_of_the_first_ceremony_keep_every_share() {
    for (seed, millis) in [(121, 20), (123, 150)] {
        let mut world = world(two_epochs(seed));
        restart_all(&mut world, millis);
        let grid = world.open().unwrap();
        let report = world.run().unwrap();
        assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn whoever_is_away_at_a_ceremony_is_named_and_takes_part_in_the_next_one() {
    let plan = Plan { epochs: 3, patience: Duration::from_mins(1), ..two_epochs(103) };
    let (mut world, grid) = open(plan);
    world.run_until(within(&grid, 8, 30)).unwrap();
    world.cut_off(Party::Meter(7));
    world.run_until(within(&grid, 22, 30)).unwrap();
    world.reconnect(Party::Meter(7));
    let report = world.run().unwrap();

    let left_out = events(&report, Party::Collector, "left-out");
    let is_it = |event: &&&Event| matches!(event, Event::LeftOut { meter: found, .. } if *found == meter(7));
    assert_eq!(left_out.iter().filter(is_it).count(), left_out.len());
    assert!(!left_out.is_empty());
    let second = &report.rosters[&Epoch(2)];
    assert_eq!(members(second), of((0..12).filter(|number| *number != 7)));
    assert_eq!(members(&report.rosters[&Epoch(3)]), of(0..12));
    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    for at in 20..40 {
        let sum = report.region(Register::Import, nth(&grid, at)).unwrap();
        assert!(sum.uncounted.is_empty() && sum.contributors.len() == 11, "{sum:?}");
    }
}

#[test]
fn epochs_follow_each_other_on_a_network_that_loses_repeats_and_reorders() {
    for seed in 131..=132 {
        // Time to connect again, and for two hops.
        let plan = Plan { faults: Faults::moderate(), ..two_epochs(seed) };
        let parameters = Parameters { grace_s: 30, ..plan.parameters };
        let (world, grid) = open(Plan { parameters, ..plan });
        let report = world.run().unwrap();
        assert_eq!(slots(&report.rosters[&Epoch(2)], &grid), (20, 40), "seed {seed}");
        assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_over_several_epochs() {
    let trace = |seed| {
        let plan = Plan { meters: 13, outside: 1, faults: Faults::moderate(), ..two_epochs(seed) };
        let (mut world, grid) = open(plan);
        world.run_until(within(&grid, 5, 30)).unwrap();
        world.next_epoch(1..13).unwrap();
        world.lie(3);
        world.run().unwrap().trace.unwrap()
    };
    assert_eq!(trace(141), trace(141));
    assert_ne!(trace(141), trace(142));
}
