//! Why a roster is refused.

use thiserror::Error;

use crate::envelope::Rejection;
use crate::id::MeterId;
use crate::parameters::ParameterError;

/// The check that a roster failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RosterError {
    /// Its form or signature.
    #[error("roster: {0}")]
    Rejected(#[from] Rejection),
    /// A parameter outside its range or below the agent's floor.
    #[error("roster: {0}")]
    Parameter(#[from] ParameterError),
    /// Members that are not distinct and in order.
    #[error("roster: the members are not distinct and in the order of their ids")]
    Members,
    /// The slots of the epoch.
    #[error("roster: the epoch's slots are empty or end off the billing grid")]
    Slots,
    /// A key part or its proof of possession.
    #[error("roster: the key part of {0} or its proof of possession does not verify")]
    KeyPart(MeterId),
    /// The group key.
    #[error("roster: the group key is not that of the key parts")]
    GroupKey,
    /// The receiver's own membership.
    #[error("roster: this meter is no member")]
    NotAMember,
    /// The receiver's own identity key or key part.
    #[error("roster: it names another key for this meter")]
    OwnKey,
    /// The chain of rosters.
    #[error("roster: it does not follow the roster of the epoch before")]
    Chain,
    /// The invitation that this member answered.
    #[error("roster: it does not answer the invitation that this meter answered")]
    Invitation,
    /// The dealings that this member has its share from.
    #[error("roster: it names other dealings than those that this meter has its share from")]
    Dealings,
    /// The slots of the epoch before.
    #[error("roster: its slots are not a run of whole windows after the epoch before")]
    Succession,
}
