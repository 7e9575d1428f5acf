//! What a household can read of what it has sent and helped to open.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use aggregation::{ElGamal, Plain};
use common::region::{HOLDER, MEMBERS, Region, ended, region_request};
use protocol::evidence::About;
use protocol::history::{self, OfPortion};
use protocol::record::Records;
use protocol::slot::Window;

#[test]
fn a_household_sees_what_it_sent_and_helped_to_open() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    street.run_slots(0..4);
    let last = street.end_slot(4);
    street.contribution(HOLDER, last, 417);
    let [history] = &history::of(&street.disks[HOLDER]).unwrap()[..] else { panic!("one epoch") };
    assert_eq!((history.members, history.first_slot), (MEMBERS, street.slot(0)));
    assert_eq!(history.grid(), street.roster.grid());
    let found: Vec<_> =
        history.slots.iter().map(|of| (of.slot, of.on_time, of.contributors)).collect();
    let mut expected: Vec<_> =
        (0..4).map(|at| (street.slot(at), Some(true), Some(MEMBERS))).collect();
    expected.push((last, None, None));
    assert_eq!(found, expected);
    assert!(history.slots.iter().all(|of| of.sent_bytes == Some(241)));
    let step = "all".parse().unwrap();
    let expected = OfPortion { window: Window(0), step, claimed: true, bills: MEMBERS };
    assert_eq!(history.portions, [expected]);
}

#[test]
fn a_household_that_has_done_nothing_has_no_history() {
    assert_eq!(history::of(&Records::default()), Ok(vec![]));
    let street = Region::<Plain>::open(MEMBERS);
    let [history] = &history::of(&street.disks[HOLDER]).unwrap()[..] else { panic!("one epoch") };
    assert!(history.slots.is_empty() && history.portions.is_empty());
}

#[test]
fn a_household_sees_the_evidence_that_it_holds() {
    let (mut street, slot, listed) = ended::<Plain>();
    street.ask_region(HOLDER, slot, &listed);
    street.ask(HOLDER, &region_request(slot, &listed[1..]));
    let [(evidence, accusation)] = &history::evidence(&street.disks[HOLDER]).unwrap()[..] else {
        panic!("no one evidence")
    };
    assert_eq!(evidence.check().as_ref(), Ok(accusation));
    assert_eq!(accusation.about, About::Sets(slot));
}
