//! What goes wrong in a ceremony, and whose fault it is.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::envelope::Rejection;
use crate::id::{Epoch, MeterId};

/// Why a candidate does not go on with a ceremony.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CeremonyError {
    /// A message that the collector passed on.
    #[error("a message of {0} that was passed on: {1}")]
    PassedOn(MeterId, Rejection),
    /// More or fewer messages than members, or not in their order.
    #[error("the messages that were passed on are not those of the members in order")]
    Members,
    /// Another key part under this meter's name.
    #[error("the key parts name another one for this meter")]
    OwnPart,
    /// Other key parts than those that this meter has dealt to.
    #[error("other key parts than those that this meter has dealt to")]
    OtherParts,
    /// Another dealing of the same dealer.
    #[error("a second dealing of {0}")]
    SecondDealing(MeterId),
    /// A dealing that does not hold.
    #[error("the dealing of {0} does not verify")]
    Dealing(MeterId),
    /// Dealings that make no group.
    #[error("the dealings make no group")]
    Group,
    /// Shares that do not fit; this meter has complained.
    #[error("the shares of {0:?} do not fit what they committed to")]
    Shares(Vec<MeterId>),
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// Key parts are missing.
    Parts,
    /// Dealings are missing.
    Dealings,
    /// Confirmations are missing.
    Confirmations,
    /// Nothing is missing.
    Complete,
}

/// Why a member is left out of the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conviction {
    /// It said nothing in time.
    Absent(Step),
    /// It signed two different key parts or dealings.
    TwoStatements,
    /// Its dealing does not verify.
    BadDealing,
    /// A complaint shows that it dealt a share that does not fit.
    BadShare,
    /// It complained about a share that fits.
    FalseComplaint,
    /// It confirmed other dealings than those that were passed on.
    OtherDealings,
    /// It has not proved, in that epoch, what it was asked to.
    Unproven(Epoch),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parts => "key parts",
            Self::Dealings => "dealings",
            Self::Confirmations => "confirmations",
            Self::Complete => "nothing",
        })
    }
}

impl fmt::Display for Conviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(step) => write!(f, "it was absent when {step} were due"),
            Self::TwoStatements => f.write_str("it signed two different dealings"),
            Self::BadDealing => f.write_str("its dealing does not verify"),
            Self::BadShare => f.write_str("it dealt a share that does not fit"),
            Self::FalseComplaint => f.write_str("it complained about a share that fits"),
            Self::OtherDealings => f.write_str("it confirmed other dealings than it was sent"),
            Self::Unproven(epoch) => {
                write!(f, "it has not proved the range of what it contributed to epoch {epoch}")
            }
        }
    }
}
