//! The roster: members, keys and parameters of one epoch, and every check that
//! a member makes before it takes part.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use aggregation::{Canonical as _, Context, Participant, Scheme};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use thiserror::Error;

use crate::envelope::{Envelope, Rejection, encode};
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::IdentityKey;
use crate::message::Roster;
use crate::reading::Register;
use crate::slot::{Grid, Slot, Timestamp};
use crate::statement::Place;

/// How many holders it takes to open a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// Every member.
    All,
}

/// What holds for an epoch, the same for all members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Parameters {
    /// Name of the scheme.
    pub scheme: String,
    /// How many holders it takes to open a sum.
    pub threshold: Threshold,
    /// Honest contributions that every region sum holds at least.
    pub min_contributors: u16,
    /// Members that may collude with the collector.
    pub max_corrupted: u16,
    /// Slots that every bill holds at least.
    pub min_slots: u16,
    /// Length of a slot in seconds.
    pub slot_seconds: NonZeroU32,
    /// Slots in a billing window.
    pub window_slots: NonZeroU32,
    /// Seconds after the end of a slot in which contributions still count.
    pub grace_s: u32,
    /// Seconds after the grace in which a target may be opened.
    pub deadline_s: u32,
    /// Most that one contribution holds, in Wh: 2^16 - 1 or 2^32 - 1.
    pub max_wh_per_slot: u32,
    /// What is counted, in rising order.
    pub registers: Vec<Register>,
}

/// A parameter outside its range.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key} = {value}: accepted is {accepted}")]
pub struct ParameterError {
    /// The parameter.
    pub key: &'static str,
    /// What was given.
    pub value: String,
    /// What would be accepted.
    pub accepted: String,
}

fn check(
    legal: bool,
    key: &'static str,
    value: &dyn fmt::Display,
    accepted: &dyn fmt::Display,
) -> Result<(), ParameterError> {
    if legal {
        return Ok(());
    }
    Err(ParameterError { key, value: value.to_string(), accepted: accepted.to_string() })
}

fn within<T: Copy + PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ParameterError> {
    let accepted = format!("{} to {}", range.start(), range.end());
    check(range.contains(&value), key, &value, &accepted)
}

impl Parameters {
    /// Checks every parameter against its range and against the others, for a
    /// region of `members` members.
    ///
    /// # Errors
    /// The first parameter that is outside its range.
    pub fn check(&self, members: usize) -> Result<(), ParameterError> {
        let (slots, needed) = (self.window_slots.get(), self.contributors_needed());
        within("slot_seconds", self.slot_seconds.get(), 1..=86_400)?;
        within("window_slots", slots, 2..=35_136)?;
        within("min_slots", u32::from(self.min_slots), 2..=slots)?;
        within("min_contributors", self.min_contributors, 2..=u16::MAX)?;
        within("min_contributors + max_corrupted", needed, 2..=members)?;
        within("grace_s", self.grace_s, 0..=86_400)?;
        within("deadline_s", self.deadline_s, 1..=31_622_400)?;
        let max_wh = self.max_wh_per_slot;
        let known = [u32::from(u16::MAX), u32::MAX].contains(&max_wh);
        check(known, "max_wh_per_slot", &max_wh, &"65535 or 4294967295")?;
        let distinct = self.registers.is_sorted_by(|a, b| a < b) && !self.registers.is_empty();
        let names: Vec<_> = self.registers.iter().map(|r| r.as_str()).collect();
        check(distinct, "registers", &names.join(", "), &"import, export or both, in this order")
    }

    /// Contributions that a region sum needs, so that `min_contributors` of
    /// them are honest whatever the collector leaves out.
    #[must_use]
    pub fn contributors_needed(&self) -> usize {
        usize::from(self.min_contributors) + usize::from(self.max_corrupted)
    }

    /// The grid that starts at `origin`.
    #[must_use]
    pub fn grid(&self, origin: Slot) -> Grid {
        Grid { slot_seconds: self.slot_seconds, window_slots: self.window_slots, origin }
    }

    /// For how long after the end of a slot contributions still count.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_s.into())
    }

    /// For how long after the grace a target may be opened.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s.into())
    }
}

/// The least that an agent accepts, whatever the registrar signs. No message
/// lowers a floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floors {
    /// The scheme that the agent runs.
    pub scheme: String,
    /// Floor of [`Parameters::threshold`].
    pub threshold: Threshold,
    /// Floor of [`Parameters::min_contributors`].
    pub min_contributors: u16,
    /// Floor of [`Parameters::max_corrupted`].
    pub max_corrupted: u16,
    /// Floor of [`Parameters::min_slots`].
    pub min_slots: u16,
    /// Floor of [`Parameters::slot_seconds`].
    pub slot_seconds: u32,
}

impl Floors {
    /// Whether parameters keep to the floors.
    ///
    /// # Errors
    /// The first parameter below its floor.
    pub fn check(&self, given: &Parameters) -> Result<(), ParameterError> {
        fn floor<T: Copy + PartialOrd + fmt::Display>(
            key: &'static str,
            given: T,
            floor: T,
        ) -> Result<(), ParameterError> {
            let accepted = format!("at least {floor}, this agent's own floor");
            check(given >= floor, key, &given, &accepted)
        }
        check(given.scheme == self.scheme, "scheme", &given.scheme, &self.scheme)?;
        check(given.threshold >= self.threshold, "threshold", &"lower", &"all")?;
        floor("min_contributors", given.min_contributors, self.min_contributors)?;
        floor("max_corrupted", given.max_corrupted, self.max_corrupted)?;
        floor("min_slots", given.min_slots, self.min_slots)?;
        floor("slot_seconds", given.slot_seconds.get(), self.slot_seconds)
    }
}

/// A member as the roster names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Member {
    /// The member.
    pub meter: MeterId,
    /// The key that it signs with.
    pub key: IdentityKey,
    /// The scheme's encoding of its key part with the proof of possession.
    pub part: ByteBuf,
}

/// The check that a roster failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RosterError {
    /// Its form or signature.
    #[error("roster: {0}")]
    Rejected(#[from] Rejection),
    /// A parameter outside its range or below the agent's floor.
    #[error("roster: {0}")]
    Parameter(#[from] ParameterError),
    /// Members that are not distinct and in order, or too many.
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
}

/// A roster that passed every check that anyone can make.
pub struct AcceptedRoster<S> {
    place: Place,
    body: Roster,
    scheme: S,
    grid: Grid,
}

impl<S: Scheme> AcceptedRoster<S> {
    /// Checks a signed roster: the registrar's signature, parameters, members,
    /// proofs of possession, and the group key, which is computed anew.
    ///
    /// # Errors
    /// The check that failed.
    pub fn open(
        bytes: &[u8],
        region: &RegionId,
        registrar: &IdentityKey,
    ) -> Result<Self, RosterError> {
        let envelope = Envelope::parse(bytes)?;
        let header = envelope.header();
        if header.region != *region {
            return Err(Rejection::Region.into());
        }
        if header.sender != Sender::Registrar {
            return Err(Rejection::Sender.into());
        }
        let body: Roster = envelope.open(registrar, &Digest::NONE)?;
        check_form(&body)?;
        let epoch = header.epoch;
        let binding = digest(region, epoch, &body);
        let scheme = group(&body, region, epoch)?;
        let grid = body.parameters.grid(body.first_slot);
        let place = Place { region: region.clone(), epoch, binding };
        Ok(Self { place, body, scheme, grid })
    }

    /// Checks what only a member can: its floors, its own place in the roster,
    /// and that this is the epoch that it agreed to.
    ///
    /// # Errors
    /// The check that failed.
    pub fn check_for_member(&self, own: &OwnTerms<'_>) -> Result<(), RosterError> {
        own.floors.check(&self.body.parameters)?;
        let (_, member) = self.member(own.meter).ok_or(RosterError::NotAMember)?;
        if member.key != *own.key || *member.part != *own.part {
            return Err(RosterError::OwnKey);
        }
        if self.body.invitation != own.invitation {
            return Err(RosterError::Invitation);
        }
        if self.body.previous != own.previous {
            return Err(RosterError::Chain);
        }
        Ok(())
    }

    /// Where statements of this epoch are made.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The digest that every message of the epoch is bound to.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.place.binding
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.place.epoch
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &RegionId {
        &self.place.region
    }

    /// What the registrar signed.
    #[must_use]
    pub fn body(&self) -> &Roster {
        &self.body
    }

    /// What holds for the epoch.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.body.parameters
    }

    /// The group and its key.
    #[must_use]
    pub fn scheme(&self) -> &S {
        &self.scheme
    }

    /// How the epoch's time is cut.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Whether a slot belongs to the epoch.
    #[must_use]
    pub fn covers(&self, slot: Slot) -> bool {
        (self.body.first_slot..self.body.end_slot).contains(&slot)
    }

    /// A member and its position in the group.
    #[must_use]
    pub fn member(&self, meter: &MeterId) -> Option<(Participant, &Member)> {
        let at = self.body.members.binary_search_by(|m| m.meter.cmp(meter)).ok()?;
        Some((participant(at), self.body.members.get(at)?))
    }

    /// The member at a position.
    #[must_use]
    pub fn meter(&self, of: Participant) -> Option<&MeterId> {
        self.body.members.get(usize::from(of.0)).map(|member| &member.meter)
    }

    /// All members with their positions.
    pub fn participants(&self) -> impl Iterator<Item = (Participant, &MeterId)> {
        self.body.members.iter().enumerate().map(|(at, m)| (participant(at), &m.meter))
    }

    /// Opens a member's message of this epoch.
    ///
    /// # Errors
    /// See [`Rejection`].
    pub fn open_from_member<M: crate::envelope::Message>(
        &self,
        envelope: &Envelope,
    ) -> Result<(MeterId, M), Rejection> {
        self.check_place(envelope)?;
        let Sender::Meter(meter) = &envelope.header().sender else {
            return Err(Rejection::Sender);
        };
        let (_, member) = self.member(meter).ok_or(Rejection::Sender)?;
        Ok((meter.clone(), envelope.open(&member.key, self.digest())?))
    }

    /// Opens the collector's message of this epoch.
    ///
    /// # Errors
    /// See [`Rejection`].
    pub fn open_from_collector<M: crate::envelope::Message>(
        &self,
        envelope: &Envelope,
    ) -> Result<M, Rejection> {
        self.check_place(envelope)?;
        if envelope.header().sender != Sender::Collector {
            return Err(Rejection::Sender);
        }
        envelope.open(&self.body.collector, self.digest())
    }

    fn check_place(&self, envelope: &Envelope) -> Result<(), Rejection> {
        let header = envelope.header();
        if header.region != self.place.region {
            return Err(Rejection::Region);
        }
        if header.epoch != self.place.epoch {
            return Err(Rejection::Epoch);
        }
        Ok(())
    }

    /// When contributions to a slot stop to count.
    #[must_use]
    pub fn slot_closes(&self, slot: Slot) -> Timestamp {
        self.grid.end(slot) + self.parameters().grace()
    }
}

/// What a member compares a roster with.
pub struct OwnTerms<'a> {
    /// The member.
    pub meter: &'a MeterId,
    /// Its identity key.
    pub key: &'a IdentityKey,
    /// Its key part as it sent it.
    pub part: &'a [u8],
    /// Digest of the invitation that it answered.
    pub invitation: Digest,
    /// Digest of the roster of the epoch before.
    pub previous: Digest,
    /// The least that it accepts.
    pub floors: &'a Floors,
}

/// The digest that stands for a roster: of region, epoch and the whole body.
#[must_use]
pub fn digest(region: &RegionId, epoch: Epoch, body: &Roster) -> Digest {
    Digest::of("roster", &encode(&(region, epoch, body)))
}

fn participant(at: usize) -> Participant {
    // `check_form` refuses rosters of more members than fit.
    Participant(u16::try_from(at).unwrap_or(u16::MAX))
}

fn check_form(body: &Roster) -> Result<(), RosterError> {
    body.parameters.check(body.members.len())?;
    let ordered = body.members.is_sorted_by(|a, b| a.meter < b.meter);
    if !ordered || body.members.len() > usize::from(u16::MAX) {
        return Err(RosterError::Members);
    }
    let window = u64::from(body.parameters.window_slots.get());
    match body.end_slot.since(body.first_slot) {
        Some(slots) if slots > 0 && slots % window == 0 => Ok(()),
        _ => Err(RosterError::Slots),
    }
}

fn group<S: Scheme>(body: &Roster, region: &RegionId, epoch: Epoch) -> Result<S, RosterError> {
    let named = &body.parameters.scheme;
    check(named == S::NAME, "scheme", named, &S::NAME)?;
    let place = Place { region: region.clone(), epoch, binding: body.invitation };
    let mut parts = Vec::with_capacity(body.members.len());
    for member in &body.members {
        let part = S::KeyPart::from_bytes(&member.part)
            .ok()
            .filter(|part| S::verify_key_part(part, Context(&place.key_part(&member.meter))));
        parts.push(part.ok_or_else(|| RosterError::KeyPart(member.meter.clone()))?);
    }
    let scheme = S::group(&parts).map_err(|_| RosterError::GroupKey)?;
    if scheme.group_key() == *body.group_key { Ok(scheme) } else { Err(RosterError::GroupKey) }
}
