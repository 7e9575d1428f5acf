//! What the sums have to be: the readings themselves, from the same sources as
//! the agents'. Only a demonstration knows them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use meter_agent::source::{Answer, Source, SourceConfig};
use protocol::id::MeterId;
use protocol::message::{Outcome, Subject};
use protocol::reading::{Reading, Register};
use protocol::slot::{Grid, Slot, Window};

/// Every meter's readings.
pub(crate) struct Truth {
    grid: Grid,
    max_wh_per_slot: u32,
    sources: BTreeMap<MeterId, Source>,
}

impl Truth {
    /// Opens every meter's source for the epoch's grid.
    pub(crate) fn open<'a>(
        meters: impl Iterator<Item = (&'a MeterId, &'a SourceConfig)>,
        grid: Grid,
        max_wh_per_slot: u32,
    ) -> anyhow::Result<Self> {
        let open = |(meter, config): (&MeterId, &SourceConfig)| {
            let source = Source::open(config, grid.slot_seconds);
            Ok((meter.clone(), source.with_context(|| format!("the source of {meter}"))?))
        };
        let sources = meters.map(open).collect::<anyhow::Result<_>>()?;
        Ok(Self { grid, max_wh_per_slot, sources })
    }

    /// What a result has to be; none if it names what cannot be in a sum.
    pub(crate) fn expected(&mut self, outcome: &Outcome) -> Option<u64> {
        match &outcome.subject {
            Subject::Region(_) => self.expected_of_region(outcome),
            Subject::Meter(meter) => self.expected_of_meter(meter, outcome),
        }
    }

    fn expected_of_region(&mut self, outcome: &Outcome) -> Option<u64> {
        let distinct = outcome.contributors.is_sorted_by(|a, b| a < b);
        if outcome.slots != 1 || !distinct {
            return None;
        }
        let reading = |meter| self.reading(meter, outcome.first_slot, outcome.register);
        outcome.contributors.iter().map(reading).sum()
    }

    fn expected_of_meter(&mut self, meter: &MeterId, outcome: &Outcome) -> Option<u64> {
        let left_out = &outcome.uncounted_slots;
        let span = self.span(outcome.first_slot);
        let counted: Vec<_> = span.filter(|slot| !left_out.contains(slot)).collect();
        if u32::try_from(counted.len()) != Ok(outcome.slots) {
            return None;
        }
        counted.into_iter().map(|slot| self.reading(meter, slot, outcome.register)).sum()
    }

    /// Whether a meter has readings in at least `needed` slots of a window.
    pub(crate) fn fills(&mut self, meter: &MeterId, window: Window, needed: u16) -> bool {
        // An invented home always has a reading.
        if self.sources.get(meter).is_some_and(Source::is_simulated) {
            return true;
        }
        let span = self.span(self.grid.first_slot(window));
        let found = span.filter(|slot| self.reading(meter, *slot, Register::Import).is_some());
        found.count() >= usize::from(needed)
    }

    fn span(&self, first: Slot) -> impl Iterator<Item = Slot> + use<> {
        (0..self.grid.window_slots.get()).map(move |position| first.plus(position.into()))
    }

    /// What the meter's agent encrypts for a slot; none if it has no reading.
    fn reading(&mut self, meter: &MeterId, slot: Slot, register: Register) -> Option<u64> {
        let source = self.sources.get_mut(meter)?;
        let Ok(Answer::Ready(quantities)) = source.read(&self.grid, slot, self.grid.end(slot))
        else {
            return None;
        };
        let reading = Reading::new(*quantities.get(&register)?, self.max_wh_per_slot).ok()?;
        Some(reading.to_plaintext())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meter_agent::source::csv::{CsvConfig, Home, Unit};
    use std::num::NonZeroU32;

    const ORIGIN: Slot = Slot(1000);

    /// Meter i has the reading 2^i in the first slot, and four times as much
    /// in each slot after it; `m-2` has none in the second.
    fn truth() -> Truth {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homes.csv");
        std::fs::write(&file, "slot,a,b\n0,1,2\n1,4,\n2,16,32\n3,40000,8\n").unwrap();
        let config = |place| {
            let home = Home::Place(place);
            SourceConfig::Csv(CsvConfig { file: file.clone(), home, unit: Unit::Wh })
        };
        let meters = [(meter("m-1"), config(0)), (meter("m-2"), config(1))];
        let grid = Grid {
            slot_seconds: NonZeroU32::new(3).unwrap(),
            window_slots: NonZeroU32::new(4).unwrap(),
            origin: ORIGIN,
        };
        Truth::open(meters.iter().map(|(meter, config)| (meter, config)), grid, 65_535).unwrap()
    }

    fn meter(name: &str) -> MeterId {
        name.parse().unwrap()
    }

    fn outcome(subject: Subject, position: u64, contributors: &[&str]) -> Outcome {
        Outcome {
            subject,
            register: Register::Import,
            first_slot: ORIGIN.plus(position),
            slots: 1,
            sum_wh: 0,
            contributors: contributors.iter().map(|name| meter(name)).collect(),
            uncounted: Vec::new(),
            uncounted_slots: Vec::new(),
        }
    }

    fn of_region(position: u64, contributors: &[&str]) -> Option<u64> {
        let region = Subject::Region("demo".parse().unwrap());
        truth().expected(&outcome(region, position, contributors))
    }

    fn of_meter(name: &str, left_out: &[u64]) -> Option<u64> {
        let mut outcome = outcome(Subject::Meter(meter(name)), 0, &[name]);
        outcome.uncounted_slots = left_out.iter().map(|position| ORIGIN.plus(*position)).collect();
        outcome.slots = 4 - u32::try_from(left_out.len()).unwrap();
        truth().expected(&outcome)
    }

    #[test]
    fn a_region_sum_is_that_of_its_contributors() {
        assert_eq!(of_region(0, &["m-1", "m-2"]), Some(3));
        assert_eq!(of_region(2, &["m-2"]), Some(32));
    }

    #[test]
    fn a_meter_without_a_reading_cannot_be_in_a_sum() {
        assert_eq!(of_region(1, &["m-1"]), Some(4));
        assert_eq!(of_region(1, &["m-1", "m-2"]), None);
        // More than half of the most that a contribution holds.
        assert_eq!(of_region(3, &["m-1"]), None);
    }

    #[test]
    fn nobody_contributes_twice() {
        assert_eq!(of_region(0, &["m-1", "m-1"]), None);
    }

    #[test]
    fn a_bill_is_the_sum_of_its_slots() {
        assert_eq!(of_meter("m-1", &[3]), Some(21));
        assert_eq!(of_meter("m-2", &[1]), Some(42));
        assert_eq!(of_meter("m-2", &[]), None);
    }

    #[test]
    fn a_bill_counts_as_many_slots_as_it_says() {
        let mut outcome = outcome(Subject::Meter(meter("m-2")), 0, &["m-2"]);
        outcome.uncounted_slots = vec![ORIGIN.plus(1)];
        outcome.slots = 4;
        assert_eq!(truth().expected(&outcome), None);
    }

    #[test]
    fn a_window_is_filled_by_readings_alone() {
        let fills = |name, needed| truth().fills(&meter(name), Window(0), needed);
        assert!(fills("m-1", 3) && !fills("m-1", 4));
        assert!(fills("m-2", 3) && !fills("m-2", 4));
    }
}
