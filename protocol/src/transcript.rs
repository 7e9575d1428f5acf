//! A round's transcript: everything that its results follow from. Whoever has
//! it, and the roster of its epoch, finds them again, offline and without a key.
//!
//! It shows that the results are what the named members' entries add up to,
//! and that the named holders helped. It does not show whom the collector left
//! out, nor that a claim is the sum of what its owner contributed: for that,
//! see the receipts and the transcripts of its slots.

mod error;
mod kept;
mod verify;

use serde_bytes::ByteBuf;

use crate::envelope::encode;
use crate::id::MeterId;
use crate::message::{Subject, Target};
use crate::reading::Register;

pub use error::{Piece, TranscriptError};
pub use kept::{combined, of};

/// The version of the encoding. Others are refused, never negotiated.
pub const VERSION: u64 = 1;

/// Signed messages, each whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The final listings that say which slots bills cover: that of the
    /// portion last, before it those that slots have joined from, up to one
    /// that none joined. Empty for a slot.
    pub listings: Vec<ByteBuf>,
    /// What the holders were asked.
    pub request: ByteBuf,
    /// The shares that opened the sums, in the order of the roster.
    pub shares: Vec<ByteBuf>,
    /// The results, in the order of the sums: registers of the region, or
    /// registers of one claim after another.
    pub results: Vec<ByteBuf>,
}

/// What the encoding holds, in this order.
type Encoded = (u64, Vec<ByteBuf>, ByteBuf, Vec<ByteBuf>, Vec<ByteBuf>);

impl Transcript {
    /// Reads a transcript as it is handed on. Each has one encoding.
    ///
    /// # Errors
    /// [`TranscriptError::Unreadable`] or [`TranscriptError::Version`]; what it
    /// shows is for [`Transcript::verify`] to say.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TranscriptError> {
        let (version, listings, request, shares, results): Encoded =
            ciborium::from_reader(bytes).map_err(|_| TranscriptError::Unreadable)?;
        if version != VERSION {
            return Err(TranscriptError::Version(version));
        }
        let transcript = Self { listings, request, shares, results };
        if transcript.to_bytes() == bytes {
            Ok(transcript)
        } else {
            Err(TranscriptError::Unreadable)
        }
    }

    /// The transcript as it is handed on.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { listings, request, shares, results } = self;
        encode(&(VERSION, listings, request, shares, results))
    }
}

/// What a transcript shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was summed up.
    pub target: Target,
    /// The members whose contributions or claims are in the round.
    pub contributors: Vec<MeterId>,
    /// The holders whose shares opened the sums.
    pub helpers: Vec<MeterId>,
    /// The sums, in the order of the transcript.
    pub sums: Vec<VerifiedSum>,
}

/// A sum that is what the shares open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSum {
    /// Whose sum it is.
    pub subject: Subject,
    /// The register.
    pub register: Register,
    /// Slots that are in the sum.
    pub slots: u32,
    /// The sum in Wh.
    pub sum_wh: u64,
}
