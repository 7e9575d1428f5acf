//! A collector whose disk is older than what it has said: it asks its members,
//! and comes to the same results.
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

use aggregation::{ElGamal, Plain};
use common::region::{ALL, HOLDER, MEMBERS, Region, ended, portion, region_request, set};
use common::{Kit, copy, dealt, events, published};
use protocol::envelope::{Envelope, seal};
use protocol::id::{Digest, Epoch, MeterId, Sender};
use protocol::message::{
    Answered, Listing, Outcome, Phase, Recall, Recollection, Remembered, Subject, Target,
};
use protocol::output::{Event, Output};
use protocol::parameters::Parameters;
use protocol::record::{Change, Key, Records, Sort};
use protocol::release;
use protocol::slot::Slot;

type Street = Region<Plain>;

/// The member that is late in one slot.
const LATE: usize = MEMBERS - 1;

/// What a sum says, but for who has helped.
type Said = BTreeMap<(Subject, Slot), (u64, u32, Vec<MeterId>, Vec<MeterId>)>;

fn said(results: Vec<Outcome>) -> Said {
    let one = |result: Outcome| {
        let Outcome { sum_wh, slots, contributors, uncounted, .. } = result;
        ((result.subject, result.first_slot), (sum_wh, slots, contributors, uncounted))
    };
    results.into_iter().map(one).collect()
}

/// The bills among results.
fn bills(said: &Said) -> Said {
    let all = said.clone().into_iter();
    all.filter(|((subject, _), _)| matches!(subject, Subject::Meter(_))).collect()
}

/// Listings as they are endorsed, by portion.
fn listed<S: Kit>(street: &Region<S>) -> BTreeMap<u64, Listing> {
    let finals = street.finals();
    let open = |message: &_| street.roster.open_from_collector(&Envelope::parse(message).unwrap());
    let listings = finals.iter().map(|body| open(&body.listing).unwrap());
    listings.map(|listing: Listing| (listing.portion.window.0, listing)).collect()
}

impl<S: Kit> Region<S> {
    /// One member comes too late to a slot, with its contribution.
    fn run_slot_without(&mut self, position: u64, late: usize) {
        self.offline.insert(late);
        let slot = self.run_slot(position);
        self.close(slot);
        self.offline.clear();
        self.meters[late].handle_connected(self.now);
        self.deliver();
    }

    /// Puts an older disk in place of the collector's, starts it and lets it
    /// come back to where it was.
    fn restore(&mut self, disk: &Records) {
        self.disk.records = copy(disk, Sort::ALL);
        self.restart_collector();
        self.run_until(self.now + Duration::from_mins(3));
    }

    fn evidence(&self) -> usize {
        let disks = self.disks.iter().chain([&self.disk]);
        disks.map(|disk| disk.of(Sort::Evidence).count()).sum()
    }

    /// How the round of a slot stands by its last status.
    fn phase(&self, slot: Slot) -> Option<Phase> {
        let mut statuses = self.statuses().into_iter();
        let last = statuses.rfind(|status| status.target == Target::Region(slot));
        last.map(|status| status.phase)
    }

    fn recalls(&self) -> Vec<Recall> {
        self.heard("/c/recall")
    }

    /// A member says by hand what it remembers of a slot.
    fn remember(&mut self, at: usize, slot: Slot, answered: Option<Answered>) {
        let said = Remembered { is_sent: false, answered };
        let message = self.by_meter(at, &Recollection { slots: [(slot, said)].into() });
        self.send(&message);
    }
}

/// Six slots, with one member late in a slot of either window; the disk of the
/// collector before each slot and at the end.
fn six_slots<S: Kit>() -> (Region<S>, Vec<Records>) {
    let mut street = Region::<S>::open_with(MEMBERS, dealt::<S>());
    let mut backups = Vec::new();
    for position in 0..6 {
        backups.push(copy(&street.disk, Sort::ALL));
        match position {
            1 | 4 => street.run_slot_without(position, LATE),
            _ => drop(street.run_slot(position)),
        }
    }
    backups.push(copy(&street.disk, Sort::ALL));
    (street, backups)
}

/// What was said in six slots, and what is said again by a collector that has
/// this one of its backups.
fn again<S: Kit>(backup: usize) -> (Region<S>, [Said; 2], [BTreeMap<u64, Listing>; 2]) {
    let (mut street, backups) = six_slots::<S>();
    let (before, listings) = (said(street.results()), listed(&street));
    street.restore(&backups[backup]);
    let (after, again) = (said(street.results()), listed(&street));
    (street, [before, after], [listings, again])
}

#[test]
fn a_collector_with_any_backup_comes_to_the_same_results_listings_and_bills() {
    for backup in 0..=6 {
        let (street, [before, after], listings) = again::<Plain>(backup);
        assert_eq!(before.len(), 6 + MEMBERS);
        let first = street.slot(backup as u64);
        let of_portion = |subject: &Subject| matches!(subject, Subject::Meter(_)) && backup < 4;
        let lost = |(subject, slot): &(Subject, Slot)| *slot >= first || of_portion(subject);
        for (key, result) in before.iter().filter(|(key, _)| lost(key)) {
            assert_eq!(after.get(key), Some(result), "{key:?} of backup {backup}");
        }
        if backup < 4 {
            assert_eq!(listings[0], listings[1]);
        }
        assert_eq!(street.evidence(), 0);
    }
}

#[test]
fn what_is_said_again_is_opened_by_the_shares_that_holders_gave_before() {
    let (street, [before, after], listings) = again::<ElGamal>(0);
    assert_eq!(before, after);
    assert_eq!(listings[0], listings[1]);
    assert_eq!(street.evidence(), 0);
}

/// A street whose collector has lost the first slot, in which everybody was
/// counted; these members are away since, and nobody has been heard.
fn lost_slot(away: &[usize]) -> (Street, Slot) {
    let mut street = Street::open_with(MEMBERS, dealt::<Plain>());
    let backup = copy(&street.disk, Sort::ALL);
    let slot = street.run_slot(0);
    assert_eq!(street.sums(), [ALL]);
    street.now = street.roster.slot_closes(slot);
    street.disk.records = backup;
    street.offline.extend(away);
    street.restart_collector();
    (street, slot)
}

#[test]
fn a_contribution_that_was_late_stays_late() {
    let (street, ..) = again::<Plain>(4);
    let late = street.slot(4);
    let receipts = street.receipts(LATE);
    assert!(!receipts.iter().any(|receipt| receipt.slot == late && receipt.on_time));
    let omitted = |event: &Event| matches!(event, Event::Omission { .. });
    assert!(!street.collector_events().iter().any(omitted));
    let kept: Vec<_> =
        street.disk.of(Sort::Counted).filter(|(key, _)| key.position == late.0).collect();
    assert_eq!(kept.len(), MEMBERS - 1);
}

#[test]
fn a_collector_that_was_restored_can_start_again_at_once() {
    let (mut street, ..) = again::<Plain>(0);
    street.restart_collector();
    street.run_slots(6..8);
    let all = bills(&said(street.results())).into_iter();
    let second = all.filter(|((_, slot), _)| *slot == street.slot(4));
    assert_eq!(second.map(|(_, (wh, ..))| wh).collect::<Vec<_>>(), [4, 8, 16, 32, 48]);
}

/// Windows of eight slots, in which the sum of a slot may be opened for two
/// hours and the bills for as long after the last slot.
fn eight_slots() -> Parameters {
    Parameters { window_slots: NonZeroU32::new(8).unwrap(), ..dealt::<Plain>() }
}

#[test]
fn slots_past_their_own_deadline_are_listed_and_billed() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    let backup = copy(&street.disk, Sort::ALL);
    street.run_slots(0..8);
    let before = said(street.results());
    street.end_slot(12);
    street.restore(&backup);
    let over = "it was asked for before, and its deadline has passed".to_owned();
    assert_eq!(street.phase(street.slot(0)), Some(Phase::Abandoned(over)));
    assert_eq!(street.phase(street.slot(7)), Some(Phase::Combined));
    assert_eq!(bills(&said(street.results())), bills(&before));
    assert_eq!((bills(&before).len(), street.evidence()), (MEMBERS, 0));
}

#[test]
fn what_is_past_all_deadlines_does_not_come_back() {
    let (mut street, backups) = six_slots::<Plain>();
    street.end_slot(15);
    street.restore(&backups[0]);
    assert_eq!(bills(&said(street.results())).len(), 0);
    assert!(matches!(street.phase(street.slot(0)), Some(Phase::Abandoned(_))));
}

#[test]
fn a_set_with_a_member_that_is_away_waits_for_it() {
    let (mut street, slot) = lost_slot(&[LATE]);
    street.run_until(street.now + Duration::from_mins(10));
    assert_eq!((street.sums(), street.phase(slot)), (vec![], None));
    assert!(published(&street.outputs, "/c/request").is_empty());
    street.offline.clear();
    street.run_until(street.now + Duration::from_mins(2));
    assert_eq!(street.sums(), [ALL]);
    assert_eq!(street.evidence(), 0);
}

#[test]
fn a_set_that_cannot_be_made_in_time_is_given_up_and_listed_all_the_same() {
    let (mut street, slot) = lost_slot(&[LATE]);
    // It has lost what it contributed, and knows what it answered.
    street.disks[LATE].apply(Change::Erase(Key::sent(street.roster.epoch(), slot)));
    street.restart(LATE);
    street.offline.clear();
    street.run_slots(1..4);
    street.run_until(street.roster.window_deadline(portion(0).window));
    let reason = "a set of 5 was asked about before, and 4 of them are here".to_owned();
    assert_eq!(street.phase(slot), Some(Phase::Abandoned(reason)));
    assert_eq!(listed(&street)[&0].sets[0], set(0..MEMBERS));
    let billed = bills(&said(street.results())).into_values().map(|(wh, ..)| wh);
    assert_eq!(billed.collect::<Vec<_>>(), [4, 8, 16, 32]);
}

#[test]
fn nobody_is_asked_before_a_quorum_was_heard() {
    let mut street = Street::open_with(MEMBERS, dealt::<Plain>());
    let backup = copy(&street.disk, Sort::ALL);
    let slot = street.end_slot(0);
    for at in 0..MEMBERS {
        let message = street.contribution(at, slot, 1 << at);
        street.send(&message);
        // It is counted, and has answered nothing.
        street.offline.insert(HOLDER);
    }
    assert_eq!(street.sums(), [ALL]);
    street.now = street.roster.slot_closes(slot);
    street.disk.records = backup;
    street.offline = (1..MEMBERS).collect();
    street.restart_collector();
    street.run_until(street.now + Duration::from_mins(20));
    assert_eq!((street.sums(), street.phase(slot)), (vec![], None));
    // Those that come with the one that was needed get their time as well.
    for back in 1..MEMBERS {
        street.offline.remove(&back);
        street.run_until(street.now + Duration::from_mins(2));
    }
    assert_eq!((street.sums(), street.evidence()), (vec![ALL], 0));
}

#[test]
fn a_slot_that_nobody_has_answered_is_asked_about_once_all_are_heard() {
    let mut street = Street::open_with(MEMBERS, dealt::<Plain>());
    let slot = street.end_slot(0);
    for at in 0..MEMBERS {
        let message = street.contribution(at, slot, 1 << at);
        street.collector.handle_message(&message, street.now);
        while street.collector.poll_output().is_some() {}
    }
    street.restart_collector();
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn one_member_that_lies_about_a_set_is_not_believed_against_two() {
    let (mut street, slot) = lost_slot(&[1, 2, 3, 4]);
    let lie = Answered { request: Digest::of("request", b"none"), set: set(0..MEMBERS) };
    street.remember(4, slot, Some(lie));
    street.offline = [LATE].into();
    street.run_until(street.now + Duration::from_mins(2));
    // What it contributed is missing still.
    assert!(published(&street.outputs, "/c/request").is_empty());
    street.offline.clear();
    street.run_until(street.now + Duration::from_mins(2));
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn a_set_that_its_contributions_do_not_make_was_not_answered() {
    let mut street = Street::open_with(MEMBERS, dealt::<Plain>());
    let slot = street.end_slot(0);
    (0..MEMBERS).for_each(|at| drop(street.contribution(at, slot, 1 << at)));
    street.offline.insert(LATE);
    street.restart_collector();
    let lie = Answered { request: Digest::of("request", b"none"), set: set(0..4) };
    street.remember(LATE, slot, Some(lie));
    street.close(slot);
    assert_eq!(street.sums(), [ALL - 16]);
}

#[test]
fn members_that_name_two_sets_keep_a_slot_closed() {
    let (mut street, slot) = lost_slot(&[0, 1, 2, 3, 4]);
    let name = |label: &[u8]| Answered { request: Digest::of("request", label), set: set(0..5) };
    for at in 0..MEMBERS {
        let named = [Some(name(b"one")), Some(name(b"other")), None, None, None];
        street.remember(at, slot, named[at].clone());
    }
    street.run_until(street.roster.window_deadline(portion(0).window));
    assert!(published(&street.outputs, "/c/request").is_empty());
    let reason = "members name different sets that were asked about before".to_owned();
    assert_eq!(street.phase(slot), Some(Phase::Abandoned(reason)));
}

#[test]
fn many_slots_are_asked_for_in_runs() {
    let window_slots = NonZeroU32::new(100).unwrap();
    let long = Parameters { window_slots, deadline_s: 86_400, ..dealt::<Plain>() };
    let mut street = Street::open_with(MEMBERS, long);
    let backup = copy(&street.disk, Sort::ALL);
    street.run_slots(0..70);
    street.restore(&backup);
    let mut runs: Vec<_> = street.recalls().iter().map(|recall| recall.slots.len()).collect();
    runs.dedup();
    assert_eq!(runs, [64, 6]);
    assert_eq!(street.sums(), [ALL; 70]);
}

/// What a meter makes of a recall that the collector signs.
fn tell(street: &mut Street, recall: &Recall) -> Vec<Output> {
    let message = street.by_collector(recall);
    street.tell(HOLDER, &message)
}

fn recall_of(slot: Slot, held: impl IntoIterator<Item = usize>) -> Recall {
    Recall { slots: [(slot, set(held))].into(), claims: BTreeMap::new(), latest: Epoch(1) }
}

#[test]
fn a_member_sends_what_it_sent_and_says_what_it_answered() {
    let (mut street, slot, listed) = ended::<Plain>();
    let request = region_request(slot, &listed);
    street.ask(HOLDER, &request);
    let shares = street.disks[HOLDER].of(Sort::Answer).count();
    let outputs = tell(&mut street, &recall_of(slot, 1..MEMBERS));
    assert_eq!(published(&outputs, "/contribution"), listed[..1]);
    let [said] = &published(&outputs, "/recollection")[..] else { panic!("{outputs:?}") };
    let envelope = Envelope::parse(said).unwrap();
    let (_, said): (_, Recollection) = street.roster.open_from_member(&envelope).unwrap();
    let answered = Answered { request: release::digest(&request), set: set(0..MEMBERS) };
    let said_of = Remembered { is_sent: true, answered: Some(answered) };
    assert_eq!(said.slots, [(slot, said_of)].into());
    // Nothing that the release guard has not let out before.
    assert!(published(&outputs, "/share").is_empty());
    assert_eq!(street.disks[HOLDER].of(Sort::Answer).count(), shares);
}

#[test]
fn a_recall_that_is_repeated_is_answered_once_a_second() {
    let (mut street, slot, _) = ended::<Plain>();
    let recall = recall_of(slot, []);
    let count = |outputs: &[Output]| published(outputs, "/recollection").len();
    assert_eq!([0; 3].map(|_| count(&tell(&mut street, &recall))), [1, 0, 0]);
    street.now = street.now + Duration::from_secs(1);
    assert!(street.meters[HOLDER].poll_timeout() <= Some(street.now));
    street.meters[HOLDER].handle_timeout(street.now);
    assert_eq!(count(&street.drain(HOLDER)), 1);
}

#[test]
fn a_recall_of_another_party_or_for_too_much_gets_no_answer() {
    let (mut street, slot, _) = ended::<Plain>();
    let recall = recall_of(slot, []);
    let too_much = (0..129).map(|at| (slot.plus(at), set([]))).collect::<BTreeMap<_, _>>();
    let too_much = street.by_collector(&Recall { slots: too_much, ..recall.clone() });
    let place = (street.roster.region(), street.roster.epoch(), Sender::Collector);
    let forged = seal(&common::meter_identity(1), place.clone(), street.roster.digest(), &recall);
    let other = seal(&common::collector_identity(), place, &Digest::NONE, &recall);
    for (message, name) in [(too_much, "body"), (forged, "signature"), (other, "signature")] {
        let outputs = street.tell(HOLDER, &message);
        assert!(published(&outputs, "/recollection").is_empty());
        let [Event::Rejected { name: found, .. }] = events(&outputs)[..] else { panic!() };
        assert_eq!(found, name);
    }
}

#[test]
fn what_a_final_listing_leaves_out_is_not_sent_again() {
    let (mut street, ..) = again::<Plain>(6);
    let recall = Recall {
        slots: [0, 1].map(|position| (street.slot(position), set([]))).into(),
        claims: BTreeMap::new(),
        latest: street.roster.epoch(),
    };
    let message = street.by_collector(&recall);
    street.now = street.now + Duration::from_secs(2);
    let outputs = street.tell(LATE, &message);
    assert_eq!(published(&outputs, "/contribution").len(), 1);
}

#[test]
fn claims_are_sent_again_where_a_listing_is_final() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..4);
    let before = said(street.results());
    let mut lost = copy(&street.disk, Sort::ALL);
    for sort in [Sort::Claimed, Sort::BillRound] {
        let epoch = street.roster.epoch();
        lost.apply(Change::EraseBefore(sort, epoch, u64::MAX));
    }
    street.now = street.now + Duration::from_mins(50);
    street.restore(&lost);
    assert_eq!(bills(&said(street.results())), bills(&before));
    let mut claims = street.recalls().into_iter().map(|recall| recall.claims);
    assert_eq!(claims.next_back().unwrap(), [(portion(0), set([]))].into());
}
