//! The bills of the captured meter beside its register.

use protocol::id::MeterId;
use protocol::message::Subject;
use protocol::reading::Register;

use crate::tally::Checked;
use crate::truth::Truth;

/// What a meter's register says of the windows that were opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Billed {
    pub(crate) meter: MeterId,
    pub(crate) windows: u64,
    /// How far the register rose in them.
    pub(crate) register_wh: u64,
    /// What was opened.
    pub(crate) opened_wh: u64,
}

impl Billed {
    /// No window yet.
    pub(crate) fn new(meter: MeterId) -> Self {
        Self { meter, windows: 0, register_wh: 0, opened_wh: 0 }
    }

    /// Adds a window's sum, if it is the meter's and the first one.
    pub(crate) fn take(&mut self, checked: &Checked, truth: &mut Truth) {
        let outcome = &checked.outcome;
        let is_own = matches!(&outcome.subject, Subject::Meter(meter) if *meter == self.meter);
        if !is_own || outcome.register != Register::Import || checked.is_second {
            return;
        }
        self.windows += 1;
        // Where the register cannot tell, the two differ, as they should.
        let risen = truth.register_difference(outcome).unwrap_or_default();
        self.register_wh = self.register_wh.saturating_add(risen);
        self.opened_wh = self.opened_wh.saturating_add(outcome.sum_wh);
    }

    /// Whether the register says what was opened.
    pub(crate) fn is_right(&self) -> bool {
        self.register_wh == self.opened_wh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::{Bridge, Sent};
    use crate::truth::Played;
    use protocol::message::Outcome;
    use protocol::slot::{Grid, Slot, Timestamp};
    use std::num::NonZeroU32;
    use std::time::Duration;

    /// What a meter's register, which rises by 1 Wh in each of four slots of
    /// 1 s, says of the sums in `opened_wh`.
    fn billed(opened_wh: &[u64]) -> Billed {
        let meter = || "m-3".parse::<MeterId>().unwrap();
        let sent =
            |s: u64| Sent { at: Timestamp(s * 1_000), stands: [(Register::Import, 70 + s)].into() };
        let played = Played::new(meter(), Bridge::after((0..=4).map(sent).collect()));
        let window_slots = NonZeroU32::new(4).unwrap();
        let grid = Grid { slot_seconds: NonZeroU32::MIN, window_slots, origin: Slot(0) };
        let mut truth = Truth::open(std::iter::empty(), grid, 65_535, Some(played)).unwrap();
        let mut billed = Billed::new(meter());
        for (place, sum_wh) in opened_wh.iter().enumerate() {
            let outcome = Outcome {
                subject: Subject::Meter(meter()),
                register: Register::Import,
                first_slot: Slot(0),
                slots: 4,
                sum_wh: *sum_wh,
                contributors: vec![meter()],
                uncounted: Vec::new(),
                step: None,
                uncounted_slots: Vec::new(),
                withheld_slots: Vec::new(),
                joined_slots: Vec::new(),
                helpers: Vec::new(),
                unanswered: Vec::new(),
                culprits: Vec::new(),
            };
            let (latency, is_second) = (Duration::ZERO, place > 0);
            billed.take(&Checked { outcome, expected: None, latency, is_second }, &mut truth);
        }
        billed
    }

    #[test]
    fn a_register_that_rose_as_far_as_was_opened_is_right() {
        let billed = billed(&[4]);
        assert_eq!((billed.windows, billed.register_wh, billed.opened_wh), (1, 4, 4));
        assert!(billed.is_right());
    }

    #[test]
    fn a_wh_more_or_less_is_not() {
        assert!(!billed(&[3]).is_right() && !billed(&[5]).is_right());
    }

    #[test]
    fn a_second_sum_is_not_added() {
        assert_eq!(billed(&[4, 5]), billed(&[4]));
    }
}
