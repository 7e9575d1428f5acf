//! Operations, as a world carries them out.

use std::time::Duration;

use aggregation::Scheme;
use protocol::slot::Timestamp;

use crate::judge::Violation;
use crate::node::{Moment, Node};
use crate::operation::{Operation, Step};
use crate::plan::{NextEpochError, Party, StartError};

use super::{Failure, Happening, Relief, World};

/// As few members as an epoch has.
const FEWEST: usize = 16;

impl<S: Scheme> World<S> {
    /// Does what the steps say, and weighs every meter's energy after each.
    ///
    /// # Errors
    /// The failure condition that held.
    pub fn play(&mut self, steps: &[Step]) -> Result<(), Failure> {
        for step in steps {
            self.operation += 1;
            self.perform(&step.operation).map_err(|violation| self.failure(violation))?;
            self.run_until(self.now + step.wait)?;
            self.weigh_if(false)?;
        }
        Ok(())
    }

    fn perform(&mut self, operation: &Operation) -> Result<(), Violation> {
        match operation {
            Operation::Report => {}
            Operation::Crash(party, moment, down) => self.crash_at(*party, *moment, *down),
            Operation::Down(party, down) => self.take_down(*party, *down),
            Operation::Leave(meter) => return self.change_members(*meter, false),
            Operation::Join(meter) => return self.change_members(*meter, true),
            Operation::CutOff(parties, span) => {
                for party in parties {
                    self.cut_off(*party);
                    self.later(*span, Relief::CutOff(*party));
                }
            }
            Operation::HalfOpen(party, way, noticed, back) => {
                self.cut_one_way(*party, *way);
                self.later(*noticed, Relief::HalfOpen(*party));
                self.later(*noticed + *back, Relief::CutOff(*party));
            }
            Operation::Weather(weather, span) => {
                self.plan.faults = self.faults.clone().in_weather(*weather);
                self.later(*span, Relief::Weather);
            }
            Operation::Replay(count) => (0..*count).for_each(|_| self.replay()),
            Operation::StepClock(party, by_ms, span) => {
                self.note_step(*party, *by_ms, *span);
                self.step_clock_of(*party, *by_ms);
                self.later(*span, Relief::Clock(*party));
            }
            Operation::Slow(turn, span) => {
                self.slow_down(*turn);
                self.later(*span, Relief::Slow);
            }
            Operation::Refuse(party, span) => self.refuse(*party, self.now + *span),
            Operation::RestartBroker => self.restart_broker(),
            Operation::BackUp(party) => self.back_up(*party),
            Operation::Restore(party) => {
                if !self.note_forgetting(*party) {
                    return Ok(());
                }
                return self.restore(*party).map_err(|error| not_started(*party, error));
            }
            Operation::Wipe(meter) => {
                if !self.note_forgetting(Party::Meter(*meter)) {
                    return Ok(());
                }
                let started = self.wipe(*meter);
                return started.map_err(|error| not_started(Party::Meter(*meter), error));
            }
        }
        Ok(())
    }

    pub(super) fn relieve(&mut self, relief: Relief) -> Result<(), Violation> {
        match relief {
            Relief::Down(party) => return self.start_if_down(party),
            Relief::HalfOpen(party) => self.cut_off(party),
            Relief::CutOff(party) => self.reconnect(party),
            Relief::Weather => self.plan.faults = self.faults.clone(),
            Relief::Clock(party) => self.step_clock_of(party, 0),
            Relief::Slow => self.slow_down(Duration::ZERO),
        }
        Ok(())
    }

    fn later(&mut self, span: Duration, relief: Relief) {
        self.schedule(self.now + span, Happening::Relief(relief));
    }

    /// A party is down for a while.
    pub(super) fn take_down(&mut self, party: Party, span: Duration) {
        self.stop(party);
        self.later(span, Relief::Down(party));
    }

    pub(super) fn start_if_down(&mut self, party: Party) -> Result<(), Violation> {
        if self.nodes.get(&party).is_some_and(Node::is_up) {
            return Ok(());
        }
        self.start(party).map_err(|error| not_started(party, error))
    }

    /// The power of a party fails at its next such moment, for a while.
    pub fn crash_at(&mut self, party: Party, moment: Moment, down: Duration) {
        self.doom(party, Some((moment, down)));
    }

    pub(super) fn doom(&mut self, party: Party, doom: Option<(Moment, Duration)>) {
        if let Some(node) = self.nodes.get_mut(&party) {
            node.doom = doom;
        }
    }

    pub(super) fn slow_down(&mut self, turn: Duration) {
        if let Some(node) = self.nodes.get_mut(&Party::Collector) {
            node.slow = turn;
        }
    }

    pub(super) fn refuse(&mut self, party: Party, until: Timestamp) {
        if let Some(node) = self.nodes.get_mut(&party) {
            node.refused_until = until;
        }
    }

    /// Asks for an epoch with a meter more or less, if enough are left.
    fn change_members(&mut self, meter: u16, is_member: bool) -> Result<(), Violation> {
        let mut members = self.members.clone();
        let has_changed = if is_member { members.insert(meter) } else { members.remove(&meter) };
        let is_up = self.nodes.get(&Party::Collector).is_some_and(Node::is_up);
        if !has_changed || !is_up || members.len() < FEWEST {
            return Ok(());
        }
        match self.next_epoch(members) {
            Ok(()) => Ok(()),
            Err(NextEpochError::Violation(violation)) => Err(violation),
            Err(NextEpochError::Start(error)) => Err(not_started(Party::Collector, error)),
        }
    }

    /// A clock that was far ahead has let its meter give up what it still held,
    /// and contribute nothing until the right time gets there.
    fn note_step(&mut self, party: Party, by_ms: i64, span: Duration) {
        if let (Party::Meter(meter), Ok(ahead @ 1..)) = (party, u64::try_from(by_ms)) {
            self.impaired.insert(meter);
            let until = self.now + span + Duration::from_millis(ahead);
            let known = self.ahead_until.entry(meter).or_insert(until);
            *known = until.max(*known);
        }
    }

    /// Notes that a party forgets. A meter whose clock was ahead may not: it
    /// would not know what it encrypted of the time to come.
    fn note_forgetting(&mut self, party: Party) -> bool {
        let Party::Meter(meter) = party else { return true };
        if self.ahead_until.get(&meter).is_some_and(|until| *until > self.now) {
            return false;
        }
        self.impaired.insert(meter);
        true
    }
}

pub(super) fn not_started(party: Party, error: StartError) -> Violation {
    Violation::NotStarted { party, error: Box::new(error) }
}
