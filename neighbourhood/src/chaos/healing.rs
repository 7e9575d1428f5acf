//! After the last fault: everything is left alone, and judged once it is whole.

use std::time::Duration;

use anyhow::Context as _;
use host::clock;
use protocol::slot::{Timestamp, Window};

use super::fault::Act;
use super::judge::{Findings, Judge};
use super::summary::{Course, Summary};
use super::{RECOVERY, Run};
use crate::floors::WINDOW_SLOTS;
use crate::truth::Truth;

/// Between two looks at the collector's disk.
const DISK_LOOK: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// From here on nothing happens any more.
    pub(super) fn heal(&mut self) -> anyhow::Result<()> {
        for act in self.faults.rest() {
            self.act(act)?;
        }
        self.healed = clock::now();
        self.note("no fault from here on")
    }

    /// The longest time from the last fault until everything is complete: until
    /// everybody is there, to the end of the window after that, and until the
    /// bills of the last window before are past their deadline.
    fn bound(&self) -> Duration {
        let slots = u64::from(WINDOW_SLOTS * self.options.slot_seconds);
        let deadline = u64::from(self.lowered.grace_s() + self.lowered.deadline_s());
        RECOVERY + Duration::from_secs(2 * slots + deadline)
    }

    pub(super) async fn settle(&mut self) -> anyhow::Result<Option<(Window, Duration)>> {
        let mut next = self.healed;
        while clock::now() < self.healed + self.bound() {
            self.look().await?;
            for (role, name) in self.processes.poll_ended() {
                *self.ended.entry(role).or_default() += 1;
                self.write(&format!("{name} has ended by itself"))?;
                self.act(Act::Start(self.victim(&name)))?;
            }
            if next <= clock::now() {
                next = clock::now() + DISK_LOOK;
                let judge = Judge::new(&self.household)?;
                if let Some(window) = judge.settled(self.healed, clock::now())? {
                    return Ok(Some((window, clock::now().since(self.healed))));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn sum_up(&self, settled: Option<(Window, Duration)>) -> anyhow::Result<Summary> {
        let judge = Judge::new(&self.household)?;
        let last = settled.map_or(judge.last_listed(), |(window, _)| window);
        let calm = self.healed + RECOVERY;
        let findings = self.judge(&judge, (last, calm))?;
        let course = Course {
            has_mosquitto: self.options.mosquitto,
            seed: self.seed,
            took: clock::now().since(self.begun),
            ended: self.ended.clone(),
            refused: self.seen.refused,
            settled: settled.map(|(_, took)| took),
            bound: self.bound(),
        };
        Ok(Summary::new(&course, &self.faults, &findings))
    }

    fn judge(&self, judge: &Judge<'_>, span: (Window, Timestamp)) -> anyhow::Result<Findings> {
        let roster = self.roster.as_ref().context("no epoch")?;
        let grid = roster.parameters.grid(roster.first_slot);
        let sources = self.household.agents.iter().map(|agent| (&agent.meter, &agent.source));
        let mut truth = Truth::open(sources, grid, roster.parameters.max_wh_per_slot, None)?;
        judge.judge(span, &self.seen, &mut truth)
    }
}
