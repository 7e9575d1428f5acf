//! Complaints of members that were on time and are left out of a set.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use aggregation::{ElGamal, Plain};
use common::region::{HOLDER, MEMBERS, Region, ended, receipt, region_request};
use common::{Kit, events, meter_id, published};
use protocol::envelope::Envelope;
use protocol::id::Digest;
use protocol::message::{Omission, Receipt};
use protocol::omission::{OmissionError, judge};
use protocol::output::{Event, Output};
use protocol::slot::Slot;

/// What a holder publishes that has a receipt or none, and is asked about a set.
fn asked<S: Kit>(with: Option<bool>, is_listed: bool) -> (Region<S>, Slot, Vec<Output>) {
    let (mut street, slot, listed) = ended::<S>();
    if let Some(on_time) = with {
        let receipt = Receipt { on_time, ..receipt(HOLDER, slot, &listed[HOLDER]) };
        let receipt = street.by_collector(&receipt);
        street.tell(HOLDER, &receipt);
    }
    let set = if is_listed { &listed[..] } else { &listed[1..] };
    let request = street.by_collector(&region_request(slot, set));
    let outputs = street.tell(HOLDER, &request);
    assert_eq!(published(&outputs, "/share").len(), 1);
    (street, slot, outputs)
}

#[test]
fn a_holder_that_was_on_time_and_is_left_out_complains_and_helps() {
    let (street, slot, outputs) = asked::<ElGamal>(Some(true), false);
    let [complaint] = &published(&outputs, "/omission")[..] else { panic!("{outputs:?}") };
    let envelope = Envelope::parse(complaint).unwrap();
    let (meter, body): (_, Omission) = street.roster.open_from_member(&envelope).unwrap();
    assert_eq!((meter, body.slot), (meter_id(HOLDER), slot));
    assert_eq!(events(&outputs), [Event::Omitted { slot }]);
}

#[test]
fn a_holder_that_is_listed_or_late_or_has_no_receipt_does_not_complain() {
    for (with, is_listed) in [(Some(true), true), (Some(false), false), (None, false)] {
        let (.., outputs) = asked::<Plain>(with, is_listed);
        assert!(published(&outputs, "/omission").is_empty(), "{with:?} {is_listed}");
    }
}

#[test]
fn a_complaint_that_is_lost_is_said_with_the_next_answer() {
    let (mut street, slot, listed) = ended::<Plain>();
    let receipt = street.by_collector(&receipt(HOLDER, slot, &listed[HOLDER]));
    street.tell(HOLDER, &receipt);
    let request = street.by_collector(&region_request(slot, &listed[1..]));
    let first = published(&street.tell(HOLDER, &request), "/omission");
    assert_eq!(first.len(), 1);
    street.restart(HOLDER);
    assert_eq!(published(&street.tell(HOLDER, &request), "/omission"), first);
}

/// What anyone finds of a complaint of the first member, about a request for
/// the others or for all.
fn judged(
    bend: impl FnOnce(&mut Receipt),
    bend_complaint: impl FnOnce(&mut Omission),
    is_listed: bool,
) -> Result<(protocol::id::MeterId, Slot), OmissionError> {
    let (street, slot, listed) = ended::<Plain>();
    let request = region_request(slot, if is_listed { &listed[..] } else { &listed[1..] });
    let mut receipt = receipt(HOLDER, slot, &listed[HOLDER]);
    bend(&mut receipt);
    let receipt = street.by_collector(&receipt).into();
    let digest = protocol::release::digest(&request);
    let mut complaint = Omission { slot, receipt, request: digest };
    bend_complaint(&mut complaint);
    let complaint = Envelope::parse(&street.by_meter(HOLDER, &complaint)).unwrap();
    let request = Envelope::parse(&street.by_collector(&request)).unwrap();
    judge(&street.roster, &complaint, &request)
}

#[test]
fn anyone_judges_a_complaint_from_receipt_and_request() {
    let (meter, _) = judged(|_| (), |_| (), false).unwrap();
    assert_eq!(meter, meter_id(HOLDER));
}

#[test]
fn a_complaint_about_a_set_that_lists_the_contribution_shows_nothing() {
    assert_eq!(judged(|_| (), |_| (), true), Err(OmissionError::Listed));
}

#[test]
fn a_complaint_with_a_receipt_that_is_late_or_anothers_shows_nothing() {
    let wrong = Err(OmissionError::Receipt);
    assert_eq!(judged(|receipt| receipt.on_time = false, |_| (), false), wrong);
    assert_eq!(judged(|receipt| receipt.meter = meter_id(1), |_| (), false), wrong);
    assert_eq!(judged(|receipt| receipt.slot = receipt.slot.plus(1), |_| (), false), wrong);
}

#[test]
fn a_complaint_about_another_request_shows_nothing() {
    let other = judged(|_| (), |complaint| complaint.request = Digest::NONE, false);
    assert_eq!(other, Err(OmissionError::Request));
}

#[test]
fn a_complaint_with_a_receipt_that_the_collector_did_not_sign_shows_nothing() {
    let (street, slot, listed) = ended::<Plain>();
    let forged = street.by_meter(HOLDER, &receipt(HOLDER, slot, &listed[HOLDER]));
    let forged = judged(|_| (), |complaint| complaint.receipt = forged.into(), false);
    assert!(matches!(forged, Err(OmissionError::Rejected(_))), "{forged:?}");
}

#[test]
fn a_collector_hears_complaints_and_sums_all_the_same() {
    let (mut street, slot, outputs) = asked::<Plain>(Some(true), false);
    let [complaint] = &published(&outputs, "/omission")[..] else { panic!("{outputs:?}") };
    let said = street.send(complaint);
    assert_eq!(said, [Event::Omission { meter: meter_id(HOLDER), slot }]);
    street.run_slot(1);
    assert_eq!(street.sums(), [(1 << MEMBERS) - 1]);
}

#[test]
fn a_collector_takes_no_complaint_without_a_receipt() {
    let (mut street, slot, _) = ended::<Plain>();
    let empty = Omission { slot, receipt: Vec::new().into(), request: Digest::NONE };
    let complaint = street.by_meter(HOLDER, &empty);
    let said = street.send(&complaint);
    assert!(matches!(said[..], [Event::Rejected { name: "malformed", .. }]), "{said:?}");
}
