//! Equality of discrete logarithms: one secret x gives Y = xG and D = xC for
//! a list of pairs (C, D).
//!
//! The proof is that of Chaum and Pedersen, "Wallet databases with observers",
//! CRYPTO 1992, over random combinations as in RFC 9497, section 2.2.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;

use super::proof::{Element, Statement, decode_scalar};
use crate::scheme::{DecodeError, Rng};

/// e and z = a + ex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EqualityProof {
    challenge: Scalar,
    answer: Scalar,
}

impl EqualityProof {
    pub(super) fn decode(e: &[u8; 32], z: &[u8; 32]) -> Result<Self, DecodeError> {
        Ok(Self { challenge: decode_scalar(e, "e")?, answer: decode_scalar(z, "z")? })
    }

    /// e and z.
    pub(super) fn encode(&self) -> [[u8; 32]; 2] {
        [self.challenge.to_bytes(), self.answer.to_bytes()]
    }
}

/// What is proved, for the composites C = Σw·C and D = Σw·D (RFC 9497,
/// section 2.2.1, `ComputeComposites`).
pub(super) struct Equality {
    statement: Statement,
    key: RistrettoPoint,
    weights: Vec<Scalar>,
    composite: RistrettoPoint,
}

impl Equality {
    /// `statement` has bound Y and everything else that the pairs stand for.
    pub(super) fn new(
        mut statement: Statement,
        key: &Element,
        bases: &[Element],
        images: &[Element],
    ) -> Self {
        statement.bind_number(b"count", bases.len() as u64);
        for (base, image) in bases.iter().zip(images) {
            statement.bind_element(b"C1", base);
            statement.bind_element(b"D", image);
        }
        // Only after all D: weights that are known before allow errors that
        // cancel.
        let weights: Vec<_> = bases.iter().map(|_| statement.weight()).collect();
        let composite = combination(&weights, bases);
        Self { statement, key: key.point(), weights, composite }
    }

    pub(super) fn prove(mut self, secret: &Scalar, rng: &mut Rng) -> EqualityProof {
        let nonce = self.statement.hedged(secret.as_bytes(), rng);
        let commitments = [RistrettoPoint::mul_base(&nonce), self.composite * *nonce];
        let challenge = self.challenge(commitments);
        EqualityProof { challenge, answer: *nonce + challenge * secret }
    }

    /// Whether e is the challenge of A = zG − eY and B = zC − eD.
    pub(super) fn holds(mut self, images: &[Element], proof: &EqualityProof) -> bool {
        let EqualityProof { challenge, answer } = proof;
        // Variable time: all of it is public.
        let a = RistrettoPoint::vartime_double_scalar_mul_basepoint(&-challenge, &self.key, answer);
        let composites = [self.composite, combination(&self.weights, images)];
        let b = RistrettoPoint::vartime_multiscalar_mul([*answer, -challenge], composites);
        self.challenge([a, b]) == *challenge
    }

    /// The composites are functions of what the statement has bound.
    fn challenge(&mut self, [a, b]: [RistrettoPoint; 2]) -> Scalar {
        self.statement.bind(b"A", a.compress().as_bytes());
        self.statement.bind(b"B", b.compress().as_bytes());
        self.statement.challenge(b"e")
    }
}

/// Variable time: points and weights are public.
fn combination(weights: &[Scalar], elements: &[Element]) -> RistrettoPoint {
    RistrettoPoint::vartime_multiscalar_mul(weights, elements.iter().map(Element::point))
}
