//! What is done to a world: operations drawn from its seed.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use aggregation::Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::node::Moment;
use crate::plan::{Party, Plan};

/// Which way of a connection is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The party hears nothing.
    Deaf,
    /// Nobody hears the party.
    Mute,
}

/// How messages fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Messages of a thousand that a hop loses.
    pub loss_per_mille: u32,
    /// Messages of a thousand that a hop delivers twice.
    pub duplicate_per_mille: u32,
    /// Milliseconds that a hop takes at most.
    pub delay_ms: u64,
}

/// One thing that is done to a world. Where it has a span, what is wrong is
/// over after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Nothing but that time passes: readings are reported.
    Report,
    /// The power of a party fails at the next such moment, for a while.
    Crash(Party, Moment, Duration),
    /// A party is down at once.
    Down(Party, Duration),
    /// A meter is no member of the next epoch.
    Leave(u16),
    /// A meter is a member of the next epoch.
    Join(u16),
    /// Parties have no network.
    CutOff(Vec<Party>, Duration),
    /// One way of a party's connection is dead, which is noticed after the
    /// first span; there is no other one until the second one is over too.
    HalfOpen(Party, Way, Duration, Duration),
    /// The odds are others.
    Weather(Weather, Duration),
    /// So many earlier messages reach somebody again.
    Replay(u8),
    /// A clock is set wrong by so many milliseconds.
    StepClock(Party, i64, Duration),
    /// Every turn of the collector takes the first span.
    Slow(Duration, Duration),
    /// A party's disk refuses to be written.
    Refuse(Party, Duration),
    /// The broker restarts.
    RestartBroker,
    /// A party's disk is copied.
    BackUp(Party),
    /// A party goes on with the last copy of its disk.
    Restore(Party),
    /// A meter goes on with an empty disk.
    Wipe(u16),
}

/// An operation, and how long the world goes on before the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// What passes before the next step.
    pub wait: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, then {} ms", self.operation, self.wait.as_millis())
    }
}

/// The steps that a seed gives.
#[must_use]
pub fn draw(plan: &Plan, steps: usize) -> Vec<Step> {
    // Another stream than the one of the network.
    let mut draw = Draw { rng: Rng::seed_from_u64(plan.seed), plan, forgetful: Vec::new() };
    draw.rng.set_stream(1);
    (0..steps).map(|_| draw.step()).collect()
}

struct Draw<'a> {
    rng: Rng,
    plan: &'a Plan,
    /// Meters that are given an older disk: no more than may collude.
    forgetful: Vec<u16>,
}

impl Draw<'_> {
    fn step(&mut self) -> Step {
        let operation = self.operation();
        let wait = if operation == Operation::Report { 10_000..=45_000 } else { 0..=8_000 };
        Step { operation, wait: self.millis(wait) }
    }

    fn operation(&mut self) -> Operation {
        match self.rng.random_range(0..100) {
            0..30 => Operation::Report,
            30..46 => Operation::Crash(self.party(), self.moment(), self.down()),
            46..51 => Operation::Down(self.party(), self.down()),
            51..53 => Operation::Leave(self.meter()),
            53..55 => Operation::Join(self.meter()),
            55..61 => Operation::CutOff(self.some(), self.a_while()),
            61..66 => self.half_open(),
            66..71 => self.weather(),
            71..77 => Operation::Replay(self.rng.random_range(1..=20)),
            77..82 => self.step_clock(),
            82..85 => Operation::Slow(self.millis(100..=4_000), self.a_while()),
            85..90 => Operation::Refuse(self.party(), self.a_while()),
            90..93 => Operation::RestartBroker,
            93..97 => Operation::BackUp(self.party()),
            97..99 => self.restore(),
            _ => self.forgetful().map_or(Operation::Report, Operation::Wipe),
        }
    }

    fn millis(&mut self, millis: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(millis))
    }

    /// Seconds or minutes.
    fn a_while(&mut self) -> Duration {
        let longest = match self.rng.random_range(0..3) {
            0 => 5_000,
            1 => 30_000,
            _ => 180_000,
        };
        self.millis(500..=longest)
    }

    fn down(&mut self) -> Duration {
        if self.rng.random_range(0..4) == 0 { self.a_while() } else { self.millis(0..=5_000) }
    }

    fn meter(&mut self) -> u16 {
        self.rng.random_range(0..self.plan.meters)
    }

    /// The collector as often as any four meters.
    fn party(&mut self) -> Party {
        if self.rng.random_range(0..5) == 0 { Party::Collector } else { Party::Meter(self.meter()) }
    }

    /// One party or several.
    fn some(&mut self) -> Vec<Party> {
        let count = match self.rng.random_range(0..6) {
            0 => 2,
            1 => 4,
            2 => 7,
            _ => 1,
        };
        (0..count).map(|_| self.party()).collect()
    }

    fn moment(&mut self) -> Moment {
        match self.rng.random_range(0..4) {
            0 => Moment::BeforeCommit,
            1 => Moment::AfterCommit,
            _ => Moment::AmidPublishing(self.rng.random_range(0..4)),
        }
    }

    fn half_open(&mut self) -> Operation {
        let way = if self.rng.random_range(0..2) == 0 { Way::Deaf } else { Way::Mute };
        // One and a half times the keep-alive.
        let noticed = self.millis(1_000..=45_000);
        Operation::HalfOpen(self.party(), way, noticed, self.down())
    }

    fn weather(&mut self) -> Operation {
        let weather = Weather {
            loss_per_mille: self.rng.random_range(0..=300),
            duplicate_per_mille: self.rng.random_range(0..=300),
            delay_ms: self.rng.random_range(50..=9_000),
        };
        Operation::Weather(weather, self.a_while())
    }

    /// A collector's clock is not as far off: it opens epochs by it.
    fn step_clock(&mut self) -> Operation {
        let party = self.party();
        let most = if party == Party::Collector { 60_000 } else { 600_000 };
        Operation::StepClock(party, self.rng.random_range(-most..=most), self.a_while())
    }

    fn restore(&mut self) -> Operation {
        if self.rng.random_range(0..3) == 0 {
            return Operation::Restore(Party::Collector);
        }
        self.forgetful().map_or(Operation::Report, |meter| Operation::Restore(Party::Meter(meter)))
    }

    /// A meter that may forget, if there may be another one.
    fn forgetful(&mut self) -> Option<u16> {
        let meter = self.meter();
        if !self.forgetful.contains(&meter) {
            if self.forgetful.len() >= usize::from(self.plan.parameters.max_corrupted) {
                return self.forgetful.first().copied();
            }
            self.forgetful.push(meter);
        }
        Some(meter)
    }
}
