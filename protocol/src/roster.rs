//! The roster: members, keys and parameters of one epoch, and every check that
//! a member makes before it takes part.

mod error;
mod group;
mod own;

use aggregation::{Participant, Scheme};

use crate::envelope::{Envelope, Rejection, encode};
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::IdentityKey;
use crate::message::{Invitation, Invited, Member, Roster};
use crate::parameters::Parameters;
use crate::slot::{Grid, Slot, Timestamp, Window};
use crate::statement::Place;
use crate::tariff::StepId;

pub use error::RosterError;
use group::group;
pub use own::{OwnShare, OwnTerms};

/// A roster that passed every check that anyone can make.
pub struct AcceptedRoster<S> {
    place: Place,
    body: Roster,
    scheme: S,
    grid: Grid,
    /// First slot after the epoch, also where it ended early.
    end_slot: Slot,
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
        let (epoch, body) = read(bytes, region, registrar)?;
        Self::checked(region, epoch, body)
    }

    /// Reads a roster of whatever region that nobody has to have signed: every
    /// other check is made. It is the roster of those who know its digest.
    ///
    /// # Errors
    /// The check that failed.
    pub fn peek(bytes: &[u8]) -> Result<Self, RosterError> {
        let envelope = Envelope::parse(bytes)?;
        let header = envelope.header();
        Self::checked(&header.region, header.epoch, envelope.peek()?)
    }

    fn checked(region: &RegionId, epoch: Epoch, body: Roster) -> Result<Self, RosterError> {
        check_form(&body)?;
        let binding = digest(region, epoch, &body);
        let scheme = group(&body, region, epoch)?;
        let grid = body.parameters.grid(body.first_slot);
        let place = Place { region: region.clone(), epoch, binding };
        let end_slot = body.end_slot;
        Ok(Self { place, body, scheme, grid, end_slot })
    }

    /// The digest of a roster that the registrar signed, without any other
    /// check.
    ///
    /// # Errors
    /// [`RosterError::Rejected`].
    pub fn signed_digest(
        bytes: &[u8],
        region: &RegionId,
        registrar: &IdentityKey,
    ) -> Result<Digest, RosterError> {
        let (epoch, body) = read(bytes, region, registrar)?;
        Ok(digest(region, epoch, &body))
    }

    /// Checks that the epoch of this roster may follow that of `before`: of
    /// the same length of slots, it begins with a later window of it, or after
    /// it.
    ///
    /// # Errors
    /// [`RosterError::Chain`] or [`RosterError::Succession`].
    pub fn check_succession(&self, before: &Self) -> Result<(), RosterError> {
        if self.epoch().follows(before.epoch()) && self.body.previous != *before.digest() {
            return Err(RosterError::Chain);
        }
        let first = self.body.first_slot;
        let whole = before.grid.window_of(first).map(|window| before.grid.first_slot(window));
        let inside = whole == Some(first) && first > before.body.first_slot;
        let ends_on_grid = first >= before.body.end_slot || inside;
        let same = before.parameters().slot_seconds == self.parameters().slot_seconds;
        if same && ends_on_grid { Ok(()) } else { Err(RosterError::Succession) }
    }

    /// Ends the epoch before its last slot, where the next one begins.
    pub fn end_before(&mut self, next: Slot) {
        self.end_slot = self.end_slot.min(next).max(self.body.first_slot);
    }

    /// Ends each epoch where the next one begins, of rosters in order.
    pub fn end_in_turn(rosters: &mut [Self]) {
        let firsts: Vec<_> = rosters.iter().skip(1).map(|next| next.body.first_slot).collect();
        for (roster, next) in rosters.iter_mut().zip(firsts) {
            roster.end_before(next);
        }
    }

    /// First slot after the epoch.
    #[must_use]
    pub fn end_slot(&self) -> Slot {
        self.end_slot
    }

    /// The invitation to which a roster of these terms is the answer.
    fn invitation(&self) -> Invitation {
        let invited = |member: &Member| Invited { meter: member.meter.clone(), key: member.key };
        Invitation {
            previous: self.body.previous,
            attempt: self.body.attempt,
            collector: self.body.collector,
            parameters: self.body.parameters.clone(),
            members: self.body.members.iter().map(invited).collect(),
        }
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
        (self.body.first_slot..self.end_slot).contains(&slot)
    }

    /// A member and its position in the group.
    #[must_use]
    pub fn member(&self, meter: &MeterId) -> Option<(Participant, &Member)> {
        let at = self.body.members.binary_search_by(|m| m.meter.cmp(meter)).ok()?;
        Some((participant(at), self.body.members.get(at)?))
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

    /// When the last sum of the epoch may be opened.
    #[must_use]
    pub fn last_deadline(&self) -> Timestamp {
        let closes = self.grid.start(self.end_slot) + self.parameters().grace();
        closes + self.parameters().deadline()
    }

    /// When contributions to a slot stop to count.
    #[must_use]
    pub fn slot_closes(&self, slot: Slot) -> Timestamp {
        self.grid.end(slot) + self.parameters().grace()
    }

    /// Until when the sums of a slot may be opened.
    #[must_use]
    pub fn slot_deadline(&self, slot: Slot) -> Timestamp {
        self.slot_closes(slot) + self.parameters().deadline()
    }

    /// Until when the bills of a window may be opened.
    #[must_use]
    pub fn window_deadline(&self, window: Window) -> Timestamp {
        self.slot_deadline(self.grid.last_slot(window))
    }

    /// The tariff step that a slot begins in.
    #[must_use]
    pub fn step_of(&self, slot: Slot) -> StepId {
        self.parameters().tariff.step_of(slot, self.grid.slot_seconds)
    }

    /// The slots of a window that begin in a tariff step, in order.
    #[must_use]
    pub fn step_slots(&self, window: Window, step: StepId) -> Vec<Slot> {
        let first = self.grid.first_slot(window);
        let slots = (0..self.grid.window_slots.get()).map(|at| first.plus(at.into()));
        slots.filter(|slot| self.step_of(*slot) == step).collect()
    }
}

/// The digest that stands for a roster: of region, epoch and the whole body.
#[must_use]
pub fn digest(region: &RegionId, epoch: Epoch, body: &Roster) -> Digest {
    Digest::of("roster", &encode(&(region, epoch, body)))
}

fn read(
    bytes: &[u8],
    region: &RegionId,
    registrar: &IdentityKey,
) -> Result<(Epoch, Roster), Rejection> {
    let envelope = Envelope::parse(bytes)?;
    let header = envelope.header();
    if header.region != *region {
        return Err(Rejection::Region);
    }
    if header.sender != Sender::Registrar {
        return Err(Rejection::Sender);
    }
    Ok((header.epoch, envelope.open(registrar, &Digest::NONE)?))
}

fn participant(at: usize) -> Participant {
    // `Parameters::check` refuses more members than fit.
    Participant(u16::try_from(at).unwrap_or(u16::MAX))
}

fn check_form(body: &Roster) -> Result<(), RosterError> {
    body.parameters.check(body.members.len())?;
    if !body.members.is_sorted_by(|a, b| a.meter < b.meter) {
        return Err(RosterError::Members);
    }
    let window = u64::from(body.parameters.window_slots.get());
    match body.end_slot.since(body.first_slot) {
        Some(slots) if slots > 0 && slots % window == 0 => Ok(()),
        _ => Err(RosterError::Slots),
    }
}
