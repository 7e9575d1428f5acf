//! The rounds of an epoch, and what is due in them when.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregation::Scheme;

use crate::entry::{self, Entry, EntryError};
use crate::envelope::{Envelope, Message, Rejection, seal};
use crate::id::{MeterId, Sender};
use crate::message::{KeyPart, Outcome, Receipt, Refusal, Share, Subject, Target};
use crate::meter::contribution_digest;
use crate::output::Event;
use crate::reading::Register;
use crate::roster::AcceptedRoster;
use crate::round::{Admission, Round, ShareError};
use crate::slot::{Slot, Timestamp, Window};
use crate::topic::CollectorTopic;

use super::Core;

/// How far a member's clock may run ahead of the collector's.
const CLOCK_AHEAD: Duration = Duration::from_secs(2);

pub(super) struct Book<S: Scheme> {
    roster: AcceptedRoster<S>,
    signed_roster: Vec<u8>,
    rounds: BTreeMap<Target, Round<S>>,
    /// The slot whose round closes next.
    next_slot: Slot,
    /// The window whose bills are asked for next.
    next_window: Window,
    next_republish: Option<Timestamp>,
    forecasts: BTreeMap<(Subject, Register), u64>,
}

impl<S: Scheme> Book<S> {
    pub(super) fn new(roster: AcceptedRoster<S>, signed_roster: Vec<u8>, now: Timestamp) -> Self {
        let next_slot = roster.grid().slot_at(now).max(roster.body().first_slot);
        let next_window = roster.grid().window_of(next_slot).unwrap_or(Window(0));
        let (rounds, next_republish, forecasts) = Default::default();
        Self { roster, signed_roster, rounds, next_slot, next_window, next_republish, forecasts }
    }

    pub(super) fn publish_roster(&self, core: &mut Core<S>) {
        core.publish(&CollectorTopic::Roster, self.signed_roster.clone(), true);
    }

    /// Sends the roster again to a member that still says its key part.
    pub(super) fn answer_key_part(
        &self,
        core: &mut Core<S>,
        envelope: &Envelope,
    ) -> Result<(), EntryError> {
        let Sender::Meter(meter) = &envelope.header().sender else {
            return Err(Rejection::Sender.into());
        };
        let (_, member) = self.roster.member(meter).ok_or(Rejection::Sender)?;
        let _: KeyPart = envelope.open(&member.key, &self.roster.body().invitation)?;
        self.publish_roster(core);
        Ok(())
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

    pub(super) fn handle_contribution(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
        message: &[u8],
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let entry = Entry::contribution(&self.roster, envelope, message)?;
        let Target::Region(slot) = entry.target else { return Err(EntryError::Outside) };
        let meter = entry.meter.clone();
        let admission = self.admit(core, entry, self.roster.grid().start(slot.plus(1)), now)?;
        match admission {
            Admission::Conflict => {
                core.event(Event::Conflict { meter, slot });
                return Ok(());
            }
            Admission::Late => core.event(Event::Late { meter: meter.clone(), slot }),
            Admission::Counted | Admission::Known => {}
        }
        let on_time = admission != Admission::Late;
        let contribution = contribution_digest(message);
        self.receipt(core, &Receipt { meter, slot, on_time, contribution });
        if self.rounds.get(&Target::Region(slot)).is_some_and(|round| self.has_all(round)) {
            self.close_slots(core, now);
        }
        Ok(())
    }

    /// Checks the proofs of an entry that is not known yet, and offers it to
    /// its round.
    fn admit(
        &mut self,
        core: &mut Core<S>,
        entry: Entry<S>,
        earliest: Timestamp,
        now: Timestamp,
    ) -> Result<Admission, EntryError> {
        if earliest > now + CLOCK_AHEAD {
            return Err(EntryError::Outside);
        }
        let known = self.rounds.get(&entry.target).is_some_and(|round| round.knows(&entry));
        if !known
            && entry::verify(&self.roster, std::slice::from_ref(&entry), &mut core.rng).is_err()
        {
            return Err(EntryError::Proof);
        }
        if self.is_past(entry.target) {
            return Ok(Admission::Late);
        }
        let target = entry.target;
        Ok(self.rounds.entry(target).or_insert_with(|| Round::collecting(target)).admit(entry))
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

    fn has_all(&self, round: &Round<S>) -> bool {
        round.is_collecting() && round.meters().count() == self.roster.body().members.len()
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
        let end = self.roster.grid().window_end(window);
        match self.admit(core, entry, end, now)? {
            Admission::Counted | Admission::Known => {}
            Admission::Late => {
                core.event(Event::ClaimRefused { meter, window, reason: "too late" });
            }
            Admission::Conflict => {
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
    ) -> Result<(), EntryError> {
        let (holder, share): (MeterId, Share) = self.roster.open_from_member(envelope)?;
        let asked = self.rounds.iter_mut().find(|(_, round)| round.asked(&share.request));
        let Some((target, round)) = asked else { return Ok(()) };
        let target = *target;
        match round.take(&self.roster, &holder, &share) {
            Ok(()) => self.combine(core, target),
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

    fn combine(&mut self, core: &mut Core<S>, target: Target) {
        let Some(round) = self.rounds.get_mut(&target) else { return };
        let forecasts = &self.forecasts;
        let forecast = |subject: &Subject, register| {
            forecasts.get(&(subject.clone(), register)).copied().unwrap_or(0)
        };
        let counted = round.meters().count();
        match round.combine(&self.roster, &core.decoder, forecast) {
            None => {}
            Some(Ok(outcomes)) => {
                core.event(Event::Combined { target, counted });
                for outcome in outcomes {
                    self.publish_outcome(core, outcome);
                }
                self.publish_status(core, target);
            }
            Some(Err(error)) => self.abandon(core, target, error.to_string()),
        }
    }

    fn publish_outcome(&mut self, core: &mut Core<S>, outcome: Outcome) {
        let message = self.seal(core, &outcome);
        let place = (&CollectorTopic::Result, self.roster.epoch());
        core.publish_with_view(place, message, &outcome);
        self.forecasts.insert((outcome.subject, outcome.register), outcome.sum_wh);
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

    pub(super) fn handle_timeout(&mut self, core: &mut Core<S>, now: Timestamp) {
        self.close_slots(core, now);
        self.close_windows(core, now);
        self.abandon_overdue(core, now);
        if self.next_republish.is_some_and(|due| due <= now) {
            self.publish_requests(core, now);
        }
        self.forget(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let slot = self.roster.covers(self.next_slot);
        let slot = slot.then(|| self.roster.slot_closes(self.next_slot));
        let last = self.roster.grid().last_slot(self.next_window);
        let window = self.roster.covers(last).then(|| self.claims_close(self.next_window));
        let open = self.rounds.iter().filter(|(_, round)| round.request().is_some());
        let overdue = open.map(|(target, _)| self.deadline(*target)).min();
        [slot, window, overdue, self.next_republish].into_iter().flatten().min()
    }

    /// Closes the rounds of slots in order: each at the end of its grace, or
    /// as soon as every member is in.
    fn close_slots(&mut self, core: &mut Core<S>, now: Timestamp) {
        while self.roster.covers(self.next_slot) {
            let (slot, target) = (self.next_slot, Target::Region(self.next_slot));
            let complete = self.rounds.get(&target).is_some_and(|round| self.has_all(round));
            let over = self.roster.slot_closes(slot) <= now;
            if !(over || complete && self.roster.grid().end(slot) <= now) {
                break;
            }
            self.next_slot = slot.plus(1);
            let needed = self.roster.parameters().contributors_needed();
            let found = self.rounds.get(&target).map_or(0, |round| round.meters().count());
            if found < needed {
                self.abandon(core, target, format!("{found} contributors of at least {needed}"));
            } else {
                self.request(core, target, now);
            }
        }
    }

    /// Until when claims for a window are waited for.
    fn claims_close(&self, window: Window) -> Timestamp {
        let last = self.roster.grid().last_slot(window);
        self.roster.slot_closes(last) + self.roster.parameters().deadline() / 2
    }

    /// Asks for the bills of a window once everybody has claimed, or when
    /// waiting for claims is over.
    fn close_windows(&mut self, core: &mut Core<S>, now: Timestamp) {
        while self.roster.covers(self.roster.grid().last_slot(self.next_window)) {
            let (window, target) = (self.next_window, Target::Bill(self.next_window));
            let complete = self.rounds.get(&target).is_some_and(|round| self.has_all(round));
            let ended = self.roster.grid().window_end(window) <= now;
            if !(complete && ended || self.claims_close(window) <= now) {
                break;
            }
            self.next_window = Window(window.0 + 1);
            if self.rounds.contains_key(&target) {
                self.request(core, target, now);
            } else {
                self.abandon(core, target, "no member claimed its window".to_owned());
            }
        }
    }

    fn request(&mut self, core: &mut Core<S>, target: Target, now: Timestamp) {
        let Some(mut round) = self.rounds.remove(&target) else { return };
        round.commit(&self.roster, |request| self.seal(core, request));
        if let Some(request) = round.request() {
            core.publish(&CollectorTopic::Request, request.to_vec(), false);
        }
        self.rounds.insert(target, round);
        self.publish_status(core, target);
        if self.next_republish.is_none() {
            self.schedule_republish(now);
        }
    }

    fn schedule_republish(&mut self, now: Timestamp) {
        let open = self.rounds.values().any(|round| round.request().is_some());
        let span = self.roster.parameters().deadline() / 8;
        let span = span.clamp(Duration::from_secs(1), Duration::from_mins(1));
        self.next_republish = open.then(|| now + span);
    }

    fn deadline(&self, target: Target) -> Timestamp {
        let last = match target {
            Target::Region(slot) => slot,
            Target::Bill(window) => self.roster.grid().last_slot(window),
        };
        self.roster.slot_closes(last) + self.roster.parameters().deadline()
    }

    fn abandon_overdue(&mut self, core: &mut Core<S>, now: Timestamp) {
        let overdue = |(target, round): (&Target, &Round<S>)| {
            (round.request().is_some() && self.deadline(*target) <= now).then_some(*target)
        };
        let overdue: Vec<_> = self.rounds.iter().filter_map(overdue).collect();
        for target in overdue {
            let missing = self.rounds.get(&target).and_then(|round| round.status(&self.roster));
            let missing = missing.map_or(0, |status| status.waiting_for.len());
            self.abandon(core, target, format!("{missing} holders did not help in time"));
        }
    }

    /// Drops rounds that no bill can need any more.
    fn forget(&mut self, now: Timestamp) {
        let grid = self.roster.grid();
        let spans = self.roster.parameters().grace() + self.roster.parameters().deadline();
        let Some(oldest) = grid.window_of(grid.slot_at(now - spans)) else { return };
        let first = grid.first_slot(oldest);
        self.rounds.retain(|target, _| match target {
            Target::Region(slot) => *slot >= first,
            Target::Bill(window) => *window >= oldest,
        });
    }

    fn seal<M: Message>(&self, core: &Core<S>, body: &M) -> Vec<u8> {
        let place = (self.roster.region(), self.roster.epoch(), Sender::Collector);
        seal(&core.identity, place, self.roster.digest(), body)
    }
}
