//! Helping to open sums: D = x·C1 for each, with one proof for all of them.
//!
//! The proof of equal discrete logarithms is that of Chaum and Pedersen,
//! "Wallet databases with observers", CRYPTO 1992, over random combinations
//! as in RFC 9497, section 2.2.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;

use super::proof::{Element, Purpose, Statement, decode_scalar};
use super::{Aggregate, ElGamal, Secret};
use crate::scheme::{
    Canonical, CombineError, Context, DecodeError, Participant, Range, ResponseError, Rng,
};

/// The C1 of every sum that is to be opened; the same for every participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    sums: Vec<RistrettoPoint>,
}

impl Request {
    pub(super) fn new(sums: &[Aggregate]) -> Self {
        Self { sums: sums.iter().map(|sum| sum.c1).collect() }
    }

    fn elements(&self) -> Result<Vec<Element>, ResponseError> {
        let elements = self.sums.iter().zip(0..);
        elements
            .map(|(c1, position)| Element::new(*c1).ok_or(ResponseError::Identity(position)))
            .collect()
    }
}

/// A participant's D for every C1 of the request, in order, and the proof that
/// one secret made them all. 32 bytes for each D, then 64 bytes: e, z.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    shares: Vec<Element>,
    challenge: Scalar,
    answer: Scalar,
}

impl Canonical for Response {
    fn to_bytes(&self) -> Vec<u8> {
        let mut chunks: Vec<_> = self.shares.iter().map(|share| *share.bytes()).collect();
        chunks.extend([self.challenge.to_bytes(), self.answer.to_bytes()]);
        chunks.concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ([shares @ .., challenge, answer], []) = bytes.as_chunks() else {
            let expected = (bytes.len() / 32 * 32).max(64);
            return Err(DecodeError::Length { expected, found: bytes.len() });
        };
        let shares = shares.iter().map(|share| Element::decode(share, "D"));
        Ok(Self {
            shares: shares.collect::<Result<_, _>>()?,
            challenge: decode_scalar(challenge, "e")?,
            answer: decode_scalar(answer, "z")?,
        })
    }
}

/// The verified D of a response, each beside the C1 that it belongs to.
#[derive(Debug)]
pub struct Accepted {
    pairs: Vec<(RistrettoPoint, RistrettoPoint)>,
}

impl Accepted {
    fn answers(&self, sums: &[(Aggregate, Range)]) -> bool {
        let asked = sums.iter().map(|(sum, _)| sum.c1);
        asked.eq(self.pairs.iter().map(|(c1, _)| *c1))
    }
}

/// Computes D = x·C1 for every sum and proves it.
pub(super) fn respond(
    group: &ElGamal,
    secret: &Secret,
    of: Participant,
    request: &Request,
    context: Context<'_>,
    rng: &mut Rng,
) -> Result<Response, ResponseError> {
    let holder = group.part(of)?;
    let sums = request.elements()?;
    let shares = sums.iter().zip(0..).map(|(c1, position)| {
        // x is below the group order and not 0, so that only a C1 that is the
        // identity gives a D that is.
        let share = c1.point() * secret.scalar();
        Element::new(share).ok_or(ResponseError::Identity(position))
    });
    let shares: Vec<_> = shares.collect::<Result<_, _>>()?;
    let statement = Equality::new(group, of, holder, &sums, &shares, context);
    let (challenge, answer) = statement.prove(secret.scalar(), rng);
    Ok(Response { shares, challenge, answer })
}

/// Checks that `response` answers `request` with the secret of `of`.
pub(super) fn accept(
    group: &ElGamal,
    of: Participant,
    request: &Request,
    response: &Response,
    context: Context<'_>,
) -> Result<Accepted, ResponseError> {
    let holder = group.part(of)?;
    let sums = request.elements()?;
    let (expected, found) = (sums.len(), response.shares.len());
    if expected != found {
        return Err(ResponseError::Count { expected, found });
    }
    let statement = Equality::new(group, of, holder, &sums, &response.shares, context);
    if !statement.holds(&response.shares, &response.challenge, &response.answer) {
        return Err(ResponseError::Proof);
    }
    let shares = response.shares.iter().map(Element::point);
    Ok(Accepted { pairs: request.sums.iter().copied().zip(shares).collect() })
}

/// One secret x gives Y = xG and D = xC for the composites C = Σw·C1 and
/// D = Σw·D (RFC 9497, section 2.2.1, `ComputeComposites`).
struct Equality {
    statement: Statement,
    holder: RistrettoPoint,
    weights: Vec<Scalar>,
    composite: RistrettoPoint,
}

impl Equality {
    fn new(
        group: &ElGamal,
        of: Participant,
        holder: &Element,
        sums: &[Element],
        shares: &[Element],
        context: Context<'_>,
    ) -> Self {
        let mut statement = Statement::about(Purpose::Response, context);
        statement.bind_element(b"Y", &group.key);
        statement.bind_number(b"participant", of.0.into());
        statement.bind_element(b"Y_j", holder);
        statement.bind_number(b"count", sums.len() as u64);
        for (c1, share) in sums.iter().zip(shares) {
            statement.bind_element(b"C1", c1);
            statement.bind_element(b"D", share);
        }
        // Only after all D: weights that are known before allow errors that
        // cancel.
        let weights: Vec<_> = sums.iter().map(|_| statement.weight()).collect();
        let composite = combination(&weights, sums);
        Self { statement, holder: holder.point(), weights, composite }
    }

    fn prove(mut self, secret: &Scalar, rng: &mut Rng) -> (Scalar, Scalar) {
        let nonce = self.statement.hedged(secret.as_bytes(), rng);
        let commitments = [RistrettoPoint::mul_base(&nonce), self.composite * *nonce];
        let challenge = self.challenge(commitments);
        (challenge, *nonce + challenge * secret)
    }

    /// Whether e is the challenge of A = zG − eY and B = zC − eD.
    fn holds(mut self, shares: &[Element], challenge: &Scalar, answer: &Scalar) -> bool {
        // Variable time: all of a response is public.
        let a =
            RistrettoPoint::vartime_double_scalar_mul_basepoint(&-challenge, &self.holder, answer);
        let composites = [self.composite, combination(&self.weights, shares)];
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

/// M·G = C2 − ΣD over all participants, for every sum, decoded.
pub(super) fn combine(
    group: &ElGamal,
    decoder: &super::dlog::Table,
    sums: &[(Aggregate, Range)],
    accepted: &BTreeMap<Participant, Accepted>,
) -> Result<Vec<u64>, CombineError> {
    let answers = answers_of_all(group, sums, accepted)?;
    let opened: Vec<_> = (0..)
        .zip(sums)
        .map(|(position, (sum, range))| {
            let shares = answers.iter().filter_map(|answer| answer.pairs.get(position));
            let blinding: RistrettoPoint = shares.map(|(_, share)| share).sum();
            decoder.decode(&(sum.c2 - blinding), *range).ok_or(position)
        })
        .collect();
    let outside: Vec<_> = opened.iter().filter_map(|sum| sum.err()).collect();
    if outside.is_empty() {
        Ok(opened.into_iter().flatten().collect())
    } else {
        Err(CombineError::OutOfRange(outside))
    }
}

/// An answer to other sums is no answer to these.
fn answers_of_all<'a>(
    group: &ElGamal,
    sums: &[(Aggregate, Range)],
    accepted: &'a BTreeMap<Participant, Accepted>,
) -> Result<Vec<&'a Accepted>, CombineError> {
    let answer = |of| accepted.get(&of).filter(|answer| answer.answers(sums)).ok_or(of);
    let answers: Vec<_> = group.participants().map(answer).collect();
    let missing: Vec<_> = answers.iter().filter_map(|answer| answer.err()).collect();
    if missing.is_empty() {
        Ok(answers.into_iter().flatten().collect())
    } else {
        Err(CombineError::Missing(missing))
    }
}
