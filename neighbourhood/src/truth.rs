//! What the sums have to be: the readings themselves, from the same sources as
//! the agents', or the stands that a captured meter showed. Only a demonstration
//! knows them.

mod pools;
mod stands;

use std::collections::BTreeMap;

use aggregation::Participant;
use anyhow::Context as _;
use meter_agent::source::{Answer, Source, SourceConfig};
use protocol::id::MeterId;
use protocol::listing::Listed;
use protocol::message::{Outcome, Roster, Subject};
use protocol::reading::{Reading, Register};
use protocol::slot::{Grid, Slot};
use tokio::sync::mpsc::error::TryRecvError;

use self::pools::Pools;
use self::stands::Stands;
use crate::bridge::Bridge;
use crate::tally::{Span, covered};

/// Every meter's readings.
pub(crate) struct Truth {
    grid: Grid,
    max_wh_per_slot: u32,
    sources: BTreeMap<MeterId, Source>,
    played: Option<Played>,
    /// What may be carried.
    pools: Pools,
}

/// A meter whose capture is played.
pub(crate) struct Played {
    meter: MeterId,
    bridge: Bridge,
    stands: Stands,
    /// Whether the capture has ended.
    is_over: bool,
    /// Whether that was told.
    is_told: bool,
}

impl Truth {
    /// Opens every meter's source for the grid of the first epoch. `played` has
    /// none.
    pub(crate) fn open<'a>(
        meters: impl Iterator<Item = (&'a MeterId, &'a SourceConfig)>,
        grid: Grid,
        max_wh_per_slot: u32,
        played: Option<Played>,
    ) -> anyhow::Result<Self> {
        let open = |(meter, config): (&MeterId, &SourceConfig)| {
            let source = Source::open(config, grid.slot_seconds);
            Ok((meter.clone(), source.with_context(|| format!("the source of {meter}"))?))
        };
        let is_played =
            |meter: &MeterId| played.as_ref().is_some_and(|played| played.meter == *meter);
        let meters = meters.filter(|(meter, _)| !is_played(meter));
        let sources = meters.map(open).collect::<anyhow::Result<_>>()?;
        Ok(Self { grid, max_wh_per_slot, sources, played, pools: Pools::default() })
    }

    /// What a result has to be; none if it names what cannot be in a sum. What
    /// a meter carries is not known of a single sum: one that is larger by no
    /// more than waits in its contributors' pools is as it has to be.
    pub(crate) fn expected(&mut self, outcome: &Outcome) -> Option<u64> {
        let read = match &outcome.subject {
            Subject::Region(_) => self.expected_of_region(outcome)?,
            Subject::Meter(meter) => self.expected_of_meter(meter, outcome)?,
        };
        let most = self.pools.carried(outcome);
        let carried = outcome.sum_wh.checked_sub(read).filter(|carried| *carried <= most);
        Some(read + carried.unwrap_or_default())
    }

    /// Takes note of a final listing: what its members did not get into a sum
    /// waits in their pools.
    pub(crate) fn note_listed(&mut self, roster: &Roster, listed: &Listed) {
        for (at, member) in (0..).map(Participant).zip(&roster.members) {
            let slots = listed.slots().iter().copied();
            let uncounted = slots.filter(|slot| !listed.is_counted(*slot, at));
            for slot in uncounted.collect::<Vec<_>>() {
                for register in &roster.parameters.registers {
                    let wh = self.energy(&member.meter, slot, *register).unwrap_or_default();
                    self.pools.add(&member.meter, *register, wh);
                }
            }
            self.pools.release(&member.meter, roster.parameters.min_slots);
        }
    }

    /// All that a meter measured in Wh in the slots before one.
    pub(crate) fn measured(&mut self, meter: &MeterId, end: Slot, register: Register) -> u64 {
        let slots = (self.grid.origin.0..end.0).map(Slot);
        slots.filter_map(|slot| self.energy(meter, slot, register)).sum()
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
        let counted = self.covered(outcome);
        if u32::try_from(counted.len()) != Ok(outcome.slots) {
            return None;
        }
        counted.into_iter().map(|slot| self.reading(meter, slot, outcome.register)).sum()
    }

    /// How far the register of a result's played meter rose in the slots that
    /// are counted: from the beginning to the end of each run of them.
    pub(crate) fn register_difference(&mut self, outcome: &Outcome) -> Option<u64> {
        let counted = self.covered(outcome);
        let grid = self.grid;
        let stands = self.played.as_mut()?.stands();
        let mut runs = counted.chunk_by(|slot, next| slot.plus(1) == *next);
        runs.try_fold(0_u64, |sum, run| {
            let (first, last) = (run.first()?, run.last()?);
            sum.checked_add(stands.rise(outcome.register, grid.start(*first), grid.end(*last))?)
        })
    }

    /// The meter whose capture has ended, and the first slot that it has no
    /// reading for; once.
    pub(crate) fn poll_over(&mut self) -> Option<(MeterId, Slot)> {
        let (grid, played) = (self.grid, self.played.as_mut()?);
        let last = played.stands().last()?;
        let is_news = played.is_over && !played.is_told;
        played.is_told = played.is_over;
        is_news.then(|| (played.meter.clone(), grid.slot_at(last)))
    }

    fn covered(&self, outcome: &Outcome) -> Vec<Slot> {
        let first = outcome.first_slot;
        covered(
            outcome,
            Span::Window(first, first.plus(u64::from(self.grid.window_slots.get()) - 1)),
        )
    }

    /// What the meter's agent encrypts for a slot; none if it has no reading.
    fn reading(&mut self, meter: &MeterId, slot: Slot, register: Register) -> Option<u64> {
        let wh = self.energy(meter, slot, register)?;
        Some(Reading::new(wh, self.max_wh_per_slot).ok()?.to_plaintext())
    }

    /// What the meter measured in a slot.
    fn energy(&mut self, meter: &MeterId, slot: Slot, register: Register) -> Option<u64> {
        let (start, end) = (self.grid.start(slot), self.grid.end(slot));
        match self.played.as_mut().filter(|played| played.meter == *meter) {
            Some(played) => played.stands().rise(register, start, end),
            None => match self.sources.get_mut(meter)?.read(&self.grid, slot, end) {
                Ok(Answer::Ready(quantities)) => quantities.get(&register).copied(),
                _ => None,
            },
        }
    }
}

impl Played {
    /// The meter whose port the bridge plays.
    pub(crate) fn new(meter: MeterId, bridge: Bridge) -> Self {
        Self { meter, bridge, stands: Stands::default(), is_over: false, is_told: false }
    }

    /// What went so far.
    fn stands(&mut self) -> &Stands {
        while !self.is_over {
            match self.bridge.poll_sent() {
                Ok(sent) => self.stands.insert(sent.at, sent.stands),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.is_over = true,
            }
        }
        &self.stands
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Sent;
    use meter_agent::source::csv::{CsvConfig, Home, Unit};
    use protocol::slot::Timestamp;
    use std::num::NonZeroU32;

    const ORIGIN: Slot = Slot(1000);

    /// Meter i has the reading 2^i in the first slot, and four times as much
    /// in each slot after it; `m-2` has none in the second.
    fn truth() -> Truth {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homes.csv");
        std::fs::write(&file, "slot,a,b,c\n0,1,2,0\n1,4,,0\n2,16,32,0\n3,40000,8,0\n").unwrap();
        let config = |place| {
            let home = Home::Place(place);
            SourceConfig::Csv(CsvConfig { file: file.clone(), home, unit: Unit::Wh })
        };
        let meters =
            [("m-1", 0), ("m-2", 1), ("m-4", 2)].map(|(name, place)| (meter(name), config(place)));
        let grid = Grid {
            slot_seconds: NonZeroU32::new(3).unwrap(),
            window_slots: NonZeroU32::new(4).unwrap(),
            origin: ORIGIN,
        };
        let meters = meters.iter().map(|(meter, config)| (meter, config));
        Truth::open(meters, grid, 65_535, None).unwrap()
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
            step: None,
            uncounted_slots: Vec::new(),
            withheld_slots: Vec::new(),
            joined_slots: Vec::new(),
            helpers: Vec::new(),
            unanswered: Vec::new(),
            culprits: Vec::new(),
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

    /// A meter whose register rises by 2^i Wh in slot i, of which the capture
    /// shows `seconds` from the beginning of the first.
    fn played(seconds: u64) -> Truth {
        let sent = |s: u64| {
            let at = Timestamp(ORIGIN.0 * 3_000 + s * 1_000);
            Sent { at, stands: [(Register::Import, (1 << s.div_ceil(3)) - 1)].into() }
        };
        let bridge = Bridge::after((0..=seconds).map(sent).collect());
        let played = Played::new(meter("m-3"), bridge);
        Truth { played: Some(played), ..truth() }
    }

    fn bill(left_out: &[u64]) -> Outcome {
        let mut bill = outcome(Subject::Meter(meter("m-3")), 0, &["m-3"]);
        bill.uncounted_slots = left_out.iter().map(|position| ORIGIN.plus(*position)).collect();
        bill.slots = 4 - u32::try_from(left_out.len()).unwrap();
        bill
    }

    #[test]
    fn a_played_meters_readings_are_what_its_register_rose() {
        let region = Subject::Region("demo".parse().unwrap());
        let of_region = |position, names: &[&str]| {
            played(12).expected(&outcome(region.clone(), position, names))
        };
        assert_eq!([of_region(0, &["m-3"]), of_region(3, &["m-3"])], [Some(1), Some(8)]);
        assert_eq!(of_region(2, &["m-1", "m-3"]), Some(16 + 4));
        assert_eq!(of_region(4, &["m-3"]), None);
    }

    #[test]
    fn a_played_meters_bill_is_the_difference_of_its_register() {
        for (left_out, wh) in [(&[][..], 15), (&[0], 14), (&[1], 13), (&[1, 2], 9), (&[3], 7)] {
            let bill = bill(left_out);
            assert_eq!(played(12).register_difference(&bill), Some(wh), "{left_out:?}");
            assert_eq!(played(12).expected(&bill), Some(wh), "{left_out:?}");
        }
        assert_eq!(played(11).register_difference(&bill(&[])), None);
        assert_eq!(truth().register_difference(&bill(&[])), None);
    }

    #[test]
    fn the_end_of_a_capture_is_told_once() {
        let mut truth = played(7);
        assert_eq!(truth.poll_over(), Some((meter("m-3"), ORIGIN.plus(2))));
        assert_eq!(truth.poll_over(), None);
    }
}
