//! Why a holder does not help.

use thiserror::Error;

use crate::entry::EntryError;
use crate::envelope::Rejection;
use crate::id::{Digest, MeterId};
use crate::listing::ListingError;
use crate::message::Target;
use crate::slot::Slot;

/// Why a holder does not help. It depends on public data only.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Reason {
    /// The request itself.
    #[error("the request: {0}")]
    Rejected(#[from] Rejection),
    /// A slot or portion outside the epoch.
    #[error("the target lies outside the epoch")]
    Outside,
    /// The target has not ended by this holder's clock.
    #[error("the target has not ended")]
    NotEnded,
    /// The target ended before this agent started.
    #[error("the target ended before this agent started")]
    BeforeStart,
    /// The time to open the target has passed.
    #[error("the target's deadline has passed")]
    PastDeadline,
    /// Another request was answered for the target.
    #[error("another request was answered for this target: {0}")]
    Answered(Digest),
    /// An entry that does not hold.
    #[error("entry {at}: {error}")]
    Entry {
        /// Its position in the request.
        at: usize,
        /// What is wrong with it.
        error: EntryError,
    },
    /// An entry of another slot or portion.
    #[error("entry {0} belongs to another target")]
    Target(usize),
    /// A member twice.
    #[error("{0} stands in the request twice")]
    Twice(MeterId),
    /// Proofs that do not verify.
    #[error("the proofs of {0:?} do not verify")]
    Proof(Vec<MeterId>),
    /// Fewer contributors than a sum must have.
    #[error("{found} contributors of at least {needed}")]
    TooFew {
        /// Contributors in the request.
        found: usize,
        /// Contributors that a sum has at least.
        needed: usize,
    },
    /// This holder's own contribution is not the one that it made.
    #[error("this holder's own contribution was altered")]
    OwnAltered,
    /// A listing that nobody may agree with.
    #[error("the listing: {0}")]
    Listing(#[from] ListingError),
    /// This holder has endorsed another listing of the portion.
    #[error("this holder has endorsed another listing of this portion: {0}")]
    Endorsed(Digest),
    /// The listing that it names as the one before is not the latest final one
    /// that this holder knows of, or a later one was endorsed since.
    #[error("the listing does not follow the latest final one that this holder knows of")]
    Previous,
    /// The listing disagrees with a set that this holder answered.
    #[error("the listing has another set of slot {0} than this holder has answered")]
    Set(Slot),
    /// A set that is not the one of an endorsed or final listing.
    #[error("slot {0} is listed with another set")]
    Unlisted(Slot),
    /// No listing of the portion is final.
    #[error("this holder knows of no final listing of the portion")]
    NotFinal,
    /// A second, different claim.
    #[error("{0} claims another sum for a portion that was answered")]
    SecondClaim(MeterId),
    /// A request without entries.
    #[error("the request is empty")]
    Empty,
    /// A sum that no honest contribution explains.
    #[error("a requested sum is the identity point")]
    Identity,
}

impl Reason {
    /// A short name for counters and refusals.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.name(),
            Self::Outside => "outside",
            Self::NotEnded => "not-ended",
            Self::BeforeStart => "before-start",
            Self::PastDeadline => "past-deadline",
            Self::Answered(_) => "answered",
            Self::Entry { error, .. } => error.name(),
            Self::Target(_) => "target",
            Self::Twice(_) => "twice",
            Self::Proof(_) => "proof",
            Self::TooFew { .. } => "too-few",
            Self::OwnAltered => "own-altered",
            Self::Listing(_) => "listing",
            Self::Endorsed(_) => "endorsed",
            Self::Previous => "previous",
            Self::Set(_) => "set",
            Self::Unlisted(_) => "unlisted",
            Self::NotFinal => "not-final",
            Self::SecondClaim(_) => "second-claim",
            Self::Empty => "empty",
            Self::Identity => "identity-point",
        }
    }
}

/// A refused request, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was asked for, where the request was authentic.
    pub request: Option<(Digest, Target)>,
    /// Why not.
    pub reason: Reason,
}
