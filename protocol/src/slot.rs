//! Calendar arithmetic: instants, slots and windows, all in UTC.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// The span of one reading, by its number since 1970: `unix_seconds /
/// slot_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot `count` further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many slots this is after `first`; none if it is before.
    #[must_use]
    pub fn since(self, first: Self) -> Option<u64> {
        self.0.checked_sub(first.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A run of slots that is billed together, by its number since the first slot
/// of the billing grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window(pub u64);

impl Window {
    /// The window `count` further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How time is cut: slots of equal length on the UTC grid, and windows of an
/// equal number of slots counted from an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Length of a slot in seconds.
    pub slot_seconds: NonZeroU32,
    /// Slots in a window.
    pub window_slots: NonZeroU32,
    /// First slot of window 0.
    pub origin: Slot,
}

impl Grid {
    /// The slot that an instant lies in.
    #[must_use]
    pub fn slot_at(&self, at: Timestamp) -> Slot {
        slot_at(self.slot_seconds, at)
    }

    /// When a slot begins.
    #[must_use]
    pub fn start(&self, slot: Slot) -> Timestamp {
        Timestamp(slot.0.saturating_mul(u64::from(self.slot_seconds.get()) * 1000))
    }

    /// When a slot ends; the next begins then.
    #[must_use]
    pub fn end(&self, slot: Slot) -> Timestamp {
        self.start(slot.plus(1))
    }

    /// The window that a slot belongs to; none before the origin.
    #[must_use]
    pub fn window_of(&self, slot: Slot) -> Option<Window> {
        let since = slot.since(self.origin)?;
        Some(Window(since / u64::from(self.window_slots.get())))
    }

    /// The first slot of a window.
    #[must_use]
    pub fn first_slot(&self, window: Window) -> Slot {
        self.origin.plus(window.0.saturating_mul(u64::from(self.window_slots.get())))
    }

    /// The last slot of a window.
    #[must_use]
    pub fn last_slot(&self, window: Window) -> Slot {
        self.first_slot(window).plus(u64::from(self.window_slots.get()) - 1)
    }

    /// When a window ends.
    #[must_use]
    pub fn window_end(&self, window: Window) -> Timestamp {
        self.end(self.last_slot(window))
    }
}

/// The slot that an instant lies in, without a billing grid.
#[must_use]
pub fn slot_at(slot_seconds: NonZeroU32, at: Timestamp) -> Slot {
    Slot(at.0 / (u64::from(slot_seconds.get()) * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            slot_seconds: NonZeroU32::new(900).unwrap(),
            window_slots: NonZeroU32::new(10).unwrap(),
            origin: Slot(1000),
        }
    }

    #[test]
    fn a_slot_covers_its_start_and_not_its_end() {
        let grid = grid();
        assert_eq!(grid.slot_at(Timestamp(900_000)), Slot(1));
        assert_eq!(grid.slot_at(Timestamp(1_799_999)), Slot(1));
        assert_eq!(grid.end(Slot(1)), grid.start(Slot(2)));
    }

    #[test]
    fn windows_tile_the_slots_from_the_origin() {
        let grid = grid();
        assert_eq!(grid.window_of(Slot(999)), None);
        for slot in 1000..1100 {
            let window = grid.window_of(Slot(slot)).unwrap();
            assert!(grid.first_slot(window) <= Slot(slot) && Slot(slot) <= grid.last_slot(window));
        }
        assert_eq!(grid.first_slot(Window(1)), Slot(1010));
        assert_eq!(grid.last_slot(Window(0)), Slot(1009));
    }
}
