//! What is awaited, what came, and whether it was right.

mod span;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::id::{Epoch, MeterId, RegionId};
use protocol::message::{Outcome, Phase, Roster, Status, Subject, Target};
use protocol::parameters::Parameters;
use protocol::reading::Register;
use protocol::slot::{Grid, Slot, Timestamp, Window};

use crate::truth::Truth;
use span::{Opened, window_span};

pub(crate) use span::Span;

/// How long results may be under way once their round has ended.
const UNDER_WAY: Duration = Duration::from_secs(3);

/// The slots that may be billed of each member.
pub(crate) type Billable = BTreeMap<MeterId, Vec<Slot>>;

/// One sum of a span.
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

/// A span with nothing more to come.
pub(crate) struct Settled {
    pub(crate) span: Span,
    pub(crate) results: BTreeMap<Sum, Checked>,
    pub(crate) missing: BTreeSet<Sum>,
    /// Meters of a window that have too few slots that may be billed.
    pub(crate) without_bill: BTreeSet<MeterId>,
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
    /// Epochs with a result.
    pub(crate) epochs: u64,
    /// Bills that a killed agent did not claim in time.
    pub(crate) unclaimed: u64,
    /// Agents that were killed.
    pub(crate) kills: u64,
}

struct Awaited {
    missing: BTreeSet<Sum>,
    results: BTreeMap<Sum, Checked>,
    without_bill: BTreeSet<MeterId>,
    give_up: Timestamp,
    reason: Option<String>,
}

/// The sums of a run.
pub(crate) struct Tally {
    region: RegionId,
    /// Slots and windows as the first epoch cuts them.
    grid: Grid,
    /// First slot after the run.
    end: Slot,
    epochs: BTreeMap<Epoch, Opened>,
    awaited: BTreeMap<Span, Awaited>,
    /// The slots that may be billed of each meter, by window.
    listed: BTreeMap<Span, Billable>,
    /// Whether agents are killed, which then may not claim in time.
    with_kills: bool,
    with_results: BTreeSet<Epoch>,
    counts: Counts,
    latencies: Vec<Duration>,
}

impl Tally {
    /// Awaits the region's sums of `slots` slots from the first slot of the
    /// first epoch on, whichever epoch they will belong to.
    pub(crate) fn new(region: &RegionId, (epoch, roster): (Epoch, &Roster), slots: u32) -> Self {
        let grid = roster.parameters.grid(roster.first_slot);
        let end = grid.origin.plus(slots.into());
        let (epochs, awaited, listed, with_results) = Default::default();
        let (counts, latencies) = Default::default();
        let region = region.clone();
        let mut tally = Self {
            region,
            grid,
            end,
            epochs,
            awaited,
            listed,
            with_kills: false,
            with_results,
            counts,
            latencies,
        };
        for slot in (grid.origin.0..end.0).map(Slot) {
            let subject = Subject::Region(tally.region.clone());
            tally.await_sums(Span::Slot(slot), roster, vec![subject]);
        }
        tally.open(epoch, roster);
        tally
    }

    /// Awaits the bills of an epoch's windows that end within the run, and says
    /// whether the epoch begins within it.
    pub(crate) fn open(&mut self, epoch: Epoch, roster: &Roster) -> bool {
        let grid = roster.parameters.grid(roster.first_slot);
        let meters = roster.members.iter().map(|member| Subject::Meter(member.meter.clone()));
        let meters: Vec<_> = meters.collect();
        let windows = (0..).map(|window| window_span(&grid, Window(window)));
        let end = self.end.min(roster.end_slot);
        for span in windows.take_while(|span| span.last() < end) {
            self.await_sums(span, roster, meters.clone());
        }
        self.epochs.insert(epoch, Opened { roster: roster.clone(), grid });
        roster.first_slot < self.end
    }

    fn await_sums(&mut self, span: Span, roster: &Roster, subjects: Vec<Subject>) {
        let Parameters { registers, .. } = &roster.parameters;
        let late = roster.parameters.grace() + roster.parameters.deadline() + UNDER_WAY;
        let sums = subjects
            .into_iter()
            .flat_map(|subject| registers.iter().map(move |register| (subject.clone(), *register)));
        let (results, without_bill) = Default::default();
        let (missing, reason) = (sums.collect(), None);
        let give_up = self.grid.end(span.last()) + late;
        self.awaited.insert(span, Awaited { missing, results, without_bill, give_up, reason });
    }

    /// How time is cut in the first epoch.
    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The registers that are summed.
    pub(crate) fn registers(&self) -> &[Register] {
        let first = self.epochs.values().next();
        first.map_or(&[], |opened| &opened.roster.parameters.registers)
    }

    /// The roster of an epoch that has opened.
    pub(crate) fn roster(&self, epoch: Epoch) -> Option<Roster> {
        self.epochs.get(&epoch).map(|opened| opened.roster.clone())
    }

    /// The rosters of which sums may still be opened.
    pub(crate) fn rosters(&self, now: Timestamp) -> Vec<&Roster> {
        let is_open = |opened: &&Opened| {
            opened.grid.start(opened.roster.end_slot) + opened.roster.parameters.grace() >= now
        };
        self.epochs.values().filter(is_open).map(|opened| &opened.roster).collect()
    }

    /// Whether the last slot is over.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.grid.start(self.end) <= now
    }

    /// Checks a result; none if nobody awaits it, or it came before.
    pub(crate) fn take(
        &mut self,
        (epoch, outcome): (Epoch, Outcome),
        arrived: Timestamp,
        truth: &mut Truth,
    ) -> Option<Checked> {
        let opened = self.epochs.get(&epoch)?;
        let (span, is_sound) = (opened.span(&outcome)?, opened.is_sound(&outcome));
        let is_sound = is_sound && self.is_listed(span, &outcome);
        let awaited = self.awaited.get_mut(&span)?;
        let sum = (outcome.subject.clone(), outcome.register);
        let first = awaited.results.get(&sum);
        if first.is_some_and(|first| first.outcome == outcome) {
            return None;
        }
        let expected = truth.expected(&outcome).filter(|_| is_sound);
        let latency = arrived.since(self.grid.end(span.last()));
        let checked = Checked { outcome, expected, latency, is_second: first.is_some() };
        awaited.missing.remove(&sum);
        awaited.results.entry(sum).or_insert_with(|| checked.clone());
        self.with_results.insert(epoch);
        self.count(&checked);
        Some(checked)
    }

    /// Whether a bill covers what the final listing of its window opens.
    fn is_listed(&self, span: Span, outcome: &Outcome) -> bool {
        let Subject::Meter(meter) = &outcome.subject else { return true };
        let slots = self.listed.get(&span).and_then(|listed| listed.get(meter));
        slots.is_some_and(|slots| *slots == covered(outcome, span))
    }

    /// Takes note of a final listing: which slots of whom may be billed.
    pub(crate) fn note_listed(&mut self, epoch: Epoch, window: Window, billable: Billable) {
        let Some(opened) = self.epochs.get(&epoch) else { return };
        let span = window_span(&opened.grid, window);
        let least = usize::from(opened.roster.parameters.min_slots);
        let too_few = billable.iter().filter(|(_, slots)| slots.len() < least);
        let without: BTreeSet<_> = too_few.map(|(meter, _)| meter.clone()).collect();
        if let Some(awaited) = self.awaited.get_mut(&span) {
            awaited.missing.retain(
                |(subject, _)| !matches!(subject, Subject::Meter(meter) if without.contains(meter)),
            );
            awaited.without_bill = without;
        }
        self.listed.insert(span, billable);
    }

    /// From now on agents are killed.
    pub(crate) fn expect_kills(&mut self) {
        self.with_kills = true;
    }

    fn count(&mut self, checked: &Checked) {
        match checked.outcome.subject {
            Subject::Region(_) => self.counts.region_results += 1,
            Subject::Meter(_) => self.counts.meter_results += 1,
        }
        self.counts.wrong += u64::from(!checked.is_right());
        self.latencies.push(checked.latency);
    }

    /// Takes note of where a round of an epoch stands.
    pub(crate) fn note(&mut self, epoch: Epoch, status: Status, now: Timestamp) {
        let Some(opened) = self.epochs.get(&epoch) else { return };
        let span = match status.target {
            Target::Region(slot) => Span::Slot(slot),
            Target::Bill(portion) => window_span(&opened.grid, portion.window),
        };
        let Some(awaited) = self.awaited.get_mut(&span) else { return };
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

    /// The spans with nothing more to come, each once.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Vec<Settled> {
        let is_settled = |awaited: &Awaited| awaited.missing.is_empty() || awaited.give_up <= now;
        let open = std::mem::take(&mut self.awaited);
        let (settled, open) = open
            .into_iter()
            .partition(|(span, awaited)| is_settled(awaited) && self.grid.end(span.last()) <= now);
        self.awaited = open;
        let settled: BTreeMap<Span, Awaited> = settled;
        settled.into_iter().map(|(span, awaited)| self.close(span, awaited)).collect()
    }

    fn close(&mut self, span: Span, awaited: Awaited) -> Settled {
        let Awaited { mut missing, results, without_bill, reason, .. } = awaited;
        if self.with_kills && matches!(span, Span::Window(..)) {
            self.counts.unclaimed += u64::try_from(missing.len()).unwrap_or(u64::MAX);
            missing.clear();
        }
        self.counts.missing += u64::try_from(missing.len()).unwrap_or(u64::MAX);
        Settled { span, results, missing, without_bill, reason }
    }

    /// Whether nothing is awaited any more.
    pub(crate) fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    /// What the run amounts to. What a person did not wait for is not missing.
    pub(crate) fn counts(&self, ending: Ending) -> Counts {
        let open = self.awaited.values().map(|awaited| awaited.missing.len()).sum::<usize>();
        let epochs = u64::try_from(self.with_results.len()).unwrap_or(u64::MAX);
        let mut counts = Counts { epochs, ..self.counts };
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

/// The slots that a bill says that it covers.
pub(crate) fn covered(outcome: &Outcome, span: Span) -> Vec<Slot> {
    let Span::Window(first, last) = span else { return Vec::new() };
    let left_out = |slot: &Slot| {
        outcome.uncounted_slots.contains(slot) || outcome.withheld_slots.contains(slot)
    };
    let own = (first.0..=last.0).map(Slot).filter(|slot| !left_out(slot));
    outcome.joined_slots.iter().copied().chain(own).collect()
}

#[cfg(test)]
pub(crate) mod tests;
