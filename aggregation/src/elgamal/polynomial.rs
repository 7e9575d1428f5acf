//! Polynomials over the scalars, in secret and in public.
//!
//! A share is a polynomial's value at the participant's place, counted from 1;
//! the value at 0 is what is shared (Shamir, "How to share a secret", CACM
//! 1979). Commitments to the coefficients show whether a share fits (Feldman,
//! "A practical scheme for non-interactive verifiable secret sharing", FOCS
//! 1987).

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity, VartimeMultiscalarMul};
use zeroize::Zeroizing;

use super::proof::{Element, Purpose, Statement};
use crate::scheme::Participant;

/// Where the share of a participant lies.
fn place(of: Participant) -> u32 {
    u32::from(of.0) + 1
}

/// The coefficients from the constant term up. Wiped when dropped.
pub(super) struct Polynomial(Vec<Zeroizing<Scalar>>);

impl Polynomial {
    pub(super) fn new(
        constant: Zeroizing<Scalar>,
        others: impl IntoIterator<Item = Zeroizing<Scalar>>,
    ) -> Self {
        Self(std::iter::once(constant).chain(others).collect())
    }

    /// Constant time in the coefficients.
    pub(super) fn share(&self, of: Participant) -> Zeroizing<Scalar> {
        let x = Scalar::from(place(of));
        let mut share = Zeroizing::new(Scalar::ZERO);
        for coefficient in self.0.iter().rev() {
            *share = *share * x + **coefficient;
        }
        share
    }
}

/// The value at the place of `of` of the polynomial with these commitments:
/// what a share that fits gives times G. Variable time.
pub(super) fn public_share(commitments: &[RistrettoPoint], of: Participant) -> RistrettoPoint {
    let x = place(of);
    commitments
        .iter()
        .rev()
        .fold(RistrettoPoint::identity(), |value, commitment| times(x, &value) + commitment)
}

/// Doubling and adding: the factor has at most 16 bits, a scalar 253.
fn times(factor: u32, point: &RistrettoPoint) -> RistrettoPoint {
    let bits = (0..factor.checked_ilog2().map_or(0, |top| top)).rev();
    bits.fold(*point, |sum, bit| {
        let double = sum + sum;
        if factor >> bit & 1 == 1 { double + point } else { double }
    })
}

/// The factors of the values at the places of `quorum` in the value at 0:
/// λ(j) = Π k / (k − j) over all other k.
pub(super) fn lagrange_at_zero(quorum: &[Participant]) -> Vec<Scalar> {
    let places: Vec<_> = quorum.iter().map(|of| i64::from(place(*of))).collect();
    let all = product(places.iter().copied());
    let mut factors: Vec<_> = places
        .iter()
        .map(|x| {
            let others = places.iter().filter(|other| *other != x);
            product(others.map(|other| other - x).chain([*x]))
        })
        .collect();
    Scalar::invert_batch_alloc(&mut factors);
    factors.iter().map(|inverse| inverse * all).collect()
}

/// Multiplies in integers for as long as they last, so that at 8 bits for each
/// factor one in 16 costs a product of scalars.
fn product(factors: impl Iterator<Item = i64>) -> Scalar {
    let mut negative = false;
    let (scalar, rest) = factors.fold((Scalar::ONE, 1_u128), |(scalar, rest), factor| {
        negative ^= factor < 0;
        let factor = u128::from(factor.unsigned_abs());
        match rest.checked_mul(factor) {
            Some(more) => (scalar, more),
            None => (scalar * Scalar::from(rest), factor),
        }
    });
    let product = scalar * Scalar::from(rest);
    if negative { -product } else { product }
}

/// Whether the values at 0 (`key`) and at the places of all participants
/// (`shares`) lie on one polynomial of a degree below the threshold.
///
/// The values of such polynomials are a code; a word that is not in it is
/// orthogonal to a random word of the dual code with probability 1 in 2^252
/// (Cascudo, David, "SCRAPE: scalable randomness attested by public entities",
/// ACNS 2017, section 2.2). The word is drawn from a digest of all values, so
/// that everyone comes to the same verdict. The values are public: variable
/// time.
pub(super) fn on_one_polynomial(threshold: u16, key: &Element, shares: &[Element]) -> bool {
    let values = std::iter::once(key).chain(shares).map(Element::point);
    let word = dual_word(threshold, key, shares);
    RistrettoPoint::vartime_multiscalar_mul(word, values).is_identity()
}

/// The values at 0, ..., n of a random polynomial of degree n − t, each with
/// its factor.
fn dual_word(threshold: u16, key: &Element, shares: &[Element]) -> Vec<Scalar> {
    let mut statement = Statement::new(Purpose::Polynomial);
    statement.bind_number(b"threshold", threshold.into());
    statement.bind_element(b"Y", key);
    for share in shares {
        statement.bind_element(b"Y_j", share);
    }
    let freedom = (shares.len() + 1).saturating_sub(threshold.into());
    let polynomial: Vec<_> = (0..freedom).map(|_| statement.challenge(b"coefficient")).collect();
    let word = (0_u64..).zip(dual_factors(shares.len())).map(|(x, factor)| {
        let x = Scalar::from(x);
        factor * polynomial.iter().fold(Scalar::ZERO, |value, coefficient| value * x + coefficient)
    });
    word.collect()
}

/// 1 / Π (i − j) over all other j, for i and j from 0 to `last`: that is
/// ±1 / (i! (last − i)!).
fn dual_factors(last: usize) -> Vec<Scalar> {
    let factorials: Vec<_> = (0..=last as u64)
        .scan(Scalar::ONE, |product, i| {
            *product *= Scalar::from(i.max(1));
            Some(*product)
        })
        .collect();
    let mut factors: Vec<_> =
        factorials.iter().zip(factorials.iter().rev()).map(|(one, other)| one * other).collect();
    Scalar::invert_batch_alloc(&mut factors);
    let negative = |i: usize| (last - i) % 2 == 1;
    (0..).zip(factors).map(|(i, one)| if negative(i) { -one } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(values: [u8; 4]) -> Vec<Element> {
        let points = values.map(|value| RistrettoPoint::mul_base(&Scalar::from(value)));
        points.into_iter().filter_map(Element::new).collect()
    }

    #[test]
    fn errors_that_cancel_under_the_word_of_other_values_do_not_pass() {
        // 3 + 2x, at 0 and at the places of three participants.
        let values = elements([3, 5, 7, 9]);
        assert!(on_one_polynomial(2, &values[0], &values[1..]));
        let word = dual_word(2, &values[0], &values[1..]);
        let mut bent = values.clone();
        for (at, other) in [(1, 2), (2, 1)] {
            let error = RistrettoPoint::mul_base(&word[other]);
            let error = if at == 1 { error } else { -error };
            bent[at] = Element::new(values[at].point() + error).unwrap();
        }
        assert!(!on_one_polynomial(2, &bent[0], &bent[1..]));
    }
}
