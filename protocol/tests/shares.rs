//! The collector's side: shares, refusals and claims that are bent.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::time::Duration;

use aggregation::{ElGamal, Plain};
use common::region::{MEMBERS, Region, portion};
use common::{Kit, meter_id, published};
use protocol::id::Digest;
use protocol::message::{Claim, Phase, Refusal, Request, Share, Status, Target};
use protocol::output::Event;
use protocol::slot::Slot;

/// The holder that is offline, and whose part the test plays.
const BENT: usize = 4;
/// What the others contribute together when meter i contributes 2^i.
const OTHERS: u64 = 0b1111;

impl<S: Kit> Region<S> {
    /// Sends a share of the bent holder.
    fn send_share(&mut self, share: &Share) -> Vec<Event> {
        let message = self.by_meter(BENT, share);
        self.send(&message)
    }

    fn send_claim(&mut self, at: usize, claim: &Claim) -> Vec<Event> {
        let message = self.by_meter(at, claim);
        self.send(&message)
    }

    /// Runs a slot until its round waits for the bent holder's share alone.
    fn run_without(&mut self, position: u64) -> (Slot, Request) {
        self.offline.insert(BENT);
        let slot = self.run_slot(position);
        self.run_until(self.roster.slot_closes(slot));
        assert_eq!(self.statuses().pop().unwrap().phase, Phase::Requesting);
        (slot, self.last_request())
    }
}

fn waiting<S: Kit>() -> (Region<S>, Slot, Request) {
    let mut street = Region::<S>::open(MEMBERS);
    let (slot, request) = street.run_without(0);
    (street, slot, request)
}

fn bad_share(slot: Slot) -> [Event; 1] {
    [Event::BadShare { holder: meter_id(BENT), target: Target::Region(slot) }]
}

#[test]
fn the_last_share_opens_the_sum() {
    let (mut street, slot, request) = waiting::<ElGamal>();
    let share = street.played_share(BENT, &request);
    let combined = Event::Combined { target: Target::Region(slot), counted: 4 };
    assert_eq!(street.send_share(&share), [combined]);
    assert_eq!(street.sums(), [OTHERS]);
}

#[test]
fn a_bad_share_is_named_and_a_good_one_still_taken() {
    let (mut street, slot, request) = waiting::<ElGamal>();
    let good = street.played_share(BENT, &request);
    for bit in [0, 300, 600, 767] {
        let mut bad = good.clone();
        bad.response[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(street.send_share(&bad), bad_share(slot));
    }
    assert!(street.results().is_empty());
    street.send_share(&good);
    assert_eq!(street.sums(), [OTHERS]);
}

#[test]
fn the_holder_of_a_bad_share_stands_in_the_status() {
    let (mut street, slot, request) = waiting::<ElGamal>();
    let bad = Share { response: vec![0; 96].into(), ..street.played_share(BENT, &request) };
    assert_eq!(street.send_share(&bad), bad_share(slot));
    street.run_until(street.now + Duration::from_secs(7300));
    let of_slot = |status: &Status| status.target == Target::Region(slot);
    let last = street.statuses().into_iter().rfind(of_slot).unwrap();
    assert!(matches!(last.phase, Phase::Abandoned(_)));
    assert_eq!(last.culprits, [meter_id(BENT)]);
}

#[test]
fn a_share_with_the_key_of_another_member_is_bad() {
    let (mut street, slot, request) = waiting::<ElGamal>();
    let stolen = street.played_share(1, &request);
    assert_eq!(street.send_share(&stolen), bad_share(slot));
}

#[test]
fn shares_of_two_rounds_do_not_change_places() {
    let (mut street, first, first_request) = waiting::<ElGamal>();
    let (second, second_request) = street.run_without(1);
    let of_first = street.played_share(BENT, &first_request);
    let of_second = street.played_share(BENT, &second_request);
    let swapped = Share { request: of_first.request, ..of_second.clone() };
    assert_eq!(street.send_share(&swapped), bad_share(first));
    let swapped = Share { request: of_second.request, ..of_first.clone() };
    assert_eq!(street.send_share(&swapped), bad_share(second));
    street.send_share(&of_second);
    street.send_share(&of_first);
    assert_eq!(street.sums(), [OTHERS, OTHERS]);
}

#[test]
fn a_share_of_no_round_changes_nothing() {
    let (mut street, _, request) = waiting::<Plain>();
    let share = Share { request: Digest::NONE, ..street.played_share(BENT, &request) };
    assert!(street.send_share(&share).is_empty());
    assert!(street.results().is_empty());
}

#[test]
fn a_repeated_share_opens_no_sum_twice() {
    let (mut street, _, request) = waiting::<Plain>();
    let share = street.played_share(BENT, &request);
    assert_eq!(street.send_share(&share).len(), 1);
    assert!(street.send_share(&share).is_empty());
    assert_eq!(street.sums(), [OTHERS]);
}

#[test]
fn a_share_of_nobody_is_refused() {
    let (mut street, _, request) = waiting::<Plain>();
    let share = street.played_share(BENT, &request);
    let stranger = street.by_meter(MEMBERS, &share);
    let said = street.send(&stranger);
    assert!(matches!(said[..], [Event::Rejected { name: "sender", .. }]), "{said:?}");
    assert!(street.results().is_empty());
}

#[test]
fn a_bad_share_delays_no_other_round() {
    let (mut street, slot, request) = waiting::<ElGamal>();
    let bad = Share { response: vec![1; 96].into(), ..street.played_share(BENT, &request) };
    assert_eq!(street.send_share(&bad), bad_share(slot));
    street.offline.clear();
    let next = street.run_slot(1);
    let result = street.results().pop().unwrap();
    assert_eq!((result.first_slot, result.sum_wh), (next, OTHERS + 16));
}

#[test]
fn a_refusal_is_heard_in_plain_letters() {
    let (mut street, _, request) = waiting::<Plain>();
    let refusal =
        |request, reason: &str| Refusal { request, reason: reason.into(), answered: None };
    let digest = protocol::release::digest(&request);
    let long = format!("too-few\n\u{1b}[31m{}", "x".repeat(100));
    let message = street.by_meter(BENT, &refusal(digest, &long));
    let said = street.send(&message);
    let [Event::HolderRefused { holder, reason }] = &said[..] else { panic!("{said:?}") };
    assert_eq!((holder, reason.as_str()), (&meter_id(BENT), "too-few[31mxxxxxxxxxxxxxxxxxxxxx"));
    let of_nothing = street.by_meter(BENT, &refusal(Digest::NONE, "too-few"));
    assert!(street.send(&of_nothing).is_empty());
}

/// A street whose first window was counted, with the last meter's share of the
/// last slot and its claim lost.
fn counted<S: Kit>() -> Region<S> {
    let mut street = Region::<S>::open(MEMBERS);
    street.run_slots(0..3);
    let slot = street.end_slot(3);
    let contribution = street.contribution(BENT, slot, 1 << BENT);
    street.send(&contribution);
    street.run_without(3);
    street
}

/// That street once the bent holder has helped with the last slot and endorsed
/// its listing, and the claim that it makes then and nobody hears.
fn opened<S: Kit>() -> (Region<S>, Vec<u8>) {
    let mut street = counted::<S>();
    let mut say = |from: &str, to: &str| {
        let message = published(&street.outputs, from).pop().unwrap();
        let said = street.tell(BENT, &message);
        let said = published(&said, to).pop().unwrap();
        if to != "/claim" {
            street.send(&said);
        }
        said
    };
    say("/c/request", "/share");
    say("/c/listing", "/listing");
    let claim = say("/c/listing", "/claim");
    (street, claim)
}

fn claim_refused(at: usize, reason: &'static str) -> [Event; 1] {
    [Event::ClaimRefused { meter: meter_id(at), portion: portion(0), reason }]
}

#[test]
fn a_claim_before_its_listing_is_final_is_rejected() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slots(0..3);
    let slot = street.end_slot(3);
    let played = street.play(BENT, slot, 1);
    let claim = street.claim(BENT, (portion(0), Digest::NONE), &[&played]);
    let said = street.send_claim(BENT, &claim);
    assert!(matches!(said[..], [Event::Rejected { name: "listing", .. }]), "{said:?}");
}

#[test]
fn a_claim_under_another_listing_is_rejected() {
    let (mut street, _) = opened::<ElGamal>();
    let slot = street.slot(0);
    let played = street.play(BENT, slot, 1);
    let claim = street.claim(BENT, (portion(0), Digest::NONE), &[&played]);
    let said = street.send_claim(BENT, &claim);
    assert!(matches!(said[..], [Event::Rejected { name: "listing", .. }]), "{said:?}");
}

#[test]
fn a_claim_to_anything_but_what_was_counted_is_refused() {
    let (mut street, _) = opened::<ElGamal>();
    let slot = street.slot(0);
    let played = street.play(BENT, slot, 1);
    let listing = street.listing_of(portion(0));
    let claim = street.claim(BENT, (portion(0), listing), &[&played]);
    let said = street.send_claim(BENT, &claim);
    assert_eq!(said, claim_refused(BENT, "not the sum of what was counted"));
}

#[test]
fn a_claim_after_the_bills_is_too_late() {
    let (mut street, claim) = opened::<Plain>();
    street.run_until(street.now + Duration::from_hours(1));
    assert!(
        matches!(street.last_request(), Request::Bill(of, claims) if of == portion(0) && claims.len() == 4)
    );
    assert_eq!(street.send(&claim), claim_refused(BENT, "too late"));
}

#[test]
fn a_bill_covers_a_slot_that_its_owner_helps_to_open_after_its_claim() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slots(0..3);
    let slot = street.end_slot(3);
    let counted = street.contribution(BENT, slot, 1 << BENT);
    street.send(&counted);
    let (_, request) = street.run_without(3);
    let counted = matches!(request, Request::Region(_, entries) if entries.len() == MEMBERS);
    assert!(counted, "the claim and the set would agree");
    // Nobody hears the claim that the meter makes without that slot.
    let claims_due = street.roster.slot_closes(slot) + Duration::from_mins(30);
    street.run_until(claims_due + Duration::from_mins(1));
    assert!(street.results().iter().all(|result| result.slots == 1));
    street.offline.clear();
    street.run_until(street.now + Duration::from_mins(2));
    let bills = street.results().split_off(4);
    let covered: Vec<_> = bills.iter().map(|bill| (bill.sum_wh, bill.slots)).collect();
    assert_eq!(covered, [(4, 4), (8, 4), (16, 4), (32, 4), (64, 4)]);
}

#[test]
fn bills_of_others_are_opened_without_a_meter_that_claims_nothing() {
    let (mut street, _) = opened::<ElGamal>();
    street.run_until(street.now + Duration::from_hours(1));
    let request = street.last_request();
    let share = street.played_share(BENT, &request);
    street.send_share(&share);
    let bills: Vec<_> = (0..BENT).map(|at| 4 << at).collect();
    assert_eq!(street.sums().split_off(4), bills);
}
