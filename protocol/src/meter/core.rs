//! What every part of a meter's machine works with.

use std::collections::{BTreeMap, VecDeque};

use aggregation::Rng;

use crate::envelope::{Rejection, encode};
use crate::evidence::Evidence;
use crate::id::{Epoch, Sender};
use crate::identity::Identity;
use crate::output::{Event, Output, Publication};
use crate::record::{Change, Key};
use crate::slot::Timestamp;
use crate::topic::{self, MeterTopic};

use super::Terms;
use super::doubts::Doubts;
use super::marks::Marks;
use super::measured::Stands;
use super::pools::Pools;

/// What every part of the machine works with.
pub(super) struct Core {
    pub(super) terms: Terms,
    pub(super) identity: Identity,
    pub(super) rng: Rng,
    pub(super) started: Timestamp,
    pub(super) marks: Marks,
    pub(super) stands: Option<Stands>,
    pub(super) pools: Pools,
    pub(super) doubts: Doubts,
    /// Changes that wait for another one, to be durable with it.
    pub(super) deferred: Vec<Change>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) counters: BTreeMap<&'static str, u64>,
    /// The latest epoch of a collector that asks what it lacks.
    pub(super) asked: Option<Epoch>,
}

impl Core {
    pub(super) fn event(&mut self, event: Event) {
        if !event.is_routine() {
            *self.counters.entry(event.name()).or_default() += 1;
        }
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn reject(&mut self, sender: Option<Sender>, rejection: Rejection) {
        let (reason, name) = (rejection.to_string(), rejection.name());
        self.event(Event::Rejected { sender, reason, name });
    }

    pub(super) fn keep_evidence(&mut self, epoch: Epoch, evidence: &Evidence) {
        let key = Key::evidence(epoch, &evidence.digest());
        self.persist(Change::Write(key, encode(evidence).into()));
    }

    pub(super) fn persist(&mut self, change: Change) {
        let changes = self.deferred.drain(..).chain([change]);
        self.outputs.extend(changes.map(Output::Persist));
    }

    /// Makes a change durable with the next one: until then the disk is as it
    /// was before, which costs nothing but space.
    pub(super) fn defer(&mut self, change: Change) {
        self.deferred.push(change);
    }

    pub(super) fn publish(&mut self, topic: MeterTopic, payload: Vec<u8>) {
        let topic = topic::of_meter(&self.terms.region, &self.terms.meter, topic);
        self.outputs.push_back(Output::Publish(Publication { topic, payload, retain: false }));
    }
}
