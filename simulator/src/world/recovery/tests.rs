//! The checks of a world that has recovered, on trial.

use std::sync::Arc;

use aggregation::Plain;
use protocol::record::{Change, Records};

use super::*;
use crate::plan::Plan;
use crate::truth::Truth;

fn world() -> World<Plain> {
    let plan = Plan::random::<Plain>(0, "north".parse().unwrap());
    World::new(plan, Truth::powers(15), Arc::new(())).unwrap()
}

/// A world that has recovered, with the epoch of all meters.
fn recovered() -> (World<Plain>, Epoch, Timestamp) {
    let mut world = world();
    world.open().unwrap();
    let healed = world.now();
    world.recover().unwrap();
    (world, Epoch(2), healed)
}

fn first_slot(world: &World<Plain>, epoch: Epoch) -> Slot {
    world.judge.rosters[&epoch].body().first_slot
}

#[test]
fn an_epoch_without_somebody_is_seen() {
    let mut world = world();
    world.open().unwrap();
    // It is told of nothing any more.
    world.broker.forget(Party::Meter(3));
    let failure = world.recover().unwrap_err();
    assert!(matches!(failure.violation, Violation::NoEpoch(_)), "{failure}");
}

#[test]
fn a_party_that_does_not_start_is_seen() {
    let mut world = world();
    world.open().unwrap();
    let party = Party::Meter(3);
    world.stop(party);
    let broken = Change::Write(Key::mark(), vec![0xff].into());
    world.nodes.get_mut(&party).unwrap().disk.commit(vec![broken]);
    let failure = world.recover().unwrap_err();
    assert!(matches!(failure.violation, Violation::NotStarted { .. }), "{failure}");
}

#[test]
fn a_slot_without_its_sum_is_seen() {
    let (mut world, epoch, healed) = recovered();
    let slot = first_slot(&world, epoch);
    assert_eq!(world.check_first_window(epoch), Ok(()));
    assert_eq!(world.check_opened(healed), Ok(()));
    world.judge.results.retain(|key, _| key.first_slot != slot);
    assert_eq!(world.check_first_window(epoch), Err(Violation::Unopened(slot)));
    assert_eq!(world.check_opened(healed), Err(Violation::Unopened(slot)));
}

#[test]
fn a_sum_without_somebody_is_seen() {
    let (mut world, epoch, _) = recovered();
    let slot = first_slot(&world, epoch);
    for published in world.judge.results.values_mut() {
        let outcome = &mut published.outcome;
        if outcome.first_slot == slot && matches!(outcome.subject, Subject::Region(_)) {
            outcome.uncounted.extend(outcome.contributors.pop());
        }
    }
    assert_eq!(world.check_first_window(epoch), Err(Violation::Unopened(slot)));
}

#[test]
fn a_window_without_its_listing_or_a_bill_is_seen() {
    let (mut world, epoch, _) = recovered();
    let slot = first_slot(&world, epoch);
    let meter = world.id(4).unwrap().clone();
    let of = Subject::Meter(meter.clone());
    world.judge.results.retain(|key, _| key.first_slot != slot || key.subject != of);
    let found = world.check_first_window(epoch);
    assert_eq!(found, Err(Violation::Unbilled { meter, first_slot: slot }));
    world.judge.forget_listings();
    assert!(matches!(world.check_first_window(epoch), Err(Violation::Unlisted { .. })));
}

#[test]
fn a_round_that_ended_without_a_word_is_seen() {
    let (mut world, ..) = recovered();
    let slot = first_slot(&world, Epoch(1));
    assert_eq!(world.check_spoken(), Ok(()));
    world.judge.results.retain(|key, _| key.first_slot != slot);
    // It is in the collector's records.
    assert_eq!(world.check_spoken(), Ok(()));
    world.nodes.get_mut(&Party::Collector).unwrap().disk.restore(Records::default());
    assert_eq!(world.check_spoken(), Err(Violation::Unspoken(slot)));
}
