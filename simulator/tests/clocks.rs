//! Clocks that are set wrong while their meters run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use common::{
    billed, count, events, meter, nth, open, plan, plan_with, summed, unheard, unspoken, within,
};
use protocol::output::{Event, SlotError};
use protocol::reading::Register;
use simulator::{Faults, Party, Plan};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_clock_that_steps_back_encrypts_no_slot_twice_and_costs_no_sum() {
    for by_ms in [-HOUR_MS, -90_000] {
        let (mut world, grid) = open(plan(81));
        world.run_until(within(&grid, 14, 30)).unwrap();
        world.step_clock(3, by_ms);
        world.run_until(within(&grid, 16, 30)).unwrap();
        world.set_clock_right(3);
        let report = world.run().unwrap();

        assert_eq!(summed(&report, &grid).len(), 40, "{by_ms}");
        assert!(report.refusals["not-ended"] > 0, "{by_ms}: {:?}", report.refusals);
        let sum = report.region(Register::Import, nth(&grid, 15)).unwrap();
        assert_eq!(sum.uncounted, [meter(3)], "{by_ms}");
        assert_eq!(billed(&report, &grid, 3), [0, 1, 2, 3], "{by_ms}");
        // Its source gave it what it had encrypted before.
        let again = Event::SlotRefused { slot: nth(&grid, 13), error: SlotError::Again };
        let refused = events(&report, Party::Meter(3), "slot-refused");
        assert!(refused.contains(&&again), "{by_ms}: {refused:?}");
    }
}

#[test]
fn a_clock_that_steps_forward_costs_what_it_passed_also_after_a_restart() {
    let (mut world, grid) = open(plan(82));
    world.run_until(within(&grid, 14, 30)).unwrap();
    // The deadlines of all slots before the 20th pass by that clock.
    world.step_clock(3, 20 * 60_000);
    world.run_until(within(&grid, 14, 31)).unwrap();
    world.set_clock_right(3);
    world.run_until(within(&grid, 16, 30)).unwrap();
    world.start(Party::Meter(3)).unwrap();
    let report = world.run().unwrap();

    // What it has forgotten it opens no more, whatever its clock says.
    assert_eq!(summed(&report, &grid), (0..14).chain(20..40).collect::<Vec<_>>());
    assert!(report.refusals["past-deadline"] > 0, "{:?}", report.refusals);
    assert_eq!(unspoken(&report, &grid), []);
    // It endorses no listing of what it has forgotten.
    assert_eq!(billed(&report, &grid, 3), [0, 2, 3]);
}

#[test]
fn wherever_clocks_step_nothing_false_is_published_and_no_round_ends_in_silence() {
    let faults = Faults { steps: Faults::severe().steps, ..Faults::none() };
    let (world, grid) = open(plan_with(83, faults));
    let report = world.run().unwrap();
    assert_eq!(unspoken(&report, &grid), []);
    assert_eq!(unheard(&report, &grid), []);
    assert!(count(&report, "slot-refused") > 0);
}

#[test]
fn a_clock_that_passes_the_end_of_the_epoch_costs_its_meter_the_epoch_and_nobody_a_sum() {
    let (mut world, grid) = open(Plan { epochs: 2, ..plan(84).with_threshold(8) });
    world.run_until(within(&grid, 14, 30)).unwrap();
    world.step_clock(3, HOUR_MS);
    world.run_until(within(&grid, 14, 31)).unwrap();
    world.set_clock_right(3);
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    // Its key share is erased for good; the next epoch gives it another.
    let contributed = |at| {
        let sum = report.region(Register::Import, nth(&grid, at)).unwrap();
        sum.contributors.contains(&meter(3))
    };
    assert!(contributed(13) && !contributed(15) && !contributed(39) && contributed(40));
}
