//! Proofs that hidden numbers lie in a range and that their ciphertexts open to
//! them.
//!
//! Two proofs in one transcript: Bulletproofs+ on every C2, and the link of
//! every C1 to its C2. The transcript binds Y, the largest number, how many
//! ciphertexts there are, and each with its context; what it gives then is the
//! seed of the transcript of Bulletproofs+; the link covers all of that and the
//! bytes of the range proof.

use std::collections::BTreeSet;
use std::slice;

use tari_bulletproofs_plus::ristretto::RistrettoRangeProof;

use super::bulletproof;
use super::link::{self, Link, Linkage};
use super::proof::{Element, Purpose, Statement};
use super::{Contribution, ElGamal, Retained};
use crate::scheme::{
    Canonical, Context, Culprits, DecodeError, Hidden, Ranged, Rng, Width, provable,
};

/// The proof of range without its first byte, which is always the same, and
/// the link. With b bits and n numbers and k = log2 bn: 64k + 320 bytes. That
/// is 576 for one number of 16 bits, 640 for two, 704 for four; for 32 bits
/// 640, 704 and 768. In order: d1, A, A1, B, r1, s1, L and R of each round; A1,
/// A2, `z_m`, `z_r`.
///
/// Whether the points of the proof of range are points is found out when it is
/// verified: no other 32 bytes verify.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeProof {
    range: RistrettoRangeProof,
    link: Link,
}

/// The library's mark of commitments with one base for randomness.
const ONE_BASE: u8 = 1;

/// From longest to shortest.
const LENGTHS: [usize; 4] = [768, 704, 640, 576];

impl Canonical for RangeProof {
    fn to_bytes(&self) -> Vec<u8> {
        let range = self.range.to_bytes();
        range.iter().skip(1).chain(self.link.encode().as_flattened()).copied().collect()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let found = bytes.len();
        let expected = LENGTHS.into_iter().find(|length| *length <= found).unwrap_or(576);
        let length = DecodeError::Length { expected, found };
        let (range, link) = bytes.split_last_chunk().ok_or(length)?;
        if found != expected {
            return Err(length);
        }
        let range = [&[ONE_BASE], range].concat();
        let range = RistrettoRangeProof::from_bytes(&range);
        let range = range.map_err(|_| DecodeError::NotCanonical("range"))?;
        Ok(Self { range, link: Link::decode(link)? })
    }
}

/// What is proved about some ciphertexts.
struct Proven {
    statement: Statement,
    pairs: Vec<[Element; 2]>,
    width: Width,
}

impl Proven {
    /// None where no proof can cover so many ciphertexts or this range.
    fn new(group: &ElGamal, max: u32, numbers: &[(Context<'_>, [Element; 2])]) -> Option<Self> {
        let width = provable(max, numbers.len())?;
        let mut statement = Statement::new(Purpose::Range);
        statement.bind_element(b"Y", &group.key);
        statement.bind_number(b"max", max.into());
        statement.bind_number(b"count", numbers.len() as u64);
        for (context, [c1, c2]) in numbers {
            statement.bind(b"context", context.0);
            statement.bind_element(b"C1", c1);
            statement.bind_element(b"C2", c2);
        }
        let pairs = numbers.iter().map(|(_, pair)| *pair).collect();
        Some(Self { statement, pairs, width })
    }

    fn range(&mut self) -> bulletproof::Claim {
        let hidden = self.pairs.iter().map(|[_, c2]| *c2).collect();
        bulletproof::Claim { width: self.width, seed: self.statement.seed(), hidden }
    }

    fn link(mut self, range: &RistrettoRangeProof) -> Linkage {
        self.statement.bind(b"range", &range.to_bytes());
        Linkage::new(self.statement, self.pairs)
    }
}

pub(super) fn prove(
    group: &ElGamal,
    hidden: &[Hidden<'_, Retained>],
    max: u32,
    rng: &mut Rng,
) -> Option<RangeProof> {
    let numbers = hidden.iter().map(|one| Some((one.context, one.retained.pair()?)));
    let mut proven = Proven::new(group, max, &numbers.collect::<Option<Vec<_>>>()?)?;
    let openings = || hidden.iter().map(|one| (one.plaintext, one.retained.r()));
    let range = proven.range().prove((&group.generators, &group.key), openings(), rng)?;
    let link = proven.link(&range).prove(group, openings(), rng);
    Some(RangeProof { range, link })
}

/// One entry of a batch.
struct Claim<'a> {
    position: usize,
    proof: &'a RangeProof,
    range: bulletproof::Claim,
    link: link::Claim<'a>,
}

impl<'a> Claim<'a> {
    fn new(
        group: &ElGamal,
        position: usize,
        entry: &Ranged<'a, Contribution, RangeProof>,
    ) -> Option<Self> {
        let proof = entry.proof;
        let numbers = entry.contributions.iter().map(|(context, one)| (*context, one.pair()));
        let mut proven = Proven::new(group, entry.max, &numbers.collect::<Vec<_>>())?;
        let range = proven.range();
        let link = proven.link(&proof.range).claim(&proof.link);
        Some(Self { position, proof, range, link })
    }
}

/// All ranges of one width at once, and all links at once.
pub(super) fn verify(
    group: &ElGamal,
    batch: &[Ranged<'_, Contribution, RangeProof>],
    rng: &mut Rng,
) -> Result<(), Culprits> {
    let claims = batch.iter().enumerate().map(|(at, entry)| Claim::new(group, at, entry).ok_or(at));
    let (claims, impossible): (Vec<_>, Vec<_>) = claims.partition(Result::is_ok);
    let mut culprits: BTreeSet<_> = impossible.into_iter().filter_map(Result::err).collect();
    let (narrow, wide): (Vec<_>, Vec<_>) =
        claims.into_iter().flatten().partition(|claim| claim.range.width == Width::Bits16);
    for claims in [&narrow, &wide] {
        culprits.extend(failing(claims, |claims| ranges_hold(group, claims)));
    }
    let claims: Vec<_> = narrow.into_iter().chain(wide).collect();
    culprits.extend(failing(&claims, |claims| {
        link::all_hold(group, claims.iter().map(|claim| &claim.link), rng)
    }));
    if culprits.is_empty() { Ok(()) } else { Err(Culprits(culprits.into_iter().collect())) }
}

fn ranges_hold(group: &ElGamal, claims: &[Claim<'_>]) -> bool {
    let claims = claims.iter().map(|claim| (&claim.range, &claim.proof.range));
    bulletproof::all_hold((&group.generators, &group.key), claims)
}

/// The positions of those that do not hold: all at once, and one by one only
/// where that fails.
fn failing(claims: &[Claim<'_>], mut hold: impl FnMut(&[Claim<'_>]) -> bool) -> Vec<usize> {
    match claims {
        claims if hold(claims) => vec![],
        [one] => vec![one.position],
        claims => {
            let bad = claims.iter().filter(|one| !hold(slice::from_ref(one)));
            bad.map(|one| one.position).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::ristretto::RistrettoPoint;
    use curve25519_dalek::scalar::Scalar;
    use rand::SeedableRng;

    use super::*;
    use crate::Scheme;

    const SLOT: Context<'static> = Context(b"slot 5");
    const MAX: u32 = 0xffff;

    /// A prover that does not check what it proves.
    struct Liar {
        group: ElGamal,
        rng: Rng,
    }

    impl Liar {
        fn new() -> Self {
            let mut rng = Rng::seed_from_u64(1);
            let (_, part) = ElGamal::key_part(SLOT, &mut rng);
            Self { group: ElGamal::group(&[part]).unwrap(), rng }
        }

        /// C1 = rG, C2 = mG + ρY.
        fn pair(&self, m: u64, r: u64, rho: u64) -> [Element; 2] {
            let [m, r, rho] = [m, r, rho].map(Scalar::from);
            let c2 = RistrettoPoint::mul_base(&m) + self.group.key.point() * rho;
            [RistrettoPoint::mul_base(&r), c2].map(|point| Element::new(point).unwrap())
        }

        fn proven(&self, pairs: &[[Element; 2]]) -> Proven {
            let numbers: Vec<_> = pairs.iter().map(|pair| (SLOT, *pair)).collect();
            Proven::new(&self.group, MAX, &numbers).unwrap()
        }

        fn range(
            &mut self,
            pairs: &[[Element; 2]],
            openings: &[(u64, u64)],
        ) -> RistrettoRangeProof {
            let openings: Vec<_> = openings.iter().map(|(m, r)| (*m, Scalar::from(*r))).collect();
            let openings = openings.iter().map(|(m, r)| (*m, r));
            let (claim, generators) = (self.proven(pairs).range(), &self.group.generators);
            claim.prove((generators, &self.group.key), openings, &mut self.rng).unwrap()
        }

        /// Whether `range` with a link that claims these m and r is accepted.
        fn convinces(
            &mut self,
            pairs: &[[Element; 2]],
            range: RistrettoRangeProof,
            openings: &[(u64, u64)],
        ) -> bool {
            let openings: Vec<_> = openings.iter().map(|(m, r)| (*m, Scalar::from(*r))).collect();
            let openings = openings.iter().map(|(m, r)| (*m, r));
            let mut proven = self.proven(pairs);
            proven.range();
            let link = proven.link(&range).prove(&self.group, openings, &mut self.rng);
            let mut contribution = |pair: &[Element; 2]| {
                Contribution::prove(&self.group, &Scalar::ONE, *pair, SLOT, &mut self.rng)
            };
            let contributions: Vec<_> = pairs.iter().map(&mut contribution).collect();
            let contributions: Vec<_> = contributions.iter().map(|one| (SLOT, one)).collect();
            let proof = &RangeProof { range, link };
            let entry = Ranged { contributions: &contributions, max: MAX, proof };
            self.group.verify_ranges(&[entry], &mut self.rng).is_ok()
        }
    }

    #[test]
    fn c1_and_c2_unlinked_beside_a_valid_range_proof_are_refused() {
        let mut liar = Liar::new();
        let linked = [liar.pair(5, 8, 8)];
        let range = liar.range(&linked, &[(5, 8)]);
        assert!(liar.convinces(&linked, range, &[(5, 8)]));
        let unlinked = [liar.pair(5, 7, 8)];
        for r in [7, 8] {
            let range = liar.range(&unlinked, &[(5, 8)]);
            assert!(!liar.convinces(&unlinked, range, &[(5, r)]));
        }
    }

    #[test]
    fn two_ciphertexts_whose_errors_cancel_are_refused() {
        let mut liar = Liar::new();
        let pairs = [liar.pair(5, 8 + 1, 8), liar.pair(6, 9 - 1, 9)];
        let openings = [(5, 8), (6, 9)];
        let range = liar.range(&pairs, &openings);
        assert!(!liar.convinces(&pairs, range, &openings));
    }

    #[test]
    fn a_number_above_the_largest_is_refused_beside_a_valid_link() {
        let mut liar = Liar::new();
        let [high, low] = [65_536, 65_535].map(|m| [liar.pair(m, 8, 8)]);
        let range = liar.range(&low, &[(65_535, 8)]);
        assert!(liar.convinces(&low, range.clone(), &[(65_535, 8)]));
        assert!(!liar.convinces(&high, range, &[(65_536, 8)]));
    }
}
