//! One epoch after the other: who joins and leaves, where the one ends and the
//! next begins, and what is left of an epoch that is over.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::{ElGamal, Plain};
use common::region::{
    ALL, Disk, HOLDER, MEMBERS, Region, bill_request, messages, portion, region_request,
};
use common::relay::{Bend, Relay, Said, Way, honest, losing};
use common::{
    Kit, PATIENCE, START, collector_identity, collector_terms, copy, dealt, drain, events, invited,
    meter_id, new_meter, parameters, published, region_id, registrar, rng,
};
use protocol::collector::{Collector, TermsError};
use protocol::envelope::Envelope;
use protocol::evidence::{About, Evidence};
use protocol::id::{Digest, Epoch, Sender};
use protocol::message::{Invitation, Kind, Roster, Subject};
use protocol::output::{Event, InvitationError, Output, SlotError};
use protocol::parameters::Parameters;
use protocol::reading::Register;
use protocol::record::{Change, Key, Records, Sort};
use protocol::roster::{AcceptedRoster, RosterError};
use protocol::slot::Slot;
use protocol::transcript;

const FIRST: Epoch = Epoch(1);
const SECOND: Epoch = Epoch(2);

type Street = Region<Plain>;

impl<S: Kit> Region<S> {
    /// The region's sums of the epoch that is turned to, by slot.
    fn slot_sums(&self) -> BTreeMap<Slot, u64> {
        let results = self.results().into_iter();
        let regions = results.filter(|result| matches!(result.subject, Subject::Region(_)));
        regions.map(|result| (result.first_slot, result.sum_wh)).collect()
    }

    /// Lets a meter that stands outside come in.
    fn add_meter(&mut self) {
        self.meters.push(new_meter(self.meters.len(), self.now));
        self.disks.push(Disk::default());
    }

    fn change_collector(&mut self) {
        let terms = collector_terms(MEMBERS, self.body().parameters.clone());
        let keys = (collector_identity(), registrar());
        let tools = (S::decoder(), rng(7));
        self.collector = Collector::new(terms, keys, &self.disk, tools, self.now).unwrap();
        self.collector.handle_connected(self.now);
    }
}

/// A street in the third slot of its first epoch, for which the second one is
/// open already; the roster of the first.
fn with_second<S: Kit>(parameters: Parameters) -> (Region<S>, AcceptedRoster<S>) {
    let mut street = Region::open_with(MEMBERS, parameters);
    street.run_slots(0..2);
    let first = street.next_epoch(&[0, 1, 2, 3, 4]);
    (street, first)
}

/// A street in its second epoch, after one window of the first.
fn in_second() -> (Street, AcceptedRoster<Plain>) {
    let (mut street, mut first) = with_second::<Plain>(parameters::<Plain>());
    std::mem::swap(&mut street.roster, &mut first);
    street.run_slots(2..4);
    std::mem::swap(&mut street.roster, &mut first);
    (street, first)
}

fn both_sides_sum<S: Kit>(parameters: Parameters) {
    let (mut street, mut first) = with_second::<S>(parameters);
    assert_eq!(street.roster.epoch(), SECOND);
    assert_eq!(street.body().first_slot, first.body().first_slot.plus(4));
    std::mem::swap(&mut street.roster, &mut first);
    street.run_slots(2..4);
    let before = street.slot_sums();
    std::mem::swap(&mut street.roster, &mut first);
    street.run_slots(0..4);
    let after = street.slot_sums();
    let all = |first: u64| (first..first + 4).map(|at| (street.slot(0).plus(at).0 - 4, ALL));
    let sums = before.iter().chain(&after).map(|(slot, sum)| (slot.0, *sum));
    assert!(sums.eq(all(0).chain(all(4))), "{before:?} {after:?}");
}

#[test]
fn the_next_epoch_begins_at_a_window_and_both_sides_are_summed() {
    both_sides_sum::<Plain>(parameters::<Plain>());
    both_sides_sum::<ElGamal>(dealt::<ElGamal>());
}

#[test]
fn both_windows_at_the_cut_are_billed() {
    let (mut street, mut first) = in_second();
    street.run_slots(0..4);
    street.run_until(street.now + Duration::from_hours(1));
    let bills = |street: &Street| {
        street.results().iter().filter(|result| result.subject != region()).count()
    };
    assert_eq!(bills(&street), MEMBERS);
    std::mem::swap(&mut street.roster, &mut first);
    assert_eq!(bills(&street), MEMBERS);
}

fn region() -> Subject {
    Subject::Region(region_id())
}

#[test]
fn members_join_and_leave() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..2);
    street.add_meter();
    let mut first = street.next_epoch(&[0, 1, 2, 3, 5]);
    assert_eq!(street.meters[4].counters().get("left"), Some(&1));
    assert_eq!(street.meters[5].grid().unwrap().origin, street.body().first_slot);
    // Until then the old ones are summed.
    std::mem::swap(&mut street.roster, &mut first);
    let last = street.run_slot(3);
    assert_eq!(street.slot_sums()[&last], ALL);
    std::mem::swap(&mut street.roster, &mut first);
    let slot = street.run_slot(0);
    assert_eq!(street.slot_sums()[&slot], 0b10_1111);
    let refused = street.read(4, slot, 1);
    assert_eq!(events(&refused), [Event::SlotRefused { slot, error: SlotError::NoEpoch }]);
}

#[test]
fn who_leaves_hears_of_it_once_and_keeps_it() {
    let mut street = Street::open(MEMBERS);
    street.next_epoch(&[0, 1, 2, 3]);
    assert!(street.disks[4].get(&Key::roster(SECOND)).is_some());
    assert!(street.disks[4].get(&Key::key_share(FIRST)).is_some());
    let again = street.signed_roster.clone();
    assert!(street.tell(4, &again).is_empty());
    street.restart(4);
    assert!(street.tell(4, &again).is_empty());
    // Its epoch has ended where the other begins.
    street.end_slot(0);
    let slot = street.slot(0);
    let refused = street.read(4, slot, 1);
    assert_eq!(events(&refused), [Event::SlotRefused { slot, error: SlotError::NoEpoch }]);
}

#[test]
fn who_leaves_helps_with_what_is_open() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..2);
    let mut first = street.next_epoch(&[0, 1, 2, 3]);
    std::mem::swap(&mut street.roster, &mut first);
    let slot = street.end_slot(3);
    let all: Vec<_> = (0..MEMBERS).map(|at| street.contribution(at, slot, 1 << at)).collect();
    street.offline = BTreeSet::from([4]);
    street.collector.handle_messages(&all, street.now);
    street.run_until(street.now + Duration::from_mins(30));
    assert_eq!(street.slot_sums().get(&slot), None);
    // In the middle of the second epoch it is back.
    street.offline.clear();
    street.run_until(street.now + Duration::from_mins(5));
    assert_eq!(street.slot_sums()[&slot], ALL);
}

#[test]
fn nothing_of_an_epoch_is_taken_for_slots_after_its_end() {
    let (mut street, mut first) = in_second();
    std::mem::swap(&mut street.roster, &mut first);
    street.end_slot(7);
    let slots: Vec<_> = (4..8).map(|at| street.slot(at)).collect();
    let played: Vec<_> = slots.iter().map(|slot| street.play(1, *slot, 1)).collect();
    let of_slot = messages(&street.play_all(slots[0], 1..MEMBERS));
    let outside = |said: Vec<Event>| matches!(&said[..], [Event::Rejected { name: "outside", .. }]);
    assert!(outside(street.send(&played[0].message)));
    assert_eq!(street.ask_region(HOLDER, slots[0], &of_slot).name(), "outside");
    let bill = bill_request(portion(1), &[]);
    assert_eq!(street.ask(HOLDER, &bill).name(), "outside");
}

#[test]
fn a_request_of_an_old_epoch_replayed_in_the_new_one_is_refused() {
    let (mut street, mut first) = in_second();
    assert!(
        street.body().members.iter().map(|m| &m.meter).eq(first
            .body()
            .members
            .iter()
            .map(|m| &m.meter))
    );
    std::mem::swap(&mut street.roster, &mut first);
    let last = street.slot(3);
    let of_last = messages(&street.play_all(last, 1..MEMBERS));
    let next = street.slot(4);
    let of_next = messages(&street.play_all(next, 1..MEMBERS));
    std::mem::swap(&mut street.roster, &mut first);
    street.end_slot(0);
    // As the collector of the second epoch signs it.
    assert_eq!(street.ask_region(HOLDER, last, &of_last).name(), "outside");
    assert_eq!(street.ask_region(HOLDER, next, &of_next).name(), "epoch");
}

#[test]
fn a_request_signed_under_the_old_roster_counts_for_no_slot_of_the_new_one() {
    let (mut street, first) = in_second();
    street.end_slot(0);
    let slot = street.slot(0);
    let listed = messages(&street.play_all(slot, 1..MEMBERS));
    let place = (first.region(), SECOND, Sender::Collector);
    let request = region_request(slot, &listed);
    let message = protocol::envelope::seal(&collector_identity(), place, first.digest(), &request);
    assert_eq!(street.ask_with(HOLDER, &message).name(), "signature");
}

/// A relay whose first epoch is open.
fn opened<S: Kit>(parameters: Parameters) -> Relay<S> {
    let mut relay = Relay::new(MEMBERS, parameters);
    relay.run(Duration::ZERO, &mut honest);
    relay
}

/// Begins the next epoch with the same terms.
fn begin_next<S: Kit>(relay: &mut Relay<S>) {
    relay.collector.next_epoch(relay.terms.clone(), relay.now).unwrap();
}

#[test]
fn a_slot_is_encrypted_once_even_if_the_roster_is_heard_late() {
    let mut relay = opened::<Plain>(parameters::<Plain>());
    begin_next(&mut relay);
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
fn the_next_epoch_begins_by_itself_before_the_end() {
    let mut street = Street::open(MEMBERS);
    let end = street.body().end_slot;
    // Six steps of patience before the end.
    let due = street.roster.grid().start(end) - 6 * PATIENCE;
    street.run_until(due - Duration::from_millis(1));
    assert!(published(&street.outputs, "/c/roster").is_empty());
    street.run_until(due);
    let mut first = street.turn();
    assert_eq!((street.roster.epoch(), street.body().first_slot), (SECOND, end));
    std::mem::swap(&mut street.roster, &mut first);
    let last = street.run_slot(15);
    assert_eq!(street.slot_sums()[&last], ALL);
    std::mem::swap(&mut street.roster, &mut first);
    let slot = street.run_slot(0);
    assert_eq!(street.slot_sums()[&slot], ALL);
}

#[test]
fn epochs_follow_one_another_without_an_end() {
    let mut street = Street::open(MEMBERS);
    for epoch in 2..6 {
        let end = street.roster.grid().start(street.roster.end_slot());
        street.run_until(end);
        street.turn();
        assert_eq!(street.roster.epoch(), Epoch(epoch));
    }
    let slot = street.run_slot(0);
    assert_eq!(street.slot_sums()[&slot], ALL);
    // What is over is served by nobody.
    let kept =
        |disk: &Records| disk.of(Sort::Roster).map(|(key, _)| key.epoch.0).collect::<Vec<_>>();
    assert_eq!((kept(&street.disk), kept(&street.disks[0])), (vec![4, 5], vec![4, 5]));
}

#[test]
fn what_an_epoch_opened_is_verified_after_its_last_deadline() {
    let (mut street, mut first) = in_second();
    first.end_before(street.body().first_slot);
    street.run_until(first.last_deadline() + Duration::from_mins(1));
    street.collector.handle_timeout(street.now);
    street.deliver();
    let kept = [Sort::SlotRound, Sort::BillRound, Sort::Final, Sort::PastRoster];
    assert_eq!(of_epoch(&street.disk, FIRST), kept);
    street.restart_collector();
    let signed = street.disk.get(&Key::past_roster(FIRST)).unwrap();
    let roster = AcceptedRoster::<Plain>::open(signed, &region_id(), &registrar().key()).unwrap();
    let rounds = transcript::combined(&street.disk).filter(|(epoch, _)| *epoch == FIRST);
    let rounds: Vec<_> = rounds.map(|(_, target)| target).collect();
    assert_eq!(rounds.len(), 5);
    for target in rounds {
        let transcript = transcript::of(&street.disk, FIRST, target).unwrap().unwrap();
        assert_eq!(transcript.verify(&roster).unwrap().target, target);
    }
}

#[test]
fn transcripts_of_a_thousand_slots_are_kept_across_epochs_and_restarts() {
    let mut street = Street::open(MEMBERS);
    for epoch in 2..70 {
        let end = street.roster.grid().start(street.roster.end_slot());
        street.run_until(end);
        street.turn();
        if epoch == 10 {
            street.change_collector();
        }
    }
    // The epoch before this one waits for its last deadline.
    let over = street.slot(0).0 - 16;
    let (oldest, _) = street.disk.of(Sort::SlotRound).next().unwrap();
    assert_eq!(over - oldest.position, 1000);
    let rosters = street.disk.of(Sort::PastRoster).count();
    assert_eq!(rosters, 67, "their bills are fewer than a thousand");
}

/// Every record of an epoch that a machine keeps.
fn of_epoch(disk: &Records, epoch: Epoch) -> Vec<Sort> {
    let sorts = Sort::ALL.iter().copied();
    sorts.filter(|sort| disk.within(*sort, epoch).next().is_some()).collect()
}

#[test]
fn all_that_an_epoch_needed_is_erased_after_its_last_deadline() {
    let (mut street, mut first) = in_second();
    // That of the last slot before the second epoch, by the clock.
    let end = first.grid().start(street.body().first_slot);
    let deadline = end + Duration::from_mins(1) + Duration::from_hours(2);
    street.run_until(deadline);
    let at_deadline = of_epoch(&street.disks[0], FIRST);
    assert!(at_deadline.contains(&Sort::KeyShare) && at_deadline.contains(&Sort::Roster));
    street.now = street.meters[0].poll_timeout().unwrap();
    assert_eq!(street.now, deadline + Duration::from_millis(1));
    street.meters[0].handle_timeout(street.now);
    let said = events(&street.drain(0));
    assert!(said.contains(&Event::EpochErased { epoch: FIRST }), "{said:?}");
    assert_eq!(of_epoch(&street.disks[0], FIRST), []);
    assert!(of_epoch(&street.disks[0], SECOND).contains(&Sort::KeyShare));
    let request = region_request(first.body().first_slot, &[]);
    std::mem::swap(&mut street.roster, &mut first);
    assert_eq!(street.ask(0, &request).name(), "epoch");
}

#[test]
fn who_left_erases_its_key_share_all_the_same() {
    let mut street = Street::open(MEMBERS);
    let mut first = street.next_epoch(&[0, 1, 2, 3]);
    first.end_before(street.body().first_slot);
    street.run_until(first.last_deadline() + Duration::from_millis(1));
    assert_eq!(of_epoch(&street.disks[4], FIRST), []);
    assert_eq!(of_epoch(&street.disks[4], SECOND), [Sort::Roster]);
}

#[test]
fn who_returned_and_was_away_again_is_invited_to_no_epoch_twice() {
    let mut street = Street::open(MEMBERS);
    street.next_epoch(&[0, 1, 2, 3]);
    street.end_slot(0);
    street.next_epoch(&[0, 1, 2, 3, 4]);
    let invitations = published(&street.outputs, "/c/keygen");
    let last = invitations.last().unwrap().clone();
    assert!(street.meters[4].grid().is_some());
    // Nothing of later epochs reaches it.
    street.now = street.roster.last_deadline() + Duration::from_mins(1);
    street.meters[4].handle_timeout(street.now);
    street.drain(4);
    let refused = events(&street.tell(4, &last));
    let error = InvitationError::Open(Epoch(3));
    assert_eq!(refused, [Event::InvitationRefused { epoch: Epoch(3), error }]);
}

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
    let mut relay = opened::<Plain>(parameters::<Plain>());
    begin_next(&mut relay);
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
fn two_rosters_of_one_epoch_are_evidence_and_the_first_one_holds() {
    let (mut street, _) = in_second();
    let mut fork = street.body().clone();
    fork.end_slot = fork.end_slot.plus(4);
    let fork = registrar().sign(&region_id(), SECOND, &fork);
    let said = events(&street.tell(0, &fork));
    assert_eq!(said, [Event::SecondRoster { epoch: SECOND }]);
    let (_, bytes) = street.disks[0].of(Sort::Evidence).next().unwrap();
    let evidence: Evidence = ciborium::from_reader(bytes).unwrap();
    let found = evidence.check().unwrap();
    assert_eq!((found.party, found.about), (Sender::Registrar, About::Rosters));
    assert_eq!((found.region, found.epoch), (region_id(), SECOND));
    assert_eq!(evidence.key, registrar().key());
    street.run_slot(0);
    assert_eq!(street.slot_sums().into_values().collect::<Vec<_>>(), [ALL]);
}

#[test]
fn a_meter_that_was_away_for_an_epoch_joins_the_next_one() {
    let mut street = Street::open(MEMBERS);
    street.offline = BTreeSet::from([4]);
    street.next_epoch(&[0, 1, 2, 3]);
    street.run_slots(0..2);
    street.offline.clear();
    street.next_epoch(&[0, 1, 2, 3, 4]);
    assert_eq!(street.roster.epoch(), Epoch(3));
    let slot = street.run_slot(0);
    assert_eq!(street.slot_sums()[&slot], ALL);
}

#[test]
fn a_collector_that_restarts_in_the_second_epoch_goes_on() {
    let (mut street, _) = in_second();
    street.run_slot(0);
    street.change_collector();
    let slot = street.run_slot(1);
    assert_eq!(street.slot_sums()[&slot], ALL);
}

#[test]
fn a_collector_that_restarts_amid_the_ceremony_of_an_epoch_goes_on() {
    let mut relay = opened::<Plain>(dealt::<Plain>());
    let first = relay.roster().unwrap();
    begin_next(&mut relay);
    let mut losing = losing(Way::Up(2), Kind::Confirmation);
    relay.run(Duration::from_mins(1), &mut losing);
    assert_eq!(relay.roster().unwrap().epoch(), FIRST);
    relay.restart_collector();
    relay.run(Duration::from_mins(2), &mut honest);
    let second = relay.roster().unwrap();
    assert_eq!((second.epoch(), second.body().attempt), (SECOND, 0));
    // It still begins at the end of a window, not of the epoch.
    assert_eq!(second.body().first_slot, first.body().first_slot.plus(4));
    assert!(relay.left_out().is_empty());
}

#[test]
fn a_meter_that_restarts_keeps_both_epochs_until_the_first_is_over() {
    let (mut street, mut first) = with_second::<Plain>(parameters::<Plain>());
    (0..MEMBERS).for_each(|at| drop(street.restart(at)));
    std::mem::swap(&mut street.roster, &mut first);
    let last = street.run_slot(3);
    assert_eq!(street.slot_sums()[&last], ALL);
    std::mem::swap(&mut street.roster, &mut first);
    (0..MEMBERS).for_each(|at| drop(street.restart(at)));
    let slot = street.run_slot(0);
    assert_eq!(street.slot_sums()[&slot], ALL);
    assert_eq!(street.disks[0].of(Sort::KeyShare).count(), 2);
    first.end_before(street.body().first_slot);
    street.run_until(first.last_deadline() + Duration::from_millis(1));
    assert_eq!(street.disks[0].of(Sort::KeyShare).count(), 1);
}

#[test]
fn an_epoch_keeps_the_length_of_its_slots() {
    let mut street = Street::open(MEMBERS);
    let mut terms = collector_terms(MEMBERS, parameters::<Plain>());
    terms.parameters.slot_seconds = NonZeroU32::new(1800).unwrap();
    let refused = street.collector.next_epoch(terms.clone(), START);
    assert_eq!(refused, Err(TermsError::SlotSeconds));
    let keys = (collector_identity(), registrar());
    let tools = (Plain::decoder(), rng(7));
    let refused = Collector::<Plain>::new(terms, keys, &street.disk, tools, START).err();
    assert_eq!(refused, Some(TermsError::SlotSeconds));
}

#[test]
fn an_epoch_that_was_left_out_of_ends_a_candidacy() {
    let mut relay = opened::<Plain>(dealt::<Plain>());
    begin_next(&mut relay);
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
    let mut relay = opened::<Plain>(dealt::<Plain>());
    begin_next(&mut relay);
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
    let mut relay = opened::<Plain>(dealt::<Plain>());
    begin_next(&mut relay);
    relay.run(Duration::ZERO, &mut losing(Way::Down(4), Kind::Roster));
    relay.said[4].clear();
    begin_next(&mut relay);
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
    let mut relay = opened::<Plain>(dealt::<Plain>());
    let (_, _, late) = relay.sent.iter().find(|(_, kind, _)| *kind == Kind::KeyPart).unwrap();
    let late = late.clone();
    begin_next(&mut relay);
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
    let mut relay = opened::<Plain>(dealt::<Plain>());
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
    begin_next(&mut relay);
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
    let mut relay = opened::<Plain>(dealt::<Plain>());
    begin_next(&mut relay);
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
