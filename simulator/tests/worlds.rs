//! Worlds with operations drawn at random.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so")]

mod common;

use std::sync::Arc;

use aggregation::Plain;
use common::DIGITS;
use simulator::{Failure, Plan, Report, Step, Truth, World, draw};

fn random(seed: u64) -> Plan {
    Plan::random::<Plain>(seed, "north".parse().unwrap())
}

fn play(plan: Plan, steps: &[Step]) -> Result<Report, Failure> {
    let mut world = World::<Plain>::new(plan, Truth::powers(DIGITS), Arc::new(())).unwrap();
    world.live(steps).map(|()| world.report())
}

#[test]
fn a_few_random_worlds_come_to_a_good_end() {
    for seed in 0..4 {
        let plan = random(seed);
        let steps = draw(&plan, 50);
        if let Err(failure) = play(plan, &steps) {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_random_world_plays_the_same_again() {
    let trace = |seed| {
        let plan = random(seed);
        let steps = draw(&plan, 20);
        play(plan, &steps).unwrap().trace
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
