//! Labelled transcripts, hedged nonces and Schnorr proofs of knowledge.
//!
//! Every challenge covers the whole statement (strong Fiat–Shamir: Bernhard,
//! Pereira, Warinschi, "How not to prove yourself", ASIACRYPT 2012).

use std::fmt;

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use merlin::Transcript;
use rand::Rng as _;
use zeroize::Zeroizing;

use crate::scheme::{Context, Culprits, DecodeError, Rng};

/// What a transcript is for. Two purposes never share a challenge.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Possession of a key part's secret.
    KeyPart,
    /// The randomness of a contribution.
    Randomness,
    /// Knowledge of the randomness of a contribution.
    Contribution,
    /// The weights of a batch of contributions.
    Batch,
    /// Equality of discrete logarithms in a response.
    Response,
    /// The polynomial and the dealer key of a dealing.
    Coefficients,
    /// Knowledge of the constant term and the dealer key of a dealing.
    Dealing,
    /// The key that seals one share.
    Seal,
    /// Equality of discrete logarithms in a complaint.
    Complaint,
    /// The word that the keys of a named group are tested with.
    Polynomial,
    /// Range and link of some contributions.
    Range,
    /// The weights of a batch of links.
    Links,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::KeyPart => b"hushgrid/1/threshold-elgamal/key-part",
            Self::Randomness => b"hushgrid/1/threshold-elgamal/randomness",
            Self::Contribution => b"hushgrid/1/threshold-elgamal/contribution",
            Self::Batch => b"hushgrid/1/threshold-elgamal/batch",
            Self::Response => b"hushgrid/1/threshold-elgamal/response",
            Self::Coefficients => b"hushgrid/1/threshold-elgamal/coefficients",
            Self::Dealing => b"hushgrid/1/threshold-elgamal/dealing",
            Self::Seal => b"hushgrid/1/threshold-elgamal/seal",
            Self::Complaint => b"hushgrid/1/threshold-elgamal/complaint",
            Self::Polynomial => b"hushgrid/1/threshold-elgamal/polynomial",
            Self::Range => b"hushgrid/1/threshold-elgamal/range",
            Self::Links => b"hushgrid/1/threshold-elgamal/links",
        }
    }
}

/// A merlin transcript of everything that a challenge depends on.
#[derive(Clone)]
pub(super) struct Statement(Transcript);

impl Statement {
    pub(super) fn new(purpose: Purpose) -> Self {
        Self(Transcript::new(purpose.label()))
    }

    pub(super) fn about(purpose: Purpose, context: Context<'_>) -> Self {
        let mut statement = Self::new(purpose);
        statement.bind(b"context", context.0);
        statement
    }

    pub(super) fn bind(&mut self, label: &'static [u8], bytes: &[u8]) {
        self.0.append_message(label, bytes);
    }

    pub(super) fn bind_number(&mut self, label: &'static [u8], number: u64) {
        self.0.append_u64(label, number);
    }

    pub(super) fn bind_element(&mut self, label: &'static [u8], element: &Element) {
        self.bind(label, &element.bytes);
    }

    pub(super) fn bind_scalar(&mut self, label: &'static [u8], scalar: &Scalar) {
        self.bind(label, scalar.as_bytes());
    }

    pub(super) fn challenge(&mut self, label: &'static [u8]) -> Scalar {
        let mut wide = Zeroizing::new([0; 64]);
        self.0.challenge_bytes(label, wide.as_mut());
        Scalar::from_bytes_mod_order_wide(&wide)
    }

    /// A key for a cipher.
    pub(super) fn key(&mut self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        self.0.challenge_bytes(b"key", key.as_mut());
        key
    }

    /// What a transcript of another library starts from.
    pub(super) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.challenge_bytes(b"seed", &mut seed);
        seed
    }

    /// A weight of 128 bits: to hit one takes as many attempts as to break the
    /// group, and it halves the cost of a full scalar.
    pub(super) fn weight(&mut self) -> Scalar {
        let mut half = [0; 16];
        self.0.challenge_bytes(b"weight", &mut half);
        Scalar::from(u128::from_le_bytes(half))
    }

    /// A secret scalar that depends on the statement so far, the secret and
    /// the generator: a generator that repeats itself, or a secret that leaks,
    /// does no harm alone (compare RFC 6979, section 3.6, additional data).
    pub(super) fn hedged(&self, secret: &[u8; 32], rng: &mut Rng) -> Zeroizing<Scalar> {
        let mut noise = Zeroizing::new([0; 32]);
        rng.fill_bytes(noise.as_mut());
        let mut fork = self.clone();
        fork.bind(b"secret", secret);
        fork.bind(b"noise", noise.as_ref());
        Zeroizing::new(fork.challenge(b"hedged"))
    }
}

/// A point other than the identity, beside its one encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    point: RistrettoPoint,
    bytes: [u8; 32],
}

/// The one encoding of the identity (RFC 9496, section 4.3.2).
const IDENTITY: [u8; 32] = [0; 32];

impl Element {
    /// None for the identity.
    pub(super) fn new(point: RistrettoPoint) -> Option<Self> {
        let bytes = point.compress().to_bytes();
        (bytes != IDENTITY).then_some(Self { point, bytes })
    }

    /// Decodes as in RFC 9496, section 4.3.1; `name` goes into the error.
    pub(super) fn decode(bytes: &[u8; 32], name: &'static str) -> Result<Self, DecodeError> {
        if *bytes == IDENTITY {
            return Err(DecodeError::Identity(name));
        }
        let point = CompressedRistretto(*bytes).decompress();
        Ok(Self { point: point.ok_or(DecodeError::NotCanonical(name))?, bytes: *bytes })
    }

    pub(super) fn point(&self) -> RistrettoPoint {
        self.point
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Decodes a scalar below the group order; `name` goes into the error.
pub(super) fn decode_scalar(bytes: &[u8; 32], name: &'static str) -> Result<Scalar, DecodeError> {
    Option::from(Scalar::from_canonical_bytes(*bytes)).ok_or(DecodeError::NotCanonical(name))
}

/// A Schnorr proof of knowledge of w in P = wG: A = aG, z = a + e·w, where
/// the challenge e covers the statement and A (Schnorr, "Efficient signature
/// generation by smart cards", J. Cryptology 1991; compare RFC 8235).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Knowledge {
    commitment: Element,
    answer: Scalar,
}

impl Knowledge {
    /// `statement` has bound P and everything that P stands for.
    pub(super) fn prove(mut statement: Statement, witness: &Scalar, rng: &mut Rng) -> Self {
        let (nonce, commitment) = Self::nonce(&statement, witness, rng);
        let challenge = Self::challenge(&mut statement, &commitment);
        Self { commitment, answer: *nonce + challenge * witness }
    }

    fn nonce(
        statement: &Statement,
        witness: &Scalar,
        rng: &mut Rng,
    ) -> (Zeroizing<Scalar>, Element) {
        loop {
            let nonce = statement.hedged(witness.as_bytes(), rng);
            if let Some(commitment) = Element::new(RistrettoPoint::mul_base(&nonce)) {
                return (nonce, commitment);
            }
        }
    }

    fn challenge(statement: &mut Statement, commitment: &Element) -> Scalar {
        statement.bind_element(b"A", commitment);
        statement.challenge(b"e")
    }

    /// The claim that this proves `statement` about `element`.
    pub(super) fn claim(&self, mut statement: Statement, element: &Element) -> Claim {
        let challenge = Self::challenge(&mut statement, &self.commitment);
        Claim { element: element.point, proof: *self, challenge }
    }

    pub(super) fn decode(a: &[u8; 32], z: &[u8; 32]) -> Result<Self, DecodeError> {
        let commitment = Element::decode(a, "A")?;
        let answer = decode_scalar(z, "z")?;
        Ok(Self { commitment, answer })
    }

    /// A and z.
    pub(super) fn encode(&self) -> [[u8; 32]; 2] {
        [self.commitment.bytes, self.answer.to_bytes()]
    }
}

/// A proof of knowledge with the challenge that its statement gives.
pub(super) struct Claim {
    element: RistrettoPoint,
    proof: Knowledge,
    challenge: Scalar,
}

impl Claim {
    /// Whether zG − eP = A. Variable time: all of it is public.
    pub(super) fn holds(&self) -> bool {
        let expected = RistrettoPoint::vartime_double_scalar_mul_basepoint(
            &-self.challenge,
            &self.element,
            &self.proof.answer,
        );
        expected == self.proof.commitment.point
    }
}

/// Checks all claims at once, and one by one only if that fails. One claim is
/// checked alone: that takes two multiples of points, a batch of one takes three.
///
/// # Errors
/// The positions of the claims that do not hold.
pub(super) fn check_batch(claims: &[Claim], rng: &mut Rng) -> Result<(), Culprits> {
    if claims.len() > 1 && combination_holds(claims, rng) {
        return Ok(());
    }
    let culprits = (0..).zip(claims).filter(|(_, claim)| !claim.holds());
    let culprits: Vec<_> = culprits.map(|(position, _)| position).collect();
    if culprits.is_empty() { Ok(()) } else { Err(Culprits(culprits)) }
}

/// Whether Σρ(eP + A − zG) is the identity for random weights ρ (Bellare,
/// Garay, Rabin, "Fast batch verification", EUROCRYPT 1998, section 3). The
/// weights depend on the claims too, so that a generator that repeats itself
/// lets nobody choose claims whose errors cancel. A stays without a sign:
/// that of ρ would make its 128 bits 252.
fn combination_holds(claims: &[Claim], rng: &mut Rng) -> bool {
    let mut weights = batch_statement(claims, rng);
    let mut base = Scalar::ZERO;
    let mut scalars = Vec::with_capacity(2 * claims.len() + 1);
    let mut points = Vec::with_capacity(2 * claims.len() + 1);
    for claim in claims {
        let weight = weights.weight();
        base -= weight * claim.proof.answer;
        scalars.extend([weight * claim.challenge, weight]);
        points.extend([claim.element, claim.proof.commitment.point]);
    }
    scalars.push(base);
    points.push(RISTRETTO_BASEPOINT_POINT);
    // Variable time: contributions and weights are public once drawn.
    RistrettoPoint::vartime_multiscalar_mul(scalars, points).is_identity()
}

fn batch_statement(claims: &[Claim], rng: &mut Rng) -> Statement {
    let mut noise = [0; 32];
    rng.fill_bytes(&mut noise);
    let mut statement = Statement::new(Purpose::Batch);
    statement.bind(b"noise", &noise);
    for claim in claims {
        // e covers P and A.
        statement.bind_scalar(b"e", &claim.challenge);
        statement.bind_scalar(b"z", &claim.proof.answer);
    }
    statement
}
