//! What a state machine hands to the daemon that drives it: one ordered queue.
//! What must survive comes before what depends on it.

use std::fmt;

use thiserror::Error;

use crate::evidence::Accusation;
use crate::id::{Epoch, MeterId, Sender};
use crate::keygen::{CeremonyError, Conviction, Step};
use crate::message::{Lapse, Target};
use crate::parameters::ParameterError;
use crate::portion::Portion;
use crate::reading::{ReadingError, Register};
use crate::record::Change;
use crate::release::Reason;
use crate::roster::RosterError;
use crate::slot::Slot;

/// One thing to do, in order.
#[derive(Debug)]
pub enum Output {
    /// Make this durable before doing anything that follows.
    Persist(Change),
    /// Publish with quality of service 1.
    Publish(Publication),
    /// Tell the operator, and count.
    Event(Event),
}

/// A message for the broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where it goes.
    pub topic: String,
    /// The signed message, or its JSON view.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it for those that subscribe later; a hint
    /// that nothing relies on.
    pub retain: bool,
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publication({}, {} B)", self.topic, self.payload.len())
    }
}

/// Why a meter makes no contribution of a slot.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SlotError {
    /// There is no epoch yet, or the slot is not in it.
    #[error("the slot is not in this meter's epoch")]
    NoEpoch,
    /// The slot has not ended.
    #[error("the slot has not ended")]
    NotEnded,
    /// A slot's energy is given once.
    #[error("the energy of the slot, or of a later one, was given already")]
    Again,
    /// The source has no value for a register of the roster.
    #[error("there is no value for register {0}")]
    Missing(Register),
    /// A value that is no reading.
    #[error("register {0}: {1}")]
    Reading(Register, ReadingError),
}

/// Why a meter does not claim a portion.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Obstacle {
    /// What it takes to claim a slot is not there.
    #[error("what this meter contributed is lost")]
    Lost,
    /// A slot is claimed once.
    #[error("it is in another claim")]
    Claimed,
}

/// Why a meter does not prove what it is challenged to.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChallengeError {
    /// The roster asks for no proofs of past slots.
    #[error("the roster has no audits")]
    Mode,
    /// None, more than four, or not in rising order.
    #[error("its slots are not one to four in rising order")]
    Slots,
    /// A slot outside the epoch.
    #[error("slot {0} lies outside the epoch")]
    Outside(Slot),
    /// A slot whose time is over.
    #[error("the deadline of slot {0} has passed")]
    PastDeadline(Slot),
    /// A slot in which this meter is not known to be counted.
    #[error("no listing and no set that this meter knows counts it in slot {0}")]
    NotCounted(Slot),
    /// What it takes to prove it is not there.
    #[error("what this meter contributed to slot {0} is lost")]
    Lost(Slot),
}

/// What an operator may want to know. Never a reading, a sum or a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // Each event's sentence stands beside it.
pub enum Event {
    #[error("invited to epoch {epoch} of {members} members")]
    Invited { epoch: Epoch, members: usize },
    #[error("not joining epoch {epoch}: {error}")]
    InvitationRefused { epoch: Epoch, error: InvitationError },
    #[error("member of epoch {epoch} from slot {first_slot} on")]
    Joined { epoch: Epoch, first_slot: Slot },
    #[error("not a member from slot {first_slot} on, where epoch {epoch} begins")]
    Left { epoch: Epoch, first_slot: Slot },
    #[error("the key share of epoch {epoch} is erased")]
    EpochErased { epoch: Epoch },
    #[error("the ceremony of epoch {epoch}: {error}")]
    CeremonyRefused { epoch: Epoch, error: CeremonyError },
    #[error("{meter} is left out of epoch {epoch}: {conviction}")]
    LeftOut { epoch: Epoch, meter: MeterId, conviction: Conviction },
    #[error("{0}")]
    RosterRefused(RosterError),
    #[error("a message of {} was not taken: {reason}", sender.as_ref().map_or("an unknown sender".into(), ToString::to_string))]
    Rejected { sender: Option<Sender>, reason: String, name: &'static str },
    #[error("no contribution for slot {slot}: {error}")]
    SlotRefused { slot: Slot, error: SlotError },
    #[error("slot {slot} came too late and is not counted")]
    Uncounted { slot: Slot },
    #[error("refused to help with {target}: {reason}")]
    Refused { target: Target, reason: Reason },
    #[error("asking for the final listing of {portion}")]
    Unsettled { portion: Portion },
    #[error(
        "{pooled} slots of this meter in {portion} are not counted and wait to be carried, {void} are void"
    )]
    Pooled { portion: Portion, pooled: u32, void: u32 },
    #[error(
        "the energy of slots {first} to before {end} is more than they can hold: it is dropped"
    )]
    GapRefused { first: Slot, end: Slot },
    #[error(
        "nothing was contributed from slot {first} to before slot {end}: what was used meanwhile \
         waits to be carried"
    )]
    Gap { first: Slot, end: Slot },
    #[error(
        "this meter may be counted in slots {first} to before {end}, of which its disk knows \
         nothing: what waited to be carried is given up"
    )]
    DiskIsOlder { first: Slot, end: Slot },
    #[error("{portion} is not claimed because of slot {slot}: {why}")]
    NotClaimed { portion: Portion, slot: Slot, why: Obstacle },
    #[error("a challenge is not met: {0}")]
    ChallengeRefused(ChallengeError),
    #[error("this meter's contribution to slot {slot} is on time by its receipt, and left out")]
    Omitted { slot: Slot },
    #[error("the set of slot {slot} leaves out {meter}, whose contribution was on time")]
    Omission { meter: MeterId, slot: Slot },
    #[error("evidence is kept: {0}")]
    Evidence(Accusation),
    #[error("epoch {epoch} waits for the {step} of {missing} members")]
    Gathering { epoch: Epoch, step: Step, missing: usize },
    #[error("epoch {epoch} is open from slot {first_slot} on")]
    Opened { epoch: Epoch, first_slot: Slot },
    #[error(
        "the configured parameters or members differ from the roster of epoch {epoch}, which holds"
    )]
    TermsIgnored { epoch: Epoch },
    #[error("the registrar has signed a second roster for epoch {epoch}; the first one holds")]
    SecondRoster { epoch: Epoch },
    #[error("{meter} signed two different contributions for slot {slot}")]
    Conflict { meter: MeterId, slot: Slot },
    #[error("{meter} signed two different claims to {portion}")]
    SecondClaim { meter: MeterId, portion: Portion },
    #[error("the contribution of {meter} for slot {slot} came too late")]
    Late { meter: MeterId, slot: Slot },
    #[error("the claim of {meter} for {portion} was not taken: {reason}")]
    ClaimRefused { meter: MeterId, portion: Portion, reason: &'static str },
    #[error("the share of {holder} for {target} does not verify")]
    BadShare { holder: MeterId, target: Target },
    #[error("{holder} refuses to help: {reason}")]
    HolderRefused { holder: MeterId, reason: String },
    #[error(
        "the listing of {portion} is final: {open} of its slots are billed, {withheld} withheld"
    )]
    Listed { portion: Portion, open: usize, withheld: usize },
    #[error("{meters} members are challenged to prove {slots} contributions of {portion}")]
    Challenged { portion: Portion, meters: usize, slots: usize },
    #[error("{meter} has not proved {slots} contributions of {portion}: {why}")]
    Unproven { meter: MeterId, portion: Portion, slots: usize, why: Lapse },
    #[error("asking members for what may be lost of {slots} slots and {portions} portions")]
    Recalled { slots: usize, portions: usize },
    #[error(
        "epoch {epoch}, of which this database knew nothing, is open from slot {first_slot} on: a \
         member has handed its roster back"
    )]
    HandedBack { epoch: Epoch, first_slot: Slot },
    #[error("slot {slot} was asked about before: its set of {counted} is taken up again")]
    Adopted { slot: Slot, counted: usize },
    #[error("opened {target}, {counted} counted")]
    Combined { target: Target, counted: usize },
    #[error("abandoned {target}: {reason}")]
    Abandoned { target: Target, reason: String },
}

impl Event {
    /// A short name for counters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Invited { .. } => "invited",
            Self::InvitationRefused { .. } => "invitation-refused",
            Self::Joined { .. } => "joined",
            Self::Left { .. } => "left",
            Self::EpochErased { .. } => "epoch-erased",
            Self::CeremonyRefused { .. } => "ceremony-refused",
            Self::LeftOut { .. } => "left-out",
            Self::RosterRefused(_) => "roster-refused",
            Self::Rejected { name, .. } => name,
            Self::SlotRefused { .. } => "slot-refused",
            Self::Uncounted { .. } => "uncounted",
            Self::Refused { .. } => "refused",
            Self::Unsettled { .. } => "unsettled",
            Self::Pooled { .. } => "pooled",
            Self::Gap { .. } => "gap",
            Self::GapRefused { .. } => "gap-refused",
            Self::DiskIsOlder { .. } => "disk-is-older",
            Self::NotClaimed { .. } => "not-claimed",
            Self::ChallengeRefused(_) => "challenge-refused",
            Self::Challenged { .. } => "challenged",
            Self::Unproven { .. } => "unproven",
            Self::Listed { .. } => "listed",
            Self::Omitted { .. } => "omitted",
            Self::Omission { .. } => "omission",
            Self::Evidence(_) => "evidence",
            Self::Gathering { .. } => "gathering",
            Self::Opened { .. } => "opened",
            Self::TermsIgnored { .. } => "terms-ignored",
            Self::SecondRoster { .. } => "second-roster",
            Self::Conflict { .. } => "conflict",
            Self::SecondClaim { .. } => "second-claim",
            Self::Late { .. } => "late",
            Self::ClaimRefused { .. } => "claim-refused",
            Self::BadShare { .. } => "bad-share",
            Self::HolderRefused { .. } => "holder-refused",
            Self::Recalled { .. } => "recalled",
            Self::HandedBack { .. } => "handed-back",
            Self::Adopted { .. } => "adopted",
            Self::Combined { .. } => "combined",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// Whether all is well when this happens.
    #[must_use]
    pub fn is_routine(&self) -> bool {
        matches!(
            self,
            Self::Invited { .. }
                | Self::Joined { .. }
                | Self::EpochErased { .. }
                | Self::Gathering { .. }
                | Self::Opened { .. }
                | Self::Listed { .. }
                | Self::Challenged { .. }
                | Self::Recalled { .. }
                | Self::Adopted { .. }
                | Self::Combined { .. }
        )
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(slot) => write!(f, "slot {slot} of the region"),
            Self::Bill(portion) => write!(f, "the bills of {portion}"),
        }
    }
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bad => "its proof does not verify",
            Self::Silent => "it sent no proof in time",
        })
    }
}

/// Why a meter does not answer an invitation.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvitationError {
    /// A parameter outside its range or below the agent's floor.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The meter is not invited, or under another key.
    #[error("this meter's identity key is not among the invited")]
    NotInvited,
    /// It does not follow the roster of the epoch before.
    #[error("it does not follow the roster of the epoch before")]
    Chain,
    /// It has another length of slots than the epoch before.
    #[error("its slots are not as long as those of the epoch before")]
    SlotSeconds,
    /// The meter was invited to a later attempt.
    #[error("this meter was invited to attempt {0} since")]
    Attempt(u32),
    /// The meter has a share of this epoch, and has not heard its roster.
    #[error("the roster of epoch {0} is not heard yet")]
    Unheard(Epoch),
    /// The meter is a member of this epoch or a later one.
    #[error("this meter is a member of epoch {0}")]
    Open(Epoch),
}
