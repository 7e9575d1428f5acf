//! What a collector says again, and when: results that nobody may have heard,
//! requests that are open, and where they stand.
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
use common::region::{MEMBERS, Region};
use common::{Kit, meter_id, published};
use protocol::message::{Phase, Status, Target};

/// How long before a lost connection a result may have been lost with it.
const UNHEARD: Duration = Duration::from_mins(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const NOTHING: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];

type Street = Region<Plain>;

impl<S: Kit> Region<S> {
    fn disconnect(&mut self, after: Duration) {
        self.now = self.now + after;
        self.collector.handle_disconnected(self.now);
        self.deliver();
    }

    /// The results that a new connection brings, as they are signed, with the
    /// views beside them.
    fn said_again(&mut self) -> [Vec<Vec<u8>>; 2] {
        let before = self.outputs.len();
        self.collector.handle_connected(self.now);
        self.deliver();
        let said = &self.outputs[before..];
        [published(said, "/c/result"), published(said, "/c/result/json")]
    }

    fn said(&self) -> [Vec<Vec<u8>>; 2] {
        [published(&self.outputs, "/c/result"), published(&self.outputs, "/c/result/json")]
    }

    /// Whom the statuses since an earlier moment wait for.
    fn waits_since(&self, earlier: usize) -> Vec<Status> {
        self.statuses().split_off(earlier)
    }
}

/// Asserts that a round asks, and whom it waits for.
fn assert_waits(statuses: &[Status], target: Target, holders: &[usize]) {
    let [status] = statuses else { panic!("no one status: {statuses:?}") };
    assert_eq!((status.target, &status.phase), (target, &Phase::Requesting));
    let missing: Vec<_> = holders.iter().map(|at| meter_id(*at)).collect();
    assert_eq!(status.waiting_for, missing);
}

#[test]
fn a_result_of_the_minute_before_a_lost_connection_is_said_again_byte_for_byte() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slot(0);
    let said = street.said();
    assert_eq!((said[0].len(), said[1].len()), (1, 1));
    street.disconnect(UNHEARD);
    assert_eq!(street.said_again(), said);
}

#[test]
fn a_result_of_more_than_a_minute_before_a_lost_connection_was_heard() {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    street.disconnect(UNHEARD + MILLISECOND);
    assert_eq!(street.said_again(), NOTHING);
}

#[test]
fn every_result_since_a_lost_connection_is_said_again_and_no_older_one() {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    street.disconnect(Duration::from_mins(10));
    let before = street.said();
    street.run_slots(1..4);
    // Three sums and a bill for each member.
    let since: [Vec<_>; 2] =
        std::array::from_fn(|kind| street.said()[kind].split_off(before[kind].len()));
    assert_eq!(since[0].len(), 3 + MEMBERS);
    street.now = street.now + Duration::from_mins(30);
    assert_eq!(street.said_again(), since);
}

#[test]
fn a_connection_that_was_not_lost_brings_no_result() {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    assert_eq!(street.said_again(), NOTHING);
    street.disconnect(Duration::ZERO);
    assert_eq!(street.said_again()[0].len(), 1);
    assert_eq!(street.said_again(), NOTHING);
}

#[test]
fn a_connection_lost_again_before_it_was_there_forgets_nothing() {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    let said = street.said();
    street.disconnect(UNHEARD);
    street.disconnect(Duration::from_mins(5));
    assert_eq!(street.said_again(), said);
}

#[test]
fn a_result_that_is_lost_a_second_time_is_said_once_more() {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    let said = street.said();
    street.disconnect(UNHEARD);
    assert_eq!(street.said_again(), said);
    street.disconnect(MILLISECOND);
    assert_eq!(street.said_again(), said);
}

#[test]
fn each_repetition_of_a_request_says_who_is_still_missing() {
    let mut street = Street::open(MEMBERS);
    street.offline.insert(4);
    let slot = street.run_slot(0);
    street.offline.insert(3);
    street.close(slot);
    let (target, first) = (Target::Region(slot), street.statuses().len());
    // With the first request nobody has answered yet.
    assert_waits(&street.statuses(), target, &[0, 1, 2, 3, 4]);
    street.run_until(street.now + Duration::from_mins(1));
    assert_waits(&street.waits_since(first), target, &[3, 4]);
    street.offline.remove(&3);
    street.run_until(street.now + Duration::from_mins(2));
    // The third meter answers the repetition that says that it is missing.
    assert_waits(&street.waits_since(first)[1..2], target, &[3, 4]);
    assert_waits(&street.waits_since(first)[2..], target, &[4]);
    let requests = published(&street.outputs, "/c/request");
    assert_eq!(requests.len(), street.statuses().len());
    assert!(requests.iter().all(|request| *request == requests[0]));
}

#[test]
fn a_new_connection_brings_every_open_request_with_who_is_missing() {
    let mut street = Street::open(MEMBERS);
    street.offline.insert(4);
    let slots = [street.run_slot(0), street.run_slot(1)];
    street.close(slots[1]);
    let (statuses, requests) =
        (street.statuses().len(), published(&street.outputs, "/c/request").len());
    street.collector.handle_connected(street.now);
    street.deliver();
    let said = street.waits_since(statuses);
    assert_waits(&said[..1], Target::Region(slots[0]), &[4]);
    assert_waits(&said[1..], Target::Region(slots[1]), &[4]);
    assert_eq!(published(&street.outputs, "/c/request").len(), requests + 2);
}
