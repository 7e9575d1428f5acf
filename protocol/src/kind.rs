//! The kinds of messages, and what makes a body a message of its kind.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// A body that travels in an envelope of its own kind.
pub trait Message: Serialize + DeserializeOwned {
    /// The kind that the header names.
    const KIND: Kind;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal,)*) => {
        /// What a message is. Its number stands in the protected header.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        /// A number that stands for no kind.
        #[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
        #[error("{0} is no kind of message")]
        pub struct KindError(u8);

        impl From<Kind> for u8 {
            fn from(kind: Kind) -> u8 {
                match kind { $(Kind::$name => $number,)* }
            }
        }

        impl TryFrom<u8> for Kind {
            type Error = KindError;
            fn try_from(number: u8) -> Result<Self, KindError> {
                match number { $($number => Ok(Self::$name),)* other => Err(KindError(other)) }
            }
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kind's name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// Registrar to all: who may join the next epoch, under which parameters.
    Invitation = 1 "invitation",
    /// Member to collector: its part of the group key.
    KeyPart = 2 "key part",
    /// Registrar to all: the epoch's members, keys and parameters.
    Roster = 3 "roster",
    /// Member to collector: one slot's encrypted readings.
    Contribution = 4 "contribution",
    /// Collector to a member: its contribution was taken.
    Receipt = 5 "receipt",
    /// Collector to all holders: help to open these sums.
    Request = 6 "request",
    /// Holder to collector: its share of the requested sums.
    Share = 7 "share",
    /// Member to collector: consent to open its own sums of a portion.
    Claim = 8 "claim",
    /// Holder to collector: why it does not help.
    Refusal = 9 "refusal",
    /// Collector to all: a sum.
    Outcome = 10 "result",
    /// Collector to all: where a round stands.
    Status = 11 "status",
    /// Agent to operators: how the machine is.
    State = 12 "state",
    /// Collector to all: the key parts of every invited meter.
    KeyParts = 13 "key parts",
    /// Candidate to collector: a polynomial, with a share sealed to everyone.
    Dealing = 14 "dealing",
    /// Collector to all: dealings of several candidates.
    Dealings = 15 "dealings",
    /// Candidate to collector: what shows that a dealt share does not fit.
    Complaint = 16 "complaint",
    /// Candidate to collector: which dealings it has taken its share from.
    Confirmation = 17 "confirmation",
    /// Holder to collector: a set leaves out what was receipted as on time.
    Omission = 18 "omission",
    /// Collector to all: who was counted in which slots of a portion.
    Listing = 19 "listing",
    /// Holder to collector: it agrees with a listing.
    Endorsement = 20 "endorsement",
    /// Collector to all: a listing that enough holders have endorsed.
    FinalListing = 21 "final listing",
    /// Member to collector: which listing of a portion is final?
    Inquiry = 22 "inquiry",
    /// Holder to collector: two requests for different sets of one slot.
    Evidence = 23 "evidence",
    /// Collector to a member: prove that what was counted lies in its range.
    Challenge = 24 "challenge",
    /// Member to collector: what was counted lies in its range.
    Proof = 25 "proof",
    /// Collector to all: a member has not proved what it was asked to.
    Unproven = 26 "unproven",
    /// Collector to all: what it holds after a start, and may have lost more.
    Recall = 27 "recall",
    /// Member to collector: what it has contributed and answered there.
    Recollection = 28 "recollection",
}
