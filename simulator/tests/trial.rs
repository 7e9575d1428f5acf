//! The judge on trial: a check that cannot fail proves nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so")]

mod common;

use common::{DIGITS, open, plan, within};
use protocol::reading::Register;
use simulator::{Party, Truth, Violation};

#[test]
fn a_judge_with_one_wrong_reading_finds_the_first_sum_that_holds_it() {
    let (mut world, grid) = open(plan(71));
    let slot = common::nth(&grid, 6);
    let mut wrong = Truth::powers(DIGITS);
    let wh = wrong.wh(4, Register::Import, slot);
    wrong.correct(4, Register::Import, slot, wh + 1);
    world.judge_by(wrong);
    let failure = world.run().unwrap_err();
    assert_eq!(failure.seed, 71);
    let Violation::RegionSum { slot: found, said, truth, .. } = failure.violation else {
        panic!("{failure}")
    };
    assert_eq!((found, said + 1), (slot, truth));
}

#[test]
fn a_judge_with_another_seed_of_truth_finds_the_first_sum() {
    let (mut world, grid) = open(plan(72));
    world.judge_by(Truth::always(1));
    let failure = world.run_until(within(&grid, 1, 1)).unwrap_err();
    assert!(matches!(failure.violation, Violation::RegionSum { .. }), "{failure}");
}

#[test]
fn an_epoch_that_cannot_open_is_a_failure() {
    let mut world = common::world(plan(73));
    world.stop(Party::Meter(1));
    let failure = world.open().unwrap_err();
    assert_eq!(failure.violation, Violation::NotOpened);
    assert!(failure.to_string().starts_with("seed 73, operation 0, step "), "{failure}");
}

#[test]
fn a_disk_that_lies_is_found_out_and_an_honest_one_is_not() {
    for lies in [false, true] {
        let (mut world, grid) = open(plan(74));
        if lies {
            world.let_disk_lie(Party::Meter(3));
        }
        world.run_until(within(&grid, 6, 30)).unwrap();
        world.start(Party::Meter(3)).unwrap();
        let found = world.run().err().map(|failure| failure.violation);
        assert_eq!(matches!(found, Some(Violation::Energy { .. })), lies, "{found:?}");
    }
}
