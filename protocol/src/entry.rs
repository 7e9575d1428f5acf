//! What a round adds up: members' contributions to a slot, or members' claims
//! for a window. Holders and collector read, check and sum them with the same
//! code, so that they never disagree on a set.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Canonical as _, Context, Culprits, DecodeError, Range, Rng, Scheme};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::envelope::{Envelope, Rejection};
use crate::id::MeterId;
use crate::message::{Claim, Contribution, Subject, Target};
use crate::reading::Register;
use crate::roster::AcceptedRoster;
use crate::slots::SlotSet;

/// A member's contribution or claim with a checked signature.
pub struct Entry<S: Scheme> {
    /// Whose it is.
    pub meter: MeterId,
    /// What it belongs to.
    pub target: Target,
    /// For a claim, the slots that it covers.
    pub slots: SlotSet,
    /// The hidden quantities. A map's node has room for eleven values; boxed,
    /// those that are not there take 8 bytes and not 608.
    pub hidden: BTreeMap<Register, Box<S::Contribution>>,
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
    /// A slot or window outside the epoch, or slots outside the window.
    #[error("it lies outside the epoch or its window")]
    Outside,
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
            Self::TooFewSlots { .. } => "too-few-slots",
            Self::Proof => "proof",
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
        let (meter, body): (_, Contribution) = roster.open_from_member(envelope)?;
        if !roster.covers(body.slot) {
            return Err(EntryError::Outside);
        }
        let hidden = decode::<S>(roster, &body.registers)?;
        let target = Target::Region(body.slot);
        Ok(Self { meter, target, slots: SlotSet::default(), hidden, message: message.to_vec() })
    }

    /// Reads a claim: everything but its proofs is checked.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn claim(
        roster: &AcceptedRoster<S>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Self, EntryError> {
        let (meter, body): (_, Claim) = roster.open_from_member(envelope)?;
        let parameters = roster.parameters();
        let inside = roster.covers(roster.grid().last_slot(body.window));
        if !inside || !body.slots.fits(parameters.window_slots.get()) {
            return Err(EntryError::Outside);
        }
        let (found, needed) = (body.slots.count(), parameters.min_slots);
        if found < u32::from(needed) {
            return Err(EntryError::TooFewSlots { found, needed });
        }
        let hidden = decode::<S>(roster, &body.registers)?;
        let target = Target::Bill(body.window);
        Ok(Self { meter, target, slots: body.slots, hidden, message: message.to_vec() })
    }

    fn statement(&self, roster: &AcceptedRoster<S>, register: Register) -> Vec<u8> {
        let place = roster.place();
        match self.target {
            Target::Region(slot) => place.contribution(&self.meter, slot, register),
            Target::Bill(window) => place.claim(&self.meter, window, &self.slots, register),
        }
    }

    /// The sums that the entry alone amounts to, by register.
    pub fn alone(&self, scheme: &S) -> BTreeMap<Register, S::Aggregate> {
        let folded = self.hidden.iter().map(|(register, hidden)| {
            let mut sum = S::Aggregate::default();
            scheme.fold(&mut sum, hidden);
            (*register, sum)
        });
        folded.collect()
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
        let entries = bad.into_iter().filter_map(|at| entries.get(at));
        entries.map(|entry| entry.meter.clone()).collect()
    })
}

/// Checks the proofs of entries, of which one meter may have several.
///
/// # Errors
/// The positions of the entries whose proofs do not verify.
pub(crate) fn check_batch<S: Scheme>(
    roster: &AcceptedRoster<S>,
    entries: &[&Entry<S>],
    rng: &mut Rng,
) -> Result<(), BTreeSet<usize>> {
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
    roster.scheme().verify(&batch, rng).map_err(|Culprits(bad)| {
        let bad = bad.iter().filter_map(|proof| proofs().nth(*proof));
        bad.map(|(at, ..)| at).collect()
    })
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
                add_up(roster, &subject, entry.slots.count(), &[entry])
            };
            entries.into_iter().flat_map(one).collect()
        }
    }
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
