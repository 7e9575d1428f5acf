//! One party: its machine, the disk that outlives it, and the daemon's loop
//! around it.

use aggregation::{Rng, Scheme};
use protocol::collector::{Collector, Terms, TermsError};
use protocol::identity::Identity;
use protocol::meter::{Meter, Quantities};
use protocol::output::{Event, Output};
use protocol::record::Records;
use protocol::slot::{Grid, Slot, Timestamp};

use crate::account::Account;

pub(crate) enum Machine<S: Scheme> {
    Meter(Box<Meter<S>>),
    Collector(Box<Collector<S>>),
}

impl<S: Scheme> Machine<S> {
    fn handle_message(&mut self, message: &[u8], now: Timestamp) {
        match self {
            Self::Meter(meter) => meter.handle_message(message, now),
            Self::Collector(collector) => collector.handle_message(message, now),
        }
    }

    fn handle_connected(&mut self, now: Timestamp) {
        match self {
            Self::Meter(meter) => meter.handle_connected(now),
            Self::Collector(collector) => collector.handle_connected(now),
        }
    }

    /// A meter's machine has nothing to note of a lost connection.
    fn handle_disconnected(&mut self, now: Timestamp) {
        if let Self::Collector(collector) = self {
            collector.handle_disconnected(now);
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        match self {
            Self::Meter(meter) => meter.handle_timeout(now),
            Self::Collector(collector) => collector.handle_timeout(now),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Meter(meter) => meter.poll_output(),
            Self::Collector(collector) => collector.poll_output(),
        }
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        match self {
            Self::Meter(meter) => meter.poll_timeout(),
            Self::Collector(collector) => collector.poll_timeout(),
        }
    }
}

/// What wakes a party.
pub(crate) enum Cause<'a> {
    Message(&'a [u8]),
    Connected,
    Disconnected,
    Time,
}

/// When a party wants to be woken by its own clock, and when it will be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) due: Timestamp,
    pub(crate) rings: Timestamp,
}

pub(crate) struct Node<S: Scheme> {
    /// None while the party is down.
    machine: Option<Machine<S>>,
    /// What survives a restart.
    pub(crate) disk: Records,
    identity_seed: [u8; 32],
    pub(crate) alarm: Option<Alarm>,
    ahead_ms: i64,
    /// How far the clock was set wrong.
    stepped_ms: i64,
    /// Whether the party takes itself to be connected.
    is_linked: bool,
    /// The slot that is read next.
    next_slot: Option<Slot>,
    /// What a meter was given, in every life.
    pub(crate) account: Account,
}

impl<S: Scheme> Node<S> {
    pub(crate) fn new(rng: &mut Rng, ahead_ms: i64) -> Self {
        let mut identity_seed = [0; 32];
        rand::Rng::fill_bytes(rng, &mut identity_seed);
        let (machine, disk, alarm, stepped_ms, is_linked, next_slot) = Default::default();
        let account = Account::default();
        Self {
            machine,
            disk,
            identity_seed,
            alarm,
            ahead_ms,
            stepped_ms,
            is_linked,
            next_slot,
            account,
        }
    }

    /// Who the party is, in every life.
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_seed(&self.identity_seed)
    }

    pub(crate) fn start(&mut self, machine: Machine<S>) {
        self.machine = Some(machine);
        self.next_slot = None;
        self.alarm = None;
    }

    /// Stops the party, whose clock is set right.
    pub(crate) fn stop(&mut self) {
        self.machine = None;
        self.alarm = None;
        self.stepped_ms = 0;
        self.is_linked = false;
    }

    /// Begins the ceremony of the next epoch, if this is the collector and it is
    /// up.
    pub(crate) fn next_epoch(&mut self, terms: Terms, now: Timestamp) -> Result<(), TermsError> {
        if let Some(Machine::Collector(collector)) = &mut self.machine {
            collector.next_epoch(terms, now)?;
        }
        Ok(())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// Whether a meter takes part in an epoch.
    pub(crate) fn is_member(&self) -> bool {
        matches!(&self.machine, Some(Machine::Meter(meter)) if meter.grid().is_some())
    }

    /// Sets the clock wrong by so many milliseconds, or right by none. A source
    /// that goes by a clock which steps back reads the same slots again.
    pub(crate) fn step_clock(&mut self, stepped_ms: i64, now: Timestamp) {
        let is_back = stepped_ms < self.stepped_ms;
        self.stepped_ms = stepped_ms;
        self.alarm = None;
        if let Some(Machine::Meter(meter)) = &self.machine
            && let Some(grid) = meter.grid().filter(|_| is_back)
        {
            self.next_slot = Some(grid.slot_at(self.clock(now)).max(grid.origin));
        }
    }

    /// The party's own time.
    pub(crate) fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.ahead_ms + self.stepped_ms))
    }

    /// When the party's clock shows `due`.
    pub(crate) fn when(&self, due: Timestamp) -> Timestamp {
        Timestamp(due.0.saturating_add_signed(-self.ahead_ms - self.stepped_ms))
    }

    /// The daemon's loop, once: what happened, then what is due, then the
    /// slots that have ended, in order. `read` is the source.
    pub(crate) fn turn(
        &mut self,
        cause: &Cause<'_>,
        now: Timestamp,
        read: impl Fn(Slot) -> Option<Quantities>,
    ) -> Vec<Output> {
        let clock = self.clock(now);
        let Some(machine) = &mut self.machine else { return Vec::new() };
        if let Cause::Connected | Cause::Disconnected = cause {
            let is_linked = matches!(cause, Cause::Connected);
            // A link is lost before it is there again.
            if std::mem::replace(&mut self.is_linked, is_linked) {
                machine.handle_disconnected(clock);
            }
        }
        match cause {
            Cause::Message(message) => machine.handle_message(message, clock),
            Cause::Connected => machine.handle_connected(clock),
            Cause::Disconnected | Cause::Time => {}
        }
        if machine.poll_timeout().is_some_and(|due| due <= clock) {
            machine.handle_timeout(clock);
        }
        if let Machine::Meter(meter) = machine
            && let Some(grid) = meter.grid()
        {
            if self.next_slot.is_none() {
                let next = grid.slot_at(clock).max(grid.origin);
                give_gap(meter, &grid, next, &read, &mut self.account);
                self.next_slot = Some(next);
            }
            let next = self.next_slot.get_or_insert(grid.origin);
            while grid.end(*next) <= clock {
                if let Some(quantities) = read(*next) {
                    give(meter, (&grid, *next), &quantities, clock, &mut self.account);
                }
                *next = next.plus(1);
            }
        }
        let outputs: Vec<_> = std::iter::from_fn(|| machine.poll_output()).collect();
        if let Machine::Meter(meter) = machine {
            let is_erasure =
                |output: &Output| matches!(output, Output::Event(Event::EpochErased { .. }));
            self.account.settle(meter, outputs.iter().any(is_erasure));
        }
        outputs
    }

    /// The meter's machine, if this is one and it is up.
    pub(crate) fn meter(&self) -> Option<&Meter<S>> {
        match &self.machine {
            Some(Machine::Meter(meter)) => Some(meter),
            _ => None,
        }
    }

    /// When the machine wants `handle_timeout`, by its own clock.
    pub(crate) fn timeout(&self) -> Option<Timestamp> {
        self.machine.as_ref()?.poll_timeout()
    }

    /// When the daemon has something to do, by its own clock.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let reading = match &self.machine {
            Some(Machine::Meter(meter)) => {
                meter.grid().zip(self.next_slot).map(|(grid, slot)| grid.end(slot))
            }
            _ => None,
        };
        [self.timeout(), reading].into_iter().flatten().min()
    }
}

/// Gives a meter the reading of a slot, and notes what it makes of it.
fn give<S: Scheme>(
    meter: &mut Meter<S>,
    (grid, slot): (&Grid, Slot),
    reading: &Quantities,
    now: Timestamp,
    account: &mut Account,
) {
    let is_new = |meter: &Meter<S>| meter.measured_until().is_none_or(|to| to < grid.end(slot));
    let was_new = is_new(meter);
    meter.handle_reading(slot, reading, now);
    if was_new && !is_new(meter) {
        account.measure(reading);
        if let Some(holds) = meter.contents(slot) {
            account.contribute(slot, reading, holds);
        }
    }
}

/// Gives a meter that has just started what its registers counted while it was
/// down: each run of slots in which it was a member.
fn give_gap<S: Scheme>(
    meter: &mut Meter<S>,
    grid: &Grid,
    next: Slot,
    read: impl Fn(Slot) -> Option<Quantities>,
    account: &mut Account,
) {
    let Some(first) = meter.measured_until().map(|until| grid.slot_at(until)) else { return };
    let slots: Vec<_> = (first.0..next.0).map(Slot).collect();
    let runs = slots.chunk_by(|a, b| meter.takes_part(*a) == meter.takes_part(*b));
    for run in runs.map(<[Slot]>::to_vec).collect::<Vec<_>>() {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let mut energy = Quantities::new();
        for (register, wh) in run.iter().filter_map(|slot| read(*slot)).flatten() {
            *energy.entry(register).or_default() += wh;
        }
        if meter.takes_part(*first) {
            account.measure(&energy);
            meter.handle_gap((*first, last.plus(1)), &energy);
        }
    }
}
