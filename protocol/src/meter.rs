//! The meter's side of the protocol: a state machine without IO.
//!
//! Readings, messages and time go in through `handle_*`; [`Meter::poll_output`]
//! and [`Meter::poll_timeout`] say what to do and when to call again.

mod core;
mod doubts;
mod joining;
mod marks;
mod measured;
mod membership;
mod outbox;
mod pools;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use aggregation::{Rng, Scheme, Stored as _};

use crate::envelope::{Envelope, Rejection};
use crate::id::{Epoch, MeterId, RegionId};
use crate::identity::{Identity, IdentityKey};
use crate::keygen::{Candidate, StoredError};
use crate::message::Kind;
use crate::output::{Event, Output, SlotError};
use crate::parameters::Floors;
use crate::record::{Change, Key, Records, Sort};
use crate::retry::Retry;
use crate::roster::AcceptedRoster;
use crate::slot::{Grid, Slot, Timestamp};

use core::Core;
use doubts::Doubts;
use marks::Marks;
pub use marks::measured_until;
pub use measured::{Measured, Quantities, Stand, Stands};
pub(crate) use membership::Gap;
use membership::Membership;
pub(crate) use outbox::{Standing, StoredSent, digest as contribution_digest, standings};
use pools::Pools;
pub(crate) use pools::{Pool, place as pool_of};
pub use state::Uncounted;

/// What a meter knows before any message reaches it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its region.
    pub region: RegionId,
    /// Its name there.
    pub meter: MeterId,
    /// The registrar's key, pinned.
    pub registrar: IdentityKey,
    /// The least that it accepts.
    pub floors: Floors,
}

/// One meter.
pub struct Meter<S: Scheme> {
    core: Core,
    /// On the way into the next epoch.
    candidate: Option<(Candidate<S>, Retry)>,
    /// The epochs of which sums may still be opened.
    epochs: BTreeMap<Epoch, Membership<S>>,
    /// The latest roster without this meter, if there is no later one with it.
    without: Option<AcceptedRoster<S>>,
    /// The epoch that it is a candidate of and whose roster does not fit.
    refused: Option<Epoch>,
    /// When rosters were last handed back.
    handed_back: Option<Timestamp>,
}

impl<S: Scheme> Meter<S> {
    /// A meter that starts at `now`, with what it kept from before.
    ///
    /// # Errors
    /// [`StoredError`] where a record is not one that was kept.
    pub fn new(
        terms: Terms,
        identity: Identity,
        kept: &Records,
        rng: Rng,
        now: Timestamp,
    ) -> Result<Self, StoredError> {
        let (outputs, counters, deferred, asked) = Default::default();
        let marks = Marks::restore(kept)?;
        let (stands, pools) = (measured::restore(kept)?, Pools::restore(kept)?);
        let started = now;
        let core = Core {
            terms,
            identity,
            rng,
            started,
            marks,
            stands,
            pools,
            doubts: Doubts::restore(kept)?,
            deferred,
            outputs,
            counters,
            asked,
        };
        let (epochs, candidate, without, refused, handed_back) = Default::default();
        let mut meter = Self { core, candidate, epochs, without, refused, handed_back };
        let last = kept.of(Sort::Roster).last().map(|(key, _)| key.epoch);
        for (key, roster) in kept.of(Sort::Roster) {
            let share = kept.get(&Key::key_share(key.epoch));
            if share.is_some() || Some(key.epoch) == last {
                meter.restore(roster, share, kept, now)?;
            }
        }
        if let Some(bytes) = kept.get(&Key::candidate()) {
            let retry = Retry::started(now, &mut meter.core.rng);
            meter.candidate = Some((Candidate::from_stored(bytes)?, retry));
        }
        Ok(meter)
    }

    /// Goes on with an epoch that was kept, with its key share if it is not
    /// erased.
    fn restore(
        &mut self,
        bytes: &[u8],
        share: Option<&[u8]>,
        kept: &Records,
        now: Timestamp,
    ) -> Result<(), StoredError> {
        let terms = &self.core.terms;
        match AcceptedRoster::open(bytes, &terms.region, &terms.registrar) {
            Ok(roster) => match share {
                Some(share) => {
                    let secret = S::Secret::from_stored(share)?;
                    let epoch = roster.epoch();
                    self.enter(roster, bytes.to_vec(), secret, now);
                    if let Some(membership) = self.epochs.get_mut(&epoch) {
                        membership.restore(&mut self.core, kept, now)?;
                    }
                }
                None => self.stay_outside(roster),
            },
            Err(error) => self.core.event(Event::RosterRefused(error)),
        }
        Ok(())
    }

    /// Takes the energy of a slot that has ended.
    pub fn handle_reading<'a>(
        &mut self,
        slot: Slot,
        measured: impl Into<Measured<'a>>,
        now: Timestamp,
    ) {
        let measured = measured.into();
        let mut epochs = self.epochs.values_mut().rev();
        let result = match epochs.find(|membership| membership.roster().covers(slot)) {
            Some(membership) => membership.contribute(&mut self.core, slot, measured, now),
            None => Err(SlotError::NoEpoch),
        };
        if let Err(error) = result {
            if matches!(error, SlotError::Reading(..)) {
                self.handle_gap((slot, slot.plus(1)), measured);
            }
            self.core.event(Event::SlotRefused { slot, error });
        }
    }

    /// Takes whatever came in under one of the meter's subscriptions.
    pub fn handle_message(&mut self, message: &[u8], now: Timestamp) {
        let envelope = match Envelope::parse(message) {
            Ok(envelope) => envelope,
            Err(rejection) => return self.core.reject(None, rejection),
        };
        let header = envelope.header();
        let sender = Some(header.sender.clone());
        let taken = match header.kind {
            Kind::Invitation => self.handle_invitation(&envelope, now),
            Kind::KeyParts | Kind::Dealings => self.handle_passed_on(&envelope, now),
            Kind::Roster => {
                self.handle_roster(&envelope, message, now);
                Ok(())
            }
            Kind::Receipt
            | Kind::Request
            | Kind::Listing
            | Kind::FinalListing
            | Kind::Challenge
            | Kind::Recall => match self.epochs.get_mut(&header.epoch) {
                Some(member) => member.handle(&mut self.core, (&envelope, message), now),
                None => Err(Rejection::Epoch),
            },
            _ => Err(Rejection::Kind),
        };
        if let Err(rejection) = taken {
            self.core.reject(sender, rejection);
        }
        if let Some(latest) = self.core.asked.take() {
            self.hand_back(latest, now);
        }
    }

    /// Says again what may have been lost with the last connection.
    pub fn handle_connected(&mut self, now: Timestamp) {
        self.say(now);
        for membership in self.epochs.values_mut() {
            membership.resend(&mut self.core, now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.candidate.as_ref().is_some_and(|(_, retry)| retry.due() <= now) {
            self.say(now);
        }
        for membership in self.epochs.values_mut() {
            membership.handle_timeout(&mut self.core, now);
        }
        self.erase_what_is_over(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// When to call [`Meter::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let candidate = self.candidate.as_ref().map(|(_, retry)| retry.due());
        let members = self.epochs.values();
        let due = members.clone().filter_map(Membership::poll_timeout);
        let over = members.map(|membership| membership.roster().last_deadline() + MOMENT);
        due.chain(over).chain(candidate).min()
    }

    /// Whether a slot belongs to an epoch that this meter takes part in.
    #[must_use]
    pub fn takes_part(&self, slot: Slot) -> bool {
        self.epochs.values().any(|membership| membership.roster().covers(slot))
    }

    /// How often each event that is not routine has occurred.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.core.counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    /// How the time of the earliest epoch is cut that the meter still takes
    /// part in; all of them have the same slots. None before the first one.
    #[must_use]
    pub fn grid(&self) -> Option<Grid> {
        self.epochs.values().next().map(|membership| *membership.roster().grid())
    }

    /// The latest roster that the meter knows.
    fn latest(&self) -> Option<&AcceptedRoster<S>> {
        let member = self.epochs.values().next_back().map(Membership::roster);
        member.into_iter().chain(&self.without).max_by_key(|roster| roster.epoch())
    }

    /// Takes its place in an epoch, which ends those before.
    fn enter(
        &mut self,
        roster: AcceptedRoster<S>,
        signed: Vec<u8>,
        secret: S::Secret,
        now: Timestamp,
    ) {
        let (epoch, first_slot) = (roster.epoch(), roster.body().first_slot);
        self.end_before(first_slot);
        self.forget_rosters(epoch);
        let membership = Membership::new(&self.core, (roster, signed), secret, now);
        self.epochs.insert(epoch, membership);
    }

    fn stay_outside(&mut self, roster: AcceptedRoster<S>) {
        self.end_before(roster.body().first_slot);
        self.forget_rosters(roster.epoch());
        self.without = Some(roster);
    }

    /// Forgets the roster before this epoch that it was not a member under.
    fn forget_rosters(&mut self, before: Epoch) {
        if let Some(known) = self.without.take_if(|known| known.epoch() < before) {
            self.core.persist(Change::Erase(Key::roster(known.epoch())));
        }
    }

    fn end_before(&mut self, first_slot: Slot) {
        for membership in self.epochs.values_mut() {
            membership.end_before(first_slot);
        }
    }

    /// Erases the key shares of epochs whose last deadline has passed, and all
    /// that only they need.
    fn erase_what_is_over(&mut self, now: Timestamp) {
        let over = |membership: &Membership<S>| membership.roster().last_deadline() < now;
        let over = self.epochs.iter().filter(|(_, membership)| over(membership));
        let over: Vec<_> = over.map(|(epoch, _)| *epoch).collect();
        for epoch in over {
            let Some(mut membership) = self.epochs.remove(&epoch) else { continue };
            membership.give_up(&mut self.core);
            self.core.persist(Change::Erase(Key::key_share(epoch)));
            for sort in [
                Sort::Sent,
                Sort::Standings,
                Sort::Answer,
                Sort::Bill,
                Sort::Claim,
                Sort::Listing,
                Sort::Final,
                Sort::Gap,
                Sort::Doubt,
            ] {
                self.core.persist(Change::EraseBefore(sort, epoch, u64::MAX));
            }
            self.core.event(Event::EpochErased { epoch });
            if self.latest().is_none_or(|latest| latest.epoch() < epoch) {
                self.without = Some(membership.into_roster());
            } else {
                self.core.persist(Change::Erase(Key::roster(epoch)));
            }
        }
    }
}

/// Deadlines include their last millisecond.
const MOMENT: Duration = Duration::from_millis(1);
