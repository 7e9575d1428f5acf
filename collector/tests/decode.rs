//! What `collector decode` says of messages, for a person and for a machine.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

use std::collections::BTreeMap;

use collector::decode;
use protocol::Rng;
use protocol::envelope::seal;
use protocol::id::{Digest, Epoch, RegionId, Sender};
use protocol::identity::Identity;
use protocol::message::{Contribution, Proof, Refusal};
use protocol::reading::Register;
use protocol::slot::Slot;
use rand::SeedableRng as _;
use serde_bytes::ByteBuf;

const TOPIC: &str = "hushgrid/v1/north/m/m-01/contribution";

fn contribution() -> Vec<u8> {
    let hidden: Vec<u8> = (0..128).map(|at| at / 32).collect();
    let registers = BTreeMap::from([(Register::Import, ByteBuf::from(hidden))]);
    let range_proof = Some(ByteBuf::from(vec![1; 576]));
    sealed(&Contribution { slot: Slot(1_944_444), registers, range_proof })
}

fn sealed<M: protocol::envelope::Message>(body: &M) -> Vec<u8> {
    let identity = Identity::generate(&mut Rng::seed_from_u64(1));
    let region: RegionId = "north".parse().unwrap();
    let sender = Sender::Meter("m-01".parse().unwrap());
    seal(&identity, (&region, Epoch(1), sender), &Digest::NONE, body)
}

fn said(topic: &str, payload: &[u8], as_json: bool) -> String {
    let line = format!("{topic} {}\n", hex::encode(payload));
    let mut output = Vec::new();
    decode::lines(line.as_bytes(), &mut output, as_json).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn a_contribution_is_explained_field_by_field() {
    let text = said(TOPIC, &contribution(), false);
    let words: Vec<_> = text.split_whitespace().collect();
    for (name, value) in [
        ("kind", "contribution"),
        ("sender", "m-01"),
        ("slot", "1944444"),
        ("C2", &"01".repeat(32)),
        ("z", &"03".repeat(32)),
        ("bytes", "576"),
    ] {
        assert!(words.windows(2).any(|pair| pair == [name, value]), "{name}: {text}");
    }
    assert!(text.contains("not checked"), "{text}");
}

#[test]
fn a_proof_is_explained_by_its_slots_and_the_length_of_each_register() {
    let registers = BTreeMap::from([(Register::Export, ByteBuf::from(vec![1; 704]))]);
    let proof = Proof { slots: vec![Slot(7), Slot(9)], registers };
    let object: serde_json::Value =
        serde_json::from_str(&said(TOPIC, &sealed(&proof), true)).unwrap();
    assert_eq!(object["kind"], "proof");
    assert_eq!(object["body"]["slots"], serde_json::json!([7, 9]));
    assert_eq!(object["body"]["registers"]["export"]["bytes"], 704);
}

#[test]
fn a_machine_gets_one_object_for_each_message() {
    let refusal = Refusal { request: Digest::NONE, reason: "too-few".into(), answered: None };
    let object: serde_json::Value =
        serde_json::from_str(&said(TOPIC, &sealed(&refusal), true)).unwrap();
    assert_eq!(object["kind"], "refusal");
    assert_eq!(object["body"]["reason"], "too-few");
    assert_eq!(object["body"]["request"], "00".repeat(32));
}

#[test]
fn every_kind_of_message_is_explained() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/golden");
    for file in std::fs::read_dir(golden).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let digits = text.lines().filter_map(|line| line.split('#').next());
        let digits: String = digits.flat_map(str::split_whitespace).collect();
        let said = said(TOPIC, &hex::decode(digits).unwrap(), true);
        assert!(said.contains("\"body\":") && !said.contains("\"error\""), "{said}");
    }
}

#[test]
fn a_json_view_is_shown_as_it_is() {
    let object: serde_json::Value =
        serde_json::from_str(&said("hushgrid/v1/north/c/result/json", br#"{"sum_wh":9}"#, true))
            .unwrap();
    assert_eq!(object["view"]["sum_wh"], 9);
}

#[test]
fn what_is_no_message_is_said_to_be_none() {
    assert!(said(TOPIC, b"garbage", false).contains("no COSE_Sign1 of this protocol"));
    let mut output = Vec::new();
    decode::lines(&b"topic in plain words\n"[..], &mut output, false).unwrap();
    assert!(String::from_utf8(output).unwrap().contains("use -F '%t %x'"));
}
