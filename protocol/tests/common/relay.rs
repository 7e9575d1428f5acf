//! A ceremony whose relay bends, drops or replaces what each party says.

use std::collections::BTreeSet;
use std::time::Duration;

use aggregation::Scheme;
use protocol::collector::{Collector, Terms};
use protocol::envelope::{Envelope, Message, seal};
use protocol::evidence::Evidence;
use protocol::id::{Digest, Sender};
use protocol::keygen::{self, Conviction};
use protocol::message::{Invitation, Kind};
use protocol::meter::Meter;
use protocol::output::{Event, Output};
use protocol::parameters::Parameters;
use protocol::record::{Records, Sort};
use protocol::roster::AcceptedRoster;
use protocol::slot::Timestamp;
use protocol::statement::Place;

use super::disk::{Disk, carried_out};
use super::region::{MEMBERS, Region, is_for, published_by};
use super::{
    Kit, START, collector_identity, collector_terms, drain, events, meter_id, meter_identity,
    meter_terms, new_collector, new_meter, published, region_id, registrar, rng,
};

/// Where a message is on its way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the meter at this position to the collector.
    Up(usize),
    /// From the collector to the meter at this position.
    Down(usize),
}

/// A message on its way.
pub(crate) struct Said<'a> {
    pub(crate) way: Way,
    pub(crate) kind: Kind,
    /// Where the attempt takes place that the message belongs to.
    pub(crate) place: &'a Place,
    pub(crate) attempt: u32,
    pub(crate) message: &'a [u8],
}

impl Said<'_> {
    pub(crate) fn is(&self, way: Way, kind: Kind) -> bool {
        (self.way, self.kind) == (way, kind)
    }

    /// It arrives as it was said.
    pub(crate) fn whole(&self) -> Vec<Vec<u8>> {
        vec![self.message.to_vec()]
    }

    pub(crate) fn body<M: Message>(&self) -> M {
        Envelope::parse(self.message).unwrap().peek().unwrap()
    }

    /// The body, bent and signed again by its sender.
    pub(crate) fn bent<M: Message>(&self, bend: impl FnOnce(&mut M)) -> Vec<u8> {
        let mut body = self.body();
        bend(&mut body);
        match self.way {
            Way::Up(at) => self.by_meter(at, &body),
            Way::Down(_) if self.kind == Kind::Roster => {
                let place = (&self.place.region, self.place.epoch, Sender::Registrar);
                seal(&registrar_identity(), place, &Digest::NONE, &body)
            }
            Way::Down(_) => {
                let place = (&self.place.region, self.place.epoch, Sender::Collector);
                seal(&collector_identity(), place, &self.place.binding, &body)
            }
        }
    }

    /// What a candidate could sign in this attempt.
    pub(crate) fn by_meter<M: Message>(&self, at: usize, body: &M) -> Vec<u8> {
        let place = (&self.place.region, self.place.epoch, Sender::Meter(meter_id(at)));
        seal(&meter_identity(at), place, &self.place.binding, body)
    }
}

fn registrar_identity() -> protocol::identity::Identity {
    protocol::identity::Identity::from_seed(&super::REGISTRAR_SEED)
}

/// What arrives of a message.
pub(crate) type Bend<'a> = &'a mut dyn FnMut(&Said<'_>) -> Vec<Vec<u8>>;

/// A relay that drops messages of one kind on one way.
pub(crate) fn losing(way: Way, kind: Kind) -> impl FnMut(&Said<'_>) -> Vec<Vec<u8>> {
    move |said| if said.is(way, kind) { Vec::new() } else { said.whole() }
}

pub(crate) fn honest(said: &Said<'_>) -> Vec<Vec<u8>> {
    said.whole()
}

/// A region whose epoch is on its way.
pub(crate) struct Relay<S: Scheme> {
    pub(crate) terms: Terms,
    pub(crate) collector: Collector<S>,
    pub(crate) disk: Records,
    pub(crate) meters: Vec<Meter<S>>,
    pub(crate) disks: Vec<Records>,
    pub(crate) now: Timestamp,
    pub(crate) offline: BTreeSet<usize>,
    /// What the collector handed out.
    pub(crate) outputs: Vec<Output>,
    /// What each meter had to say to its operator.
    pub(crate) said: Vec<Vec<Event>>,
    /// What each meter sent, with its kind.
    pub(crate) sent: Vec<(usize, Kind, Vec<u8>)>,
    invited: Option<(Place, u32)>,
    /// Whether parties restart the first time that they hear of each kind.
    pub(crate) restarts: bool,
    restarted: BTreeSet<(Option<usize>, Kind)>,
}

impl<S: Kit> Relay<S> {
    /// A relay whose first epoch is open.
    pub(crate) fn opened(parameters: Parameters) -> Self {
        let mut relay = Self::new(MEMBERS, parameters);
        relay.run(Duration::ZERO, &mut honest);
        relay
    }

    /// Begins the next epoch with the same terms.
    pub(crate) fn begin_next(&mut self) {
        self.collector.next_epoch(self.terms.clone(), self.now).unwrap();
    }

    pub(crate) fn new(count: usize, parameters: Parameters) -> Self {
        let terms = collector_terms(count, parameters.clone());
        let meters = (0..count).map(|at| new_meter::<S>(at, START)).collect();
        Self {
            terms,
            collector: new_collector(count, parameters, START),
            disk: Records::default(),
            meters,
            disks: (0..count).map(|_| Records::default()).collect(),
            now: START,
            offline: BTreeSet::new(),
            outputs: Vec::new(),
            said: vec![Vec::new(); count],
            sent: Vec::new(),
            invited: None,
            restarts: false,
            restarted: BTreeSet::new(),
        }
    }

    /// Delivers messages until nobody has anything more to say.
    pub(crate) fn deliver(&mut self, bend: Bend<'_>) {
        loop {
            let outputs = std::iter::from_fn(|| self.collector.poll_output()).collect();
            let outputs = carried_out(outputs, &mut self.disk);
            self.note_invitation(&outputs);
            let mut quiet = outputs.is_empty();
            for at in 0..self.meters.len() {
                let inbox = outputs.iter().filter(|output| is_for(at, output));
                for message in published_by(inbox) {
                    self.pass_down(at, &message, bend);
                }
                quiet &= self.pass_up(at, bend);
            }
            self.outputs.extend(outputs);
            if quiet {
                return;
            }
        }
    }

    fn pass_down(&mut self, at: usize, message: &[u8], bend: Bend<'_>) {
        if self.offline.contains(&at) {
            return;
        }
        for message in self.arrives(Way::Down(at), message, bend) {
            self.meters[at].handle_message(&message, self.now);
            let kind = Envelope::parse(&message).unwrap().header().kind;
            if self.restarts && self.restarted.insert((Some(at), kind)) {
                self.pass_up(at, bend);
                self.restart(at);
            }
        }
    }

    /// Whether the meter was quiet.
    fn pass_up(&mut self, at: usize, bend: Bend<'_>) -> bool {
        let outputs = carried_out(drain(&mut self.meters[at]), &mut self.disks[at]);
        self.said[at].extend(events(&outputs));
        if self.offline.contains(&at) {
            return true;
        }
        let messages = published_by(outputs.iter());
        for message in &messages {
            let kind = Envelope::parse(message).unwrap().header().kind;
            self.sent.push((at, kind, message.clone()));
            for message in self.arrives(Way::Up(at), message, bend) {
                self.collector.handle_message(&message, self.now);
            }
            if self.restarts && self.restarted.insert((None, kind)) {
                self.restart_collector();
            }
        }
        messages.is_empty()
    }

    fn arrives(&self, way: Way, message: &[u8], bend: Bend<'_>) -> Vec<Vec<u8>> {
        let kind = Envelope::parse(message).unwrap().header().kind;
        let (place, attempt) = self.invited.as_ref().unwrap();
        bend(&Said { way, kind, place, attempt: *attempt, message })
    }

    fn note_invitation(&mut self, outputs: &[Output]) {
        for message in published(outputs, "/c/keygen") {
            let envelope = Envelope::parse(&message).unwrap();
            let header = envelope.header();
            if header.kind == Kind::Invitation {
                let body: Invitation = envelope.peek().unwrap();
                let binding = keygen::digest(&header.region, header.epoch, &body);
                let (region, epoch) = (header.region.clone(), header.epoch);
                self.invited = Some((Place { region, epoch, binding }, body.attempt));
            }
        }
    }

    /// Stops a meter and starts it again with what it kept.
    pub(crate) fn restart(&mut self, at: usize) {
        let (terms, identity, kept) = (meter_terms::<S>(at), meter_identity(at), &self.disks[at]);
        self.meters[at] = Meter::new(terms, identity, kept, rng(300), self.now).unwrap();
        self.meters[at].handle_connected(self.now);
    }

    /// Stops the collector and starts it again with what it kept.
    pub(crate) fn restart_collector(&mut self) {
        let outputs = std::iter::from_fn(|| self.collector.poll_output()).collect();
        let outputs = carried_out(outputs, &mut self.disk);
        self.outputs.extend(outputs);
        let keys = (collector_identity(), registrar());
        let tools = (S::decoder(), rng(301));
        self.collector =
            Collector::new(self.terms.clone(), keys, &self.disk, tools, self.now).unwrap();
        self.collector.handle_connected(self.now);
    }

    /// Lets time pass, and does what is due when it is due.
    pub(crate) fn run(&mut self, span: Duration, bend: Bend<'_>) {
        let end = self.now + span;
        self.deliver(bend);
        for _ in 0..100_000 {
            let dues = self.meters.iter().filter_map(Meter::poll_timeout);
            let next = dues.chain(self.collector.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.collector.handle_timeout(self.now);
            self.meters.iter_mut().for_each(|meter| meter.handle_timeout(self.now));
            self.deliver(bend);
        }
        panic!("time stands still at {:?}", self.now);
    }

    /// The latest roster, as it was signed.
    pub(crate) fn signed_roster(&self) -> Option<Vec<u8>> {
        published(&self.outputs, "/c/roster").pop()
    }

    pub(crate) fn roster(&self) -> Option<AcceptedRoster<S>> {
        let signed = self.signed_roster()?;
        Some(AcceptedRoster::open(&signed, &region_id(), &registrar().key()).unwrap())
    }

    /// The members of the latest roster by their positions in the terms.
    pub(crate) fn members(&self) -> Vec<usize> {
        let Some(roster) = self.roster() else { return Vec::new() };
        let count = self.meters.len();
        (0..count).filter(|at| roster.member(&meter_id(*at)).is_some()).collect()
    }

    /// Who was left out of an attempt, and why.
    pub(crate) fn left_out(&self) -> Vec<(usize, Conviction)> {
        let position = |meter| (0..self.meters.len()).find(|at| meter_id(*at) == meter).unwrap();
        let all = events(&self.outputs).into_iter().filter_map(|event| match event {
            Event::LeftOut { meter, conviction, .. } => Some((position(meter), conviction)),
            _ => None,
        });
        all.collect()
    }

    /// The evidence that the collector keeps.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        let read = |(_, bytes): (_, &[u8])| ciborium::from_reader(bytes).unwrap();
        self.disk.of(Sort::Evidence).map(read).collect()
    }

    /// Goes on as a region whose epoch is open.
    pub(crate) fn into_region(self) -> Region<S> {
        let (roster, signed_roster) = (self.roster().unwrap(), self.signed_roster().unwrap());
        let Self { collector, disk, meters, disks, now, offline, .. } = self;
        let disk_of = |records| Disk { records, ..Disk::default() };
        let (disk, disks) = (disk_of(disk), disks.into_iter().map(disk_of).collect());
        let (outputs, rng) = (Vec::new(), rng(5));
        Region { collector, disk, meters, disks, roster, signed_roster, now, offline, rng, outputs }
    }
}
