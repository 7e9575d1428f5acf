//! Additive ElGamal over ristretto255, opened by all participants or t of n.
//!
//! C1 = rG, C2 = mG + rY, after Cramer, Gennaro, Schoenmakers, "A secure and
//! optimally efficient multi-authority election scheme", EUROCRYPT 1997, and
//! Busom et al., "Efficient smart metering based on homomorphic encryption",
//! Computer Communications 2016. The group is that of RFC 9496.
//!
//! Every contribution proves knowledge of its r. A participant that helps to
//! open a sum of such contributions computes `x_j`·ΣC1 = Σr·`Y_j`, which
//! the contributors could compute themselves: helping reveals nothing but the sum.

mod bulletproof;
mod complaint;
mod contribution;
mod dealing;
pub mod dlog;
mod equality;
mod keygen;
mod link;
mod polynomial;
mod proof;
mod range;
mod seal;
mod sharing;

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoBasepointTable;

pub use complaint::Complaint;
pub use contribution::{Aggregate, Contribution, Retained};
pub use dealing::Dealing;
pub use keygen::{KeyPart, Secret};
pub use range::RangeProof;
pub use sharing::{Accepted, Request, Response};

use crate::scheme::{
    CombineError, Context, Culprits, DeviceSecret, GroupError, Hidden, Participant, Range, Ranged,
    ResponseError, Rng, Scheme, Sharing, refuse_impossible,
};
use bulletproof::Generators;
use dlog::Table;
use proof::{Element, check_batch};

/// A group whose sums open with the help of every participant, or of t of n
/// where its secret was dealt. In the first case one lost secret makes
/// everything that was encrypted to the group unreadable, in the second
/// n − t + 1.
pub struct ElGamal {
    /// `Y_j` of every participant.
    parts: Vec<Element>,
    key: Element,
    threshold: u16,
    /// Whether the parts lie on a polynomial whose value at 0 is the key;
    /// otherwise the key is their sum.
    dealt: bool,
    /// Multiples of Y. A third faster than multiplying Y, for 30 KiB.
    multiples: Box<RistrettoBasepointTable>,
    /// Of range proofs, none of which need ever be made.
    generators: Generators,
}

impl ElGamal {
    fn new(key: Element, parts: Vec<Element>, threshold: u16, dealt: bool) -> Self {
        let multiples = Box::new(RistrettoBasepointTable::create(&key.point()));
        Self { parts, key, threshold, dealt, multiples, generators: Generators::default() }
    }

    fn part(&self, of: Participant) -> Result<&Element, ResponseError> {
        self.parts.get(usize::from(of.0)).ok_or(ResponseError::Unknown(of))
    }

    fn participants(&self) -> impl Iterator<Item = Participant> {
        (0..).map(Participant).take(self.parts.len())
    }
}

impl Scheme for ElGamal {
    const NAME: &'static str = "threshold-elgamal";

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
    type Decoder = Table;

    fn key_part(context: Context<'_>, rng: &mut Rng) -> (Secret, KeyPart) {
        keygen::key_part(context, rng)
    }

    fn verify_key_part(part: &KeyPart, context: Context<'_>) -> bool {
        keygen::verify_key_part(part, context)
    }

    fn group(parts: &[KeyPart]) -> Result<Self, GroupError> {
        let parts: Vec<_> = parts.iter().map(|part| *part.key()).collect();
        let threshold = u16::try_from(parts.len()).unwrap_or(u16::MAX);
        refuse_impossible(threshold, parts.len())?;
        let key = keygen::group_key(&parts)?;
        Ok(Self::new(key, parts, threshold, false))
    }

    fn deal(
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        device: &DeviceSecret,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Dealing {
        dealing::deal(sharing, dealer, device, context, rng)
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
        sharing: Sharing<'_, KeyPart>,
        own: Participant,
        secret: &Secret,
        dealings: &[(Context<'_>, &Dealing)],
        complaint_context: impl Fn(Participant) -> Vec<u8>,
        rng: &mut Rng,
    ) -> Result<Secret, BTreeMap<Participant, Complaint>> {
        complaint::receive(sharing.threshold, own, secret, dealings, complaint_context, rng)
    }

    fn judge(
        sharing: Sharing<'_, KeyPart>,
        parties: (Participant, Participant),
        complaint: &Complaint,
        dealing: (Context<'_>, &Dealing),
        context: Context<'_>,
    ) -> bool {
        complaint.convicts(sharing, parties, dealing, context)
    }

    fn shared_group(threshold: u16, dealings: &[Dealing]) -> Result<Self, GroupError> {
        let (key, parts) = dealing::shared_keys(threshold, dealings)?;
        Ok(Self::new(key, parts, threshold, true))
    }

    fn named_group(
        threshold: u16,
        key: &[u8],
        shares: &[impl AsRef<[u8]>],
    ) -> Result<Self, GroupError> {
        let (key, parts) = keygen::named_keys(threshold, key, shares)?;
        Ok(Self::new(key, parts, threshold, true))
    }

    fn group_key(&self) -> Vec<u8> {
        self.key.bytes().to_vec()
    }

    fn public_share(&self, of: Participant) -> Option<Vec<u8>> {
        self.part(of).ok().map(|part| part.bytes().to_vec())
    }

    fn threshold(&self) -> u16 {
        self.threshold
    }

    fn contribute(
        &self,
        device: &DeviceSecret,
        plaintext: u64,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> (Contribution, Retained) {
        contribution::contribute(self, device, plaintext, context, rng)
    }

    /// None also if the retained values cancel out, which honest ones do with
    /// probability 2^-252.
    fn claim(
        &self,
        retained: &[&Retained],
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Option<Contribution> {
        contribution::claim(self, retained, context, rng)
    }

    fn verify(
        &self,
        batch: &[(Context<'_>, &Contribution)],
        rng: &mut Rng,
    ) -> Result<(), Culprits> {
        let claims =
            batch.iter().map(|(context, contribution)| contribution.proof_claim(self, *context));
        check_batch(&claims.collect::<Vec<_>>(), rng)
    }

    fn prove_range(
        &self,
        hidden: &[Hidden<'_, Retained>],
        max: u32,
        rng: &mut Rng,
    ) -> Option<RangeProof> {
        range::prove(self, hidden, max, rng)
    }

    fn verify_ranges(
        &self,
        batch: &[Ranged<'_, Contribution, RangeProof>],
        rng: &mut Rng,
    ) -> Result<(), Culprits> {
        range::verify(self, batch, rng)
    }

    fn fold(&self, sum: &mut Aggregate, contribution: &Contribution) {
        sum.add(contribution);
    }

    fn request(&self, sums: &[Aggregate]) -> Request {
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

    fn opens(
        &self,
        sums: &[(Aggregate, u64)],
        accepted: &BTreeMap<Participant, Accepted>,
    ) -> Result<(), CombineError> {
        sharing::opens(self, sums, accepted)
    }
}
