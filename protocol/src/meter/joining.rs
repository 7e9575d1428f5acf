//! A meter on its way into the next epoch, or out of it.

use std::ops::Bound;
use std::time::Duration;

use aggregation::{Scheme, Stored as _};

use crate::envelope::{Envelope, Rejection};
use crate::evidence::Evidence;
use crate::id::{Digest, Epoch, Sender};
use crate::keygen::{self, Candidate};
use crate::message::{Dealings, Invitation, KeyParts, Kind};
use crate::output::{Event, InvitationError};
use crate::parameters::Threshold;
use crate::record::{Change, Key};
use crate::retry::Retry;
use crate::roster::{AcceptedRoster, OwnShare, OwnTerms, RosterError};
use crate::slot::Timestamp;
use crate::topic::MeterTopic;

use super::membership::Membership;
use super::{Core, Meter, Terms};

/// The shortest time between two times that rosters are handed back: each is
/// about 150 bytes a member.
const HAND_BACK_SPAN: Duration = Duration::from_secs(10);

impl<S: Scheme> Meter<S> {
    pub(super) fn handle_invitation(
        &mut self,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let header = envelope.header().clone();
        if header.region != self.core.terms.region {
            return Err(Rejection::Region);
        }
        if header.sender != Sender::Registrar {
            return Err(Rejection::Sender);
        }
        let body: Invitation = envelope.open(&self.core.terms.registrar, &Digest::NONE)?;
        let binding = keygen::digest(&header.region, header.epoch, &body);
        if let Some((candidate, _)) = &self.candidate
            && candidate.place().binding == binding
        {
            self.say(now);
            self.say_before(Kind::Invitation);
            return Ok(());
        }
        let known = self.epochs.get(&header.epoch).map(|member| member.roster().body().invitation);
        if known == Some(binding) {
            return Ok(());
        }
        match self.check_invitation(header.epoch, &body) {
            Ok(()) => self.accept_invitation(header.epoch, &body, now),
            Err(error) => {
                match error {
                    InvitationError::NotInvited => self.withdraw(header.epoch, body.attempt),
                    InvitationError::Open(_) => {
                        self.core.asked = header.epoch.0.checked_sub(1).map(Epoch);
                    }
                    _ => {}
                }
                self.core.event(Event::InvitationRefused { epoch: header.epoch, error });
            }
        }
        Ok(())
    }

    fn check_invitation(&self, epoch: Epoch, body: &Invitation) -> Result<(), InvitationError> {
        let latest = self.latest().map(AcceptedRoster::epoch).filter(|known| *known >= epoch);
        let candidate = self.candidate.as_ref().map(|(candidate, _)| candidate);
        let later = candidate.map(|candidate| candidate.place().epoch).filter(|at| *at > epoch);
        if let Some(open) = latest.or(later) {
            return Err(InvitationError::Open(open));
        }
        // An invitation may overtake the roster before it, and with a candidate
        // its share goes.
        let waits = |of: &Epoch| epoch.follows(*of) && self.refused != Some(*of);
        let before = candidate.map(|candidate| candidate.place().epoch).filter(waits);
        if let Some(before) = before {
            return Err(InvitationError::Unheard(before));
        }
        let here = candidate.filter(|candidate| candidate.place().epoch == epoch);
        let attempt = here.map_or(0, |candidate| candidate.invitation().attempt);
        if body.attempt < attempt {
            return Err(InvitationError::Attempt(attempt));
        }
        let seconds = |roster: &AcceptedRoster<S>| roster.parameters().slot_seconds;
        if self.latest().is_some_and(|known| seconds(known) != body.parameters.slot_seconds) {
            return Err(InvitationError::SlotSeconds);
        }
        let before = self.latest().filter(|known| epoch.follows(known.epoch()));
        if before.is_some_and(|before| *before.digest() != body.previous) {
            return Err(InvitationError::Chain);
        }
        body.parameters.check(body.members.len())?;
        self.core.terms.floors.check(&body.parameters, body.members.len())?;
        let own = (&self.core.terms.meter, self.core.identity.key());
        let invited = body.members.iter().any(|member| (&member.meter, member.key) == own);
        let in_order = body.members.is_sorted_by(|a, b| a.meter < b.meter);
        if invited && in_order { Ok(()) } else { Err(InvitationError::NotInvited) }
    }

    fn accept_invitation(&mut self, epoch: Epoch, body: &Invitation, now: Timestamp) {
        let Core { terms, rng, .. } = &mut self.core;
        let candidate = Candidate::answer(&terms.region, epoch, body, &terms.meter, rng);
        let Some(candidate) = candidate else { return };
        let retry = Retry::started(now, rng);
        self.core.persist(Change::Write(Key::candidate(), candidate.to_stored()));
        self.core.event(Event::Invited { epoch, members: body.members.len() });
        self.candidate = Some((candidate, retry));
        self.say(now);
    }

    /// Is no candidate any more: a later attempt goes on without it.
    fn withdraw(&mut self, epoch: Epoch, attempt: u32) {
        let is_over = |candidate: &Candidate<S>| {
            candidate.place().epoch == epoch && candidate.invitation().attempt < attempt
        };
        if self.candidate.as_ref().is_some_and(|(candidate, _)| is_over(candidate)) {
            self.forget_candidate();
        }
    }

    fn forget_candidate(&mut self) {
        self.candidate = None;
        self.core.persist(Change::Erase(Key::candidate()));
    }

    /// Says again what came before its step, to a collector that asks for it.
    fn say_before(&mut self, to: Kind) {
        let Some((candidate, _)) = &self.candidate else { return };
        if let Some(message) = candidate.said_before(&self.core.identity, to) {
            self.core.publish(MeterTopic::Keygen, message);
        }
    }

    /// Says what a candidate has to say at its step of the ceremony.
    pub(super) fn say(&mut self, now: Timestamp) {
        let Some((candidate, retry)) = &mut self.candidate else { return };
        for message in candidate.messages(&self.core.identity) {
            self.core.publish(MeterTopic::Keygen, message);
        }
        retry.again(now, &mut self.core.rng);
    }

    /// Takes what the collector passes on of the other candidates.
    pub(super) fn handle_passed_on(
        &mut self,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let Some((candidate, retry)) = &mut self.candidate else { return Ok(()) };
        let header = envelope.header();
        let (place, collector) = (candidate.place().clone(), candidate.invitation().collector);
        if (&header.region, header.epoch) != (&place.region, place.epoch) {
            return Err(Rejection::Epoch);
        }
        if header.sender != Sender::Collector {
            return Err(Rejection::Sender);
        }
        let Core { identity, rng, .. } = &mut self.core;
        let taken = if header.kind == Kind::KeyParts {
            let body: KeyParts = envelope.open(&collector, &place.binding)?;
            candidate.take_parts(&body, identity, rng)
        } else {
            let body: Dealings = envelope.open(&collector, &place.binding)?;
            candidate.take_dealings(&body, identity, rng)
        };
        let (is_new, kind) = (!matches!(taken, Ok(false)), header.kind);
        if taken == Ok(true) {
            *retry = Retry::started(now, rng);
            let stored = candidate.to_stored();
            self.core.persist(Change::Write(Key::candidate(), stored));
        }
        if let Err(error) = taken {
            self.core.event(Event::CeremonyRefused { epoch: place.epoch, error });
        }
        if is_new {
            self.say(now);
        } else {
            self.say_before(kind);
        }
        Ok(())
    }

    pub(super) fn handle_roster(&mut self, envelope: &Envelope, bytes: &[u8], now: Timestamp) {
        let epoch = envelope.header().epoch;
        if let Some(membership) = self.epochs.get(&epoch) {
            let compared = self.compare_roster(bytes, membership);
            return self.tell(compared, epoch);
        }
        let known = self.latest().map(AcceptedRoster::epoch);
        let is_candidate =
            self.candidate.as_ref().is_some_and(|(candidate, _)| candidate.place().epoch == epoch);
        let heard = match known {
            Some(known) if known >= epoch => return self.note_past_roster((epoch, bytes), now),
            None if self.candidate.is_none() => Err(RosterError::Invitation),
            _ if is_candidate => self.join(bytes, now),
            Some(_) => self.leave(bytes),
            None => Err(Rejection::Epoch.into()),
        };
        if let Err(error) = heard {
            self.core.event(Event::RosterRefused(error));
        }
    }

    /// A collector that says the roster of an epoch that is over knows of no
    /// later one.
    fn note_past_roster(&mut self, (epoch, bytes): (Epoch, &[u8]), now: Timestamp) {
        let Some(later) = self.later_than(epoch).next().map(Membership::roster) else { return };
        let Terms { region, registrar, .. } = &self.core.terms;
        let Ok(mut past) = AcceptedRoster::<S>::open(bytes, region, registrar) else { return };
        past.end_before(later.body().first_slot);
        let is_over = past.last_deadline() < now;
        self.core.asked = is_over.then_some(epoch);
    }

    /// The epochs after one that this meter is a member of, in their order.
    fn later_than(&self, epoch: Epoch) -> impl Iterator<Item = &Membership<S>> {
        self.epochs.range((Bound::Excluded(epoch), Bound::Unbounded)).map(|(_, of)| of)
    }

    /// Hands a collector the rosters that it signed after the one that it knows:
    /// it was restored from a copy of that time.
    pub(super) fn hand_back(&mut self, latest: Epoch, now: Timestamp) {
        let is_recent = |last: Timestamp| now < last + HAND_BACK_SPAN;
        if self.handed_back.is_some_and(is_recent) {
            return;
        }
        let later: Vec<_> =
            self.later_than(latest).map(|membership| membership.signed_roster().to_vec()).collect();
        for roster in later {
            self.core.publish(MeterTopic::Recollection, roster);
            self.handed_back = Some(now);
        }
    }

    /// Tells a second roster from the one that holds, said again.
    fn compare_roster(
        &self,
        bytes: &[u8],
        membership: &Membership<S>,
    ) -> Result<Option<Evidence>, RosterError> {
        let terms = &self.core.terms;
        let (region, key) = (&terms.region, terms.registrar);
        let digest = AcceptedRoster::<S>::signed_digest(bytes, region, &key)?;
        let (first, second) = (membership.signed_roster().to_vec().into(), bytes.to_vec().into());
        let evidence = Evidence { key, binding: Digest::NONE, first, second };
        Ok((digest != *membership.roster().digest()).then_some(evidence))
    }

    fn tell(&mut self, compared: Result<Option<Evidence>, RosterError>, epoch: Epoch) {
        match compared {
            Ok(None) => {}
            Ok(Some(evidence)) => {
                self.core.keep_evidence(epoch, &evidence);
                self.core.event(Event::SecondRoster { epoch });
            }
            Err(error) => self.core.event(Event::RosterRefused(error)),
        }
    }

    fn open_roster(&self, bytes: &[u8]) -> Result<AcceptedRoster<S>, RosterError> {
        let terms = &self.core.terms;
        let roster = AcceptedRoster::open(bytes, &terms.region, &terms.registrar)?;
        if let Some(before) = self.latest() {
            roster.check_succession(before)?;
        }
        Ok(roster)
    }

    /// Becomes a member of the epoch that it is a candidate of.
    fn join(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), RosterError> {
        let roster = self.open_roster(bytes)?;
        if roster.member(&self.core.terms.meter).is_none() && self.latest().is_some() {
            // It was left out of a later attempt.
            return self.leave(bytes);
        }
        if let Some((candidate, _)) = &self.candidate {
            let checked = self.check_for_member(&roster, candidate);
            self.refused = checked.is_err().then(|| roster.epoch());
            checked?;
        }
        let Some((candidate, _)) = self.candidate.take() else { return Ok(()) };
        let (epoch, first_slot) = (roster.epoch(), roster.body().first_slot);
        let secret = candidate.into_secret();
        self.core.persist(Change::Write(Key::key_share(epoch), secret.to_stored()));
        self.core.persist(Change::Write(Key::roster(epoch), bytes.to_vec().into()));
        self.core.persist(Change::Erase(Key::candidate()));
        self.core.event(Event::Joined { epoch, first_slot });
        self.enter(roster, bytes.to_vec(), secret, now);
        if let Some(membership) = self.epochs.get_mut(&epoch) {
            membership.begin_doubt(&mut self.core);
        }
        Ok(())
    }

    fn check_for_member(
        &self,
        roster: &AcceptedRoster<S>,
        candidate: &Candidate<S>,
    ) -> Result<(), RosterError> {
        let terms = &self.core.terms;
        let share = match (candidate.confirmed(), roster.parameters().threshold) {
            (Some(confirmed), _) => {
                OwnShare::Dealt { dealings: confirmed.dealings, group: confirmed.group }
            }
            (None, Threshold::All) => OwnShare::Part(candidate.part()),
            (None, Threshold::Of(_)) => return Err(RosterError::Dealings),
        };
        roster.check_for_member(&OwnTerms {
            meter: &terms.meter,
            key: &self.core.identity.key(),
            share,
            invitation: candidate.place().binding,
            previous: candidate.previous(),
            floors: &terms.floors,
        })
    }

    /// Hears of an epoch without this meter.
    fn leave(&mut self, bytes: &[u8]) -> Result<(), RosterError> {
        let roster = self.open_roster(bytes)?;
        let (epoch, first_slot) = (roster.epoch(), roster.body().first_slot);
        self.core.persist(Change::Write(Key::roster(epoch), bytes.to_vec().into()));
        let overtaken = |candidate: &Candidate<S>| candidate.place().epoch <= epoch;
        if self.candidate.as_ref().is_some_and(|(candidate, _)| overtaken(candidate)) {
            self.forget_candidate();
        }
        self.core.event(Event::Left { epoch, first_slot });
        self.stay_outside(roster);
        Ok(())
    }
}
