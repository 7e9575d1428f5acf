//! The rounds of an epoch: what comes in, and what is published.

mod intake;
mod omissions;
mod schedule;

use std::collections::BTreeMap;
use std::time::Duration;

use aggregation::Scheme;

use crate::entry::{self, Entry, EntryError};
use crate::envelope::{Envelope, Message, Rejection, seal};
use crate::id::{MeterId, Sender};
use crate::message::{Confirmation, KeyPart, Kind, Receipt, Refusal, Share, Subject, Target};
use crate::meter::contribution_digest;
use crate::output::Event;
use crate::reading::Register;
use crate::record::Records;
use crate::roster::AcceptedRoster;
use crate::round::{Admission, Round, ShareError};
use crate::slot::{Slot, Timestamp, Window};
use crate::topic::CollectorTopic;

use super::Core;

/// How far a member's clock may run ahead of the collector's.
const CLOCK_AHEAD: Duration = Duration::from_secs(2);

/// How long a connection may be dead before anyone notices.
const UNNOTICED: Duration = Duration::from_mins(1);

/// Later than any instant.
const NEVER: Timestamp = Timestamp(u64::MAX);

pub(super) struct Book<S: Scheme> {
    roster: AcceptedRoster<S>,
    signed_roster: Vec<u8>,
    rounds: BTreeMap<Target, Round<S>>,
    /// The slot whose round closes next.
    next_slot: Slot,
    /// The window whose bills are asked for next.
    next_window: Window,
    next_republish: Option<Timestamp>,
    /// Results from then on may not have been heard.
    unheard_since: Timestamp,
    online_since: Option<Timestamp>,
    forecasts: BTreeMap<(Subject, Register), u64>,
}

impl<S: Scheme> Book<S> {
    pub(super) fn new(
        roster: AcceptedRoster<S>,
        signed_roster: Vec<u8>,
        _kept: &Records,
        now: Timestamp,
    ) -> Self {
        let next_slot = roster.grid().slot_at(now).max(roster.body().first_slot);
        let next_window = roster.grid().window_of(next_slot).unwrap_or(Window(0));
        let (rounds, next_republish, forecasts) = Default::default();
        Self {
            roster,
            signed_roster,
            rounds,
            next_slot,
            next_window,
            next_republish,
            unheard_since: NEVER,
            online_since: Some(now),
            forecasts,
        }
    }

    pub(super) fn roster(&self) -> &AcceptedRoster<S> {
        &self.roster
    }

    /// Ends the epoch where the next one begins.
    pub(super) fn end_before(&mut self, next: Slot) {
        self.roster.end_before(next);
    }

    pub(super) fn publish_roster(&self, core: &mut Core<S>) {
        core.publish(&CollectorTopic::Roster, self.signed_roster.clone(), true);
    }

    /// Sends the roster again to a member that is a candidate still.
    pub(super) fn answer_candidate(
        &self,
        core: &mut Core<S>,
        envelope: &Envelope,
    ) -> Result<(), EntryError> {
        let Sender::Meter(meter) = &envelope.header().sender else {
            return Err(Rejection::Sender.into());
        };
        let (_, member) = self.roster.member(meter).ok_or(Rejection::Sender)?;
        let invitation = &self.roster.body().invitation;
        match envelope.header().kind {
            Kind::Confirmation => {
                envelope.open::<Confirmation>(&member.key, invitation)?;
            }
            _ => {
                envelope.open::<KeyPart>(&member.key, invitation)?;
            }
        }
        self.publish_roster(core);
        Ok(())
    }

    /// Notes that what was published lately may be lost.
    pub(super) fn handle_disconnected(&mut self, now: Timestamp) {
        let Some(online_since) = self.online_since.take() else { return };
        // What was said at its beginning has arrived if it lived on unnoticed.
        if now.since(online_since) > 2 * UNNOTICED {
            self.unheard_since = NEVER;
        }
        self.unheard_since = self.unheard_since.min(now - UNNOTICED);
    }

    /// Says again what may be lost, and asks for what is open.
    pub(super) fn handle_connected(&mut self, core: &mut Core<S>, now: Timestamp) {
        self.publish_roster(core);
        let was_lost = self.online_since.replace(now).is_none();
        let since = if was_lost { self.unheard_since } else { NEVER };
        let targets: Vec<_> = self.rounds.keys().copied().collect();
        for target in targets {
            self.publish_outcomes(core, target, since);
        }
        self.publish_requests(core, now);
    }

    /// Asks again for what is open, and says where it stands.
    pub(super) fn publish_requests(&mut self, core: &mut Core<S>, now: Timestamp) {
        for (target, round) in &self.rounds {
            if let Some(request) = round.request() {
                core.publish(&CollectorTopic::Request, request.to_vec(), false);
                self.publish_status(core, *target);
            }
        }
        self.schedule_republish(now);
    }

    /// Takes a contribution whose proofs were checked.
    fn handle_contribution(
        &mut self,
        core: &mut Core<S>,
        entry: Entry<S>,
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let Target::Region(slot) = entry.target else { return Err(EntryError::Outside) };
        let meter = entry.meter.clone();
        let contribution = contribution_digest(&entry.message);
        let Some(admission) = self.admit(entry) else {
            // It may have been counted before this collector started: no
            // receipt would be true.
            core.event(Event::Late { meter, slot });
            return Ok(());
        };
        match admission {
            Admission::Conflict => {
                core.event(Event::Conflict { meter, slot });
                return Ok(());
            }
            Admission::Late => core.event(Event::Late { meter: meter.clone(), slot }),
            Admission::Counted | Admission::Known => {}
        }
        let on_time = admission != Admission::Late;
        self.receipt(core, &Receipt { meter, slot, on_time, contribution });
        self.close_slots(core, now);
        Ok(())
    }

    /// Offers an entry whose proofs were checked to its round; none if nothing
    /// is known of that round.
    fn admit(&mut self, entry: Entry<S>) -> Option<Admission> {
        let target = entry.target;
        if self.is_past(target) {
            return None;
        }
        let round = self.rounds.entry(target).or_insert_with(|| Round::collecting(target));
        Some(round.admit(entry))
    }

    /// Whether a target's round was closed before, or by a collector that ran
    /// before this one.
    fn is_past(&self, target: Target) -> bool {
        let past = match target {
            Target::Region(slot) => slot < self.next_slot,
            Target::Bill(window) => window < self.next_window,
        };
        past && !self.rounds.contains_key(&target)
    }

    /// Whether everybody who can be in a round is.
    fn has_all(&self, target: Target) -> bool {
        let Some(round) = self.rounds.get(&target).filter(|round| round.is_collecting()) else {
            return false;
        };
        let mut members = self.roster.participants().map(|(_, meter)| meter);
        match target {
            Target::Region(_) => members.all(|meter| round.has(meter)),
            Target::Bill(window) => {
                let closed = self.next_slot > self.roster.grid().last_slot(window);
                closed && members.all(|meter| round.has(meter) || !self.may_claim(window, meter))
            }
        }
    }

    /// Whether a member was counted in as many slots of a window as a bill
    /// has at least.
    fn may_claim(&self, window: Window, meter: &MeterId) -> bool {
        let grid = self.roster.grid();
        let slots =
            Target::Region(grid.first_slot(window))..=Target::Region(grid.last_slot(window));
        let counted = self.rounds.range(slots).filter(|(_, round)| round.counted(meter).is_some());
        counted.count() >= usize::from(self.roster.parameters().min_slots)
    }

    fn receipt(&self, core: &mut Core<S>, receipt: &Receipt) {
        let message = self.seal(core, receipt);
        let topic = CollectorTopic::Receipt(receipt.meter.clone());
        core.publish_with_view((&topic, self.roster.epoch()), message, receipt);
    }

    pub(super) fn handle_claim(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
        message: &[u8],
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let entry = Entry::claim(&self.roster, envelope, message)?;
        let Target::Bill(window) = entry.target else { return Err(EntryError::Outside) };
        let meter = entry.meter.clone();
        if let Err(reason) = self.check_claim(window, &entry) {
            core.event(Event::ClaimRefused { meter, window, reason });
            return Ok(());
        }
        if self.is_early(entry.target, now) {
            return Err(EntryError::Outside);
        }
        if !self.knows(&entry)
            && entry::check_batch(&self.roster, &[&entry], &mut core.rng).is_err()
        {
            return Err(EntryError::Proof);
        }
        match self.admit(entry) {
            Some(Admission::Counted | Admission::Known) => {}
            Some(Admission::Late) | None => {
                core.event(Event::ClaimRefused { meter, window, reason: "too late" });
            }
            Some(Admission::Conflict) => {
                core.event(Event::ClaimRefused { meter, window, reason: "a second claim" });
            }
        }
        self.close_windows(core, now);
        Ok(())
    }

    /// A claim must be the sum of what was counted: a bill agrees with the
    /// region sums.
    fn check_claim(&self, window: Window, claim: &Entry<S>) -> Result<(), &'static str> {
        let first = self.roster.grid().first_slot(window);
        let mut sums: BTreeMap<Register, S::Aggregate> = BTreeMap::new();
        for position in 0..self.roster.parameters().window_slots.get() {
            let target = Target::Region(first.plus(position.into()));
            let counted = self.rounds.get(&target).and_then(|round| round.counted(&claim.meter));
            if counted.is_some() != claim.slots.contains(position) {
                return Err("its slots are not those that were counted");
            }
            let Some(counted) = counted else { continue };
            for (register, hidden) in &counted.hidden {
                self.roster.scheme().fold(sums.entry(*register).or_default(), hidden);
            }
        }
        if sums == claim.alone(self.roster.scheme()) {
            Ok(())
        } else {
            Err("not the sum of what was counted")
        }
    }

    pub(super) fn handle_share(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let (holder, share): (MeterId, Share) = self.roster.open_from_member(envelope)?;
        let asked = self.rounds.iter_mut().find(|(_, round)| round.asked(&share.request));
        let Some((target, round)) = asked else { return Ok(()) };
        let target = *target;
        match round.take(&self.roster, &holder, &share) {
            Ok(()) => self.combine(core, target, now),
            Err(ShareError::Bad) => core.event(Event::BadShare { holder, target }),
            Err(ShareError::NotAsked) => {}
        }
        Ok(())
    }

    pub(super) fn handle_refusal(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
    ) -> Result<(), EntryError> {
        let (holder, refusal): (MeterId, Refusal) = self.roster.open_from_member(envelope)?;
        if self.rounds.values().any(|round| round.asked(&refusal.request)) {
            let reason = refusal.reason.chars().filter(char::is_ascii_graphic).take(32).collect();
            core.event(Event::HolderRefused { holder, reason });
        }
        Ok(())
    }

    fn combine(&mut self, core: &mut Core<S>, target: Target, now: Timestamp) {
        let Some(round) = self.rounds.get_mut(&target) else { return };
        let forecasts = &self.forecasts;
        let forecast = |subject: &Subject, register| {
            forecasts.get(&(subject.clone(), register)).copied().unwrap_or(0)
        };
        let counted = round.meters().count();
        match round.combine(&self.roster, &core.decoder, forecast, now) {
            None => {}
            Some(Ok(())) => {
                core.event(Event::Combined { target, counted });
                self.publish_outcomes(core, target, now);
                self.publish_status(core, target);
            }
            Some(Err(error)) => self.abandon(core, target, error.to_string()),
        }
    }

    fn publish_outcomes(&mut self, core: &mut Core<S>, target: Target, since: Timestamp) {
        let Some(round) = self.rounds.get(&target) else { return };
        for outcome in round.outcomes(since) {
            let message = self.seal(core, outcome);
            let place = (&CollectorTopic::Result, self.roster.epoch());
            core.publish_with_view(place, message, outcome);
            let series = (outcome.subject.clone(), outcome.register);
            self.forecasts.insert(series, outcome.sum_wh);
        }
    }

    fn publish_status(&self, core: &mut Core<S>, target: Target) {
        let status = self.rounds.get(&target).and_then(|round| round.status(&self.roster));
        if let Some(status) = status {
            let message = self.seal(core, &status);
            core.publish_with_view(
                (&CollectorTopic::Status, self.roster.epoch()),
                message,
                &status,
            );
        }
    }

    fn abandon(&mut self, core: &mut Core<S>, target: Target, reason: String) {
        let round = self.rounds.entry(target).or_insert_with(|| Round::collecting(target));
        round.abandon(&self.roster, reason.clone());
        core.event(Event::Abandoned { target, reason });
        self.publish_status(core, target);
    }

    fn seal<M: Message>(&self, core: &Core<S>, body: &M) -> Vec<u8> {
        let place = (self.roster.region(), self.roster.epoch(), Sender::Collector);
        seal(&core.identity, place, self.roster.digest(), body)
    }
}
