//! Messages that a collector takes together, as it would take one by one.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use aggregation::ElGamal;
use common::region::{MEMBERS, Region};
use common::{events, meter_id, meter_identity, region_id};
use protocol::envelope::seal;
use protocol::id::Sender;
use protocol::message::Challenge;
use protocol::output::{Event, Output, Publication};
use protocol::slot::Timestamp;

type Street = Region<ElGamal>;

/// What a collector hands out that takes so many messages at a time.
fn outputs_of(bag: &[Vec<u8>], now: Timestamp, size: usize) -> Vec<Output> {
    let mut street = Street::open(MEMBERS);
    for messages in bag.chunks(size) {
        street.collector.handle_messages(messages, now);
    }
    std::iter::from_fn(|| street.collector.poll_output()).collect()
}

/// Everything that an output says.
fn text(output: &Output) -> String {
    match output {
        Output::Publish(Publication { topic, payload, retain }) => {
            format!("{topic} {payload:?} {retain}")
        }
        other => format!("{other:?}"),
    }
}

fn texts(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(text).collect()
}

fn names(outputs: &[Output]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Rejected { name, .. } => name,
        event => event.name(),
    };
    events(outputs).iter().map(name).collect()
}

/// Good contributions of all members to the first slot, and among them bad
/// ones, repeated ones, and other things.
fn mixed_bag(street: &mut Street) -> Vec<Vec<u8>> {
    let slot = street.end_slot(0);
    let good = street.play_all(slot, 0..MEMBERS);
    let early = street.slot(1);
    let [conflicting, early] =
        [(0, slot), (2, early)].map(|(at, slot)| street.play(at, slot, 1000).message);
    let copied = [1, 3].map(|at| street.by_meter(at, &good[0].body));
    let place = (&region_id(), street.roster.epoch(), Sender::Meter(meter_id(0)));
    let forged = seal(&meter_identity(1), place, street.roster.digest(), &good[0].body);
    let [first, second, third, fourth, last] =
        [0, 1, 2, 3, 4].map(|at: usize| good[at].message.clone());
    let [of_second, of_fourth] = copied;
    let challenge = Challenge { meter: meter_id(0), slots: vec![slot] };
    let (repeated, own) = (first.clone(), street.by_collector(&challenge));
    let before = [b"garbage".to_vec(), first, of_second, second, repeated, conflicting, forged];
    let after = [early, own, third, of_fourth, fourth.clone(), last, fourth];
    before.into_iter().chain(after).collect()
}

#[test]
fn messages_taken_together_come_to_the_same_as_one_by_one() {
    let mut street = Street::open(MEMBERS);
    let bag = mixed_bag(&mut street);
    let slot = street.slot(0);
    // While contributions count, and when the first of them closes the slot.
    for now in [street.roster.grid().end(slot), street.roster.slot_closes(slot)] {
        let alone = texts(&outputs_of(&bag, now, 1));
        for size in 2..=bag.len() {
            assert_eq!(texts(&outputs_of(&bag, now, size)), alone, "{size} at a time");
        }
    }
}

#[test]
fn each_of_many_bad_contributions_is_named() {
    let mut street = Street::open(MEMBERS);
    let bag = mixed_bag(&mut street);
    let outputs = outputs_of(&bag, street.now, bag.len());
    let bad = ["malformed", "proof", "conflict", "signature", "outside", "kind", "proof"];
    assert_eq!(names(&outputs), bad);
    let proofless: Vec<_> = events(&outputs)
        .into_iter()
        .filter_map(|event| match event {
            Event::Rejected { sender, name: "proof", .. } => sender,
            _ => None,
        })
        .collect();
    assert_eq!(proofless, [1, 3].map(|at| Sender::Meter(meter_id(at))));
}

#[test]
fn contributions_that_wait_together_are_summed() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let waiting: Vec<_> = (0..MEMBERS).map(|at| street.contribution(at, slot, 1 << at)).collect();
    street.collector.handle_messages(&waiting, street.now);
    street.deliver();
    assert_eq!(street.sums(), [0b1_1111]);
}

#[test]
fn a_bad_contribution_spoils_no_good_one_of_the_same_meter() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    let good = street.play(1, slot, 2).message;
    let copied = street.play(0, slot, 1).body;
    let bad = street.by_meter(1, &copied);
    street.collector.handle_messages(&[bad, good], street.now);
    street.deliver();
    assert_eq!((street.receipts(1).len(), names(&street.outputs)), (1, vec!["proof"]));
}
