//! The judge on trial, check by check.

use std::sync::Arc;

use aggregation::Plain;
use protocol::keygen::Registrar;
use protocol::message::Receipt;

use super::sums::check_epoch;
use super::*;
use crate::plan::Plan;
use crate::world::World;

/// A world after two windows: with a bill of the first, and the result of a
/// slot of the second that does not count everybody.
fn after_a_window() -> (World<Plain>, Outcome, Outcome) {
    let plan = Plan::small::<Plain>(1, "north".parse().unwrap());
    let mut world = World::new(plan, Truth::powers(15), Arc::new(())).unwrap();
    let grid = world.open().unwrap();
    world.silence(3, grid.origin.plus(12));
    world.run_until(grid.end(grid.origin.plus(20))).unwrap();
    let of = |slot: u64, is_region: bool| {
        let mut found = world.judge.results.values().map(|published| &published.outcome);
        let sort = |outcome: &&Outcome| {
            matches!(outcome.subject, Subject::Region(_)) == is_region
                && outcome.first_slot == grid.origin.plus(slot)
        };
        found.rfind(sort).unwrap().clone()
    };
    let (region, bill) = (of(12, true), of(0, false));
    (world, region, bill)
}

/// What the judge says to a result that differs from a true one.
fn verdict(alter: impl FnOnce(&mut Outcome, &mut Outcome)) -> Result<(), Violation> {
    let (mut world, mut region, mut bill) = after_a_window();
    let before = (region.clone(), bill.clone());
    alter(&mut region, &mut bill);
    let altered = if region == before.0 { bill } else { region };
    world.judge.see_outcome(&altered)
}

#[test]
fn a_true_result_may_be_repeated() {
    assert_eq!(verdict(|_, _| {}), Ok(()));
}

#[test]
fn a_wrong_sum_is_seen() {
    let found = verdict(|region, _| region.sum_wh += 1);
    assert!(matches!(found, Err(Violation::RegionSum { .. })), "{found:?}");
    let found = verdict(|_, bill| bill.sum_wh -= 1);
    assert!(matches!(found, Err(Violation::Bill { .. })), "{found:?}");
}

#[test]
fn a_contributor_that_is_exchanged_for_another_is_seen() {
    let (mut world, mut region, _) = after_a_window();
    let uncounted = std::mem::take(&mut region.uncounted);
    region.uncounted = region.contributors.splice(..1, uncounted).collect();
    assert_eq!(world.judge.see_outcome(&region), Err(Violation::Listed(region.first_slot)));
    world.judge.finals.clear();
    let found = world.judge.see_outcome(&region);
    assert!(matches!(found, Err(Violation::RegionSum { .. })), "{found:?}");
}

#[test]
fn a_member_that_is_nowhere_or_in_two_places_is_seen() {
    for alter in [
        |region: &mut Outcome| region.uncounted.clear(),
        |region: &mut Outcome| region.uncounted.push(region.contributors[0].clone()),
        |region: &mut Outcome| region.slots = 2,
    ] {
        let found = verdict(|region, _| alter(region));
        assert!(matches!(found, Err(Violation::Members(_))), "{found:?}");
    }
}

#[test]
fn a_sum_of_too_few_is_seen() {
    let found = verdict(|region, _| {
        let left_out = region.contributors.split_off(4);
        region.uncounted.extend(left_out);
    });
    let expected = (4, 5);
    let Err(Violation::TooFewContributors { found, needed, .. }) = found else {
        panic!("{found:?}")
    };
    assert_eq!((found, needed), expected);
}

#[test]
fn a_bill_off_its_window_is_seen() {
    for alter in [
        |bill: &mut Outcome| bill.slots -= 1,
        |bill: &mut Outcome| bill.first_slot = bill.first_slot.plus(1),
        |bill: &mut Outcome| bill.contributors.clear(),
    ] {
        let found = verdict(|_, bill| alter(bill));
        assert!(matches!(found, Err(Violation::Span(_))), "{found:?}");
    }
}

#[test]
fn a_second_result_is_seen_even_if_it_is_true() {
    let (mut world, mut region, _) = after_a_window();
    world.judge.finals.clear();
    let left_out = region.contributors.remove(0);
    region.sum_wh -= Truth::powers(15).wh(0, region.register, region.first_slot);
    region.uncounted.push(left_out);
    let found = world.judge.see_outcome(&region);
    assert!(matches!(found, Err(Violation::TwoResults(_))), "{found:?}");
}

#[test]
fn a_bill_of_a_window_without_a_final_listing_is_seen() {
    let (mut world, _, bill) = after_a_window();
    world.judge.finals.clear();
    let found = world.judge.see_outcome(&bill);
    assert_eq!(found, Err(Violation::Span(bill.first_slot)));
}

#[test]
fn a_result_that_disagrees_with_its_listing_is_seen() {
    let (mut world, region, bill) = after_a_window();
    let first = bill.first_slot;
    let listed = Outcome { first_slot: first, ..region };
    assert_eq!(world.judge.see_outcome(&listed), Err(Violation::Listed(first)));
}

#[test]
fn a_result_that_names_too_few_helpers_is_seen() {
    let found = verdict(|_, bill| bill.unanswered.extend(bill.helpers.pop()));
    assert!(matches!(found, Err(Violation::TooFewHelpers { found: 11, .. })), "{found:?}");
    let found = verdict(|_, bill| bill.helpers.truncate(11));
    assert!(matches!(found, Err(Violation::Holders(_))), "{found:?}");
}

#[test]
fn a_slot_that_is_encrypted_twice_is_seen_and_a_repetition_is_none() {
    let (mut world, _, _) = after_a_window();
    let ((meter, slot), body) = world.judge.encrypted.pop_first().unwrap();
    let other = world.judge.encrypted.pop_first().unwrap().1;
    let other = Contribution { slot, ..other };
    let mut see = |body: &Contribution| world.judge.see_contribution(meter.clone(), body);
    assert_eq!(see(&body), Ok(()));
    assert_eq!(see(&body), Ok(()));
    let twice = Violation::EncryptedTwice { meter: meter.clone(), slot };
    assert_eq!(see(&other), Err(twice));
}

#[test]
fn a_result_that_never_reaches_the_broker_is_not_published() {
    let (mut world, region, _) = after_a_window();
    world.judge.results.clear();
    assert_eq!(world.judge.see_outcome(&region), Ok(()));
    assert!(world.judge.results.is_empty());
    let mut sent = world.wire().iter().filter(|sent| sent.topic.ends_with("/c/result"));
    let (sent, now) = (sent.next().unwrap().clone(), world.now());
    world.judge.hear(&sent, now).unwrap();
    assert_eq!(world.judge.results.len(), 1);
}

#[test]
fn two_rosters_of_an_epoch_are_seen() {
    let (mut world, ..) = after_a_window();
    let mut sent = world.wire().iter().filter(|sent| sent.topic.ends_with("/c/roster"));
    let (mut sent, now) = (sent.next().unwrap().clone(), world.now());
    assert_eq!(world.judge.hear(&sent, now), Ok(()));
    let mut fork = world.judge.rosters[&Epoch(1)].body().clone();
    fork.end_slot = fork.end_slot.plus(fork.parameters.window_slots.get().into());
    let registrar = Registrar::new(world.registrar());
    sent.payload = registrar.sign(&world.judge.region, Epoch(1), &fork);
    assert_eq!(world.judge.hear(&sent, now), Err(Violation::TwoRosters(Epoch(1))));
}

#[test]
fn a_holder_that_opens_two_sets_is_seen() {
    let (mut world, region, _) = after_a_window();
    let (holder, slot) = (world.id(0).unwrap().clone(), region.first_slot);
    let request = Request::Region(slot, Vec::new());
    let share = Share { request: release::digest(&request), response: Vec::new().into() };
    let party = Party::Meter(0);
    let found = world.judge.see_share(party, holder.clone(), &share);
    assert_eq!(found, Err(Violation::NotAsked(party)));
    assert!(world.judge.see_request(&request).is_err());
    let found = world.judge.see_share(party, holder.clone(), &share);
    assert_eq!(found, Err(Violation::TwoSets { holder, slot }));
}

#[test]
fn a_sum_with_too_little_help_is_seen() {
    let (mut world, region, _) = after_a_window();
    let slot = region.first_slot;
    let holder = world.id(0).unwrap().clone();
    assert!(world.judge.sets.remove(&(holder, slot)).is_some());
    let few = Violation::TooFewHelpers { slot, found: 11, needed: 12 };
    assert_eq!(world.judge.see_outcome(&region), Err(few));
}

#[test]
fn a_result_outside_its_epoch_is_seen() {
    let (world, region, bill) = after_a_window();
    let roster = world.judge.rosters.values().next().unwrap();
    let moved = |outcome: &Outcome, slots| {
        let outcome = Outcome { first_slot: outcome.first_slot.plus(slots), ..outcome.clone() };
        check_epoch(roster, &outcome)
    };
    assert_eq!(moved(&region, 0), Ok(()));
    assert_eq!(moved(&bill, 30), Ok(()));
    for (outcome, slots) in [(&region, 40), (&bill, 40)] {
        let found = moved(outcome, slots);
        assert!(matches!(found, Err(Violation::OutsideEpoch { .. })), "{found:?}");
    }
}

#[test]
fn a_slot_of_an_epoch_that_ended_early_is_the_next_ones() {
    let (world, region, _) = after_a_window();
    let mut roster = world.judge.rosters.into_values().next().unwrap();
    roster.end_before(region.first_slot);
    assert!(check_epoch(&roster, &region).is_err());
}

/// A receipt for a meter's contribution of the slot that runs.
fn receipt(world: &World<Plain>) -> (Receipt, Slot) {
    let slot = world.grid().unwrap().slot_at(world.now());
    let (meter, contribution) = (world.id(0).unwrap().clone(), Digest::NONE);
    (Receipt { meter, slot, on_time: true, contribution }, slot)
}

#[test]
fn a_set_without_what_was_receipted_is_seen_whichever_comes_first() {
    let (mut world, ..) = after_a_window();
    let (receipt, slot) = receipt(&world);
    let lost = Err(Violation::Lost { meter: receipt.meter.clone(), slot });
    assert_eq!(world.judge.see_receipt(receipt.clone()), Ok(()));
    assert_eq!(world.judge.see_request(&Request::Region(slot, Vec::new())), lost);
    let (mut world, ..) = after_a_window();
    assert_eq!(world.judge.see_request(&Request::Region(slot, Vec::new())), Ok(()));
    assert_eq!(world.judge.see_receipt(receipt.clone()), lost);
    let late = Receipt { on_time: false, ..receipt };
    assert_eq!(world.judge.see_receipt(late), Ok(()));
}

#[test]
fn a_collector_of_some_time_ago_knows_no_receipt_since() {
    let (mut world, ..) = after_a_window();
    let (receipt, slot) = receipt(&world);
    let now = world.now();
    world.judge.now = now;
    world.judge.see_receipt(receipt.clone()).unwrap();
    world.judge.restored(Party::Meter(0), now);
    world.judge.restored(Party::Collector, Timestamp(now.0 + 1));
    let empty = Request::Region(slot, Vec::new());
    assert!(matches!(world.judge.see_request(&empty), Err(Violation::Lost { .. })));
    world.judge.requests.clear();
    world.judge.restored(Party::Collector, now);
    assert_eq!(world.judge.see_request(&empty), Ok(()));
}

#[test]
fn two_requests_for_a_slot_are_seen_and_a_repetition_is_none() {
    let (mut world, ..) = after_a_window();
    let (_, slot) = receipt(&world);
    let requests = [Vec::new(), vec![vec![0].into()]].map(|set| Request::Region(slot, set));
    let found = [0, 0, 1].map(|at| world.judge.see_request(&requests[at]));
    assert_eq!(found, [Ok(()), Ok(()), Err(Violation::TwoRequests(slot))]);
}

#[test]
fn a_second_result_is_seen_of_a_restored_collector_too() {
    let (mut world, region, bill) = after_a_window();
    let helped_otherwise = |outcome: &Outcome| {
        let mut outcome = outcome.clone();
        outcome.culprits.extend(outcome.unanswered.pop().or(outcome.helpers.pop()));
        outcome
    };
    let other = helped_otherwise(&bill);
    let needed = world.judge.see_outcome(&other);
    assert!(matches!(needed, Err(Violation::TooFewHelpers { .. })), "{needed:?}");
    world.judge.restored(Party::Collector, Timestamp(0));
    world.judge.finals.clear();
    let mut left_out = region;
    let meter = left_out.contributors.remove(0);
    left_out.sum_wh -= Truth::powers(15).wh(0, left_out.register, left_out.first_slot);
    left_out.uncounted.push(meter);
    let found = world.judge.see_outcome(&left_out);
    assert!(matches!(found, Err(Violation::TwoResults(_))), "{found:?}");
}
