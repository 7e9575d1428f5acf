//! How a party takes a turn: what came in, one commit, and then all that
//! follows from it in order.

use aggregation::Scheme;
use protocol::meter::Quantities;
use protocol::output::Output;
use protocol::reading::Register;
use protocol::slot::{Slot, Timestamp};

use crate::faults::span;
use crate::judge::Violation;
use crate::node::{Alarm, Cause, Moment, Turn};
use crate::plan::Party;
use crate::truth::Truth;

use super::{Happening, World};

/// How many messages wait at a busy collector; more are dropped.
const INBOX: usize = 64;

impl<S: Scheme> World<S> {
    pub(super) fn ring(&mut self, party: Party) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(&party) else { return Ok(()) };
        // An alarm that was set anew since.
        if node.alarm.is_none_or(|alarm| alarm.rings != self.now) {
            return Ok(());
        }
        node.alarm = None;
        if node.is_busy() { Ok(()) } else { self.turn(party, Cause::Time) }
    }

    /// A party takes something in, now or once it is not busy any more.
    pub(super) fn turn(&mut self, party: Party, cause: Cause) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(&party) else { return Ok(()) };
        if node.is_busy() {
            // An agent withholds acknowledgements instead.
            node.wait(cause, if party == Party::Collector { INBOX } else { usize::MAX });
            return Ok(());
        }
        let turn = self.begin(party, &cause)?;
        self.go_on(party, turn)
    }

    /// What a party does of something that came in.
    fn begin(&mut self, party: Party, cause: &Cause) -> Result<Turn, Violation> {
        let registers = self.plan.parameters.registers.as_slice();
        let (truth, silences) = (&self.truth, &self.silences);
        let read = |slot| match party {
            Party::Meter(meter) if !silences.contains(&(meter, slot)) => {
                Some(quantities(truth, meter, registers, slot))
            }
            _ => None,
        };
        let Some(node) = self.nodes.get_mut(&party) else { return Ok(Turn::default()) };
        let turn = node.turn(cause, self.now, read);
        let clock = node.clock(self.now);
        if node.timeout().is_some_and(|due| due <= clock) {
            return Err(Violation::Spinning(party));
        }
        Ok(turn)
    }

    /// Carries a turn out once its commit is durable.
    fn go_on(&mut self, party: Party, mut turn: Turn) -> Result<(), Violation> {
        if !turn.changes.is_empty() && self.is_doomed(party, Moment::BeforeCommit) {
            self.crash(party);
            return Ok(());
        }
        let durable = self.durable(party, &turn);
        if durable <= self.now {
            return self.finish(party, turn);
        }
        turn.id = self.scheduled;
        self.schedule(durable, Happening::Committed(party, turn.id));
        if let Some(node) = self.nodes.get_mut(&party) {
            node.turn = Some(turn);
        }
        Ok(())
    }

    /// When a turn is over.
    fn durable(&mut self, party: Party, turn: &Turn) -> Timestamp {
        let Some(node) = self.nodes.get(&party) else { return self.now };
        let over = self.now + node.slow;
        if turn.changes.is_empty() {
            return over;
        }
        let until = node.refused_until;
        match &self.plan.faults.commit_ms {
            at_once if *at_once.end() == 0 => over.max(until),
            millis => over.max(until).max(self.now + span(millis, &mut self.rng)),
        }
    }

    /// A commit is durable, unless the disk refuses it still or the power
    /// failed since.
    pub(super) fn committed(&mut self, party: Party, turn: u64) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(&party) else { return Ok(()) };
        let Some(turn) = node.turn.take_if(|waiting| waiting.id == turn) else { return Ok(()) };
        if !turn.changes.is_empty() && node.refused_until > self.now {
            let (again, id) = (node.refused_until, turn.id);
            node.turn = Some(turn);
            self.schedule(again, Happening::Committed(party, id));
            return Ok(());
        }
        self.finish(party, turn)?;
        while let Some(node) = self.nodes.get_mut(&party).filter(|node| !node.is_busy())
            && let Some(cause) = node.next_cause()
        {
            let turn = self.begin(party, &cause)?;
            self.go_on(party, turn)?;
        }
        Ok(())
    }

    fn finish(&mut self, party: Party, turn: Turn) -> Result<(), Violation> {
        let Turn { changes, outputs, mut given, .. } = turn;
        let Some(node) = self.nodes.get_mut(&party) else { return Ok(()) };
        if let Party::Meter(meter) = party {
            let carried = std::mem::take(&mut given.carried).into_iter();
            let carried = carried.map(|((register, slot), wh)| ((meter, register, slot), wh));
            self.judge.carried.extend(carried);
        }
        node.commit(changes, given);
        if !outputs.is_empty() && self.is_doomed(party, Moment::AfterCommit) {
            self.crash(party);
            return Ok(());
        }
        let mut published = 0;
        for output in outputs {
            if matches!(output, Output::Publish(_)) {
                if self.is_doomed(party, Moment::AmidPublishing(published)) {
                    self.crash(party);
                    return Ok(());
                }
                published = published.saturating_add(1);
            }
            self.carry_out(party, output)?;
        }
        self.set_alarm(party);
        Ok(())
    }

    fn is_doomed(&self, party: Party, moment: Moment) -> bool {
        let doom = self.nodes.get(&party).and_then(|node| node.doom);
        doom.is_some_and(|(of, _)| of == moment)
    }

    /// A party loses its power where it is doomed to, and starts again later.
    fn crash(&mut self, party: Party) {
        let doom = self.nodes.get_mut(&party).and_then(|node| node.doom.take());
        if let Some((_, down)) = doom {
            self.take_down(party, down);
        }
    }

    fn carry_out(&mut self, party: Party, output: Output) -> Result<(), Violation> {
        match output {
            Output::Persist(_) => Ok(()),
            Output::Publish(publication) => {
                let publication = self.bend(party, publication);
                self.remember(party, &publication.topic, &publication.payload);
                self.judge.see(party, &publication)?;
                self.publish(party, publication);
                Ok(())
            }
            Output::Event(event) => {
                self.remember(party, event.name(), event.to_string().as_bytes());
                self.report.note(self.now, party, event);
                Ok(())
            }
        }
    }

    pub(super) fn set_alarm(&mut self, party: Party) {
        let Some(node) = self.nodes.get_mut(&party) else { return };
        let Some(due) = node.due() else {
            node.alarm = None;
            return;
        };
        if node.alarm.is_none_or(|alarm| alarm.due != due) {
            let late = span(&self.plan.faults.wake_late_ms, &mut self.rng);
            let rings = node.when(due).max(self.now) + late;
            node.alarm = Some(Alarm { due, rings });
            self.schedule(rings, Happening::Alarm(party));
        }
    }
}

fn quantities(truth: &Truth, meter: u16, registers: &[Register], slot: Slot) -> Quantities {
    registers.iter().map(|register| (*register, truth.wh(meter, *register, slot))).collect()
}
