//! Attacks that need more than one bent message: what becomes of them at real
//! machines. `attacks/list.toml` names every attack with its tests.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::time::Duration;

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, DeviceSecret, ElGamal, Plain, Scheme, Stored as _};
use common::bent::{Parts, context, header};
use common::billed::Billed;
use common::founding::{EPOCH, Founding, invitation};
use common::region::{Answer, HOLDER, IMPORT, MEMBERS, Region, ended, messages};
use common::{
    START, both_registers, copy, drain, events, meter_id, meter_identity, meter_seed, new_meter,
    parameters, region_id, registrar, rng,
};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::SigningKey;
use protocol::entry::EntryError;
use protocol::envelope::{Envelope, Rejection, encode};
use protocol::id::Sender;
use protocol::listing::Listed;
use protocol::message::{Contribution, Phase};
use protocol::output::{Event, InvitationError};
use protocol::parameters::{Parameters, Threshold};
use protocol::reading::Register;
use protocol::record::Sort;
use protocol::release::Reason;
use protocol::roster::RosterError;
use protocol::slot::Slot;
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha512};

type Street = Region<ElGamal>;

/// The member whose part the test plays.
const BENT: usize = 4;

fn point(bytes: &[u8]) -> RistrettoPoint {
    CompressedRistretto::from_slice(bytes).unwrap().decompress().unwrap()
}

/// The hidden quantity of a contribution.
fn hidden(message: &[u8]) -> Vec<u8> {
    let body: Contribution = Envelope::parse(message).unwrap().peek().unwrap();
    body.registers[&IMPORT].to_vec()
}

/// A contribution of less than nothing, with a proof that holds.
fn less_than_nothing(street: &mut Street, slot: Slot, wh: u64) -> Vec<u8> {
    let (r, m) = (Scalar::from(7_u64), Scalar::from(wh));
    let c2 = r * point(&street.body().group_key) - RistrettoPoint::mul_base(&m);
    let stored = [r.as_bytes(), c2.compress().as_bytes()].map(|part| &part[..]).concat();
    let retained = <ElGamal as Scheme>::Retained::from_stored(&stored).unwrap();
    let statement = street.roster.place().contribution(&meter_id(BENT), slot, IMPORT);
    let scheme = street.roster.scheme();
    let hidden = scheme.claim(&[&retained], Context(&statement), &mut street.rng).unwrap();
    let registers = [(IMPORT, ByteBuf::from(hidden.to_bytes()))].into();
    street.by_meter(BENT, &Contribution { slot, registers, range_proof: None })
}

#[test]
fn a_negative_reading_that_exceeds_the_others_makes_no_sum() {
    let mut street = Street::open(MEMBERS);
    street.offline.insert(BENT);
    let slot = street.run_slot(0);
    let negative = less_than_nothing(&mut street, slot, 800);
    assert!(street.send(&negative).is_empty());
    let share = street.played_share(BENT, &street.last_request());
    let share = street.by_meter(BENT, &share);
    street.send(&share);
    let outside = Phase::Abandoned("sums [0] lie outside their range".to_owned());
    assert_eq!(street.statuses().pop().unwrap().phase, outside);
    assert!(street.results().is_empty());
}

#[test]
fn a_restored_collector_opens_no_second_set() {
    let mut street = Street::open(MEMBERS);
    let backup = copy(&street.disk, Sort::ALL);
    let slot = street.end_slot(0);
    let contributions: Vec<_> =
        (0..MEMBERS).map(|at| street.contribution(at, slot, 1 << at)).collect();
    street.offline.insert(BENT);
    for one in &contributions[..BENT] {
        street.send(one);
    }
    street.close(slot);
    street.offline.clear();
    street.run_until(street.now + Duration::from_mins(2));
    assert_eq!(street.sums(), [0b1111]);
    // The sum of all less the one above would be the reading of the bent one.
    for holder in 0..MEMBERS {
        assert_eq!(street.ask_region(holder, slot, &contributions).name(), "answered");
    }
    street.disk.records = backup;
    street.restart_collector();
    street.run_until(street.now + Duration::from_mins(10));
    assert_eq!(street.sums(), [0b1111]);
}

#[test]
fn two_quorums_are_never_shown_two_sets() {
    let mut street = Region::<Plain>::open(MEMBERS);
    let slot = street.end_slot(0);
    let all: Vec<_> = (0..MEMBERS).map(|at| street.contribution(at, slot, 1 << at)).collect();
    let sets = [&all[..], &all[..BENT]];
    let mut helped = [0, 0];
    for holder in 0..MEMBERS {
        // Each holder is asked for both, half of them for the second one first.
        for which in if holder % 2 == 0 { [0, 1] } else { [1, 0] } {
            let answer = street.ask_region(holder, slot, sets[which]);
            helped[which] += usize::from(answer.name() == "share");
        }
    }
    let quorum = street.roster.parameters().threshold.of(MEMBERS);
    assert!(helped.iter().sum::<usize>() == MEMBERS && helped.iter().all(|found| *found < quorum));
}

#[test]
fn a_gap_in_attendance_withholds_the_slots_that_would_tell_a_reading() {
    let dead_after_one_slot = (&[(4, 1), (4, 2), (4, 3)][..], &[1, 2, 3][..]);
    let two_slots_behind_a_cut = (&[(4, 0), (4, 1)][..], &[][..]);
    let two_halves = (&[(3, 0), (3, 1), (4, 2), (4, 3)][..], &[][..]);
    for (absent, open) in [dead_after_one_slot, two_slots_behind_a_cut, two_halves] {
        let mut billed = Billed::<Plain>::new(parameters::<Plain>(), absent);
        let street = &billed.street;
        let listed = Listed::read(&street.roster, &billed.listing(), BTreeMap::new()).unwrap();
        let open: Vec<_> = open.iter().map(|position| street.slot(*position)).collect();
        assert!(listed.open().iter().eq(&open), "{absent:?}");
        let claim = billed.claim(4, &[0]);
        assert_eq!(billed.ask_one(4, &claim).name(), "too-few-slots", "{absent:?}");
    }
}

#[test]
fn a_holder_refuses_a_set_in_which_a_register_is_missing() {
    let mut street = Region::<Plain>::open_with(MEMBERS, both_registers::<Plain>());
    let slot = street.end_slot(0);
    let mut played = street.play_all(slot, 1..MEMBERS);
    for register in [Register::Import, Register::Export] {
        let mut body = played[0].body.clone();
        body.registers.remove(&register);
        played[0].message = street.by_meter(1, &body);
        let error = EntryError::Registers;
        let refused = Answer::Refused(Reason::Entry { at: 0, error });
        assert_eq!(street.ask_region(HOLDER, slot, &messages(&played)), refused);
    }
}

#[test]
fn a_holder_refuses_proofs_whose_errors_cancel_out() {
    let (mut street, slot, mut listed) = ended::<ElGamal>();
    for (at, shift) in [(2, Scalar::ONE), (3, -Scalar::ONE)] {
        let mut body = street.play(at, slot, 1 << at).body;
        let answer = &mut body.registers.get_mut(&IMPORT).unwrap()[96..];
        let bent = Scalar::from_canonical_bytes((&*answer).try_into().unwrap()).unwrap() + shift;
        answer.copy_from_slice(bent.as_bytes());
        listed[at] = street.by_meter(at, &body);
    }
    let culprits = Reason::Proof(vec![meter_id(2), meter_id(3)]);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), Answer::Refused(culprits));
}

#[test]
fn a_holder_refuses_a_number_added_to_a_ciphertext() {
    let (mut street, slot, mut listed) = ended::<ElGamal>();
    let mut body = street.play(BENT, slot, 5).body;
    let c2 = &mut body.registers.get_mut(&IMPORT).unwrap()[32..64];
    let more = point(c2) + RistrettoPoint::mul_base(&Scalar::from(1000_u64));
    c2.copy_from_slice(more.compress().as_bytes());
    listed[BENT] = street.by_meter(BENT, &body);
    let refused = Answer::Refused(Reason::Proof(vec![meter_id(BENT)]));
    assert_eq!(street.ask_region(HOLDER, slot, &listed), refused);
}

/// What member 4 signs with R = 0, which the equation of RFC 8032 lets pass and
/// some of its implementations do not.
fn signed_without_a_nonce(street: &Street, body: &Contribution) -> Vec<u8> {
    let key = SigningKey::from_bytes(&meter_seed(BENT));
    let parts = Parts {
        protected: header(-8, meter_id(BENT).as_str(), context(1, 4, region_id().as_str(), 1)),
        unprotected: vec![0xa0],
        payload: encode(body),
        seed: meter_seed(BENT),
        binding: *street.roster.digest(),
    };
    parts.sign_with(|signed| {
        let mut signature = [0; 64];
        signature[0] = 1;
        let hashed = [&signature[..32], key.verifying_key().as_bytes(), signed].concat();
        let challenge = Scalar::from_bytes_mod_order_wide(&Sha512::digest(hashed).into());
        signature[32..].copy_from_slice((challenge * key.to_scalar()).as_bytes());
        signature
    })
}

#[test]
fn a_signature_that_not_everybody_lets_pass_is_refused_by_all() {
    let (mut street, slot, mut listed) = ended::<ElGamal>();
    let body = street.play(BENT, slot, 5).body;
    let message = signed_without_a_nonce(&street, &body);
    let said = street.send(&message);
    assert!(matches!(said[..], [Event::Rejected { name: "signature", .. }]), "{said:?}");
    listed[BENT] = message;
    let error = EntryError::Rejected(Rejection::Signature);
    let refused = Answer::Refused(Reason::Entry { at: BENT, error });
    assert_eq!(street.ask_region(HOLDER, slot, &listed), refused);
}

#[test]
fn a_generator_that_repeats_itself_gives_other_randomness_to_another_reading() {
    let points = [417, 418].map(|wh| {
        // Both machines draw the same.
        let mut street = Street::open(MEMBERS);
        let slot = street.end_slot(0);
        hidden(&street.contribution(HOLDER, slot, wh))
    });
    assert_ne!(points[0][..32], points[1][..32]);
    let readings = point(&points[1][32..64]) - point(&points[0][32..64]);
    assert_ne!(readings, RistrettoPoint::mul_base(&Scalar::ONE));
}

#[test]
fn an_eavesdropper_that_tries_every_reading_finds_none() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let heard = hidden(&street.contribution(HOLDER, slot, 417));
    let statement = street.roster.place().contribution(&meter_id(HOLDER), slot, IMPORT);
    let scheme = street.roster.scheme();
    let guess = |wh: &u64| {
        let (own, rng) = (DeviceSecret::new([0; 32]), &mut rng(1));
        let made = scheme.contribute(&own, *wh, Context(&statement), rng).0.to_bytes();
        made[..64] == heard[..64]
    };
    assert_eq!((0..1000).find(guess), None);
}

#[test]
fn a_meter_refuses_an_empty_group_key_and_takes_the_true_one() {
    let mut street = Founding::<ElGamal>::of(MEMBERS);
    let honest = street.signed();
    street.roster.group_key.clear();
    let empty = street.signed();
    assert_eq!(street.offer(&empty), Event::RosterRefused(RosterError::GroupKey));
    assert!(matches!(street.offer(&honest), Event::Joined { .. }));
}

/// The parameter for which a meter refuses an invitation.
fn refused(bend: impl FnOnce(&mut Parameters)) -> &'static str {
    let mut low = invitation(MEMBERS, parameters::<Plain>());
    bend(&mut low.parameters);
    let mut meter = new_meter::<Plain>(0, START);
    meter.handle_message(&registrar().invite(&region_id(), EPOCH, &low), START);
    match &events(&drain(&mut meter))[..] {
        [Event::InvitationRefused { error: InvitationError::Parameter(error), .. }] => error.key,
        said => panic!("{said:?}"),
    }
}

#[test]
fn a_meter_refuses_a_threshold_of_one() {
    assert_eq!(refused(|given| given.threshold = Threshold::Of(1)), "threshold");
}

#[test]
fn a_meter_refuses_a_threshold_under_which_two_quorums_part() {
    // Three of five and three of five may have one member in common, which
    // may be the one that colludes.
    let bend = |given: &mut Parameters| given.threshold = Threshold::Of(3);
    assert_eq!(refused(bend), "max_corrupted");
}

#[test]
fn a_meter_refuses_windows_of_one_slot() {
    assert_eq!(refused(|given| given.window_slots = std::num::NonZeroU32::MIN), "window_slots");
}

#[test]
fn a_member_speaks_for_itself_alone() {
    let (mut street, slot, mut listed) = ended::<Plain>();
    let body = street.play(1, slot, 5).body;
    let place = (street.roster.region(), street.roster.epoch(), Sender::Meter(meter_id(1)));
    let forged = protocol::envelope::seal(&meter_identity(2), place, street.roster.digest(), &body);
    listed[1] = forged.clone();
    let error = EntryError::Rejected(Rejection::Signature);
    let refused = Answer::Refused(Reason::Entry { at: 1, error });
    assert_eq!(street.ask_region(HOLDER, slot, &listed), refused);
    let said = street.send(&forged);
    assert!(matches!(said[..], [Event::Rejected { name: "signature", .. }]), "{said:?}");
}
