//! The ceremony that opens an epoch, through messages alone.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use aggregation::{Canonical as _, Context, ElGamal, Plain, Scheme};
use common::founding::{EPOCH, Founding, first_slot, invitation};
use common::region::Region;
use common::{
    START, collector_identity, drain, events, meter_id, meter_identity, meter_terms, new_collector,
    new_meter, parameters, peak, persisted, published, region_id, registrar, rng,
};
use protocol::collector::Collector;
use protocol::envelope::seal;
use protocol::id::{Digest, Epoch, Sender};
use protocol::identity::Identity;
use protocol::keygen::{self, Registrar};
use protocol::message::{Invitation, KeyPart};
use protocol::meter::Meter;
use protocol::output::{Event, InvitationError, Output};
use protocol::parameters::Parameters;
use protocol::record::{Change, Key};
use protocol::statement::Place;
use serde_bytes::ByteBuf;

/// What a new meter says to an invitation.
fn invite(epoch: Epoch, invitation: &Invitation) -> Vec<Event> {
    let mut meter = new_meter::<Plain>(0, START);
    tell(&mut meter, &registrar().invite(&region_id(), epoch, invitation))
}

fn tell<S: Scheme>(meter: &mut Meter<S>, message: &[u8]) -> Vec<Event> {
    meter.handle_message(message, START);
    events(&drain(meter))
}

fn refused(epoch: Epoch, error: InvitationError) -> [Event; 1] {
    [Event::InvitationRefused { epoch, error }]
}

fn honest() -> Invitation {
    invitation(5, parameters::<Plain>())
}

/// The names of what a collector has to say.
fn names<S: Scheme>(collector: &mut Collector<S>) -> Vec<&'static str> {
    let outputs: Vec<_> = std::iter::from_fn(|| collector.poll_output()).collect();
    events(&outputs).iter().map(Event::name).collect()
}

/// A meter's key part for an honest ceremony, as the meter signs it.
fn key_part(at: usize, seed: u64) -> (Place, ByteBuf) {
    let binding = keygen::digest(&region_id(), EPOCH, &honest());
    let place = Place { region: region_id(), epoch: EPOCH, binding };
    let part = Plain::key_part(Context(&place.key_part(&meter_id(at))), &mut rng(seed)).1;
    (place, ByteBuf::from(part.to_bytes()))
}

fn send_part(at: usize, signer: &Identity, (place, part): (Place, ByteBuf)) -> Vec<u8> {
    let sender = Sender::Meter(meter_id(at));
    seal(signer, (&place.region, place.epoch, sender), &place.binding, &KeyPart { part })
}

#[test]
fn a_region_opens_an_epoch_through_messages_alone() {
    let street = Region::<ElGamal>::open(5);
    assert!(street.meters.iter().all(|meter| meter.grid().is_some()));
    assert_eq!(street.roster.body().first_slot, first_slot());
    assert_eq!(street.roster.body().end_slot, first_slot().plus(16));
    assert_eq!(street.collector.counters().get("opened"), Some(&1));
}

#[test]
fn a_group_key_is_not_there_before_the_last_key_part() {
    let mut collector = new_collector::<Plain>(5, parameters::<Plain>(), START);
    assert_eq!(names(&mut collector), ["gathering"]);
    for at in 0..4 {
        let part = send_part(at, &meter_identity(at), key_part(at, 1));
        collector.handle_message(&part, START);
        assert!(names(&mut collector).is_empty());
    }
    collector.handle_message(&send_part(4, &meter_identity(4), key_part(4, 1)), START);
    assert_eq!(names(&mut collector), ["opened"]);
}

#[test]
fn a_key_share_is_durable_before_its_key_part_is_sent() {
    let mut meter = new_meter::<Plain>(0, START);
    let message = registrar().invite(&region_id(), EPOCH, &honest());
    meter.handle_message(&message, START);
    let outputs = drain(&mut meter);
    let share = |output: &Output| matches!(output, Output::Persist(Change::Write(key, _)) if *key == Key::candidate());
    let stored = outputs.iter().position(share).unwrap();
    let sent = outputs.iter().position(|output| matches!(output, Output::Publish(_))).unwrap();
    assert!(stored < sent && format!("{outputs:?}").contains("name: \"\" }, ..)"));
}

#[test]
fn a_repeated_invitation_gets_the_same_key_part_again() {
    let mut meter = new_meter::<ElGamal>(0, START);
    let invitation = invitation(5, parameters::<ElGamal>());
    let message = registrar().invite(&region_id(), EPOCH, &invitation);
    let answers: BTreeSet<_> = (0..3)
        .flat_map(|_| {
            meter.handle_message(&message, START);
            published(&drain(&mut meter), "/keygen")
        })
        .collect();
    assert_eq!(answers.len(), 1);
}

#[test]
fn a_meter_that_restarts_is_the_member_that_it_was() {
    let mut street = Founding::<ElGamal>::of(5);
    let mut meter = new_meter::<ElGamal>(0, START);
    let invitation = invitation(5, parameters::<ElGamal>());
    meter.handle_message(&registrar().invite(&region_id(), EPOCH, &invitation), START);
    // The meters of the ceremony draw from the same seeds.
    let signed = street.signed();
    assert!(matches!(street.offer(&signed), Event::Joined { .. }));
    meter.handle_message(&signed, START);
    let kept = persisted(drain(&mut meter));
    let later = START + Duration::from_mins(1);
    let (terms, identity) = (meter_terms::<ElGamal>(0), meter_identity(0));
    let restarted = Meter::<ElGamal>::new(terms, identity, &kept, rng(1), later).unwrap();
    assert_eq!(restarted.grid(), street.meters[0].grid());
    assert!(restarted.grid().is_some());
}

#[test]
fn a_key_share_that_was_not_kept_is_refused() {
    let new = |bytes: &[u8]| {
        let kept = [(Key::candidate(), bytes.to_vec().into())].into_iter().collect();
        Meter::<ElGamal>::new(meter_terms::<ElGamal>(0), meter_identity(0), &kept, rng(1), START)
            .err()
    };
    assert_eq!(new(b"").unwrap(), keygen::StoredError::Malformed);
    assert_eq!(new(&[0xa0]).unwrap(), keygen::StoredError::Malformed);
}

#[test]
fn a_meter_of_an_open_epoch_refuses_a_second_invitation() {
    let mut street = Region::<Plain>::open(5);
    let mut other = honest();
    other.parameters.grace_s += 1;
    let message = registrar().invite(&region_id(), EPOCH, &other);
    let said = tell(&mut street.meters[0], &message);
    assert_eq!(said, refused(EPOCH, InvitationError::Open(EPOCH)));
    assert!(street.meters[0].grid().is_some());
}

#[test]
fn a_member_passes_over_the_invitation_that_it_answered() {
    let mut street = Region::<Plain>::open(5);
    let message = registrar().invite(&region_id(), EPOCH, &honest());
    street.meters[0].handle_message(&message, START);
    assert!(drain(&mut street.meters[0]).is_empty());
}

#[test]
fn a_meter_that_answered_for_an_epoch_refuses_an_earlier_one() {
    let mut meter = new_meter::<Plain>(0, START);
    let said = tell(&mut meter, &registrar().invite(&region_id(), Epoch(2), &honest()));
    assert_eq!(said, [Event::Invited { epoch: Epoch(2), members: 5 }]);
    let said = tell(&mut meter, &registrar().invite(&region_id(), EPOCH, &honest()));
    assert_eq!(said, refused(EPOCH, InvitationError::Open(Epoch(2))));
}

#[test]
fn a_meter_that_is_not_invited_sends_nothing() {
    let mut without = honest();
    without.members.remove(0);
    let mut other_key = honest();
    other_key.members[0].key = meter_identity(7).key();
    for invitation in [without, other_key] {
        assert_eq!(invite(EPOCH, &invitation), refused(EPOCH, InvitationError::NotInvited));
    }
}

#[test]
fn a_meter_refuses_an_invitation_below_its_floors() {
    let mut low = honest();
    low.parameters.min_contributors = 2;
    let said = invite(EPOCH, &low);
    let [Event::InvitationRefused { error: InvitationError::Parameter(error), .. }] = &said[..]
    else {
        panic!("{said:?}")
    };
    let sentence = "min_contributors = 2: accepted is at least 3, this agent's own floor";
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn a_meter_refuses_an_invitation_outside_the_ranges() {
    let refused = |bend: fn(&mut Parameters)| {
        let mut bad = honest();
        bend(&mut bad.parameters);
        let said = invite(EPOCH, &bad);
        let [Event::InvitationRefused { error: InvitationError::Parameter(error), .. }] = &said[..]
        else {
            panic!("{said:?}")
        };
        error.key
    };
    assert_eq!(refused(|given| given.deadline_s = 0), "deadline_s");
    assert_eq!(refused(|given| given.tariff = peak(1, 4)), "tariff.steps");
}

#[test]
fn a_meter_answers_only_its_registrars_invitations() {
    let rejection = |message: &[u8]| {
        let mut meter = new_meter::<Plain>(0, START);
        let said = tell(&mut meter, message);
        let [Event::Rejected { name, .. }] = said[..] else { panic!("{said:?}") };
        assert_eq!(meter.counters().get(name), Some(&1));
        name
    };
    let another = Registrar::new(Identity::from_seed(&[0xef; 32]));
    assert_eq!(rejection(&another.invite(&region_id(), EPOCH, &honest())), "signature");
    let south = "south-01".parse().unwrap();
    assert_eq!(rejection(&registrar().invite(&south, EPOCH, &honest())), "region");
    let place = (&region_id(), EPOCH, Sender::Collector);
    let own = seal(&collector_identity(), place, &Digest::NONE, &honest());
    assert_eq!(rejection(&own), "sender");
}

#[test]
fn a_collector_takes_a_key_part_only_from_its_owner() {
    let mut collector = new_collector::<Plain>(5, parameters::<Plain>(), START);
    names(&mut collector);
    let mut rejection = |message: Vec<u8>| {
        collector.handle_message(&message, START);
        names(&mut collector)
    };
    let another = meter_identity(1);
    assert_eq!(rejection(send_part(0, &another, key_part(0, 1))), ["signature"]);
    assert_eq!(rejection(send_part(6, &meter_identity(6), key_part(6, 1))), ["sender"]);
    // A part that was proven by another member.
    assert_eq!(rejection(send_part(0, &meter_identity(0), key_part(1, 1))), ["body"]);
    let (mut place, part) = key_part(0, 1);
    place.epoch = Epoch(2);
    assert_eq!(rejection(send_part(0, &meter_identity(0), (place, part))), ["epoch"]);
    let (mut place, part) = key_part(0, 1);
    place.binding = Digest::NONE;
    assert_eq!(rejection(send_part(0, &meter_identity(0), (place, part))), ["signature"]);
}

#[test]
fn a_second_key_part_of_a_member_changes_nothing() {
    let mut collector = new_collector::<Plain>(5, parameters::<Plain>(), START);
    for (at, seed) in [(0, 1), (0, 2), (1, 1), (2, 1), (3, 1), (4, 1)] {
        collector.handle_message(&send_part(at, &meter_identity(at), key_part(at, seed)), START);
    }
    let outputs: Vec<_> = std::iter::from_fn(|| collector.poll_output()).collect();
    let rosters = published(&outputs, "/c/roster");
    let [roster] = &rosters[..] else { panic!("{outputs:?}") };
    let holds = |part: &ByteBuf| roster.windows(part.len()).any(|bytes| bytes == &part[..]);
    assert!(holds(&key_part(0, 1).1) && !holds(&key_part(0, 2).1));
}

#[test]
fn a_roster_is_durable_before_it_is_published() {
    let mut collector = new_collector::<Plain>(5, parameters::<Plain>(), START);
    for at in 0..5 {
        collector.handle_message(&send_part(at, &meter_identity(at), key_part(at, 1)), START);
    }
    let outputs: Vec<_> = std::iter::from_fn(|| collector.poll_output()).collect();
    let stored = |output: &Output| matches!(output, Output::Persist(Change::Write(key, _)) if *key == Key::roster(EPOCH));
    let stored = outputs.iter().position(stored).unwrap();
    let before = published(&outputs[..stored], "/c/roster");
    assert!(before.is_empty() && !published(&outputs, "/c/roster").is_empty());
}

#[test]
fn a_member_that_missed_the_roster_gets_it_for_its_key_part() {
    let mut street = Region::<Plain>::open(5);
    let part = send_part(0, &meter_identity(0), key_part(0, 1));
    street.collector.handle_message(&part, START);
    street.deliver();
    assert_eq!(published(&street.outputs, "/c/roster"), [street.signed_roster.clone()]);
}

#[test]
fn a_key_part_that_no_member_signed_gets_no_roster() {
    let mut street = Region::<Plain>::open(5);
    let forged = send_part(0, &meter_identity(1), key_part(0, 1));
    let stranger = send_part(6, &meter_identity(6), key_part(6, 1));
    for part in [forged, stranger] {
        street.collector.handle_message(&part, START);
    }
    street.deliver();
    assert!(published(&street.outputs, "/c/roster").is_empty());
}
