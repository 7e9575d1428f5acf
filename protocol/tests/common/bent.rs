//! `COSE_Sign1` by hand (RFC 9052, section 4.4), so that bytes can be signed
//! which honest code would never write.

use ciborium::Value;
use ed25519_dalek::{Signer as _, SigningKey};
use protocol::envelope::{Message, encode};
use protocol::id::Digest;
use protocol::message::Kind;
use serde::{Deserialize, Serialize};

/// A message in parts.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) protected: Vec<u8>,
    pub(crate) unprotected: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) seed: [u8; 32],
    pub(crate) binding: Digest,
}

impl Parts {
    /// The message with a valid signature over whatever it says.
    pub(crate) fn sign(&self) -> Vec<u8> {
        self.sign_with(|signed| SigningKey::from_bytes(&self.seed).sign(signed).to_bytes())
    }

    /// The message with whatever stands for a signature.
    pub(crate) fn sign_with(&self, sign: impl Fn(&[u8]) -> [u8; 64]) -> Vec<u8> {
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
        let signed = encode(&Value::Array(vec![
            "Signature1".into(),
            bytes(&self.protected),
            bytes(self.binding.as_bytes()),
            bytes(&self.payload),
        ]));
        let signature = sign(&signed);
        let mut message = vec![0x84];
        message.extend(encode(&bytes(&self.protected)));
        message.extend(&self.unprotected);
        message.extend(encode(&bytes(&self.payload)));
        message.extend(encode(&bytes(&signature)));
        message
    }
}

/// A protected header: algorithm, sender, and the private parameter.
pub(crate) fn header(alg: i64, kid: &str, context: Vec<Value>) -> Vec<u8> {
    encode(&Value::Map(vec![
        (1.into(), alg.into()),
        (4.into(), Value::Bytes(kid.as_bytes().to_vec())),
        ((-65_537).into(), Value::Array(context)),
    ]))
}

/// `[version, kind, region, epoch]`.
pub(crate) fn context(version: u64, kind: u8, region: &str, epoch: u32) -> Vec<Value> {
    vec![version.into(), kind.into(), region.into(), epoch.into()]
}

/// Any value under the kind of a contribution.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AnyContribution(pub(crate) Value);

impl Message for AnyContribution {
    const KIND: Kind = Kind::Contribution;
}
