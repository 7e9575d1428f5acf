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
use common::region::{
    Answer, HOLDER, IMPORT, MEMBERS, Played, Region, bill_request, region_request,
};
use common::{Kit, both_registers, events, meter_id, parameters, published};
use protocol::entry::EntryError;
use protocol::envelope::{Envelope, Rejection};
use protocol::message::Claim;
use protocol::output::{Event, Output};
use protocol::parameters::Parameters;
use protocol::reading::Register;
use protocol::release::Reason;
use protocol::slot::Window;

const WINDOW: Window = Window(0);
const ALL: [u32; 4] = [0, 1, 2, 3];

/// A street whose first window has ended, and what each member but the holder
/// contributed there, by member and position.
struct Billed<S: Kit> {
    street: Region<S>,
    played: Vec<Vec<Played<S>>>,
    /// What the collector asks about each slot.
    requests: Vec<Vec<u8>>,
    /// What the holder published last.
    said: Vec<Output>,
}

impl<S: Kit> Billed<S> {
    /// `absent` members are left out of the set of a position.
    fn new(parameters: Parameters, absent: &[(usize, u32)]) -> Self {
        Self::answered(parameters, absent, &ALL)
    }

    /// The holder is asked about the slots at `positions` alone.
    fn answered(parameters: Parameters, absent: &[(usize, u32)], positions: &[u32]) -> Self {
        let street = Region::<S>::open_with(MEMBERS, parameters);
        let played = (0..MEMBERS).map(|_| Vec::new()).collect();
        let mut billed = Self { street, played, said: Vec::new(), requests: Vec::new() };
        for position in ALL {
            let slot = billed.street.end_slot(position.into());
            let mut listed = vec![billed.street.contribution(HOLDER, slot, 1)];
            for one in billed.street.play_all(slot, 1..MEMBERS) {
                listed.push(one.message.clone());
                billed.played[listed.len() - 1].push(one);
            }
            let in_set = |at: &usize| !absent.contains(&(*at, position));
            let listed: Vec<_> = (0..MEMBERS).filter(in_set).map(|at| listed[at].clone()).collect();
            let request = billed.street.by_collector(&region_request(slot, &listed));
            billed.requests.push(request);
            if positions.contains(&position) {
                billed.hear(position);
            }
        }
        billed
    }

    /// Asks the holder about the slot at a position.
    fn hear(&mut self, position: u32) {
        self.said = self.street.tell(HOLDER, &self.requests[position as usize]);
        assert_eq!(published(&self.said, "/share").len(), 1);
    }

    /// Lets the time pass in which the holder waits for requests.
    fn wait_for_claims(&mut self) {
        let closes = self.street.roster.slot_closes(self.street.slot(3));
        self.street.now = closes + Duration::from_mins(30);
        self.street.meters[HOLDER].handle_timeout(self.street.now);
        self.said = self.street.drain(HOLDER);
    }

    fn honest() -> Self {
        Self::new(parameters::<S>(), &[])
    }

    /// A member's claim to the sum of its slots at `summed`, said to cover
    /// those at `covered`.
    fn claim(&mut self, at: usize, covered: &[u32], summed: &[u32]) -> Claim {
        let played: Vec<_> =
            summed.iter().map(|position| &self.played[at][*position as usize]).collect();
        self.street.claim((at, WINDOW), covered, &played)
    }

    fn signed_claim(&mut self, at: usize, covered: &[u32], summed: &[u32]) -> Vec<u8> {
        let claim = self.claim(at, covered, summed);
        self.street.by_meter(at, &claim)
    }

    fn ask(&mut self, claims: &[Vec<u8>]) -> Answer {
        self.street.ask(HOLDER, &bill_request(WINDOW, claims))
    }

    /// The answer to a single claim that a member signs.
    fn ask_one(&mut self, at: usize, claim: &Claim) -> Answer {
        let message = self.street.by_meter(at, claim);
        self.ask(&[message])
    }
}

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
fn a_holder_refuses_slots_in_which_the_owner_was_not_counted() {
    let mut billed = Billed::<Plain>::new(parameters::<Plain>(), &[(1, 2)]);
    let differs = refused(Reason::ClaimedSlots(meter_id(1)));
    let claim = billed.claim(1, &ALL, &ALL);
    assert_eq!(billed.ask_one(1, &claim), differs);
    let claim = billed.claim(1, &[0, 1, 3], &[0, 1, 3]);
    assert_eq!(billed.ask_one(1, &claim).name(), "share");
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
    billed.street.end_slot(7);
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

/// The one claim among what a meter published.
fn claimed<S: Kit>(billed: &Billed<S>) -> Claim {
    let [message] = &published(&billed.said, "/claim")[..] else { panic!("no one claim") };
    let (owner, claim) =
        billed.street.roster.open_from_member(&Envelope::parse(message).unwrap()).unwrap();
    assert_eq!(owner, meter_id(HOLDER));
    claim
}

#[test]
fn an_owner_claims_the_slots_in_which_it_was_counted() {
    let claim = claimed(&Billed::<ElGamal>::honest());
    assert_eq!((claim.window, claim.slots), (WINDOW, ALL.into_iter().collect()));
    let claim = claimed(&Billed::<ElGamal>::new(parameters::<ElGamal>(), &[(HOLDER, 2)]));
    assert_eq!(claim.slots, [0, 1, 3].into_iter().collect());
}

#[test]
fn an_owner_claims_again_when_a_further_slot_is_counted() {
    let mut billed = Billed::<ElGamal>::answered(parameters::<ElGamal>(), &[], &[0, 1, 3]);
    billed.wait_for_claims();
    assert_eq!(claimed(&billed).slots, [0, 1, 3].into_iter().collect());
    billed.hear(2);
    let claim = claimed(&billed);
    assert_eq!((claim.window, claim.slots), (WINDOW, ALL.into_iter().collect()));
    // Its sum is that of all four slots.
    let signed = published(&billed.said, "/claim");
    assert_eq!(billed.ask(&signed).name(), "share");
    billed.street.meters[HOLDER].handle_connected(billed.street.now);
    let after = billed.street.drain(HOLDER);
    assert!(published(&after, "/claim").is_empty());
}

#[test]
fn an_owner_that_was_asked_about_its_claim_makes_no_other() {
    let mut billed = Billed::<Plain>::answered(parameters::<Plain>(), &[], &[0, 1, 3]);
    billed.wait_for_claims();
    let signed = published(&billed.said, "/claim");
    assert_eq!(billed.ask(&signed).name(), "share");
    billed.hear(2);
    assert!(published(&billed.said, "/claim").is_empty());
}

#[test]
fn an_owner_claims_no_window_of_too_few_slots() {
    let absent = [(HOLDER, 0), (HOLDER, 2)];
    let billed = Billed::<Plain>::new(parameters::<Plain>(), &absent);
    assert!(published(&billed.said, "/claim").is_empty());
    let closed = Event::WindowClosed { window: WINDOW, slots: 2, needed: 3 };
    assert!(events(&billed.said).contains(&closed));
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
