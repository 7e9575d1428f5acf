//! What a collector makes of what it kept: every phase in which it may start
//! again, and what is durable when.
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
use common::region::{ALL, MEMBERS, Region, portion};
use common::{Kit, meter_id, meter_ids, published};
use protocol::envelope::encode;
use protocol::message::{Phase, Request, Share, Status, Target};
use protocol::output::{Event, Output};
use protocol::record::{Change, Key, Part, Sort};
use protocol::round::Ended;
use protocol::slot::Slot;
use protocol::topic::is_json;

type Street = Region<Plain>;

impl<S: Kit> Region<S> {
    /// The last status of a target.
    fn status(&self, target: Target) -> Status {
        self.statuses().into_iter().rfind(|status| status.target == target).unwrap()
    }

    /// Lets a slot's set be asked about while some meters are away.
    fn ask_without(&mut self, position: u64, away: impl IntoIterator<Item = usize>) -> Slot {
        let slot = self.end_slot(position);
        self.offline.extend(away);
        for at in 0..MEMBERS {
            let contribution = self.contribution(at, slot, 1 << at);
            self.send(&contribution);
        }
        slot
    }
}

/// What becomes of a contribution whose round nobody knows.
fn assert_late_without_a_receipt(street: &mut Street, at: usize, slot: Slot, message: &[u8]) {
    let before = street.receipts(at).len();
    assert_eq!(street.send(message), [Event::Late { meter: meter_id(at), slot }]);
    assert_eq!(street.receipts(at).len(), before);
}

#[test]
fn what_was_counted_before_a_restart_is_counted_once_and_receipted_again() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let slot = street.end_slot(0);
    let messages: Vec<_> = (0..MEMBERS).map(|at| street.contribution(at, slot, 1 << at)).collect();
    messages[..3].iter().for_each(|message| drop(street.send(message)));
    street.now = street.now + Duration::from_secs(1);
    street.restart_collector();
    let conflict = Event::Conflict { meter: meter_id(2), slot };
    let second = street.play(2, slot, 1000).message;
    assert_eq!(street.send(&second), [conflict]);
    street.restart_collector();
    assert_eq!(street.send(&second), []);
    for message in [&messages[0], &messages[3], &messages[4]] {
        street.send(message);
    }
    assert_eq!(street.sums(), [ALL]);
    let receipts = [0, 3].map(|at| street.receipts(at)[0].on_time);
    assert_eq!(receipts, [true, true]);
    assert_eq!(street.receipts(2), []);
}

#[test]
fn an_open_request_is_repeated_byte_for_byte_and_its_shares_are_known() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let slot = street.ask_without(0, [3, 4]);
    let bad =
        Share { response: vec![0; 96].into(), ..street.played_share(3, &street.last_request()) };
    let bad = street.by_meter(3, &bad);
    street.send(&bad);
    let asked = published(&street.outputs, "/c/request").pop().unwrap();
    // The others are not asked again.
    street.offline.extend(0..3);
    street.restart_collector();
    assert_eq!(published(&street.outputs, "/c/request"), [asked]);
    let status = street.status(Target::Region(slot));
    assert_eq!((status.waiting_for, status.culprits), (meter_ids([3, 4]), meter_ids([3])));
    for at in [3, 4] {
        let share = street.played_share(at, &street.last_request());
        let share = street.by_meter(at, &share);
        street.send(&share);
    }
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn results_of_the_last_minute_are_said_again_after_a_restart() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slots(0..2);
    let said = published(&street.outputs, "/c/result");
    street.now = street.now + Duration::from_mins(10);
    street.restart_collector();
    assert_eq!(published(&street.outputs, "/c/result"), said[1..]);
    street.restart_collector();
    assert_eq!(published(&street.outputs, "/c/result"), said[1..]);
}

#[test]
fn restarts_in_every_slot_cost_no_bill() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    for position in 0..4 {
        street.run_slot(position);
        street.restart_collector();
    }
    let bills: Vec<_> = (0..MEMBERS).map(|at| 4 << at).collect();
    assert_eq!(street.sums(), [&[ALL][..], &bills].concat());
}

#[test]
fn claims_that_were_taken_before_a_restart_are_asked_about() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let mut window = Vec::new();
    for position in 0..4 {
        let slot = street.end_slot(position);
        let played = street.play_all(slot, 0..MEMBERS);
        for one in &played {
            street.send(&one.message);
        }
        window.push(played);
    }
    street.run_until(street.now + Duration::from_mins(31));
    let listing = street.listing_of(portion(0));
    for at in 0..MEMBERS {
        let played: Vec<_> = window.iter().map(|slot| &slot[at]).collect();
        let claim = street.claim(at, (portion(0), listing), &played);
        let claim = street.by_meter(at, &claim);
        street.restart_collector();
        street.send(&claim);
    }
    let Request::Bill(_, claims) = street.last_request() else { panic!("no bills") };
    assert_eq!(claims.len(), MEMBERS);
}

#[test]
fn an_abandoned_round_stays_abandoned_and_its_set_committed() {
    let mut street = Street::open(MEMBERS);
    let slot = street.ask_without(0, [4]);
    street.close(slot);
    street.run_until(street.now + Duration::from_hours(2));
    assert!(matches!(street.status(Target::Region(slot)).phase, Phase::Abandoned(_)));
    street.restart_collector();
    street.offline.clear();
    street.run_until(street.now + Duration::from_mins(5));
    assert!(published(&street.outputs, "/c/request").is_empty());
    let message = street.play(0, slot, 1).message;
    assert_eq!(street.send(&message), [Event::Conflict { meter: meter_id(0), slot }]);
}

#[test]
fn slots_that_end_while_the_collector_is_down_are_collected_when_it_is_back() {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    for position in 1..3 {
        let slot = street.end_slot(position);
        (0..MEMBERS).for_each(|at| drop(street.read(at, slot, 1 << at)));
    }
    street.now = street.now + Duration::from_mins(5);
    street.restart_collector();
    (0..MEMBERS).for_each(|at| street.meters[at].handle_connected(street.now));
    street.deliver();
    street.run_slot(3);
    let bills: Vec<_> = (0..MEMBERS).map(|at| 4 << at).collect();
    assert_eq!(street.sums(), [&[ALL; 4][..], &bills].concat());
}

#[test]
fn what_nobody_asked_for_in_time_is_abandoned_after_a_restart() {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    street.end_slot(12);
    street.restart_collector();
    street.run_until(street.now + Duration::from_mins(1));
    let abandoned = |target| matches!(street.status(target).phase, Phase::Abandoned(_));
    assert!((1..13).all(|position| abandoned(Target::Region(street.slot(position)))));
    assert!((0..3).all(|window| abandoned(Target::Bill(portion(window)))));
}

#[test]
fn a_round_that_was_open_when_the_collector_ended_ends_however_late_it_starts() {
    for absent in [Duration::from_hours(2), Duration::from_hours(12)] {
        let mut street = Street::open(MEMBERS);
        let slot = street.ask_without(0, [4]);
        street.close(slot);
        street.now = street.now + absent;
        street.restart_collector();
        street.run_until(street.now + Duration::from_mins(1));
        let target = Target::Region(slot);
        assert!(matches!(street.status(target).phase, Phase::Abandoned(_)));
        let key = Key::round(street.roster.epoch(), target, &Part::End);
        let end: Ended = ciborium::from_reader(street.disk.get(&key).unwrap()).unwrap();
        assert!(matches!(end, Ended::Abandoned(_)));
        // Once and for all, though it may be said again.
        street.restart_collector();
        street.run_until(street.now + Duration::from_mins(1));
        let of_slot =
            |event: &Event| matches!(event, Event::Abandoned { target: of, .. } if *of == target);
        assert!(!street.collector_events().iter().any(of_slot));
    }
}

/// A street whose first sum was opened before the last holder had answered.
fn opened_without_the_last() -> (Street, Request) {
    let mut street = Street::open(MEMBERS);
    let slot = street.run_slot(0);
    let request = street.last_request();
    let key = Key::round(street.roster.epoch(), Target::Region(slot), &Part::End);
    let mut end: Ended = ciborium::from_reader(street.disk.get(&key).unwrap()).unwrap();
    let Ended::Combined(combined) = &mut end else { panic!("no sum") };
    combined.unanswered.extend(combined.helpers.pop());
    street.disk.apply(Change::Write(key, encode(&end).into()));
    street.restart_collector();
    (street, request)
}

#[test]
fn holders_that_never_answer_are_named_at_the_deadline() {
    let (mut street, _) = opened_without_the_last();
    let [result] = &street.results()[..] else { panic!("no one result") };
    assert_eq!((&result.helpers, &result.unanswered), (&meter_ids(0..4), &meter_ids([4])));
    street.restart_collector();
    let closes = street.roster.slot_closes(street.slot(0));
    street.run_until(closes + Duration::from_hours(2));
    let target = Target::Region(street.slot(0));
    let of_slot = |status: &Status| status.target == target;
    let [status] = &street.statuses().into_iter().filter(of_slot).collect::<Vec<_>>()[..] else {
        panic!("no one status")
    };
    assert_eq!((&status.phase, &status.waiting_for), (&Phase::Combined, &meter_ids([4])));
    street.restart_collector();
    street.run_until(street.now + Duration::from_mins(1));
    assert!(!street.statuses().iter().any(|status| status.target == target));
}

#[test]
fn a_share_that_comes_after_the_sum_is_noted_and_its_proof_not_checked() {
    let (mut street, request) = opened_without_the_last();
    let late = Share { response: vec![0; 96].into(), ..street.played_share(4, &request) };
    let late = street.by_meter(4, &late);
    assert_eq!(street.send(&late), []);
    street.restart_collector();
    street.run_until(street.now + Duration::from_hours(3));
    let target = Target::Region(street.slot(0));
    assert!(!street.statuses().iter().any(|status| status.target == target));
}

#[test]
fn whatever_is_said_is_durable_first() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let messages: Vec<_> = (0..MEMBERS).map(|at| street.contribution(at, slot, 1 << at)).collect();
    // All of them wait together, and share one commit.
    for message in &messages {
        street.collector.handle_message(message, street.now);
    }
    let told =
        std::iter::from_fn(|| street.collector.poll_output()).filter_map(|output| match output {
            Output::Persist(Change::Write(key, _)) => Some(format!("{:?}", key.sort)),
            Output::Publish(what) if !is_json(&what.topic) => {
                what.topic.split('/').nth(4).map(str::to_owned)
            }
            _ => None,
        });
    let told: Vec<_> = told.collect();
    let kept = [&["Counted"; MEMBERS][..], &["SlotRound"]].concat();
    let said = [&["receipt"; MEMBERS][..], &["request", "status"]].concat();
    assert_eq!(told, [kept, said].concat());
}

#[test]
fn a_record_that_is_not_what_was_written_is_no_start() {
    let mut street = Street::open(MEMBERS);
    let slot = street.run_slot(0);
    let key = Key::round(street.roster.epoch(), Target::Region(slot), &Part::End);
    street.disk.apply(Change::Write(key, vec![0xff].into()));
    let error = street.started_again().err().unwrap();
    assert!(error.to_string().starts_with("the kept record of slot"), "{error}");
}

#[test]
fn what_no_bill_can_need_is_erased_and_transcripts_stay() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..4);
    let count = |street: &Street, sort| street.disk.of(sort).count();
    assert_eq!((count(&street, Sort::Counted), count(&street, Sort::Claimed)), (20, 5));
    street.run_until(street.now + Duration::from_hours(3));
    assert_eq!((count(&street, Sort::Counted), count(&street, Sort::Claimed)), (0, 0));
    let requests =
        |sort| street.disk.of(sort).filter(|(key, _)| key.part() == Some(Part::Request)).count();
    assert_eq!((requests(Sort::SlotRound), requests(Sort::BillRound)), (4, 1));
}

#[test]
fn what_a_clock_that_ran_ahead_erased_is_no_bar_to_a_start() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..4);
    let right = street.now;
    street.collector.handle_timeout(right + Duration::from_hours(3));
    street.deliver();
    assert_eq!(street.disk.of(Sort::Counted).count(), 0);
    street.now = right + Duration::from_secs(1);
    street.restart_collector();
    // Up to where the clock was, slots are closed.
    let next = street.run_slot(20);
    let opened = Event::Combined { target: Target::Region(next), counted: MEMBERS };
    assert!(street.collector_events().contains(&opened));
}

#[test]
fn a_set_whose_entries_are_gone_is_taken_from_its_request() {
    for gone in [&[0][..], &[0, 1, 2, 3, 4]] {
        let mut street = Region::<ElGamal>::open(MEMBERS);
        street.run_slots(0..3);
        for (at, slot) in gone.iter().flat_map(|at| (0..3).map(move |slot| (*at, slot))) {
            let key = Key::counted(street.roster.epoch(), street.slot(slot), &meter_id(at));
            street.disk.apply(Change::Erase(key));
        }
        street.restart_collector();
        street.run_slot(3);
        let bills: Vec<_> = (0..MEMBERS).map(|at| 4 << at).collect();
        assert!(street.sums().ends_with(&bills), "{gone:?}");
    }
}

#[test]
fn a_slot_that_was_never_closed_is_abandoned_by_a_collector_that_returns_late() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..4);
    let slot = street.slot(1);
    let of_slot = street.disk.of(Sort::SlotRound).filter(|(key, _)| key.position == slot.0);
    let transcript: Vec<_> = of_slot.map(|(key, _)| key.clone()).collect();
    for key in transcript {
        street.disk.apply(Change::Erase(key));
    }
    street.now = street.now + Duration::from_hours(4);
    street.restart_collector();
    street.run_until(street.now + Duration::from_secs(1));
    let abandoned = street.collector_events().into_iter().filter_map(|event| match event {
        Event::Abandoned { target: Target::Region(slot), .. } => Some(slot),
        _ => None,
    });
    assert_eq!(abandoned.min(), Some(slot));
}

#[test]
fn a_contribution_to_a_slot_that_runs_at_the_collectors_start_is_counted() {
    let mut street = Street::open(MEMBERS);
    let end = street.roster.grid().end(street.slot(1));
    street.now = end - Duration::from_millis(1);
    street.restart_collector();
    let slot = street.run_slot(1);
    // The slot before it has a grace from the start on.
    street.close(slot);
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn a_contribution_to_a_forgotten_slot_gets_no_receipt() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let message = street.contribution(0, slot, 1);
    street.send(&message);
    street.run_slots(0..4);
    // Up to the deadline of the window's last slot nothing of it is forgotten.
    let deadline = street.roster.slot_closes(street.slot(3)) + Duration::from_hours(2);
    street.run_until(deadline - Duration::from_millis(1));
    assert!(street.send(&message).is_empty());
    assert_eq!(street.receipts(0).pop().map(|receipt| receipt.on_time), Some(true));
    street.run_until(deadline);
    street.collector.handle_timeout(deadline);
    street.deliver();
    assert_late_without_a_receipt(&mut street, 0, slot, &message);
    street.restart_collector();
    assert_late_without_a_receipt(&mut street, 0, slot, &message);
}
