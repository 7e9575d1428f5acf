//! What a holder refuses to open: region rounds. The test holds the keys of
//! the collector and of every member but the holder.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::time::Duration;

use aggregation::{
    Canonical as _, Context, DecodeError, ElGamal, Participant, Plain, Scheme as _, Stored as _,
};
use common::bent::AnyContribution;
use common::region::{
    Answer, HOLDER, IMPORT, MEMBERS, Region, ended, messages, portion, region_request,
};
use common::{events, meter_id, meter_identity, region_id, rng};
use curve25519_dalek::ristretto::CompressedRistretto;
use protocol::entry::EntryError;
use protocol::envelope::{Envelope, Rejection, encode, seal};
use protocol::evidence::{About, Evidence};
use protocol::id::{Digest, Epoch, RegionId, Sender};
use protocol::message::{Contribution, Refusal};
use protocol::output::Event;
use protocol::record::Sort;
use protocol::release::{self, Guard, Reason};
use protocol::slot::{Slot, Window};
use serde_bytes::ByteBuf;

type Street = Region<ElGamal>;
type PlainStreet = Region<Plain>;

const NEEDED: usize = 4;

/// The answer to a list in which the last contribution is replaced.
fn with_last(make: impl FnOnce(&mut Street, Slot) -> Vec<u8>) -> Answer {
    let (mut street, slot, mut listed) = ended();
    *listed.last_mut().unwrap() = make(&mut street, slot);
    street.ask_region(HOLDER, slot, &listed)
}

/// A contribution of the last member with other 32 bytes at a position.
fn with_bytes(at: usize, bytes: [u8; 32]) -> Answer {
    with_last(|street, slot| {
        let mut body = street.play(MEMBERS - 1, slot, 5).body;
        body.registers.get_mut(&IMPORT).unwrap()[32 * at..][..32].copy_from_slice(&bytes);
        street.by_meter(MEMBERS - 1, &body)
    })
}

fn entry(at: usize, error: impl Into<EntryError>) -> Answer {
    Answer::Refused(Reason::Entry { at, error: error.into() })
}

fn decode(error: DecodeError) -> Answer {
    entry(MEMBERS - 1, EntryError::Decode { register: IMPORT, error })
}

fn too_few(found: usize) -> Answer {
    Answer::Refused(Reason::TooFew { found, needed: NEEDED })
}

#[test]
fn a_holder_helps_with_the_sum_of_all() {
    let (mut street, slot, listed) = ended::<ElGamal>();
    let answer = street.ask_region(HOLDER, slot, &listed);
    let Answer::Share(share) = answer else { panic!("{answer:?}") };
    let digest = release::digest(&region_request(slot, &listed));
    assert_eq!(street.share(&share).request, digest);
}

#[test]
fn a_holder_refuses_to_open_a_single_reading() {
    let (mut street, slot, listed) = ended::<ElGamal>();
    for one in &listed {
        assert_eq!(street.ask_region(HOLDER, slot, std::slice::from_ref(one)), too_few(1));
    }
}

#[test]
fn a_holder_refuses_a_sum_of_too_few() {
    let (mut street, slot, listed) = ended::<Plain>();
    for found in 0..NEEDED {
        assert_eq!(street.ask_region(HOLDER, slot, &listed[..found]), too_few(found));
    }
    assert_eq!(street.ask_region(HOLDER, slot, &listed[..NEEDED]).name(), "share");
}

#[test]
fn a_holder_helps_with_a_set_that_leaves_it_out() {
    let (mut street, slot, listed) = ended::<Plain>();
    assert_eq!(street.ask_region(HOLDER, slot, &listed[1..]).name(), "share");
}

#[test]
fn a_holder_refuses_another_contribution_under_its_name() {
    let (mut street, slot, mut listed) = ended::<ElGamal>();
    listed[HOLDER] = street.play(HOLDER, slot, 1).message;
    let altered = Answer::Refused(Reason::OwnAltered);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), altered);
}

#[test]
fn a_holder_that_contributed_nothing_refuses_what_bears_its_name() {
    let mut street = PlainStreet::open(MEMBERS);
    let slot = street.end_slot(0);
    let listed = messages(&street.play_all(slot, 0..MEMBERS));
    let altered = Answer::Refused(Reason::OwnAltered);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), altered);
}

#[test]
fn a_holder_refuses_its_own_contribution_of_another_slot() {
    let (mut street, _, listed) = ended::<ElGamal>();
    let next = street.end_slot(1);
    street.contribution(HOLDER, next, 1);
    let mut replayed = vec![listed[HOLDER].clone()];
    replayed.extend(messages(&street.play_all(next, 1..MEMBERS)));
    assert_eq!(street.ask_region(HOLDER, next, &replayed), Answer::Refused(Reason::Target(0)));
}

#[test]
fn a_holder_refuses_a_member_that_stands_in_the_list_twice() {
    let (mut street, slot, mut listed) = ended::<ElGamal>();
    let twice = Answer::Refused(Reason::Twice(meter_id(2)));
    listed[1] = listed[2].clone();
    assert_eq!(street.ask_region(HOLDER, slot, &listed), twice);
    listed[1] = street.play(2, slot, 9).message;
    assert_eq!(street.ask_region(HOLDER, slot, &listed), twice);
}

#[test]
fn a_holder_refuses_negated_contributions_around_a_victim() {
    let (mut street, slot, mut listed) = ended::<ElGamal>();
    // Member 3 is the victim: members 1 and 2 subtract what the holder and member 4 contribute.
    for (corrupted, of) in [(1, HOLDER), (2, 4)] {
        let envelope = Envelope::parse(&listed[of]).unwrap();
        let mut body: Contribution = envelope.peek().unwrap();
        let hidden = body.registers.get_mut(&IMPORT).unwrap();
        for point in hidden.chunks_mut(32).take(2) {
            let opposite = -CompressedRistretto::from_slice(point).unwrap().decompress().unwrap();
            point.copy_from_slice(opposite.compress().as_bytes());
        }
        listed[corrupted] = street.by_meter(corrupted, &body);
    }
    let culprits = Answer::Refused(Reason::Proof(vec![meter_id(1), meter_id(2)]));
    assert_eq!(street.ask_region(HOLDER, slot, &listed), culprits);
}

#[test]
fn a_holder_refuses_a_ciphertext_that_was_copied_from_another_member() {
    let answer = with_last(|street, slot| {
        let copied = street.play(1, slot, 9).body;
        street.by_meter(MEMBERS - 1, &copied)
    });
    assert_eq!(answer, Answer::Refused(Reason::Proof(vec![meter_id(MEMBERS - 1)])));
}

#[test]
fn a_holder_refuses_a_members_ciphertext_of_another_slot() {
    let answer = with_last(|street, slot| {
        let earlier = street.play(MEMBERS - 1, slot.plus(1), 9).body;
        street.by_meter(MEMBERS - 1, &Contribution { slot, ..earlier })
    });
    assert_eq!(answer, Answer::Refused(Reason::Proof(vec![meter_id(MEMBERS - 1)])));
}

#[test]
fn a_holder_refuses_a_contribution_of_another_slot() {
    let answer = with_last(|street, slot| street.play(MEMBERS - 1, slot.plus(1), 9).message);
    assert_eq!(answer, Answer::Refused(Reason::Target(MEMBERS - 1)));
}

#[test]
fn a_holder_refuses_a_contribution_of_another_epoch_region_or_roster() {
    let elsewhere = |region: RegionId, epoch: Epoch, other_roster: bool| {
        with_last(|street, slot| {
            let body = street.play(MEMBERS - 1, slot, 9).body;
            let place = (&region, epoch, Sender::Meter(meter_id(MEMBERS - 1)));
            let binding = if other_roster { Digest::NONE } else { *street.roster.digest() };
            seal(&meter_identity(MEMBERS - 1), place, &binding, &body)
        })
    };
    let rejected = |rejection: Rejection| entry(MEMBERS - 1, rejection);
    let south = "south-01".parse().unwrap();
    assert_eq!(elsewhere(region_id(), Epoch(2), false), rejected(Rejection::Epoch));
    assert_eq!(elsewhere(south, Epoch(1), false), rejected(Rejection::Region));
    assert_eq!(elsewhere(region_id(), Epoch(1), true), rejected(Rejection::Signature));
}

#[test]
fn a_holder_refuses_a_contribution_of_a_stranger() {
    let answer = with_last(|street, slot| street.play(MEMBERS, slot, 9).message);
    assert_eq!(answer, entry(MEMBERS - 1, Rejection::Sender));
}

#[test]
fn a_holder_refuses_what_is_no_contribution() {
    let garbage = with_last(|_, _| b"garbage".to_vec());
    assert_eq!(garbage, entry(MEMBERS - 1, Rejection::Malformed));
    let other_kind = with_last(|street, slot| street.by_meter(4, &region_request(slot, &[])));
    assert_eq!(other_kind, entry(MEMBERS - 1, Rejection::Kind));
    let no_registers = with_last(|street, slot| {
        let body = (slot, ciborium::Value::Map(vec![]));
        let body = ciborium::from_reader(encode(&body).as_slice()).unwrap();
        street.by_meter(4, &AnyContribution(body))
    });
    assert_eq!(no_registers, entry(MEMBERS - 1, EntryError::Registers));
}

#[test]
fn a_holder_refuses_an_identity_point_in_each_position() {
    for (at, name) in [(0, "C1"), (1, "C2"), (2, "A")] {
        assert_eq!(with_bytes(at, [0; 32]), decode(DecodeError::Identity(name)));
    }
}

#[test]
fn a_holder_refuses_what_is_not_canonical_in_each_position() {
    for (at, name) in [(0, "C1"), (1, "C2"), (2, "A"), (3, "z")] {
        assert_eq!(with_bytes(at, [0xff; 32]), decode(DecodeError::NotCanonical(name)));
    }
}

#[test]
fn a_holder_refuses_a_contribution_of_another_length() {
    let answer = with_last(|street, slot| {
        let mut body = street.play(MEMBERS - 1, slot, 9).body;
        body.registers.get_mut(&IMPORT).unwrap().push(0);
        street.by_meter(MEMBERS - 1, &body)
    });
    assert_eq!(answer, decode(DecodeError::Length { expected: 128, found: 129 }));
}

#[test]
fn a_holder_refuses_contributions_that_cancel_out() {
    let mut street = PlainStreet::open(MEMBERS);
    let slot = street.end_slot(0);
    let marks = [1, 2, 3, 6_u64.wrapping_neg()];
    let listed = (1..).zip(marks).map(|(at, mark): (usize, u64)| {
        let known = [[0; 8], mark.to_be_bytes()].concat();
        let known = aggregation::plain::Retained::from_stored(&known).unwrap();
        let statement = street.roster.place().contribution(&meter_id(at), slot, IMPORT);
        let scheme = street.roster.scheme();
        let hidden = scheme.claim(&[&known], Context(&statement), &mut rng(1)).unwrap();
        let registers = [(IMPORT, ByteBuf::from(hidden.to_bytes()))].into();
        street.by_meter(at, &Contribution { slot, registers, range_proof: None })
    });
    let listed: Vec<_> = listed.collect();
    let identity = Answer::Refused(Reason::Identity);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), identity);
}

#[test]
fn a_holder_answers_one_set_of_a_slot_for_ever() {
    let (mut street, slot, listed) = ended::<ElGamal>();
    let first = street.ask_region(HOLDER, slot, &listed);
    let answered = release::digest(&region_request(slot, &listed));
    let refused = Answer::Refused(Reason::Answered(answered));
    for leave_out in 0..MEMBERS {
        let mut other = listed.clone();
        other.remove(leave_out);
        assert_eq!(street.ask_region(HOLDER, slot, &other), refused);
    }
    let mut reordered = listed.clone();
    reordered.swap(0, 1);
    assert_eq!(street.ask_region(HOLDER, slot, &reordered), refused);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), first);
}

#[test]
fn a_refusal_names_the_set_that_was_answered() {
    let (mut street, slot, listed) = ended::<Plain>();
    street.ask_region(HOLDER, slot, &listed);
    let second = region_request(slot, &listed[1..]);
    let outputs = street.tell(HOLDER, &street.by_collector(&second));
    let [refusal] = &common::published(&outputs, "/refusal")[..] else { panic!("{outputs:?}") };
    let envelope = Envelope::parse(refusal).unwrap();
    let (from, body): (_, Refusal) = street.roster.open_from_member(&envelope).unwrap();
    let answered = Some(release::digest(&region_request(slot, &listed)));
    let request = release::digest(&second);
    assert_eq!(from, meter_id(HOLDER));
    assert_eq!(body, Refusal { request, reason: "answered".to_owned(), answered });
}

#[test]
fn a_second_set_for_a_slot_is_evidence_against_the_collector_once() {
    let (mut street, slot, listed) = ended::<ElGamal>();
    street.ask_region(HOLDER, slot, &listed);
    let accused = |street: &mut Street, leave_out: usize| {
        let mut other = listed.clone();
        other.remove(leave_out);
        let second = street.by_collector(&region_request(slot, &other));
        let said = events(&street.tell(HOLDER, &second));
        said.into_iter().find_map(|event| match event {
            Event::Evidence(accusation) => Some(accusation),
            _ => None,
        })
    };
    let accusation = accused(&mut street, 1).unwrap();
    assert_eq!((accusation.party, accusation.about), (Sender::Collector, About::Sets(slot)));
    assert_eq!(accused(&mut street, 2), None);
    let kept: Vec<_> = street.disks[HOLDER].of(Sort::Evidence).collect();
    let [(_, bytes)] = kept[..] else { panic!("no one evidence") };
    let evidence: Evidence = ciborium::from_reader(bytes).unwrap();
    assert_eq!(evidence.key, common::collector_identity().key());
    assert_eq!(evidence.check().unwrap().about, About::Sets(slot));
}

#[test]
fn what_another_signed_is_no_evidence() {
    let (mut street, slot, listed) = ended::<Plain>();
    street.ask_region(HOLDER, slot, &listed);
    let second = street.by_meter(1, &region_request(slot, &listed[1..]));
    street.tell(HOLDER, &second);
    street.ask_region(HOLDER, slot, &listed);
    assert_eq!(street.disks[HOLDER].of(Sort::Evidence).count(), 0);
}

#[test]
fn a_holder_publishes_one_refusal_a_second_and_counts_them_all() {
    let (mut street, slot, listed) = ended::<Plain>();
    let request = street.by_collector(&region_request(slot, &listed[..1]));
    let mut published = 0;
    for _ in 0..20 {
        let outputs = street.tell(HOLDER, &request);
        published += common::published(&outputs, "/refusal").len();
        street.now = street.now + Duration::from_millis(100);
    }
    assert_eq!(published, 2);
    assert_eq!(street.meters[HOLDER].counters().get("refused"), Some(&20));
}

#[test]
fn a_guard_forgets_the_windows_before_one_and_no_later_window() {
    let mut street = PlainStreet::open(MEMBERS);
    street.run_slots(0..8);
    let own = (Participant(0), meter_id(HOLDER));
    let mut guard = Guard::new(street.secret(HOLDER), own, street.now);
    guard.restore(&street.roster, &street.disks[HOLDER]).unwrap();
    let answered = |guard: &Guard<Plain>| {
        let sets = [0, 3, 4, 7].map(|position| guard.set(street.slot(position)).is_some());
        (sets, [0, 1].map(|window| guard.has_billed(portion(window))))
    };
    assert_eq!(answered(&guard), ([true; 4], [true; 2]));
    guard.forget(Window(1), street.slot(4));
    assert_eq!(answered(&guard), ([false, false, true, true], [false, true]));
}
