//! Which fault comes when: drawn from a seed, never more agents away at a time
//! than can be spared, but sometimes everybody at once.

mod act;
mod subject;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::Rng;
use protocol::slot::Timestamp;
use rand::{RngExt as _, SeedableRng as _};

use super::proxy::{Cut, Direction, Passage};
use crate::processes::Role;
pub(crate) use act::{Act, Fault, Victim};
use subject::{Health, Subject};

/// From one fault to the next, at most.
const PAUSE: Duration = Duration::from_millis(900);
/// How long somebody is down, frozen or cut off.
const DOWN_MS: std::ops::Range<u64> = 200..2_500;
const FROZEN_MS: std::ops::Range<u64> = 500..4_000;
const SPOILT_MS: std::ops::Range<u64> = 1_000..6_000;
/// How late bytes are, and how many arrive at once.
const SLOW_MS: std::ops::Range<u64> = 20..800;
const SPLIT_BYTES: std::ops::Range<usize> = 1..64;
/// How long collector and broker are left alone once they are back: those who
/// lost them return within their backoff.
const HUB_REST: Duration = Duration::from_secs(8);
/// How many agents may be away at a time while collector or broker are, or have
/// been shortly before: rounds wait then, and whoever starts meanwhile does not
/// help with what ended before.
const SPARE_WITHOUT_HUB: usize = 1;
/// How long a party that has ended by itself stays down.
const RESTART: Duration = Duration::from_secs(1);

/// How often each is drawn, out of their sum.
const WEIGHTS: [(Fault, u32); 8] = [
    (Fault::Kill, 60),
    (Fault::Freeze, 12),
    (Fault::Close, 8),
    (Fault::Reset, 8),
    (Fault::Hole, 8),
    (Fault::Slow, 8),
    (Fault::Split, 8),
    (Fault::Blackout, 1),
];

/// Of so many faults one is the collector's or the broker's.
const HUB_SHARE: u32 = 6;

/// Draws faults, and ends each in its time.
pub(crate) struct Faults {
    rng: Rng,
    subjects: Vec<Subject>,
    /// How many agents may be away at a time.
    spare: usize,
    /// How long an agent is of no use once it is back.
    recovery: Duration,
    next: Timestamp,
    counts: BTreeMap<(Fault, Role), u64>,
}

impl Faults {
    /// Faults for these agents, for the collector and, where it has none
    /// embedded, for its broker.
    pub(crate) fn new(
        (agents, spare): (usize, usize),
        has_mosquitto: bool,
        recovery: Duration,
        (seed, now): (u64, Timestamp),
    ) -> Self {
        let subject = |victim, has_proxy| Subject {
            victim,
            has_proxy,
            health: Health::Up,
            spoilt: None,
            away: now,
            kills: 0,
        };
        let mut subjects = vec![subject(Victim::Collector, has_mosquitto)];
        subjects.extend(has_mosquitto.then(|| subject(Victim::Mosquitto, false)));
        subjects.extend((0..agents).map(|place| subject(Victim::Agent(place), true)));
        let (rng, counts) = (Rng::seed_from_u64(seed), BTreeMap::new());
        Self { rng, subjects, spare, recovery, next: now, counts }
    }

    /// How often what has happened to whom.
    pub(crate) fn counts(&self) -> &BTreeMap<(Fault, Role), u64> {
        &self.counts
    }

    /// The kills of the party of a role that was killed least often.
    pub(crate) fn least_kills(&self, role: Role) -> Option<u64> {
        let of = self.subjects.iter().filter(|subject| subject.victim.role() == role);
        of.map(|subject| subject.kills).min()
    }

    /// All kills of a role.
    pub(crate) fn kills(&self, role: Role) -> u64 {
        let of = self.subjects.iter().filter(|subject| subject.victim.role() == role);
        of.map(|subject| subject.kills).sum()
    }

    /// Takes note of a party that has ended by itself; it comes back soon.
    pub(crate) fn note_ended(&mut self, victim: Victim, now: Timestamp) {
        for subject in self.subjects.iter_mut().filter(|subject| subject.victim == victim) {
            subject.health = Health::Down { until: now + RESTART };
        }
    }

    /// What is due.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Vec<Act> {
        let mut acts = self.end_what_is_over(now);
        if self.next <= now {
            self.next = now + PAUSE.mul_f64(self.rng.random_range(0.0..1.0));
            acts.extend(self.begin(now));
        }
        acts
    }

    /// Ends everything.
    pub(crate) fn rest(&mut self) -> Vec<Act> {
        self.end_what_is_over(Timestamp(u64::MAX))
    }

    fn end_what_is_over(&mut self, now: Timestamp) -> Vec<Act> {
        let mut acts = Vec::new();
        for subject in &mut self.subjects {
            let (victim, before) = (subject.victim, acts.len());
            match subject.health {
                Health::Down { until } if until <= now => acts.push(Act::Start(victim)),
                Health::Frozen { until } if until <= now => acts.push(Act::Thaw(victim)),
                _ => {}
            }
            let mut is_back = acts.len() > before;
            if is_back {
                subject.health = Health::Up;
            }
            if let Some((passage, _)) = subject.spoilt.take_if(|(_, until)| *until <= now) {
                is_back |= matches!(passage, Passage::Hole(_));
                acts.push(Act::Pass(victim, Passage::Clear));
            }
            if is_back {
                let rest = if subject.is_agent() { self.recovery } else { HUB_REST };
                subject.away = now + rest;
            }
        }
        acts
    }

    fn begin(&mut self, now: Timestamp) -> Vec<Act> {
        let fault = self.draw();
        if fault == Fault::Blackout {
            let all = (0..self.subjects.len()).collect::<Vec<_>>();
            return all.into_iter().filter_map(|at| self.hit(fault, at, now)).collect();
        }
        let at = self.choose(fault, now);
        at.and_then(|at| self.hit(fault, at, now)).into_iter().collect()
    }

    fn draw(&mut self) -> Fault {
        let sum = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.random_range(0..sum);
        for (fault, weight) in WEIGHTS {
            if left < weight {
                return fault;
            }
            left -= weight;
        }
        Fault::Kill
    }

    /// Whom a fault meets: of those that are free and can be spared, whoever
    /// was killed least often.
    fn choose(&mut self, fault: Fault, now: Timestamp) -> Option<usize> {
        let wants_hub = self.rng.random_range(0..HUB_SHARE) == 0;
        let away = self.away(now, Subject::is_agent);
        let is_hub_there = self.away(now, |subject| !subject.is_agent()) == 0;
        let spare = if is_hub_there { self.spare } else { self.spare.min(SPARE_WITHOUT_HUB) };
        let needs_proxy = !matches!(fault, Fault::Kill | Fault::Freeze);
        let fits = |subject: &Subject| {
            subject.is_free(now)
                && subject.is_agent() != wants_hub
                && (subject.has_proxy || !needs_proxy)
                && (wants_hub || away < spare)
        };
        let fitting = || self.subjects.iter().enumerate().filter(|(_, subject)| fits(subject));
        let least = fitting().map(|(_, subject)| subject.kills).min()?;
        let places: Vec<_> =
            fitting().filter(|(_, of)| of.kills == least).map(|(at, _)| at).collect();
        places.get(self.rng.random_range(0..places.len())).copied()
    }

    fn away(&self, now: Timestamp, among: impl Fn(&Subject) -> bool) -> usize {
        self.subjects.iter().filter(|of| among(of) && !of.is_there(now)).count()
    }

    fn hit(&mut self, fault: Fault, at: usize, now: Timestamp) -> Option<Act> {
        let Self { rng, subjects, counts, .. } = self;
        let subject = subjects.get_mut(at)?;
        let victim = subject.victim;
        let mut ms = |range| Duration::from_millis(rng.random_range(range));
        let act = match fault {
            Fault::Kill | Fault::Blackout => {
                if matches!(subject.health, Health::Down { .. }) {
                    return None;
                }
                subject.health = Health::Down { until: now + ms(DOWN_MS) };
                subject.kills += 1;
                Act::Kill(victim)
            }
            Fault::Freeze => {
                subject.health = Health::Frozen { until: now + ms(FROZEN_MS) };
                Act::Freeze(victim)
            }
            Fault::Close => Act::Cut(victim, Cut::Closed),
            Fault::Reset => Act::Cut(victim, Cut::Reset),
            Fault::Hole | Fault::Slow | Fault::Split => {
                let until = now + ms(SPOILT_MS);
                let passage = passage(fault, rng);
                subject.spoilt = Some((passage, until));
                Act::Pass(victim, passage)
            }
        };
        *counts.entry((fault, victim.role())).or_default() += 1;
        Some(act)
    }
}

fn passage(fault: Fault, rng: &mut Rng) -> Passage {
    match fault {
        Fault::Slow => Passage::Slow(Duration::from_millis(rng.random_range(SLOW_MS))),
        Fault::Split => Passage::Split(rng.random_range(SPLIT_BYTES)),
        _ if rng.random_range(0..2) == 0 => Passage::Hole(Direction::Up),
        _ => Passage::Hole(Direction::Down),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const RECOVERY: Duration = Duration::from_secs(5);

    fn faults(seed: u64) -> Faults {
        Faults::new((12, 4), true, RECOVERY, (seed, Timestamp(0)))
    }

    /// What happens within ten minutes.
    fn acts(seed: u64) -> Vec<(Timestamp, Act)> {
        let mut faults = faults(seed);
        let moments = (0..6_000).map(|tick| Timestamp(tick * 100));
        moments.flat_map(|now| faults.poll(now).into_iter().map(move |act| (now, act))).collect()
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(acts(3), acts(3));
        assert_ne!(acts(3), acts(4));
    }

    #[test]
    fn every_fault_meets_everybody_that_it_can_meet() {
        let mut faults = faults(1);
        for tick in 0..36_000 {
            faults.poll(Timestamp(tick * 100));
        }
        for (fault, _) in WEIGHTS {
            let roles =
                Role::ALL.iter().filter(|role| faults.counts.contains_key(&(fault, **role)));
            let can_meet_mosquitto = matches!(fault, Fault::Kill | Fault::Freeze | Fault::Blackout);
            assert_eq!(roles.count(), if can_meet_mosquitto { 3 } else { 2 }, "{fault}");
        }
        assert!(faults.least_kills(Role::Agent) >= Some(50));
    }

    #[test]
    fn apart_from_a_blackout_enough_agents_are_there() {
        for seed in 1..=10 {
            let (mut faults, mut down) = (faults(seed), BTreeSet::new());
            for now in (0..6_000).map(|tick| Timestamp(tick * 100)) {
                let acts = faults.poll(now);
                let is_blackout = acts.iter().filter(|act| matches!(act, Act::Kill(_))).count() > 1;
                for act in acts.into_iter().filter(|_| !is_blackout) {
                    note(act, &mut down);
                }
                assert!(down.len() <= 4, "seed {seed}: {down:?}");
            }
        }
    }

    /// Takes note of an agent that goes or comes.
    fn note(act: Act, down: &mut BTreeSet<Victim>) {
        match act {
            Act::Kill(victim @ Victim::Agent(_)) | Act::Freeze(victim @ Victim::Agent(_)) => {
                down.insert(victim);
            }
            Act::Start(victim) | Act::Thaw(victim) => {
                down.remove(&victim);
            }
            _ => {}
        }
    }

    #[test]
    fn after_the_rest_everybody_is_up() {
        let mut faults = faults(2);
        let mut down = BTreeSet::new();
        let mut spoilt = BTreeSet::new();
        let begun =
            (0..600).flat_map(|tick| faults.poll(Timestamp(tick * 100))).collect::<Vec<_>>();
        for act in begun.into_iter().chain(faults.rest()) {
            match act {
                Act::Kill(victim) | Act::Freeze(victim) => drop(down.insert(victim)),
                Act::Start(victim) | Act::Thaw(victim) => drop(down.remove(&victim)),
                Act::Pass(victim, Passage::Clear) => drop(spoilt.remove(&victim)),
                Act::Pass(victim, _) => drop(spoilt.insert(victim)),
                Act::Cut(..) => {}
            }
        }
        assert_eq!((down.len(), spoilt.len()), (0, 0));
    }
}
