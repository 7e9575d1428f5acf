//! What a round adds up: members' contributions to a slot, or members' claims
//! for a window. Holders and collector read, check and sum them with the same
//! code, so that they never disagree on a set.

mod ranges;

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, Culprits, DecodeError, Range, Rng, Scheme};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::envelope::{Envelope, Rejection};
use crate::id::{Digest, MeterId, Sender};
use crate::listing::Listed;
use crate::message::{Claim, Contribution, Subject, Target};
use crate::reading::Register;
use crate::roster::AcceptedRoster;

/// A member's contribution or claim with a checked signature.
pub struct Entry<S: Scheme> {
    /// Whose it is.
    pub meter: MeterId,
    /// What it belongs to.
    pub target: Target,
    /// For a claim, the listing that its slots follow from;
    /// [`Digest::NONE`] for a contribution.
    pub listing: Digest,
    /// How many slots are in it.
    pub slots: u32,
    /// The hidden quantities. A map's node has room for eleven values; boxed,
    /// those that are not there take 8 bytes and not 608.
    pub hidden: BTreeMap<Register, Box<S::Contribution>>,
    /// That none of them exceeds its range, where the roster asks for a proof
    /// with each contribution.
    pub range_proof: Option<Box<S::RangeProof>>,
    /// The message as it came.
    pub message: Vec<u8>,
}

/// Why a message is no entry.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EntryError {
    /// Its form or signature.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Its registers are not those of the roster.
    #[error("the registers are not those of the roster")]
    Registers,
    /// A point or scalar.
    #[error("{register}: {error}")]
    Decode {
        /// Where it stands.
        register: Register,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A slot or portion outside the epoch.
    #[error("it lies outside the epoch")]
    Outside,
    /// A claim under another listing than the final one of its portion.
    #[error("the claim is not made under the final listing of its portion")]
    Listing,
    /// A claim of fewer slots than a bill may have.
    #[error("the claim covers {found} slots of at least {needed}")]
    TooFewSlots {
        /// Slots of the claim.
        found: u32,
        /// Slots that a bill has at least.
        needed: u16,
    },
    /// The proof of knowledge.
    #[error("the proof does not verify")]
    Proof,
    /// No range proof, where the roster asks for one.
    #[error("it has no range proof, which the roster asks for")]
    NoRangeProof,
    /// A range proof, where the roster asks for none.
    #[error("it has a range proof, which the roster does not ask for")]
    SurplusRangeProof,
    /// A range proof that is none.
    #[error("the range proof: {0}")]
    RangeProofForm(DecodeError),
    /// The range proof.
    #[error("the range proof does not verify")]
    RangeProof,
}

impl EntryError {
    /// A short name for counters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.name(),
            Self::Registers => "registers",
            Self::Decode { error: DecodeError::Length { .. }, .. } => "length",
            Self::Decode { error: DecodeError::NotCanonical(_), .. } => "point-not-canonical",
            Self::Decode { error: DecodeError::Identity(_), .. } => "identity-point",
            Self::Outside => "outside",
            Self::Listing => "listing",
            Self::TooFewSlots { .. } => "too-few-slots",
            Self::Proof => "proof",
            Self::NoRangeProof => "no-range-proof",
            Self::SurplusRangeProof => "surplus-range-proof",
            Self::RangeProofForm(_) => "range-proof-not-canonical",
            Self::RangeProof => "range-proof",
        }
    }
}

impl<S: Scheme> Entry<S> {
    /// Reads a contribution: everything but its proofs is checked.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn contribution(
        roster: &AcceptedRoster<S>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Self, EntryError> {
        Self::of_contribution(roster, roster.open_from_member(envelope)?, message)
    }

    /// Reads a contribution from a disk where it was put once its signature
    /// and its proofs were checked.
    pub(crate) fn kept_contribution(
        roster: &AcceptedRoster<S>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Self, EntryError> {
        match &envelope.header().sender {
            Sender::Meter(meter) if roster.member(meter).is_some() => {
                Self::of_contribution(roster, (meter.clone(), envelope.peek()?), message)
            }
            _ => Err(Rejection::Sender.into()),
        }
    }

    fn of_contribution(
        roster: &AcceptedRoster<S>,
        (meter, body): (MeterId, Contribution),
        message: &[u8],
    ) -> Result<Self, EntryError> {
        if !roster.covers(body.slot) {
            return Err(EntryError::Outside);
        }
        let hidden = decode::<S>(roster, &body.registers)?;
        let range_proof = ranges::read(roster, body.range_proof.as_ref())?;
        let (target, listing) = (Target::Region(body.slot), Digest::NONE);
        let message = message.to_vec();
        Ok(Self { meter, target, listing, slots: 1, hidden, range_proof, message })
    }

    /// Reads a claim under a final listing: everything but its proofs is
    /// checked.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn claim(
        roster: &AcceptedRoster<S>,
        listed: &Listed,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Self, EntryError> {
        let (meter, body): (_, Claim) = roster.open_from_member(envelope)?;
        if (body.portion, body.listing) != (listed.portion(), listed.digest()) {
            return Err(EntryError::Listing);
        }
        let slots = roster.member(&meter).map_or(0, |(of, _)| listed.billed(of).len());
        let (found, needed) =
            (u32::try_from(slots).unwrap_or(u32::MAX), roster.parameters().min_slots);
        if found < u32::from(needed) {
            return Err(EntryError::TooFewSlots { found, needed });
        }
        let hidden = decode::<S>(roster, &body.registers)?;
        let (target, listing) = (Target::Bill(body.portion), body.listing);
        let (slots, range_proof, message) = (found, None, message.to_vec());
        Ok(Self { meter, target, listing, slots, hidden, range_proof, message })
    }

    fn statement(&self, roster: &AcceptedRoster<S>, register: Register) -> Vec<u8> {
        let place = roster.place();
        match self.target {
            Target::Region(slot) => place.contribution(&self.meter, slot, register),
            Target::Bill(portion) => place.claim(&self.meter, portion, &self.listing, register),
        }
    }

    /// The sums that the entry alone amounts to, by register.
    pub fn alone(&self, scheme: &S) -> BTreeMap<Register, S::Aggregate> {
        let mut sums = BTreeMap::new();
        self.fold_into(scheme, &mut sums);
        sums
    }

    /// Adds the entry to sums by register.
    pub fn fold_into(&self, scheme: &S, sums: &mut BTreeMap<Register, S::Aggregate>) {
        for (register, hidden) in &self.hidden {
            scheme.fold(sums.entry(*register).or_default(), hidden);
        }
    }
}

fn decode<S: Scheme>(
    roster: &AcceptedRoster<S>,
    encoded: &BTreeMap<Register, ByteBuf>,
) -> Result<BTreeMap<Register, Box<S::Contribution>>, EntryError> {
    if !encoded.keys().eq(&roster.parameters().registers) {
        return Err(EntryError::Registers);
    }
    let decode_one = |(register, bytes): (&Register, &ByteBuf)| {
        let hidden = S::Contribution::from_bytes(bytes);
        let error = |error| EntryError::Decode { register: *register, error };
        Ok((*register, Box::new(hidden.map_err(error)?)))
    };
    encoded.iter().map(decode_one).collect()
}

/// Checks the proofs of entries, all in one batch.
///
/// # Errors
/// The meters whose proofs do not verify.
pub fn verify<S: Scheme>(
    roster: &AcceptedRoster<S>,
    entries: &[Entry<S>],
    rng: &mut Rng,
) -> Result<(), Vec<MeterId>> {
    let all: Vec<_> = entries.iter().collect();
    check_batch(roster, &all, rng).map_err(|bad| {
        let entries = bad.into_keys().filter_map(|at| entries.get(at));
        entries.map(|entry| entry.meter.clone()).collect()
    })
}

/// Checks the proofs of entries, of which one meter may have several.
///
/// # Errors
/// The positions of the entries whose proofs do not verify, each with the
/// first proof that does not.
pub(crate) fn check_batch<S: Scheme>(
    roster: &AcceptedRoster<S>,
    entries: &[&Entry<S>],
    rng: &mut Rng,
) -> Result<(), BTreeMap<usize, EntryError>> {
    let proofs = || {
        let entries = entries.iter().enumerate();
        entries.flat_map(|(at, entry)| entry.hidden.iter().map(move |hidden| (at, *entry, hidden)))
    };
    let statements: Vec<_> =
        proofs().map(|(_, entry, (register, _))| entry.statement(roster, *register)).collect();
    let batch: Vec<_> = statements
        .iter()
        .zip(proofs())
        .map(|(statement, (_, _, (_, hidden)))| (Context(statement), &**hidden))
        .collect();
    let mut bad = ranges::check(roster, entries, &batch, rng);
    if let Err(Culprits(culprits)) = roster.scheme().verify(&batch, rng) {
        let culprits = culprits.iter().filter_map(|proof| proofs().nth(*proof));
        bad.extend(culprits.map(|(at, ..)| (at, EntryError::Proof)));
    }
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

/// A sum of entries that a round opens.
pub struct Sum<S: Scheme> {
    /// Whose sum it is.
    pub subject: Subject,
    /// The register.
    pub register: Register,
    /// Slots that are in the sum.
    pub slots: u32,
    /// The fold.
    pub aggregate: S::Aggregate,
    /// The largest value that the sum can have in Wh.
    pub bound: u64,
}

impl<S: Scheme> Sum<S> {
    /// Where to look for the sum's value.
    #[must_use]
    pub fn range(&self, forecast: u64) -> Range {
        Range { bound: self.bound, forecast: forecast.min(self.bound) }
    }
}

/// The sums that a round of `entries` opens, in the order in which holders
/// answer: registers of the region, or registers of one claim after another.
#[must_use]
pub fn sums<'a, S: Scheme>(
    roster: &AcceptedRoster<S>,
    target: Target,
    entries: impl IntoIterator<Item = &'a Entry<S>>,
) -> Vec<Sum<S>> {
    match target {
        Target::Region(_) => {
            let all: Vec<_> = entries.into_iter().collect();
            add_up(roster, &Subject::Region(roster.region().clone()), 1, &all)
        }
        Target::Bill(_) => {
            let one = |entry: &Entry<S>| {
                let subject = Subject::Meter(entry.meter.clone());
                add_up(roster, &subject, entry.slots, &[entry])
            };
            entries.into_iter().flat_map(one).collect()
        }
    }
}

/// What the holders are asked so that these sums can be opened.
#[must_use]
pub fn request<S: Scheme>(roster: &AcceptedRoster<S>, sums: &[Sum<S>]) -> S::Request {
    let aggregates: Vec<_> = sums.iter().map(|sum| sum.aggregate.clone()).collect();
    roster.scheme().request(&aggregates)
}

fn add_up<S: Scheme>(
    roster: &AcceptedRoster<S>,
    subject: &Subject,
    slots: u32,
    entries: &[&Entry<S>],
) -> Vec<Sum<S>> {
    let parts = u64::from(slots) * entries.len() as u64;
    let bound = parts.saturating_mul(u64::from(roster.parameters().max_wh_per_slot));
    let sum_of = |register: &Register| {
        let mut aggregate = S::Aggregate::default();
        for hidden in entries.iter().filter_map(|entry| entry.hidden.get(register)) {
            roster.scheme().fold(&mut aggregate, hidden);
        }
        Sum { subject: subject.clone(), register: *register, slots, aggregate, bound }
    };
    roster.parameters().registers.iter().map(sum_of).collect()
}
