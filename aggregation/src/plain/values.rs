//! What the scheme without secrecy passes around, and its encodings.

use std::fmt;

use zeroize::Zeroizing;

use crate::scheme::{Canonical, DecodeError, Stored};

pub(super) type Digest = [u8; 32];

/// 32 random bytes. Its Debug shows nothing, as with any secret.
pub struct Secret(pub(super) Zeroizing<Digest>);

impl Secret {
    pub(super) fn key(&self) -> Digest {
        super::digest(b"key", [self.0.as_slice()])
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The digest of a secret, and of that and the context. 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    pub(super) key: Digest,
    pub(super) proof: Digest,
}

/// A number and a random mark in clear, and the digest of both with group and
/// context. 48 bytes: number, mark (both big-endian), digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    pub(super) sum: Aggregate,
    pub(super) proof: Digest,
}

/// The digest of a largest number and of the contributions that do not exceed it.
/// 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeProof(pub(super) Digest);

/// The number and mark of a contribution.
pub struct Retained(pub(super) Aggregate);

impl fmt::Debug for Retained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Retained(..)")
    }
}

/// The sums of the numbers, which saturates, and of the marks, which wraps.
/// A sum whose mark is 0 stands for the identity. 16 bytes: number, mark (both
/// big-endian).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    pub(super) number: u64,
    pub(super) mark: u64,
}

/// The marks of the sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request(pub(super) Vec<u64>);

/// How many sums were answered, and the digest of everything that the answer
/// depends on. 40 bytes: count (big-endian), digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(super) count: u64,
    pub(super) proof: Digest,
}

/// The marks of the sums that were answered.
#[derive(Debug)]
pub struct Accepted(pub(super) Vec<u64>);

impl Stored for Secret {
    fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }

    fn from_stored(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(Zeroizing::new(exactly(bytes)?)))
    }
}

impl Stored for Retained {
    fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_bytes())
    }

    fn from_stored(bytes: &[u8]) -> Result<Self, DecodeError> {
        Aggregate::from_bytes(bytes).map(Self)
    }
}

impl Canonical for KeyPart {
    fn to_bytes(&self) -> Vec<u8> {
        [self.key, self.proof].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (key, proof) = split(bytes)?;
        Ok(Self { key, proof })
    }
}

impl Canonical for Contribution {
    fn to_bytes(&self) -> Vec<u8> {
        [self.sum.to_bytes(), self.proof.to_vec()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (sum, proof) = split::<16, 32>(bytes)?;
        Ok(Self { sum: Aggregate::from_bytes(&sum)?, proof })
    }
}

impl Canonical for RangeProof {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        exactly(bytes).map(Self)
    }
}

impl Canonical for Response {
    fn to_bytes(&self) -> Vec<u8> {
        [self.count.to_be_bytes().as_slice(), &self.proof].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (count, proof) = split(bytes)?;
        Ok(Self { count: u64::from_be_bytes(count), proof })
    }
}

impl Aggregate {
    pub(super) fn add(self, other: Self) -> Self {
        Self {
            number: self.number.saturating_add(other.number),
            mark: self.mark.wrapping_add(other.mark),
        }
    }
}

impl Canonical for Aggregate {
    fn to_bytes(&self) -> Vec<u8> {
        [self.number.to_be_bytes(), self.mark.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (number, mark) = split(bytes)?;
        Ok(Self { number: u64::from_be_bytes(number), mark: u64::from_be_bytes(mark) })
    }
}

pub(super) fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    let found = bytes.len();
    bytes.try_into().map_err(|_| DecodeError::Length { expected: N, found })
}

fn split<const N: usize, const M: usize>(bytes: &[u8]) -> Result<([u8; N], [u8; M]), DecodeError> {
    let length = DecodeError::Length { expected: N + M, found: bytes.len() };
    let (head, tail) = bytes.split_first_chunk().ok_or(length)?;
    Ok((*head, tail.try_into().map_err(|_| length)?))
}
