//! The collector's side of a portion: what is listed and billed of it; and
//! evidence against those who sign two things that exclude each other.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::{ElGamal, Plain};
use common::region::{IMPORT, MEMBERS, Played, Region, portion};
use common::{Kit, dealt, meter_id, parameters, published};
use protocol::evidence::Evidence;
use protocol::message::Target;
use protocol::output::Event;
use protocol::parameters::Parameters;
use protocol::record::Sort;
use protocol::tariff::{Step, Tariff};

type Street = Region<Plain>;

/// Windows of eight slots, of which a bill has three at least.
fn eight_slots() -> Parameters {
    Parameters { window_slots: NonZeroU32::new(8).unwrap(), ..parameters::<Plain>() }
}

impl<S: Kit> Region<S> {
    /// Lets the first window be counted by messages that the test plays, so
    /// that no meter helps or claims.
    fn count_played(&mut self) -> Vec<Vec<Played<S>>> {
        let mut window = Vec::new();
        for position in 0..4 {
            let slot = self.end_slot(position);
            let played = self.play_all(slot, 0..MEMBERS);
            for one in &played {
                self.send(&one.message);
            }
            window.push(played);
        }
        // Nobody helps with what nobody contributed: the listing waits.
        self.run_until(self.now + Duration::from_mins(31));
        window
    }

    /// A member's claim to the sum of what was played for it.
    fn played_claim(&mut self, at: usize, window: &[Vec<Played<S>>]) -> Vec<u8> {
        let played: Vec<_> = window.iter().map(|slot| &slot[at]).collect();
        let claim = self.claim(at, (portion(0), self.listing_of(portion(0))), &played);
        self.by_meter(at, &claim)
    }

    /// What the kept evidence accuses of.
    fn accusations(&self) -> Vec<String> {
        let check = |(_, bytes)| Evidence::from_bytes(bytes).unwrap().check().unwrap().to_string();
        self.disk.of(Sort::Evidence).map(check).collect()
    }
}

#[test]
fn no_claim_is_no_bill() {
    let mut street = Street::open(MEMBERS);
    street.count_played();
    street.run_until(street.now + Duration::from_mins(61));
    let reason = "no member claimed its portion".to_owned();
    let abandoned = Event::Abandoned { target: Target::Bill(portion(0)), reason };
    assert!(street.collector_events().contains(&abandoned));
}

#[test]
fn bills_are_opened_where_somebody_was_away_in_a_slot() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..3);
    let slot = street.end_slot(3);
    for at in 0..MEMBERS - 1 {
        street.meters[at].handle_reading(slot, &BTreeMap::from([(IMPORT, 1 << at)]), street.now);
    }
    street.close(slot);
    let bills: Vec<_> = (0..MEMBERS).map(|at| if at < 4 { 4 << at } else { 3 << at }).collect();
    assert_eq!(street.sums()[4..], bills);
    let last = street.results().pop().unwrap();
    assert_eq!((last.slots, last.uncounted_slots), (3, vec![slot]));
}

#[test]
fn a_member_of_too_few_slots_withholds_those_that_it_is_counted_in() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    for position in 0..8 {
        let slot = street.end_slot(position);
        let present = if position < 2 { MEMBERS } else { MEMBERS - 1 };
        for at in 0..present {
            street.meters[at].handle_reading(slot, &BTreeMap::from([(IMPORT, 1)]), street.now);
        }
        street.close(slot);
    }
    let bills: Vec<_> = street.results().split_off(8);
    assert_eq!(bills.len(), MEMBERS - 1);
    let withheld = vec![street.slot(0), street.slot(1)];
    assert!(bills.iter().all(|bill| bill.withheld_slots == withheld && bill.slots == 6));
}

#[test]
fn withheld_slots_join_the_next_listing_of_their_step() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    for position in 0..16 {
        let slot = street.end_slot(position);
        // The last member appears in slots 6 and 7, and from then on.
        let present = if position < 6 { MEMBERS - 1 } else { MEMBERS };
        for at in 0..present {
            street.meters[at].handle_reading(slot, &BTreeMap::from([(IMPORT, 1)]), street.now);
        }
        street.close(slot);
    }
    let bills: Vec<_> = street.results().into_iter().filter(|of| of.step.is_some()).collect();
    let slots: Vec<_> = bills.iter().map(|bill| bill.slots).collect();
    assert_eq!(slots, [6, 6, 6, 6, 10, 10, 10, 10, 10]);
    let joined = vec![street.slot(6), street.slot(7)];
    assert!(bills[4..].iter().all(|bill| bill.joined_slots == joined));
}

#[test]
fn each_tariff_step_of_a_window_has_bills_of_its_own() {
    let day = Step { name: "day".parse().unwrap(), spans: vec![(0, 3600)] };
    let rest = Step { name: "rest".parse().unwrap(), spans: vec![] };
    let tariff = Tariff::new(NonZeroU32::new(7200).unwrap(), vec![day, rest]).unwrap();
    let mut street = Street::open_with(MEMBERS, Parameters { tariff, ..eight_slots() });
    street.run_slots(0..8);
    let bills: Vec<_> = street.results().into_iter().filter(|of| of.step.is_some()).collect();
    assert_eq!(bills.len(), 2 * MEMBERS);
    assert!(bills.iter().all(|bill| bill.slots == 4));
    let regions: u64 = street.sums().iter().take(8).sum();
    assert_eq!(bills.iter().map(|bill| bill.sum_wh).sum::<u64>(), regions);
}

#[test]
fn a_region_of_which_too_few_endorse_has_no_bills() {
    let mut street = Street::open_with(MEMBERS, dealt::<Plain>());
    street.run_slots(0..3);
    let slot = street.end_slot(3);
    for at in 0..MEMBERS {
        street.meters[at].handle_reading(slot, &BTreeMap::from([(IMPORT, 1)]), street.now);
        let said = street.drain(at);
        street.offline.extend((at > 2).then_some(at));
        street.send(&published(&said, "/contribution")[0]);
    }
    street.run_until(street.now + Duration::from_hours(3));
    let reason = "3 of at least 4 holders endorsed its listing in time".to_owned();
    let abandoned = Event::Abandoned { target: Target::Bill(portion(0)), reason };
    assert!(street.collector_events().contains(&abandoned));
}

#[test]
fn a_claim_to_a_portion_that_stays_closed_is_refused() {
    let mut street = Street::open(MEMBERS);
    let window = street.count_played();
    street.run_until(street.now + Duration::from_mins(61));
    let claim = street.played_claim(2, &window);
    let said = street.send(&claim);
    let [Event::ClaimRefused { reason, .. }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(*reason, "the bills of its portion stay closed");
}

#[test]
fn two_contributions_for_one_slot_are_kept_as_evidence_once() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let slot = street.end_slot(0);
    let first = street.contribution(0, slot, 1);
    street.send(&first);
    let conflict = Event::Conflict { meter: meter_id(0), slot };
    let second = street.play(0, slot, 1000).message;
    assert_eq!(street.send(&second), [conflict]);
    let third = street.play(0, slot, 1001).message;
    assert!(street.send(&third).is_empty() && street.send(&second).is_empty());
    let said =
        format!("meter-01 signed two contributions for slot {slot} of region north-01 in epoch 1");
    assert_eq!(street.accusations(), [said]);
}

#[test]
fn two_claims_to_one_portion_are_kept_as_evidence_once() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let window = street.count_played();
    let first = street.played_claim(0, &window);
    assert!(street.send(&first).is_empty());
    let under = (portion(0), street.listing_of(portion(0)));
    let other = street.claim(0, under, &[&window[0][0]]);
    let other = street.by_meter(0, &other);
    let conflict = Event::SecondClaim { meter: meter_id(0), portion: portion(0) };
    assert!(street.send(&other).contains(&conflict) && !street.send(&other).contains(&conflict));
    let said = "meter-01 signed two claims to step 0 of window 0 of region north-01 in epoch 1";
    assert_eq!(street.accusations(), [said]);
}

#[test]
fn a_claim_with_a_fresh_proof_is_the_same_claim() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let window = street.count_played();
    let (first, again) = (street.played_claim(0, &window), street.played_claim(0, &window));
    assert_ne!(first, again);
    assert!(street.send(&first).is_empty() && street.send(&again).is_empty());
    assert!(street.accusations().is_empty());
}
