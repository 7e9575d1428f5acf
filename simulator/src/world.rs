//! One region in virtual time.

mod epochs;
mod lies;
mod network;
mod operations;
mod power;
mod recovery;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aggregation::{Rng, Scheme};
use protocol::id::{Digest, Epoch, MeterId};
use protocol::identity::Identity;
use protocol::output::Publication;
use protocol::record::Records;
use protocol::slot::{Grid, Slot, Timestamp};
use rand::{Rng as _, SeedableRng as _};
use thiserror::Error;

use crate::broker::Broker;
use crate::faults::Faults;
use crate::judge::{Judge, Violation};
use crate::node::Node;
use crate::plan::{Party, Plan, StartError};
use crate::report::Report;
use crate::truth::Truth;

/// How long an epoch may take to open.
pub const OPENING: Duration = Duration::from_hours(1);

/// A failure condition that held, and how to see it again.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("seed {seed}, operation {operation}, step {step}, {} ms: {violation}", at.0)]
pub struct Failure {
    /// The seed of the world.
    pub seed: u64,
    /// How many operations had begun.
    pub operation: usize,
    /// What had happened so far, counted from 1.
    pub step: u64,
    /// The time.
    pub at: Timestamp,
    /// What failed.
    pub violation: Violation,
}

/// What happens at an instant.
enum Happening {
    /// A party's message reaches the broker.
    Arrival(Party, Publication),
    /// A message reaches a party.
    Delivery(Party, Vec<u8>),
    /// A connection is there.
    Connection(Party),
    /// A party notices that it has no connection.
    Disconnection(Party),
    /// Some meter's clock is set wrong.
    ClockStep,
    /// A party's alarm.
    Alarm(Party),
    /// A turn's commit is durable.
    Committed(Party, u64),
    /// What was wrong is over.
    Relief(Relief),
}

/// What is over.
#[derive(Clone, Copy)]
enum Relief {
    /// A party that was down starts.
    Down(Party),
    /// A connection of which one way was dead is noticed to be.
    HalfOpen(Party),
    /// The network is back.
    CutOff(Party),
    /// The odds are the plan's again.
    Weather,
    /// A clock is set right.
    Clock(Party),
    /// The collector is as fast as ever.
    Slow,
}

/// The meters, the collector and the registrar of one region, and all that
/// lies between them.
pub struct World<S: Scheme> {
    plan: Plan,
    ids: Vec<MeterId>,
    /// Who is to be a member of the next epoch, by the collector's terms.
    members: BTreeSet<u16>,
    registrar_seed: [u8; 32],
    decoder: Arc<S::Decoder>,
    rng: Rng,
    now: Timestamp,
    step: u64,
    scheduled: u64,
    agenda: BTreeMap<(Timestamp, u64), Happening>,
    broker: Broker,
    /// Parties without a network.
    cut_off: BTreeSet<Party>,
    /// Parties that hear nothing over their connection.
    deaf: BTreeSet<Party>,
    /// Parties that nobody hears over their connection.
    mute: BTreeSet<Party>,
    /// The odds while no weather changes them.
    faults: Faults,
    /// Copies of disks, and when they were made.
    backups: BTreeMap<Party, (Timestamp, Records)>,
    /// Meters that an operation took something from that no promise covers.
    impaired: BTreeSet<u16>,
    /// Until when a meter has measured by a clock that was ahead.
    ahead_until: BTreeMap<u16, Timestamp>,
    /// Meters that the operator lets in again, although they could not prove
    /// what they had forgotten.
    readmitted: BTreeMap<MeterId, Epoch>,
    /// How many operations have begun.
    operation: usize,
    nodes: BTreeMap<Party, Node<S>>,
    truth: Truth,
    silences: BTreeSet<(u16, Slot)>,
    /// Meters whose shares are bent.
    liars: BTreeSet<u16>,
    /// What meters hide whatever they read, in Wh, and what they have said so.
    pretended: BTreeMap<u16, u64>,
    bent: BTreeMap<(u16, Slot), Vec<u8>>,
    pub(crate) judge: Judge<S>,
    report: Report,
    wire: Vec<Publication>,
    trace: Digest,
}

impl<S: Scheme> World<S> {
    /// A world whose parties have just started. `truth` is what the meters
    /// read.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(plan: Plan, truth: Truth, decoder: Arc<S::Decoder>) -> Result<Self, StartError> {
        let mut rng = Rng::seed_from_u64(plan.seed);
        let ids = plan.ids()?;
        let mut registrar_seed = [0; 32];
        rng.fill_bytes(&mut registrar_seed);
        let registrar = Identity::from_seed(&registrar_seed).key();
        let nodes = power::nodes(&plan, &mut rng);
        let mut world = Self {
            broker: Broker::new(network::subscriptions(&plan, &ids)),
            judge: Judge::new(plan.region.clone(), registrar, ids.clone(), truth.clone()),
            now: plan.start,
            ids,
            registrar_seed,
            decoder,
            rng,
            step: 0,
            scheduled: 0,
            agenda: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            deaf: BTreeSet::new(),
            mute: BTreeSet::new(),
            faults: plan.faults.clone(),
            backups: BTreeMap::new(),
            impaired: BTreeSet::new(),
            ahead_until: BTreeMap::new(),
            readmitted: BTreeMap::new(),
            operation: 0,
            nodes,
            truth,
            silences: BTreeSet::new(),
            liars: BTreeSet::new(),
            pretended: BTreeMap::new(),
            bent: BTreeMap::new(),
            members: plan.first_members().collect(),
            report: Report::default(),
            wire: Vec::new(),
            trace: Digest::NONE,
            plan,
        };
        for party in world.plan.parties() {
            world.start(party)?;
        }
        world.step_clocks();
        Ok(world)
    }

    /// Gives the judge another truth than what the meters read, to put the
    /// judge itself on trial.
    pub fn judge_by(&mut self, truth: Truth) {
        self.judge.truth = truth;
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A meter's name.
    #[must_use]
    pub fn id(&self, meter: u16) -> Option<&MeterId> {
        self.ids.get(usize::from(meter))
    }

    /// How the first epoch's time is cut, once it is open.
    #[must_use]
    pub fn grid(&self) -> Option<Grid> {
        self.judge.rosters.values().next().map(|roster| *roster.grid())
    }

    /// How many holders open a sum, once the epoch is open.
    #[must_use]
    pub fn threshold(&self) -> Option<usize> {
        self.judge.rosters.values().next().map(|roster| usize::from(roster.scheme().threshold()))
    }

    /// Everything that was published so far.
    #[must_use]
    pub fn wire(&self) -> &[Publication] {
        &self.wire
    }

    /// Runs until every member of the first epoch knows that it is one.
    ///
    /// # Errors
    /// The failure condition that held.
    pub fn open(&mut self) -> Result<Grid, Failure> {
        let latest = self.plan.start + OPENING;
        let expected = self.plan.first_members().count();
        loop {
            let members = self.nodes.values().filter(|node| node.is_member()).count();
            match self.grid() {
                Some(grid) if members == expected => return Ok(grid),
                _ if self.now > latest || self.agenda.is_empty() => {
                    return Err(self.failure(Violation::NotOpened));
                }
                _ => self.step()?,
            }
        }
    }

    /// Runs until an instant.
    ///
    /// # Errors
    /// The failure condition that held.
    pub fn run_until(&mut self, until: Timestamp) -> Result<(), Failure> {
        while self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.step()?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// The source of a meter gives no reading for a slot.
    pub fn silence(&mut self, meter: u16, slot: Slot) {
        self.silences.insert((meter, slot));
    }

    /// Delivers any bytes to every party that is connected.
    pub fn inject(&mut self, message: &[u8]) {
        for party in self.plan.parties() {
            self.schedule(self.now, Happening::Delivery(party, message.to_vec()));
        }
    }

    /// Does what comes next.
    fn step(&mut self) -> Result<(), Failure> {
        let Some(((at, _), happening)) = self.agenda.pop_first() else { return Ok(()) };
        self.now = self.now.max(at);
        self.judge.now = self.now;
        self.step += 1;
        let done = match happening {
            Happening::Arrival(_, publication) => self.arrive(&publication),
            Happening::Delivery(party, message) => self.deliver(party, message),
            Happening::Connection(party) => self.connect(party),
            Happening::Disconnection(party) => self.disconnect(party),
            Happening::ClockStep => {
                self.step_some_clock();
                Ok(())
            }
            Happening::Alarm(party) => self.ring(party),
            Happening::Committed(party, turn) => self.committed(party, turn),
            Happening::Relief(relief) => self.relieve(relief),
        };
        done.map_err(|violation| self.failure(violation))
    }

    fn failure(&self, violation: Violation) -> Failure {
        let (seed, operation) = (self.plan.seed, self.operation);
        Failure { seed, operation, step: self.step, at: self.now, violation }
    }

    fn schedule(&mut self, at: Timestamp, happening: Happening) {
        self.scheduled += 1;
        self.agenda.insert((at, self.scheduled), happening);
    }

    fn remember(&mut self, party: Party, what: &str, bytes: &[u8]) {
        let line = format!("{} {party} {what} ", self.now.0);
        let step = [self.trace.as_bytes(), line.as_bytes(), bytes].concat();
        self.trace = Digest::of("trace", &step);
    }
}
