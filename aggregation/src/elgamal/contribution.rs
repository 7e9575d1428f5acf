//! C1 = rG, C2 = mG + rY, with a proof of knowledge of r.

use std::fmt;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroizing;

use super::ElGamal;
use super::proof::{Claim, Element, Knowledge, Purpose, Statement, decode_scalar};
use crate::scheme::{Canonical, Context, DecodeError, DeviceSecret, Rng, Stored};

/// One hidden number, or a claim to a sum of them, and the proof of knowledge
/// of its r. 128 bytes: C1, C2, A, z.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    c1: Element,
    c2: Element,
    proof: Knowledge,
}

impl Canonical for Contribution {
    fn to_bytes(&self) -> Vec<u8> {
        let [a, z] = self.proof.encode();
        [*self.c1.bytes(), *self.c2.bytes(), a, z].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ([c1, c2, a, z], []) = bytes.as_chunks() else {
            return Err(DecodeError::Length { expected: 128, found: bytes.len() });
        };
        let c1 = Element::decode(c1, "C1")?;
        let c2 = Element::decode(c2, "C2")?;
        let proof = Knowledge::decode(a, z)?;
        Ok(Self { c1, c2, proof })
    }
}

/// The r of a contribution beside its C2: together they are the plaintext.
/// Wiped when dropped; its Debug shows nothing.
pub struct Retained {
    r: Zeroizing<Scalar>,
    sum: Zeroizing<Aggregate>,
}

impl Retained {
    pub(super) fn r(&self) -> &Scalar {
        &self.r
    }

    /// C1 and C2.
    pub(super) fn pair(&self) -> Option<[Element; 2]> {
        Some([Element::new(self.sum.c1)?, Element::new(self.sum.c2)?])
    }
}

impl fmt::Debug for Retained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Retained(..)")
    }
}

/// 64 bytes: r, C2. C1 follows from r.
impl Stored for Retained {
    fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let c2 = self.sum.c2.compress();
        Zeroizing::new([*self.r.as_bytes(), c2.to_bytes()].concat())
    }

    fn from_stored(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ([r, c2], []) = bytes.as_chunks() else {
            return Err(DecodeError::Length { expected: 64, found: bytes.len() });
        };
        let r = Zeroizing::new(decode_scalar(r, "r")?);
        let c1 = Element::new(RistrettoPoint::mul_base(&r)).ok_or(DecodeError::Identity("C1"))?;
        let c2 = Element::decode(c2, "C2")?;
        Ok(Self { r, sum: Zeroizing::new(Aggregate { c1: c1.point(), c2: c2.point() }) })
    }
}

/// The sums of C1 and of C2. 64 bytes; either may be the identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, zeroize::Zeroize)]
pub struct Aggregate {
    c1: RistrettoPoint,
    c2: RistrettoPoint,
}

impl Canonical for Aggregate {
    fn to_bytes(&self) -> Vec<u8> {
        [self.c1, self.c2].map(|point| point.compress().to_bytes()).concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ([c1, c2], []) = bytes.as_chunks() else {
            return Err(DecodeError::Length { expected: 64, found: bytes.len() });
        };
        let point = |bytes: &[u8; 32], name| {
            CompressedRistretto(*bytes).decompress().ok_or(DecodeError::NotCanonical(name))
        };
        Ok(Self { c1: point(c1, "C1")?, c2: point(c2, "C2")? })
    }
}

impl Aggregate {
    pub(super) fn c1(&self) -> RistrettoPoint {
        self.c1
    }

    pub(super) fn c2(&self) -> RistrettoPoint {
        self.c2
    }

    pub(super) fn add(&mut self, contribution: &Contribution) {
        self.c1 += contribution.c1.point();
        self.c2 += contribution.c2.point();
    }
}

pub(super) fn contribute(
    group: &ElGamal,
    device: &DeviceSecret,
    plaintext: u64,
    context: Context<'_>,
    rng: &mut Rng,
) -> (Contribution, Retained) {
    let (r, c1, c2) = encrypt(group, device, plaintext, context, rng);
    let contribution = Contribution::prove(group, &r, [c1, c2], context, rng);
    let sum = Zeroizing::new(Aggregate { c1: c1.point(), c2: c2.point() });
    (contribution, Retained { r, sum })
}

/// r = H(device, generator, context, m), with its ciphertext. Draws again
/// in the one case in 2^252 that gives an identity point.
fn encrypt(
    group: &ElGamal,
    device: &DeviceSecret,
    plaintext: u64,
    context: Context<'_>,
    rng: &mut Rng,
) -> (Zeroizing<Scalar>, Element, Element) {
    let mut statement = Statement::about(Purpose::Randomness, context);
    statement.bind_element(b"Y", &group.key);
    statement.bind_number(b"m", plaintext);
    let m = Zeroizing::new(Scalar::from(plaintext));
    loop {
        let r = statement.hedged(device.as_bytes(), rng);
        let c1 = RistrettoPoint::mul_base(&r);
        let c2 = RistrettoPoint::mul_base(&m) + &*r * &*group.multiples;
        if let (Some(c1), Some(c2)) = (Element::new(c1), Element::new(c2)) {
            return (r, c1, c2);
        }
    }
}

pub(super) fn claim(
    group: &ElGamal,
    retained: &[&Retained],
    context: Context<'_>,
    rng: &mut Rng,
) -> Option<Contribution> {
    let r: Zeroizing<Scalar> = Zeroizing::new(retained.iter().map(|one| &*one.r).sum());
    let c1 = Element::new(retained.iter().map(|one| one.sum.c1).sum())?;
    let c2 = Element::new(retained.iter().map(|one| one.sum.c2).sum())?;
    Some(Contribution::prove(group, &r, [c1, c2], context, rng))
}

impl Contribution {
    /// C1 and C2.
    pub(super) fn pair(&self) -> [Element; 2] {
        [self.c1, self.c2]
    }

    pub(super) fn prove(
        group: &ElGamal,
        r: &Scalar,
        [c1, c2]: [Element; 2],
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Self {
        let proof = Knowledge::prove(statement(group, &c1, &c2, context), r, rng);
        Self { c1, c2, proof }
    }

    pub(super) fn proof_claim(&self, group: &ElGamal, context: Context<'_>) -> Claim {
        let Self { c1, c2, proof } = self;
        proof.claim(statement(group, c1, c2, context), c1)
    }
}

fn statement(group: &ElGamal, c1: &Element, c2: &Element, context: Context<'_>) -> Statement {
    let mut statement = Statement::about(Purpose::Contribution, context);
    statement.bind_element(b"Y", &group.key);
    statement.bind_element(b"C1", c1);
    statement.bind_element(b"C2", c2);
    statement
}
