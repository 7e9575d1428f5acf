//! What a person is told before anything runs.

use crate::args::Options;
use crate::household::Household;

use super::Run;

impl Run<'_> {
    pub(super) fn introduce(&self) -> anyhow::Result<()> {
        let Options { meters, slots, slot_seconds, csv, .. } = self.options;
        let readings = match csv {
            Some(file) => format!("readings recorded in {}", file.display()),
            None => "simulated readings, a quarter of an hour's in each slot".to_owned(),
        };
        let parties = format!("a collector with its broker and {meters} agents, each a process");
        self.display.note(&format!("{parties}; {slots} slots of {slot_seconds} s; {readings}"))?;
        let (threshold, corrupted) = (self.lowered.threshold(), self.lowered.max_corrupted());
        self.display.note(&format!(
            "threshold {threshold} of {meters}: so many holders open a sum; max_corrupted \
             {corrupted}: so many may collude with the collector"
        ))?;
        if self.options.epochs > 1 {
            let (epochs, windows) = (self.options.epochs, self.options.epoch_windows()?);
            self.display.note(&format!("{epochs} epochs of {windows} windows"))?;
        }
        if self.options.kill > 0 {
            let Options { kill, kill_seed, .. } = self.options;
            self.display
                .note(&format!("up to {kill} agents are killed at a time, seed {kill_seed}"))?;
        }
        self.display.note("lowered for this demonstration:")?;
        for reason in self.lowered.reasons() {
            self.display.note(&format!("  {reason}"))?;
        }
        Ok(())
    }

    /// Says which meter is a real one.
    pub(super) fn introduce_capture(&mut self, household: &Household) -> anyhow::Result<()> {
        let (Some(file), Some(bridge), Some(meter)) =
            (&self.options.p1, &self.bridge, household.captured())
        else {
            return Ok(());
        };
        let (file, count, address) = (file.display(), bridge.telegrams(), bridge.address());
        self.display.note(&format!(
            "{meter} is the P1 capture {file}: {count} telegrams, one a second, over TCP from \
             {address}; the other meters are simulated"
        ))?;
        self.display.label(meter.clone());
        Ok(())
    }
}
