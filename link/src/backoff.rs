//! How long to wait before the next attempt.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// Exponential pauses with full jitter: a uniform draw below a ceiling that doubles, so that a
/// thousand meters which lose the same broker do not return in the same second.
pub(crate) struct Backoff {
    rng: ChaCha20Rng,
    ceiling: Duration,
    spread: Duration,
}

impl Backoff {
    /// The first pause after a connection that held is drawn below `spread`, if that is longer.
    pub(crate) fn new(rng: ChaCha20Rng, spread: Duration) -> Self {
        Self { rng, ceiling: FIRST, spread }
    }

    /// Draws the next pause and doubles the ceiling.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.rng.random_range(Duration::ZERO..=self.ceiling);
        self.ceiling = LONGEST.min(self.ceiling * 2);
        pause
    }

    /// Starts over, after a connection that held.
    pub(crate) fn reset(&mut self) {
        self.ceiling = FIRST.max(self.spread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn pauses_stay_below_a_ceiling_that_doubles_up_to_thirty_seconds() {
        let mut backoff = Backoff::new(ChaCha20Rng::seed_from_u64(1), Duration::ZERO);
        for ceiling_ms in [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
            assert_eq!(backoff.ceiling, Duration::from_millis(ceiling_ms));
            assert!(backoff.pause() <= Duration::from_millis(ceiling_ms));
        }
        backoff.reset();
        assert_eq!(backoff.ceiling, FIRST);
    }

    #[test]
    fn five_thousand_that_lose_a_broker_return_over_twenty_seconds() {
        let mut in_second = [0_u32; 20];
        for seed in 0..5_000 {
            let mut backoff = Backoff::new(ChaCha20Rng::seed_from_u64(seed), crate::SPREAD);
            backoff.reset();
            in_second[usize::try_from(backoff.pause().as_secs()).unwrap()] += 1;
        }
        assert!(in_second.iter().all(|count| (180..320).contains(count)), "{in_second:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses_and_another_seed_gives_others() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(ChaCha20Rng::seed_from_u64(seed), Duration::ZERO);
            [backoff.pause(), backoff.pause(), backoff.pause()]
        };
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
    }
}
