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

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::{ElGamal, Plain};
use common::region::{
    ALL, HOLDER, MEMBERS, Region, bill_request, messages, portion, region_request,
};
use common::relay::{Relay, Way, honest, losing};
use common::{
    Kit, PATIENCE, START, collector_identity, collector_terms, dealt, events, parameters,
    published, region_id, registrar, rng,
};
use protocol::collector::{Collector, TermsError};
use protocol::evidence::{About, Evidence};
use protocol::id::{Epoch, Sender};
use protocol::message::{Kind, Subject};
use protocol::output::{Event, InvitationError, SlotError};
use protocol::parameters::Parameters;
use protocol::record::{Key, Records, Sort};
use protocol::roster::AcceptedRoster;
use protocol::transcript;

const FIRST: Epoch = Epoch(1);
const SECOND: Epoch = Epoch(2);

type Street = Region<Plain>;

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
    let mut relay = Relay::<Plain>::opened(dealt::<Plain>());
    let first = relay.roster().unwrap();
    relay.begin_next();
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
