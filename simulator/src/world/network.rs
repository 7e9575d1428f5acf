//! What lies between the parties of a world.

use aggregation::Scheme;
use protocol::id::MeterId;
use protocol::output::Publication;
use protocol::topic;
use rand::RngExt as _;

use crate::faults::span;
use crate::judge::Violation;
use crate::node::{Cause, Node};
use crate::operation::Way;
use crate::plan::{Party, Plan};

use super::{Happening, World};

impl<S: Scheme> World<S> {
    /// Takes the network from a party until [`World::reconnect`], with what the
    /// party has under way to the broker.
    pub fn cut_off(&mut self, party: Party) {
        self.cut_off.insert(party);
        self.lose_connection(party);
    }

    /// Kills one way of a party's connection: it hears nothing, or is not
    /// heard. [`World::reconnect`] heals it.
    pub fn cut_one_way(&mut self, party: Party, way: Way) {
        match way {
            Way::Deaf => self.deaf.insert(party),
            Way::Mute => self.mute.insert(party),
        };
    }

    /// Gives the network back.
    pub fn reconnect(&mut self, party: Party) {
        self.cut_off.remove(&party);
        self.deaf.remove(&party);
        self.mute.remove(&party);
        self.connect_soon(party);
    }

    /// Delivers any earlier message to some party.
    pub(super) fn replay(&mut self) {
        if self.wire.is_empty() {
            return;
        }
        let parties: Vec<_> = self.plan.parties().collect();
        let (message, party) =
            (self.rng.random_range(0..self.wire.len()), self.rng.random_range(0..parties.len()));
        if let (Some(said), Some(party)) = (self.wire.get(message), parties.get(party)) {
            let happening = Happening::Delivery(*party, said.payload.clone());
            self.schedule(self.now, happening);
        }
    }

    /// Restarts the broker: every connection, every message under way, every
    /// queue and everything retained is lost.
    pub fn restart_broker(&mut self) {
        self.broker.restart();
        self.agenda.retain(|_, happening| !matches!(happening, Happening::Delivery(..)));
        for party in self.plan.parties() {
            self.lose_connection(party);
        }
    }

    /// Takes a party's connection, with what it has under way to the broker.
    /// The party notices later.
    fn lose_connection(&mut self, party: Party) {
        self.broker.disconnect(party);
        let lost = |happening: &Happening| matches!(happening, Happening::Arrival(from, _) if *from == party);
        self.agenda.retain(|_, happening| !lost(happening));
        let at = self.now + span(&self.plan.faults.unnoticed_ms, &mut self.rng);
        self.schedule(at, Happening::Disconnection(party));
    }

    /// A party notices that it has no connection.
    pub(super) fn disconnect(&mut self, party: Party) -> Result<(), Violation> {
        if self.broker.is_connected(party) {
            return Ok(());
        }
        self.connect_soon(party);
        self.turn(party, Cause::Disconnected)
    }

    pub(super) fn arrive(&mut self, publication: &Publication) -> Result<(), Violation> {
        self.judge.hear(publication, self.now)?;
        for party in self.broker.route(publication) {
            self.transmit(party, &publication.payload);
        }
        Ok(())
    }

    fn transmit(&mut self, party: Party, payload: &[u8]) {
        for _ in 0..self.plan.faults.copies(&mut self.rng) {
            let at = self.now + span(&self.plan.faults.delay_ms, &mut self.rng);
            self.schedule(at, Happening::Delivery(party, payload.to_vec()));
        }
    }

    pub(super) fn deliver(&mut self, party: Party, message: Vec<u8>) -> Result<(), Violation> {
        if self.deaf.contains(&party) {
            return Ok(());
        }
        if self.broker.is_connected(party) {
            self.turn(party, Cause::Messages(vec![message]))
        } else {
            self.broker.keep(party, message);
            Ok(())
        }
    }

    pub(super) fn connect(&mut self, party: Party) -> Result<(), Violation> {
        let is_up = self.nodes.get(&party).is_some_and(Node::is_up);
        if !is_up || self.cut_off.contains(&party) || self.broker.is_connected(party) {
            return Ok(());
        }
        for message in self.broker.connect(party) {
            self.transmit(party, &message);
        }
        self.turn(party, Cause::Connected)
    }

    pub(super) fn connect_soon(&mut self, party: Party) {
        let at = self.now + span(&self.plan.faults.reconnect_ms, &mut self.rng);
        self.schedule(at, Happening::Connection(party));
    }

    /// Sends a message towards the broker. What is published while there is no
    /// connection is lost, as with the daemons. A hop may lose what parties say
    /// to each other and say again. What is for those outside, as a result, is
    /// lost with its connection alone, as quality of service 1 has it.
    pub(super) fn publish(&mut self, party: Party, publication: Publication) {
        if self.mute.contains(&party) {
            return;
        }
        if self.broker.is_connected(party) {
            if self.plan.faults.disconnects(&mut self.rng) {
                self.lose_connection(party);
                return;
            }
            let least = usize::from(!self.broker.serves(&publication.topic));
            for _ in 0..self.plan.faults.copies(&mut self.rng).max(least) {
                let at = self.now + span(&self.plan.faults.delay_ms, &mut self.rng);
                self.schedule(at, Happening::Arrival(party, publication.clone()));
            }
            self.wire.push(publication);
        }
    }
}

/// What each party subscribes to.
pub(super) fn subscriptions<'a>(
    plan: &'a Plan,
    ids: &'a [MeterId],
) -> impl Iterator<Item = (Party, Vec<String>)> + 'a {
    let of_collector = topic::collector_subscriptions(&plan.region);
    let meters = (0..).map(Party::Meter).zip(ids);
    let of_meters = meters.map(|(party, id)| (party, topic::meter_subscriptions(&plan.region, id)));
    std::iter::once((Party::Collector, of_collector)).chain(of_meters)
}
