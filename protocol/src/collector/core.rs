//! What every part of a collector's machine works with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aggregation::{Rng, Scheme};

use crate::entry::EntryError;
use crate::envelope::{Message, encode};
use crate::evidence::Evidence;
use crate::id::{Epoch, MeterId, Sender};
use crate::identity::Identity;
use crate::output::{Event, Output, Publication};
use crate::record::{Change, Key};
use crate::topic::{self, CollectorTopic};

use super::terms::Terms;
use super::unproven;

/// What every part of the machine works with.
pub(super) struct Core<S: Scheme> {
    pub(super) terms: Terms,
    pub(super) identity: Identity,
    pub(super) rng: Rng,
    pub(super) decoder: Arc<S::Decoder>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) counters: BTreeMap<&'static str, u64>,
    /// The latest epoch that has opened.
    pub(super) latest: Epoch,
    /// The latest one up to which none is missing here that is not over.
    pub(super) unbroken: Epoch,
    /// Whether this start may have been from a copy of some time ago: not after
    /// all members have answered an attempt.
    pub(super) is_copy: bool,
    /// Who has not proved what it was asked to.
    pub(super) unproven: BTreeMap<MeterId, unproven::Kept>,
}

impl<S: Scheme> Core<S> {
    pub(super) fn event(&mut self, event: Event) {
        *self.counters.entry(event.name()).or_default() += 1;
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn reject(&mut self, sender: Option<&Sender>, error: &EntryError) {
        let (sender, reason) = (sender.cloned(), error.to_string());
        self.event(Event::Rejected { sender, reason, name: error.name() });
    }

    pub(super) fn persist(&mut self, change: Change) {
        self.outputs.push_back(Output::Persist(change));
    }

    pub(super) fn keep_evidence(&mut self, epoch: Epoch, evidence: &Evidence) {
        let key = Key::evidence(epoch, &evidence.digest());
        self.persist(Change::Write(key, encode(evidence).into()));
    }

    pub(super) fn publish(&mut self, topic: &CollectorTopic, payload: Vec<u8>, retain: bool) {
        let topic = topic::of_collector(&self.terms.region, topic);
        self.outputs.push_back(Output::Publish(Publication { topic, payload, retain }));
    }

    /// Publishes a signed message with its JSON view beside it.
    pub(super) fn publish_with_view<M: Message>(
        &mut self,
        (topic, epoch): (&CollectorTopic, Epoch),
        message: Vec<u8>,
        body: &M,
    ) {
        let view = crate::view::json(&self.terms.region, epoch, body);
        self.publish(topic, message, false);
        let topic = topic::json(&topic::of_collector(&self.terms.region, topic));
        let view = Publication { topic, payload: view, retain: false };
        self.outputs.push_back(Output::Publish(view));
    }
}
