//! The meter's side of the protocol: a state machine without IO.
//!
//! Readings, messages and time go in through `handle_*`; [`Meter::poll_output`]
//! and [`Meter::poll_timeout`] say what to do and when to call again.

mod doubts;
mod joining;
mod marks;
mod measured;
mod membership;
mod outbox;
mod pools;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aggregation::{Rng, Scheme, Stored as _};

use crate::envelope::{Envelope, Rejection, encode, seal};
use crate::evidence::Evidence;
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::{Identity, IdentityKey};
use crate::keygen::{Candidate, StoredError};
use crate::message::{Kind, State};
use crate::output::{Event, Output, Publication, SlotError};
use crate::parameters::Floors;
use crate::reading::Register;
use crate::record::{Change, Key, Records, Sort};
use crate::retry::Retry;
use crate::roster::AcceptedRoster;
use crate::slot::{Grid, Slot, Timestamp};
use crate::topic::{self, MeterTopic};

use doubts::Doubts;
use marks::Marks;
pub use marks::measured_until;
pub use measured::{Measured, Quantities, Stand, Stands};
pub(crate) use membership::Gap;
use membership::Membership;
pub(crate) use outbox::{Standing, StoredSent, digest as contribution_digest, standings};
use pools::Pools;
pub(crate) use pools::{Pool, place as pool_of};

/// Energy of one register that no final listing counts, in Wh.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// Of slots that no final listing settles yet.
    pub unsettled_wh: u64,
    /// Waiting to be carried.
    pub pooled_wh: u64,
    /// Given up: of void slots, and of those that were never settled.
    pub lost_wh: u64,
}

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

/// What every part of the machine works with.
struct Core {
    terms: Terms,
    identity: Identity,
    rng: Rng,
    started: Timestamp,
    marks: Marks,
    stands: Option<Stands>,
    pools: Pools,
    doubts: Doubts,
    /// Changes that wait for another one, to be durable with it.
    deferred: Vec<Change>,
    outputs: VecDeque<Output>,
    counters: BTreeMap<&'static str, u64>,
    /// The latest epoch of a collector that asks what it lacks.
    asked: Option<Epoch>,
}

impl Core {
    fn event(&mut self, event: Event) {
        if !event.is_routine() {
            *self.counters.entry(event.name()).or_default() += 1;
        }
        self.outputs.push_back(Output::Event(event));
    }

    fn reject(&mut self, sender: Option<Sender>, rejection: Rejection) {
        let (reason, name) = (rejection.to_string(), rejection.name());
        self.event(Event::Rejected { sender, reason, name });
    }

    fn keep_evidence(&mut self, epoch: Epoch, evidence: &Evidence) {
        let key = Key::evidence(epoch, &evidence.digest());
        self.persist(Change::Write(key, encode(evidence).into()));
    }

    fn persist(&mut self, change: Change) {
        let changes = self.deferred.drain(..).chain([change]);
        self.outputs.extend(changes.map(Output::Persist));
    }

    /// Makes a change durable with the next one: until then the disk is as it
    /// was before, which costs nothing but space.
    fn defer(&mut self, change: Change) {
        self.deferred.push(change);
    }

    fn publish(&mut self, topic: MeterTopic, payload: Vec<u8>) {
        let topic = topic::of_meter(&self.terms.region, &self.terms.meter, topic);
        self.outputs.push_back(Output::Publish(Publication { topic, payload, retain: false }));
    }
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

    /// Signs and publishes how the machine is, with its JSON view. The meter
    /// adds its epoch, its slots and its own counters, and hands back the whole.
    pub fn publish_state(&mut self, mut state: State) -> State {
        let (epoch, binding) = match self.epochs.values().next_back() {
            Some(membership) => (membership.roster().epoch(), *membership.roster().digest()),
            None => (Epoch::default(), Digest::NONE),
        };
        let Terms { region, meter, .. } = &self.core.terms;
        state.member_of = (epoch != Epoch::default()).then_some(epoch.0);
        self.count_slots(&mut state);
        state.counters.extend(self.counters());
        let place = (region, epoch, Sender::Meter(meter.clone()));
        let message = seal(&self.core.identity, place, &binding, &state);
        let topic = topic::of_meter(region, meter, MeterTopic::State);
        let view = crate::view::json(region, epoch, &state);
        self.core.outputs.push_back(Output::Publish(Publication {
            topic: topic::json(&topic),
            payload: view,
            retain: false,
        }));
        self.core.publish(MeterTopic::State, message);
        state
    }

    fn count_slots(&self, state: &mut State) {
        for membership in self.epochs.values() {
            let (unsettled, withheld) = membership.open_slots();
            state.unsettled_slots = state.unsettled_slots.saturating_add(unsettled);
            state.withheld_slots = state.withheld_slots.saturating_add(withheld);
        }
        (state.pooled_slots, state.lost_slots) = self.core.pools.slots();
    }

    /// Energy in Wh of each register that this meter was given and that no
    /// final listing counts: unsettled, pooled, and given up.
    #[must_use]
    pub fn uncounted(&self) -> BTreeMap<Register, Uncounted> {
        let mut all: BTreeMap<Register, Uncounted> = BTreeMap::new();
        for energy in self.epochs.values().flat_map(Membership::unsettled_energy) {
            for (register, wh) in energy {
                let of = all.entry(*register).or_default();
                of.unsettled_wh = of.unsettled_wh.saturating_add(*wh);
            }
        }
        for ((register, _), pool) in self.core.pools.all() {
            let of = all.entry(*register).or_default();
            of.pooled_wh = of.pooled_wh.saturating_add(pool.pooled_wh());
            of.lost_wh = of.lost_wh.saturating_add(pool.lost_wh);
        }
        all
    }

    /// What this meter's contribution to a slot holds in Wh, while no final
    /// listing settles it.
    #[must_use]
    pub fn contents(&self, slot: Slot) -> Option<&Quantities> {
        self.epochs.values().find_map(|membership| membership.contents(slot))
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
