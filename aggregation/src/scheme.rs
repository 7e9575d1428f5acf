//! The verbs that every scheme answers to, and the words they share.
//!
//! A scheme turns unsigned integers into contributions, folds contributions
//! into sums, and opens a sum only with the participants' help. It knows no
//! meter, no time and no message: what a contribution is about reaches it as a
//! [`Context`], opaque bytes that every proof binds.

mod error;
mod range;
mod sharing;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use zeroize::Zeroizing;

pub use error::{CombineError, Culprits, DecodeError, GroupError, ResponseError};
pub use range::{Hidden, Range, Ranged};
pub(crate) use range::{Width, provable};
pub use sharing::Sharing;
pub(crate) use sharing::refuse_impossible;

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

/// A way to learn sums of numbers and nothing else.
///
/// One value of the type is one group: its public key, with what every
/// participant's responses are checked against.
///
/// # How a group comes about
/// Every participant draws a key part. With threshold `all` these are the
/// group: see [`Scheme::group`]. With a threshold of t they are what shares
/// are sealed to: every participant then makes one dealing, takes its own
/// secret from all of them with [`Scheme::receive`], and
/// [`Scheme::shared_group`] is the group. One bad dealing ends the attempt:
/// whoever finds one that does not verify, or a complaint that convicts its
/// dealer, starts again without that dealer.
///
/// # Laws
/// For every group, every set of plaintexts and every choice of contexts:
/// a contribution verifies under its own context and under no other; a range
/// proof verifies beside its own contributions in their order, under their
/// contexts, with its own largest number, and nowhere else; the accepted responses of as many participants as the threshold says, no
/// matter which, to the request for a fold of contributions combine to the
/// sum of their plaintexts, in any order; a claim over retained values folds
/// to the same aggregate as the contributions that they were retained from;
/// a complaint convicts if and only if the share that it is about does not
/// fit its dealing.
pub trait Scheme: Sized + Send + Sync + 'static {
    /// The scheme's name in parameters and configuration.
    const NAME: &'static str;

    /// A participant's secret for as long as the group lives.
    type Secret: Stored + Send;
    /// The public counterpart of a secret, with its proof of possession.
    type KeyPart: Canonical + Clone + Debug + PartialEq + Send;
    /// What one participant deals to all: commitments to a polynomial and a
    /// sealed share of it for every participant. The sealed shares are the
    /// end of the encoding, 48 bytes for each participant in order.
    type Dealing: Canonical + Clone + Debug + PartialEq + Send;
    /// What opens one sealed share to everyone, with a proof that it does.
    type Complaint: Canonical + Clone + Debug + PartialEq + Send;
    /// One hidden number, with a proof that its contributor made it.
    type Contribution: Canonical + Clone + Debug + PartialEq + Send;
    /// That the numbers which some contributions of one contributor hide are no
    /// larger than they may be, and that each of these contributions opens to
    /// the number that it hides.
    type RangeProof: Canonical + Clone + Debug + PartialEq + Send;
    /// What a contributor keeps of a contribution until it is claimed.
    type Retained: Stored + Send;
    /// The fold of contributions; the default is the empty sum.
    type Aggregate: Canonical + Clone + Debug + Default + PartialEq + Send;
    /// What all participants are asked to do for a list of sums; each answers
    /// its own part.
    type Request: Debug + Send;
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

    /// The group of the given key parts, which opens with the responses of all
    /// of them; a participant is its position.
    ///
    /// # Errors
    /// See [`GroupError`]. Proofs of possession are the caller's to check.
    fn group(parts: &[Self::KeyPart]) -> Result<Self, GroupError>;

    /// Draws a polynomial and deals shares of it to everyone, the dealer
    /// included, with a proof that binds `context`. The randomness is hedged
    /// like that of [`Scheme::contribute`].
    fn deal(
        sharing: Sharing<'_, Self::KeyPart>,
        dealer: Participant,
        device: &DeviceSecret,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Self::Dealing;

    /// Whether everything in a dealing holds that anyone can check: numbers of
    /// commitments and sealed shares, and that the dealer knew what it
    /// committed to and meant this sharing and context.
    fn verify_dealing(
        sharing: Sharing<'_, Self::KeyPart>,
        dealer: Participant,
        dealing: &Self::Dealing,
        context: Context<'_>,
    ) -> bool;

    /// What `own` takes from the dealings of all participants in order, each
    /// beside its context: its secret in the group that they make. `secret` is
    /// that of its key part. All dealings have been verified.
    ///
    /// # Errors
    /// The dealers whose share does not fit, each with a complaint that binds
    /// what `complaint_context` gives for it. Nobody is named where a dealing
    /// was not verified, or there is none.
    fn receive(
        sharing: Sharing<'_, Self::KeyPart>,
        own: Participant,
        secret: &Self::Secret,
        dealings: &[(Context<'_>, &Self::Dealing)],
        complaint_context: impl Fn(Participant) -> Vec<u8>,
        rng: &mut Rng,
    ) -> Result<Self::Secret, BTreeMap<Participant, Self::Complaint>>;

    /// Whether the complaint of the first of `parties`, which binds `context`,
    /// convicts the second, whose dealing stands beside its own context. One
    /// that does not convicts its author. The dealing has been verified.
    fn judge(
        sharing: Sharing<'_, Self::KeyPart>,
        parties: (Participant, Participant),
        complaint: &Self::Complaint,
        dealing: (Context<'_>, &Self::Dealing),
        context: Context<'_>,
    ) -> bool;

    /// The group that the dealings of all participants in order make. All
    /// dealings have been verified.
    ///
    /// # Errors
    /// See [`GroupError`].
    fn shared_group(threshold: u16, dealings: &[Self::Dealing]) -> Result<Self, GroupError>;

    /// The group of a key and every participant's public share in order, as
    /// [`Scheme::group_key`] and [`Scheme::public_share`] encode them. It is
    /// refused unless every quorum opens the same.
    ///
    /// # Errors
    /// See [`GroupError`].
    fn named_group(
        threshold: u16,
        key: &[u8],
        shares: &[impl AsRef<[u8]>],
    ) -> Result<Self, GroupError>;

    /// The canonical encoding of the group's public key.
    fn group_key(&self) -> Vec<u8>;

    /// The canonical encoding of what a participant's responses are checked
    /// against. None for a stranger.
    fn public_share(&self, of: Participant) -> Option<Vec<u8>>;

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

    /// Proves that one, two or four contributions of one contributor each hide
    /// a number from 0 to `max`, which is 2^16 − 1 or 2^32 − 1. Of three, name
    /// one twice. None for another count or largest number, and where a
    /// plaintext exceeds it or is not the one that was retained.
    fn prove_range(
        &self,
        hidden: &[Hidden<'_, Self::Retained>],
        max: u32,
        rng: &mut Rng,
    ) -> Option<Self::RangeProof>;

    /// Checks a batch of range proofs, each beside its contributions. The
    /// contributions' own proofs are [`Scheme::verify`]'s to check.
    ///
    /// # Errors
    /// The positions of those that fail, and of no others.
    fn verify_ranges(
        &self,
        batch: &[Ranged<'_, Self::Contribution, Self::RangeProof>],
        rng: &mut Rng,
    ) -> Result<(), Culprits>;

    /// Adds a contribution to a sum.
    fn fold(&self, sum: &mut Self::Aggregate, contribution: &Self::Contribution);

    /// What to ask of the participants so that `sums` can be opened. It is made
    /// once for all of them.
    fn request(&self, sums: &[Self::Aggregate]) -> Self::Request;

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

    /// Opens the sums, given a range for each. Of more responses than the
    /// threshold the first in order are used.
    ///
    /// # Errors
    /// See [`CombineError`].
    fn combine(
        &self,
        decoder: &Self::Decoder,
        sums: &[(Self::Aggregate, Range)],
        accepted: &BTreeMap<Participant, Self::Accepted>,
    ) -> Result<Vec<u64>, CombineError>;

    /// Checks that each sum opens to the value beside it, with the responses
    /// that [`Scheme::combine`] uses. It takes no decoder.
    ///
    /// # Errors
    /// [`CombineError::Missing`] or [`CombineError::Wrong`].
    fn opens(
        &self,
        sums: &[(Self::Aggregate, u64)],
        accepted: &BTreeMap<Participant, Self::Accepted>,
    ) -> Result<(), CombineError>;
}
