//! Running sums: what a start knows of slots whose contributions it does not
//! read again.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::num::NonZeroU32;

use aggregation::{ElGamal, Plain};
use common::disk::Disk;
use common::region::{ALL, MEMBERS, Played, Region, portion};
use common::{Kit, meter_id, parameters};
use protocol::id::Digest;
use protocol::message::{Endorsement, Request};
use protocol::output::{Event, Output};
use protocol::parameters::Parameters;
use protocol::record::{Change, Key, Part, Sort};
use protocol::slot::Slot;

/// The slots of a window.
const WINDOW: usize = 4;

/// Writes nonsense in place of the contributions and the requests before a slot.
fn spoil(disk: &mut Disk, end: Slot) {
    let is_read = |key: &&Key| key.sort == Sort::Counted || key.part() == Some(Part::Request);
    let sorts = [Sort::Counted, Sort::SlotRound].into_iter();
    let keys = sorts.flat_map(|sort| disk.of(sort)).map(|(key, _)| key).filter(is_read);
    let keys: Vec<_> = keys.filter(|key| key.position < end.0).cloned().collect();
    for key in keys {
        disk.apply(Change::Write(key, vec![0xff].into()));
    }
}

/// A street whose first window is over and listed, and what everybody
/// contributed to each of its slots. Nobody has claimed.
struct Listed<S: Kit> {
    street: Region<S>,
    played: Vec<Vec<Played<S>>>,
    listing: Digest,
}

impl<S: Kit> Listed<S> {
    fn new() -> Self {
        let mut street = Region::<S>::open(MEMBERS);
        street.offline.extend(0..MEMBERS);
        let played = (0..WINDOW as u64).map(|position| street.open_slot(position));
        let played = played.collect();
        let listing = street.listing_of(portion(0));
        let endorsement = Endorsement { portion: portion(0), listing };
        for at in 0..MEMBERS {
            let endorsement = street.by_meter(at, &endorsement);
            street.send(&endorsement);
        }
        assert_eq!((street.sums(), street.finals().len()), (vec![ALL; WINDOW], 1));
        Self { street, played, listing }
    }

    /// Starts the collector again, without the snapshot or with it.
    fn restart(&mut self, has_snapshot: bool) {
        let key = Key::snapshot(self.street.roster.epoch(), portion(0));
        assert!(self.street.disk.get(&key).is_some());
        if !has_snapshot {
            self.street.disk.apply(Change::Erase(key));
        }
        self.street.restart_collector();
    }

    /// A member's claim to what it contributed at some positions.
    fn claim(&mut self, at: usize, positions: &[usize]) -> Vec<u8> {
        let played: Vec<_> = positions.iter().map(|position| &self.played[*position][at]).collect();
        let claim = self.street.claim(at, (portion(0), self.listing), &played);
        self.street.by_meter(at, &claim)
    }

    fn send(&mut self, message: &[u8]) -> Vec<Event> {
        self.street.send(message)
    }
}

#[test]
fn a_start_reads_nothing_that_a_snapshot_has_summed_up() {
    let mut listed = Listed::<ElGamal>::new();
    spoil(&mut listed.street.disk, listed.street.roster.end_slot());
    listed.restart(true);
    for at in 0..MEMBERS {
        let claim = listed.claim(at, &[0, 1, 2, 3]);
        assert!(listed.send(&claim).iter().all(|event| event.name() != "claim-refused"));
    }
    let Request::Bill(_, claims) = listed.street.last_request() else { panic!("no bills") };
    assert_eq!(claims.len(), MEMBERS);
}

#[test]
fn without_a_snapshot_a_start_reads_everything() {
    let mut listed = Listed::<ElGamal>::new();
    spoil(&mut listed.street.disk, listed.street.roster.end_slot());
    let key = Key::snapshot(listed.street.roster.epoch(), portion(0));
    listed.street.disk.apply(Change::Erase(key));
    assert!(listed.street.started_again().is_err());
}

#[test]
fn a_claim_to_less_than_the_running_sum_is_refused() {
    let mut listed = Listed::<ElGamal>::new();
    listed.restart(true);
    let reason = "not the sum of what was counted";
    let refused = Event::ClaimRefused { meter: meter_id(0), portion: portion(0), reason };
    for positions in [&[0, 1, 2][..], &[0, 1, 2, 2]] {
        let claim = listed.claim(0, positions);
        assert_eq!(listed.send(&claim), std::slice::from_ref(&refused));
    }
}

/// What a collector says to a repetition, to a second ciphertext and to a claim
/// after a start.
fn answers(has_snapshot: bool) -> Vec<(String, Vec<u8>)> {
    let mut listed = Listed::<Plain>::new();
    listed.restart(has_snapshot);
    let (slot, claim) = (listed.street.slot(1), listed.claim(3, &[0, 1, 2, 3]));
    let (first, second) = (&listed.played[1][2].message, listed.street.play(2, slot, 9).message);
    let messages = [first.clone(), second, claim];
    for message in messages {
        listed.send(&message);
    }
    let said = listed.street.outputs.iter().map(|output| match output {
        Output::Publish(publication) => (publication.topic.clone(), publication.payload.clone()),
        other => (format!("{other:?}"), Vec::new()),
    });
    said.collect()
}

#[test]
fn a_start_with_a_snapshot_says_what_one_without_it_says() {
    let said = answers(true);
    assert_eq!(said, answers(false));
    let has = |what: &str| said.iter().any(|(one, _)| one.contains(what));
    assert!(has("c/receipt") && has("Conflict") && !has("ClaimRefused"), "{said:?}");
}

#[test]
fn a_set_of_which_a_contribution_is_gone_is_taken_from_its_request_for_all_its_snapshot() {
    let mut listed = Listed::<ElGamal>::new();
    let slot = listed.street.slot(1);
    let key = Key::counted(listed.street.roster.epoch(), slot, &meter_id(2));
    listed.street.disk.apply(Change::Erase(key));
    listed.restart(true);
    let second = listed.street.play(2, slot, 9).message;
    assert_eq!(listed.send(&second), [Event::Conflict { meter: meter_id(2), slot }]);
    let claim = listed.claim(2, &[0, 1, 2, 3]);
    assert_eq!(listed.send(&claim), []);
}

#[test]
fn a_round_that_was_given_up_is_in_the_running_sums_if_it_was_asked_about() {
    let mut street = Region::<Plain>::open(MEMBERS);
    street.offline.extend(0..MEMBERS);
    for position in 0..3 {
        street.ask_about(position);
    }
    street.open_slot(3);
    street.run_until(street.roster.slot_deadline(street.slot(2)));
    assert_eq!((street.sums(), street.disk.of(Sort::Snapshot).count()), (vec![ALL], 1));
}

#[test]
fn a_snapshot_is_written_with_every_thirty_second_slot() {
    let window_slots = NonZeroU32::new(40).unwrap();
    let parameters = Parameters { window_slots, ..parameters::<Plain>() };
    let mut street = Region::<Plain>::open_with(MEMBERS, parameters);
    street.offline.extend(0..MEMBERS);
    for position in 0..33 {
        street.open_slot(position);
        let snapshots = street.disk.of(Sort::Snapshot).count();
        assert_eq!(snapshots, usize::from(position >= 31), "{position}");
    }
    spoil(&mut street.disk, street.roster.body().first_slot.plus(32));
    street.restart_collector();
    assert_eq!(street.open_slot(33).len(), MEMBERS);
    assert_eq!(street.sums(), [ALL; 2]);
}
