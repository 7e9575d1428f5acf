//! The meter's own side: a slot is encrypted once, and sent until it is
//! receipted.
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
use common::region::{IMPORT, MEMBERS, Region, messages, receipt};
use common::{both_registers, drain, events, meter_id, new_meter, published};
use protocol::message::Receipt;
use protocol::output::{Event, Output, SlotError};
use protocol::reading::{ReadingError, Register};
use protocol::slot::Slot;

type Street = Region<Plain>;

/// A street whose first slot has ended.
fn street() -> (Street, Slot) {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    (street, slot)
}

/// What a meter says instead of contributing.
fn refusal(outputs: &[Output]) -> SlotError {
    assert!(published(outputs, "/contribution").is_empty());
    let said = events(outputs);
    let [.., Event::SlotRefused { error, .. }] = &said[..] else { panic!("{outputs:?}") };
    error.clone()
}

/// What a meter sends when its connection is back.
fn resent(street: &mut Street) -> Vec<Vec<u8>> {
    street.meters[0].handle_connected(street.now);
    published(&street.drain(0), "/contribution")
}

#[test]
fn a_meter_encrypts_a_slot_once() {
    let (mut street, slot) = street();
    street.contribution(0, slot, 417);
    assert_eq!(refusal(&street.read(0, slot, 417)), SlotError::Again);
    assert_eq!(refusal(&street.read(0, slot, 418)), SlotError::Again);
    let next = street.end_slot(1);
    street.contribution(0, next, 1);
    assert_eq!(refusal(&street.read(0, slot, 417)), SlotError::Again);
}

#[test]
fn a_meter_encrypts_no_slot_again_that_it_has_forgotten() {
    let (mut street, slot) = street();
    street.contribution(0, slot, 417);
    street.end_slot(15);
    street.meters[0].handle_timeout(street.now);
    street.drain(0);
    assert_eq!(refusal(&street.read(0, slot, 418)), SlotError::Again);
}

#[test]
fn a_restarted_meter_encrypts_no_slot_that_ended_before() {
    let (mut street, slot) = street();
    street.contribution(0, slot, 417);
    street.now = street.now + Duration::from_secs(1);
    street.restart(0);
    let again = street.read(0, slot, 418);
    assert!(published(&again, "/contribution").is_empty());
}

#[test]
fn a_meter_contributes_nothing_before_its_epoch_or_after() {
    let (mut street, _) = street();
    street.end_slot(20);
    for slot in [Slot(0), Slot(street.slot(0).0 - 1), street.slot(16), Slot(u64::MAX)] {
        assert_eq!(refusal(&street.read(0, slot, 1)), SlotError::NoEpoch);
    }
    let mut alone = new_meter::<Plain>(0, street.now);
    alone.handle_reading(street.slot(0), &BTreeMap::from([(IMPORT, 1)]), street.now);
    assert_eq!(refusal(&drain(&mut alone)), SlotError::NoEpoch);
}

#[test]
fn a_meter_contributes_no_slot_that_has_not_ended() {
    let (mut street, slot) = street();
    assert_eq!(refusal(&street.read(0, slot.plus(1), 1)), SlotError::NotEnded);
}

#[test]
fn a_reading_above_the_maximum_is_refused() {
    let mut street = Street::open(MEMBERS);
    let above = SlotError::Reading(IMPORT, ReadingError::AboveMaximum { limit: 32_767 });
    let first = street.end_slot(0);
    assert_eq!(refusal(&street.read(0, first, 32_768)), above);
    let (second, third) = (street.end_slot(1), street.end_slot(2));
    assert_eq!(refusal(&street.read(0, second, 65_536)), above);
    assert_eq!(refusal(&street.read(0, third, u64::MAX)), above);
    // What a slot can hold waits to be carried, what it cannot does not.
    assert_eq!(street.meters[0].uncounted()[&IMPORT].unsettled_wh, 32_768);
    let fourth = street.end_slot(3);
    street.contribution(0, fourth, 32_767);
}

#[test]
fn a_reading_of_a_missing_register_is_refused() {
    let mut street = Street::open_with(MEMBERS, both_registers::<Plain>());
    let (slot, half) = (street.end_slot(0), BTreeMap::from([(IMPORT, 1)]));
    street.meters[0].handle_reading(slot, &half, street.now);
    let missing = SlotError::Missing(Register::Export);
    assert_eq!(refusal(&street.drain(0)), missing);
    assert_eq!(street.meters[0].counters().get("slot-refused"), Some(&1));
}

#[test]
fn an_unreceipted_contribution_is_sent_again_byte_for_byte() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let slot = street.end_slot(0);
    let first = street.contribution(0, slot, 417);
    for _ in 0..3 {
        street.meters[0].handle_connected(street.now);
        let again = published(&street.drain(0), "/contribution");
        assert_eq!(again, std::slice::from_ref(&first));
        street.now = street.meters[0].poll_timeout().unwrap();
        street.meters[0].handle_timeout(street.now);
        let again = published(&street.drain(0), "/contribution");
        assert_eq!(again, std::slice::from_ref(&first));
    }
}

#[test]
fn a_receipted_contribution_is_not_sent_again() {
    let (mut street, slot) = street();
    let message = street.contribution(0, slot, 417);
    let receipt = street.by_collector(&receipt(0, slot, &message));
    assert!(street.tell(0, &receipt).is_empty());
    assert!(resent(&mut street).is_empty());
}

#[test]
fn a_receipt_for_other_bytes_receipts_nothing() {
    let (mut street, slot) = street();
    let message = street.contribution(0, slot, 417);
    for receipt in [receipt(0, slot, b"other"), receipt(0, slot.plus(1), &message)] {
        let receipt = street.by_collector(&receipt);
        assert!(street.tell(0, &receipt).is_empty());
    }
    assert_eq!(resent(&mut street), [message]);
}

#[test]
fn a_forged_receipt_receipts_nothing() {
    let (mut street, slot) = street();
    let message = street.contribution(0, slot, 417);
    let honest = receipt(0, slot, &message);
    let by_member = street.by_meter(1, &honest);
    let for_another = street.by_collector(&Receipt { meter: meter_id(1), ..honest });
    for receipt in [by_member, for_another] {
        let said = events(&street.tell(0, &receipt));
        assert!(matches!(said[..], [Event::Rejected { name: "sender", .. }]), "{said:?}");
    }
    assert_eq!(resent(&mut street), [message]);
}

#[test]
fn a_meter_hears_that_it_came_too_late() {
    let (mut street, slot) = street();
    let message = street.contribution(0, slot, 417);
    let late = street.by_collector(&Receipt { on_time: false, ..receipt(0, slot, &message) });
    assert_eq!(events(&street.tell(0, &late)), [Event::Uncounted { slot }]);
}

#[test]
fn a_meter_counts_garbage_and_goes_on() {
    let (mut street, slot) = street();
    let mut truncated = street.signed_roster.clone();
    truncated.pop();
    let own_kind = street.play(1, slot, 1).message;
    for garbage in [b"".to_vec(), b"{}".to_vec(), vec![0x81; 10_000], truncated, vec![0; 2 << 20]] {
        street.tell(0, &garbage);
    }
    street.tell(0, &own_kind);
    let counters = street.meters[0].counters();
    let expected = [("kind", 1), ("malformed", 4), ("too-large", 1)];
    assert_eq!(counters, expected.map(|(name, count)| (name.to_owned(), count)).into());
    let mut listed = vec![street.contribution(0, slot, 1)];
    listed.extend(messages(&street.play_all(slot, 1..MEMBERS)));
    assert_eq!(street.ask_region(0, slot, &listed).name(), "share");
}

#[test]
fn what_is_due_is_done_when_it_is_due() {
    let (mut street, slot) = street();
    street.contribution(0, slot, 417);
    for _ in 0..200 {
        let Some(due) = street.meters[0].poll_timeout() else { return };
        street.meters[0].handle_timeout(due);
        street.drain(0);
        let next = street.meters[0].poll_timeout();
        assert!(next.is_none_or(|next| next > due), "{due:?} is due again");
    }
}

#[test]
fn a_meter_rests_once_its_epoch_is_over() {
    let (mut street, slot) = street();
    street.contribution(0, slot, 417);
    street.end_slot(15);
    street.now = street.now + Duration::from_hours(24);
    street.meters[0].handle_timeout(street.now);
    street.drain(0);
    // Nothing is left to send, to claim or to answer.
    assert_eq!(street.meters[0].poll_timeout(), None);
}

#[test]
fn a_receipt_becomes_durable_with_the_next_contribution() {
    let (mut street, slot) = street();
    let message = street.contribution(0, slot, 417);
    let receipt = street.by_collector(&receipt(0, slot, &message));
    street.meters[0].handle_message(&receipt, street.now);
    assert!(drain(&mut street.meters[0]).is_empty());
    let next = street.end_slot(1);
    let second = street.contribution(0, next, 418);
    street.restart(0);
    assert_eq!(resent(&mut street), [second]);
}

#[test]
fn a_restarted_meter_resends_what_it_stored() {
    let mut street = Region::<ElGamal>::open(MEMBERS);
    let slot = street.end_slot(0);
    let lost = street.contribution(0, slot, 417);
    street.restart(0);
    street.meters[0].handle_connected(street.now);
    assert_eq!(published(&street.drain(0), "/contribution"), std::slice::from_ref(&lost));
    street.now = street.meters[0].poll_timeout().unwrap();
    street.meters[0].handle_timeout(street.now);
    assert_eq!(published(&street.drain(0), "/contribution"), [lost]);
}
