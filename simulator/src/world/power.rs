//! How the parties of a world start and stop.

use std::collections::BTreeMap;

use aggregation::{Rng, Scheme};
use protocol::collector::{self, Collector};
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::message::Invited;
use protocol::meter::{self, Meter};
use protocol::record::Records;
use rand::{RngExt as _, SeedableRng as _};

use crate::faults::span;
use crate::node::{Machine, Node};
use crate::plan::{Party, Plan, StartError};

use super::{Happening, Relief, World};

impl<S: Scheme> World<S> {
    /// Takes a party down: what is not on its disk is gone.
    pub fn stop(&mut self, party: Party) {
        self.broker.disconnect(party);
        if let Some(node) = self.nodes.get_mut(&party) {
            node.stop();
        }
    }

    /// Starts a party with what is on its disk.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(&mut self, party: Party) -> Result<(), StartError> {
        self.stop(party);
        let machine = match party {
            Party::Collector => Machine::Collector(Box::new(self.collector()?)),
            Party::Meter(number) => Machine::Meter(Box::new(self.meter(number)?)),
        };
        if let Some(node) = self.nodes.get_mut(&party) {
            node.start(machine);
        }
        self.set_alarm(party);
        self.connect_soon(party);
        Ok(())
    }

    /// Sets a meter's clock wrong by so many milliseconds, forward or back where
    /// negative, until [`World::set_clock_right`] or its next start.
    pub fn step_clock(&mut self, meter: u16, by_ms: i64) {
        self.step_clock_of(Party::Meter(meter), by_ms);
    }

    pub(super) fn step_clock_of(&mut self, party: Party, by_ms: i64) {
        if let Some(node) = self.nodes.get_mut(&party) {
            node.step_clock(by_ms, self.now);
        }
        self.set_alarm(party);
    }

    /// Sets a meter's clock right, as far as it ever was.
    pub fn set_clock_right(&mut self, meter: u16) {
        self.step_clock(meter, 0);
    }

    /// Some meter's clock is set wrong for a while.
    pub(super) fn step_some_clock(&mut self) {
        let Some(steps) = self.plan.faults.steps.clone() else { return };
        let meter = self.rng.random_range(0..self.plan.meters);
        let by_ms = self.rng.random_range(steps.by_ms);
        self.step_clock(meter, by_ms);
        let right = self.now + span(&steps.wrong_ms, &mut self.rng);
        self.schedule(right, Happening::Relief(Relief::Clock(Party::Meter(meter))));
        self.step_clocks();
    }

    /// Chooses when the next clock is set wrong.
    pub(super) fn step_clocks(&mut self) {
        if let Some(steps) = &self.plan.faults.steps {
            let at = self.now + span(&steps.every_ms, &mut self.rng);
            self.schedule(at, Happening::ClockStep);
        }
    }

    /// Copies a party's disk as it is now.
    pub fn back_up(&mut self, party: Party) {
        if let Some(node) = self.nodes.get(&party) {
            self.backups.insert(party, (self.now, node.disk.backup()));
        }
    }

    /// Starts a party with the last copy of its disk.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn restore(&mut self, party: Party) -> Result<(), StartError> {
        self.stop(party);
        if let (Some(node), Some((at, backup))) =
            (self.nodes.get_mut(&party), self.backups.remove(&party))
        {
            node.account.restore();
            node.disk.restore(backup);
            self.judge.restored(party, at);
        }
        self.start(party)
    }

    /// Starts a meter with an empty disk, under its own identity.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn wipe(&mut self, meter: u16) -> Result<(), StartError> {
        let party = Party::Meter(meter);
        self.backups.insert(party, (self.now, Records::default()));
        self.restore(party)
    }

    /// A party's disk says from now on that commits are durable before they
    /// are.
    pub fn let_disk_lie(&mut self, party: Party) {
        if let Some(node) = self.nodes.get_mut(&party) {
            node.disk.lie();
        }
    }

    fn collector(&mut self) -> Result<Collector<S>, StartError> {
        let terms = self.terms()?;
        let rng = Rng::from_rng(&mut self.rng);
        let node = self.node(Party::Collector)?;
        let identities = (node.identity(), Registrar::new(self.registrar()));
        Ok(Collector::new(
            terms,
            identities,
            node.disk.records(),
            (self.decoder.clone(), rng),
            node.clock(self.now),
        )?)
    }

    pub(super) fn terms(&self) -> Result<collector::Terms, StartError> {
        let mut members = Vec::with_capacity(self.members.len());
        for number in &self.members {
            let party = Party::Meter(*number);
            let meter = self.id(*number).ok_or(StartError::Unknown(party))?.clone();
            members.push(Invited { meter, key: self.node(party)?.identity().key() });
        }
        Ok(collector::Terms {
            region: self.plan.region.clone(),
            parameters: self.plan.parameters.clone(),
            threshold: self.plan.threshold(),
            max_corrupted: Some(self.plan.parameters.max_corrupted),
            patience: self.plan.patience,
            audit_percent: self.plan.audit_percent,
            readmitted: self.readmitted.clone(),
            epoch_windows: self.plan.epoch_windows,
            members,
        })
    }

    fn meter(&mut self, number: u16) -> Result<Meter<S>, StartError> {
        let party = Party::Meter(number);
        let terms = meter::Terms {
            region: self.plan.region.clone(),
            meter: self.id(number).ok_or(StartError::Unknown(party))?.clone(),
            registrar: self.registrar().key(),
            floors: self.plan.floors(),
        };
        let rng = Rng::from_rng(&mut self.rng);
        let node = self.node(party)?;
        Ok(Meter::new(terms, node.identity(), node.disk.records(), rng, node.clock(self.now))?)
    }

    pub(crate) fn registrar(&self) -> Identity {
        Identity::from_seed(&self.registrar_seed)
    }

    fn node(&self, party: Party) -> Result<&Node<S>, StartError> {
        self.nodes.get(&party).ok_or(StartError::Unknown(party))
    }
}

/// The parties' disks and clocks; nobody has started.
pub(super) fn nodes<S: Scheme>(plan: &Plan, rng: &mut Rng) -> BTreeMap<Party, Node<S>> {
    let node = |party| {
        let ahead_ms = match party {
            Party::Collector => 0,
            Party::Meter(_) => rng.random_range(plan.faults.ahead_ms.clone()),
        };
        (party, Node::new(rng, ahead_ms))
    };
    plan.parties().map(node).collect()
}
