//! What can be wrong with a transcript.

use std::fmt;

use thiserror::Error;

use crate::envelope::Rejection;
use crate::id::MeterId;
use crate::listing::ListingError;
use crate::message::Subject;
use crate::portion::Portion;
use crate::reading::Register;
use crate::release::Reason;

use super::VERSION;

/// A message of a transcript; several of a kind are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The request.
    Request,
    /// A final listing.
    Listing(usize),
    /// A share.
    Share(usize),
    /// A result.
    Result(usize),
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("the request"),
            Self::Listing(at) => write!(f, "final listing {at}"),
            Self::Share(at) => write!(f, "share {at}"),
            Self::Result(at) => write!(f, "result {at}"),
        }
    }
}

/// The first thing that is wrong with a transcript.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TranscriptError {
    /// The bytes are no transcript at all, or not the one encoding of one.
    #[error("not a transcript")]
    Unreadable,
    /// Another version of the encoding.
    #[error("a transcript of version {0}; this program knows version {VERSION}")]
    Version(u64),
    /// A message's form or signature.
    #[error("{piece}: {error}")]
    Rejected {
        /// The message.
        piece: Piece,
        /// What is wrong with it.
        error: Rejection,
    },
    /// A listing that is not final, or none that anybody may agree with.
    #[error("{piece}: {error}")]
    Listing {
        /// The listing.
        piece: Piece,
        /// What is wrong with it.
        error: ListingError,
    },
    /// A listing that does not follow the one before it in the transcript, or
    /// follows one that is not there.
    #[error("{piece}, of {portion}, does not follow the listing before it")]
    Chain {
        /// The listing.
        piece: Piece,
        /// What it lists.
        portion: Portion,
    },
    /// Listings beside a round of a slot, or not those of the round's portion.
    #[error("the listings are not those that the request needs")]
    Listings,
    /// A set that no holder opens.
    #[error("no holder answers the request: {0}")]
    Set(#[from] Reason),
    /// A share for something else.
    #[error("the share of {0} answers another request")]
    OtherRequest(MeterId),
    /// A share whose proof does not verify.
    #[error("the proof of the share of {0} does not verify")]
    Share(MeterId),
    /// Shares that are not distinct and in order.
    #[error("the share of {0} stands twice, or not in the order of the roster")]
    Order(MeterId),
    /// Fewer shares than open a sum.
    #[error("{found} shares of at least {needed}")]
    TooFewShares {
        /// Shares in the transcript.
        found: usize,
        /// The threshold.
        needed: usize,
    },
    /// Not one result for each sum.
    #[error("{found} results for {expected} sums")]
    Results {
        /// Results in the transcript.
        found: usize,
        /// Sums of the round.
        expected: usize,
    },
    /// The results name a culprit who is no member, or who has helped.
    #[error("the results call {0} a culprit, who is no member or has helped")]
    Culprit(MeterId),
    /// A result that says something else than follows from the round.
    #[error("{piece}, {register} of {subject}: its {field} is not what follows from the round")]
    Result {
        /// The result.
        piece: Piece,
        /// Whose sum it should be.
        subject: Subject,
        /// The register that it should be of.
        register: Register,
        /// The field's name.
        field: &'static str,
    },
    /// A sum that the shares do not open.
    #[error("{register} of {subject}: the sum is not {sum_wh} Wh")]
    Sum {
        /// Whose sum it is.
        subject: Subject,
        /// The register.
        register: Register,
        /// What the result says.
        sum_wh: u64,
    },
}
