//! What a collector makes of the roster that it kept, and of what came before
//! its start.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::{ElGamal, Plain};
use common::region::{MEMBERS, Region};
use common::{
    Kit, collector_identity, invited, meter_id, meter_identity, parameters, published, registrar,
    rng,
};
use protocol::collector::{Collector, Terms, TermsError};
use protocol::identity::Identity;
use protocol::message::Invited;
use protocol::output::Event;
use protocol::slot::Slot;

/// What all five contribute together when meter i contributes 2^i.
const ALL: u64 = 0b1_1111;

type Street = Region<Plain>;

impl<S: Kit> Region<S> {
    /// A collector that starts now, with the roster that was kept.
    fn started(&self, terms: Terms, identity: Identity) -> Result<Collector<S>, TermsError> {
        let identities = (identity, registrar());
        Collector::new(terms, identities, &self.disk, (S::decoder(), rng(7)), self.now)
    }

    fn start_again(&mut self, terms: Terms) {
        self.collector = self.started(terms, collector_identity()).unwrap();
    }
}

/// The terms under which a street opens.
fn terms<S: Kit>() -> Terms {
    common::collector_terms(MEMBERS, parameters::<S>())
}

/// What the collector has to say that starts under other terms after the first
/// slot of its epoch, up to the end of the second one.
fn ignored(bend: impl FnOnce(&mut Terms)) -> Vec<Event> {
    let mut street = Street::open(MEMBERS);
    street.run_slot(0);
    let mut others = terms::<Plain>();
    bend(&mut others);
    street.outputs.clear();
    street.start_again(others);
    street.collector.handle_connected(street.now);
    street.run_slot(1);
    // The roster holds: it is the one that is published, and all are summed.
    assert_eq!(published(&street.outputs, "/c/roster"), [street.signed_roster.clone()]);
    assert_eq!(street.sums(), [ALL]);
    let mut said = street.collector_events();
    said.retain(|event| !matches!(event, Event::Combined { .. }));
    said
}

#[test]
fn a_collector_starts_again_with_its_roster() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slot(0);
    street.start_again(terms::<ElGamal>());
    street.run_slot(1);
    let last = street.results().pop().unwrap();
    assert_eq!((last.sum_wh, last.first_slot), (ALL, street.slot(1)));
}

#[test]
fn a_collector_refuses_the_roster_of_another_one() {
    let street = Region::<ElGamal>::open(MEMBERS);
    let another = Identity::from_seed(&[0xc1; 32]);
    let error = street.started(terms::<ElGamal>(), another).err();
    assert_eq!(error, Some(TermsError::Collector));
}

#[test]
fn terms_that_agree_with_the_kept_roster_are_no_event() {
    assert_eq!(ignored(|_| ()), []);
    // Their order is not what the roster says.
    assert_eq!(ignored(|terms| terms.members.reverse()), []);
}

#[test]
fn terms_that_differ_from_the_kept_roster_are_said_once_and_it_holds() {
    let stranger = |at| Invited { meter: meter_id(at), key: meter_identity(7).key() };
    for (what, bend) in [
        ("a parameter", (|terms| terms.parameters.deadline_s = 3600) as fn(&mut Terms)),
        ("the window", |terms| terms.parameters.window_slots = NonZeroU32::new(8).unwrap()),
        ("more windows", |terms| terms.epoch_windows = 5),
        ("fewer windows", |terms| terms.epoch_windows = 3),
        ("a member less", |terms| terms.members.truncate(4)),
        ("a member more", |terms| terms.members = invited(6)),
    ] {
        assert_eq!(ignored(bend)[..], [epoch_1_holds()], "{what}");
    }
    assert_eq!(ignored(|terms| terms.members[2] = stranger(2)), [epoch_1_holds()]);
    assert_eq!(ignored(|terms| terms.members[2] = stranger(6)), [epoch_1_holds()]);
}

fn epoch_1_holds() -> Event {
    Event::TermsIgnored { epoch: common::founding::EPOCH }
}

/// What becomes of a contribution whose round nobody knows.
fn assert_late_without_a_receipt(street: &mut Street, at: usize, slot: Slot, message: &[u8]) {
    let before = street.receipts(at).len();
    assert_eq!(street.send(message), [Event::Late { meter: meter_id(at), slot }]);
    assert_eq!(street.receipts(at).len(), before);
}

#[test]
fn a_contribution_to_a_slot_before_the_collectors_start_gets_no_receipt() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let counted = street.contribution(0, slot, 1);
    street.send(&counted);
    assert_eq!(street.receipts(0).len(), 1);
    let missed = street.contribution(1, slot, 2);
    // Within the grace of the slot, whose round would still be open.
    street.now = street.now + Duration::from_secs(1);
    street.start_again(terms::<Plain>());
    assert_late_without_a_receipt(&mut street, 0, slot, &counted);
    assert_late_without_a_receipt(&mut street, 1, slot, &missed);
    let next = street.run_slot(1);
    assert_eq!(street.receipts(1).pop().map(|receipt| receipt.slot), Some(next));
}

#[test]
fn a_contribution_to_a_slot_that_runs_at_the_collectors_start_is_counted() {
    let mut street = Street::open(MEMBERS);
    let end = street.roster.grid().end(street.slot(1));
    street.now = end - Duration::from_millis(1);
    street.start_again(terms::<Plain>());
    street.run_slot(1);
    assert_eq!(street.sums(), [ALL]);
}

#[test]
fn a_contribution_to_a_forgotten_slot_gets_no_receipt() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let message = street.contribution(0, slot, 1);
    street.send(&message);
    street.run_slot(0);
    street.end_slot(3);
    // Up to the deadline of the window's last slot nothing of it is forgotten.
    let deadline = street.roster.slot_closes(street.slot(3)) + Duration::from_hours(2);
    street.run_until(deadline - Duration::from_millis(1));
    assert!(street.send(&message).is_empty());
    assert_eq!(street.receipts(0).pop().map(|receipt| receipt.on_time), Some(true));
    street.run_until(deadline);
    street.collector.handle_timeout(deadline);
    street.deliver();
    assert_late_without_a_receipt(&mut street, 0, slot, &message);
}
