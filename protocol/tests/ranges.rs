//! A range proof with each contribution: who encrypts what no reading can be is
//! in no sum.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::time::Duration;

use aggregation::{Canonical as _, Context, DecodeError, ElGamal, Plain, Scheme as _, Stored as _};
use common::founding::{EPOCH, Founding, invitation};
use common::region::{ALL, Answer, HOLDER, IMPORT, MEMBERS, Region};
use common::{
    START, both_registers, drain, events, meter_id, meter_identity, meter_terms, parameters,
    proven, published, region_id, registrar, rng,
};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use protocol::entry::EntryError;
use protocol::message::{Contribution, Request};
use protocol::meter::{self, Meter};
use protocol::output::Event;
use protocol::parameters::{Floors, Parameters, RangeProofs};
use protocol::record::Records;
use protocol::release::Reason;
use protocol::slot::Slot;
use serde_bytes::ByteBuf;

type Street = Region<ElGamal>;

/// The member whose part the test plays.
const BENT: usize = 4;

/// The most that a contribution holds here.
const MAX: u64 = 65_535;

/// What a member's contribution hides, whatever its honest one would.
#[derive(Clone, Copy)]
struct Numbers {
    /// C1 = rG.
    r: u64,
    /// C2 = mG + ρY.
    rho: u64,
    /// Below 0 where it is taken away.
    m: i64,
}

fn open(range_proofs: RangeProofs) -> (Street, Slot) {
    let mut street = Street::open_with(MEMBERS, proven::<ElGamal>(range_proofs));
    let slot = street.end_slot(0);
    (street, slot)
}

/// A contribution of any numbers with a proof of knowledge that holds, beside
/// the range proof of 5 Wh under the same randomness ρ.
fn bent(street: &mut Street, slot: Slot, Numbers { r, rho, m }: Numbers) -> Vec<u8> {
    let key = CompressedRistretto::from_slice(&street.body().group_key).unwrap();
    let key = key.decompress().unwrap();
    let stands_for = |r: u64, rho: u64, m: i64| {
        let m = Scalar::from(m.unsigned_abs()) * if m < 0 { -Scalar::ONE } else { Scalar::ONE };
        let c2 = Scalar::from(rho) * key + RistrettoPoint::mul_base(&m);
        let stored = [Scalar::from(r).to_bytes(), c2.compress().to_bytes()].concat();
        <ElGamal as aggregation::Scheme>::Retained::from_stored(&stored).unwrap()
    };
    let honest = stands_for(rho, rho, 5);
    let range_proof = street.range_proof(BENT, &[(slot, IMPORT, &honest, 5)]);
    assert!(range_proof.is_some());
    let statement = street.roster.place().contribution(&meter_id(BENT), slot, IMPORT);
    let (scheme, hidden) = (street.roster.scheme(), stands_for(r, rho, m));
    let hidden = scheme.claim(&[&hidden], Context(&statement), &mut street.rng).unwrap();
    let registers = [(IMPORT, ByteBuf::from(hidden.to_bytes()))].into();
    street.by_meter(BENT, &Contribution { slot, registers, range_proof })
}

/// A contribution of the bent member whose range proof is this one.
fn with_proof(
    street: &mut Street,
    slot: Slot,
    range_proof: impl FnOnce(&mut Street, ByteBuf) -> Option<ByteBuf>,
) -> Vec<u8> {
    let body = street.play(BENT, slot, 1 << BENT).body;
    let range_proof = range_proof(street, body.range_proof.unwrap_or_default());
    street.by_meter(BENT, &Contribution { range_proof, ..body })
}

/// What a collector says of a contribution, and a holder of a set with it.
fn judged(
    range_proofs: RangeProofs,
    contribution: impl FnOnce(&mut Street, Slot) -> Vec<u8>,
) -> (String, Answer) {
    let (mut street, slot) = open(range_proofs);
    let message = contribution(&mut street, slot);
    let mut listed: Vec<_> = (1..BENT).map(|at| street.play(at, slot, 1 << at).message).collect();
    listed.push(message.clone());
    let answer = street.ask_region(HOLDER, slot, &listed);
    let events = street.send(&message);
    let [Event::Rejected { name, .. }] = &events[..] else { panic!("taken: {events:?}") };
    ((*name).to_owned(), answer)
}

/// That both refuse a contribution in mode `each` because of its range proof.
fn is_refused(contribution: impl FnOnce(&mut Street, Slot) -> Vec<u8>) {
    let (name, answer) = judged(RangeProofs::Each, contribution);
    let culprit = Answer::Refused(Reason::Proof(vec![meter_id(BENT)]));
    assert_eq!((name.as_str(), answer), ("range-proof", culprit));
}

/// That both refuse it as it is read.
fn is_unreadable(
    range_proofs: RangeProofs,
    error: EntryError,
    contribution: impl FnOnce(&mut Street, Slot) -> Vec<u8>,
) {
    let (name, answer) = judged(range_proofs, contribution);
    assert_eq!(name, error.name());
    assert_eq!(answer, Answer::Refused(Reason::Entry { at: BENT - 1, error }));
}

#[test]
fn a_number_that_is_no_reading_is_in_no_sum() {
    for m in [-1, -800, 65_536, i64::MAX] {
        is_refused(|street, slot| bent(street, slot, Numbers { r: 7, rho: 7, m }));
    }
}

#[test]
fn ciphertexts_of_two_randomnesses_are_in_no_sum() {
    is_refused(|street, slot| bent(street, slot, Numbers { r: 8, rho: 7, m: 5 }));
}

#[test]
fn a_range_proof_of_another_slot_or_member_proves_nothing() {
    is_refused(|street, slot| {
        let earlier = street.slot(1);
        with_proof(street, slot, |street, _| street.play(BENT, earlier, 16).body.range_proof)
    });
    is_refused(|street, slot| {
        with_proof(street, slot, |street, _| street.play(1, slot, 16).body.range_proof)
    });
}

#[test]
fn a_contribution_without_its_range_proof_is_refused() {
    is_unreadable(RangeProofs::Each, EntryError::NoRangeProof, |street, slot| {
        with_proof(street, slot, |_, _| None)
    });
}

#[test]
fn a_range_proof_that_nobody_asks_for_is_refused() {
    for mode in [RangeProofs::Off, RangeProofs::Audit] {
        is_unreadable(mode, EntryError::SurplusRangeProof, |street, slot| {
            with_proof(street, slot, |_, _| Some(ByteBuf::from(vec![1; 576])))
        });
    }
}

#[test]
fn a_range_proof_of_another_length_or_encoding_is_refused() {
    let length = DecodeError::Length { expected: 576, found: 577 };
    is_unreadable(RangeProofs::Each, EntryError::RangeProofForm(length), |street, slot| {
        with_proof(street, slot, |_, proof| Some(ByteBuf::from([&proof[..], &[0]].concat())))
    });
    let form = EntryError::RangeProofForm(DecodeError::NotCanonical("z_r"));
    is_unreadable(RangeProofs::Each, form, |street, slot| {
        with_proof(street, slot, |_, mut proof| {
            proof[544..].fill(0xff);
            Some(proof)
        })
    });
}

#[test]
fn a_bad_range_proof_among_good_ones_is_named_and_the_others_are_counted() {
    let (mut street, slot) = open(RangeProofs::Each);
    let mut messages: Vec<_> = (0..BENT).map(|at| street.play(at, slot, 1 << at).message).collect();
    let one_too_many = Numbers { r: 7, rho: 7, m: 65_536 };
    messages.insert(2, bent(&mut street, slot, one_too_many));
    street.collector.handle_messages(&messages, street.now);
    street.deliver();
    let [Event::Rejected { sender, name, .. }] = &street.collector_events()[..] else {
        panic!("{:?}", street.collector_events())
    };
    let bent = protocol::id::Sender::Meter(meter_id(BENT));
    assert_eq!((sender.as_ref(), *name), (Some(&bent), "range-proof"));
    assert!((0..BENT).all(|at| street.receipts(at).len() == 1));
    assert!(street.receipts(BENT).is_empty());
}

/// Lets all meters contribute, and waits until their outboxes have spoken.
fn summed(parameters: Parameters) -> Street {
    let mut street = Street::open_with(MEMBERS, parameters);
    street.run_slot(0);
    street.run_until(street.now + Duration::from_secs(1));
    street
}

#[test]
fn a_slot_with_a_range_proof_of_each_is_summed() {
    assert_eq!(summed(proven::<ElGamal>(RangeProofs::Each)).sums(), [ALL]);
    let both = both_registers::<ElGamal>();
    let wide = Parameters { range_proofs: RangeProofs::Each, max_wh_per_slot: u32::MAX, ..both };
    assert_eq!(summed(wide).sums(), [ALL, 0]);
}

#[test]
fn the_legal_maximum_of_everybody_is_summed() {
    let (mut street, slot) = open(RangeProofs::Each);
    street.offline.extend(0..MEMBERS);
    for at in 0..MEMBERS {
        let message = street.play(at, slot, MAX).message;
        assert!(street.send(&message).is_empty());
    }
    let request = street.last_request();
    assert!(matches!(&request, Request::Region(_, listed) if listed.len() == MEMBERS));
    for at in 0..MEMBERS {
        let share = street.played_share(at, &request);
        let share = street.by_meter(at, &share);
        street.send(&share);
    }
    assert_eq!(street.sums(), [MAX * MEMBERS as u64]);
}

#[test]
fn another_range_proof_of_the_same_ciphertexts_is_no_conflict() {
    let (mut street, slot) = open(RangeProofs::Each);
    let played = street.play(BENT, slot, 16);
    let hides = [(slot, IMPORT, &played.retained[&IMPORT], 16)];
    let range_proof = street.range_proof(BENT, &hides);
    assert_ne!(range_proof, played.body.range_proof);
    let again = street.by_meter(BENT, &Contribution { range_proof, ..played.body.clone() });
    assert!(street.send(&played.message).is_empty() && street.send(&again).is_empty());
    assert_eq!(street.receipts(BENT).len(), 2);
    // One that holds for something else is refused all the same.
    let range_proof = street.play(BENT, slot, 16).body.range_proof;
    let bad = street.by_meter(BENT, &Contribution { range_proof, ..played.body });
    let events = street.send(&bad);
    let [Event::Rejected { name, .. }] = &events[..] else { panic!("taken: {events:?}") };
    assert_eq!(*name, "range-proof");
}

#[test]
fn a_contribution_leaves_when_its_timer_says_and_not_when_its_proof_is_made() {
    let mode = |range_proofs| {
        let mut street = Region::<Plain>::open_with(MEMBERS, proven::<Plain>(range_proofs));
        let slot = street.end_slot(0);
        let sent = published(&street.read(0, slot, 1), "/contribution").len();
        let due = street.meters[0].poll_timeout().unwrap();
        street.meters[0].handle_timeout(due);
        let later = published(&street.drain(0), "/contribution").len();
        (sent, later, due > street.now)
    };
    assert_eq!(mode(RangeProofs::Each), (0, 1, true));
    assert_eq!(mode(RangeProofs::Audit), (1, 1, true));
}

#[test]
fn a_restarted_meter_resends_the_proof_that_it_made() {
    let (mut street, slot) = open(RangeProofs::Each);
    street.read(HOLDER, slot, 1);
    street.meters[HOLDER].handle_connected(street.now);
    let sent = published(&street.drain(HOLDER), "/contribution");
    street.restart(HOLDER);
    street.meters[HOLDER].handle_connected(street.now);
    let again = published(&street.drain(HOLDER), "/contribution");
    assert!(sent == again && sent.len() == 1);
}

/// A meter that wants a range proof with each contribution.
fn strict(at: usize) -> Meter<Plain> {
    let terms = meter_terms::<Plain>(at);
    let floors = Floors { range_proofs: RangeProofs::Each, ..terms.floors };
    let (terms, kept) = (meter::Terms { floors, ..terms }, Records::default());
    Meter::new(terms, meter_identity(at), &kept, rng(1), START).unwrap()
}

const LOWERED: &str = "range_proofs = audit: accepted is at least each, this agent's own floor";

#[test]
fn a_meter_refuses_an_invitation_with_fewer_range_proofs_than_it_wants() {
    let (mut meter, low) = (strict(0), invitation(MEMBERS, proven::<Plain>(RangeProofs::Audit)));
    meter.handle_message(&registrar().invite(&region_id(), EPOCH, &low), START);
    let outputs = drain(&mut meter);
    let [Event::InvitationRefused { error, .. }] = &events(&outputs)[..] else { panic!("joined") };
    assert_eq!(error.to_string(), LOWERED);
}

#[test]
fn a_meter_refuses_a_roster_with_fewer_range_proofs_than_it_wants() {
    let mut founding = Founding::with(MEMBERS, proven::<Plain>(RangeProofs::Each), strict);
    let honest = founding.signed();
    founding.roster.parameters.range_proofs = RangeProofs::Audit;
    let lowered = founding.signed();
    assert_eq!(founding.offer(&lowered).to_string(), format!("roster: {LOWERED}"));
    assert_eq!(founding.offer(&honest).name(), "joined");
}

#[test]
fn as_many_members_as_fit_into_a_request_with_their_proofs() {
    let most = |range_proofs, max_wh_per_slot, registers: usize| {
        let registers = both_registers::<Plain>().registers[..registers].to_vec();
        let given =
            Parameters { range_proofs, max_wh_per_slot, registers, ..parameters::<Plain>() };
        (given.check(5_000).unwrap_err().accepted, given.check(4))
    };
    let (narrow, wide) = (0xffff, u32::MAX);
    for (mode, max, registers, expected) in [
        (RangeProofs::Off, narrow, 1, "4 to 3148"),
        (RangeProofs::Audit, narrow, 1, "4 to 3148"),
        (RangeProofs::Each, narrow, 1, "4 to 1148"),
        (RangeProofs::Each, wide, 1, "4 to 1073"),
        (RangeProofs::Each, narrow, 2, "4 to 945"),
        (RangeProofs::Each, wide, 2, "4 to 893"),
    ] {
        assert_eq!(most(mode, max, registers), (expected.to_owned(), Ok(())));
    }
}
