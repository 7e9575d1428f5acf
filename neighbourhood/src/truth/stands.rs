//! What a captured meter's registers show at any time.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use meter_agent::source::Quantities;
use protocol::reading::Register;
use protocol::slot::Timestamp;

/// How far a telegram may be from a time to say what the registers showed then.
const NEAR: Duration = Duration::from_mins(1);

/// The registers' stands by the time at which their telegrams went.
#[derive(Default)]
pub(super) struct Stands(BTreeMap<Timestamp, Quantities>);

impl Stands {
    /// Adds a telegram.
    pub(super) fn insert(&mut self, at: Timestamp, stands: Quantities) {
        self.0.insert(at, stands);
    }

    /// When the last telegram went.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.0.keys().next_back().copied()
    }

    /// How far a register rose from one time to another; none where the
    /// telegrams do not tell.
    pub(super) fn rise(&self, register: Register, from: Timestamp, to: Timestamp) -> Option<u64> {
        self.at(register, to)?.checked_sub(self.at(register, from)?)
    }

    /// A register's stand: as the telegrams before and after say it, and in
    /// proportion to the time between, in whole Wh that are complete.
    fn at(&self, register: Register, then: Timestamp) -> Option<u64> {
        let (before, low) = self.0.range(..=then).next_back()?;
        let low = *low.get(&register)?;
        if *before == then {
            return Some(low);
        }
        let (after, high) = self.0.range((Excluded(then), Unbounded)).next()?;
        let risen = high.get(&register)?.checked_sub(low)?;
        let (gone, left) = (then.since(*before), after.since(then));
        if gone.max(left) > NEAR {
            return None;
        }
        let risen = u128::from(risen) * gone.as_millis() / (gone + left).as_millis();
        low.checked_add(u64::try_from(risen).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(telegrams: &[(u64, u64)]) -> Stands {
        let mut stands = Stands::default();
        for (ms, wh) in telegrams {
            stands.insert(Timestamp(*ms), [(Register::Import, *wh)].into());
        }
        stands
    }

    fn at(telegrams: &[(u64, u64)], ms: u64) -> Option<u64> {
        stands(telegrams).at(Register::Import, Timestamp(ms))
    }

    #[test]
    fn the_wh_that_is_not_complete_is_not_counted() {
        let telegrams = [(1_530, 7), (2_530, 8), (3_530, 8)];
        assert_eq!(at(&telegrams, 2_000), Some(7));
        assert_eq!(at(&telegrams, 2_529), Some(7));
        assert_eq!(at(&telegrams, 2_530), Some(8));
        assert_eq!(at(&telegrams, 3_000), Some(8));
    }

    #[test]
    fn several_wh_spread_over_the_time_between_two_telegrams() {
        for (risen, by_then) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)] {
            let telegrams = |late: u64| [(1_530 + late, 0), (2_530 + late, risen)];
            assert_eq!(at(&telegrams(0), 2_000), Some(by_then));
            // Milliseconds do not matter.
            assert_eq!(at(&telegrams(60), 2_000), Some(by_then));
        }
    }

    #[test]
    fn outside_of_the_telegrams_or_far_from_them_nothing_is_known() {
        let telegrams = [(100_000, 7), (161_000, 8)];
        assert_eq!(at(&telegrams, 99_999), None);
        assert_eq!(at(&telegrams, 161_001), None);
        assert_eq!(at(&telegrams, 100_000), Some(7));
        assert_eq!(at(&telegrams, 100_999), None);
        assert_eq!(at(&telegrams, 101_000), Some(7));
        assert_eq!(at(&telegrams, 160_001), None);
    }

    #[test]
    fn a_register_that_is_not_there_is_not_zero() {
        let stands = stands(&[(0, 7), (1_000, 8)]);
        let rise = |register| stands.rise(register, Timestamp(0), Timestamp(1_000));
        assert_eq!((rise(Register::Import), rise(Register::Export)), (Some(1), None));
    }
}
