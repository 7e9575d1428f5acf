//! Time that passes in a region, and messages that are delivered.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;
use protocol::collector::{Collector, TermsError};
use protocol::message::{Roster, Subject};
use protocol::meter::Meter;
use protocol::output::{Output, Publication};
use protocol::reading::Register;
use protocol::record::Records;
use protocol::roster::AcceptedRoster;
use protocol::slot::{Slot, Timestamp};

use super::super::disk::Disk;
use super::super::{
    Kit, collector_identity, collector_terms, drain, invited, meter_id, meter_identity,
    meter_terms, new_meter, published, region_id, registrar, rng,
};
use super::{MEMBERS, Region};

impl<S: Kit> Region<S> {
    /// Stops a meter and starts it again with what it kept; what it hands out.
    pub(crate) fn restart(&mut self, at: usize) -> Vec<Output> {
        self.meters[at] = started(at, &self.disks[at], self.now);
        self.drain(at)
    }

    /// Puts an older disk in place of a meter's, and starts it again.
    pub(crate) fn roll_back(&mut self, at: usize, disk: Records) -> Vec<Output> {
        self.disks[at].records = disk;
        self.restart(at)
    }

    /// Opens the next epoch, of these members, at the end of a window; the
    /// roster of the one before.
    pub(crate) fn next_epoch(&mut self, members: &[usize]) -> AcceptedRoster<S> {
        let parameters = self.body().parameters.clone();
        let mut terms = collector_terms(MEMBERS, parameters);
        let all = invited(6);
        terms.members = members.iter().map(|at| all[*at].clone()).collect();
        self.collector.next_epoch(terms, self.now).unwrap();
        self.deliver();
        self.turn()
    }

    /// Turns to the latest roster; the one before.
    pub(crate) fn turn(&mut self) -> AcceptedRoster<S> {
        self.signed_roster = published(&self.outputs, "/c/roster").pop().unwrap();
        let registrar = registrar().key();
        let next = AcceptedRoster::open(&self.signed_roster, &region_id(), &registrar).unwrap();
        std::mem::replace(&mut self.roster, next)
    }

    /// A collector that starts now, with what was kept.
    pub(crate) fn started_again(&self) -> Result<Collector<S>, TermsError> {
        start_collector(&self.roster, &self.disk, self.now)
    }

    /// Starts the collector again and connects it. What it said before is
    /// forgotten.
    pub(crate) fn restart_collector(&mut self) {
        self.outputs.clear();
        self.change_collector();
        self.deliver();
    }

    /// Puts a collector that starts now and is connected in place of this one.
    pub(crate) fn change_collector(&mut self) {
        self.collector = self.started_again().unwrap();
        self.collector.handle_connected(self.now);
    }

    /// Delivers messages until nobody has anything more to say.
    pub(crate) fn deliver(&mut self) {
        let Self { collector, disk, meters, disks, roster, now, offline, outputs, .. } = self;
        while exchange((collector, disk), (meters, disks), *now, offline, outputs).is_none() {
            *collector = start_collector(roster, disk, *now).unwrap();
            collector.handle_connected(*now);
        }
    }

    /// Lets time pass, and does what is due when it is due.
    pub(crate) fn run_until(&mut self, end: Timestamp) {
        self.deliver();
        for _ in 0..10_000 {
            let online = (0..self.meters.len()).filter(|at| !self.offline.contains(at));
            let dues = online.filter_map(|at| self.meters[at].poll_timeout());
            let next = dues.chain(self.collector.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = self.now.max(end);
                return;
            };
            self.now = self.now.max(next);
            self.collector.handle_timeout(self.now);
            self.meters.iter_mut().for_each(|meter| meter.handle_timeout(self.now));
            self.deliver();
        }
        panic!("time stands still at {:?}", self.now);
    }

    /// Lets every meter that is online contribute to a slot, meter i 2^i Wh.
    pub(crate) fn run_slot(&mut self, position: u64) -> Slot {
        let slot = self.end_slot(position);
        for at in 0..self.meters.len() {
            let quantities = BTreeMap::from([(Register::Import, 1 << at), (Register::Export, 0)]);
            self.meters[at].handle_reading(slot, &quantities, self.now);
        }
        self.deliver();
        slot
    }

    pub(crate) fn run_slots(&mut self, positions: std::ops::Range<u64>) {
        for position in positions {
            self.run_slot(position);
        }
    }

    /// Lets a slot's grace end, so that its round closes.
    pub(crate) fn close(&mut self, slot: Slot) {
        self.run_until(self.roster.slot_closes(slot));
    }

    /// Lets a meter that stands outside come in.
    pub(crate) fn add_meter(&mut self) {
        self.meters.push(new_meter(self.meters.len(), self.now));
        self.disks.push(Disk::default());
    }

    /// The region's sums of the epoch that is turned to, by slot.
    pub(crate) fn slot_sums(&self) -> BTreeMap<Slot, u64> {
        let results = self.results().into_iter();
        let regions = results.filter(|result| matches!(result.subject, Subject::Region(_)));
        regions.map(|result| (result.first_slot, result.sum_wh)).collect()
    }
}

/// Delivers messages until nobody has anything more to say; none if the
/// collector crashes before.
pub(super) fn exchange<S: Scheme>(
    (collector, kept): (&mut Collector<S>, &mut Disk),
    (meters, disks): (&mut [Meter<S>], &mut [Disk]),
    now: Timestamp,
    offline: &BTreeSet<usize>,
    heard: &mut Vec<Output>,
) -> Option<()> {
    loop {
        let outputs = std::iter::from_fn(|| collector.poll_output()).collect();
        let outputs = kept.carry_out(outputs)?;
        let mut quiet = outputs.is_empty();
        for (at, (meter, disk)) in meters.iter_mut().zip(disks.iter_mut()).enumerate() {
            let online = !offline.contains(&at);
            let mut said = turn(at, meter, disk, now);
            let inbox = outputs.iter().filter(|output| online && is_for(at, output));
            for message in published_by(inbox) {
                meter.handle_message(&message, now);
                said.extend(turn(at, meter, disk, now));
            }
            for message in published_by(said.iter().filter(|_| online)) {
                collector.handle_message(&message, now);
                quiet = false;
            }
        }
        heard.extend(outputs);
        if quiet {
            return Some(());
        }
    }
}

/// A collector that starts with what was kept.
fn start_collector<S: Kit>(
    roster: &AcceptedRoster<S>,
    kept: &Records,
    now: Timestamp,
) -> Result<Collector<S>, TermsError> {
    let Roster { parameters, members, .. } = roster.body();
    let terms = collector_terms(members.len(), parameters.clone());
    let identities = (collector_identity(), registrar());
    Collector::new(terms, identities, kept, (S::decoder(), rng(7)), now)
}

/// What a meter hands out in a turn. Where it crashes, nothing of that leaves,
/// and it starts again with what is on its disk.
pub(super) fn turn<S: Scheme>(
    at: usize,
    meter: &mut Meter<S>,
    disk: &mut Disk,
    now: Timestamp,
) -> Vec<Output> {
    if let Some(outputs) = disk.carry_out(drain(meter)) {
        return outputs;
    }
    *meter = started(at, disk, now);
    meter.handle_connected(now);
    turn(at, meter, disk, now)
}

/// A meter that starts with what it kept.
fn started<S: Scheme>(at: usize, kept: &Records, now: Timestamp) -> Meter<S> {
    Meter::new(meter_terms::<S>(at), meter_identity(at), kept, rng(200), now).unwrap()
}

/// Whether a meter subscribes to this.
pub(in crate::common) fn is_for(at: usize, output: &Output) -> bool {
    let Output::Publish(Publication { topic, .. }) = output else { return false };
    protocol::topic::meter_subscriptions(&region_id(), &meter_id(at)).contains(topic)
}

pub(in crate::common) fn published_by<'a>(
    outputs: impl Iterator<Item = &'a Output>,
) -> Vec<Vec<u8>> {
    let payload = |output: &Output| match output {
        Output::Publish(Publication { topic, payload, .. }) => {
            (!protocol::topic::is_json(topic)).then(|| payload.clone())
        }
        _ => None,
    };
    outputs.filter_map(payload).collect()
}
