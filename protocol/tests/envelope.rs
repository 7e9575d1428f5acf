//! What is no message, or not the message that was expected: each reason by
//! its name.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use aggregation::ElGamal;
use ciborium::Value;
use common::bent::{AnyContribution, Parts, context, header};
use common::founding::EPOCH;
use common::{COLLECTOR_SEED, meter_id, meter_identity, meter_seed, region_id};
use protocol::envelope::{Envelope, MESSAGE_MAX, Rejection, VERSION, encode, seal};
use protocol::id::{Digest, MeterId, Sender};
use protocol::message::{Contribution, Kind, Receipt, Refusal, Share};

const KIND: u8 = 4;
const EDDSA: i64 = -8;

type Street = common::region::Region<ElGamal>;

/// A region of four, with a contribution of the first meter.
fn street() -> (Street, Vec<u8>) {
    let mut street = Street::open(4);
    let slot = street.end_slot(0);
    let message = street.contribution(0, slot, 417);
    (street, message)
}

/// What the roster makes of a member's contribution.
fn verdict(street: &Street, message: &[u8]) -> Result<(MeterId, Contribution), Rejection> {
    street.roster.open_from_member(&Envelope::parse(message)?)
}

fn refusal(street: &Street, message: &[u8]) -> Rejection {
    verdict(street, message).unwrap_err()
}

/// An honest contribution of the first meter, in parts that can be bent.
fn parts(street: &Street, message: &[u8]) -> Parts {
    let payload = Envelope::parse(message).unwrap().payload().to_vec();
    Parts {
        protected: header(EDDSA, "meter-01", context(VERSION, KIND, "north-01", 1)),
        unprotected: vec![0xa0],
        payload,
        seed: meter_seed(0),
        binding: *street.roster.digest(),
    }
}

/// The verdict on a contribution that was bent before it was signed.
fn bent(bend: impl FnOnce(&mut Parts)) -> Rejection {
    let (street, message) = street();
    let mut parts = parts(&street, &message);
    bend(&mut parts);
    refusal(&street, &parts.sign())
}

#[test]
fn a_message_built_by_hand_is_the_one_that_the_code_builds() {
    let (street, message) = street();
    assert_eq!(hex::encode(parts(&street, &message).sign()), hex::encode(&message));
    assert_eq!(verdict(&street, &message).unwrap().0, meter_id(0));
}

#[test]
fn a_message_of_more_than_a_mebibyte_is_too_large() {
    let parse = |length| Envelope::parse(&vec![0x84; length]).unwrap_err();
    assert_eq!(parse(MESSAGE_MAX + 1), Rejection::TooLarge);
    assert_eq!(parse(MESSAGE_MAX), Rejection::Malformed);
}

#[test]
fn garbage_is_malformed() {
    let all: Vec<u8> = (0..=255).collect();
    for garbage in [b"".as_slice(), b"\0", b"{\"id\":1}", b"\xff\xff\xff", b"\x84", &all] {
        assert_eq!(Envelope::parse(garbage).unwrap_err(), Rejection::Malformed, "{garbage:x?}");
    }
}

#[test]
fn a_message_cut_anywhere_is_malformed() {
    let (_, message) = street();
    for length in 0..message.len() {
        let cut = Envelope::parse(&message[..length]).unwrap_err();
        assert_eq!(cut, Rejection::Malformed, "at {length}");
    }
}

#[test]
fn a_message_with_bytes_after_it_is_malformed() {
    let (_, mut message) = street();
    message.push(0);
    assert_eq!(Envelope::parse(&message).unwrap_err(), Rejection::Malformed);
}

#[test]
fn ten_thousand_nested_arrays_are_malformed() {
    assert_eq!(Envelope::parse(&[0x81; 10_000]).unwrap_err(), Rejection::Malformed);
    let header_of_arrays = bent(|parts| parts.protected = vec![0x81; 10_000]);
    assert_eq!(header_of_arrays, Rejection::Malformed);
    let body_of_arrays = bent(|parts| parts.payload = vec![0x81; 10_000]);
    assert_eq!(body_of_arrays, Rejection::Body);
}

#[test]
fn a_length_that_promises_too_much_is_malformed() {
    // An array, and a byte string, of 2^63 elements.
    for head in [0x9b, 0x5b] {
        let promise = [head, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Envelope::parse(&promise).unwrap_err(), Rejection::Malformed);
        assert_eq!(bent(|parts| parts.payload = promise.to_vec()), Rejection::Body);
    }
}

#[test]
fn a_tagged_message_is_malformed() {
    let (_, message) = street();
    // Tag 18 is that of COSE_Sign1, which this protocol leaves out.
    let tagged = [&[0xd2], message.as_slice()].concat();
    assert_eq!(Envelope::parse(&tagged).unwrap_err(), Rejection::Malformed);
}

#[test]
fn a_message_without_payload_is_malformed() {
    let (street, message) = street();
    let protected = encode(&Value::Bytes(parts(&street, &message).protected));
    let signature = [&[0x58, 64], [0; 64].as_slice()].concat();
    let detached = [&[0x84], protected.as_slice(), &[0xa0, 0xf6], &signature].concat();
    assert_eq!(Envelope::parse(&detached).unwrap_err(), Rejection::Malformed);
}

#[test]
fn another_header_is_malformed() {
    let good = || context(VERSION, KIND, "north-01", 1);
    let [short, mut long, mut text_epoch] = [good()[..3].to_vec(), good(), good()];
    long.push(0.into());
    text_epoch[3] = "1".into();
    let headers = [
        header(-7, "meter-01", good()),
        header(EDDSA, "", good()),
        header(EDDSA, "Meter 1", good()),
        header(EDDSA, "meter-01", short),
        header(EDDSA, "meter-01", long),
        header(EDDSA, "meter-01", text_epoch),
        header(EDDSA, "meter-01", context(VERSION, KIND, "North/+", 1)),
        encode(&Value::Map(vec![(1.into(), EDDSA.into())])),
        Vec::new(),
    ];
    for protected in headers {
        assert_eq!(bent(|parts| parts.protected = protected), Rejection::Malformed);
    }
}

#[test]
fn a_second_encoding_of_the_envelope_is_not_canonical() {
    let (street, message) = street();
    // An array of four, its length in a byte of its own or left open.
    let long = [&[0x98, 4], &message[1..]].concat();
    let open = [&[0x9f], &message[1..], &[0xff]].concat();
    // A protected header whose length takes two bytes.
    assert_eq!(message[1], 0x58);
    let wide = [&[0x84, 0x59, 0], &message[2..]].concat();
    for bytes in [long, open, wide] {
        assert_eq!(refusal(&street, &bytes), Rejection::NotCanonical);
    }
}

#[test]
fn a_second_encoding_of_the_header_is_not_canonical() {
    let (street, message) = street();
    let honest = parts(&street, &message).protected;
    let Value::Map(mut entries) = ciborium::from_reader(honest.as_slice()).unwrap() else {
        panic!("no map")
    };
    entries.swap(0, 1);
    let reordered = encode(&Value::Map(entries.clone()));
    // Parameter 3 is the content type.
    entries.push((3.into(), "text/plain".into()));
    let more = encode(&Value::Map(entries));
    // The epoch, 1, in a byte of its own.
    let wide = [&honest[..honest.len() - 1], &[0x18, 1]].concat();
    let open = [&[0xbf], &honest[1..], &[0xff]].concat();
    for protected in [reordered, more, wide, open] {
        assert_eq!(bent(|parts| parts.protected = protected), Rejection::NotCanonical);
    }
}

#[test]
fn an_unprotected_header_is_not_canonical() {
    // Parameter 4 is the key id.
    let kid = encode(&Value::Map(vec![(4.into(), Value::Bytes(b"meter-02".to_vec()))]));
    assert_eq!(bent(|parts| parts.unprotected = kid), Rejection::NotCanonical);
    assert_eq!(bent(|parts| parts.unprotected = vec![0xb8, 0]), Rejection::NotCanonical);
}

#[test]
fn a_second_encoding_of_the_body_is_not_canonical() {
    let (street, message) = street();
    let honest = parts(&street, &message).payload;
    // [slot, {1: contribution}]: the slot takes four bytes, the key none.
    assert_eq!((honest[0], honest[1], &honest[6..8]), (0x82, 0x1a, &[0xa1, 0x01][..]));
    let wide_slot = [&[0x82, 0x1b, 0, 0, 0, 0], &honest[2..]].concat();
    let wide_key = [&honest[..7], &[0x18], &honest[7..]].concat();
    let open_array = [&[0x9f], &honest[1..], &[0xff]].concat();
    let open_map = [&honest[..6], &[0xbf], &honest[7..], &[0xff]].concat();
    let twice = [&honest[..6], &[0xa2], &honest[7..], &honest[7..]].concat();
    // A range proof that is null, and one element more than there can be.
    let longer = [&[0x83], &honest[1..], &[0xf6]].concat();
    let longest = [&[0x84], &honest[1..], &[0x40, 0]].concat();
    let trailing = [honest.as_slice(), &[0]].concat();
    let longer = [longer, longest, trailing];
    for payload in [wide_slot, wide_key, open_array, open_map, twice].into_iter().chain(longer) {
        assert_eq!(bent(|parts| parts.payload = payload), Rejection::NotCanonical);
    }
}

#[test]
fn another_version_is_refused() {
    for version in [0, 2, u64::MAX] {
        let other = header(EDDSA, "meter-01", context(version, KIND, "north-01", 1));
        assert_eq!(bent(|parts| parts.protected = other), Rejection::Version);
    }
}

#[test]
fn an_unknown_kind_is_refused() {
    for kind in [0, 13, 255] {
        let other = header(EDDSA, "meter-01", context(VERSION, kind, "north-01", 1));
        assert_eq!(bent(|parts| parts.protected = other), Rejection::Kind);
    }
}

#[test]
fn a_message_of_one_kind_never_opens_as_another() {
    let (street, message) = street();
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Contribution) {
        let mut parts = parts(&street, &message);
        let other = context(VERSION, u8::from(*kind), "north-01", 1);
        parts.protected = header(EDDSA, "meter-01", other);
        assert_eq!(refusal(&street, &parts.sign()), Rejection::Kind, "{kind:?}");
    }
    let envelope = Envelope::parse(&message).unwrap();
    let share: Result<(_, Share), _> = street.roster.open_from_member(&envelope);
    assert_eq!(share, Err(Rejection::Kind));
    assert_eq!(envelope.peek::<Refusal>(), Err(Rejection::Kind));
}

#[test]
fn a_message_of_another_region_is_refused() {
    let other = header(EDDSA, "meter-01", context(VERSION, KIND, "south-01", 1));
    assert_eq!(bent(|parts| parts.protected = other), Rejection::Region);
}

#[test]
fn a_message_of_another_epoch_is_refused() {
    for epoch in [0, 2] {
        let other = header(EDDSA, "meter-01", context(VERSION, KIND, "north-01", epoch));
        assert_eq!(bent(|parts| parts.protected = other), Rejection::Epoch);
    }
}

#[test]
fn a_sender_that_is_no_member_is_unknown() {
    let (street, _) = street();
    let body = AnyContribution(Value::Null);
    for sender in [Sender::Meter(meter_id(4)), Sender::Collector, Sender::Registrar] {
        let place = (&region_id(), EPOCH, sender);
        let message = seal(&meter_identity(4), place, street.roster.digest(), &body);
        assert_eq!(refusal(&street, &message), Rejection::Sender);
    }
}

#[test]
fn a_member_does_not_speak_for_the_collector() {
    let (street, _) = street();
    let receipt = Receipt {
        meter: meter_id(0),
        slot: street.slot(0),
        on_time: true,
        contribution: Digest::NONE,
    };
    let open = |message: &[u8]| -> Result<Receipt, _> {
        street.roster.open_from_collector(&Envelope::parse(message).unwrap())
    };
    assert_eq!(open(&street.by_collector(&receipt)), Ok(receipt.clone()));
    assert_eq!(open(&street.by_meter(1, &receipt)), Err(Rejection::Sender));
    let place = (&region_id(), EPOCH, Sender::Collector);
    let forged = seal(&meter_identity(1), place, street.roster.digest(), &receipt);
    assert_eq!(open(&forged), Err(Rejection::Signature));
}

#[test]
fn a_signature_with_another_key_does_not_verify() {
    for seed in [meter_seed(1), COLLECTOR_SEED, [0; 32]] {
        assert_eq!(bent(|parts| parts.seed = seed), Rejection::Signature);
    }
}

#[test]
fn a_signature_under_another_roster_does_not_verify() {
    for binding in [Digest::NONE, Digest::of("roster", b"another")] {
        assert_eq!(bent(|parts| parts.binding = binding), Rejection::Signature);
    }
}

#[test]
fn a_body_of_another_shape_is_malformed() {
    let slot = || Value::from(1_944_445);
    let bytes = |length| Value::Bytes(vec![0; length]);
    let bodies = [
        Value::Null,
        Value::Array(vec![]),
        Value::Array(vec![slot()]),
        Value::Array(vec![slot(), bytes(128)]),
        Value::Array(vec![(-1).into(), Value::Map(vec![])]),
        // Register 3 is none.
        Value::Array(vec![slot(), Value::Map(vec![(3.into(), bytes(128))])]),
        Value::Map(vec![("slot".into(), slot())]),
    ];
    for body in bodies {
        let payload = encode(&body);
        let verdict = bent(|parts| parts.payload = payload);
        assert_eq!(verdict, Rejection::Body, "{body:?}");
    }
    assert_eq!(bent(|parts| parts.payload = vec![]), Rejection::Body);
}

#[test]
fn a_message_with_any_bit_flipped_never_opens() {
    let (street, message) = street();
    for bit in 0..8 * message.len() {
        let mut flipped = message.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verdict(&street, &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn every_rejection_has_a_name_of_its_own() {
    use Rejection::{
        Body, Epoch, Kind, Malformed, NotCanonical, Region, Sender, Signature, TooLarge, Version,
    };
    let all =
        [TooLarge, Malformed, NotCanonical, Version, Kind, Region, Epoch, Sender, Signature, Body];
    let names: std::collections::BTreeSet<_> = all.iter().map(|one| one.name()).collect();
    assert_eq!(names.len(), all.len());
}
