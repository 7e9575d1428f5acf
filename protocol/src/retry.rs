//! When to say something again: doubling spans with jitter.

use std::time::Duration;

use aggregation::Rng;
use rand::RngExt as _;

use crate::slot::Timestamp;

/// The span after the first try.
const FIRST: Duration = Duration::from_secs(1);
/// The longest span between tries.
const LONGEST: Duration = Duration::from_mins(1);

/// A timer that waits longer each time it fires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    span: Duration,
    due: Timestamp,
}

impl Retry {
    /// A timer whose first try is made now.
    #[must_use]
    pub(crate) fn started(now: Timestamp, rng: &mut Rng) -> Self {
        let mut retry = Self { span: FIRST, due: now };
        retry.again(now, rng);
        retry
    }

    /// When the next try is due.
    #[must_use]
    pub(crate) fn due(&self) -> Timestamp {
        self.due
    }

    /// Makes the next try at that time, if it was due later.
    pub(crate) fn bring_forward(&mut self, to: Timestamp) {
        self.due = self.due.min(to);
    }

    /// Sets the next try at half to all of the span from now, and doubles the
    /// span.
    pub(crate) fn again(&mut self, now: Timestamp, rng: &mut Rng) {
        let millis = u64::try_from(self.span.as_millis()).unwrap_or(u64::MAX);
        self.due = now + Duration::from_millis(rng.random_range(millis / 2..=millis));
        self.span = (self.span * 2).min(LONGEST);
    }
}
