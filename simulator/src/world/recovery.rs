//! The end of all faults, and what has to be well in a bounded time then.

use std::collections::BTreeSet;
use std::time::Duration;

use aggregation::Scheme;
use protocol::id::{Epoch, MeterId};
use protocol::message::{Subject, Target};
use protocol::output::Event;
use protocol::portion::Portion;
use protocol::record::{Key, Part};
use protocol::roster::AcceptedRoster;
use protocol::slot::{Slot, Timestamp, Window};

use crate::faults::Faults;
use crate::judge::Violation;
use crate::operation::Step;
use crate::plan::{NextEpochError, Party};

use super::operations::not_started;
use super::{Failure, Happening, World};

/// What a connection, its repetitions and what hangs on them take at most,
/// once nothing is lost.
const SETTLING: Duration = Duration::from_mins(2);

impl<S: Scheme> World<S> {
    /// From the opening through all steps to the recovery.
    ///
    /// # Errors
    /// The failure condition that held.
    pub fn live(&mut self, steps: &[Step]) -> Result<(), Failure> {
        self.open()?;
        self.play(steps)?;
        self.recover()
    }

    /// Ends all faults, and checks that all is well again within the time that
    /// is stated: an epoch of all meters opens within two windows, the ceremony's
    /// patience and two minutes (and not before the right time has reached every
    /// clock that was ahead); every slot of its first window is summed up
    /// with everybody, listed and billed before the window's deadline; every
    /// earlier slot is opened or abandoned with a reason.
    ///
    /// # Errors
    /// What is not well.
    pub fn recover(&mut self) -> Result<(), Failure> {
        let healed = self.now;
        self.heal().map_err(|violation| self.failure(violation))?;
        let ahead = self.ahead_until.values().copied().max().unwrap_or(healed);
        self.run_until(ahead.max(healed + SETTLING))?;
        let before = self.judge.rosters.keys().next_back().copied();
        self.gather().map_err(|violation| self.failure(violation))?;
        let latest = self.now + self.opening();
        let epoch = loop {
            if let Some(epoch) = self.epoch_of_all(before) {
                break epoch;
            }
            if self.now > latest {
                let span = latest.since(healed).as_secs();
                return Err(self.failure(Violation::NoEpoch(span)));
            }
            self.run_until(self.now + Duration::from_secs(1))?;
        };
        let deadline = |roster: &AcceptedRoster<S>| roster.window_deadline(Window(0));
        let end = self.judge.rosters.get(&epoch).map_or(latest, deadline);
        self.run_until(end + SETTLING)?;
        self.weigh()?;
        self.check_first_window(epoch)
            .and_then(|()| self.check_spoken())
            .and_then(|()| self.check_opened(healed))
            .map_err(|violation| self.failure(violation))
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.faults = Faults::none();
        self.plan.faults = Faults::none();
        // What would be over later is over now.
        let is_fault = |of: &Happening| matches!(of, Happening::Relief(_) | Happening::ClockStep);
        self.agenda.retain(|_, happening| !is_fault(happening));
        self.slow_down(Duration::ZERO);
        self.silences.clear();
        for party in self.plan.parties() {
            self.doom(party, None);
            self.refuse(party, Timestamp(0));
            let waiting = self.nodes.get(&party).and_then(|node| node.turn.as_ref());
            if let Some(id) = waiting.map(|turn| turn.id) {
                self.schedule(self.now, Happening::Committed(party, id));
            }
            self.step_clock_of(party, 0);
            self.start_if_down(party)?;
            self.reconnect(party);
        }
        Ok(())
    }

    /// Asks for an epoch of all meters. One that was away until the deadline of
    /// a challenge has its operator's excuse.
    fn gather(&mut self) -> Result<(), Violation> {
        let latest = self.judge.rosters.keys().next_back().copied().unwrap_or_default();
        self.readmitted = self.ids.iter().map(|meter| (meter.clone(), latest)).collect();
        match self.next_epoch(0..self.plan.meters) {
            Ok(()) => Ok(()),
            Err(NextEpochError::Violation(violation)) => Err(violation),
            Err(NextEpochError::Start(error)) => Err(not_started(Party::Collector, error)),
        }
    }

    /// An epoch after another one of which all meters are members.
    fn epoch_of_all(&self, before: Option<Epoch>) -> Option<Epoch> {
        let has_all = |roster: &&AcceptedRoster<S>| {
            roster.participants().count() == usize::from(self.plan.meters)
        };
        let since = self.judge.rosters.values().filter(|roster| Some(roster.epoch()) > before);
        since.into_iter().find(has_all).map(AcceptedRoster::epoch)
    }

    fn opening(&self) -> Duration {
        self.window() * 2 + self.plan.patience + SETTLING
    }

    fn window(&self) -> Duration {
        let parameters = &self.plan.parameters;
        Duration::from_secs(parameters.slot_seconds.get().into()) * parameters.window_slots.get()
    }

    /// Every slot of the first window of an epoch is summed up with
    /// everybody, listed and billed.
    fn check_first_window(&self, epoch: Epoch) -> Result<(), Violation> {
        let Some(roster) = self.judge.rosters.get(&epoch) else { return Ok(()) };
        let members: BTreeSet<_> = roster.participants().map(|(_, meter)| meter.clone()).collect();
        let first_slot = roster.body().first_slot;
        for at in 0..roster.grid().window_slots.get() {
            let slot = first_slot.plus(at.into());
            if !self.is_opened(slot, |meter| members.contains(meter)) {
                return Err(Violation::Unopened(slot));
            }
        }
        for step in self.plan.parameters.tariff.ids() {
            let portion = Portion { window: Window(0), step };
            if !roster.step_slots(Window(0), step).is_empty()
                && !self.judge.is_listed(epoch, portion)
            {
                return Err(Violation::Unlisted { epoch, portion });
            }
        }
        let keys = self.judge.results.keys().filter(|key| key.first_slot == first_slot);
        let billed: BTreeSet<_> = keys.map(|key| &key.subject).collect();
        let is_billed = |meter: &MeterId| billed.contains(&Subject::Meter(meter.clone()));
        match members.into_iter().find(|meter| !is_billed(meter)) {
            Some(meter) => Err(Violation::Unbilled { meter, first_slot }),
            None => Ok(()),
        }
    }

    /// Whether a meter was cut off from an epoch's opening to that of a later one:
    /// it is a member of the later one alone.
    fn has_missed(&self, meter: &MeterId, epoch: Epoch) -> bool {
        let Some(party) = self.judge.number(meter).map(Party::Meter) else { return false };
        let heard = self.report.events.iter().filter(|(_, of, _)| *of == party);
        let mut heard = heard.filter_map(|(_, _, event)| match event {
            Event::Joined { epoch, .. } | Event::Left { epoch, .. } => Some(*epoch),
            _ => None,
        });
        heard.find(|heard| *heard >= epoch).is_some_and(|first| first > epoch)
    }

    /// Whether the sums of a slot are published, with all members in it that
    /// `must` be.
    fn is_opened(&self, slot: Slot, must: impl Fn(&MeterId) -> bool) -> bool {
        let sums: Vec<_> = self.judge.regions(slot).collect();
        sums.len() == self.plan.parameters.registers.len()
            && sums.iter().all(|outcome| !outcome.uncounted.iter().any(&must))
    }

    /// Every slot whose deadline has passed is opened or abandoned, and that is
    /// published or, where the collector was down at that moment, in its
    /// records. A collector that was restored may have lost an epoch that all
    /// members have erased by then.
    fn check_spoken(&self) -> Result<(), Violation> {
        for roster in self.judge.rosters.values().filter(|roster| !self.is_lost(roster)) {
            let is_over = |slot: &Slot| roster.slot_deadline(*slot) + SETTLING < self.now;
            for slot in slots(roster).take_while(is_over) {
                let (epoch, target) = (roster.epoch(), Target::Region(slot));
                let is_spoken = self.judge.abandoned.contains_key(&(epoch, target))
                    || self.is_opened(slot, |_| false)
                    || self.has_ended(epoch, target);
                if !is_spoken {
                    return Err(Violation::Unspoken(slot));
                }
            }
        }
        Ok(())
    }

    fn is_lost(&self, roster: &AcceptedRoster<S>) -> bool {
        let keys = [Key::roster(roster.epoch()), Key::past_roster(roster.epoch())];
        self.judge.is_restored && !keys.iter().any(|key| self.is_kept(key))
    }

    fn has_ended(&self, epoch: Epoch, target: Target) -> bool {
        self.is_kept(&Key::round(epoch, target, &Part::End))
    }

    /// Whether the collector's disk has a record.
    fn is_kept(&self, key: &Key) -> bool {
        let collector = self.nodes.get(&Party::Collector);
        collector.is_some_and(|node| node.disk.records().get(key).is_some())
    }

    /// Slots that began after all faults are opened, with all members that no
    /// operation took the epoch's keys or records from, and that have not heard
    /// a later roster first.
    fn check_opened(&self, healed: Timestamp) -> Result<(), Violation> {
        let is_sound = |meter: &_| {
            self.judge.number(meter).is_some_and(|number| !self.impaired.contains(&number))
        };
        for roster in self.judge.rosters.values() {
            let is_sound = |meter: &_| is_sound(meter) && !self.has_missed(meter, roster.epoch());
            let sound = roster.participants().filter(|(_, meter)| is_sound(meter)).count();
            let needed = roster.parameters().contributors_needed();
            if sound < needed.max(roster.scheme().threshold().into()) {
                continue;
            }
            let well = healed + SETTLING;
            let since = slots(roster).filter(|slot| roster.grid().start(*slot) > well);
            let ended = since.take_while(|slot| roster.slot_closes(*slot) + SETTLING < self.now);
            if let Some(slot) = ended.into_iter().find(|slot| !self.is_opened(*slot, is_sound)) {
                return Err(Violation::Unopened(slot));
            }
        }
        Ok(())
    }
}

fn slots<S: Scheme>(roster: &AcceptedRoster<S>) -> impl Iterator<Item = Slot> {
    (roster.body().first_slot.0..roster.end_slot().0).map(Slot)
}

#[cfg(test)]
mod tests;
