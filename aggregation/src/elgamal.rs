//! Additive ElGamal over ristretto255, opened by all participants together.
//!
//! C1 = rG, C2 = mG + rY, after Cramer, Gennaro, Schoenmakers, "A secure and
//! optimally efficient multi-authority election scheme", EUROCRYPT 1997, and
//! Busom et al., "Efficient smart metering based on homomorphic encryption",
//! Computer Communications 2016. The group is that of RFC 9496.
//!
//! Every contribution proves knowledge of its r. A participant that helps to
//! open a sum of such contributions computes `x_j`·ΣC1 = Σr·`Y_j`, which
//! the contributors could compute themselves: helping reveals nothing but the sum.

pub mod dlog;
mod keygen;
mod proof;
mod sharing;

use std::collections::BTreeMap;
use std::fmt;

use curve25519_dalek::ristretto::{RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroizing;

pub use keygen::{KeyPart, Secret};
pub use sharing::{Accepted, Request, Response};

use crate::scheme::{
    Canonical, CombineError, Context, Culprits, DecodeError, DeviceSecret, GroupError, Participant,
    Range, ResponseError, Rng, Scheme, Stored,
};
use dlog::Table;
use proof::{Claim, Element, Knowledge, Purpose, Statement, check_batch, decode_scalar};

/// A group whose sums open only with the help of every participant: one lost
/// secret makes everything that was encrypted to the group unreadable.
pub struct ElGamal {
    parts: Vec<Element>,
    key: Element,
    /// Multiples of Y. A third faster than multiplying Y, for 30 KiB.
    multiples: Box<RistrettoBasepointTable>,
}

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

/// The sums of C1 and of C2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, zeroize::Zeroize)]
pub struct Aggregate {
    c1: RistrettoPoint,
    c2: RistrettoPoint,
}

impl ElGamal {
    fn part(&self, of: Participant) -> Result<&Element, ResponseError> {
        self.parts.get(usize::from(of.0)).ok_or(ResponseError::Unknown(of))
    }

    fn participants(&self) -> impl Iterator<Item = Participant> {
        (0..).map(Participant).take(self.parts.len())
    }

    /// r = H(device, generator, context, m), with its ciphertext. Draws again
    /// in the one case in 2^252 that gives an identity point.
    fn encrypt(
        &self,
        device: &DeviceSecret,
        plaintext: u64,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> (Zeroizing<Scalar>, Element, Element) {
        let mut statement = Statement::about(Purpose::Randomness, context);
        statement.bind_element(b"Y", &self.key);
        statement.bind_number(b"m", plaintext);
        let m = Zeroizing::new(Scalar::from(plaintext));
        loop {
            let r = statement.hedged(device.as_bytes(), rng);
            let c1 = RistrettoPoint::mul_base(&r);
            let c2 = RistrettoPoint::mul_base(&m) + &*r * &*self.multiples;
            if let (Some(c1), Some(c2)) = (Element::new(c1), Element::new(c2)) {
                return (r, c1, c2);
            }
        }
    }

    fn prove(
        &self,
        r: &Scalar,
        [c1, c2]: [Element; 2],
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Contribution {
        let proof = Knowledge::prove(self.statement(&c1, &c2, context), r, rng);
        Contribution { c1, c2, proof }
    }

    fn statement(&self, c1: &Element, c2: &Element, context: Context<'_>) -> Statement {
        let mut statement = Statement::about(Purpose::Contribution, context);
        statement.bind_element(b"Y", &self.key);
        statement.bind_element(b"C1", c1);
        statement.bind_element(b"C2", c2);
        statement
    }

    fn claim_of(&self, context: Context<'_>, contribution: &Contribution) -> Claim {
        let Contribution { c1, c2, proof } = contribution;
        proof.claim(self.statement(c1, c2, context), c1)
    }
}

impl Scheme for ElGamal {
    const NAME: &'static str = "threshold-elgamal";

    type Secret = Secret;
    type KeyPart = KeyPart;
    type Contribution = Contribution;
    type Retained = Retained;
    type Aggregate = Aggregate;
    type Request = Request;
    type Response = Response;
    type Accepted = Accepted;
    type Decoder = Table;

    fn key_part(context: Context<'_>, rng: &mut Rng) -> (Secret, KeyPart) {
        keygen::key_part(context, rng)
    }

    fn verify_key_part(part: &KeyPart, context: Context<'_>) -> bool {
        keygen::verify_key_part(part, context)
    }

    fn group(parts: &[KeyPart]) -> Result<Self, GroupError> {
        let parts: Vec<_> = parts.iter().map(|part| *part.key()).collect();
        let key = keygen::group_key(&parts)?;
        let multiples = Box::new(RistrettoBasepointTable::create(&key.point()));
        Ok(Self { parts, key, multiples })
    }

    fn group_key(&self) -> Vec<u8> {
        self.key.bytes().to_vec()
    }

    fn threshold(&self) -> u16 {
        u16::try_from(self.parts.len()).unwrap_or(u16::MAX)
    }

    fn contribute(
        &self,
        device: &DeviceSecret,
        plaintext: u64,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> (Contribution, Retained) {
        let (r, c1, c2) = self.encrypt(device, plaintext, context, rng);
        let contribution = self.prove(&r, [c1, c2], context, rng);
        let sum = Zeroizing::new(Aggregate { c1: c1.point(), c2: c2.point() });
        (contribution, Retained { r, sum })
    }

    /// None also if the retained values cancel out, which honest ones do with
    /// probability 2^-252.
    fn claim(
        &self,
        retained: &[&Retained],
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Option<Contribution> {
        let r: Zeroizing<Scalar> = Zeroizing::new(retained.iter().map(|one| &*one.r).sum());
        let c1 = Element::new(retained.iter().map(|one| one.sum.c1).sum())?;
        let c2 = Element::new(retained.iter().map(|one| one.sum.c2).sum())?;
        Some(self.prove(&r, [c1, c2], context, rng))
    }

    fn verify(
        &self,
        batch: &[(Context<'_>, &Contribution)],
        rng: &mut Rng,
    ) -> Result<(), Culprits> {
        let claims =
            batch.iter().map(|(context, contribution)| self.claim_of(*context, contribution));
        check_batch(&claims.collect::<Vec<_>>(), rng)
    }

    fn fold(&self, sum: &mut Aggregate, contribution: &Contribution) {
        sum.c1 += contribution.c1.point();
        sum.c2 += contribution.c2.point();
    }

    fn request(&self, sums: &[Aggregate], _: Participant) -> Request {
        Request::new(sums)
    }

    fn respond(
        &self,
        secret: &Secret,
        of: Participant,
        request: &Request,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Result<Response, ResponseError> {
        sharing::respond(self, secret, of, request, context, rng)
    }

    fn accept(
        &self,
        of: Participant,
        request: &Request,
        response: &Response,
        context: Context<'_>,
    ) -> Result<Accepted, ResponseError> {
        sharing::accept(self, of, request, response, context)
    }

    fn combine(
        &self,
        decoder: &Table,
        sums: &[(Aggregate, Range)],
        accepted: &BTreeMap<Participant, Accepted>,
    ) -> Result<Vec<u64>, CombineError> {
        sharing::combine(self, decoder, sums, accepted)
    }
}
