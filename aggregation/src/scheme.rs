//! The verbs that every scheme answers to, and the words they share.
//!
//! A scheme turns unsigned integers into contributions, folds contributions
//! into sums, and opens a sum only with the participants' help. It knows no
//! meter, no time and no message: what a contribution is about reaches it as a
//! [`Context`], opaque bytes that every proof binds.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use thiserror::Error;
use zeroize::Zeroizing;

/// The generator that every randomised verb draws from; the caller seeds it.
pub type Rng = rand_chacha::ChaCha20Rng;

/// What a statement is about. Two statements never share a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a>(pub &'a [u8]);

/// A participant's position in the group, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Participant(pub u16);

/// A secret that never leaves its device and serves for nothing but hedging:
/// randomness that depends on it stays unpredictable where the generator is
/// not. Wiped when dropped; its Debug shows nothing.
pub struct DeviceSecret(Zeroizing<[u8; 32]>);

impl DeviceSecret {
    /// The secret of these 32 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Debug for DeviceSecret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSecret(..)")
    }
}

/// A public value with exactly one encoding.
pub trait Canonical: Sized {
    /// The encoding.
    fn to_bytes(&self) -> Vec<u8>;

    /// Reads the encoding back.
    ///
    /// # Errors
    /// Anything but the one encoding of a value: see [`DecodeError`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// A secret that its owner writes to its own disk.
pub trait Stored: Sized {
    /// The bytes to store; they are wiped when dropped.
    fn to_stored(&self) -> Zeroizing<Vec<u8>>;

    /// Reads what [`Stored::to_stored`] wrote.
    ///
    /// # Errors
    /// Anything that it did not write: see [`DecodeError`].
    fn from_stored(bytes: &[u8]) -> Result<Self, DecodeError>;
}

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

/// Why key parts make no group.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum GroupError {
    /// No key part was given.
    #[error("a group needs at least one key part")]
    Empty,
    /// The key parts cancel out.
    #[error("the key parts sum to the identity point")]
    Identity,
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

/// Where the plaintext of a sum may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The largest possible sum.
    pub bound: u64,
    /// Where to look first; clamped to `bound`.
    pub forecast: u64,
}

/// Why responses give no sums.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CombineError {
    /// Participants whose response is still needed.
    #[error("responses of {0:?} are missing")]
    Missing(Vec<Participant>),
    /// Sums that lie outside their range. They are never split to find out
    /// more: a part of a sum is another sum.
    #[error("sums {0:?} lie outside their range")]
    OutOfRange(Vec<usize>),
}

/// A way to learn sums of numbers and nothing else.
///
/// One value of the type is one group: its public key material, with every
/// key part that it was made of.
///
/// # Laws
/// For every group, every set of plaintexts and every choice of contexts:
/// a contribution verifies under its own context and under no other; the
/// accepted responses of all participants to the request for a fold of
/// contributions combine to the sum of their plaintexts, in any order; a
/// claim over retained values folds to the same aggregate as the
/// contributions that they were retained from.
pub trait Scheme: Sized + Send + Sync + 'static {
    /// The scheme's name in parameters and configuration.
    const NAME: &'static str;

    /// A participant's secret for as long as the group lives.
    type Secret: Stored + Send;
    /// The public counterpart of a secret, with its proof of possession.
    type KeyPart: Canonical + Clone + Debug + PartialEq + Send;
    /// One hidden number, with a proof that its contributor made it.
    type Contribution: Canonical + Clone + Debug + PartialEq + Send;
    /// What a contributor keeps of a contribution until it is claimed.
    type Retained: Send;
    /// The fold of contributions; the default is the empty sum.
    type Aggregate: Clone + Debug + Default + PartialEq + Send;
    /// What one participant is asked to do for a list of sums.
    type Request;
    /// What the participant answers.
    type Response: Canonical + Clone + Debug + PartialEq + Send;
    /// A response that was checked against its request.
    type Accepted: Debug + Send;
    /// Tables that make sums readable again.
    type Decoder: Send + Sync;

    /// Draws a secret and its key part, whose proof binds `context`.
    fn key_part(context: Context<'_>, rng: &mut Rng) -> (Self::Secret, Self::KeyPart);

    /// Whether the key part's maker knew its secret and meant this context.
    fn verify_key_part(part: &Self::KeyPart, context: Context<'_>) -> bool;

    /// The group of the given key parts; a participant is its position.
    ///
    /// # Errors
    /// See [`GroupError`]. Proofs of possession are the caller's to check.
    fn group(parts: &[Self::KeyPart]) -> Result<Self, GroupError>;

    /// The canonical encoding of the group's public key.
    fn group_key(&self) -> Vec<u8>;

    /// How many responses open a sum: those of all participants, unless the
    /// group's secret was dealt.
    fn threshold(&self) -> u16;

    /// Hides `plaintext`. The randomness is hedged: it depends on the device's
    /// secret, the generator, the context and the plaintext together.
    fn contribute(
        &self,
        device: &DeviceSecret,
        plaintext: u64,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> (Self::Contribution, Self::Retained);

    /// One contribution that stands for the sum of the retained ones, with a
    /// fresh proof that binds `context`. None if `retained` is empty.
    fn claim(
        &self,
        retained: &[&Self::Retained],
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Option<Self::Contribution>;

    /// Checks a batch of contributions, each against its own context.
    ///
    /// # Errors
    /// The positions of those that fail, and of no others.
    fn verify(
        &self,
        batch: &[(Context<'_>, &Self::Contribution)],
        rng: &mut Rng,
    ) -> Result<(), Culprits>;

    /// Adds a contribution to a sum.
    fn fold(&self, sum: &mut Self::Aggregate, contribution: &Self::Contribution);

    /// What to ask of one participant so that `sums` can be opened.
    fn request(&self, sums: &[Self::Aggregate], of: Participant) -> Self::Request;

    /// The participant's help with a request. This is the only verb that uses
    /// the secret on something that others have chosen.
    ///
    /// # Errors
    /// [`ResponseError::Identity`] or [`ResponseError::Unknown`].
    fn respond(
        &self,
        secret: &Self::Secret,
        of: Participant,
        request: &Self::Request,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Result<Self::Response, ResponseError>;

    /// Checks a participant's response to what it was asked.
    ///
    /// # Errors
    /// See [`ResponseError`].
    fn accept(
        &self,
        of: Participant,
        request: &Self::Request,
        response: &Self::Response,
        context: Context<'_>,
    ) -> Result<Self::Accepted, ResponseError>;

    /// Opens the sums, given a range for each.
    ///
    /// # Errors
    /// See [`CombineError`].
    fn combine(
        &self,
        decoder: &Self::Decoder,
        sums: &[(Self::Aggregate, Range)],
        accepted: &BTreeMap<Participant, Self::Accepted>,
    ) -> Result<Vec<u64>, CombineError>;
}
