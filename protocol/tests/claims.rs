//! What a holder refuses to open: bills. And what an owner claims.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::time::Duration;

use aggregation::{DecodeError, ElGamal, Plain};
use common::billed::{ALL, Billed, PORTION};
use common::region::{Answer, HOLDER, IMPORT, MEMBERS, bill_request, portion};
use common::{both_registers, meter_id, parameters, published};
use protocol::entry::EntryError;
use protocol::envelope::Rejection;
use protocol::id::Digest;
use protocol::listing;
use protocol::message::Claim;
use protocol::reading::Register;
use protocol::release::Reason;

fn refused(reason: Reason) -> Answer {
    Answer::Refused(reason)
}

fn entry(error: impl Into<EntryError>) -> Answer {
    refused(Reason::Entry { at: 0, error: error.into() })
}

#[test]
fn a_holder_helps_with_honest_claims() {
    let mut billed = Billed::<ElGamal>::honest();
    let claims: Vec<_> = (1..MEMBERS).map(|at| billed.signed_claim(at, &ALL)).collect();
    assert_eq!(billed.ask(&claims).name(), "share");
}

#[test]
fn a_repeated_bill_gets_the_same_answer_again() {
    let mut billed = Billed::<ElGamal>::honest();
    let claims: Vec<_> = (1..3).map(|at| billed.signed_claim(at, &ALL)).collect();
    let first = billed.ask(&claims);
    assert_eq!(first.name(), "share");
    assert_eq!(billed.ask(&claims), first);
}

#[test]
fn a_claim_that_came_later_is_opened_too() {
    let mut billed = Billed::<Plain>::honest();
    let claims: Vec<_> = (1..4).map(|at| billed.signed_claim(at, &ALL)).collect();
    assert_eq!(billed.ask(&claims[..2]).name(), "share");
    assert_eq!(billed.ask(&claims).name(), "share");
}

#[test]
fn a_holder_refuses_a_bill_without_claims() {
    assert_eq!(Billed::<Plain>::honest().ask(&[]), refused(Reason::Empty));
}

#[test]
fn a_holder_refuses_bills_before_their_listing_is_final() {
    let mut billed = Billed::<Plain>::ended(parameters::<Plain>(), &[], &ALL);
    let claims: Vec<_> = (1..MEMBERS).map(|at| billed.signed_claim(at, &ALL)).collect();
    assert_eq!(billed.ask(&claims), refused(Reason::NotFinal));
    let listing = billed.street.by_collector(&billed.listing());
    assert_eq!(published(&billed.street.tell(HOLDER, &listing), "/listing").len(), 1);
    assert_eq!(billed.ask(&claims), refused(Reason::NotFinal));
    billed.settle(&billed.listing());
    assert_eq!(billed.ask(&claims).name(), "share");
}

#[test]
fn a_holder_refuses_a_bill_of_too_few_slots() {
    let mut billed = Billed::<Plain>::new(parameters::<Plain>(), &[(2, 0), (2, 1)]);
    let claim = billed.claim(2, &[2, 3]);
    // Two slots of the member are less than three: both slots are withheld,
    // and with them those of all others.
    let error = EntryError::TooFewSlots { found: 0, needed: 3 };
    assert_eq!(billed.ask_one(2, &claim), entry(error));
}

#[test]
fn a_holder_refuses_a_claim_under_another_listing() {
    let mut billed = Billed::<ElGamal>::honest();
    let claim = billed.claim(1, &ALL);
    let other = Claim { listing: Digest::NONE, ..claim.clone() };
    assert_eq!(billed.ask_one(1, &other), entry(EntryError::Listing));
    assert_eq!(billed.ask_one(1, &claim).name(), "share");
}

#[test]
fn a_holder_refuses_a_claim_whose_proof_is_about_another_listing() {
    let mut billed = Billed::<ElGamal>::honest();
    let played: Vec<_> = billed.played[1].iter().collect();
    let made = billed.street.claim(1, (PORTION, Digest::LAST), &played);
    let claim = Claim { registers: made.registers, ..billed.claim(1, &ALL) };
    assert_eq!(billed.ask_one(1, &claim), refused(Reason::Proof(vec![meter_id(1)])));
}

#[test]
fn a_bill_is_opened_where_a_member_was_away_in_a_slot() {
    for absent in 1..MEMBERS {
        let mut billed = Billed::<ElGamal>::new(parameters::<ElGamal>(), &[(absent, 2)]);
        let claim = billed.claim(absent, &[0, 1, 3]);
        assert_eq!(billed.ask_one(absent, &claim).name(), "share");
    }
}

#[test]
fn a_holder_refuses_a_claim_that_wraps_a_victims_ciphertext() {
    let mut billed = Billed::<ElGamal>::honest();
    let victim = billed.played[2][1].body.registers.clone();
    let claim = Claim { registers: victim, ..billed.claim(1, &ALL) };
    assert_eq!(billed.ask_one(1, &claim), refused(Reason::Proof(vec![meter_id(1)])));
}

#[test]
fn a_holder_refuses_a_claim_that_was_signed_by_another_member() {
    let mut billed = Billed::<ElGamal>::honest();
    let claim = billed.claim(2, &ALL);
    assert_eq!(billed.ask_one(1, &claim), refused(Reason::Proof(vec![meter_id(1)])));
}

#[test]
fn a_holder_refuses_a_claim_that_is_replayed_for_another_window() {
    let mut billed = Billed::<ElGamal>::honest();
    let claim = billed.claim(1, &ALL);
    billed.end_second_window();
    let next = billed.listing_of(1);
    billed.settle(&next);
    let signed = billed.street.by_meter(1, &claim);
    let answer = billed.street.ask(HOLDER, &bill_request(next.portion, &[signed]));
    assert_eq!(answer, entry(EntryError::Listing));
    let (portion, listing) = (next.portion, listing::digest(&next));
    let relabelled = billed.street.by_meter(1, &Claim { portion, listing, ..claim });
    let answer = billed.street.ask(HOLDER, &bill_request(portion, &[relabelled]));
    assert_eq!(answer, refused(Reason::Proof(vec![meter_id(1)])));
}

#[test]
fn a_holder_refuses_a_claim_that_is_replayed_for_another_register() {
    let mut billed = Billed::<ElGamal>::new(both_registers::<ElGamal>(), &[]);
    let mut claim = billed.claim(1, &ALL);
    let import = claim.registers[&IMPORT].clone();
    claim.registers.insert(Register::Export, import);
    assert_eq!(billed.ask_one(1, &claim), refused(Reason::Proof(vec![meter_id(1)])));
    claim.registers.remove(&Register::Export);
    assert_eq!(billed.ask_one(1, &claim), entry(EntryError::Registers));
}

#[test]
fn a_holder_refuses_a_second_claim_to_another_sum() {
    let mut billed = Billed::<ElGamal>::honest();
    let honest = billed.signed_claim(1, &ALL);
    assert_eq!(billed.ask(std::slice::from_ref(&honest)).name(), "share");
    // The same slots by name, and one of them fewer in the sum.
    let second = billed.signed_claim(1, &[0, 1, 2]);
    let other = billed.signed_claim(2, &ALL);
    assert_eq!(billed.ask(&[second, other]), refused(Reason::SecondClaim(meter_id(1))));
    assert_eq!(billed.ask(&[honest]).name(), "share");
}

#[test]
fn a_holder_refuses_a_second_claim_once_the_window_before_is_forgotten() {
    let mut billed = Billed::<ElGamal>::honest();
    billed.end_second_window();
    let next = billed.listing_of(1);
    billed.settle(&next);
    let under = (next.portion, listing::digest(&next));
    let ask = |billed: &mut Billed<ElGamal>, summed: std::ops::Range<usize>| {
        let played: Vec<_> = billed.played[1][summed].iter().collect();
        let claim = billed.street.claim(1, under, &played);
        let message = billed.street.by_meter(1, &claim);
        billed.street.ask(HOLDER, &bill_request(under.0, &[message]))
    };
    assert_eq!(ask(&mut billed, 4..8).name(), "share");
    let closes = billed.street.roster.slot_closes(billed.street.slot(3));
    billed.street.now = closes + Duration::from_hours(2);
    billed.street.meters[HOLDER].handle_timeout(billed.street.now);
    assert_eq!(ask(&mut billed, 4..7), refused(Reason::SecondClaim(meter_id(1))));
}

#[test]
fn a_claim_with_a_fresh_proof_is_the_same_claim() {
    let mut billed = Billed::<ElGamal>::honest();
    let (first, again) = (billed.signed_claim(1, &ALL), billed.signed_claim(1, &ALL));
    assert_ne!(first, again);
    for claim in [first, again] {
        assert_eq!(billed.ask(&[claim]).name(), "share");
    }
}

#[test]
fn a_refused_bill_leaves_no_trace() {
    let mut billed = Billed::<ElGamal>::honest();
    let bent = billed.signed_claim(1, &[0, 1, 2]);
    let mut forged = billed.claim(2, &ALL);
    forged.registers = billed.played[3][0].body.registers.clone();
    let forged = billed.street.by_meter(2, &forged);
    assert_eq!(billed.ask(&[bent, forged]), refused(Reason::Proof(vec![meter_id(2)])));
    let honest = billed.signed_claim(1, &ALL);
    assert_eq!(billed.ask(&[honest]).name(), "share");
}

#[test]
fn a_holder_refuses_an_owner_that_claims_twice_in_one_bill() {
    let mut billed = Billed::<Plain>::honest();
    let claims = [billed.signed_claim(1, &ALL), billed.signed_claim(1, &[0, 1, 2])];
    assert_eq!(billed.ask(&claims), refused(Reason::Twice(meter_id(1))));
}

#[test]
fn a_holder_refuses_points_that_are_none_in_a_claim() {
    let mut billed = Billed::<ElGamal>::honest();
    let cases = [(0, DecodeError::Identity("C1")), (0xff, DecodeError::NotCanonical("C1"))];
    for (byte, error) in cases {
        let mut claim = billed.claim(1, &ALL);
        claim.registers.get_mut(&IMPORT).unwrap()[..32].fill(byte);
        let answer = billed.ask_one(1, &claim);
        assert_eq!(answer, entry(EntryError::Decode { register: IMPORT, error }));
    }
}

#[test]
fn a_contribution_is_no_claim_and_a_claim_no_contribution() {
    let mut billed = Billed::<Plain>::honest();
    let contribution = billed.played[1][0].message.clone();
    assert_eq!(billed.ask(&[contribution]), entry(Rejection::Kind));
    let claim = billed.signed_claim(1, &ALL);
    let slot = billed.street.end_slot(4);
    let answer = billed.street.ask_region(HOLDER, slot, &[claim]);
    assert_eq!(answer, entry(Rejection::Kind));
}

#[test]
fn a_holder_refuses_a_bill_past_its_deadline() {
    let mut billed = Billed::<Plain>::honest();
    let claim = billed.signed_claim(1, &ALL);
    let closes = billed.street.roster.slot_closes(billed.street.slot(3));
    billed.street.now = closes + Duration::from_hours(2) + Duration::from_millis(1);
    assert_eq!(billed.ask(&[claim]), refused(Reason::PastDeadline));
}

#[test]
fn a_holder_refuses_a_window_that_has_not_ended() {
    let mut billed = Billed::<Plain>::honest();
    billed.street.end_slot(6);
    let answer = billed.street.ask(HOLDER, &bill_request(portion(1), &[]));
    assert_eq!(answer, refused(Reason::NotEnded));
    let answer = billed.street.ask(HOLDER, &bill_request(portion(4), &[]));
    assert_eq!(answer, refused(Reason::Outside));
}

#[test]
fn an_owner_claims_what_a_final_listing_opens() {
    let billed = Billed::<ElGamal>::honest();
    let claim = billed.claimed();
    assert_eq!((claim.portion, claim.listing), (PORTION, listing::digest(&billed.listing())));
    // Its sum is that of all four slots.
    let mut billed = billed;
    let signed = published(&billed.said, "/claim");
    assert_eq!(billed.ask(&signed).name(), "share");
}

#[test]
fn an_owner_claims_nothing_before_its_listing_is_final() {
    let mut billed = Billed::<Plain>::ended(parameters::<Plain>(), &[], &ALL);
    let listing = billed.street.by_collector(&billed.listing());
    let mut said = billed.street.tell(HOLDER, &listing);
    billed.street.now = billed.street.now + Duration::from_hours(1);
    billed.street.meters[HOLDER].handle_timeout(billed.street.now);
    said.extend(billed.street.drain(HOLDER));
    assert!(published(&said, "/claim").is_empty());
}

#[test]
fn an_owner_claims_a_portion_once() {
    let mut billed = Billed::<Plain>::honest();
    let signed = published(&billed.said, "/claim");
    let listing = billed.listing();
    billed.settle(&listing);
    assert!(published(&billed.said, "/claim").is_empty());
    billed.street.restart(HOLDER);
    billed.settle(&listing);
    assert!(published(&billed.said, "/claim").is_empty());
    assert_eq!(billed.ask(&signed).name(), "share");
}

#[test]
fn an_owner_repeats_its_claim_until_it_is_asked_about() {
    let mut billed = Billed::<Plain>::honest();
    let claim = published(&billed.said, "/claim");
    let due = billed.street.now + Duration::from_secs(5);
    billed.street.meters[HOLDER].handle_timeout(due);
    let repeated = published(&billed.street.drain(HOLDER), "/claim");
    assert_eq!(repeated, claim);
    assert_eq!(billed.ask(&claim).name(), "share");
    billed.street.meters[HOLDER].handle_timeout(due + Duration::from_mins(1));
    let after = published(&billed.street.drain(HOLDER), "/claim");
    assert!(after.is_empty());
}
