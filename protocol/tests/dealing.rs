//! A group's secret is dealt through messages: every liar is named, and a
//! relay that drops or bends what is said is found out.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use Way::{Down, Up};
use aggregation::plain::bend_share;
use aggregation::{Canonical, ElGamal, Participant, Plain, Scheme};
use common::founding::EPOCH;
use common::region::{ALL, MEMBERS};
use common::relay::{Bend, Relay, Said, Way, honest, losing};
use common::{Kit, PATIENCE, START, dealt, meter_id};
use protocol::envelope::Rejection;
use protocol::evidence::About;
use protocol::id::{Digest, Epoch, Sender};
use protocol::keygen::{CeremonyError, Conviction, Step};
use protocol::message::{
    Complaint, Confirmation, Dealing, Dealings, KeyPart, KeyParts, Kind, Roster, Subject,
};
use protocol::output::Event;
use protocol::record::{Key, Records, Sort};
use protocol::roster::RosterError;
use rand::RngExt as _;
use serde_bytes::ByteBuf;

/// Long enough for every retry, and no step's patience.
const MEANWHILE: Duration = Duration::from_mins(5);

/// A ceremony that runs for so long under a relay.
fn ceremony<S: Kit>(span: Duration, bend: Bend<'_>) -> Relay<S> {
    let mut relay = Relay::new(MEMBERS, dealt::<S>());
    relay.run(span, bend);
    relay
}

/// A ceremony of two attempts: it opens without the one that is left out.
fn left_out<S: Kit>(at: usize, bend: Bend<'_>) -> Conviction {
    let relay = ceremony::<S>(PATIENCE + MEANWHILE, bend);
    let others: Vec<_> = (0..MEMBERS).filter(|other| *other != at).collect();
    assert_eq!(relay.members(), others);
    assert_eq!(relay.roster().unwrap().body().attempt, 1);
    let [(found, conviction)] = relay.left_out()[..] else { panic!("{:?}", relay.left_out()) };
    assert_eq!(found, at);
    conviction
}

/// A relay that drops what one meter says of one kind.
fn dropping(at: usize, kind: Kind) -> impl FnMut(&Said<'_>) -> Vec<Vec<u8>> {
    losing(Up(at), kind)
}

/// A relay that bends a meter's messages of one kind.
fn bending(
    (at, kind): (usize, Kind),
    bend: impl Fn(&Said<'_>) -> Vec<Vec<u8>>,
) -> impl FnMut(&Said<'_>) -> Vec<Vec<u8>> {
    move |said| if said.is(Up(at), kind) { bend(said) } else { said.whole() }
}

/// A dealing with a share that does not fit, signed by its dealer.
fn with_bad_share<S: Scheme>(said: &Said<'_>, recipient: u16) -> Vec<u8> {
    said.bent(|body: &mut Dealing| {
        let dealing = S::Dealing::from_bytes(&body.dealing).unwrap();
        let bent = bend_share(&dealing, 5, Participant(recipient)).unwrap();
        body.dealing = ByteBuf::from(bent.to_bytes());
    })
}

/// What a meter had to say about the ceremony.
fn refused<S: Kit>(relay: &Relay<S>, at: usize) -> Vec<CeremonyError> {
    let all = relay.said[at].iter().filter_map(|event| match event {
        Event::CeremonyRefused { error, .. } => Some(error.clone()),
        _ => None,
    });
    all.collect()
}

fn opens_through_messages_alone<S: Kit>() {
    let relay = ceremony::<S>(Duration::ZERO, &mut honest);
    let roster = relay.roster().unwrap();
    assert_ne!(roster.body().dealings, Digest::NONE);
    assert_eq!((relay.members().len(), roster.body().attempt), (MEMBERS, 0));
    assert!(relay.meters.iter().all(|meter| meter.grid().is_some()));
    assert_eq!(relay.left_out(), []);
}

#[test]
fn a_dealt_epoch_opens_through_messages_alone() {
    opens_through_messages_alone::<Plain>();
    opens_through_messages_alone::<ElGamal>();
}

/// Sums of the region alone.
fn region_sums<S: Kit>(street: &common::region::Region<S>) -> Vec<u64> {
    let results = street.results().into_iter();
    let regions = results.filter(|result| matches!(result.subject, Subject::Region(_)));
    regions.map(|result| result.sum_wh).collect()
}

#[test]
fn any_four_of_five_open_a_slots_sum() {
    let mut street = ceremony::<ElGamal>(Duration::ZERO, &mut honest).into_region();
    for away in 0..MEMBERS {
        street.offline = BTreeSet::from([away]);
        let slot = street.run_slot(away as u64);
        street.close(slot);
        assert_eq!(region_sums(&street).pop(), Some(ALL - (1 << away)));
    }
}

#[test]
fn three_of_five_open_no_sum_and_a_fourth_one_opens_it() {
    let mut street = ceremony::<ElGamal>(Duration::ZERO, &mut honest).into_region();
    let slot = street.end_slot(0);
    let all: Vec<_> = (0..MEMBERS).map(|at| street.contribution(at, slot, 1 << at)).collect();
    street.offline = BTreeSet::from([1, 3]);
    street.collector.handle_messages(&all, street.now);
    street.run_until(street.now + MEANWHILE);
    assert!(street.sums().is_empty());
    street.offline.clear();
    street.run_until(street.now + MEANWHILE);
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn who_sends_no_key_part_is_left_out() {
    let conviction = left_out::<Plain>(2, &mut dropping(2, Kind::KeyPart));
    assert_eq!(conviction, Conviction::Absent(Step::Parts));
}

#[test]
fn who_deals_nothing_is_left_out() {
    let conviction = left_out::<Plain>(2, &mut dropping(2, Kind::Dealing));
    assert_eq!(conviction, Conviction::Absent(Step::Dealings));
}

#[test]
fn who_confirms_nothing_is_left_out() {
    let conviction = left_out::<Plain>(2, &mut dropping(2, Kind::Confirmation));
    assert_eq!(conviction, Conviction::Absent(Step::Confirmations));
}

#[test]
fn a_dealer_with_a_share_that_does_not_fit_is_left_out() {
    let conviction = left_out::<Plain>(
        1,
        &mut bending((1, Kind::Dealing), |said| vec![with_bad_share::<Plain>(said, 3)]),
    );
    assert_eq!(conviction, Conviction::BadShare);
    let conviction = left_out::<ElGamal>(
        1,
        &mut bending((1, Kind::Dealing), |said| vec![with_bad_share::<ElGamal>(said, 3)]),
    );
    assert_eq!(conviction, Conviction::BadShare);
}

#[test]
fn who_gets_a_share_that_does_not_fit_says_so() {
    let mut bend = bending((1, Kind::Dealing), |said| vec![with_bad_share::<ElGamal>(said, 3)]);
    let relay = ceremony::<ElGamal>(Duration::ZERO, &mut bend);
    assert_eq!(refused(&relay, 3), [CeremonyError::Shares(vec![meter_id(1)])]);
    assert_eq!(refused(&relay, 0), []);
}

#[test]
fn a_dealing_that_does_not_verify_is_its_dealers() {
    let other_commitments = |said: &Said<'_>| {
        let swapped = |body: &mut Dealing| body.dealing[2..66].rotate_left(32);
        vec![said.bent(swapped)]
    };
    let mut bend = bending((1, Kind::Dealing), other_commitments);
    assert_eq!(left_out::<ElGamal>(1, &mut bend), Conviction::BadDealing);
    let garbage =
        |said: &Said<'_>| vec![said.bent(|body: &mut Dealing| body.dealing = vec![7; 9].into())];
    let mut bend = bending((1, Kind::Dealing), garbage);
    assert_eq!(left_out::<ElGamal>(1, &mut bend), Conviction::BadDealing);
}

#[test]
fn a_dealing_to_other_key_parts_is_its_dealers() {
    let elsewhere =
        |said: &Said<'_>| vec![said.bent(|body: &mut Dealing| body.parts = Digest::LAST)];
    let conviction = left_out::<Plain>(1, &mut bending((1, Kind::Dealing), elsewhere));
    assert_eq!(conviction, Conviction::BadDealing);
}

#[test]
fn two_dealings_of_one_dealer_are_evidence() {
    let both = |said: &Said<'_>| vec![said.message.to_vec(), with_bad_share::<ElGamal>(said, 3)];
    let relay = ceremony::<ElGamal>(PATIENCE + MEANWHILE, &mut bending((1, Kind::Dealing), both));
    assert_eq!(relay.left_out(), [(1, Conviction::TwoStatements)]);
    assert_eq!(relay.members(), [0, 2, 3, 4]);
    let [evidence] = &relay.evidence()[..] else { panic!("{:?}", relay.evidence()) };
    let found = evidence.check().unwrap();
    assert_eq!((found.party, found.about), (Sender::Meter(meter_id(1)), About::Dealings));
}

/// A complaint about the first dealer that shows nothing.
fn false_complaint(said: &Said<'_>) -> Vec<Vec<u8>> {
    let Up(at) = said.way else { panic!("a meter complains") };
    let complaint = ByteBuf::from(vec![7; 96]);
    vec![said.by_meter(at, &Complaint { dealer: meter_id(0), complaint })]
}

#[test]
fn a_false_complaint_leaves_its_author_out() {
    let mut bend = bending((2, Kind::Confirmation), false_complaint);
    assert_eq!(left_out::<Plain>(2, &mut bend), Conviction::FalseComplaint);
    let mut bend = bending((2, Kind::Confirmation), false_complaint);
    assert_eq!(left_out::<ElGamal>(2, &mut bend), Conviction::FalseComplaint);
}

/// A ceremony with a complaint that convicts its first dealer, and the
/// complaint.
fn with_complaint() -> (Relay<ElGamal>, Vec<u8>) {
    let mut bend = bending((1, Kind::Dealing), |said| vec![with_bad_share::<ElGamal>(said, 3)]);
    let relay = ceremony::<ElGamal>(Duration::ZERO, &mut bend);
    let complaint = relay.sent.iter().find(|(_, kind, _)| *kind == Kind::Complaint);
    let complaint = complaint.unwrap().2.clone();
    (relay, complaint)
}

#[test]
fn a_complaint_replayed_in_another_attempt_convicts_nobody() {
    let (_, complaint) = with_complaint();
    let mut relay = Relay::<ElGamal>::new(MEMBERS, dealt::<ElGamal>());
    // The dealer is absent from the first attempt, and honest in the next.
    relay.run(MEANWHILE, &mut dropping(1, Kind::Dealing));
    relay.begin_next();
    let mut replaying = |said: &Said<'_>| match said.kind {
        Kind::Confirmation if said.attempt == 1 => vec![complaint.clone(), said.message.to_vec()],
        _ => said.whole(),
    };
    relay.run(MEANWHILE, &mut replaying);
    assert_eq!((relay.left_out(), relay.members().len()), (vec![], MEMBERS));
    assert_eq!(relay.roster().unwrap().body().attempt, 1);
    assert!(relay.collector.counters()["signature"] >= 1);
}

#[test]
fn a_complaint_signed_anew_in_another_epoch_convicts_its_author() {
    let (mut relay, complaint) = with_complaint();
    assert_eq!(relay.left_out(), [(1, Conviction::BadShare)]);
    let complaint: Complaint =
        protocol::envelope::Envelope::parse(&complaint).unwrap().peek().unwrap();
    let terms = relay.terms.clone();
    relay.collector.next_epoch(terms, relay.now).unwrap();
    let reused = |said: &Said<'_>| match said.place.epoch {
        Epoch(2) => vec![said.by_meter(3, &complaint)],
        _ => said.whole(),
    };
    relay.run(PATIENCE + MEANWHILE, &mut bending((3, Kind::Confirmation), reused));
    let last = relay.left_out().pop();
    assert_eq!(last, Some((3, Conviction::FalseComplaint)));
    assert_eq!(relay.members(), [0, 1, 2, 4]);
}

#[test]
fn who_confirms_other_dealings_is_left_out() {
    let other =
        |said: &Said<'_>| vec![said.bent(|body: &mut Confirmation| body.dealings = Digest::LAST)];
    let conviction = left_out::<Plain>(2, &mut bending((2, Kind::Confirmation), other));
    assert_eq!(conviction, Conviction::OtherDealings);
}

#[test]
fn who_confirms_another_group_is_left_out() {
    let other =
        |said: &Said<'_>| vec![said.bent(|body: &mut Confirmation| body.group = Digest::LAST)];
    let conviction = left_out::<Plain>(2, &mut bending((2, Kind::Confirmation), other));
    assert_eq!(conviction, Conviction::OtherDealings);
}

#[test]
fn a_relay_that_loses_the_first_messages_only_delays() {
    let mut lost = BTreeSet::new();
    let mut losing = |said: &Said<'_>| {
        let way = format!("{:?}", said.way);
        // The invitation, key parts, dealings and roster are lost to each, and
        // everything that each says.
        if lost.insert((way, said.kind)) { Vec::new() } else { said.whole() }
    };
    let relay = ceremony::<Plain>(MEANWHILE, &mut losing);
    assert_eq!((relay.left_out(), relay.members().len()), (vec![], MEMBERS));
    assert_eq!(relay.roster().unwrap().body().attempt, 0);
    assert!(relay.meters.iter().all(|meter| meter.grid().is_some()));
}

#[test]
fn a_relay_that_loses_every_third_message_only_delays() {
    for seed in 0..20 {
        let mut rng = common::rng(seed);
        let mut losing = |said: &Said<'_>| {
            if rng.random_ratio(2, 3) { said.whole() } else { Vec::new() }
        };
        let relay = ceremony::<Plain>(2 * PATIENCE, &mut losing);
        assert_eq!((relay.left_out(), relay.members().len()), (vec![], MEMBERS), "{seed}");
        assert!(relay.meters.iter().all(|meter| meter.grid().is_some()), "{seed}");
    }
}

/// What one meter hears of a kind is bent; what it has to say, and whether the
/// ceremony opens with it at the first attempt.
fn shown<S: Kit>(
    kind: Kind,
    bend: impl Fn(&Said<'_>) -> Vec<Vec<u8>>,
) -> (Vec<CeremonyError>, bool) {
    let mut showing =
        |said: &Said<'_>| if said.is(Down(2), kind) { bend(said) } else { said.whole() };
    let relay = ceremony::<S>(MEANWHILE, &mut showing);
    let opened = relay.members().len() == MEMBERS && relay.meters[2].grid().is_some();
    (refused(&relay, 2), opened)
}

/// The key parts, with another one that their last member has signed.
fn other_parts(said: &Said<'_>) -> Vec<u8> {
    let statement = said.place.key_part(&meter_id(4));
    let part = Plain::key_part(aggregation::Context(&statement), &mut common::rng(8)).1;
    let part = said.by_meter(4, &KeyPart { part: part.to_bytes().into() });
    said.bent(|body: &mut KeyParts| body.messages[4] = part.into())
}

#[test]
fn a_meter_refuses_other_key_parts_than_those_it_has_dealt_to() {
    let both = |said: &Said<'_>| vec![said.message.to_vec(), other_parts(said)];
    let (refused, opened) = shown::<Plain>(Kind::KeyParts, both);
    assert_eq!(refused, [CeremonyError::OtherParts]);
    // It has not forgotten the ones that it dealt to.
    assert!(opened);
}

#[test]
fn a_meter_refuses_key_parts_with_another_one_under_its_name() {
    let renamed = |said: &Said<'_>| {
        let statement = said.place.key_part(&meter_id(2));
        let part = Plain::key_part(aggregation::Context(&statement), &mut common::rng(8)).1;
        let part = said.by_meter(2, &KeyPart { part: part.to_bytes().into() });
        vec![said.bent(|body: &mut KeyParts| body.messages[2] = part.into())]
    };
    let (refused, opened) = shown::<Plain>(Kind::KeyParts, renamed);
    assert!(!opened && refused.iter().all(|error| *error == CeremonyError::OwnPart));
    assert!(!refused.is_empty());
}

#[test]
fn a_meter_refuses_a_key_part_that_its_member_did_not_sign() {
    let forged = |said: &Said<'_>| {
        let own = said.body::<KeyParts>().messages[3].clone();
        vec![said.bent(|body: &mut KeyParts| body.messages[4] = own)]
    };
    let (refused, opened) = shown::<Plain>(Kind::KeyParts, forged);
    assert!(!opened && refused.contains(&CeremonyError::PassedOn(meter_id(4), Rejection::Sender)));
    let missing = |said: &Said<'_>| {
        vec![said.bent(|body: &mut KeyParts| {
            body.messages.pop();
        })]
    };
    let (refused, opened) = shown::<Plain>(Kind::KeyParts, missing);
    assert!(!opened && refused.contains(&CeremonyError::Members));
}

#[test]
fn a_meter_refuses_a_second_dealing_of_a_dealer() {
    let first = Cell::new(true);
    let both = |said: &Said<'_>| {
        if !first.replace(false) {
            return said.whole();
        }
        let dealings: Dealings = said.body();
        let message = &dealings.messages[4];
        let dealer = Said { way: Up(4), kind: Kind::Dealing, message, ..*said };
        let second = with_bad_share::<Plain>(&dealer, 0);
        let alone = Dealings { first: 4, messages: vec![second.into()] };
        vec![said.bent(|body: &mut Dealings| *body = alone), said.message.to_vec()]
    };
    let (refused, opened) = shown::<Plain>(Kind::Dealings, both);
    assert!(!opened && !refused.is_empty());
    assert!(refused.iter().all(|error| *error == CeremonyError::SecondDealing(meter_id(4))));
}

#[test]
fn a_meter_refuses_another_dealing_under_its_own_name() {
    let renamed = |said: &Said<'_>| {
        let message = said.body::<Dealings>().messages[2].clone();
        let dealer = Said { way: Up(2), kind: Kind::Dealing, message: &message, ..*said };
        let second = with_bad_share::<Plain>(&dealer, 0);
        vec![said.bent(|body: &mut Dealings| body.messages[2] = second.into())]
    };
    let (refused, opened) = shown::<Plain>(Kind::Dealings, renamed);
    assert!(!opened && refused.contains(&CeremonyError::SecondDealing(meter_id(2))));
}

#[test]
fn a_meter_refuses_a_dealing_that_does_not_verify() {
    let bad = |said: &Said<'_>| {
        let message = said.body::<Dealings>().messages[4].clone();
        let dealer = Said { way: Up(4), kind: Kind::Dealing, message: &message, ..*said };
        let bad = dealer.bent(|body: &mut Dealing| body.parts = Digest::LAST);
        vec![said.bent(|body: &mut Dealings| body.messages[4] = bad.into())]
    };
    let (refused, opened) = shown::<Plain>(Kind::Dealings, bad);
    assert!(!opened && refused.contains(&CeremonyError::Dealing(meter_id(4))));
}

#[test]
fn a_meter_refuses_dealings_of_more_than_the_members() {
    for first in [5, u16::MAX] {
        let beyond = move |said: &Said<'_>| {
            vec![said.bent(|body: &mut Dealings| body.first = first), said.message.to_vec()]
        };
        let (refused, opened) = shown::<Plain>(Kind::Dealings, beyond);
        assert_eq!((&refused[..], opened), (&[CeremonyError::Members][..], true), "{first}");
    }
}

/// What a meter says to a roster that is bent before it hears it; it still
/// takes the honest one afterwards.
fn refused_roster(bend: impl Fn(&mut Roster)) -> RosterError {
    let mut bending = |said: &Said<'_>| {
        if said.is(Down(2), Kind::Roster) { vec![said.bent(&bend)] } else { said.whole() }
    };
    let mut relay = ceremony::<ElGamal>(Duration::ZERO, &mut bending);
    let refused = relay.said[2].pop();
    let Some(Event::RosterRefused(error)) = refused else { panic!("{refused:?}") };
    assert!(relay.meters[2].grid().is_none());
    relay.run(MEANWHILE, &mut honest);
    assert!(relay.meters[2].grid().is_some());
    error
}

#[test]
fn a_meter_refuses_a_roster_with_other_dealings() {
    for digest in [Digest::LAST, Digest::NONE] {
        assert_eq!(refused_roster(|roster| roster.dealings = digest), RosterError::Dealings);
    }
}

#[test]
fn a_meter_refuses_a_roster_with_another_group_key() {
    let error = refused_roster(|roster| roster.group_key.clone_from(&roster.members[0].part));
    assert_eq!(error, RosterError::GroupKey);
}

#[test]
fn a_meter_refuses_a_roster_with_another_public_share() {
    let error = refused_roster(|roster| roster.members[0].part = roster.members[1].part.clone());
    assert_eq!(error, RosterError::GroupKey);
}

#[test]
fn a_meter_refuses_the_whole_group_of_other_dealings() {
    let mut other = Relay::<ElGamal>::new(MEMBERS, dealt::<ElGamal>());
    // A meter that draws something else makes another group.
    other.meters[4] = common::new_meter_from(4, common::rng(1000), START);
    other.run(Duration::ZERO, &mut honest);
    let other = other.roster().unwrap();
    let error = refused_roster(|roster| {
        assert_ne!(roster.group_key, other.body().group_key);
        roster.group_key.clone_from(&other.body().group_key);
        for (member, of) in roster.members.iter_mut().zip(&other.body().members) {
            member.part.clone_from(&of.part);
        }
    });
    assert_eq!(error, RosterError::GroupKey);
}

#[test]
fn a_meter_without_a_share_refuses_the_roster() {
    let mut forging = |said: &Said<'_>| match (said.way, said.kind) {
        (Down(2), Kind::Dealings) => Vec::new(),
        (Up(3), Kind::Confirmation) => {
            vec![said.message.to_vec(), said.by_meter(2, &said.body::<Confirmation>())]
        }
        _ => said.whole(),
    };
    let relay = ceremony::<Plain>(Duration::ZERO, &mut forging);
    assert_eq!(relay.said[2].last(), Some(&Event::RosterRefused(RosterError::Dealings)));
    assert!(relay.meters[2].grid().is_none() && relay.meters[3].grid().is_some());
}

/// What every dealer has sent as its dealing.
fn dealings<S: Kit>(relay: &Relay<S>, at: usize) -> BTreeSet<&Vec<u8>> {
    let of_meter = |sent: &&(usize, Kind, Vec<u8>)| (sent.0, sent.1) == (at, Kind::Dealing);
    relay.sent.iter().filter(of_meter).map(|(.., message)| message).collect()
}

fn restarts_at_every_step<S: Kit>() {
    let mut relay = Relay::<S>::new(MEMBERS, dealt::<S>());
    relay.restarts = true;
    relay.run(MEANWHILE, &mut honest);
    assert_eq!((relay.left_out(), relay.members().len()), (vec![], MEMBERS));
    assert_eq!(relay.roster().unwrap().body().attempt, 0);
    assert!(relay.meters.iter().all(|meter| meter.grid().is_some()));
    assert!((0..MEMBERS).all(|at| dealings(&relay, at).len() == 1));
    let mut street = relay.into_region();
    street.run_slot(0);
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn parties_that_restart_at_every_step_go_on_with_the_same_dealings() {
    restarts_at_every_step::<Plain>();
    restarts_at_every_step::<ElGamal>();
}

#[test]
fn a_collector_that_restarts_late_hears_the_dealings_of_those_that_confirmed() {
    let mut relay = ceremony::<Plain>(MEANWHILE, &mut dropping(2, Kind::Confirmation));
    assert!(relay.roster().is_none());
    relay.restart_collector();
    relay.run(MEANWHILE, &mut honest);
    assert_eq!((relay.left_out(), relay.members().len()), (vec![], MEMBERS));
    assert!((0..MEMBERS).all(|at| dealings(&relay, at).len() == 1));
}

#[test]
fn who_comes_back_with_other_key_parts_costs_an_attempt() {
    let mut relay = ceremony::<Plain>(MEANWHILE, &mut dropping(2, Kind::Confirmation));
    relay.disks[1] = Records::default();
    relay.restart_collector();
    relay.restart(1);
    relay.run(PATIENCE + MEANWHILE, &mut honest);
    assert_eq!((relay.left_out(), relay.members().len()), (vec![], MEMBERS));
    assert_eq!(relay.roster().unwrap().body().attempt, 1);
}

#[test]
fn who_has_dealt_to_key_parts_of_an_earlier_life_is_not_left_out() {
    let mut relay = ceremony::<Plain>(MEANWHILE, &mut losing(Down(3), Kind::Dealings));
    assert!(relay.roster().is_none());
    relay.disks[1] = Records::default();
    relay.restart_collector();
    relay.restart(1);
    relay.run(MEANWHILE, &mut honest);
    assert_eq!((relay.left_out(), relay.members().len()), (vec![], MEMBERS));
    assert_eq!(relay.roster().unwrap().body().attempt, 1);
}

#[test]
fn a_collector_that_restarts_in_a_later_attempt_goes_on_with_it() {
    let mut relay = Relay::<Plain>::new(MEMBERS, dealt::<Plain>());
    let mut without = |said: &Said<'_>| match (said.way, said.kind) {
        (Up(1), _) | (Up(2), Kind::Confirmation) => Vec::new(),
        _ => said.whole(),
    };
    relay.run(PATIENCE + MEANWHILE, &mut without);
    assert_eq!(relay.left_out(), [(1, Conviction::Absent(Step::Parts))]);
    relay.restart_collector();
    relay.run(MEANWHILE, &mut honest);
    assert_eq!((relay.members(), relay.left_out().len()), (vec![0, 2, 3, 4], 1));
    assert_eq!(relay.roster().unwrap().body().attempt, 1);
}

#[test]
fn an_earlier_attempt_that_is_said_again_disturbs_nobody() {
    let mut first = None;
    let mut replaying = |said: &Said<'_>| {
        if said.kind == Kind::Invitation && said.attempt == 0 {
            first.get_or_insert_with(|| said.message.to_vec());
        }
        match (said.way, said.kind) {
            (Up(1), Kind::KeyPart) => Vec::new(),
            // In every later step.
            (Down(_), Kind::KeyParts) => vec![said.message.to_vec(), first.clone().unwrap()],
            _ => said.whole(),
        }
    };
    let relay = ceremony::<Plain>(PATIENCE + MEANWHILE, &mut replaying);
    assert_eq!((relay.members(), relay.left_out().len()), (vec![0, 2, 3, 4], 1));
}

#[test]
fn too_few_wait_until_the_absent_are_back() {
    let mut relay = Relay::<Plain>::new(MEMBERS, dealt::<Plain>());
    relay.offline = BTreeSet::from([0, 1]);
    relay.run(3 * PATIENCE, &mut honest);
    assert_eq!((relay.roster().is_none(), relay.left_out()), (true, vec![]));
    relay.offline.clear();
    relay.run(MEANWHILE, &mut honest);
    assert_eq!(relay.members().len(), MEMBERS);
}

#[test]
fn who_comes_back_takes_the_place_of_who_goes() {
    let mut relay = Relay::<Plain>::new(MEMBERS, dealt::<Plain>());
    relay.offline = BTreeSet::from([1]);
    relay.run(PATIENCE, &mut dropping(2, Kind::Dealing));
    assert_eq!(relay.left_out(), [(1, Conviction::Absent(Step::Parts))]);
    relay.offline = BTreeSet::from([2]);
    relay.run(3 * PATIENCE, &mut honest);
    assert_eq!(relay.members(), [0, 1, 3, 4]);
}

#[test]
fn a_liar_is_not_asked_again_while_enough_are_left() {
    let mut bend = bending((1, Kind::Dealing), |said| vec![with_bad_share::<Plain>(said, 3)]);
    let mut relay = ceremony::<Plain>(Duration::ZERO, &mut bend);
    assert_eq!(relay.members(), [0, 2, 3, 4]);
    relay.run(MEANWHILE, &mut honest);
    assert_eq!(relay.left_out(), [(1, Conviction::BadShare)]);
}

#[test]
fn nothing_of_a_candidate_is_kept_once_it_is_a_member() {
    let relay = ceremony::<ElGamal>(Duration::ZERO, &mut honest);
    for disk in &relay.disks {
        assert_eq!(disk.of(Sort::Candidate).count(), 0);
        assert!(disk.get(&Key::key_share(EPOCH)).is_some());
        assert!(disk.get(&Key::roster(EPOCH)).is_some());
    }
    assert!(relay.disk.get(&Key::ceremony()).is_none());
    assert_eq!(relay.now, START);
}

#[test]
fn who_was_left_out_keeps_quiet_and_joins_nothing() {
    let mut bend = bending((1, Kind::Dealing), |said| vec![with_bad_share::<Plain>(said, 3)]);
    let mut relay = ceremony::<Plain>(Duration::ZERO, &mut bend);
    assert_eq!(relay.disks[1].of(Sort::Candidate).count(), 0);
    relay.sent.clear();
    relay.run(MEANWHILE, &mut honest);
    assert!(relay.sent.iter().all(|(at, ..)| *at != 1));
    assert!(relay.meters[1].grid().is_none());
}
