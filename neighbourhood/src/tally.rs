//! What is awaited, what came, and whether it was right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::id::RegionId;
use protocol::message::{Outcome, Phase, Roster, Status, Subject, Target};
use protocol::reading::Register;
use protocol::slot::{Grid, Timestamp, Window};

use crate::truth::Truth;

/// How long results may be under way once their round has ended.
const UNDER_WAY: Duration = Duration::from_secs(3);

/// One sum of a target.
pub(crate) type Sum = (Subject, Register);

/// A result beside the truth.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) outcome: Outcome,
    /// What the sum has to be; none where nothing can be.
    pub(crate) expected: Option<u64>,
    /// From the end of the last slot of the span to the arrival.
    pub(crate) latency: Duration,
    /// A result that differs from the first one for the same sum.
    pub(crate) is_second: bool,
}

impl Checked {
    pub(crate) fn is_right(&self) -> bool {
        !self.is_second && self.expected == Some(self.outcome.sum_wh)
    }
}

/// A target with nothing more to come.
pub(crate) struct Settled {
    pub(crate) target: Target,
    pub(crate) results: BTreeMap<Sum, Checked>,
    pub(crate) missing: BTreeSet<Sum>,
    /// Why there is no result, if the collector said so.
    pub(crate) reason: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything that is awaited has come, or is given up.
    Complete,
    /// By a person, before that.
    Interrupted,
    /// By a party's end, before that.
    Failed,
}

/// What a run amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) region_results: u64,
    pub(crate) meter_results: u64,
    pub(crate) wrong: u64,
    pub(crate) missing: u64,
    pub(crate) refused: u64,
}

struct Awaited {
    missing: BTreeSet<Sum>,
    results: BTreeMap<Sum, Checked>,
    give_up: Timestamp,
    reason: Option<String>,
}

/// The targets of a run.
pub(crate) struct Tally {
    grid: Grid,
    awaited: BTreeMap<Target, Awaited>,
    counts: Counts,
    latencies: Vec<Duration>,
}

impl Tally {
    /// Awaits the sums of the epoch's first `slots` slots, and the bills of
    /// the windows that end within them: one of every meter that has readings
    /// enough for it.
    pub(crate) fn new(region: &RegionId, roster: &Roster, slots: u32, truth: &mut Truth) -> Self {
        let parameters = &roster.parameters;
        let grid = parameters.grid(roster.first_slot);
        let late = parameters.grace() + parameters.deadline() + UNDER_WAY;
        let mut awaited = BTreeMap::new();
        let mut await_sums = |target, end: Timestamp, subjects: Vec<Subject>| {
            let registers = parameters.registers.iter();
            let sums = registers.flat_map(|r| subjects.iter().map(|s| (s.clone(), *r)));
            let (missing, results) = (sums.collect(), BTreeMap::new());
            let give_up = end + late;
            awaited.insert(target, Awaited { missing, results, give_up, reason: None });
        };
        for position in 0..slots {
            let slot = grid.origin.plus(position.into());
            let subjects = vec![Subject::Region(region.clone())];
            await_sums(Target::Region(slot), grid.end(slot), subjects);
        }
        let meters: Vec<_> = roster.members.iter().map(|member| &member.meter).collect();
        for window in 0..u64::from(slots / parameters.window_slots.get()) {
            let window = Window(window);
            // Somebody who is not counted keeps everybody's bill closed.
            let is_billed = meters.iter().all(|meter| truth.fills(meter, window));
            let bills = meters.iter().filter(|_| is_billed);
            let bills = bills.map(|meter| Subject::Meter((*meter).clone()));
            await_sums(Target::Bill(window), grid.window_end(window), bills.collect());
        }
        Self { grid, awaited, counts: Counts::default(), latencies: Vec::new() }
    }

    /// How time is cut.
    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Checks a result; none if nobody awaits it, or it came before.
    pub(crate) fn take(
        &mut self,
        outcome: Outcome,
        arrived: Timestamp,
        truth: &mut Truth,
    ) -> Option<Checked> {
        let (target, end) = self.target(&outcome)?;
        let awaited = self.awaited.get_mut(&target)?;
        let sum = (outcome.subject.clone(), outcome.register);
        let first = awaited.results.get(&sum);
        if first.is_some_and(|first| first.outcome == outcome) {
            return None;
        }
        let (expected, latency) = (truth.expected(&outcome), arrived.since(end));
        let checked = Checked { outcome, expected, latency, is_second: first.is_some() };
        awaited.missing.remove(&sum);
        awaited.results.entry(sum).or_insert_with(|| checked.clone());
        self.count(&checked);
        Some(checked)
    }

    /// The target of a result, and when its last slot ended.
    fn target(&self, outcome: &Outcome) -> Option<(Target, Timestamp)> {
        match outcome.subject {
            Subject::Region(_) => {
                let slot = outcome.first_slot;
                Some((Target::Region(slot), self.grid.end(slot)))
            }
            Subject::Meter(_) => {
                let window = self.grid.window_of(outcome.first_slot)?;
                Some((Target::Bill(window), self.grid.window_end(window)))
            }
        }
    }

    fn count(&mut self, checked: &Checked) {
        match checked.outcome.subject {
            Subject::Region(_) => self.counts.region_results += 1,
            Subject::Meter(_) => self.counts.meter_results += 1,
        }
        self.counts.wrong += u64::from(!checked.is_right());
        self.latencies.push(checked.latency);
    }

    /// Takes note of where a round stands.
    pub(crate) fn note(&mut self, status: Status, now: Timestamp) {
        let Some(awaited) = self.awaited.get_mut(&status.target) else { return };
        match status.phase {
            Phase::Requesting => {}
            // Its results may overtake this status or follow it.
            Phase::Combined => awaited.give_up = awaited.give_up.min(now + UNDER_WAY),
            Phase::Abandoned(reason) => {
                awaited.give_up = awaited.give_up.min(now);
                awaited.reason = Some(reason);
            }
        }
    }

    /// Counts a holder's refusal.
    pub(crate) fn refused(&mut self) {
        self.counts.refused += 1;
    }

    /// The targets with nothing more to come, each once.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Vec<Settled> {
        let is_settled = |awaited: &Awaited| awaited.missing.is_empty() || awaited.give_up <= now;
        let open = std::mem::take(&mut self.awaited);
        let (settled, open) = open.into_iter().partition(|(target, awaited)| {
            // Nobody may be owed a bill: its window still has to end.
            is_settled(awaited) && self.end(*target) <= now
        });
        self.awaited = open;
        let settled: BTreeMap<Target, Awaited> = settled;
        settled.into_iter().map(|(target, awaited)| self.close(target, awaited)).collect()
    }

    fn close(&mut self, target: Target, awaited: Awaited) -> Settled {
        let Awaited { missing, results, reason, .. } = awaited;
        self.counts.missing += u64::try_from(missing.len()).unwrap_or(u64::MAX);
        Settled { target, results, missing, reason }
    }

    fn end(&self, target: Target) -> Timestamp {
        match target {
            Target::Region(slot) => self.grid.end(slot),
            Target::Bill(window) => self.grid.window_end(window),
        }
    }

    /// Whether nothing is awaited any more.
    pub(crate) fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    /// What the run amounts to. What a person did not wait for is not missing.
    pub(crate) fn counts(&self, ending: Ending) -> Counts {
        let open = self.awaited.values().map(|awaited| awaited.missing.len()).sum::<usize>();
        let mut counts = self.counts;
        if ending != Ending::Interrupted {
            counts.missing += u64::try_from(open).unwrap_or(u64::MAX);
        }
        counts
    }

    /// The latency that `percent` of the results keep to.
    pub(crate) fn latency(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests;
