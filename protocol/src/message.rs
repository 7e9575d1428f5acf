//! The bodies of all messages. Those that travel once per meter and slot are
//! arrays; those that people read are maps.

mod ceremony;
mod recall;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::evidence::Evidence;
use crate::id::{Digest, MeterId};
use crate::kind::Message;
use crate::members::MemberSet;
use crate::portion::Portion;
use crate::reading::Register;
use crate::slot::Slot;
use crate::tariff::StepName;

pub use crate::kind::Kind;
pub use ceremony::{
    Complaint, Confirmation, Dealing, Dealings, Invitation, Invited, KeyPart, KeyParts, Member,
    Roster,
};
pub use recall::{Answered, Recall, Recollection, Remembered};

macro_rules! bodies {
    ($($body:ident)*) => {
        $(impl Message for $body { const KIND: Kind = Kind::$body; })*
    };
}

bodies! {
    Invitation KeyPart Roster Contribution Receipt Request Share Claim Refusal Outcome Status State
    KeyParts Dealing Dealings Complaint Confirmation Omission
    Listing Endorsement FinalListing Inquiry Evidence
    Challenge Proof Unproven
    Recall Recollection
}

/// One slot's readings of one meter, encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Contribution {
    /// The slot.
    pub slot: Slot,
    /// The scheme's encoding, for each register of the roster.
    pub registers: BTreeMap<Register, ByteBuf>,
    /// The scheme's encoding of the range proof over all registers, where the
    /// roster asks for one with each contribution; none elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_proof: Option<ByteBuf>,
}

/// The collector has a contribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Whose contribution it is.
    pub meter: MeterId,
    /// Its slot.
    pub slot: Slot,
    /// Whether it came before the slot's round closed.
    pub on_time: bool,
    /// Digest of the contribution's message.
    pub contribution: Digest,
}

/// What the collector asks every holder to help with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// The region's sums of a slot: the contributions' messages, whole.
    Region(Slot, Vec<ByteBuf>),
    /// The sums of single meters over a portion: the claims' messages, whole.
    Bill(Portion, Vec<ByteBuf>),
}

impl Request {
    /// The messages whose sums are asked about, whole.
    #[must_use]
    pub fn entries(&self) -> &[ByteBuf] {
        let (Self::Region(_, entries) | Self::Bill(_, entries)) = self;
        entries
    }
}

/// A holder's help with one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Share {
    /// Digest of the request.
    pub request: Digest,
    /// The scheme's encoding of the response.
    pub response: ByteBuf,
}

/// Who was counted in which slots of a portion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Listing {
    /// The portion.
    pub portion: Portion,
    /// Digest of the final listing of the same tariff step whose withheld
    /// slots join this one; [`Digest::NONE`] where there is none.
    pub previous: Digest,
    /// Who was counted in each slot of the portion, in order; nobody in a slot
    /// whose sum was never asked for, and in a void one.
    pub sets: Vec<MemberSet>,
    /// Void slots, each with two requests of the collector for different sets
    /// of it.
    pub void: BTreeMap<Slot, Evidence>,
}

/// A holder agrees with a listing, and signs no other one of its portion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Endorsement {
    /// The portion.
    pub portion: Portion,
    /// Digest of the listing.
    pub listing: Digest,
}

/// A listing that enough holders have endorsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct FinalListing {
    /// The listing's message, whole.
    pub listing: ByteBuf,
    /// The endorsements' messages, whole.
    pub endorsements: Vec<ByteBuf>,
}

/// A member asks for the final listing of a portion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Inquiry {
    /// The portion.
    pub portion: Portion,
}

/// The owner's consent to open its sums over its counted slots that the final
/// listing of a portion opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Claim {
    /// The portion.
    pub portion: Portion,
    /// Digest of its final listing, from which the slots follow.
    pub listing: Digest,
    /// The scheme's encoding of the sum, for each register of the roster.
    pub registers: BTreeMap<Register, ByteBuf>,
}

/// The collector asks a member to prove that what it contributed lies in its
/// range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Challenge {
    /// The member.
    pub meter: MeterId,
    /// One to four slots in which it was counted, in rising order.
    pub slots: Vec<Slot>,
}

/// What a member contributed to some slots lies in its range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Proof {
    /// One to four slots, in rising order.
    pub slots: Vec<Slot>,
    /// The scheme's encoding of a range proof over all of them, for each
    /// register of the roster. Of three slots, it covers the last one twice.
    pub registers: BTreeMap<Register, ByteBuf>,
}

/// A member has not proved that what it contributed lies in its range, and is
/// left out of the next epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    /// The member.
    pub meter: MeterId,
    /// The portion of the slots.
    pub portion: Portion,
    /// The slots that it was asked about and has not proved.
    pub slots: Vec<Slot>,
    /// What it did instead.
    pub why: Lapse,
}

/// What a member did that has not proved what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lapse {
    /// It sent a proof that does not verify.
    Bad,
    /// It sent none in time.
    Silent,
}

/// A holder does not help with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Digest of the request.
    pub request: Digest,
    /// The reason's name.
    pub reason: String,
    /// Digest of the request that was answered for the same target, if the
    /// reason is that there was one.
    pub answered: Option<Digest>,
}

/// A holder's complaint: a set leaves out its contribution, which was receipted
/// as on time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    /// The slot.
    pub slot: Slot,
    /// The receipt's message, whole.
    pub receipt: ByteBuf,
    /// Digest of the request that lists the set.
    pub request: Digest,
}

/// Whose sum it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// All meters of the region.
    Region(crate::id::RegionId),
    /// One meter.
    Meter(MeterId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => write!(f, "region {region}"),
            Self::Meter(meter) => meter.fmt(f),
        }
    }
}

/// A sum, and what it is the sum of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whose sum it is.
    pub subject: Subject,
    /// The register.
    pub register: Register,
    /// The first slot of the span.
    pub first_slot: Slot,
    /// Slots that are in the sum.
    pub slots: u32,
    /// The sum in Wh.
    pub sum_wh: u64,
    /// The meters whose contributions are in the sum.
    pub contributors: Vec<MeterId>,
    /// Members that are not in a region's sum.
    pub uncounted: Vec<MeterId>,
    /// The tariff step of a meter's sum.
    pub step: Option<StepName>,
    /// Slots of the portion in which the meter was not counted.
    pub uncounted_slots: Vec<Slot>,
    /// Slots in which the meter was counted, and that are withheld: they may
    /// join the next listing of their step.
    pub withheld_slots: Vec<Slot>,
    /// Slots of earlier windows that are in a meter's sum.
    pub joined_slots: Vec<Slot>,
    /// Holders whose shares opened the sum.
    pub helpers: Vec<MeterId>,
    /// Holders whose share had not come when the sum was opened.
    pub unanswered: Vec<MeterId>,
    /// Holders that sent a share whose proof does not verify, and no better
    /// one.
    pub culprits: Vec<MeterId>,
}

/// How far a round has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The request is out.
    Requesting,
    /// The result is out.
    Combined,
    /// There will be no result, for this reason.
    Abandoned(String),
}

/// What a round sums up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The region's sums of one slot.
    Region(Slot),
    /// Single meters' sums of one portion.
    Bill(Portion),
}

/// Where a round stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The round.
    pub target: Target,
    /// How far it has come.
    pub phase: Phase,
    /// Members in the round.
    pub counted: Vec<MeterId>,
    /// Members that are not.
    pub uncounted: Vec<MeterId>,
    /// Holders whose share is still missing.
    pub waiting_for: Vec<MeterId>,
    /// Holders that sent a share whose proof does not verify.
    pub culprits: Vec<MeterId>,
}

/// How an agent's machine is. Never a reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of the agent.
    pub version: String,
    /// Where the readings come from; says so where they are simulated.
    pub source: String,
    /// Seconds since the machine started.
    pub uptime_s: Option<u64>,
    /// Load of the machine over one minute, in thousandths.
    pub load_1m_milli: Option<u32>,
    /// Memory that all processes use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory that the agent holds, in bytes.
    pub agent_memory_bytes: Option<u64>,
    /// Free space for the agent's files, in bytes.
    pub disk_free_bytes: Option<u64>,
    /// The hottest sensor in degrees Celsius, where there is one.
    pub temperature_c: Option<i32>,
    /// The epoch that the agent takes part in, if any.
    pub member_of: Option<u32>,
    /// Contributions of which no final listing says whether they are counted.
    pub unsettled_slots: u32,
    /// Slots in which the meter is counted, and that are in no claim of it.
    pub withheld_slots: u32,
    /// Uncounted slots whose energy waits to be carried.
    pub pooled_slots: u32,
    /// Slots whose energy is given up: they are void, or were never settled.
    pub lost_slots: u32,
    /// How often each reason for a rejection or refusal has occurred.
    pub counters: BTreeMap<String, u64>,
}
