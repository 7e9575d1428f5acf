//! The collector's side: what is counted, once, and what is not.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use aggregation::{ElGamal, Plain};
use common::region::{ALL, IMPORT, MEMBERS, Region};
use common::{Kit, meter_id, meter_identity, meter_ids, published, region_id};
use protocol::envelope::seal;
use protocol::id::{Digest, Sender};
use protocol::message::{Challenge, Contribution, Phase, Subject, Target};
use protocol::output::Event;
use protocol::slot::Slot;

type Street = Region<Plain>;

impl<S: Kit> Region<S> {
    fn count(&self, name: &str) -> u64 {
        self.collector.counters().get(name).copied().unwrap_or(0)
    }

    /// The reason for which the last round was abandoned.
    fn abandoned(&self) -> String {
        match self.statuses().pop().unwrap().phase {
            Phase::Abandoned(reason) => reason,
            phase => panic!("{phase:?}"),
        }
    }
}

/// The name of the one rejection among events.
fn rejected(events: &[Event]) -> &'static str {
    let [Event::Rejected { name, .. }] = events else { panic!("{events:?}") };
    name
}

#[test]
fn a_sum_shows_that_every_meter_is_in_it_once() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let slot = street.run_slot(0);
    let [result] = &street.results()[..] else { panic!("no one result") };
    assert_eq!((result.sum_wh, result.first_slot, result.register), (ALL, slot, IMPORT));
    assert_eq!(result.subject, Subject::Region(region_id()));
    assert_eq!((result.contributors.clone(), result.uncounted.len()), (meter_ids(0..MEMBERS), 0));
    let phases: Vec<_> = street.statuses().into_iter().map(|status| status.phase).collect();
    assert_eq!(phases, [Phase::Requesting, Phase::Combined]);
}

#[test]
fn every_result_has_a_view_beside_it() {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    let [view] = &published(&street.outputs, "/c/result/json")[..] else { panic!("no one view") };
    let view: serde_json::Value = serde_json::from_slice(view).unwrap();
    assert_eq!((&view["sum_wh"], &view["epoch"]), (&ALL.into(), &1.into()));
    assert_eq!(view["region"], "north-01");
}

#[test]
fn bills_and_region_sums_agree() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slots(0..4);
    let sums = street.sums();
    let bills: Vec<_> = (0..MEMBERS).map(|at| 4 << at).collect();
    assert_eq!(sums, [[ALL; 4].as_slice(), &bills].concat());
    let bill = street.results().pop().unwrap();
    assert_eq!((bill.subject, bill.slots), (Subject::Meter(meter_id(4)), 4));
    assert!(bill.uncounted_slots.is_empty());
}

#[test]
fn the_second_round_sums_as_the_first_did() {
    let mut street = Street::open(MEMBERS);
    street.run_slots(0..8);
    let bills: Vec<_> = (0..MEMBERS).map(|at| 4 << at).collect();
    let window = [[ALL; 4].as_slice(), &bills].concat();
    assert_eq!(street.sums(), [window.clone(), window].concat());
}

#[test]
fn the_legal_maximum_everywhere_is_summed() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let slot = street.end_slot(0);
    let most = BTreeMap::from([(IMPORT, 32_767)]);
    for meter in &mut street.meters {
        meter.handle_reading(slot, &most, street.now);
    }
    street.deliver();
    assert_eq!(street.sums(), [5 * 32_767]);
}

#[test]
fn a_late_contribution_is_receipted_as_late_and_not_counted() {
    let mut street = Street::open(MEMBERS);
    street.offline.insert(4);
    let slot = street.run_slot(0);
    street.close(slot);
    street.offline.clear();
    street.meters[4].handle_connected(street.now);
    street.deliver();
    let [receipt] = &street.receipts(4)[..] else { panic!("no one receipt") };
    assert!(!receipt.on_time && receipt.slot == slot);
    assert!(street.collector_events().contains(&Event::Late { meter: meter_id(4), slot }));
    // The late meter still helps to open the sum that it is not in.
    street.run_until(street.now + Duration::from_mins(1));
    let [result] = &street.results()[..] else { panic!("no one result") };
    assert_eq!((result.sum_wh, &result.uncounted), (ALL - 16, &meter_ids(4..5)));
}

#[test]
fn a_repeated_contribution_is_receipted_again_and_counted_once() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let message = street.contribution(0, slot, 1);
    for _ in 0..3 {
        assert!(street.send(&message).is_empty());
    }
    street.run_slot(0);
    assert!(street.send(&message).is_empty());
    let receipts = street.receipts(0);
    assert!(receipts.iter().all(|receipt| receipt.on_time) && receipts.len() == 4);
    let digest = Digest::of("contribution", &message);
    assert!(receipts.iter().all(|receipt| receipt.contribution == digest));
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn of_two_contributions_the_first_one_stays() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let first = street.contribution(0, slot, 1);
    assert!(street.send(&first).is_empty());
    let second = street.play(0, slot, 1000).message;
    let conflict = Event::Conflict { meter: meter_id(0), slot };
    assert_eq!(street.send(&second), [conflict]);
    assert_eq!(street.receipts(0).len(), 1);
    street.run_slot(0);
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn a_contribution_to_a_slot_that_has_not_ended_is_refused() {
    let mut street = Street::open(MEMBERS);
    let slot = street.slot(0);
    let end = street.roster.grid().end(slot);
    let message = street.play(0, slot, 1).message;
    // A member's clock may run ahead by two seconds.
    street.now = end - Duration::from_millis(2001);
    assert_eq!(rejected(&street.send(&message)), "outside");
    street.now = end - Duration::from_secs(2);
    assert!(street.send(&message).is_empty());
}

#[test]
fn a_contribution_outside_the_epoch_is_refused() {
    let mut street = Street::open(MEMBERS);
    street.end_slot(20);
    for slot in [street.slot(16), Slot(street.slot(0).0 - 1), Slot(0), Slot(u64::MAX)] {
        let message = street.play(0, slot, 1).message;
        assert_eq!(rejected(&street.send(&message)), "outside");
    }
}

#[test]
fn a_contribution_with_a_bad_proof_is_refused() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let slot = street.end_slot(0);
    let copied = street.play(0, slot, 1).body;
    let message = street.by_meter(1, &copied);
    assert_eq!(rejected(&street.send(&message)), "proof");
    street.run_slot(0);
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn a_replayed_contribution_is_counted_nowhere() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let first = street.end_slot(0);
    let message = street.contribution(0, first, 1);
    street.send(&message);
    let body = street.play(0, first, 1).body;
    let second = street.end_slot(1);
    let replayed = street.by_meter(0, &Contribution { slot: second, ..body });
    assert_eq!(rejected(&street.send(&replayed)), "proof");
    street.run_slot(1);
    let [result] = &street.results()[..] else { panic!("no one result") };
    assert_eq!((result.sum_wh, result.first_slot), (ALL, second));
}

#[test]
fn a_contribution_of_nobody_is_refused() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let body = street.play(0, slot, 1).body;
    let stranger = street.by_meter(MEMBERS, &body);
    let place = (&region_id(), street.roster.epoch(), Sender::Meter(meter_id(0)));
    let forged = seal(&meter_identity(1), place, street.roster.digest(), &body);
    assert_eq!(rejected(&street.send(&stranger)), "sender");
    assert_eq!(rejected(&street.send(&forged)), "signature");
}

#[test]
fn too_few_contributions_are_never_asked_about() {
    let mut street = Street::open(MEMBERS);
    street.offline.extend([3, 4]);
    let slot = street.run_slot(0);
    street.close(slot);
    assert!(published(&street.outputs, "/c/request").is_empty());
    assert_eq!(street.abandoned(), "3 contributors of at least 4");
    let status = street.statuses().pop().unwrap();
    assert_eq!((status.counted, status.uncounted), (meter_ids(0..3), meter_ids(3..5)));
}

#[test]
fn a_slot_without_any_contribution_is_abandoned() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    street.close(slot);
    assert_eq!(street.abandoned(), "0 contributors of at least 4");
    street.run_slot(1);
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn a_sum_out_of_range_is_abandoned_and_never_split() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.offline.insert(4);
    let slot = street.run_slot(0);
    let spoiler = street.play(4, slot, 1 << 30).message;
    street.send(&spoiler);
    let request = street.last_request();
    let share = street.played_share(4, &request);
    let share = street.by_meter(4, &share);
    street.send(&share);
    assert_eq!(street.abandoned(), "sums [0] lie outside their range");
    assert!(street.results().is_empty());
    street.run_until(street.now + Duration::from_mins(10));
    assert_eq!(published(&street.outputs, "/c/request").len(), 1);
}

#[test]
fn a_round_waits_for_a_holder_and_asks_again() {
    let mut street = Street::open(MEMBERS);
    street.offline.insert(4);
    let slot = street.run_slot(0);
    street.close(slot);
    assert!(street.results().is_empty());
    street.offline.clear();
    street.run_until(street.now + Duration::from_mins(2));
    assert_eq!(street.sums(), [ALL - 16]);
}

#[test]
fn a_round_past_its_deadline_is_abandoned() {
    let mut street = Street::open(MEMBERS);
    street.offline.insert(4);
    let slot = street.run_slot(0);
    street.close(slot);
    let deadline = street.now + Duration::from_hours(2);
    street.run_until(deadline + Duration::from_secs(1));
    let overdue = "4 of at least 5 holders helped in time: waiting for meter-05".to_owned();
    let abandoned = Event::Abandoned { target: Target::Region(slot), reason: overdue };
    assert!(street.collector_events().contains(&abandoned));
}

#[test]
fn a_meter_that_died_and_came_back_is_summed_again() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slot(0);
    street.offline.insert(2);
    let missed = street.run_slot(1);
    street.close(missed);
    street.offline.clear();
    street.restart(2);
    street.run_slot(2);
    let last = street.results().pop().unwrap();
    assert_eq!((last.sum_wh, last.first_slot), (ALL, missed.plus(1)));
}

#[test]
fn garbage_is_counted_and_disturbs_nothing() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let mut cut = street.play(0, slot, 1).message;
    cut.pop();
    for garbage in [b"".to_vec(), b"{}".to_vec(), vec![0x81; 10_000], cut, vec![0; 2 << 20]] {
        assert!(matches!(rejected(&street.send(&garbage)), "malformed" | "too-large"));
    }
    let challenge = Challenge { meter: meter_id(0), slots: vec![slot] };
    let own = street.by_collector(&challenge);
    assert_eq!(rejected(&street.send(&own)), "kind");
    assert_eq!((street.count("malformed"), street.count("too-large")), (4, 1));
    street.run_slot(0);
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn a_result_names_the_holders_that_opened_it() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slots(0..4);
    let results = street.results();
    assert_eq!(results.len(), 4 + MEMBERS);
    for result in results {
        assert_eq!(result.helpers, meter_ids(0..MEMBERS));
        assert!(result.unanswered.is_empty() && result.culprits.is_empty());
    }
}
