//! A roster that is bent and signed again: the check that refuses it, by name.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::num::NonZeroU32;

use aggregation::{Canonical as _, Context, ElGamal, Scheme as _};
use common::founding::{EPOCH, Founding, first_slot};
use common::{
    START, collector_identity, drain, events, meter_id, meter_identity, new_meter, peak, region_id,
    registrar, rng,
};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use protocol::envelope::{Rejection, seal};
use protocol::id::{Digest, Epoch, MeterId, Sender};
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::message::Roster;
use protocol::output::Event;
use protocol::parameters::Parameters;
use protocol::reading::Register;
use protocol::roster::{AcceptedRoster, RosterError};
use protocol::slot::Window;
use protocol::statement::Place;
use protocol::tariff::StepId;
use serde_bytes::ByteBuf;

type Street = Founding<ElGamal>;

const MEMBERS: usize = 5;

/// What the first meter says to a signed roster; it joins nothing, and still
/// takes the honest roster afterwards.
fn refusal(street: &mut Street, honest: &[u8], signed: &[u8]) -> RosterError {
    let Event::RosterRefused(error) = street.offer(signed) else { panic!("the meter joined") };
    assert!(street.meters[0].grid().is_none());
    assert!(matches!(street.offer(honest), Event::Joined { .. }));
    error
}

/// The verdict on a roster that was bent before the registrar signed it.
fn bent(bend: impl FnOnce(&mut Roster)) -> RosterError {
    let mut street = Street::of(MEMBERS);
    let honest = street.signed();
    bend(&mut street.roster);
    let signed = street.signed();
    refusal(&mut street, &honest, &signed)
}

/// The key of the parameter that is refused, and what would be accepted.
fn bent_parameters(bend: impl FnOnce(&mut Parameters)) -> (&'static str, String) {
    let RosterError::Parameter(error) = bent(|roster| bend(&mut roster.parameters)) else {
        panic!("no parameter was refused")
    };
    (error.key, error.accepted)
}

/// Where the key parts of a roster are proven.
fn place(roster: &Roster) -> Place {
    Place { region: region_id(), epoch: EPOCH, binding: roster.invitation }
}

/// A fresh key part of a meter, proven in some place.
fn part(place: &Place, meter: &MeterId) -> ByteBuf {
    ByteBuf::from(ElGamal::key_part(Context(&place.key_part(meter)), &mut rng(8)).1.to_bytes())
}

/// Makes the group key that of the key parts.
fn regroup(roster: &mut Roster) {
    roster.group_key = ByteBuf::from(key_of(roster).compress().to_bytes());
}

fn key_of(roster: &Roster) -> RistrettoPoint {
    roster.members.iter().map(|member| point(&member.part)).sum()
}

fn point(bytes: &[u8]) -> RistrettoPoint {
    CompressedRistretto::from_slice(&bytes[..32]).unwrap().decompress().unwrap()
}

#[test]
fn a_meter_joins_under_an_honest_roster() {
    let mut street = Street::of(MEMBERS);
    assert_eq!(*street.roster.group_key, key_of(&street.roster).compress().to_bytes());
    let signed = street.signed();
    let joined = street.offer(&signed);
    assert_eq!(joined, Event::Joined { epoch: EPOCH, first_slot: first_slot() });
    assert_eq!(street.meters[0].grid().unwrap().origin, first_slot());
}

#[test]
fn a_meter_refuses_the_collectors_own_key_as_group_key() {
    let own = part(&place(&Street::of(MEMBERS).roster), &meter_id(0));
    let error = bent(|roster| roster.group_key = ByteBuf::from(&own[..32]));
    assert_eq!(error, RosterError::GroupKey);
}

#[test]
fn a_meter_refuses_a_rogue_key() {
    let error = bent(|roster| {
        let own = part(&place(roster), &meter_id(4));
        let others = key_of(roster) - point(&roster.members[4].part);
        // The fifth part makes the group key one that its member alone knows.
        let rogue = (point(&own) - others).compress().to_bytes();
        roster.members[4].part = ByteBuf::from([&rogue, &own[32..]].concat());
        roster.group_key = ByteBuf::from(&own[..32]);
        assert_eq!(*roster.group_key, key_of(roster).compress().to_bytes());
    });
    assert_eq!(error, RosterError::KeyPart(meter_id(4)));
}

#[test]
fn a_meter_refuses_a_roster_that_the_registrar_did_not_sign() {
    let mut street = Street::of(MEMBERS);
    let honest = street.signed();
    let another = Registrar::new(Identity::from_seed(&[0xef; 32]));
    let forged = another.sign(&region_id(), EPOCH, &street.roster);
    let unsigned = [&honest[..honest.len() - 66], &[0x40]].concat();
    for bytes in [forged, unsigned] {
        let error = refusal(&mut street, &honest, &bytes);
        assert_eq!(error, RosterError::Rejected(Rejection::Signature));
        street = Street::of(MEMBERS);
    }
}

#[test]
fn a_meter_refuses_a_roster_that_the_collector_signed() {
    let mut street = Street::of(MEMBERS);
    let honest = street.signed();
    let place = (&region_id(), EPOCH, Sender::Collector);
    let signed = seal(&collector_identity(), place, &Digest::NONE, &street.roster);
    let error = refusal(&mut street, &honest, &signed);
    assert_eq!(error, RosterError::Rejected(Rejection::Sender));
}

#[test]
fn a_meter_refuses_the_roster_of_another_region() {
    let mut street = Street::of(MEMBERS);
    let honest = street.signed();
    let signed = registrar().sign(&"south-01".parse().unwrap(), EPOCH, &street.roster);
    let error = refusal(&mut street, &honest, &signed);
    assert_eq!(error, RosterError::Rejected(Rejection::Region));
}

#[test]
fn a_meter_refuses_the_roster_of_another_epoch() {
    let mut street = Street::of(MEMBERS);
    let honest = street.signed();
    let mut next = street.roster.clone();
    let place = Place { epoch: Epoch(2), ..place(&next) };
    for member in &mut next.members {
        member.part = part(&place, &member.meter);
    }
    regroup(&mut next);
    let signed = registrar().sign(&region_id(), Epoch(2), &next);
    let error = refusal(&mut street, &honest, &signed);
    assert_eq!(error, RosterError::Rejected(Rejection::Epoch));
}

#[test]
fn a_meter_refuses_another_key_part_under_its_name() {
    let error = bent(|roster| {
        roster.members[0].part = part(&place(roster), &meter_id(0));
        regroup(roster);
    });
    assert_eq!(error, RosterError::OwnKey);
}

#[test]
fn a_meter_refuses_another_identity_key_under_its_name() {
    let error = bent(|roster| roster.members[0].key = meter_identity(7).key());
    assert_eq!(error, RosterError::OwnKey);
}

#[test]
fn a_meter_refuses_a_roster_without_itself() {
    let error = bent(|roster| {
        roster.members.remove(0);
        regroup(roster);
    });
    assert_eq!(error, RosterError::NotAMember);
}

#[test]
fn a_meter_refuses_members_that_are_not_in_order() {
    assert_eq!(bent(|roster| roster.members.swap(0, 1)), RosterError::Members);
    assert_eq!(bent(|roster| roster.members.swap(3, 4)), RosterError::Members);
}

#[test]
fn a_meter_refuses_a_member_that_is_listed_twice() {
    let error = bent(|roster| {
        let twin = roster.members[1].clone();
        roster.members.insert(1, twin);
        regroup(roster);
    });
    assert_eq!(error, RosterError::Members);
}

#[test]
fn a_meter_refuses_a_proof_of_possession_that_was_made_elsewhere() {
    let elsewhere = |bend: fn(&mut Place), meter: MeterId| {
        bent(|roster| {
            let mut place = place(roster);
            bend(&mut place);
            roster.members[2].part = part(&place, &meter);
            regroup(roster);
        })
    };
    let refused = RosterError::KeyPart(meter_id(2));
    let other_region = |place: &mut Place| place.region = "south-01".parse().unwrap();
    assert_eq!(elsewhere(other_region, meter_id(2)), refused);
    assert_eq!(elsewhere(|place| place.epoch = Epoch(2), meter_id(2)), refused);
    assert_eq!(elsewhere(|place| place.binding = Digest::NONE, meter_id(2)), refused);
    assert_eq!(elsewhere(|_| (), meter_id(3)), refused);
}

#[test]
fn a_meter_refuses_a_key_part_that_is_copied_from_another_member() {
    let error = bent(|roster| {
        roster.members[2].part = roster.members[1].part.clone();
        regroup(roster);
    });
    assert_eq!(error, RosterError::KeyPart(meter_id(2)));
}

#[test]
fn a_meter_refuses_a_key_part_that_is_no_point() {
    for bytes in [vec![], vec![0; 96], vec![0xff; 96], vec![0; 97]] {
        let error = bent(|roster| roster.members[4].part = ByteBuf::from(bytes));
        assert_eq!(error, RosterError::KeyPart(meter_id(4)));
    }
}

#[test]
fn a_meter_refuses_an_epoch_that_ends_off_the_billing_grid() {
    let end_after = |slots| bent(|roster| roster.end_slot = first_slot().plus(slots));
    for slots in [0, 1, 3, 5] {
        assert_eq!(end_after(slots), RosterError::Slots, "{slots} slots");
    }
    assert_eq!(bent(|roster| roster.end_slot.0 -= 20), RosterError::Slots);
}

#[test]
fn a_meter_refuses_a_roster_that_follows_another_one() {
    let error = bent(|roster| roster.previous = Digest::of("roster", b"another"));
    assert_eq!(error, RosterError::Chain);
}

#[test]
fn a_meter_refuses_a_roster_to_another_invitation() {
    let error = bent(|roster| roster.invitation = Digest::of("invitation", b"another"));
    // No key part of this ceremony is one of another.
    assert_eq!(error, RosterError::KeyPart(meter_id(0)));
}

#[test]
fn a_meter_refuses_another_collector_or_member_than_it_was_invited_with() {
    let another = meter_identity(7).key();
    let error = bent(|roster| roster.collector = another);
    assert_eq!(error, RosterError::Invitation);
    let error = bent(|roster| roster.members[3].key = another);
    assert_eq!(error, RosterError::Invitation);
}

#[test]
fn a_meter_refuses_legal_parameters_that_it_was_not_invited_to() {
    for bend in [
        |given: &mut Parameters| given.deadline_s = 3600,
        |given: &mut Parameters| given.max_wh_per_slot = u32::MAX,
        |given: &mut Parameters| given.window_slots = NonZeroU32::new(8).unwrap(),
        |given: &mut Parameters| given.registers.push(Register::Export),
        |given: &mut Parameters| with_peak(3, 8)(given),
    ] {
        assert_eq!(bent(|roster| bend(&mut roster.parameters)), RosterError::Invitation);
    }
}

#[test]
fn a_meter_that_answered_no_invitation_refuses_every_roster() {
    let signed = Street::of(MEMBERS).signed();
    let mut meter = new_meter::<ElGamal>(0, START);
    meter.handle_message(&signed, START);
    let refused = Event::RosterRefused(RosterError::Invitation);
    assert_eq!(events(&drain(&mut meter)), [refused]);
}

#[test]
fn a_meter_refuses_parameters_below_its_floors() {
    let floor = |key, least: u32| (key, format!("at least {least}, this agent's own floor"));
    let refused = bent_parameters(|given| given.min_contributors = 2);
    assert_eq!(refused, floor("min_contributors", 3));
    let refused = bent_parameters(|given| given.max_corrupted = 0);
    assert_eq!(refused, floor("max_corrupted", 1));
    let refused = bent_parameters(|given| given.min_slots = 2);
    assert_eq!(refused, floor("min_slots", 3));
    let refused = bent_parameters(|given| given.slot_seconds = NonZeroU32::new(899).unwrap());
    assert_eq!(refused, floor("slot_seconds", 900));
}

#[test]
fn a_meter_refuses_another_scheme() {
    let (key, accepted) = bent_parameters(|given| given.scheme = "plain".to_owned());
    assert_eq!((key, accepted.as_str()), ("scheme", "threshold-elgamal"));
}

#[test]
fn a_meter_refuses_parameters_outside_their_ranges() {
    let seconds = |seconds| NonZeroU32::new(seconds).unwrap();
    let key = |bend: &dyn Fn(&mut Parameters)| bent_parameters(bend).0;
    assert_eq!(key(&|given| given.slot_seconds = seconds(86_401)), "slot_seconds");
    assert_eq!(key(&|given| given.window_slots = seconds(1)), "window_slots");
    assert_eq!(key(&|given| given.window_slots = seconds(35_137)), "window_slots");
    assert_eq!(key(&|given| given.min_contributors = 1), "min_contributors");
    let both = "members";
    assert_eq!(key(&|given| given.min_contributors = 5), both);
    assert_eq!(key(&|given| given.max_corrupted = u16::MAX), both);
    assert_eq!(key(&|given| given.min_slots = 1), "min_slots");
    assert_eq!(key(&|given| given.min_slots = 5), "min_slots");
    assert_eq!(key(&|given| given.grace_s = 86_401), "grace_s");
    assert_eq!(key(&|given| given.deadline_s = 0), "deadline_s");
    assert_eq!(key(&|given| given.deadline_s = 31_622_401), "deadline_s");
    assert_eq!(key(&|given| given.max_wh_per_slot = 65_536), "max_wh_per_slot");
}

#[test]
fn a_meter_refuses_registers_that_are_none_twice_or_out_of_order() {
    use Register::{Export, Import};
    for registers in [vec![], vec![Import, Import], vec![Export, Import]] {
        assert_eq!(bent_parameters(|given| given.registers = registers).0, "registers");
    }
}

/// A peak of so many slots of each so many, in windows of eight slots.
fn with_peak(slots: u32, of: u32) -> impl FnOnce(&mut Parameters) {
    move |given| {
        given.window_slots = NonZeroU32::new(8).unwrap();
        given.tariff = peak(slots, of);
    }
}

#[test]
fn a_roster_whose_smallest_step_has_too_few_slots_is_refused() {
    // Two of eight, six of eight, and three of nine, of which a window of
    // eight can miss one.
    for (slots, of, said) in [
        (2, 8, "`peak` with 2 slots in a window of 8"),
        (6, 8, "`rest` with 2 slots in a window of 8"),
        (3, 9, "`peak` with 2 slots in a window of 8"),
    ] {
        let error = bent(|roster| with_peak(slots, of)(&mut roster.parameters));
        let RosterError::Parameter(error) = error else { panic!("{error}") };
        assert_eq!((error.key, error.value.as_str()), ("tariff.steps", said));
        assert!(error.accepted.starts_with("at least min_slots = 3 of each step"), "{error}");
    }
}

#[test]
fn a_roster_divides_its_slots_into_steps() {
    let mut street = Street::of(MEMBERS);
    with_peak(3, 8)(&mut street.roster.parameters);
    let signed = street.signed();
    let roster =
        AcceptedRoster::<ElGamal>::open(&signed, &region_id(), &registrar().key()).unwrap();
    let of = |step| roster.step_slots(Window(1), StepId(step));
    let (peak, rest) = (of(0), of(1));
    assert_eq!((peak.len(), rest.len(), of(2).len()), (3, 5, 0));
    assert!(peak.iter().all(|slot| roster.step_of(*slot) == StepId(0)));
    let mut all = [peak, rest].concat();
    all.sort();
    assert!(all.into_iter().eq((8..16).map(|at| first_slot().plus(at))));
}

#[test]
fn a_meter_that_is_a_member_keeps_its_roster() {
    let mut street = Street::of(MEMBERS);
    let honest = street.signed();
    assert!(matches!(street.offer(&honest), Event::Joined { .. }));
    street.roster.end_slot = street.roster.end_slot.plus(16);
    let fork = street.signed();
    street.meters[0].handle_message(&honest, START);
    assert!(drain(&mut street.meters[0]).is_empty());
    assert!(matches!(street.offer(&fork), Event::SecondRoster { .. }));
    assert_eq!(street.meters[0].grid().unwrap().origin, first_slot());
}
