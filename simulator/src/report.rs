//! What a world came to.

use std::collections::BTreeMap;

use protocol::id::{Digest, Epoch, MeterId};
use protocol::message::{Outcome, Roster, Status, Subject, Target};
use protocol::output::Event;
use protocol::reading::Register;
use protocol::slot::{Slot, Timestamp};

use crate::judge::{Published, ResultKey};
use crate::plan::Party;

/// What was published and what happened.
#[derive(Debug, Default)]
pub struct Report {
    /// Every result of the plan's epochs that reached the broker, and when.
    pub results: BTreeMap<ResultKey, Published>,
    /// The status of every round of the first epoch that was abandoned, with
    /// its reason.
    pub abandoned: BTreeMap<Target, Status>,
    /// The same for all epochs.
    pub all_abandoned: BTreeMap<(Epoch, Target), Status>,
    /// The roster of every epoch.
    pub rosters: BTreeMap<Epoch, Roster>,
    /// How often holders refused, by the name of the reason.
    pub refusals: BTreeMap<&'static str, u64>,
    /// How often messages were not taken, by the name of the reason.
    pub rejections: BTreeMap<&'static str, u64>,
    /// Every event, in order.
    pub events: Vec<(Timestamp, Party, Event)>,
    /// Digest of every step and every message: the same for the same seed.
    pub trace: Option<Digest>,
}

impl Report {
    pub(crate) fn note(&mut self, at: Timestamp, party: Party, event: Event) {
        match &event {
            Event::Refused { reason, .. } => *self.refusals.entry(reason.name()).or_default() += 1,
            Event::Rejected { name, .. } => *self.rejections.entry(name).or_default() += 1,
            _ => {}
        }
        self.events.push((at, party, event));
    }

    /// The result of the region for one slot.
    #[must_use]
    pub fn region(&self, register: Register, slot: Slot) -> Option<&Outcome> {
        let mut regions = self.results.iter().filter(|(key, _)| {
            matches!(key.subject, Subject::Region(_))
                && (key.register, key.first_slot) == (register, slot)
        });
        regions.next().map(|(_, published)| &published.outcome)
    }

    /// The first result of one meter for the window that begins with
    /// `first_slot`.
    #[must_use]
    pub fn bill(&self, meter: &MeterId, register: Register, first_slot: Slot) -> Option<&Outcome> {
        let subject = Subject::Meter(meter.clone());
        let mut bills = self.results.iter().filter(|(key, _)| {
            key.subject == subject && (key.register, key.first_slot) == (register, first_slot)
        });
        bills.next().map(|(_, published)| &published.outcome)
    }

    /// The events of one party by the name of their sort.
    pub fn events_of<'a>(
        &'a self,
        party: Party,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Event> + 'a {
        let of = move |(_, found, event): &&(Timestamp, Party, Event)| {
            *found == party && event.name() == name
        };
        self.events.iter().filter(of).map(|(_, _, event)| event)
    }
}
