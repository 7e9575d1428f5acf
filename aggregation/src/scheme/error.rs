//! What can be wrong with what others send.

use thiserror::Error;

use super::Participant;

/// Why bytes are no value of their type.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The length is not that of the type.
    #[error("{found} bytes instead of {expected}")]
    Length {
        /// Bytes that the type takes.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// A point or scalar is not in its one canonical encoding.
    #[error("{0} is not canonical")]
    NotCanonical(&'static str),
    /// A point that must carry a secret is the identity.
    #[error("{0} is the identity point")]
    Identity(&'static str),
}

/// Positions, in the batch that was checked, of the entries that failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("entries {0:?} of the batch do not verify")]
pub struct Culprits(pub Vec<usize>);

/// Why key parts, dealings or public shares make no group.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum GroupError {
    /// No participant was given.
    #[error("a group needs at least one participant")]
    Empty,
    /// The group's key, or a participant's, would be the identity.
    #[error("a key of the group is the identity point")]
    Identity,
    /// No quorum of this size can be found among so many participants.
    #[error("a threshold of {threshold} does not fit {participants} participants")]
    Threshold {
        /// Responses that would open a sum.
        threshold: u16,
        /// Participants of the group.
        participants: usize,
    },
    /// A dealing with another number of commitments or sealed shares.
    #[error("the dealing of {0:?} is not of the group's size")]
    Dealing(Participant),
    /// The group's key is not encoded as one.
    #[error("the group key: {0}")]
    Key(DecodeError),
    /// A participant's public share is not encoded as one.
    #[error("the public share of {0:?}: {1}")]
    Share(Participant, DecodeError),
    /// The key and the public shares do not lie on one polynomial of a degree
    /// below the threshold: some quorums would open other sums than others.
    #[error("key and public shares belong to more than one polynomial")]
    Polynomial,
}

/// Why a participant does not respond, or a response is not accepted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ResponseError {
    /// A requested sum is the identity, which no contribution explains.
    #[error("sum {0} of the request is the identity point")]
    Identity(usize),
    /// The response answers another number of sums.
    #[error("the response answers {found} sums instead of {expected}")]
    Count {
        /// Sums that were asked for.
        expected: usize,
        /// Sums that were answered.
        found: usize,
    },
    /// The proof does not show that the response uses the participant's key.
    #[error("the proof of the response does not verify")]
    Proof,
    /// No such participant.
    #[error("the group has no participant {0:?}")]
    Unknown(Participant),
}

/// Why responses give no sums.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CombineError {
    /// Fewer participants than the threshold have answered; these have not.
    #[error("responses of {0:?} are missing")]
    Missing(Vec<Participant>),
    /// Sums that lie outside their range. They are never split to find out
    /// more: a part of a sum is another sum.
    #[error("sums {0:?} lie outside their range")]
    OutOfRange(Vec<usize>),
    /// Sums that open to another value than the one that was given.
    #[error("sums {0:?} open to other values")]
    Wrong(Vec<usize>),
}
