//! Every message is a `COSE_Sign1` (RFC 9052, section 4.2): the only place
//! where signatures are made and checked.
//!
//! The protected header carries algorithm, sender (`kid`), and one private
//! parameter `[version, kind, region, epoch]`. The external authenticated data
//! is the digest that the message is bound to: the roster's, or the
//! invitation's while there is no roster yet.

use ciborium::Value;
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, HeaderBuilder, Label,
    RegisteredLabelWithPrivate, iana,
};
use serde::Serialize;
use serde_bytes::Bytes;
use thiserror::Error;

use crate::id::{Digest, Epoch, RegionId, Sender};
use crate::identity::{Identity, IdentityKey};
use crate::kind::Kind;

pub use crate::kind::Message;

/// The version of the wire format. Others are refused, never negotiated.
pub const VERSION: u64 = 1;

/// The longest message of any kind in bytes.
pub const MESSAGE_MAX: usize = 1 << 20;

/// Header parameter of `[version, kind, region, epoch]`, from the range for
/// private use.
const CONTEXT_LABEL: i64 = -65_537;

/// Why bytes are not the message that was expected. A value that is counted
/// and logged; it never ends a loop.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// More than [`MESSAGE_MAX`] bytes.
    #[error("the message is too large")]
    TooLarge,
    /// No `COSE_Sign1` with the header that every message has.
    #[error("the bytes are no COSE_Sign1 of this protocol")]
    Malformed,
    /// A second encoding of something that has exactly one.
    #[error("the encoding is not canonical")]
    NotCanonical,
    /// Another version of the wire format.
    #[error("the message is of another version")]
    Version,
    /// A kind that the receiver does not take, or not from this sender.
    #[error("the message is of another kind")]
    Kind,
    /// A message of another region.
    #[error("the message is of another region")]
    Region,
    /// A message of another epoch.
    #[error("the message is of another epoch")]
    Epoch,
    /// The sender is no member.
    #[error("the sender is unknown")]
    Sender,
    /// The signature does not verify with the sender's key under this roster.
    #[error("the signature does not verify under this roster")]
    Signature,
    /// The body is not one of its kind.
    #[error("the body is malformed")]
    Body,
}

impl Rejection {
    /// A short name for counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::NotCanonical => "not-canonical",
            Self::Version => "version",
            Self::Kind => "kind",
            Self::Region => "region",
            Self::Epoch => "epoch",
            Self::Sender => "sender",
            Self::Signature => "signature",
            Self::Body => "body",
        }
    }
}

/// What the protected header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the body is.
    pub kind: Kind,
    /// The region that the message belongs to.
    pub region: RegionId,
    /// The epoch that the message belongs to.
    pub epoch: Epoch,
    /// Who signed it.
    pub sender: Sender,
}

impl Header {
    fn to_cose(&self) -> coset::Header {
        let context = Value::Array(vec![
            VERSION.into(),
            u8::from(self.kind).into(),
            self.region.as_str().into(),
            self.epoch.0.into(),
        ]);
        HeaderBuilder::new()
            .algorithm(iana::Algorithm::EdDSA)
            .key_id(self.sender.to_string().into_bytes())
            .value(CONTEXT_LABEL, context)
            .build()
    }

    fn from_cose(header: &coset::Header) -> Result<Self, Rejection> {
        let eddsa = RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA);
        let [(Label::Int(CONTEXT_LABEL), Value::Array(context))] = header.rest.as_slice() else {
            return Err(Rejection::Malformed);
        };
        let [version, kind, region, epoch] = context.as_slice() else {
            return Err(Rejection::Malformed);
        };
        if header.alg != Some(eddsa) {
            return Err(Rejection::Malformed);
        }
        if integer(version) != Some(VERSION) {
            return Err(Rejection::Version);
        }
        let kind = integer(kind).and_then(|n| u8::try_from(n).ok());
        let region = region.as_text().and_then(|text| text.parse().ok());
        let epoch = integer(epoch).and_then(|n| u32::try_from(n).ok());
        let sender = std::str::from_utf8(&header.key_id).ok().and_then(|text| text.parse().ok());
        Ok(Self {
            kind: kind.and_then(|n| Kind::try_from(n).ok()).ok_or(Rejection::Kind)?,
            region: region.ok_or(Rejection::Malformed)?,
            epoch: Epoch(epoch.ok_or(Rejection::Malformed)?),
            sender: sender.ok_or(Rejection::Malformed)?,
        })
    }
}

fn integer(value: &Value) -> Option<u64> {
    value.as_integer().and_then(|n| u64::try_from(n).ok())
}

/// A message whose form was checked and whose signature was not yet.
#[derive(Clone, Debug)]
pub struct Envelope {
    header: Header,
    sign1: CoseSign1,
}

impl Envelope {
    /// Reads the form of a message: size, structure, version, one encoding.
    ///
    /// # Errors
    /// See [`Rejection`]; a signature is checked by [`Envelope::open`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > MESSAGE_MAX {
            return Err(Rejection::TooLarge);
        }
        let sign1 = CoseSign1::from_slice(bytes).map_err(|_| Rejection::Malformed)?;
        let header = Header::from_cose(&sign1.protected.header)?;
        let payload = sign1.payload.as_deref().ok_or(Rejection::Malformed)?;
        if one_encoding(&header, payload, &sign1.signature) == bytes {
            Ok(Self { header, sign1 })
        } else {
            Err(Rejection::NotCanonical)
        }
    }

    /// What the header says; not yet vouched for by a signature.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The body, once its signature verifies with `key` under `binding`.
    ///
    /// # Errors
    /// [`Rejection::Kind`], [`Rejection::Signature`], [`Rejection::Body`] or
    /// [`Rejection::NotCanonical`].
    pub fn open<M: Message>(&self, key: &IdentityKey, binding: &Digest) -> Result<M, Rejection> {
        if self.header.kind != M::KIND {
            return Err(Rejection::Kind);
        }
        self.sign1
            .verify_signature(binding.as_bytes(), |signature, signed| {
                if key.signed(signed, signature) { Ok(()) } else { Err(Rejection::Signature) }
            })
            .and_then(|()| self.body())
    }

    /// The body without a check of its signature, to show to a person.
    ///
    /// # Errors
    /// [`Rejection::Kind`], [`Rejection::Body`] or [`Rejection::NotCanonical`].
    pub fn peek<M: Message>(&self) -> Result<M, Rejection> {
        if self.header.kind == M::KIND { self.body() } else { Err(Rejection::Kind) }
    }

    /// The encoded body.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.sign1.payload.as_deref().unwrap_or_default()
    }

    /// The message, as it came: it has one encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // What was decoded can be encoded.
        self.sign1.clone().to_vec().unwrap_or_default()
    }

    fn body<M: Message>(&self) -> Result<M, Rejection> {
        let body: M = ciborium::from_reader(self.payload()).map_err(|_| Rejection::Body)?;
        if encode(&body) == self.payload() { Ok(body) } else { Err(Rejection::NotCanonical) }
    }
}

/// The encoding of a message, without a copy of what is in it.
fn one_encoding(header: &Header, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    // Encoding a value that this function built itself cannot fail.
    let protected = header.to_cose().to_vec().unwrap_or_default();
    let unprotected = Value::Map(Vec::new());
    let [protected, payload, signature] = [&protected, payload, signature].map(Bytes::new);
    encode(&(protected, unprotected, payload, signature))
}

/// Signs a message and encodes it.
pub fn seal<M: Message>(
    identity: &Identity,
    (region, epoch, sender): (&RegionId, Epoch, Sender),
    binding: &Digest,
    body: &M,
) -> Vec<u8> {
    let header = Header { kind: M::KIND, region: region.clone(), epoch, sender };
    let sign1 = CoseSign1Builder::new()
        .protected(header.to_cose())
        .payload(encode(body))
        .create_signature(binding.as_bytes(), |signed| identity.sign(signed))
        .build();
    // Encoding a value that this function built itself cannot fail.
    sign1.to_vec().unwrap_or_default()
}

/// The one encoding of a body (RFC 8949).
#[must_use]
pub fn encode<T: Serialize>(body: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail, and no body refuses to serialise: an
    // empty encoding would be rejected by every reader.
    if ciborium::into_writer(body, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}
