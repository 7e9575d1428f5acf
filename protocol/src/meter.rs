//! The meter's side of the protocol: a state machine without IO.
//!
//! Readings, messages and time go in through `handle_*`; [`Meter::poll_output`]
//! and [`Meter::poll_timeout`] say what to do and when to call again.

mod marks;
mod membership;
mod outbox;

use std::collections::{BTreeMap, VecDeque};

use aggregation::{Rng, Scheme};

use crate::envelope::{Envelope, Rejection, seal};
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::{Identity, IdentityKey};
use crate::keygen::{self, Candidate, StoredError};
use crate::message::{Invitation, Kind, State};
use crate::output::{Event, InvitationError, Output, Publication};
use crate::parameters::Floors;
use crate::reading::Register;
use crate::record::{Change, Key, Records, Sort};
use crate::retry::Retry;
use crate::roster::{AcceptedRoster, OwnTerms, RosterError};
use crate::slot::{Grid, Slot, Timestamp};
use crate::topic::{self, MeterTopic};

use marks::Marks;
use membership::Membership;
pub(crate) use outbox::{StoredSent, digest as contribution_digest};

/// Energy of one slot in Wh, by register, before it becomes readings.
pub type Quantities = BTreeMap<Register, u64>;

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
    outputs: VecDeque<Output>,
    counters: BTreeMap<&'static str, u64>,
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

    fn persist(&mut self, change: Change) {
        self.outputs.push_back(Output::Persist(change));
    }

    fn publish(&mut self, topic: MeterTopic, payload: Vec<u8>) {
        let topic = topic::of_meter(&self.terms.region, &self.terms.meter, topic);
        self.outputs.push_back(Output::Publish(Publication { topic, payload, retain: false }));
    }
}

enum Stage<S: Scheme> {
    Waiting,
    Candidate(Candidate<S>, Retry),
    Member(Box<Membership<S>>),
}

/// One meter.
pub struct Meter<S: Scheme> {
    core: Core,
    stage: Stage<S>,
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
        let (outputs, counters) = (VecDeque::new(), BTreeMap::new());
        let marks = Marks::restore(kept)?;
        let core = Core { terms, identity, rng, started: now, marks, outputs, counters };
        let mut meter = Self { core, stage: Stage::Waiting };
        if let Some((_, bytes)) = kept.of(Sort::KeyShare).last() {
            let candidate = Candidate::from_stored(bytes)?;
            let retry = Retry::started(now, &mut meter.core.rng);
            meter.stage = Stage::Candidate(candidate, retry);
        }
        if let Some((_, bytes)) = kept.of(Sort::Roster).last() {
            meter.handle_roster(bytes, now, false);
        }
        if let Stage::Member(membership) = &mut meter.stage {
            membership.restore(&mut meter.core, kept, now)?;
        }
        Ok(meter)
    }

    /// Takes the energy of a slot that has ended.
    pub fn handle_reading(&mut self, slot: Slot, quantities: &Quantities, now: Timestamp) {
        let result = match &mut self.stage {
            Stage::Member(membership) => {
                membership.contribute(&mut self.core, slot, quantities, now)
            }
            _ => Err(crate::output::SlotError::NoEpoch),
        };
        if let Err(error) = result {
            self.core.event(Event::SlotRefused { slot, error });
        }
    }

    /// Takes whatever came in under one of the meter's subscriptions.
    pub fn handle_message(&mut self, message: &[u8], now: Timestamp) {
        let envelope = match Envelope::parse(message) {
            Ok(envelope) => envelope,
            Err(rejection) => return self.core.reject(None, rejection),
        };
        let sender = Some(envelope.header().sender.clone());
        let taken = match envelope.header().kind {
            Kind::Invitation => self.handle_invitation(&envelope, now),
            Kind::Roster => {
                self.handle_roster(message, now, true);
                Ok(())
            }
            Kind::Receipt | Kind::Request => match &mut self.stage {
                Stage::Member(membership) => {
                    membership.handle(&mut self.core, (&envelope, message), now)
                }
                _ => Err(Rejection::Epoch),
            },
            _ => Err(Rejection::Kind),
        };
        if let Err(rejection) = taken {
            self.core.reject(sender, rejection);
        }
    }

    /// Says again what may have been lost with the last connection.
    pub fn handle_connected(&mut self, now: Timestamp) {
        match &mut self.stage {
            Stage::Waiting => {}
            Stage::Candidate(candidate, retry) => send_part(&mut self.core, candidate, retry, now),
            Stage::Member(membership) => membership.resend(&mut self.core, now),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        match &mut self.stage {
            Stage::Candidate(candidate, retry) if retry.due() <= now => {
                send_part(&mut self.core, candidate, retry, now);
            }
            Stage::Member(membership) => membership.handle_timeout(&mut self.core, now),
            _ => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// When to call [`Meter::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Waiting => None,
            Stage::Candidate(_, retry) => Some(retry.due()),
            Stage::Member(membership) => membership.poll_timeout(),
        }
    }

    /// Signs and publishes how the machine is, with its JSON view. The meter
    /// adds its epoch and its own counters.
    pub fn publish_state(&mut self, mut state: State) {
        let (epoch, binding) = match &self.stage {
            Stage::Member(membership) => {
                (membership.roster().epoch(), *membership.roster().digest())
            }
            _ => (Epoch::default(), Digest::NONE),
        };
        let Terms { region, meter, .. } = &self.core.terms;
        state.member_of = (epoch != Epoch::default()).then_some(epoch.0);
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
    }

    /// How often each event that is not routine has occurred.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.core.counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    /// How the epoch's time is cut, and its first slot; none before an epoch.
    #[must_use]
    pub fn grid(&self) -> Option<Grid> {
        match &self.stage {
            Stage::Member(membership) => Some(*membership.roster().grid()),
            _ => None,
        }
    }

    fn handle_invitation(&mut self, envelope: &Envelope, now: Timestamp) -> Result<(), Rejection> {
        let header = envelope.header().clone();
        if header.region != self.core.terms.region {
            return Err(Rejection::Region);
        }
        if header.sender != Sender::Registrar {
            return Err(Rejection::Sender);
        }
        let body: Invitation = envelope.open(&self.core.terms.registrar, &Digest::NONE)?;
        let binding = keygen::digest(&header.region, header.epoch, &body);
        match &mut self.stage {
            Stage::Candidate(candidate, retry) if candidate.place().binding == binding => {
                send_part(&mut self.core, candidate, retry, now);
            }
            Stage::Member(membership) if membership.roster().body().invitation == binding => {}
            _ => match self.check_invitation(header.epoch, &body) {
                Ok(()) => self.accept_invitation(header.epoch, &body, now),
                Err(error) => {
                    self.core.event(Event::InvitationRefused { epoch: header.epoch, error });
                }
            },
        }
        Ok(())
    }

    fn check_invitation(&self, epoch: Epoch, body: &Invitation) -> Result<(), InvitationError> {
        let open = match &self.stage {
            Stage::Waiting => None,
            Stage::Candidate(candidate, _) => Some(candidate.place().epoch).filter(|e| *e > epoch),
            Stage::Member(membership) => Some(membership.roster().epoch()),
        };
        if let Some(open) = open {
            return Err(InvitationError::Open(open));
        }
        body.parameters.check(body.members.len())?;
        self.core.terms.floors.check(&body.parameters)?;
        let own = (&self.core.terms.meter, self.core.identity.key());
        let invited = body.members.iter().any(|member| (&member.meter, member.key) == own);
        if invited { Ok(()) } else { Err(InvitationError::NotInvited) }
    }

    fn accept_invitation(&mut self, epoch: Epoch, body: &Invitation, now: Timestamp) {
        let Core { terms, rng, .. } = &mut self.core;
        let candidate = Candidate::answer(&terms.region, epoch, body, &terms.meter, rng);
        let mut retry = Retry::started(now, rng);
        self.core.outputs.push_back(Output::Persist(Change::Write(
            Key::key_share(epoch),
            candidate.to_stored(),
        )));
        self.core.event(Event::Invited { epoch, members: body.members.len() });
        send_part(&mut self.core, &candidate, &mut retry, now);
        self.stage = Stage::Candidate(candidate, retry);
    }

    fn handle_roster(&mut self, bytes: &[u8], now: Timestamp, is_new: bool) {
        let candidate = match std::mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::Candidate(candidate, retry) => {
                match self.accept_roster(bytes, &candidate) {
                    Ok(roster) => return self.join(bytes, roster, candidate, now, is_new),
                    Err(error) => self.core.event(Event::RosterRefused(error)),
                }
                Stage::Candidate(candidate, retry)
            }
            Stage::Member(membership) => {
                self.compare_roster(bytes, &membership);
                Stage::Member(membership)
            }
            Stage::Waiting => {
                self.core.event(Event::RosterRefused(RosterError::Invitation));
                Stage::Waiting
            }
        };
        self.stage = candidate;
    }

    /// Tells a second roster from the one that holds, said again.
    fn compare_roster(&mut self, bytes: &[u8], membership: &Membership<S>) {
        let terms = &self.core.terms;
        match AcceptedRoster::<S>::signed_digest(bytes, &terms.region, &terms.registrar) {
            Ok(digest) if digest == *membership.roster().digest() => {}
            Ok(_) => self.core.event(Event::SecondRoster { epoch: membership.roster().epoch() }),
            Err(error) => self.core.event(Event::RosterRefused(error)),
        }
    }

    fn accept_roster(
        &self,
        bytes: &[u8],
        candidate: &Candidate<S>,
    ) -> Result<AcceptedRoster<S>, RosterError> {
        let terms = &self.core.terms;
        let roster = AcceptedRoster::open(bytes, &terms.region, &terms.registrar)?;
        if roster.epoch() != candidate.place().epoch {
            return Err(Rejection::Epoch.into());
        }
        roster.check_for_member(&OwnTerms {
            meter: &terms.meter,
            key: &self.core.identity.key(),
            part: candidate.part(),
            invitation: candidate.place().binding,
            previous: candidate.previous(),
            floors: &terms.floors,
        })?;
        Ok(roster)
    }

    fn join(
        &mut self,
        bytes: &[u8],
        roster: AcceptedRoster<S>,
        candidate: Candidate<S>,
        now: Timestamp,
        is_new: bool,
    ) {
        if is_new {
            let record = Change::Write(Key::roster(roster.epoch()), bytes.to_vec().into());
            self.core.outputs.push_back(Output::Persist(record));
        }
        let (epoch, first_slot) = (roster.epoch(), roster.body().first_slot);
        self.core.event(Event::Joined { epoch, first_slot });
        let membership = Membership::new(&self.core, roster, candidate.into_secret(), now);
        self.stage = Stage::Member(Box::new(membership));
    }
}

fn send_part<S: Scheme>(
    core: &mut Core,
    candidate: &Candidate<S>,
    retry: &mut Retry,
    now: Timestamp,
) {
    let message = candidate.message(&core.identity, &core.terms.meter);
    core.publish(MeterTopic::Keygen, message);
    retry.again(now, &mut core.rng);
}
