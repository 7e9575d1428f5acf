//! Tariff steps: the parts of a recurring cycle whose energy is billed apart.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use thiserror::Error;

use crate::id::{is_name, name};
use crate::slot::{Slot, Timestamp};

mod times;

pub use times::{TimesError, read_times, write_times};

/// A week, the longest cycle, in seconds.
pub const WEEK_S: NonZeroU32 = NonZeroU32::new(604_800).unwrap();

/// Most steps of a tariff.
pub const STEPS_MAX: usize = 8;

/// Most spans of all steps together: as many as a week has hours.
pub const SPANS_MAX: usize = 168;

/// Longest name of a step in bytes.
pub const STEP_NAME_MAX: usize = 16;

/// Seconds from 1970-01-01T00:00:00Z, a Thursday, to the first Monday.
const FIRST_MONDAY_S: u64 = 4 * 86_400;

/// Why a text names no step.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no name of a step: 1 to 16 of a-z, 0-9 and `-`")]
pub struct StepNameError(String);

fn check_step_name(text: &str) -> Result<(), StepNameError> {
    if is_name(text, STEP_NAME_MAX) {
        Ok(())
    } else {
        Err(StepNameError(text.chars().take(STEP_NAME_MAX).collect()))
    }
}

name! {
    /// What people call a step.
    StepName, check_step_name, StepNameError
}

/// A step by its place in the tariff, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct StepId(pub u8);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A part of the cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Step {
    /// Its name, distinct among the steps.
    pub name: StepName,
    /// From when until before when it lasts, in seconds of the cycle: in
    /// order, and with time between one span and the next. The last step has
    /// none and takes the rest.
    pub spans: Vec<(u32, u32)>,
}

/// How a cycle is cut into steps, the same for all members. Cycles are counted
/// from Monday 1970-01-05T00:00:00Z, in UTC: no local summer time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple)]
pub struct Tariff {
    cycle_s: NonZeroU32,
    steps: Vec<Step>,
}

impl Tariff {
    /// A cycle of so many seconds, cut into steps.
    ///
    /// # Errors
    /// See [`TariffError`].
    pub fn new(cycle_s: NonZeroU32, steps: Vec<Step>) -> Result<Self, TariffError> {
        if cycle_s > WEEK_S {
            return Err(TariffError::Cycle(cycle_s.get()));
        }
        if !(1..=STEPS_MAX).contains(&steps.len()) {
            return Err(TariffError::Steps(steps.len()));
        }
        let spans = steps.iter().map(|step| step.spans.len()).sum();
        if spans > SPANS_MAX {
            return Err(TariffError::Spans(spans));
        }
        check_names(&steps)?;
        check_spans(&steps, cycle_s.get())?;
        check_disjoint(&steps)?;
        Ok(Self { cycle_s, steps })
    }

    /// One step, `all`, that never ends.
    #[must_use]
    pub fn single() -> Self {
        let all = Step { name: StepName("all".to_owned()), spans: Vec::new() };
        Self { cycle_s: WEEK_S, steps: vec![all] }
    }

    /// Length of the cycle in seconds.
    #[must_use]
    pub fn cycle_s(&self) -> NonZeroU32 {
        self.cycle_s
    }

    /// The steps, the last of which takes the rest.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many steps there are: 1 to [`STEPS_MAX`].
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is always a step")]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// The steps by their places.
    pub fn ids(&self) -> impl Iterator<Item = StepId> + use<> {
        (0..).take(self.len()).map(StepId)
    }

    /// The name of a step; none where there is no such step.
    #[must_use]
    pub fn name(&self, step: StepId) -> Option<&StepName> {
        self.steps.get(usize::from(step.0)).map(|step| &step.name)
    }

    /// The step that an instant lies in.
    #[must_use]
    pub fn step_at(&self, at: Timestamp) -> StepId {
        let cycle = u64::from(self.cycle_s.get());
        let before = cycle - FIRST_MONDAY_S % cycle;
        let second = (at.0 / 1000 + before) % cycle;
        let named = self.ids().zip(&self.steps).find(|(_, step)| step.holds(second));
        named.map_or(self.rest(), |(step, _)| step)
    }

    /// The step that a slot of so many seconds begins in.
    #[must_use]
    pub fn step_of(&self, slot: Slot, slot_seconds: NonZeroU32) -> StepId {
        self.step_at(Timestamp(slot.0.saturating_mul(u64::from(slot_seconds.get()) * 1000)))
    }

    fn rest(&self) -> StepId {
        self.ids().last().unwrap_or_default()
    }

    /// The fewest slots that each step has in a window, over all slots that a
    /// window can begin with. The cycle is a multiple of the slot.
    pub(crate) fn fewest_slots(
        &self,
        slot_seconds: NonZeroU32,
        window_slots: NonZeroU32,
    ) -> Vec<(&StepName, u32)> {
        let Some(cycle) = NonZeroU32::new(self.cycle_s.get() / slot_seconds.get()) else {
            return Vec::new();
        };
        let slots = (0..cycle.get().into()).map(Slot);
        let slots: Vec<_> = slots.map(|slot| self.step_of(slot, slot_seconds)).collect();
        let (cycles, rest) = (window_slots.get() / cycle, window_slots.get() % cycle);
        let fewest = |step| {
            let is_of = |slot: &StepId| u32::from(*slot == step);
            let whole: u32 = slots.iter().map(is_of).sum();
            cycles * whole + fewest_in_a_row(&slots, rest as usize, is_of)
        };
        self.steps.iter().map(|step| &step.name).zip(self.ids().map(fewest)).collect()
    }
}

/// The fewest of `count` slots in a row that are of a step, round a cycle.
fn fewest_in_a_row(cycle: &[StepId], count: usize, is_of: impl Fn(&StepId) -> u32) -> u32 {
    let mut here: u32 = cycle.iter().take(count).map(&is_of).sum();
    let mut fewest = here;
    for (left, entered) in cycle.iter().zip(cycle.iter().cycle().skip(count)) {
        here = here + is_of(entered) - is_of(left);
        fewest = fewest.min(here);
    }
    fewest
}

impl Step {
    fn holds(&self, second: u64) -> bool {
        let after = self.spans.partition_point(|(_, to)| u64::from(*to) <= second);
        self.spans.get(after).is_some_and(|(from, _)| u64::from(*from) <= second)
    }
}

impl<'de> Deserialize<'de> for Tariff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize_tuple)]
        struct Written {
            cycle_s: NonZeroU32,
            steps: Vec<Step>,
        }
        let written = Written::deserialize(deserializer)?;
        Self::new(written.cycle_s, written.steps).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Tariff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            let gap = if at == 0 { "" } else { "; " };
            let times = write_times(&step.spans, self.cycle_s).join(", ");
            let space = if times.is_empty() { "" } else { " " };
            write!(f, "{gap}{}{space}{times}", step.name)?;
        }
        Ok(())
    }
}

fn check_names(steps: &[Step]) -> Result<(), TariffError> {
    let mut names: Vec<_> = steps.iter().map(|step| &step.name).collect();
    names.sort();
    match names.array_windows().find(|[name, next]| name == next) {
        Some([twice, _]) => Err(TariffError::Name((*twice).clone())),
        None => Ok(()),
    }
}

fn check_spans(steps: &[Step], cycle_s: u32) -> Result<(), TariffError> {
    for (at, Step { name, spans }) in (1..).zip(steps) {
        let is_last = at == steps.len();
        if is_last && !spans.is_empty() {
            return Err(TariffError::Last(name.clone()));
        }
        if !is_last && spans.is_empty() {
            return Err(TariffError::NoTimes(name.clone()));
        }
        let legal = |(from, to): &(u32, u32)| from < to && *to <= cycle_s;
        if let Some(&(from, to)) = spans.iter().find(|span| !legal(span)) {
            return Err(TariffError::Span { name: name.clone(), from, to, cycle_s });
        }
        if !spans.is_sorted_by(|(_, to), (from, _)| to < from) {
            return Err(TariffError::Order(name.clone()));
        }
    }
    Ok(())
}

fn check_disjoint(steps: &[Step]) -> Result<(), TariffError> {
    let of = |step| move |span| (span, step);
    let spans = steps.iter().flat_map(|step| step.spans.iter().map(of(&step.name)));
    let mut spans: Vec<_> = spans.collect();
    spans.sort();
    match spans.array_windows().find(|[((_, to), _), ((from, _), _)]| to > from) {
        Some([(_, one), (_, other)]) => Err(TariffError::Overlap((*one).clone(), (*other).clone())),
        None => Ok(()),
    }
}

/// Why steps make no tariff.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TariffError {
    /// The length of the cycle.
    #[error("a tariff's cycle of {0} s: accepted is 1 to {WEEK_S}")]
    Cycle(u32),
    /// How many steps.
    #[error("a tariff of {0} steps: accepted is 1 to {STEPS_MAX}")]
    Steps(usize),
    /// How many spans.
    #[error("a tariff of {0} spans: accepted is at most {SPANS_MAX}; join some of them")]
    Spans(usize),
    /// Two steps of one name.
    #[error("two steps are named `{0}`: give one of them another name")]
    Name(StepName),
    /// Times of the last step.
    #[error("step `{0}` is the last, which takes the rest: leave its times out")]
    Last(StepName),
    /// A step without times that is not the last.
    #[error("step `{0}` has no times: only the last one takes the rest")]
    NoTimes(StepName),
    /// A span that is none.
    #[error("step `{name}`: no time from second {from} to {to} of a cycle of {cycle_s} s")]
    Span {
        /// The step.
        name: StepName,
        /// Where the span begins.
        from: u32,
        /// Where it ends.
        to: u32,
        /// Length of the cycle.
        cycle_s: u32,
    },
    /// Spans of one step that are not in order, or are one.
    #[error("step `{0}`: its times overlap, touch or are out of order")]
    Order(StepName),
    /// Spans of two steps.
    #[error("steps `{0}` and `{1}` have a time in common: leave it to one of them")]
    Overlap(StepName, StepName),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fewest slots of each step, counted window by window.
    fn counted(tariff: &Tariff, slot_seconds: NonZeroU32, window_slots: u64) -> Vec<u32> {
        let cycle = u64::from(tariff.cycle_s().get() / slot_seconds);
        let in_window = |first: u64, step| {
            let slots = (first..first + window_slots).map(Slot);
            slots.map(|slot| u32::from(tariff.step_of(slot, slot_seconds) == step)).sum()
        };
        let fewest = |step| (0..cycle).map(|first| in_window(first, step)).min().unwrap();
        tariff.ids().map(fewest).collect()
    }

    proptest! {
        #[test]
        fn the_fewest_slots_are_those_of_the_poorest_window(
            cuts in proptest::collection::btree_set(0_u32..=60, 4),
            slot_seconds in 1_u32..=6,
            window_slots in 2_u32..150,
        ) {
            prop_assume!(60 % slot_seconds == 0);
            let cuts: Vec<_> = cuts.into_iter().collect();
            let step = |name: &str, spans| Step { name: name.parse().unwrap(), spans };
            let one = step("one", vec![(cuts[0], cuts[1])]);
            let other = step("other", vec![(cuts[2], cuts[3])]);
            let number = |number| NonZeroU32::new(number).unwrap();
            let steps = vec![one, other, step("rest", vec![])];
            let tariff = Tariff::new(number(60), steps).unwrap();
            let fewest = tariff.fewest_slots(number(slot_seconds), number(window_slots));
            let fewest: Vec<_> = fewest.into_iter().map(|(_, fewest)| fewest).collect();
            let expected = counted(&tariff, number(slot_seconds), window_slots.into());
            prop_assert_eq!(fewest, expected);
        }
    }
}
