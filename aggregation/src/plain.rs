//! A scheme WITHOUT ANY SECRECY, for tests only.
//!
//! Contributions carry their numbers in clear and anyone can forge anything.
//! It obeys the laws of [`Scheme`], refuses what honest code must refuse
//! (wrong context, wrong participant, wrong request), and costs next to
//! nothing, so that whatever is built on a scheme can be tested by the
//! thousand. Never enable the feature `plain` in anything that is shipped.

mod dealing;
mod values;

use std::collections::BTreeMap;

use rand::Rng as _;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

pub use dealing::{Complaint, Dealing, bend_share};
pub use values::{
    Accepted, Aggregate, Contribution, KeyPart, RangeProof, Request, Response, Retained, Secret,
};

use crate::scheme::{
    Canonical as _, CombineError, Context, Culprits, DeviceSecret, GroupError, Hidden, Participant,
    Range, Ranged, ResponseError, Rng, Scheme, Sharing,
};
use crate::scheme::{provable, refuse_impossible};
use values::Digest;

/// A group that keeps nothing secret.
#[derive(Debug)]
pub struct Plain {
    parts: Vec<Digest>,
    key: Digest,
    threshold: u16,
}

impl Plain {
    fn contribution(&self, sum: Aggregate, context: Context<'_>) -> Contribution {
        let proof = digest(b"contribution", [&self.key, context.0, &sum.to_bytes()]);
        Contribution { sum, proof }
    }

    /// The one valid response of the owner of `key` at the position `of`.
    fn response(
        key: &Digest,
        of: Participant,
        request: &Request,
        context: Context<'_>,
    ) -> Response {
        let marks: Vec<_> = request.0.iter().flat_map(|mark| mark.to_be_bytes()).collect();
        let of = of.0.to_be_bytes();
        let proof = digest(b"response", [key.as_slice(), &of, context.0, &marks]);
        Response { count: request.0.len() as u64, proof }
    }

    /// The one valid proof for these numbers. None if there is none.
    fn range_proof(&self, numbers: &[(Context<'_>, Aggregate)], max: u32) -> Option<RangeProof> {
        provable(max, numbers.len())?;
        let exceeds = |(_, sum): &(Context<'_>, Aggregate)| sum.number > max.into();
        if numbers.iter().any(exceeds) {
            return None;
        }
        let numbers: Vec<Digest> = numbers
            .iter()
            .map(|(context, sum)| digest(b"number", [context.0, &sum.to_bytes()]))
            .collect();
        let max = max.to_be_bytes();
        Some(RangeProof(digest(b"range", [self.key.as_slice(), &max, numbers.as_flattened()])))
    }

    fn part(&self, of: Participant) -> Result<&Digest, ResponseError> {
        self.parts.get(usize::from(of.0)).ok_or(ResponseError::Unknown(of))
    }

    /// Whether enough have answered for these sums.
    fn check_help<'a>(
        &self,
        sums: impl Iterator<Item = &'a Aggregate>,
        accepted: &BTreeMap<Participant, Accepted>,
    ) -> Result<(), CombineError> {
        let marks: Vec<_> = sums.map(|sum| sum.mark).collect();
        let answered = |of: &Participant| accepted.get(of).is_some_and(|answer| answer.0 == marks);
        let everyone = (0..).map(Participant).take(self.parts.len());
        let (helped, missing): (Vec<_>, Vec<_>) = everyone.partition(answered);
        if helped.len() < usize::from(self.threshold) {
            return Err(CombineError::Missing(missing));
        }
        Ok(())
    }
}

impl Scheme for Plain {
    const NAME: &'static str = "plain";

    type Secret = Secret;
    type KeyPart = KeyPart;
    type Dealing = Dealing;
    type Complaint = Complaint;
    type Contribution = Contribution;
    type RangeProof = RangeProof;
    type Retained = Retained;
    type Aggregate = Aggregate;
    type Request = Request;
    type Response = Response;
    type Accepted = Accepted;
    type Decoder = ();

    fn key_part(context: Context<'_>, rng: &mut Rng) -> (Secret, KeyPart) {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut());
        let secret = Secret(secret);
        let key = secret.key();
        let proof = digest(b"possession", [&key, context.0]);
        (secret, KeyPart { key, proof })
    }

    fn verify_key_part(part: &KeyPart, context: Context<'_>) -> bool {
        part.proof == digest(b"possession", [&part.key, context.0])
    }

    fn group(parts: &[KeyPart]) -> Result<Self, GroupError> {
        let threshold = u16::try_from(parts.len()).unwrap_or(u16::MAX);
        refuse_impossible(threshold, parts.len())?;
        let parts: Vec<_> = parts.iter().map(|part| part.key).collect();
        let key = digest(b"group", parts.iter().map(Digest::as_slice));
        Ok(Self { parts, key, threshold })
    }

    /// Commitments are drawn, never hedged: they hide nothing.
    fn deal(
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        _: &DeviceSecret,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Dealing {
        let mut commitments = vec![[0; 32]; usize::from(sharing.threshold)];
        rng.fill_bytes(commitments.as_flattened_mut());
        Dealing::new(sharing, dealer, commitments, context)
    }

    fn verify_dealing(
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        dealing: &Dealing,
        context: Context<'_>,
    ) -> bool {
        dealing.verifies(sharing, dealer, context)
    }

    fn receive(
        _: Sharing<'_, KeyPart>,
        own: Participant,
        secret: &Secret,
        dealings: &[(Context<'_>, &Dealing)],
        complaint_context: impl Fn(Participant) -> Vec<u8>,
        _: &mut Rng,
    ) -> Result<Secret, BTreeMap<Participant, Complaint>> {
        dealing::receive(own, secret, dealings, complaint_context)
    }

    fn judge(
        sharing: Sharing<'_, KeyPart>,
        parties: (Participant, Participant),
        complaint: &Complaint,
        (_, dealing): (Context<'_>, &Dealing),
        context: Context<'_>,
    ) -> bool {
        complaint.convicts(sharing, parties, dealing, context)
    }

    fn shared_group(threshold: u16, dealings: &[Dealing]) -> Result<Self, GroupError> {
        dealing::shared_group(threshold, dealings)
    }

    fn named_group(
        threshold: u16,
        key: &[u8],
        shares: &[impl AsRef<[u8]>],
    ) -> Result<Self, GroupError> {
        dealing::named_group(threshold, key, shares)
    }

    fn group_key(&self) -> Vec<u8> {
        self.key.to_vec()
    }

    fn public_share(&self, of: Participant) -> Option<Vec<u8>> {
        self.part(of).ok().map(|part| part.to_vec())
    }

    fn threshold(&self) -> u16 {
        self.threshold
    }

    fn contribute(
        &self,
        _: &DeviceSecret,
        plaintext: u64,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> (Contribution, Retained) {
        let sum = Aggregate { number: plaintext, mark: rng.next_u64().max(1) };
        (self.contribution(sum, context), Retained(sum))
    }

    fn claim(
        &self,
        retained: &[&Retained],
        context: Context<'_>,
        _: &mut Rng,
    ) -> Option<Contribution> {
        let sum = retained.iter().map(|one| one.0).reduce(Aggregate::add)?;
        Some(self.contribution(sum, context))
    }

    fn verify(&self, batch: &[(Context<'_>, &Contribution)], _: &mut Rng) -> Result<(), Culprits> {
        let holds = |(context, found): &(Context<'_>, &Contribution)| {
            self.contribution(found.sum, *context) == **found
        };
        check(batch, holds)
    }

    fn prove_range(
        &self,
        hidden: &[Hidden<'_, Retained>],
        max: u32,
        _: &mut Rng,
    ) -> Option<RangeProof> {
        let retained = |one: &Hidden<'_, Retained>| one.plaintext == one.retained.0.number;
        let numbers: Vec<_> = hidden.iter().map(|one| (one.context, one.retained.0)).collect();
        hidden.iter().all(retained).then(|| self.range_proof(&numbers, max)).flatten()
    }

    fn verify_ranges(
        &self,
        batch: &[Ranged<'_, Contribution, RangeProof>],
        _: &mut Rng,
    ) -> Result<(), Culprits> {
        let holds = |one: &Ranged<'_, Contribution, RangeProof>| {
            let numbers = one.contributions.iter().map(|(context, found)| (*context, found.sum));
            self.range_proof(&numbers.collect::<Vec<_>>(), one.max).as_ref() == Some(one.proof)
        };
        check(batch, holds)
    }

    fn fold(&self, sum: &mut Aggregate, contribution: &Contribution) {
        *sum = sum.add(contribution.sum);
    }

    fn request(&self, sums: &[Aggregate]) -> Request {
        Request(sums.iter().map(|sum| sum.mark).collect())
    }

    fn respond(
        &self,
        secret: &Secret,
        of: Participant,
        request: &Request,
        context: Context<'_>,
        _: &mut Rng,
    ) -> Result<Response, ResponseError> {
        self.part(of)?;
        refuse_identity(request)?;
        Ok(Self::response(&secret.key(), of, request, context))
    }

    fn accept(
        &self,
        of: Participant,
        request: &Request,
        response: &Response,
        context: Context<'_>,
    ) -> Result<Accepted, ResponseError> {
        let expected = Self::response(self.part(of)?, of, request, context);
        refuse_identity(request)?;
        if expected.count != response.count {
            let found = usize::try_from(response.count).unwrap_or(usize::MAX);
            return Err(ResponseError::Count { expected: request.0.len(), found });
        }
        if expected != *response {
            return Err(ResponseError::Proof);
        }
        Ok(Accepted(request.0.clone()))
    }

    fn combine(
        &self,
        (): &(),
        sums: &[(Aggregate, Range)],
        accepted: &BTreeMap<Participant, Accepted>,
    ) -> Result<Vec<u64>, CombineError> {
        self.check_help(sums.iter().map(|(sum, _)| sum), accepted)?;
        let outside = (0..).zip(sums).filter(|(_, (sum, range))| sum.number > range.bound);
        let outside: Vec<_> = outside.map(|(position, _)| position).collect();
        if !outside.is_empty() {
            return Err(CombineError::OutOfRange(outside));
        }
        Ok(sums.iter().map(|(sum, _)| sum.number).collect())
    }

    fn opens(
        &self,
        sums: &[(Aggregate, u64)],
        accepted: &BTreeMap<Participant, Accepted>,
    ) -> Result<(), CombineError> {
        self.check_help(sums.iter().map(|(sum, _)| sum), accepted)?;
        let wrong = (0..).zip(sums).filter(|(_, (sum, value))| sum.number != *value);
        let wrong: Vec<_> = wrong.map(|(position, _)| position).collect();
        if wrong.is_empty() { Ok(()) } else { Err(CombineError::Wrong(wrong)) }
    }
}

fn check<T>(batch: &[T], holds: impl Fn(&T) -> bool) -> Result<(), Culprits> {
    let culprits = (0..).zip(batch).filter(|(_, one)| !holds(one));
    let culprits: Vec<_> = culprits.map(|(position, _)| position).collect();
    if culprits.is_empty() { Ok(()) } else { Err(Culprits(culprits)) }
}

fn refuse_identity(request: &Request) -> Result<(), ResponseError> {
    let identity = request.0.iter().position(|mark| *mark == 0);
    identity.map_or(Ok(()), |position| Err(ResponseError::Identity(position)))
}

/// The first bytes of a digest of parts, each with its length: what a thousand
/// worlds compute some million times.
fn digest<'a, const N: usize>(
    label: &'static [u8],
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> [u8; N] {
    let mut hash = Sha512::new();
    for part in std::iter::once(label).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digest = [0; N];
    digest.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    digest
}
