//! One r behind C1 = rG and C2 = mG + rY, for several ciphertexts at once.
//!
//! A range proof speaks of C2 = mG + ρY alone. It holds beside any C1 = rG, and
//! such a ciphertext opens to mG + (ρ − r)Y, which spoils every sum. A link
//! shows knowledge of M and R with Σw·C1 = RG and Σw·C2 = MG + RY: a preimage
//! of the homomorphism (m, r) ↦ (rG, mG + rY), as in Maurer, "Unifying
//! zero-knowledge proofs of knowledge", AFRICACRYPT 2009. The weights w, of 128
//! bits each, are drawn after every C1, every C2 and the range proof.
//!
//! One link for all suffices. Let r be the logarithm of each C1, and (m, ρ) what
//! the range proof shows knowledge of: C2 = mG + ρY. Then Σw·C2 is
//! (Σw·m)G + (Σw·ρ)Y as well as MG + RY, and two ways to write one point with G
//! and Y give away the logarithm of Y; hence R = Σw·ρ. By the first equation
//! R = Σw·r. So Σw(ρ − r) = 0, where all ρ and r were fixed before w: if ρ ≠ r
//! for one of them, then of the 2^128 values of its weight at most one, whatever
//! the other weights are, gives 0.
//!
//! Who knows the logarithm of Y can prove anything. It takes as many
//! participants as the threshold says, and they can read everything too.

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use rand::Rng as _;
use zeroize::Zeroizing;

use super::ElGamal;
use super::proof::{Element, Purpose, Statement, decode_scalar};
use crate::scheme::{DecodeError, Rng};

/// A1 = aG, A2 = bG + aY, `z_m` = b + eM, `z_r` = a + eR. A1 and A2 rather than
/// e, so that many links are checked with one multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    commitments: [Element; 2],
    answers: [Scalar; 2],
}

impl Link {
    /// A1, A2, `z_m` and `z_r`.
    pub(super) const BYTES: usize = 128;

    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, DecodeError> {
        let (chunks, _) = bytes.as_chunks();
        let [a1, a2, z_m, z_r] = chunks else {
            return Err(DecodeError::Length { expected: Self::BYTES, found: bytes.len() });
        };
        let commitments = [Element::decode(a1, "A1")?, Element::decode(a2, "A2")?];
        Ok(Self { commitments, answers: [decode_scalar(z_m, "z_m")?, decode_scalar(z_r, "z_r")?] })
    }

    pub(super) fn encode(&self) -> [[u8; 32]; 4] {
        let ([a1, a2], [z_m, z_r]) = (self.commitments, self.answers);
        [*a1.bytes(), *a2.bytes(), z_m.to_bytes(), z_r.to_bytes()]
    }
}

/// What is linked: C1 and C2 of each ciphertext, and their weights.
pub(super) struct Linkage {
    statement: Statement,
    pairs: Vec<[Element; 2]>,
    weights: Vec<Scalar>,
}

impl Linkage {
    /// `statement` has bound Y, all pairs, and everything else that they stand
    /// for.
    pub(super) fn new(mut statement: Statement, pairs: Vec<[Element; 2]>) -> Self {
        let weights = pairs.iter().map(|_| statement.weight()).collect();
        Self { statement, pairs, weights }
    }

    /// `openings` are the m and r of the pairs in order.
    pub(super) fn prove<'a>(
        mut self,
        group: &ElGamal,
        openings: impl IntoIterator<Item = (u64, &'a Scalar)>,
        rng: &mut Rng,
    ) -> Link {
        let [mut m, mut r] = [Zeroizing::new(Scalar::ZERO), Zeroizing::new(Scalar::ZERO)];
        for (weight, (plaintext, randomness)) in self.weights.iter().zip(openings) {
            *m += weight * *Zeroizing::new(Scalar::from(plaintext));
            *r += weight * randomness;
        }
        let (a, a1) = self.nonce(&r, rng, RistrettoPoint::mul_base);
        self.statement.bind_element(b"A1", &a1);
        let second = |b: &Scalar| RistrettoPoint::mul_base(b) + &*a * &*group.multiples;
        let (b, a2) = self.nonce(&r, rng, second);
        self.statement.bind_element(b"A2", &a2);
        let challenge = self.statement.challenge(b"e");
        Link { commitments: [a1, a2], answers: [*b + challenge * *m, *a + challenge * *r] }
    }

    /// A nonce that is another for every statement, with what `commit` makes
    /// of it.
    fn nonce(
        &self,
        secret: &Scalar,
        rng: &mut Rng,
        commit: impl Fn(&Scalar) -> RistrettoPoint,
    ) -> (Zeroizing<Scalar>, Element) {
        loop {
            let nonce = self.statement.hedged(secret.as_bytes(), rng);
            if let Some(commitment) = Element::new(commit(&nonce)) {
                return (nonce, commitment);
            }
        }
    }

    /// The claim that `link` proves this.
    pub(super) fn claim(self, link: &Link) -> Claim<'_> {
        let Self { mut statement, pairs, weights } = self;
        let [a1, a2] = &link.commitments;
        statement.bind_element(b"A1", a1);
        statement.bind_element(b"A2", a2);
        let challenge = statement.challenge(b"e");
        Claim { pairs, weights, link, challenge }
    }
}

/// A link with the weights and the challenge that its statement gives.
pub(super) struct Claim<'a> {
    pairs: Vec<[Element; 2]>,
    weights: Vec<Scalar>,
    link: &'a Link,
    challenge: Scalar,
}

/// Whether the sum over all claims of
///
/// ```text
/// ρ(A1 + e·Σw·C1 − z_r·G) + σ(A2 + e·Σw·C2 − z_m·G − z_r·Y)
/// ```
///
/// is the identity for random weights ρ and σ, as for a batch of contributions.
pub(super) fn all_hold<'a>(
    group: &ElGamal,
    claims: impl Iterator<Item = &'a Claim<'a>> + Clone,
    rng: &mut Rng,
) -> bool {
    let mut weights = batch_statement(claims.clone(), rng);
    let [mut base, mut key] = [Scalar::ZERO; 2];
    let (mut scalars, mut points) = (Vec::new(), Vec::new());
    for Claim { pairs, weights: own, link, challenge } in claims {
        let [first, second] = [weights.weight(), weights.weight()];
        let [z_m, z_r] = link.answers;
        base -= first * z_r + second * z_m;
        key -= second * z_r;
        scalars.extend([first, second]);
        points.extend(link.commitments.map(|one| one.point()));
        for (weight, pair) in own.iter().zip(pairs) {
            let factor = weight * challenge;
            scalars.extend([first * factor, second * factor]);
            points.extend(pair.map(|one| one.point()));
        }
    }
    scalars.extend([base, key]);
    points.extend([RISTRETTO_BASEPOINT_POINT, group.key.point()]);
    // Variable time: contributions and weights are public once drawn.
    RistrettoPoint::vartime_multiscalar_mul(scalars, points).is_identity()
}

/// The weights depend on the claims too: see the batch of contributions.
fn batch_statement<'a>(claims: impl Iterator<Item = &'a Claim<'a>>, rng: &mut Rng) -> Statement {
    let mut noise = [0; 32];
    rng.fill_bytes(&mut noise);
    let mut statement = Statement::new(Purpose::Links);
    statement.bind(b"noise", &noise);
    for claim in claims {
        // e covers everything but the answers.
        statement.bind_scalar(b"e", &claim.challenge);
        let [z_m, z_r] = &claim.link.answers;
        statement.bind_scalar(b"z_m", z_m);
        statement.bind_scalar(b"z_r", z_r);
    }
    statement
}
