//! The region that the corpora belong to, its keys, and a `COSE_Sign1` by hand
//! (RFC 9052, section 4.4), so that any payload can be signed.

use aggregation::{ElGamal, Scheme as _};
use ciborium::Value;
use ed25519_dalek::{Signer as _, SigningKey};
use protocol::envelope::{VERSION, encode};
use protocol::id::{Digest, Epoch, MeterId, RegionId, Sender};
use protocol::identity::{Identity, IdentityKey};
use protocol::message::Kind;
use protocol::meter::Terms;
use protocol::parameters::{Floors, RangeProofs, ThresholdRule};
use protocol::slot::Timestamp;

pub(crate) const EPOCH: Epoch = Epoch(1);

/// 2025-06-15T15:06:40Z.
pub(crate) const NOW: Timestamp = Timestamp(1_750_000_000_000);

/// The seeds of the golden messages.
pub(crate) const REGISTRAR: [u8; 32] = [0xee; 32];
pub(crate) const METER: [u8; 32] = [1; 32];

/// One who has signed nothing.
const STRANGER: [u8; 32] = [0x5a; 32];

pub(crate) fn region() -> RegionId {
    "north-01".parse().unwrap()
}

pub(crate) fn other_region() -> RegionId {
    "south-01".parse().unwrap()
}

pub(crate) fn meter() -> MeterId {
    "meter-01".parse().unwrap()
}

pub(crate) fn key(seed: &[u8; 32]) -> IdentityKey {
    Identity::from_seed(seed).key()
}

pub(crate) fn stranger() -> IdentityKey {
    key(&STRANGER)
}

/// What a meter of the region knows that trusts this registrar.
pub(crate) fn terms(registrar: IdentityKey) -> Terms {
    let floors = Floors {
        scheme: ElGamal::NAME.to_owned(),
        threshold: ThresholdRule::Count(2),
        min_contributors: 2,
        max_corrupted: 0,
        min_slots: 2,
        slot_seconds: 1,
        range_proofs: RangeProofs::Off,
    };
    Terms { region: region(), meter: meter(), registrar, floors }
}

/// A digest that messages are bound to.
pub(crate) fn binding() -> Digest {
    Digest::of("roster", b"fuzzing")
}

/// A message with a signature that is none.
pub(crate) fn unsigned(kind: Kind, sender: &Sender, payload: &[u8]) -> Vec<u8> {
    assemble(&protected(kind, sender), payload, &[0; 64])
}

/// A message with a good signature, whatever its payload.
pub(crate) fn signed(
    seed: &[u8; 32],
    (kind, sender): (Kind, &Sender),
    binding: &Digest,
    payload: &[u8],
) -> Vec<u8> {
    let protected = protected(kind, sender);
    let statement = encode(&Value::Array(vec![
        "Signature1".into(),
        bytes(&protected),
        bytes(binding.as_bytes()),
        bytes(payload),
    ]));
    let signature = SigningKey::from_bytes(seed).sign(&statement);
    assemble(&protected, payload, &signature.to_bytes())
}

/// Algorithm, sender, and `[version, kind, region, epoch]`.
fn protected(kind: Kind, sender: &Sender) -> Vec<u8> {
    let context =
        vec![VERSION.into(), u8::from(kind).into(), region().as_str().into(), EPOCH.0.into()];
    encode(&Value::Map(vec![
        (1.into(), (-8).into()),
        (4.into(), bytes(sender.to_string().as_bytes())),
        ((-65_537).into(), Value::Array(context)),
    ]))
}

fn assemble(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let [protected, payload, signature] = [protected, payload, signature].map(bytes);
    encode(&Value::Array(vec![protected, Value::Map(vec![]), payload, signature]))
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}
