//! What goes wrong between the parties, and how often.

use std::ops::RangeInclusive;
use std::time::Duration;

use aggregation::Rng;
use rand::RngExt as _;

use crate::operation::Weather;

/// The odds of a world. Every message crosses two hops, to the broker and from
/// it, and the odds hold for each of them. Messages overtake one another
/// wherever their delays differ.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Messages of a thousand that a hop loses.
    pub loss_per_mille: u32,
    /// Messages of a thousand that a hop delivers twice.
    pub duplicate_per_mille: u32,
    /// Publishes of a thousand that take the connection down with them.
    pub disconnect_per_mille: u32,
    /// Milliseconds that a hop takes.
    pub delay_ms: RangeInclusive<u64>,
    /// Milliseconds until a party notices that its connection is lost; what it
    /// publishes meanwhile is lost too.
    pub unnoticed_ms: RangeInclusive<u64>,
    /// Milliseconds from then until the connection is there again.
    pub reconnect_ms: RangeInclusive<u64>,
    /// Milliseconds that a timer fires late. No timer fires early, and hardly
    /// any on time.
    pub wake_late_ms: RangeInclusive<u64>,
    /// Milliseconds that a meter's clock is ahead of the collector's.
    pub ahead_ms: RangeInclusive<i64>,
    /// Milliseconds until a commit is durable. Its party takes nothing in and
    /// says nothing until then.
    pub commit_ms: RangeInclusive<u64>,
    /// Clocks that are set wrong while their meters run.
    pub steps: Option<Steps>,
}

/// How often somebody's clock is set wrong, how far, and for how long.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Milliseconds from one step in the region to the next.
    pub every_ms: RangeInclusive<u64>,
    /// Milliseconds that the clock steps forward, or back where negative.
    pub by_ms: RangeInclusive<i64>,
    /// Milliseconds until the clock is set right.
    pub wrong_ms: RangeInclusive<u64>,
}

impl Faults {
    /// A network and clocks without fault.
    #[must_use]
    pub fn none() -> Self {
        Self {
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            disconnect_per_mille: 0,
            delay_ms: 5..=50,
            unnoticed_ms: 0..=0,
            reconnect_ms: 100..=1_000,
            wake_late_ms: 1..=20,
            ahead_ms: 0..=0,
            commit_ms: 0..=0,
            steps: None,
        }
    }

    /// A network on which now and then something goes wrong, clocks that are
    /// off by up to half a second, and disks that take a while.
    #[must_use]
    pub fn light() -> Self {
        Self {
            loss_per_mille: 5,
            duplicate_per_mille: 10,
            disconnect_per_mille: 1,
            delay_ms: 5..=400,
            unnoticed_ms: 0..=2_000,
            reconnect_ms: 100..=3_000,
            ahead_ms: -500..=500,
            commit_ms: 1..=30,
            ..Self::none()
        }
    }

    /// A network that loses, repeats and reorders, and clocks that are off by
    /// up to a second.
    #[must_use]
    pub fn moderate() -> Self {
        Self {
            loss_per_mille: 30,
            duplicate_per_mille: 50,
            disconnect_per_mille: 5,
            delay_ms: 5..=4_000,
            unnoticed_ms: 0..=5_000,
            reconnect_ms: 500..=10_000,
            ahead_ms: -1_000..=1_000,
            ..Self::none()
        }
    }

    /// A network on which much stays undone, and now and then a clock that is
    /// set wrong by up to an hour.
    #[must_use]
    pub fn severe() -> Self {
        Self {
            loss_per_mille: 150,
            duplicate_per_mille: 200,
            disconnect_per_mille: 5,
            delay_ms: 5..=9_000,
            unnoticed_ms: 0..=10_000,
            reconnect_ms: 500..=30_000,
            ahead_ms: -4_000..=4_000,
            steps: Some(Steps {
                every_ms: 900_000..=3_600_000,
                by_ms: -3_600_000..=3_600_000,
                wrong_ms: 1_000..=300_000,
            }),
            ..Self::none()
        }
    }

    /// The same with the odds of a weather.
    pub(crate) fn in_weather(self, weather: Weather) -> Self {
        let Weather { loss_per_mille, duplicate_per_mille, delay_ms } = weather;
        Self { loss_per_mille, duplicate_per_mille, delay_ms: 5..=delay_ms, ..self }
    }

    /// How many copies of a message come out of a hop.
    pub(crate) fn copies(&self, rng: &mut Rng) -> usize {
        if happens(self.loss_per_mille, rng) {
            0
        } else if happens(self.duplicate_per_mille, rng) {
            2
        } else {
            1
        }
    }

    pub(crate) fn disconnects(&self, rng: &mut Rng) -> bool {
        happens(self.disconnect_per_mille, rng)
    }
}

fn happens(per_mille: u32, rng: &mut Rng) -> bool {
    rng.random_range(0..1_000) < per_mille
}

/// A span drawn from a range of milliseconds.
pub(crate) fn span(millis: &RangeInclusive<u64>, rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.random_range(millis.clone()))
}
