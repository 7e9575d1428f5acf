//! What links an epoch to the one before: invitations and rosters that do not
//! follow, that come late or not at all, and those that a collector has lost.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::Plain;
use common::region::{ALL, MEMBERS, Region};
use common::relay::{Bend, Relay, Said, Way, honest, losing};
use common::{
    PATIENCE, collector_identity, copy, dealt, drain, events, invited, meter_id, parameters,
    published, region_id, registrar,
};
use protocol::envelope::Envelope;
use protocol::id::{Digest, Epoch};
use protocol::message::{Invitation, Kind, Roster};
use protocol::output::{Event, InvitationError, Output, SlotError};
use protocol::reading::Register;
use protocol::record::{Change, Key, Records, Sort};
use protocol::roster::{AcceptedRoster, RosterError};
use protocol::slot::Slot;

const FIRST: Epoch = Epoch(1);
const SECOND: Epoch = Epoch(2);

type Street = Region<Plain>;

/// What a member of the first epoch says to an invitation to the second one.
fn invited_with(bend: impl FnOnce(&mut Invitation)) -> InvitationError {
    let mut street = Street::open(MEMBERS);
    let mut invitation = Invitation {
        previous: *street.roster.digest(),
        attempt: 0,
        collector: collector_identity().key(),
        parameters: parameters::<Plain>(),
        members: invited(MEMBERS),
    };
    bend(&mut invitation);
    let message = registrar().invite(&region_id(), SECOND, &invitation);
    let said = events(&street.tell(0, &message));
    let [Event::InvitationRefused { epoch: SECOND, error }] = &said[..] else { panic!("{said:?}") };
    error.clone()
}

#[test]
fn a_member_refuses_an_invitation_that_does_not_follow() {
    assert_eq!(invited_with(|body| body.previous = Digest::NONE), InvitationError::Chain);
    let longer = NonZeroU32::new(1800).unwrap();
    let error = invited_with(|body| body.parameters.slot_seconds = longer);
    assert_eq!(error, InvitationError::SlotSeconds);
}

/// What a member of the first epoch says to a bent roster of the second one;
/// it takes the honest one afterwards.
fn refused_roster(bend: impl Fn(&mut Roster)) -> RosterError {
    let mut relay = Relay::<Plain>::opened(parameters::<Plain>());
    relay.begin_next();
    let mut bending = |said: &Said<'_>| {
        if said.is(Way::Down(2), Kind::Roster) { vec![said.bent(&bend)] } else { said.whole() }
    };
    relay.run(Duration::ZERO, &mut bending);
    let Some(Event::RosterRefused(error)) = relay.said[2].pop() else { panic!("it joined") };
    relay.said[2].clear();
    relay.run(Duration::from_mins(1), &mut honest);
    assert!(matches!(relay.said[2][..], [Event::Joined { epoch: SECOND, .. }]));
    error
}

#[test]
fn a_member_refuses_a_roster_that_does_not_follow() {
    let shifted = |by: u64| {
        move |roster: &mut Roster| {
            let first = roster.first_slot;
            (roster.first_slot, roster.end_slot) = (first.plus(by), roster.end_slot.plus(by));
        }
    };
    // Inside a window.
    assert_eq!(refused_roster(shifted(1)), RosterError::Succession);
    // Before the first epoch, over all of it.
    let over = refused_roster(|roster| roster.first_slot = Slot(roster.first_slot.0 - 8));
    assert_eq!(over, RosterError::Succession);
    let longer = NonZeroU32::new(1800).unwrap();
    let error = refused_roster(|roster| roster.parameters.slot_seconds = longer);
    assert_eq!(error, RosterError::Succession);
    assert_eq!(refused_roster(|roster| roster.previous = Digest::LAST), RosterError::Chain);
}

#[test]
fn a_member_refuses_a_roster_that_takes_all_of_its_epoch() {
    let error = refused_roster(|roster| roster.first_slot = Slot(roster.first_slot.0 - 4));
    assert_eq!(error, RosterError::Succession);
}

#[test]
fn a_slot_is_encrypted_once_even_if_the_roster_is_heard_late() {
    let mut relay = Relay::<Plain>::opened(parameters::<Plain>());
    relay.begin_next();
    let mut losing = losing(Way::Down(0), Kind::Roster);
    relay.deliver(&mut losing);
    let roster = relay.roster().unwrap();
    let slot = roster.body().first_slot;
    let now = roster.grid().end(slot.plus(1));
    let read = |relay: &mut Relay<Plain>, slot| {
        relay.meters[0].handle_reading(slot, &BTreeMap::from([(Register::Import, 7)]), now);
        drain(&mut relay.meters[0])
    };
    let sent = published(&read(&mut relay, slot), "/contribution");
    assert_eq!(Envelope::parse(&sent[0]).unwrap().header().epoch, FIRST);
    let signed = relay.signed_roster().unwrap();
    relay.meters[0].handle_message(&signed, now);
    assert!(matches!(events(&drain(&mut relay.meters[0]))[..], [Event::Joined { .. }]));
    let again = Event::SlotRefused { slot, error: SlotError::Again };
    assert_eq!(events(&read(&mut relay, slot)), [again]);
    let sent = published(&read(&mut relay, slot.plus(1)), "/contribution");
    assert_eq!(Envelope::parse(&sent[0]).unwrap().header().epoch, SECOND);
}

#[test]
fn an_epoch_that_was_left_out_of_ends_a_candidacy() {
    let mut relay = Relay::<Plain>::opened(dealt::<Plain>());
    relay.begin_next();
    // It answers, and hears nothing more before the third epoch.
    let mut losing = |said: &Said<'_>| match (said.way, said.kind) {
        (Way::Up(4), _) => Vec::new(),
        (Way::Down(4), _) if said.attempt > 0 => Vec::new(),
        _ => said.whole(),
    };
    relay.run(PATIENCE + Duration::from_mins(1), &mut losing);
    assert_eq!((relay.members(), relay.roster().unwrap().epoch()), (vec![0, 1, 2, 3], SECOND));
    assert_eq!(relay.disks[4].of(Sort::Candidate).count(), 1);
    let signed = relay.signed_roster().unwrap();
    relay.meters[4].handle_message(&signed, relay.now);
    relay.run(Duration::from_secs(1), &mut honest);
    assert!(matches!(relay.said[4].last(), Some(Event::Left { epoch: SECOND, .. })));
    assert_eq!(relay.disks[4].of(Sort::Candidate).count(), 0);
    assert_eq!(meter_id(4), relay.terms.members[4].meter);
}

/// A relay in which a member has confirmed the second epoch and not heard its
/// roster, and the invitation to the third one.
fn overtaken(bend: Bend<'_>) -> (Relay<Plain>, Vec<u8>) {
    let mut relay = Relay::<Plain>::opened(dealt::<Plain>());
    relay.begin_next();
    relay.run(Duration::from_mins(1), bend);
    let second = relay.roster().unwrap();
    assert_eq!(second.epoch(), SECOND);
    let invitation = Invitation {
        previous: *second.digest(),
        attempt: 0,
        collector: collector_identity().key(),
        parameters: dealt::<Plain>(),
        members: invited(MEMBERS),
    };
    let message = registrar().invite(&region_id(), Epoch(3), &invitation);
    relay.said[4].clear();
    relay.meters[4].handle_message(&message, relay.now);
    (relay, message)
}

#[test]
fn an_invitation_that_overtakes_a_roster_costs_no_share() {
    let mut losing = losing(Way::Down(4), Kind::Roster);
    let (mut relay, message) = overtaken(&mut losing);
    relay.run(Duration::from_mins(1), &mut honest);
    let error = InvitationError::Unheard(SECOND);
    let refused = Event::InvitationRefused { epoch: Epoch(3), error };
    assert_eq!(relay.said[4][0], refused);
    assert!(matches!(relay.said[4][1..], [Event::Joined { epoch: SECOND, .. }]));
    relay.meters[4].handle_message(&message, relay.now);
    let said = events(&drain(&mut relay.meters[4]));
    assert_eq!(said, [Event::Invited { epoch: Epoch(3), members: MEMBERS }]);
}

#[test]
fn who_has_missed_a_roster_hears_it_with_a_repeated_invitation() {
    let mut relay = Relay::<Plain>::opened(dealt::<Plain>());
    relay.begin_next();
    relay.run(Duration::ZERO, &mut losing(Way::Down(4), Kind::Roster));
    relay.said[4].clear();
    relay.begin_next();
    // Nothing else brings it the roster.
    relay.run(Duration::from_secs(2), &mut losing(Way::Up(4), Kind::Confirmation));
    let [Event::InvitationRefused { error, .. }, Event::Joined { epoch: SECOND, .. }, then] =
        &relay.said[4][..]
    else {
        panic!("{:?}", relay.said[4])
    };
    assert_eq!(*error, InvitationError::Unheard(SECOND));
    assert_eq!(*then, Event::Invited { epoch: Epoch(3), members: MEMBERS });
}

#[test]
fn a_roster_that_is_said_again_is_kept_by_the_broker_only_if_it_is_the_latest() {
    let mut relay = Relay::<Plain>::opened(dealt::<Plain>());
    let (_, _, late) = relay.sent.iter().find(|(_, kind, _)| *kind == Kind::KeyPart).unwrap();
    let late = late.clone();
    relay.begin_next();
    relay.run(Duration::from_mins(1), &mut honest);
    relay.outputs.clear();
    relay.collector.handle_message(&late, relay.now);
    relay.deliver(&mut honest);
    let rosters = relay.outputs.iter().filter_map(|output| match output {
        Output::Publish(said) if said.topic.ends_with("/c/roster") => Some(said.retain),
        _ => None,
    });
    assert_eq!(rosters.collect::<Vec<_>>(), [false]);
}

#[test]
fn who_answers_a_stray_invitation_to_an_open_epoch_is_a_member_of_the_next_one() {
    let mut relay = Relay::<Plain>::opened(dealt::<Plain>());
    let stray = Invitation {
        previous: Digest::NONE,
        attempt: 1,
        collector: collector_identity().key(),
        parameters: dealt::<Plain>(),
        members: invited(MEMBERS),
    };
    let stray = registrar().invite(&region_id(), FIRST, &stray);
    // It has lost its disk, and hears the roster before that invitation.
    relay.disks[4] = Records::default();
    relay.restart(4);
    for message in [relay.signed_roster().unwrap(), stray] {
        relay.meters[4].handle_message(&message, relay.now);
    }
    relay.begin_next();
    relay.run(Duration::from_mins(1), &mut honest);
    assert_eq!(relay.roster().unwrap().epoch(), SECOND);
    assert_eq!(relay.members(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_roster_that_does_not_fit_keeps_nobody_from_the_next_epoch() {
    let mut bending = |said: &Said<'_>| {
        let other = |roster: &mut Roster| roster.dealings = Digest::LAST;
        if said.is(Way::Down(4), Kind::Roster) { vec![said.bent(other)] } else { said.whole() }
    };
    let (mut relay, _) = overtaken(&mut bending);
    let said = events(&drain(&mut relay.meters[4]));
    assert_eq!(said, [Event::Invited { epoch: Epoch(3), members: MEMBERS }]);
}

#[test]
fn a_collector_whose_copy_is_of_an_earlier_attempt_opens_the_epoch_with_a_later_one() {
    let mut relay = Relay::<Plain>::opened(dealt::<Plain>());
    relay.begin_next();
    // One meter is silent at first, all of them later.
    let mut losing = |said: &Said<'_>| match (said.way, said.attempt) {
        (Way::Up(4), 0) | (Way::Up(_), 1..) => Vec::new(),
        _ => said.whole(),
    };
    relay.run(Duration::ZERO, &mut losing);
    let kept = copy(&relay.disk, Sort::ALL);
    relay.run(PATIENCE + Duration::from_mins(1), &mut losing);
    relay.disk = kept;
    relay.restart_collector();
    relay.run(PATIENCE + Duration::from_mins(1), &mut honest);
    assert_eq!(relay.roster().unwrap().epoch(), SECOND);
}

#[test]
fn a_collector_whose_copy_is_of_an_earlier_epoch_gets_the_roster_back() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..2);
    let kept = copy(&street.disk, Sort::ALL);
    street.next_epoch(&[0, 1, 2, 3, 4]);
    let signed = street.signed_roster.clone();
    let before = street.run_slot(0);
    street.disk.records = kept;
    street.outputs.clear();
    street.change_collector();
    street.deliver();
    let said = street.collector_events();
    let first_slot = street.body().first_slot;
    assert!(said.contains(&Event::HandedBack { epoch: SECOND, first_slot }), "{said:?}");
    assert_eq!(published(&street.outputs, "/c/roster").last(), Some(&signed));
    assert!(street.disk.get(&Key::roster(SECOND)).is_some());
    let slot = street.run_slot(1);
    street.close(slot);
    let sums = street.slot_sums();
    assert_eq!((sums.get(&before), sums.get(&slot)), (Some(&ALL), Some(&ALL)));
}

#[test]
fn a_collector_that_knows_a_later_epoch_gets_the_roster_between_back() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..2);
    let mut kept = copy(&street.disk, Sort::ALL);
    street.next_epoch(&[0, 1, 2, 3, 4]);
    street.run_slot(0);
    street.next_epoch(&[0, 1, 2, 3, 4]);
    // Of the rosters that were handed back one came before the next crash.
    let third = (Key::roster(street.roster.epoch()), street.signed_roster.clone());
    kept.apply(Change::Write(third.0, third.1.into()));
    street.disk.records = kept;
    street.outputs.clear();
    street.change_collector();
    street.deliver();
    let back = |event: &Event| matches!(event, Event::HandedBack { epoch: SECOND, .. });
    assert!(street.collector_events().iter().any(back), "{:?}", street.collector_events());
}

#[test]
fn a_copy_of_an_epoch_that_all_members_have_erased_gets_the_roster_back() {
    let mut street = Street::open(MEMBERS);
    let signed = street.signed_roster.clone();
    let mut first =
        AcceptedRoster::<Plain>::open(&signed, &region_id(), &registrar().key()).unwrap();
    let kept = copy(&street.disk, Sort::ALL);
    street.next_epoch(&[0, 1, 2, 3, 4]);
    first.end_before(street.body().first_slot);
    street.run_until(first.last_deadline() + Duration::from_mins(1));
    assert!((0..MEMBERS).all(|at| street.disks[at].get(&Key::key_share(FIRST)).is_none()));
    street.disk.records = kept;
    street.outputs.clear();
    street.change_collector();
    street.deliver();
    let is_back = |event: &Event| matches!(event, Event::HandedBack { epoch: SECOND, .. });
    assert!(street.collector_events().iter().any(is_back));
}
