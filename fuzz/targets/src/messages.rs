//! Messages off the broker: the envelope of any, the body of each.

use std::fmt::Debug;

use aggregation::elgamal::{
    Complaint as Accusation, Contribution as Hidden, Dealing as Dealt, KeyPart as Part, RangeProof,
    Response,
};
use aggregation::{Canonical, ElGamal, Rng};
use ciborium::Value;
use curve25519_dalek::ristretto::CompressedRistretto;
use protocol::envelope::{Envelope, MESSAGE_MAX, Message, Rejection, encode, seal};
use protocol::evidence::Evidence;
use protocol::id::{Digest, Sender};
use protocol::identity::Identity;
use protocol::members::MemberSet;
use protocol::message::{
    Challenge, Claim, Complaint, Confirmation, Contribution, Dealing, Dealings, Endorsement,
    FinalListing, Inquiry, Invitation, KeyPart, KeyParts, Kind, Listing, Omission, Outcome, Proof,
    Recall, Receipt, Recollection, Refusal, Request, Roster, Share, State, Status, Unproven,
};
use protocol::meter::Meter;
use protocol::output::{Event, Output};
use protocol::record::Records;
use protocol::{keygen, roster};
use rand::SeedableRng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::street::{self, EPOCH, METER, NOW, binding, key, region, stranger};

/// A whole message. What parses has one encoding, opens with no key but its
/// sender's, and moves no meter whose registrar is another.
pub fn envelope(data: &[u8]) -> bool {
    explain(data);
    moves_no_meter(data);
    let Ok(envelope) = Envelope::parse(data) else { return false };
    assert!(data.len() <= MESSAGE_MAX);
    has_one_encoding(data, &envelope);
    stays_shut_for_each_kind(&envelope);
    true
}

/// What `collector decode` says of a message is text, and one JSON object.
fn explain(message: &[u8]) {
    let line = format!("hushgrid/v1/north-01/x {}\n", hex::encode(message));
    let (mut text, mut json) = (Vec::new(), Vec::new());
    collector::decode::lines(line.as_bytes(), &mut text, false).unwrap();
    collector::decode::lines(line.as_bytes(), &mut json, true).unwrap();
    assert!(String::from_utf8(text).is_ok_and(|text| text.starts_with("topic ")));
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&json).unwrap();
    assert!(object.contains_key("error") != object.contains_key("body"));
}

/// A meter takes nothing that its registrar or its roster does not vouch for.
fn moves_no_meter(data: &[u8]) {
    let (terms, identity) = (street::terms(stranger()), Identity::from_seed(&METER));
    let rng = Rng::seed_from_u64(1);
    let mut meter = Meter::<ElGamal>::new(terms, identity, &Records::default(), rng, NOW).unwrap();
    while meter.poll_output().is_some() {}
    meter.handle_message(data, NOW);
    while let Some(output) = meter.poll_output() {
        let is_refusal =
            matches!(output, Output::Event(Event::Rejected { .. } | Event::RosterRefused(_)));
        assert!(is_refusal, "{output:?}");
    }
}

/// CBOR read and written by another path gives the same bytes, and the parts
/// are where the envelope says.
fn has_one_encoding(data: &[u8], envelope: &Envelope) {
    let value: Value = ciborium::from_reader(data).unwrap();
    assert_eq!(encode(&value), data);
    let parts = value.into_array().unwrap();
    let [Value::Bytes(protected), Value::Map(unprotected), Value::Bytes(payload), last] =
        parts.as_slice()
    else {
        unreachable!("no COSE_Sign1: {parts:?}");
    };
    assert!(unprotected.is_empty() && last.is_bytes());
    assert_eq!(payload, envelope.payload());
    let header: Value = ciborium::from_reader(protected.as_slice()).unwrap();
    assert_eq!(&encode(&header), protected);
    let sender = envelope.header().sender.to_string();
    assert_eq!(sender.parse(), Ok(envelope.header().sender.clone()));
}

fn stays_shut_for_each_kind(envelope: &Envelope) {
    stays_shut::<Invitation>(envelope);
    stays_shut::<KeyPart>(envelope);
    stays_shut::<Roster>(envelope);
    stays_shut::<Contribution>(envelope);
    stays_shut::<Receipt>(envelope);
    stays_shut::<Request>(envelope);
    stays_shut::<Share>(envelope);
    stays_shut::<Claim>(envelope);
    stays_shut::<Refusal>(envelope);
    stays_shut::<Outcome>(envelope);
    stays_shut::<Status>(envelope);
    stays_shut::<State>(envelope);
    stays_shut::<KeyParts>(envelope);
    stays_shut::<Dealing>(envelope);
    stays_shut::<Dealings>(envelope);
    stays_shut::<Complaint>(envelope);
    stays_shut::<Confirmation>(envelope);
    stays_shut::<Omission>(envelope);
    stays_shut::<Listing>(envelope);
    stays_shut::<Endorsement>(envelope);
    stays_shut::<FinalListing>(envelope);
    stays_shut::<Inquiry>(envelope);
    stays_shut::<Evidence>(envelope);
    stays_shut::<Challenge>(envelope);
    stays_shut::<Proof>(envelope);
    stays_shut::<Unproven>(envelope);
    stays_shut::<Recall>(envelope);
    stays_shut::<Recollection>(envelope);
}

fn stays_shut<M: Message>(envelope: &Envelope) {
    let is_kind = envelope.header().kind == M::KIND;
    let refusal = if is_kind { Rejection::Signature } else { Rejection::Kind };
    assert_eq!(envelope.open::<M>(&stranger(), &Digest::NONE).err(), Some(refusal));
    match envelope.peek::<M>() {
        Ok(body) => assert_eq!((is_kind, encode(&body).as_slice()), (true, envelope.payload())),
        Err(rejection) => assert_eq!(rejection == Rejection::Kind, !is_kind),
    }
}

/// A body under the kind that the first byte names, in a message that one of
/// the region has signed.
pub fn message(data: &[u8]) -> bool {
    let Some((number, payload)) = data.split_first() else { return false };
    let Ok(kind) = Kind::try_from(*number) else { return false };
    let sender = sender(kind);
    explain(&street::unsigned(kind, &sender, payload));
    match kind {
        Kind::Invitation => read(payload, &sender, invitation),
        Kind::KeyPart => read(payload, &sender, key_part),
        Kind::Roster => read(payload, &sender, roster_body),
        Kind::Contribution => read(payload, &sender, contribution),
        Kind::Receipt => read(payload, &sender, has_a_view::<Receipt>),
        Kind::Request => read(payload, &sender, request),
        Kind::Share => read(payload, &sender, share),
        Kind::Claim => read(payload, &sender, claim),
        Kind::Refusal => read(payload, &sender, has_a_view::<Refusal>),
        Kind::Outcome => read(payload, &sender, has_a_view::<Outcome>),
        Kind::Status => read(payload, &sender, has_a_view::<Status>),
        Kind::State => read(payload, &sender, has_a_view::<State>),
        Kind::KeyParts => read(payload, &sender, |body: &KeyParts| strangers(&body.messages)),
        Kind::Dealing => read(payload, &sender, dealing),
        Kind::Dealings => read(payload, &sender, |body: &Dealings| strangers(&body.messages)),
        Kind::Complaint => read(payload, &sender, complaint),
        Kind::Omission => {
            read(payload, &sender, |body: &Omission| strangers(std::slice::from_ref(&body.receipt)))
        }
        Kind::Confirmation => read(payload, &sender, |_: &Confirmation| ()),
        Kind::Listing => read(payload, &sender, listing),
        Kind::Endorsement => read(payload, &sender, |_: &Endorsement| ()),
        Kind::FinalListing => read(payload, &sender, final_listing),
        Kind::Inquiry => read(payload, &sender, |_: &Inquiry| ()),
        Kind::Challenge => read(payload, &sender, |_: &Challenge| ()),
        Kind::Proof => read(payload, &sender, proof),
        Kind::Unproven => read(payload, &sender, has_a_view::<Unproven>),
        Kind::Recall => read(payload, &sender, |_: &Recall| ()),
        Kind::Recollection => read(payload, &sender, |_: &Recollection| ()),
        Kind::Evidence => read(payload, &sender, |body: &Evidence| drop(body.check())),
    }
}

fn sender(kind: Kind) -> Sender {
    match kind {
        Kind::Invitation | Kind::Roster => Sender::Registrar,
        Kind::Receipt
        | Kind::Request
        | Kind::Outcome
        | Kind::Status
        | Kind::KeyParts
        | Kind::Dealings
        | Kind::Listing
        | Kind::FinalListing
        | Kind::Challenge
        | Kind::Unproven
        | Kind::Recall => Sender::Collector,
        Kind::KeyPart
        | Kind::Dealing
        | Kind::Complaint
        | Kind::Confirmation
        | Kind::Omission
        | Kind::Endorsement
        | Kind::Inquiry
        | Kind::Evidence
        | Kind::Proof
        | Kind::Recollection
        | Kind::Contribution
        | Kind::Share
        | Kind::Claim
        | Kind::Refusal
        | Kind::State => Sender::Meter(street::meter()),
    }
}

/// A body that is taken is written as it came, and its message opens with the
/// signer's key under the signed binding and in no other way.
fn read<M>(payload: &[u8], sender: &Sender, check: impl Fn(&M)) -> bool
where
    M: Message + Debug + PartialEq,
{
    let draft = street::unsigned(M::KIND, sender, payload);
    let Ok(envelope) = Envelope::parse(&draft) else {
        assert!(draft.len() > MESSAGE_MAX);
        return false;
    };
    assert_eq!(envelope.payload(), payload);
    let Ok(body) = envelope.peek::<M>() else { return false };
    assert_eq!(encode(&body), payload);
    let message = street::signed(&METER, (M::KIND, sender), &binding(), payload);
    let sealed =
        seal(&Identity::from_seed(&METER), (&region(), EPOCH, sender.clone()), &binding(), &body);
    assert_eq!(sealed, message);
    let envelope = Envelope::parse(&message).unwrap();
    assert_eq!(envelope.open::<M>(&key(&METER), &binding()).as_ref(), Ok(&body));
    let refused = Err(Rejection::Signature);
    assert_eq!(envelope.open::<M>(&stranger(), &binding()), refused);
    assert_eq!(envelope.open::<M>(&key(&METER), &Digest::NONE), refused);
    check(&body);
    true
}

fn invitation(body: &Invitation) {
    let other = keygen::digest(&street::other_region(), EPOCH, body);
    assert_ne!(keygen::digest(&region(), EPOCH, body), other);
    body.parameters.check(body.members.len()).ok();
}

fn roster_body(body: &Roster) {
    let other = roster::digest(&street::other_region(), EPOCH, body);
    assert_ne!(roster::digest(&region(), EPOCH, body), other);
    body.members.iter().for_each(|member| is_canonical::<Part>(&member.part, &[0, 1]));
}

fn key_part(body: &KeyPart) {
    is_canonical::<Part>(&body.part, &[0, 1]);
}

/// Commitments, A, D are points; between them stand z and the seals.
fn dealing(body: &Dealing) {
    let Ok(value) = Dealt::from_bytes(&body.dealing) else { return };
    assert_eq!(value.to_bytes(), *body.dealing);
}

fn complaint(body: &Complaint) {
    is_canonical::<Accusation>(&body.complaint, &[0]);
}

fn contribution(body: &Contribution) {
    body.registers.values().for_each(|hidden| is_canonical::<Hidden>(hidden, &[0, 1, 2]));
    body.range_proof.iter().for_each(range_proof);
}

fn range_proof(bytes: &ByteBuf) {
    let Ok(value) = RangeProof::from_bytes(bytes) else { return };
    assert_eq!(value.to_bytes(), **bytes);
}

fn claim(body: &Claim) {
    body.registers.values().for_each(|hidden| is_canonical::<Hidden>(hidden, &[0, 1, 2]));
}

/// Sets are written as they came, and hold whom they count.
fn listing(body: &Listing) {
    for set in &body.sets {
        let members: Vec<_> = set.iter().collect();
        assert!(members.is_sorted_by(|a, b| a < b) && members.len() == set.count());
        let least = members.last().map_or(0, |last| usize::from(last.0) + 1);
        assert!(set.fits(least) && (least == 0 || !set.fits(least - 1)));
        assert_eq!(members.into_iter().collect::<MemberSet>(), *set);
    }
    body.void.values().for_each(|evidence| drop(evidence.check()));
}

/// A range proof that decodes is written as it came.
fn proof(body: &Proof) {
    body.registers.values().for_each(range_proof);
}

fn final_listing(body: &FinalListing) {
    strangers(std::slice::from_ref(&body.listing));
    strangers(&body.endorsements);
}

fn share(body: &Share) {
    let points = (body.response.len() / 32).saturating_sub(2);
    is_canonical::<Response>(&body.response, &(0..points).collect::<Vec<_>>());
}

/// The messages in a request are strangers' like any other.
fn request(body: &Request) {
    strangers(body.entries());
}

fn strangers(messages: &[ByteBuf]) {
    let envelopes = messages.iter().filter_map(|message| Envelope::parse(message).ok());
    envelopes.for_each(|envelope| stays_shut_for_each_kind(&envelope));
}

/// A value that decodes is written as it came, and its points (by their
/// places of 32 bytes) are what the group itself would write, never the
/// identity.
fn is_canonical<T: Canonical>(bytes: &[u8], points: &[usize]) {
    let Ok(value) = T::from_bytes(bytes) else { return };
    assert_eq!(value.to_bytes(), bytes);
    for place in points {
        let encoded = CompressedRistretto::from_slice(bytes.chunks(32).nth(*place).unwrap());
        let encoded = encoded.unwrap();
        assert_eq!(encoded.decompress().unwrap().compress(), encoded);
        assert_ne!(encoded, CompressedRistretto::default());
    }
}

/// What people read can be said in JSON, and says the same there.
fn has_a_view<M>(body: &M)
where
    M: Serialize + DeserializeOwned + Debug + PartialEq,
{
    let json = serde_json::to_vec(body).unwrap();
    assert_eq!(&serde_json::from_slice::<M>(&json).unwrap(), body);
}
