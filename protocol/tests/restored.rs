//! What a meter does with the records of an earlier start: its own, those that
//! a crash left, and those of an older disk that was put back.
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
use common::billed::{ALL, Billed, PORTION};
use common::founding::{EPOCH, invitation};
use common::region::{Answer, HOLDER, IMPORT, MEMBERS, Region, ended, messages, region_request};
use common::{
    Kit, START, copy, drain, events, meter_id, meter_identity, meter_terms, new_meter, parameters,
    persisted, published, region_id, registrar, rng,
};
use protocol::listing;
use protocol::message::{Claim, Target};
use protocol::meter::Meter;
use protocol::output::{Event, Obstacle, Output, SlotError};
use protocol::record::{Change, Key, Records, Sort};
use protocol::release::{self, Reason};
use protocol::slot::Slot;

/// What a meter makes of a message, with nothing of it carried out.
fn made<S: Kit>(street: &mut Region<S>, message: &[u8]) -> Vec<Output> {
    street.meters[HOLDER].handle_message(message, street.now);
    drain(&mut street.meters[HOLDER])
}

/// Puts the first changes among outputs on the holder's disk, up to the first
/// publication.
fn crash<S: Kit>(street: &mut Region<S>, outputs: Vec<Output>) {
    for output in outputs {
        match output {
            Output::Persist(change) => street.disks[HOLDER].apply(change),
            Output::Publish(_) => return,
            Output::Event(_) => {}
        }
    }
}

/// The first publication, with the keys that are written before it.
fn first_leaving(outputs: &[Output]) -> (Vec<Key>, &str) {
    let mut written = Vec::new();
    for output in outputs {
        match output {
            Output::Persist(Change::Write(key, _)) => written.push(key.clone()),
            Output::Publish(publication) => return (written, &publication.topic),
            _ => {}
        }
    }
    panic!("nothing leaves: {outputs:?}")
}

/// The holder's disk as it is.
fn before_the_slot<S: Kit>(street: &Region<S>) -> Records {
    copy(&street.disks[HOLDER], Sort::ALL)
}

/// The holder's disk as it was before the roster came.
fn before_the_roster<S: Kit>(street: &Region<S>) -> Records {
    let invitation = invitation(MEMBERS, street.body().parameters.clone());
    let mut candidate = new_meter::<S>(HOLDER, START);
    candidate.handle_message(&registrar().invite(&region_id(), EPOCH, &invitation), START);
    persisted(drain(&mut candidate))
}

/// What a holder whose disk was put back says to the set that it answered and
/// to another one.
fn after_roll_back(older: impl FnOnce(&Region<ElGamal>) -> Records) -> [Answer; 2] {
    let (mut street, slot, listed) = ended::<ElGamal>();
    let older = older(&street);
    assert_eq!(street.ask_region(HOLDER, slot, &listed).name(), "share");
    street.now = street.now + Duration::from_secs(1);
    street.roll_back(HOLDER, older);
    let roster = street.signed_roster.clone();
    street.tell(HOLDER, &roster);
    [&listed[1..], &listed[..]].map(|set| street.ask_region(HOLDER, slot, set))
}

#[test]
fn a_ledger_that_was_rolled_back_opens_no_second_set() {
    let refused = || Answer::Refused(Reason::BeforeStart);
    assert_eq!(after_roll_back(before_the_slot), [refused(), refused()]);
}

#[test]
fn a_state_directory_that_was_rolled_back_opens_no_second_set() {
    let refused = || Answer::Refused(Reason::BeforeStart);
    assert_eq!(after_roll_back(before_the_roster), [refused(), refused()]);
}

#[test]
fn a_disk_that_was_rolled_back_encrypts_no_slot_again() {
    for older in [before_the_slot::<Plain>, before_the_roster] {
        let mut street = Region::<Plain>::open(MEMBERS);
        let older = older(&street);
        let slot = street.end_slot(0);
        street.contribution(HOLDER, slot, 417);
        street.roll_back(HOLDER, older);
        let roster = street.signed_roster.clone();
        street.tell(HOLDER, &roster);
        let outputs = street.read(HOLDER, slot, 418);
        assert_eq!(events(&outputs), [again(slot)]);
        assert!(published(&outputs, "/contribution").is_empty());
    }
}

fn again(slot: Slot) -> Event {
    Event::SlotRefused { slot, error: SlotError::Again }
}

#[test]
fn no_share_leaves_before_the_ledger_is_durable() {
    let (mut street, slot, listed) = ended::<Plain>();
    let request = region_request(slot, &listed);
    let message = street.by_collector(&request);
    let outputs = made(&mut street, &message);
    let (written, topic) = first_leaving(&outputs);
    let key = Key::answer(street.roster.epoch(), Target::Region(slot), &release::digest(&request));
    assert!(written.contains(&key) && topic.ends_with("/share"), "{outputs:?}");
}

#[test]
fn no_contribution_leaves_before_it_and_the_mark_are_durable() {
    let mut street = Region::<Plain>::open(MEMBERS);
    let slot = street.end_slot(0);
    street.meters[HOLDER].handle_reading(slot, &[(IMPORT, 1)].into(), street.now);
    let outputs = drain(&mut street.meters[HOLDER]);
    let (written, topic) = first_leaving(&outputs);
    assert_eq!(written, [Key::sent(street.roster.epoch(), slot), Key::mark()]);
    assert!(topic.ends_with("/contribution"));
}

#[test]
fn a_crash_between_ledger_and_share_leads_to_the_same_share() {
    let (mut street, slot, listed) = ended::<ElGamal>();
    let request = street.by_collector(&region_request(slot, &listed));
    let outputs = made(&mut street, &request);
    let lost = published(&outputs, "/share").pop().unwrap();
    crash(&mut street, outputs);
    street.restart(HOLDER);
    assert_eq!(street.ask_region(HOLDER, slot, &listed[1..]).name(), "answered");
    assert_eq!(street.ask_with(HOLDER, &request), Answer::Share(lost));
}

#[test]
fn a_crash_before_the_ledger_opens_nothing_later() {
    let (mut street, slot, listed) = ended::<ElGamal>();
    let request = street.by_collector(&region_request(slot, &listed));
    // Neither the ledger nor the share is anywhere.
    made(&mut street, &request);
    street.restart(HOLDER);
    let refused = || Answer::Refused(Reason::BeforeStart);
    assert_eq!(street.ask_with(HOLDER, &request), refused());
    assert_eq!(street.ask_region(HOLDER, slot, &listed[1..]), refused());
}

#[test]
fn a_clock_that_was_set_back_encrypts_no_slot_again() {
    let mut street = Region::<Plain>::open(MEMBERS);
    let slots = [street.end_slot(0), street.end_slot(1)];
    street.contribution(HOLDER, slots[1], 417);
    let now = std::mem::replace(&mut street.now, START);
    street.restart(HOLDER);
    street.now = now;
    for slot in slots {
        assert_eq!(events(&street.read(HOLDER, slot, 418)), [again(slot)]);
    }
    let next = street.end_slot(2);
    street.contribution(HOLDER, next, 1);
}

#[test]
fn a_clock_that_was_set_back_opens_nothing_that_was_forgotten() {
    let (mut street, slot, listed) = ended::<Plain>();
    assert_eq!(street.ask_region(HOLDER, slot, &listed).name(), "share");
    let then = street.now;
    let last = street.end_slot(15);
    street.meters[HOLDER].handle_timeout(street.now);
    street.drain(HOLDER);
    // What is erased rides along with the next contribution.
    assert_eq!(street.disks[HOLDER].of(Sort::Answer).count(), 1);
    street.contribution(HOLDER, last, 1);
    assert_eq!(street.disks[HOLDER].of(Sort::Answer).count(), 0);
    street.now = START;
    street.restart(HOLDER);
    street.now = then;
    let refused = Answer::Refused(Reason::PastDeadline);
    assert_eq!(street.ask_region(HOLDER, slot, &listed[1..]), refused);
}

#[test]
fn a_clock_that_jumped_far_ahead_forgets_the_epoch_and_no_later_one() {
    let (mut street, ..) = ended::<Plain>();
    street.now = street.now + Duration::from_hours(24 * 365 * 10);
    street.meters[HOLDER].handle_timeout(street.now);
    street.drain(HOLDER);
    let mark = street.disks[HOLDER].get(&Key::mark()).unwrap();
    let [_, forgotten]: [u64; 2] = ciborium::from_reader(mark).unwrap();
    assert_eq!(forgotten, street.roster.grid().start(street.body().end_slot).0);
}

#[test]
fn a_meter_that_restarts_amid_a_window_is_billed_for_all_of_it() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slots(0..2);
    (0..MEMBERS).for_each(|at| drop(street.restart(at)));
    street.run_slots(2..4);
    let bills = street.results().split_off(4);
    let covered: Vec<_> = bills.iter().map(|bill| (bill.sum_wh, bill.slots)).collect();
    assert_eq!(covered, [(4, 4), (8, 4), (16, 4), (32, 4), (64, 4)]);
}

#[test]
fn a_restarted_owner_claims_again_with_the_same_bytes_alone() {
    let mut billed = Billed::<ElGamal>::honest();
    let claim = published(&billed.said, "/claim");
    billed.street.restart(HOLDER);
    billed.hear(3);
    assert!(published(&billed.said, "/claim").is_empty());
    billed.street.meters[HOLDER].handle_connected(billed.street.now);
    assert_eq!(published(&billed.street.drain(HOLDER), "/claim"), claim);
    assert_eq!(billed.ask(&claim).name(), "share");
    billed.street.restart(HOLDER);
    billed.street.meters[HOLDER].handle_connected(billed.street.now);
    assert!(published(&billed.street.drain(HOLDER), "/claim").is_empty());
}

#[test]
fn an_owner_that_crashed_before_its_claim_left_says_it_at_its_start() {
    let mut billed = Billed::<ElGamal>::ended(parameters::<ElGamal>(), &[], &ALL);
    let listing = billed.listing();
    let message = billed.street.final_listing(&listing, 0..MEMBERS);
    let outputs = made(&mut billed.street, &message);
    assert_eq!(published(&outputs, "/claim").len(), 1);
    crash(&mut billed.street, outputs);
    billed.street.restart(HOLDER);
    billed.street.meters[HOLDER].handle_connected(billed.street.now);
    billed.said = billed.street.drain(HOLDER);
    assert_eq!(billed.claimed().listing, listing::digest(&listing));
}

/// The points of a claim's sum.
fn points(claim: &Claim) -> Vec<u8> {
    claim.registers[&IMPORT][..64].to_vec()
}

#[test]
fn an_owner_that_was_rolled_back_claims_the_same_sum_or_nothing() {
    let mut billed = Billed::<ElGamal>::ended(parameters::<ElGamal>(), &[], &ALL);
    let before = || copy(&billed.street.disks[HOLDER], Sort::ALL);
    let (older, mut oldest) = (before(), before());
    let listing = billed.listing();
    billed.settle(&listing);
    let first = billed.claimed();
    // Its claim is lost, what it contributed is not.
    billed.street.roll_back(HOLDER, older);
    billed.settle(&listing);
    assert_eq!(points(&billed.claimed()), points(&first));
    // The last slot is lost as well.
    oldest.apply(Change::Erase(Key::sent(billed.street.roster.epoch(), billed.street.slot(3))));
    billed.street.roll_back(HOLDER, oldest);
    billed.settle(&listing);
    assert!(published(&billed.said, "/claim").is_empty());
    let (portion, slot, why) = (PORTION, billed.street.slot(3), Obstacle::Lost);
    assert!(events(&billed.said).contains(&Event::NotClaimed { portion, slot, why }));
}

#[test]
fn a_restarted_holder_opens_bills_and_refuses_a_second_claim() {
    let mut billed = Billed::<ElGamal>::honest();
    billed.street.now = billed.street.now + Duration::from_secs(1);
    billed.street.restart(HOLDER);
    let honest = billed.signed_claim(1, &ALL);
    let first = billed.ask(std::slice::from_ref(&honest));
    assert_eq!(first.name(), "share");
    billed.street.restart(HOLDER);
    let second = billed.signed_claim(1, &[0, 1, 2]);
    assert_eq!(billed.ask(&[second]), Answer::Refused(Reason::SecondClaim(meter_id(1))));
    assert_eq!(billed.ask(&[honest]), first);
}

#[test]
fn a_holder_whose_ledger_was_rolled_back_opens_no_bill_without_it() {
    let mut billed = Billed::<Plain>::honest();
    let older = copy(&billed.street.disks[HOLDER], &[Sort::KeyShare, Sort::Roster]);
    billed.street.roll_back(HOLDER, older);
    let claim = billed.signed_claim(1, &ALL);
    assert_eq!(billed.ask(&[claim]), Answer::Refused(Reason::NotFinal));
}

#[test]
fn two_sets_are_evidence_after_a_restart_once_the_first_is_at_hand() {
    let (mut street, slot, listed) = ended::<Plain>();
    let first = street.by_collector(&region_request(slot, &listed));
    let second = street.by_collector(&region_request(slot, &listed[1..]));
    street.tell(HOLDER, &first);
    street.restart(HOLDER);
    let mut evidence = |message: &[u8]| {
        street.tell(HOLDER, message);
        street.disks[HOLDER].of(Sort::Evidence).count()
    };
    assert_eq!([evidence(&second), evidence(&first), evidence(&second)], [0, 0, 1]);
    street.restart(HOLDER);
    street.tell(HOLDER, &first);
    let said = events(&street.tell(HOLDER, &second));
    assert!(!said.iter().any(|event| matches!(event, Event::Evidence(_))), "{said:?}");
}

#[test]
fn a_record_that_cannot_be_read_stops_the_start() {
    let (mut street, slot, listed) = ended::<Plain>();
    street.ask_region(HOLDER, slot, &listed);
    for sort in [Sort::Sent, Sort::Answer, Sort::Mark] {
        let mut bent = copy(&street.disks[HOLDER], Sort::ALL);
        let key = bent.of(sort).next().unwrap().0.clone();
        bent.apply(Change::Write(key, vec![0xff].into()));
        let (terms, identity) = (meter_terms::<Plain>(HOLDER), meter_identity(HOLDER));
        let started = Meter::<Plain>::new(terms, identity, &bent, rng(1), street.now);
        assert!(started.is_err(), "{sort:?}");
    }
}

#[test]
fn what_is_past_its_deadline_is_erased() {
    let mut street = Region::<Plain>::open(MEMBERS);
    street.run_slots(0..4);
    let kept = |street: &Region<Plain>| {
        [Sort::Sent, Sort::Answer, Sort::Bill, Sort::Claim]
            .map(|sort| street.disks[HOLDER].of(sort).count())
    };
    assert_eq!(kept(&street), [4, 4, 1, 1]);
    let last = street.slot(3);
    let deadline = street.roster.slot_closes(last) + Duration::from_hours(2);
    street.run_until(deadline + Duration::from_mins(15));
    street.meters[HOLDER].handle_timeout(street.now);
    street.drain(HOLDER);
    assert_eq!(kept(&street), [0, 0, 0, 0]);
    let other = messages(&street.play_all(last, 1..MEMBERS));
    assert_eq!(street.ask_region(HOLDER, last, &other), Answer::Refused(Reason::PastDeadline));
}
