//! The failure conditions: what must hold at the end, whatever has happened.

mod findings;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{ElGamal, Participant};
use anyhow::Context as _;
use meter_agent::Config;
use protocol::history;
use protocol::id::{Epoch, MeterId};
use protocol::listing::{self, Listed};
use protocol::message::{Outcome, Subject, Target};
use protocol::portion::Portion;
use protocol::record::Records;
use protocol::roster::AcceptedRoster;
use protocol::round::Ended;
use protocol::slot::{Slot, Timestamp, Window};

use super::contents::{self, Place};
use super::seen::{Seen, opened};
use crate::balance::Books;
use crate::disks;
use crate::household::Household;
use crate::truth::Truth;
pub(super) use findings::Findings;

/// The epoch of the whole run.
const EPOCH: Epoch = Epoch(1);

/// The records of a collector, beside what has to be in them.
pub(super) struct Judge<'a> {
    household: &'a Household,
    records: Records,
    roster: AcceptedRoster<ElGamal>,
    listed: BTreeMap<Window, Listed>,
}

impl<'a> Judge<'a> {
    /// Reads the collector's records, also while it runs.
    pub(super) fn new(household: &'a Household) -> anyhow::Result<Self> {
        let of = (&household.region, &household.registrar);
        let records = disks::of_collector(&household.collector, &household.region)?;
        let roster = disks::roster(&records, EPOCH, of)?;
        let listed = listing::kept(&roster, &records)?.into_iter();
        let listed = listed.map(|(listed, _)| (listed.portion().window, listed)).collect();
        Ok(Self { household, records, roster, listed })
    }

    /// The first window from a moment on in which every slot was opened with
    /// every meter and everybody has a bill, if everything before it is over.
    pub(super) fn settled(
        &self,
        from: Timestamp,
        now: Timestamp,
    ) -> anyhow::Result<Option<Window>> {
        let grid = self.roster.grid();
        let begins = |window: &Window| grid.start(grid.first_slot(*window)) >= from;
        for window in self.listed.keys().copied().filter(begins) {
            if self.is_whole(window)? && self.are_over_before(window, now)? {
                return Ok(Some(window));
            }
        }
        Ok(None)
    }

    fn is_whole(&self, window: Window) -> anyhow::Result<bool> {
        let members = self.roster.participants().count();
        for slot in self.slots_of(window) {
            let outcomes = self.outcomes(Target::Region(slot))?;
            if !outcomes.iter().any(|outcome| outcome.contributors.len() == members) {
                return Ok(false);
            }
        }
        let registers = self.roster.parameters().registers.len();
        Ok(self.outcomes(bill(window))?.len() == members * registers)
    }

    /// Whether every round before a window has ended, and every listing before
    /// it is final or past its deadline.
    fn are_over_before(&self, window: Window, now: Timestamp) -> anyhow::Result<bool> {
        for earlier in (0..window.0).map(Window) {
            let is_past = self.roster.window_deadline(earlier) < now;
            let is_listed = self.listed.contains_key(&earlier);
            for slot in self.slots_of(earlier) {
                if self.end(Target::Region(slot))?.is_none() {
                    return Ok(false);
                }
            }
            let is_billed = is_listed && self.end(bill(earlier))?.is_some();
            if !(is_past || is_billed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The latest window with a final listing.
    pub(super) fn last_listed(&self) -> Window {
        self.listed.keys().next_back().copied().unwrap_or(Window(0))
    }

    /// Judges the disks of stopped parties, up to the end of a window. What
    /// begins from `calm` on is whole.
    pub(super) fn judge(
        &self,
        (last, calm): (Window, Timestamp),
        seen: &Seen,
        truth: &mut Truth,
    ) -> anyhow::Result<Findings> {
        let mut findings =
            Findings { damaged: disks::damaged(self.household)?, ..Findings::default() };
        let contents = contents::of(&self.records, &self.roster, self.household)?;
        for window in (0..=last.0).map(Window) {
            for slot in self.slots_of(window) {
                self.judge_slot(slot, calm, truth, &mut findings)?;
            }
            if let Some(listed) = self.listed.get(&window) {
                truth.note_listed(self.roster.body(), listed);
                self.judge_bills(listed, calm, truth, &mut findings)?;
            }
        }
        self.judge_receipts(seen, &mut findings)?;
        self.judge_sightings(seen, &mut findings)?;
        self.weigh(&contents, truth, &mut findings)?;
        Ok(findings)
    }

    fn judge_slot(
        &self,
        slot: Slot,
        calm: Timestamp,
        truth: &mut Truth,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let target = Target::Region(slot);
        findings.slots += 1;
        match self.end(target)? {
            Some(Ended::Combined(_)) => {}
            Some(Ended::Abandoned(end)) if !end.reason.is_empty() => findings.abandoned += 1,
            Some(Ended::Abandoned(_)) => {
                findings.missing.push(format!("why slot {slot} was abandoned"));
            }
            None => findings.missing.push(format!("the end of slot {slot}")),
        }
        let (outcomes, members) = (self.outcomes(target)?, self.roster.participants().count());
        let is_whole = outcomes.first().is_some_and(|of| of.contributors.len() == members);
        findings.opened += u64::from(!outcomes.is_empty());
        findings.whole += u64::from(is_whole);
        if !is_whole && self.roster.grid().start(slot) >= calm {
            findings.missing.push(format!("a sum of every meter for the calm slot {slot}"));
        }
        self.verify(target, findings);
        compare(&outcomes, truth, findings);
        Ok(())
    }

    fn judge_bills(
        &self,
        listed: &Listed,
        calm: Timestamp,
        truth: &mut Truth,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let (portion, grid) = (listed.portion(), self.roster.grid());
        let outcomes = self.outcomes(Target::Bill(portion))?;
        let billed: BTreeSet<_> = outcomes.iter().map(|outcome| &outcome.subject).collect();
        findings.bills += outcomes.len() as u64;
        let least = usize::from(self.roster.parameters().min_slots);
        let is_calm = grid.start(grid.first_slot(portion.window)) >= calm;
        for (of, meter) in self.roster.participants() {
            let may_bill = listed.billed(of).len() >= least;
            if may_bill && !billed.contains(&Subject::Meter(meter.clone())) {
                findings.unclaimed += 1;
                if is_calm {
                    findings.missing.push(format!("the bill of {meter} for {portion:?}"));
                }
            }
        }
        for outcome in &outcomes {
            let Subject::Meter(meter) = &outcome.subject else { continue };
            let of = self.roster.member(meter).map(|(of, _)| listed.billed(of));
            if of.is_none_or(|slots| slots.len() as u64 != u64::from(outcome.slots)) {
                findings.wrong.push(format!("the slots in the bill of {meter} for {portion:?}"));
            }
        }
        self.verify(Target::Bill(portion), findings);
        compare(&outcomes, truth, findings);
        Ok(())
    }

    fn verify(&self, target: Target, findings: &mut Findings) {
        if let Err(error) = disks::verify(&self.records, &self.roster, target) {
            findings.wrong.push(format!("{error:#}"));
        }
    }

    /// What was receipted as on time is in the sum of its slot, if there is
    /// one, and in the listing of a slot that counts anybody.
    fn judge_receipts(&self, seen: &Seen, findings: &mut Findings) -> anyhow::Result<()> {
        let mut on_time = seen.on_time.clone();
        for agent in &self.household.agents {
            let records = meter_agent::sent::records(&Config::load(&agent.config)?)?;
            for epoch in history::of(&records)? {
                let slots = epoch.slots.iter().filter(|of| of.on_time == Some(true));
                on_time.extend(slots.map(|of| (agent.meter.clone(), of.slot)));
            }
        }
        findings.receipts = on_time.len() as u64;
        for (meter, slot) in on_time {
            let outcomes = self.outcomes(Target::Region(slot))?;
            let is_left_out = outcomes.iter().any(|of| !of.contributors.contains(&meter));
            if is_left_out || self.is_unlisted(&meter, slot) {
                findings.missing.push(format!("{meter} in slot {slot}, receipted as on time"));
            }
        }
        Ok(())
    }

    /// Whether a final listing counts others in a slot and not this meter.
    fn is_unlisted(&self, meter: &MeterId, slot: Slot) -> bool {
        let window = self.roster.grid().window_of(slot);
        let listed = window.and_then(|window| self.listed.get(&window));
        let (Some(listed), Some((of, _))) = (listed, self.roster.member(meter)) else {
            return false;
        };
        let counts_any = self.roster.participants().any(|(any, _)| listed.is_counted(slot, any));
        counts_any && !listed.is_counted(slot, of)
    }

    /// What was published is what is kept, and was never another sum.
    fn judge_sightings(&self, seen: &Seen, findings: &mut Findings) -> anyhow::Result<()> {
        for outcome in &seen.contradictions {
            findings.wrong.push(format!("a second result: {}", said(outcome)));
        }
        for outcome in seen.results.values() {
            let target = self.target(outcome).context("a result outside of the epoch")?;
            let kept = self.outcomes(target)?;
            let of = opened(EPOCH, outcome);
            if !kept.iter().any(|kept| opened(EPOCH, kept) == of && is_same(kept, outcome)) {
                findings.wrong.push(format!("not what is kept: {}", said(outcome)));
            }
        }
        Ok(())
    }

    /// All energy that a meter measured is in a listed contribution, or waits,
    /// or was given up.
    fn weigh(
        &self,
        contents: &BTreeMap<Place, u64>,
        truth: &mut Truth,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let mut books = Books::default();
        for listed in self.listed.values() {
            books.note_listed(self.roster.body(), listed);
        }
        let registers = &self.roster.parameters().registers;
        for agent in &self.household.agents {
            let one = books.weigh_one(agent, truth, (self.roster.grid(), registers))?;
            let counted = self.counted_wh(&agent.meter, contents, findings);
            let found = counted + one.unsettled_wh + one.pooled_wh + one.lost_wh;
            findings.measured_wh += one.measured_wh;
            findings.lost_wh += one.lost_wh;
            if found != one.measured_wh {
                findings.uneven.push(format!(
                    "{}: {} Wh measured, {counted} counted, {} unsettled, {} pooled, {} given up",
                    agent.meter, one.measured_wh, one.unsettled_wh, one.pooled_wh, one.lost_wh
                ));
            }
        }
        Ok(())
    }

    fn counted_wh(
        &self,
        meter: &MeterId,
        contents: &BTreeMap<Place, u64>,
        findings: &mut Findings,
    ) -> u64 {
        let of = self.roster.member(meter).map_or(Participant(u16::MAX), |(of, _)| of);
        let mut sum = 0;
        for listed in self.listed.values() {
            for slot in listed.slots().iter().filter(|slot| listed.is_counted(**slot, of)) {
                for register in &self.roster.parameters().registers {
                    match contents.get(&(*slot, meter.clone(), *register)) {
                        Some(wh) => sum += wh,
                        None => findings.missing.push(format!("{meter}'s part of slot {slot}")),
                    }
                }
            }
        }
        sum
    }

    fn slots_of(&self, window: Window) -> impl Iterator<Item = Slot> + use<> {
        let grid = self.roster.grid();
        (grid.first_slot(window).0..=grid.last_slot(window).0).map(Slot)
    }

    fn target(&self, outcome: &Outcome) -> Option<Target> {
        match outcome.subject {
            Subject::Region(_) => Some(Target::Region(outcome.first_slot)),
            Subject::Meter(_) => Some(bill(self.roster.grid().window_of(outcome.first_slot)?)),
        }
    }

    fn end(&self, target: Target) -> anyhow::Result<Option<Ended>> {
        disks::end(&self.records, EPOCH, target)
    }

    fn outcomes(&self, target: Target) -> anyhow::Result<Vec<Outcome>> {
        disks::outcomes(&self.records, &self.roster, target)
    }
}

/// There is one tariff step.
fn bill(window: Window) -> Target {
    Target::Bill(Portion { window, step: protocol::tariff::StepId(0) })
}

/// Every sum is the truth of exactly the contributors that it names.
fn compare(outcomes: &[Outcome], truth: &mut Truth, findings: &mut Findings) {
    for outcome in outcomes {
        let expected = truth.expected(outcome);
        if expected != Some(outcome.sum_wh) {
            findings.wrong.push(format!("{}, expected {expected:?}", said(outcome)));
        }
    }
}

/// Whether two results say the same sum of the same contributions.
fn is_same(kept: &Outcome, told: &Outcome) -> bool {
    (kept.sum_wh, kept.slots, &kept.contributors) == (told.sum_wh, told.slots, &told.contributors)
}

fn said(outcome: &Outcome) -> String {
    let Outcome { subject, register, first_slot, sum_wh, contributors, .. } = outcome;
    let count = contributors.len();
    format!("{subject:?} {register:?} from {first_slot}: {sum_wh} Wh of {count} meters")
}
