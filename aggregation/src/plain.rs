//! A scheme WITHOUT ANY SECRECY, for tests only.
//!
//! Contributions carry their numbers in clear and anyone can forge anything.
//! It obeys the laws of [`Scheme`], refuses what honest code must refuse
//! (wrong context, wrong participant, wrong request), and costs next to
//! nothing, so that whatever is built on a scheme can be tested by the
//! thousand. Never enable the feature `plain` in anything that is shipped.

mod values;

use std::collections::BTreeMap;

use merlin::Transcript;
use rand::Rng as _;
use zeroize::Zeroizing;

pub use values::{Accepted, Aggregate, Contribution, KeyPart, Request, Response, Retained, Secret};

use crate::scheme::{
    CombineError, Context, Culprits, DeviceSecret, GroupError, Participant, Range, ResponseError,
    Rng, Scheme,
};
use values::Digest;

/// A group that keeps nothing secret.
#[derive(Debug)]
pub struct Plain {
    parts: Vec<Digest>,
    key: Digest,
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

    fn part(&self, of: Participant) -> Result<&Digest, ResponseError> {
        self.parts.get(usize::from(of.0)).ok_or(ResponseError::Unknown(of))
    }
}

impl Scheme for Plain {
    const NAME: &'static str = "plain";

    type Secret = Secret;
    type KeyPart = KeyPart;
    type Contribution = Contribution;
    type Retained = Retained;
    type Aggregate = Aggregate;
    type Request = Request;
    type Response = Response;
    type Accepted = Accepted;
    type Decoder = ();

    fn key_part(context: Context<'_>, rng: &mut Rng) -> (Secret, KeyPart) {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut());
        let key = digest(b"key", [secret.as_ref()]);
        let proof = digest(b"possession", [&key, context.0]);
        (Secret(secret), KeyPart { key, proof })
    }

    fn verify_key_part(part: &KeyPart, context: Context<'_>) -> bool {
        part.proof == digest(b"possession", [&part.key, context.0])
    }

    fn group(parts: &[KeyPart]) -> Result<Self, GroupError> {
        if parts.is_empty() {
            return Err(GroupError::Empty);
        }
        let parts: Vec<_> = parts.iter().map(|part| part.key).collect();
        let key = digest(b"group", parts.iter().map(Digest::as_slice));
        Ok(Self { parts, key })
    }

    fn group_key(&self) -> Vec<u8> {
        self.key.to_vec()
    }

    fn threshold(&self) -> u16 {
        u16::try_from(self.parts.len()).unwrap_or(u16::MAX)
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
        let culprits: Vec<_> = (0..)
            .zip(batch)
            .filter(|(_, (context, found))| self.contribution(found.sum, *context) != **found)
            .map(|(position, _)| position)
            .collect();
        if culprits.is_empty() { Ok(()) } else { Err(Culprits(culprits)) }
    }

    fn fold(&self, sum: &mut Aggregate, contribution: &Contribution) {
        *sum = sum.add(contribution.sum);
    }

    fn request(&self, sums: &[Aggregate], _: Participant) -> Request {
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
        let key = digest(b"key", [secret.0.as_ref()]);
        Ok(Self::response(&key, of, request, context))
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
        let marks: Vec<_> = sums.iter().map(|(sum, _)| sum.mark).collect();
        let answered = |of: &Participant| accepted.get(of).is_some_and(|answer| answer.0 == marks);
        let everyone = (0..).map(Participant).take(self.parts.len());
        let missing: Vec<_> = everyone.filter(|of| !answered(of)).collect();
        if !missing.is_empty() {
            return Err(CombineError::Missing(missing));
        }
        let outside = (0..).zip(sums).filter(|(_, (sum, range))| sum.number > range.bound);
        let outside: Vec<_> = outside.map(|(position, _)| position).collect();
        if !outside.is_empty() {
            return Err(CombineError::OutOfRange(outside));
        }
        Ok(sums.iter().map(|(sum, _)| sum.number).collect())
    }
}

fn refuse_identity(request: &Request) -> Result<(), ResponseError> {
    let identity = request.0.iter().position(|mark| *mark == 0);
    identity.map_or(Ok(()), |position| Err(ResponseError::Identity(position)))
}

fn digest<'a>(label: &'static [u8], parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut transcript = Transcript::new(b"hushgrid/1/plain");
    transcript.append_message(b"label", label);
    for part in parts {
        transcript.append_message(b"part", part);
    }
    let mut digest = [0; 32];
    transcript.challenge_bytes(b"digest", &mut digest);
    digest
}
