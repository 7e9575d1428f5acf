//! Helping to open sums: D = x·C1 for each, with one proof for all of them.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;

use super::equality::{Equality, EqualityProof};
use super::polynomial::lagrange_at_zero;
use super::proof::{Element, Purpose, Statement};
use super::{Aggregate, ElGamal, Secret};
use crate::scheme::{
    Canonical, CombineError, Context, DecodeError, Participant, Range, ResponseError, Rng,
};

/// The C1 of every sum that is to be opened, or why none is; the same for every
/// participant, and encoded once for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request(Result<Vec<Element>, ResponseError>);

impl Request {
    pub(super) fn new(sums: &[Aggregate]) -> Self {
        let elements = (0..).zip(sums);
        let elements = elements
            .map(|(position, sum)| Element::new(sum.c1()).ok_or(ResponseError::Identity(position)));
        Self(elements.collect())
    }

    fn elements(&self) -> Result<&[Element], ResponseError> {
        self.0.as_deref().map_err(|error| *error)
    }
}

/// A participant's D for every C1 of the request, in order, and the proof that
/// one secret made them all. 32 bytes for each D, then 64 bytes: e, z.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    shares: Vec<Element>,
    proof: EqualityProof,
}

impl Canonical for Response {
    fn to_bytes(&self) -> Vec<u8> {
        let mut chunks: Vec<_> = self.shares.iter().map(|share| *share.bytes()).collect();
        chunks.extend(self.proof.encode());
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
            proof: EqualityProof::decode(challenge, answer)?,
        })
    }
}

/// The verified D of a response, each beside the C1 that it belongs to.
#[derive(Debug)]
pub struct Accepted {
    pairs: Vec<(RistrettoPoint, RistrettoPoint)>,
}

impl Accepted {
    fn answers(&self, sums: &[Aggregate]) -> bool {
        let asked = sums.iter().map(Aggregate::c1);
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
    let equality = equality(group, of, holder, (sums, &shares), context);
    let proof = equality.prove(secret.scalar(), rng);
    Ok(Response { shares, proof })
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
    let equality = equality(group, of, holder, (sums, &response.shares), context);
    if !equality.holds(&response.shares, &response.proof) {
        return Err(ResponseError::Proof);
    }
    let shares = response.shares.iter().map(Element::point);
    Ok(Accepted { pairs: sums.iter().map(Element::point).zip(shares).collect() })
}

fn equality(
    group: &ElGamal,
    of: Participant,
    holder: &Element,
    (sums, shares): (&[Element], &[Element]),
    context: Context<'_>,
) -> Equality {
    let mut statement = Statement::about(Purpose::Response, context);
    statement.bind_element(b"Y", &group.key);
    statement.bind_number(b"participant", of.0.into());
    statement.bind_element(b"Y_j", holder);
    Equality::new(statement, holder, sums, shares)
}

/// M·G = C2 − ΣD, decoded, for every sum.
pub(super) fn combine(
    group: &ElGamal,
    decoder: &super::dlog::Table,
    sums: &[(Aggregate, Range)],
    accepted: &BTreeMap<Participant, Accepted>,
) -> Result<Vec<u64>, CombineError> {
    let (sums, ranges): (Vec<_>, Vec<_>) = sums.iter().copied().unzip();
    let opened = (0..).zip(open(group, &sums, accepted)?).zip(ranges);
    let opened: Vec<_> = opened
        .map(|((position, sum), range)| decoder.decode(&sum, range).ok_or(position))
        .collect();
    let outside: Vec<_> = opened.iter().filter_map(|sum| sum.err()).collect();
    if outside.is_empty() {
        Ok(opened.into_iter().flatten().collect())
    } else {
        Err(CombineError::OutOfRange(outside))
    }
}

/// Whether M·G = C2 − ΣD for every sum and the M beside it.
pub(super) fn opens(
    group: &ElGamal,
    sums: &[(Aggregate, u64)],
    accepted: &BTreeMap<Participant, Accepted>,
) -> Result<(), CombineError> {
    let (sums, values): (Vec<_>, Vec<_>) = sums.iter().copied().unzip();
    let opened = (0..).zip(open(group, &sums, accepted)?).zip(values);
    let wrong =
        opened.filter(|((_, sum), value)| RistrettoPoint::mul_base(&Scalar::from(*value)) != *sum);
    let wrong: Vec<_> = wrong.map(|((position, _), _)| position).collect();
    if wrong.is_empty() { Ok(()) } else { Err(CombineError::Wrong(wrong)) }
}

/// C2 − ΣD for every sum: over all participants, or over t of them with
/// Lagrange's factors.
fn open(
    group: &ElGamal,
    sums: &[Aggregate],
    accepted: &BTreeMap<Participant, Accepted>,
) -> Result<Vec<RistrettoPoint>, CombineError> {
    let quorum = quorum(group, sums, accepted)?;
    let factors = group.dealt.then(|| {
        let places: Vec<_> = quorum.iter().map(|(of, _)| *of).collect();
        lagrange_at_zero(&places)
    });
    let opened = (0..).zip(sums).map(|(position, sum)| {
        let answers = quorum.iter().filter_map(|(_, answer)| answer.pairs.get(position));
        let shares: Vec<_> = answers.map(|(_, share)| share).collect();
        // Variable time: accepted responses are public.
        let blinding = match &factors {
            None => shares.into_iter().sum(),
            Some(factors) => RistrettoPoint::vartime_multiscalar_mul(factors, shares),
        };
        sum.c2() - blinding
    });
    Ok(opened.collect())
}

/// The first answers in order, as many as open a sum. An answer to other sums
/// is no answer to these.
fn quorum<'a>(
    group: &ElGamal,
    sums: &[Aggregate],
    accepted: &'a BTreeMap<Participant, Accepted>,
) -> Result<Vec<(Participant, &'a Accepted)>, CombineError> {
    let answer = |of| {
        let answer = accepted.get(&of).filter(|answer| answer.answers(sums));
        answer.map(|answer| (of, answer)).ok_or(of)
    };
    let answers: Vec<_> = group.participants().map(answer).collect();
    let quorum = answers.iter().flatten().copied().take(group.threshold.into());
    let quorum: Vec<_> = quorum.collect();
    if quorum.len() == usize::from(group.threshold) {
        Ok(quorum)
    } else {
        Err(CombineError::Missing(answers.iter().filter_map(|answer| answer.err()).collect()))
    }
}
