//! One party: its machine, the disk that outlives it, and the daemon's loop
//! around it.

mod source;

use std::collections::VecDeque;
use std::time::Duration;

use aggregation::{Rng, Scheme};
use protocol::collector::{Collector, Terms, TermsError};
use protocol::identity::Identity;
use protocol::meter::{Meter, Quantities};
use protocol::output::{Event, Output};
use protocol::record::Change;
use protocol::slot::{Slot, Timestamp};

use crate::account::{Account, Given};
use crate::disk::Disk;

/// How often in a row a machine may want to be woken at once: one thing that
/// was due for long may make another one due.
const AT_ONCE: usize = 8;

pub(crate) enum Machine<S: Scheme> {
    Meter(Box<Meter<S>>),
    Collector(Box<Collector<S>>),
}

impl<S: Scheme> Machine<S> {
    fn handle_messages(&mut self, messages: &[Vec<u8>], now: Timestamp) {
        match self {
            Self::Meter(meter) => {
                for message in messages {
                    meter.handle_message(message, now);
                }
            }
            Self::Collector(collector) => collector.handle_messages(messages, now),
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
pub(crate) enum Cause {
    /// At most so many at once as its daemon takes.
    Messages(Vec<Vec<u8>>),
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

/// What a turn leaves to do: one commit, and then the rest in order.
#[derive(Default)]
pub(crate) struct Turn {
    /// Which turn this is, of all in the world; none that is carried out at
    /// once.
    pub(crate) id: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) given: Given,
}

/// Where in a turn the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the commit is durable.
    BeforeCommit,
    /// After the commit, before anything is published.
    AfterCommit,
    /// After so many messages are published.
    AmidPublishing(u8),
}

pub(crate) struct Node<S: Scheme> {
    /// None while the party is down.
    machine: Option<Machine<S>>,
    /// What survives a restart.
    pub(crate) disk: Disk,
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
    /// The turn that waits for its commit.
    pub(crate) turn: Option<Turn>,
    /// What came in meanwhile.
    inbox: VecDeque<Cause>,
    /// No commit is durable before.
    pub(crate) refused_until: Timestamp,
    /// What every turn takes beside its commit.
    pub(crate) slow: Duration,
    /// Where the power fails next, and for how long.
    pub(crate) doom: Option<(Moment, Duration)>,
}

impl<S: Scheme> Node<S> {
    pub(crate) fn new(rng: &mut Rng, ahead_ms: i64) -> Self {
        let mut identity_seed = [0; 32];
        rand::Rng::fill_bytes(rng, &mut identity_seed);
        let (machine, disk, alarm, stepped_ms, is_linked, next_slot) = Default::default();
        let (account, turn, inbox, slow, doom) = Default::default();
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
            turn,
            inbox,
            refused_until: Timestamp(0),
            slow,
            doom,
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

    /// Stops the party, whose clock is set right. What is not durable is lost.
    pub(crate) fn stop(&mut self) {
        self.machine = None;
        self.alarm = None;
        self.stepped_ms = 0;
        self.is_linked = false;
        self.turn = None;
        self.inbox.clear();
        self.disk.lose_power();
    }

    /// Begins the ceremony of the next epoch, if this is the collector and it is
    /// up.
    pub(crate) fn next_epoch(&mut self, terms: Terms, now: Timestamp) -> Result<(), TermsError> {
        let clock = self.clock(now);
        if let Some(Machine::Collector(collector)) = &mut self.machine {
            collector.next_epoch(terms, clock)?;
        }
        Ok(())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// Whether the party takes nothing in before its commit is durable.
    pub(crate) fn is_busy(&self) -> bool {
        self.turn.is_some()
    }

    /// Keeps what came in while the party is busy; of messages at most so many.
    pub(crate) fn wait(&mut self, cause: Cause, most: usize) {
        let is_message = matches!(cause, Cause::Messages(_));
        if self.is_up() && (!is_message || self.inbox.len() < most) {
            self.inbox.push_back(cause);
        }
    }

    /// What the party takes in next: of messages that follow each other so
    /// many at once as its daemon does.
    pub(crate) fn next_cause(&mut self) -> Option<Cause> {
        let together = if matches!(self.machine, Some(Machine::Collector(_))) { 256 } else { 1 };
        let mut first = self.inbox.pop_front()?;
        while let Cause::Messages(messages) = &mut first
            && messages.len() < together
            && let Some(Cause::Messages(more)) = self.inbox.front_mut()
        {
            messages.append(more);
            self.inbox.pop_front();
        }
        Some(first)
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
        cause: &Cause,
        now: Timestamp,
        read: impl Fn(Slot) -> Option<Quantities>,
    ) -> Turn {
        let clock = self.clock(now);
        let mut turn = Turn::default();
        let Some(machine) = &mut self.machine else { return turn };
        if let Cause::Connected | Cause::Disconnected = cause {
            let is_linked = matches!(cause, Cause::Connected);
            // A link is lost before it is there again.
            if std::mem::replace(&mut self.is_linked, is_linked) {
                machine.handle_disconnected(clock);
            }
        }
        match cause {
            Cause::Messages(messages) => machine.handle_messages(messages, clock),
            Cause::Connected => machine.handle_connected(clock),
            Cause::Disconnected | Cause::Time => {}
        }
        if let Machine::Meter(meter) = machine {
            turn.given.settled = self.account.gone(meter);
        }
        for _ in 0..AT_ONCE {
            if machine.poll_timeout().is_some_and(|due| due <= clock) {
                machine.handle_timeout(clock);
            }
        }
        if let Machine::Meter(meter) = machine {
            source::read(meter, &mut self.next_slot, clock, read, &mut turn.given);
        }
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Persist(change) => turn.changes.push(change),
                other => turn.outputs.push(other),
            }
        }
        let is_erasure =
            |output: &Output| matches!(output, Output::Event(Event::EpochErased { .. }));
        turn.given.was_erased = turn.outputs.iter().any(is_erasure);
        turn
    }

    /// Notes that a turn is durable.
    pub(crate) fn commit(&mut self, changes: Vec<Change>, mut given: Given) {
        let (settled, was_erased) = (std::mem::take(&mut given.settled), given.was_erased);
        self.account.take(given);
        if changes.is_empty() {
            return;
        }
        self.disk.commit(changes);
        if let Some(Machine::Meter(meter)) = &self.machine {
            self.account.settle(meter, (&settled, was_erased));
        }
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
