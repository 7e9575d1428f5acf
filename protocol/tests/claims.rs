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
use common::billed::{ALL, Billed, WINDOW};
use common::region::{Answer, HOLDER, IMPORT, MEMBERS, bill_request};
use common::{both_registers, events, meter_id, parameters, published};
use protocol::entry::EntryError;
use protocol::envelope::Rejection;
use protocol::message::Claim;
use protocol::output::{Event, Obstacle};
use protocol::reading::Register;
use protocol::release::Reason;
use protocol::slot::Window;

fn refused(reason: Reason) -> Answer {
    Answer::Refused(reason)
}

fn entry(error: impl Into<EntryError>) -> Answer {
    refused(Reason::Entry { at: 0, error: error.into() })
}

#[test]
fn a_holder_helps_with_honest_claims() {
    let mut billed = Billed::<ElGamal>::honest();
    let claims: Vec<_> = (1..MEMBERS).map(|at| billed.signed_claim(at, &ALL, &ALL)).collect();
    assert_eq!(billed.ask(&claims).name(), "share");
}

#[test]
fn a_repeated_bill_gets_the_same_answer_again() {
    let mut billed = Billed::<ElGamal>::honest();
    let claims: Vec<_> = (1..3).map(|at| billed.signed_claim(at, &ALL, &ALL)).collect();
    let first = billed.ask(&claims);
    assert_eq!(first.name(), "share");
    assert_eq!(billed.ask(&claims), first);
}

#[test]
fn a_claim_that_came_later_is_opened_too() {
    let mut billed = Billed::<Plain>::honest();
    let claims: Vec<_> = (1..4).map(|at| billed.signed_claim(at, &ALL, &ALL)).collect();
    assert_eq!(billed.ask(&claims[..2]).name(), "share");
    assert_eq!(billed.ask(&claims).name(), "share");
}

#[test]
fn a_holder_refuses_a_bill_without_claims() {
    assert_eq!(Billed::<Plain>::honest().ask(&[]), refused(Reason::Empty));
}

#[test]
fn a_holder_refuses_a_bill_of_too_few_slots() {
    let mut billed = Billed::<Plain>::honest();
    for positions in [&[][..], &[1], &[0, 3]] {
        let claim =
            Claim { slots: positions.iter().copied().collect(), ..billed.claim(1, &ALL, &ALL) };
        let found = u32::try_from(positions.len()).unwrap();
        let answer = billed.ask_one(1, &claim);
        assert_eq!(answer, entry(EntryError::TooFewSlots { found, needed: 3 }));
    }
}

#[test]
fn a_holder_refuses_the_bills_of_a_window_with_anyone_uncounted() {
    for absent in 0..MEMBERS {
        let mut billed = Billed::<Plain>::new(parameters::<Plain>(), &[(absent, 2)]);
        let uncounted = refused(Reason::Uncounted(billed.street.slot(2)));
        for owner in 1..MEMBERS {
            for slots in [&ALL[..], &[0, 1, 3]] {
                let claim = billed.claim(owner, slots, slots);
                assert_eq!(billed.ask_one(owner, &claim), uncounted);
            }
        }
    }
}

#[test]
fn a_holder_refuses_the_bills_of_a_window_with_a_slot_that_it_never_answered() {
    let mut billed = Billed::<Plain>::answered(parameters::<Plain>(), &[], &[0, 1, 3]);
    let claims: Vec<_> = (1..MEMBERS).map(|at| billed.signed_claim(at, &ALL, &ALL)).collect();
    let uncounted = refused(Reason::Uncounted(billed.street.slot(2)));
    assert_eq!(billed.ask(&claims), uncounted);
    billed.hear(2);
    assert_eq!(billed.ask(&claims).name(), "share");
}

#[test]
fn a_holder_refuses_a_claim_that_leaves_a_counted_slot_out() {
    let mut billed = Billed::<Plain>::honest();
    for left in 0..4 {
        let others: Vec<_> = ALL.into_iter().filter(|position| *position != left).collect();
        let claim = billed.claim(1, &others, &others);
        let answer = billed.ask_one(1, &claim);
        assert_eq!(answer, refused(Reason::ClaimedSlots(meter_id(1))), "without {left}");
    }
}

#[test]
fn a_holder_refuses_slots_outside_the_window() {
    let mut billed = Billed::<Plain>::honest();
    let slots = [0, 1, 2, 4].into_iter().collect();
    let claim = Claim { slots, ..billed.claim(1, &ALL, &ALL) };
    assert_eq!(billed.ask_one(1, &claim), entry(EntryError::Outside));
}

#[test]
fn a_holder_refuses_a_claim_that_wraps_a_victims_ciphertext() {
    let mut billed = Billed::<ElGamal>::honest();
    let victim = billed.played[2][1].body.registers.clone();
    let claim = Claim { registers: victim, ..billed.claim(1, &ALL, &ALL) };
    assert_eq!(billed.ask_one(1, &claim), refused(Reason::Proof(vec![meter_id(1)])));
}

#[test]
fn a_holder_refuses_a_claim_that_was_signed_by_another_member() {
    let mut billed = Billed::<ElGamal>::honest();
    let claim = billed.claim(2, &ALL, &ALL);
    assert_eq!(billed.ask_one(1, &claim), refused(Reason::Proof(vec![meter_id(1)])));
}

#[test]
fn a_holder_refuses_a_claim_that_is_replayed_for_another_window() {
    let mut billed = Billed::<ElGamal>::honest();
    let claim = billed.claim(1, &ALL, &ALL);
    billed.end_second_window();
    let next = Window(1);
    let signed = billed.street.by_meter(1, &claim);
    let answer = billed.street.ask(HOLDER, &bill_request(next, &[signed]));
    assert_eq!(answer, refused(Reason::Target(0)));
    let relabelled = billed.street.by_meter(1, &Claim { window: next, ..claim });
    let answer = billed.street.ask(HOLDER, &bill_request(next, &[relabelled]));
    assert_eq!(answer, refused(Reason::Proof(vec![meter_id(1)])));
}

#[test]
fn a_holder_refuses_a_claim_that_is_replayed_for_another_register() {
    let mut billed = Billed::<ElGamal>::new(both_registers::<ElGamal>(), &[]);
    let mut claim = billed.claim(1, &ALL, &ALL);
    let import = claim.registers[&IMPORT].clone();
    claim.registers.insert(Register::Export, import);
    assert_eq!(billed.ask_one(1, &claim), refused(Reason::Proof(vec![meter_id(1)])));
    claim.registers.remove(&Register::Export);
    assert_eq!(billed.ask_one(1, &claim), entry(EntryError::Registers));
}

#[test]
fn a_holder_refuses_a_second_claim_to_another_sum() {
    let mut billed = Billed::<ElGamal>::honest();
    let honest = billed.signed_claim(1, &ALL, &ALL);
    assert_eq!(billed.ask(std::slice::from_ref(&honest)).name(), "share");
    // The same slots by name, and one of them fewer in the sum.
    let second = billed.signed_claim(1, &ALL, &[0, 1, 2]);
    let other = billed.signed_claim(2, &ALL, &ALL);
    assert_eq!(billed.ask(&[second, other]), refused(Reason::SecondClaim(meter_id(1))));
    assert_eq!(billed.ask(&[honest]).name(), "share");
}

#[test]
fn a_holder_refuses_a_second_claim_once_the_window_before_is_forgotten() {
    let mut billed = Billed::<ElGamal>::honest();
    billed.end_second_window();
    let ask = |billed: &mut Billed<ElGamal>, summed: std::ops::Range<usize>| {
        let played: Vec<_> = billed.played[1][summed].iter().collect();
        let claim = billed.street.claim((1, Window(1)), &ALL, &played);
        let message = billed.street.by_meter(1, &claim);
        billed.street.ask(HOLDER, &bill_request(Window(1), &[message]))
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
    let (first, again) = (billed.signed_claim(1, &ALL, &ALL), billed.signed_claim(1, &ALL, &ALL));
    assert_ne!(first, again);
    for claim in [first, again] {
        assert_eq!(billed.ask(&[claim]).name(), "share");
    }
}

#[test]
fn a_refused_bill_leaves_no_trace() {
    let mut billed = Billed::<ElGamal>::honest();
    let bent = billed.signed_claim(1, &ALL, &[0, 1, 2]);
    let mut forged = billed.claim(2, &ALL, &ALL);
    forged.registers = billed.played[3][0].body.registers.clone();
    let forged = billed.street.by_meter(2, &forged);
    assert_eq!(billed.ask(&[bent, forged]), refused(Reason::Proof(vec![meter_id(2)])));
    let honest = billed.signed_claim(1, &ALL, &ALL);
    assert_eq!(billed.ask(&[honest]).name(), "share");
}

#[test]
fn a_holder_refuses_an_owner_that_claims_twice_in_one_bill() {
    let mut billed = Billed::<Plain>::honest();
    let claims = [billed.signed_claim(1, &ALL, &ALL), billed.signed_claim(1, &ALL, &[0, 1, 2])];
    assert_eq!(billed.ask(&claims), refused(Reason::Twice(meter_id(1))));
}

#[test]
fn a_holder_refuses_points_that_are_none_in_a_claim() {
    let mut billed = Billed::<ElGamal>::honest();
    let cases = [(0, DecodeError::Identity("C1")), (0xff, DecodeError::NotCanonical("C1"))];
    for (byte, error) in cases {
        let mut claim = billed.claim(1, &ALL, &ALL);
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
    let claim = billed.signed_claim(1, &ALL, &ALL);
    let slot = billed.street.end_slot(4);
    let answer = billed.street.ask_region(HOLDER, slot, &[claim]);
    assert_eq!(answer, entry(Rejection::Kind));
}

#[test]
fn a_holder_refuses_a_window_that_has_not_ended() {
    let mut billed = Billed::<Plain>::honest();
    billed.street.end_slot(6);
    let answer = billed.street.ask(HOLDER, &bill_request(Window(1), &[]));
    assert_eq!(answer, refused(Reason::NotEnded));
    let answer = billed.street.ask(HOLDER, &bill_request(Window(4), &[]));
    assert_eq!(answer, refused(Reason::Outside));
}

#[test]
fn a_holder_refuses_a_bill_past_its_deadline() {
    let mut billed = Billed::<Plain>::honest();
    let claim = billed.signed_claim(1, &ALL, &ALL);
    let closes = billed.street.roster.slot_closes(billed.street.slot(3));
    billed.street.now = closes + Duration::from_hours(2) + Duration::from_millis(1);
    assert_eq!(billed.ask(&[claim]), refused(Reason::PastDeadline));
}

#[test]
fn an_owner_claims_the_whole_of_a_window() {
    let claim = Billed::<ElGamal>::honest().claimed();
    assert_eq!((claim.window, claim.slots), (WINDOW, ALL.into_iter().collect()));
}

#[test]
fn an_owner_claims_no_window_with_anyone_uncounted_and_says_so() {
    for absent in [HOLDER, 3] {
        let mut billed = Billed::<Plain>::new(parameters::<Plain>(), &[(absent, 1)]);
        assert!(published(&billed.said, "/claim").is_empty());
        billed.wait_for_claims();
        assert!(published(&billed.said, "/claim").is_empty());
        let why = Obstacle::Members { counted: MEMBERS - 1, members: MEMBERS };
        let closed = Event::WindowClosed { window: WINDOW, slot: billed.street.slot(1), why };
        assert_eq!(events(&billed.said), [closed]);
    }
}

#[test]
fn an_owner_claims_a_window_as_soon_as_its_last_slot_is_opened() {
    let mut billed = Billed::<ElGamal>::answered(parameters::<ElGamal>(), &[], &[0, 1, 3]);
    billed.wait_for_claims();
    assert!(published(&billed.said, "/claim").is_empty());
    let (slot, why) = (billed.street.slot(2), Obstacle::Unanswered);
    assert_eq!(events(&billed.said), [Event::WindowClosed { window: WINDOW, slot, why }]);
    billed.hear(2);
    let claim = billed.claimed();
    assert_eq!((claim.window, claim.slots), (WINDOW, ALL.into_iter().collect()));
    // Its sum is that of all four slots.
    let signed = published(&billed.said, "/claim");
    assert_eq!(billed.ask(&signed).name(), "share");
}

#[test]
fn an_owner_claims_a_window_once() {
    let mut billed = Billed::<Plain>::honest();
    let signed = published(&billed.said, "/claim");
    for position in ALL {
        billed.hear(position);
        assert!(published(&billed.said, "/claim").is_empty());
    }
    assert_eq!(billed.ask(&signed).name(), "share");
    billed.hear(3);
    assert!(published(&billed.said, "/claim").is_empty());
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
