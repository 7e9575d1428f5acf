//! Worlds to tell stories in.
#![allow(dead_code, clippy::unwrap_used, reason = "each story uses a part; one that fails says so")]

use std::sync::Arc;
use std::time::Duration;

use aggregation::Plain;
use protocol::id::MeterId;
use protocol::message::Target;
use protocol::output::Event;
use protocol::portion::Portion;
use protocol::reading::Register;
use protocol::slot::{Grid, Slot, Timestamp, Window};
use protocol::tariff::StepId;
use simulator::{Faults, Party, Plan, Report, Truth, World};

/// Powers below 2^15 are readings wherever `max_wh_per_slot` is 65535.
pub(crate) const DIGITS: u32 = 15;

pub(crate) fn plan(seed: u64) -> Plan {
    Plan::small::<Plain>(seed, "north".parse().unwrap())
}

pub(crate) fn plan_with(seed: u64, faults: Faults) -> Plan {
    Plan { faults, ..plan(seed) }
}

pub(crate) fn world(plan: Plan) -> World<Plain> {
    World::new(plan, Truth::powers(DIGITS), Arc::new(())).unwrap()
}

/// A world that is open, with its grid.
pub(crate) fn open(plan: Plan) -> (World<Plain>, Grid) {
    let mut world = world(plan);
    let grid = world.open().unwrap();
    (world, grid)
}

/// The slot at a position in the epoch.
pub(crate) fn nth(grid: &Grid, position: u64) -> Slot {
    grid.origin.plus(position)
}

/// Seconds after the slot at a position has begun.
pub(crate) fn within(grid: &Grid, position: u64, seconds: u64) -> Timestamp {
    grid.start(nth(grid, position)) + Duration::from_secs(seconds)
}

/// The portion of a window where there is one tariff step.
pub(crate) fn portion(window: u64) -> Portion {
    Portion { window: Window(window), step: StepId(0) }
}

pub(crate) fn meter(number: u16) -> MeterId {
    format!("m-{number:05}").parse().unwrap()
}

/// The windows at the given positions that a meter has a bill for.
pub(crate) fn billed(report: &Report, grid: &Grid, number: u16) -> Vec<u64> {
    let has_bill = |window: &u64| {
        let first = grid.first_slot(Window(*window));
        report.bill(&meter(number), Register::Import, first).is_some()
    };
    (0..4).filter(has_bill).collect()
}

/// The windows in which every slot's result counts every member.
pub(crate) fn complete(report: &Report, grid: &Grid) -> Vec<u64> {
    let counts_all = |slot| {
        let outcome = report.region(Register::Import, slot);
        outcome.is_some_and(|outcome| outcome.uncounted.is_empty())
    };
    let is_complete = |window: &u64| (0..10).all(|at| counts_all(nth(grid, window * 10 + at)));
    (0..4).filter(is_complete).collect()
}

/// Slots of the epoch, by position, that have a result.
pub(crate) fn summed(report: &Report, grid: &Grid) -> Vec<u64> {
    (0..40).filter(|at| report.region(Register::Import, nth(grid, *at)).is_some()).collect()
}

/// Rounds of a plan that ended without a word: not opened, and not abandoned.
pub(crate) fn unspoken(report: &Report, grid: &Grid) -> Vec<Target> {
    let regions = (0..40).map(|at| Target::Region(nth(grid, at)));
    let bills = (0..4).map(|window| Target::Bill(portion(window)));
    let is_spoken = |target: &Target| {
        report.abandoned.contains_key(target) || opened(report).any(|found| found == *target)
    };
    regions.chain(bills).filter(|target| !is_spoken(target)).collect()
}

/// Rounds of the first epoch that the collector opened and whose results never
/// reached the broker.
pub(crate) fn unheard(report: &Report, grid: &Grid) -> Vec<Target> {
    let end = report.rosters.values().next().unwrap().end_slot;
    let is_of_first = |target: &Target| !matches!(target, Target::Region(slot) if *slot >= end);
    let is_heard = |target: &Target| match target {
        Target::Region(slot) => report.region(Register::Import, *slot).is_some(),
        Target::Bill(of) => (0..12).any(|m| billed(report, grid, m).contains(&of.window.0)),
    };
    opened(report).filter(|target| is_of_first(target) && !is_heard(target)).collect()
}

fn opened(report: &Report) -> impl Iterator<Item = Target> {
    report.events_of(Party::Collector, "combined").filter_map(|event| match event {
        Event::Combined { target, .. } => Some(*target),
        _ => None,
    })
}

pub(crate) fn count(report: &Report, name: &str) -> usize {
    report.events.iter().filter(|(_, _, event)| event.name() == name).count()
}

pub(crate) fn events<'a>(report: &'a Report, party: Party, name: &'a str) -> Vec<&'a Event> {
    report.events_of(party, name).collect()
}
