//! The collector's side of a window: whether its bills are opened at all; and
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
use std::time::Duration;

use aggregation::{ElGamal, Plain};
use common::region::{IMPORT, MEMBERS, Played, Region};
use common::{Kit, meter_id};
use protocol::evidence::Evidence;
use protocol::message::{Request, Target};
use protocol::output::Event;
use protocol::record::Sort;
use protocol::slot::Window;

type Street = Region<Plain>;

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
        window
    }

    /// A member's claim to the sum of what was played for it.
    fn played_claim(&mut self, at: usize, window: &[Vec<Played<S>>]) -> Vec<u8> {
        let played: Vec<_> = window.iter().map(|slot| &slot[at]).collect();
        let claim = self.claim((at, Window(0)), &[0, 1, 2, 3], &played);
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
    street.run_until(street.now + Duration::from_hours(1));
    let abandoned = Event::Abandoned {
        target: Target::Bill(Window(0)),
        reason: "no member claimed its window".to_owned(),
    };
    street.run_until(street.now + Duration::from_mins(1));
    assert!(street.collector_events().contains(&abandoned));
}

#[test]
fn bills_stay_closed_where_somebody_was_not_counted() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..2);
    for position in 2..4 {
        let slot = street.end_slot(position);
        for at in 0..MEMBERS - 1 {
            street.meters[at].handle_reading(slot, &BTreeMap::from([(IMPORT, 1)]), street.now);
        }
        street.close(slot);
    }
    // It is said as soon as the last slot has closed.
    let example = street.slot(2);
    let reason =
        format!("1 member was not counted in 2 of 4 slots, for example meter-05 in slot {example}");
    let abandoned = Event::Abandoned { target: Target::Bill(Window(0)), reason };
    assert!(street.collector_events().contains(&abandoned));
    assert_eq!(street.results().len(), 4);
    street.run_until(street.now + Duration::from_hours(2));
    let is_bill = |request: &Request| matches!(request, Request::Bill(..));
    assert!(!street.heard("/c/request").iter().any(is_bill));
    assert_eq!(street.disk.of(Sort::Claimed).count(), 0);
}

#[test]
fn a_claim_to_a_window_that_stays_closed_is_refused() {
    let mut street = Street::open(MEMBERS);
    let mut window = Vec::new();
    for position in 0..4 {
        let slot = street.end_slot(position);
        let played = street.play_all(slot, 0..MEMBERS);
        let silent = usize::from(position == 1);
        played[silent..].iter().for_each(|one| drop(street.send(&one.message)));
        street.close(slot);
        window.push(played);
    }
    let claim = street.played_claim(2, &window);
    let said = street.send(&claim);
    let [Event::ClaimRefused { reason, .. }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(*reason, "the bills of its window stay closed");
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
fn two_claims_to_one_window_are_kept_as_evidence_once() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let window = street.count_played();
    let first = street.played_claim(0, &window);
    assert!(street.send(&first).is_empty());
    let other = street.claim((0, Window(0)), &[0, 1, 2, 3], &[&window[0][0]]);
    let other = street.by_meter(0, &other);
    let conflict = Event::SecondClaim { meter: meter_id(0), window: Window(0) };
    assert!(street.send(&other).contains(&conflict) && !street.send(&other).contains(&conflict));
    let said = "meter-01 signed two claims to window 0 of region north-01 in epoch 1";
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
