//! How often each thing happened, and whether to say so again.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::slot::Timestamp;

/// How long the same thing is counted in silence after it was said.
const SAID: Duration = Duration::from_hours(1);

/// Counts by name.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<&'static str, Count>);

struct Count {
    times: u64,
    said: Timestamp,
}

impl Tally {
    /// Counts `name`, and returns how often it has happened where that is to be
    /// said: the first time, and then at most once an hour.
    pub(super) fn count(&mut self, name: &'static str, now: Timestamp) -> Option<u64> {
        let first = !self.0.contains_key(name);
        let count = self.0.entry(name).or_insert(Count { times: 0, said: now });
        count.times = count.times.saturating_add(1);
        // A clock that was set back silences nothing for longer.
        count.said = count.said.min(now);
        let say = first || now.since(count.said) >= SAID;
        if say {
            count.said = now;
        }
        say.then_some(count.times)
    }

    /// All counts.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|(name, count)| ((*name).to_owned(), count.times)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_is_said_once_an_hour_and_counted_always() {
        let mut tally = Tally::default();
        let said = (0..7_201).filter_map(|s| tally.count("p1-checksum", Timestamp(s * 1_000)));
        assert_eq!(said.collect::<Vec<_>>(), [1, 3_601, 7_201]);
        assert_eq!(tally.count("p1-cut-off", Timestamp(0)), Some(1));
        let counts = [("p1-checksum".to_owned(), 7_201), ("p1-cut-off".to_owned(), 1)];
        assert_eq!(tally.counts(), BTreeMap::from(counts));
    }
}
