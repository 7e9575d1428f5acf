//! Whom a holder answers, and when.
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
use common::region::{
    Answer, HOLDER, MEMBERS, Region, bill_request, ended, messages, portion, region_request,
};
use common::{drain, events, meter_id, meter_identity, region_id};
use protocol::envelope::seal;
use protocol::id::{Digest, Epoch, RegionId, Sender};
use protocol::message::Request;
use protocol::output::Event;
use protocol::release::Reason;
use protocol::slot::Slot;

type PlainStreet = Region<Plain>;

#[test]
fn a_holder_refuses_a_slot_that_ended_before_it_started() {
    let (mut street, slot, listed) = ended::<Plain>();
    street.restart(HOLDER);
    // Started in the very instant in which the slot ended.
    let refused = Answer::Refused(Reason::BeforeStart);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), refused);
    let next = street.end_slot(1);
    let listed = messages(&street.play_all(next, 1..MEMBERS));
    assert_eq!(street.ask_region(HOLDER, next, &listed).name(), "share");
}

#[test]
fn a_restarted_holder_gives_its_answer_again_and_no_other() {
    let (mut street, slot, listed) = ended::<ElGamal>();
    let first = street.ask_region(HOLDER, slot, &listed);
    street.restart(HOLDER);
    let answered = protocol::release::digest(&region_request(slot, &listed));
    let refused = Answer::Refused(Reason::Answered(answered));
    assert_eq!(street.ask_region(HOLDER, slot, &listed[1..]), refused);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), first);
}

#[test]
fn an_answered_slot_past_its_deadline_gets_no_answer_again() {
    let (mut street, slot, listed) = ended::<Plain>();
    assert_eq!(street.ask_region(HOLDER, slot, &listed).name(), "share");
    let deadline = street.roster.slot_closes(slot) + Duration::from_hours(2);
    street.now = deadline + Duration::from_millis(1);
    let refused = Answer::Refused(Reason::PastDeadline);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), refused);
}

#[test]
fn a_holder_refuses_a_slot_that_has_not_ended() {
    let (mut street, slot, _) = ended::<Plain>();
    let next = slot.plus(1);
    let listed = messages(&street.play_all(next, 1..MEMBERS));
    let refused = Answer::Refused(Reason::NotEnded);
    let end = street.roster.grid().end(next);
    for now in [street.now, end - Duration::from_millis(1)] {
        street.now = now;
        assert_eq!(street.ask_region(HOLDER, next, &listed), refused);
    }
    street.now = end;
    assert_eq!(street.ask_region(HOLDER, next, &listed).name(), "share");
}

#[test]
fn a_holder_refuses_a_slot_past_its_deadline() {
    let (mut street, slot, listed) = ended::<Plain>();
    let deadline = street.roster.slot_closes(slot) + Duration::from_hours(2);
    street.now = deadline + Duration::from_millis(1);
    let refused = Answer::Refused(Reason::PastDeadline);
    assert_eq!(street.ask_region(HOLDER, slot, &listed), refused);
    street.now = deadline;
    assert_eq!(street.ask_region(HOLDER, slot, &listed).name(), "share");
}

#[test]
fn a_holder_refuses_a_slot_outside_the_epoch() {
    let mut street = PlainStreet::open(MEMBERS);
    street.end_slot(20);
    for slot in [street.slot(16), Slot(street.slot(0).0 - 1), Slot(0), Slot(u64::MAX)] {
        let listed = messages(&street.play_all(slot, 1..MEMBERS));
        assert_eq!(street.ask_region(HOLDER, slot, &listed), Answer::Refused(Reason::Outside));
    }
    let bill = bill_request(portion(u64::MAX), &[]);
    assert_eq!(street.ask(HOLDER, &bill), Answer::Refused(Reason::Outside));
}

#[test]
fn what_a_holder_has_forgotten_is_past_its_deadline() {
    let mut street = PlainStreet::open(MEMBERS);
    let slot = street.end_slot(3);
    let listed = messages(&street.play_all(slot, 1..MEMBERS));
    assert_eq!(street.ask_region(HOLDER, slot, &listed).name(), "share");
    // The last instant at which the last slot of the window may be opened.
    street.now = street.roster.slot_closes(slot) + Duration::from_hours(2);
    street.meters[HOLDER].handle_timeout(street.now);
    street.drain(HOLDER);
    let other = messages(&street.play_all(slot, 1..MEMBERS));
    assert_ne!(street.ask_region(HOLDER, slot, &other).name(), "share");
}

#[test]
fn a_clock_that_is_set_back_opens_no_second_set() {
    let (mut street, slot, listed) = ended::<Plain>();
    assert_eq!(street.ask_region(HOLDER, slot, &listed).name(), "share");
    let before = street.now;
    street.end_slot(15);
    street.meters[HOLDER].handle_timeout(street.now);
    street.drain(HOLDER);
    street.now = before;
    assert_ne!(street.ask_region(HOLDER, slot, &listed[1..]).name(), "share");
}

#[test]
fn a_holder_answers_only_the_collector_of_its_roster() {
    let (mut street, slot, listed) = ended::<ElGamal>();
    let request = region_request(slot, &listed);
    let rejected = |sender, name| Answer::Rejected(Some(sender), name);
    let by_member = street.by_meter(1, &request);
    let answer = street.ask_with(HOLDER, &by_member);
    assert_eq!(answer, rejected(Sender::Meter(meter_id(1)), "sender"));
    let place = (&region_id(), Epoch(1), Sender::Collector);
    let forged = seal(&meter_identity(1), place, street.roster.digest(), &request);
    assert_eq!(street.ask_with(HOLDER, &forged), rejected(Sender::Collector, "signature"));
}

#[test]
fn a_holder_answers_no_request_of_another_epoch_region_or_roster() {
    let (mut street, slot, listed) = ended::<Plain>();
    let request = region_request(slot, &listed);
    let south = "south-01".parse().unwrap();
    let digest = *street.roster.digest();
    let collector = common::collector_identity();
    let mut name = |region: &RegionId, epoch, binding: &Digest| {
        let message = seal(&collector, (region, epoch, Sender::Collector), binding, &request);
        street.ask_with(HOLDER, &message).name().to_owned()
    };
    assert_eq!(name(&region_id(), Epoch(2), &digest), "epoch");
    assert_eq!(name(&south, Epoch(1), &digest), "region");
    assert_eq!(name(&region_id(), Epoch(1), &Digest::NONE), "signature");
}

#[test]
fn an_unsigned_request_is_rejected() {
    let (mut street, slot, listed) = ended::<Plain>();
    let mut request = street.by_collector(&region_request(slot, &listed));
    let length = request.len();
    request[length - 64..].fill(0);
    assert_eq!(street.ask_with(HOLDER, &request).name(), "signature");
    request.truncate(length - 66);
    request.push(0x40);
    assert_eq!(street.ask_with(HOLDER, &request).name(), "signature");
}

#[test]
fn a_meter_that_is_no_member_yet_helps_nobody() {
    let (street, slot, listed) = ended::<Plain>();
    let mut meter = common::new_meter::<Plain>(HOLDER, common::START);
    let request: Request = region_request(slot, &listed);
    meter.handle_message(&street.by_collector(&request), street.now);
    let said = events(&drain(&mut meter));
    assert!(matches!(said[..], [Event::Rejected { name: "epoch", .. }]), "{said:?}");
}
