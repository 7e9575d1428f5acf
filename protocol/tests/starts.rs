//! What a collector makes of the roster that it kept.
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
use common::region::{ALL, MEMBERS, Region};
use common::{
    Kit, collector_identity, invited, meter_id, meter_identity, parameters, published, registrar,
    rng,
};
use protocol::collector::{Collector, Terms, TermsError};
use protocol::identity::Identity;
use protocol::message::Invited;
use protocol::output::Event;

type Street = Region<Plain>;

impl<S: Kit> Region<S> {
    /// A collector that starts now, with the roster that was kept.
    fn started(&self, terms: Terms, identity: Identity) -> Result<Collector<S>, TermsError> {
        let identities = (identity, registrar());
        Collector::new(terms, identities, &self.disk, (S::decoder(), rng(7)), self.now)
    }

    /// Starts the collector again with what it kept, and connects it.
    fn start_again(&mut self, terms: Terms) {
        self.outputs.clear();
        self.collector = self.started(terms, collector_identity()).unwrap();
        self.collector.handle_connected(self.now);
        self.deliver();
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
    street.start_again(others);
    street.run_slot(1);
    // The roster holds: it is the one that is published, and all are summed.
    assert_eq!(published(&street.outputs, "/c/roster"), [street.signed_roster.clone()]);
    assert_eq!(street.sums().last(), Some(&ALL));
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
