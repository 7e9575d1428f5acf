//! What travels: messages and their bodies, and the key share that is kept.

use std::fs;

use aggregation::{ElGamal, Rng};
use ciborium::Value;
use protocol::envelope::{Envelope, encode};
use protocol::keygen::Candidate;
use protocol::message::{Invitation, Kind};
use rand::SeedableRng as _;

use crate::{Corpus, top};

pub(crate) fn envelopes() -> Corpus {
    let mut corpus = Corpus::of("envelope");
    for kind in Kind::ALL {
        let (name, bytes) = golden(*kind);
        corpus.add(&name, bytes);
    }
    let (_, key_part) = golden(Kind::KeyPart);
    let (_, share) = golden(Kind::Share);
    corpus.add("empty", []);
    corpus.add("cut-off", &share[..share.len() - 1]);
    corpus.add("one-byte-more", [&share[..], &[0]].concat());
    corpus.add("tagged", [&[0xd2], &share[..]].concat());
    corpus.add("endless-array", [&[0x9f], &share[1..], &[0xff]].concat());
    corpus.add("three-parts", changed(&share, |parts| drop(parts.pop())));
    corpus.add("detached", changed(&share, |parts| parts[2] = Value::Null));
    let noted = Value::Map(vec![(4.into(), Value::Bytes(b"meter-01".to_vec()))]);
    corpus.add("unprotected", changed(&share, |parts| parts[1] = noted.clone()));
    corpus.add("no-header", changed(&share, |parts| parts[0] = Value::Bytes(vec![])));
    corpus.add("no-signature", changed(&share, |parts| parts[3] = Value::Bytes(vec![])));
    corpus.add("empty-payload", changed(&share, |parts| parts[2] = Value::Bytes(vec![])));
    corpus.add("text-payload", changed(&share, |parts| parts[2] = "payload".into()));
    let context = b"\x84\x01\x07\x68north-01\x01";
    corpus.add("version-2", bent(&share, context, b"\x84\x02\x07\x68north-01\x01"));
    corpus.add("kind-13", bent(&share, context, b"\x84\x01\x0d\x68north-01\x01"));
    corpus.add("upper-case-region", bent(&share, context, b"\x84\x01\x07\x68North-01\x01"));
    corpus.add("another-kind", bent(&share, context, b"\x84\x01\x04\x68north-01\x01"));
    corpus.add("epoch-0", bent(&share, context, b"\x84\x01\x07\x68north-01\x00"));
    corpus.add("algorithm-es256", bent(&share, b"\xa3\x01\x27", b"\xa3\x01\x26"));
    corpus.add("sender-with-a-slash", bent(&share, b"meter-01", b"meter/01"));
    corpus.add("from-the-collector", bent(&key_part, b"\x48meter-01", b"\x49collector").as_slice());
    // 1 in two bytes, and a length in three.
    corpus.add(
        "long-version",
        bent(&bent(&share, context, b"\x84\x18\x01\x07\x68north-01\x01"), b"\x58\x1f", b"\x58\x20"),
    );
    let (_, contribution) = golden(Kind::Contribution);
    corpus.add("long-length", bent(&contribution, b"\x58\x8a\x82", b"\x59\x00\x8a\x82"));
    corpus.add("claims-4-gib", [0x84, 0x5a, 0xff, 0xff, 0xff, 0xff]);
    corpus.add("claims-2-to-the-64", [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x84]);
    corpus.add("deep", [0x81; 400]);
    corpus
}

pub(crate) fn messages() -> Corpus {
    let mut corpus = Corpus::of("message");
    let of = |kind: Kind, payload: &[u8]| [&[u8::from(kind)], payload].concat();
    for kind in Kind::ALL {
        let (name, _) = golden(*kind);
        corpus.add(&name, of(*kind, &payload(*kind)));
    }
    // A body that ends early is the same to every kind: one stands for all.
    let contribution = payload(Kind::Contribution);
    add_range_proofs(&mut corpus, &contribution);
    let half = &contribution[..contribution.len() / 2];
    corpus.add("contribution-cut-off", of(Kind::Contribution, half));
    let (hidden, head) = (&contribution[contribution.len() - 128..], contribution.len() - 128);
    let with = |hidden: &[u8]| of(Kind::Contribution, &[&contribution[..head], hidden].concat());
    corpus.add("identity-point", with(&[&[0; 32], &hidden[32..]].concat()));
    corpus.add("point-not-canonical", with(&[&[0xff; 32], &hidden[32..]].concat()));
    corpus.add("scalar-above-the-order", with(&[&hidden[..96], &[0xff; 32]].concat()));
    let export = bent(&contribution, b"\xa1\x01", b"\xa1\x02");
    corpus.add("register-export", of(Kind::Contribution, &export));
    corpus
        .add("register-3", of(Kind::Contribution, &bent(&contribution, b"\xa1\x01", b"\xa1\x03")));
    let empty: [(Value, Value); 0] = [];
    let none = changed(&contribution, |parts| parts[1] = Value::Map(empty.to_vec()));
    corpus.add("no-register", of(Kind::Contribution, &none));
    let twice = |parts: &mut Vec<Value>| {
        let Value::Map(registers) = &mut parts[1] else { panic!("no map") };
        registers.push(registers[0].clone());
    };
    corpus.add("register-twice", of(Kind::Contribution, &changed(&contribution, twice)));
    let listing = payload(Kind::Listing);
    let with = |set: Vec<u8>| {
        changed(&listing, |parts| parts[2] = Value::Array(vec![Value::Bytes(set.clone())]))
    };
    corpus.add("set-that-ends-in-zero", of(Kind::Listing, &with(vec![0x0d, 0])));
    corpus.add("set-of-strangers", of(Kind::Listing, &with(vec![0xff; 40])));
    let share = payload(Kind::Share);
    let short = |parts: &mut Vec<Value>| parts[1] = Value::Bytes(vec![1; 64]);
    corpus.add("share-of-no-sum", of(Kind::Share, &changed(&share, short)));
    let state = payload(Kind::State);
    corpus.add("state-with-a-key-more", of(Kind::State, &bent(&state, b"\xae", b"\xaf\x61x\x01")));
    corpus.add("state-with-an-escape", of(Kind::State, &bent(&state, b"0.1.0", b"\x1b[2J.")));
    corpus.add("state-with-a-c1-escape", of(Kind::State, &bent(&state, b"0.1.0", b"\xc2\x9b2J.")));
    let refusal = payload(Kind::Refusal);
    corpus.add(
        "refusal-cut-in-utf8",
        of(Kind::Refusal, &bent(&refusal, b"answered", b"answere\xc3")),
    );
    let outcome = payload(Kind::Outcome);
    corpus
        .add("result-of-a-meter", of(Kind::Outcome, &bent(&outcome, b"\x66region", b"\x65meter")));
    let portion = Value::Array(vec![0.into(), 0.into()]);
    let empty =
        Value::Map(vec![("bill".into(), Value::Array(vec![portion, Value::Array(vec![])]))]);
    corpus.add("request-of-no-claim", of(Kind::Request, &encode(&empty)));
    let phase = payload(Kind::Status);
    corpus.add(
        "status-of-a-region",
        of(Kind::Status, &bent(&phase, b"\x64bill\x82\x00\x00", b"\x66region\x00")),
    );
    corpus.add("kind-0", [0, 0x80]);
    corpus
}

/// A contribution with its range proof, and one whose range proof is null.
fn add_range_proofs(corpus: &mut Corpus, contribution: &[u8]) {
    let of = |payload: &[u8]| [&[u8::from(Kind::Contribution)], payload].concat();
    let proven = Envelope::parse(&file("contribution-with-range-proof")).unwrap();
    corpus.add("contribution-with-range-proof", of(proven.payload()));
    let null = changed(contribution, |parts| parts.push(Value::Null));
    corpus.add("contribution-with-no-range-proof", of(&null));
}

pub(crate) fn rosters() -> Corpus {
    let mut corpus = Corpus::of("roster");
    let body = payload(Kind::Roster);
    corpus.add("golden", &body);
    let part = |at: usize, value: Value| changed(&body, |parts| parts[at] = value.clone());
    corpus.add("ends-off-the-grid", part(6, 1_944_454.into()));
    corpus.add("ends-before-it-begins", part(6, 1_944_441.into()));
    corpus.add("is-empty", part(6, 1_944_445.into()));
    corpus.add("ends-with-time", part(6, (u64::MAX - u64::MAX % 4 - 3).into()));
    let last = changed(&body, |parts| {
        parts[5] = (u64::MAX - 4).into();
        parts[6] = u64::MAX.into();
    });
    corpus.add("begins-with-the-last-window", last);
    corpus.add("another-group-key", part(8, Value::Bytes(vec![0; 32])));
    corpus.add("another-invitation", part(2, Value::Bytes(vec![1; 32])));
    corpus.add("follows-another", part(0, Value::Bytes(vec![2; 32])));
    corpus.add("without-members", part(9, Value::Array(vec![])));
    let members = |change: fn(&mut Vec<Value>)| {
        changed(&body, |parts| {
            let Value::Array(members) = &mut parts[9] else { panic!("no members") };
            change(members);
        })
    };
    corpus.add("members-out-of-order", members(|members| members.swap(0, 1)));
    corpus.add("member-twice", members(|members| members[1] = members[0].clone()));
    corpus.add("three-of-four-members", members(|members| drop(members.pop())));
    let parameter = |at: usize, value: Value| {
        changed(&body, |parts| {
            let Value::Array(parameters) = &mut parts[7] else { panic!("no parameters") };
            parameters[at] = value.clone();
        })
    };
    corpus.add("another-scheme", parameter(0, "plain".into()));
    corpus.add("another-threshold", parameter(1, "most".into()));
    let three = Value::Map(vec![("of".into(), 3.into())]);
    corpus.add("three-holders-and-no-dealings", parameter(1, three));
    corpus.add("second-attempt", part(1, 1.into()));
    corpus.add("one-contributor", parameter(2, 1.into()));
    corpus.add("too-many-corrupted", parameter(3, 2.into()));
    corpus.add("bill-of-one-slot", parameter(4, 1.into()));
    corpus.add("slots-of-0-s", parameter(5, 0.into()));
    corpus.add("slots-of-a-day", parameter(5, 86_400.into()));
    corpus.add("window-of-8", parameter(6, 8.into()));
    corpus.add("longest-deadline", parameter(8, 31_622_400.into()));
    corpus.add("largest-reading", parameter(9, u32::MAX.into()));
    corpus.add("no-registers", parameter(10, Value::Array(vec![])));
    corpus.add("both-registers", parameter(10, Value::Array(vec![1.into(), 2.into()])));
    corpus.add("register-twice", parameter(10, Value::Array(vec![1.into(), 1.into()])));
    corpus.add("cut-off", &body[..body.len() - 7]);
    corpus
}

pub(crate) fn key_shares() -> Corpus {
    let mut corpus = Corpus::of("kept");
    let envelope = Envelope::parse(&golden(Kind::Invitation).1).unwrap();
    let header = envelope.header().clone();
    let invitation: Invitation = envelope.peek().unwrap();
    let (meter, mut rng) = ("meter-01".parse().unwrap(), Rng::seed_from_u64(1));
    let candidate =
        Candidate::<ElGamal>::answer(&header.region, header.epoch, &invitation, &meter, &mut rng);
    let stored = candidate.unwrap().to_stored();
    let field = |name: &str, value: Value| {
        let Value::Map(mut fields) = ciborium::from_reader(stored.as_slice()).unwrap() else {
            panic!("no map")
        };
        let place = fields.iter().position(|(key, _)| key.as_text() == Some(name)).unwrap();
        fields[place].1 = value;
        encode(&Value::Map(fields))
    };
    corpus.add("key-share", &*stored);
    corpus.add("empty", []);
    corpus.add("cut-off", &stored[..stored.len() - 1]);
    corpus.add("one-byte-more", [&stored[..], &[0]].concat());
    corpus.add("secret-0", field("secret", Value::Bytes(vec![0; 32])));
    corpus.add("secret-above-the-order", field("secret", Value::Bytes(vec![0xff; 32])));
    corpus.add("secret-of-31-bytes", field("secret", Value::Bytes(vec![1; 31])));
    corpus.add("no-part", field("part", Value::Bytes(vec![])));
    corpus.add("part-as-array", field("part", Value::Array(vec![1.into(), 2.into()])));
    corpus.add("no-name", field("region", "".into()));
    corpus.add("name-with-a-slash", field("region", "a/b".into()));
    corpus.add("epoch-2-to-the-32", field("epoch", (1_u64 << 32).into()));
    corpus.add("last-epoch", field("epoch", u32::MAX.into()));
    corpus.add("another-meter", field("meter", "meter-09".into()));
    corpus.add("no-invitation", field("invitation", Value::Array(vec![])));
    corpus
}

/// The golden message of a kind: its bytes, and its kind's file name.
fn golden(kind: Kind) -> (String, Vec<u8>) {
    let name = kind.as_str().replace(' ', "-");
    let bytes = file(&name);
    (name, bytes)
}

/// The golden message of a file.
fn file(name: &str) -> Vec<u8> {
    let path = top().join(format!("protocol/tests/golden/{name}.hex"));
    let text = fs::read_to_string(path).unwrap();
    let digits = text.lines().filter_map(|line| line.split('#').next());
    let digits: String = digits.flat_map(str::split_whitespace).collect();
    hex::decode(digits).unwrap()
}

fn payload(kind: Kind) -> Vec<u8> {
    Envelope::parse(&golden(kind).1).unwrap().payload().to_vec()
}

/// The bytes with `from` replaced by `to`, once.
fn bent(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// A value with one part of it changed, as CBOR.
fn changed(bytes: &[u8], change: impl Fn(&mut Vec<Value>)) -> Vec<u8> {
    let Value::Array(mut parts) = ciborium::from_reader(bytes).unwrap() else { panic!("no array") };
    change(&mut parts);
    encode(&Value::Array(parts))
}
