//! Whether the database grows beyond what a meter can have to keep.

use host::store::Sqlite;

/// A slot takes 2 KB until its last claim deadline has passed: contribution,
/// receipt and answer. Two epochs of 3,000 slots are 12 MB, and with quarters of
/// an hour 256 MiB are more than three years.
const LIMIT_BYTES: u64 = 256 << 20;

/// The size of the database, as it was seen last.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    bytes: u64,
    seen_beyond: u64,
}

impl Growth {
    /// Looks at the size, and warns at the 1st, 2nd, 4th ... look that finds it
    /// beyond the limit. Nothing is dropped: what is kept is not settled.
    pub(crate) fn watch(&mut self, store: &Sqlite) {
        match store.size() {
            Ok(bytes) => self.see(bytes),
            Err(error) => tracing::warn!("the size of the database is not known: {error:#}"),
        }
    }

    /// Whether it was beyond the limit when it was seen last.
    pub(crate) fn is_beyond(&self) -> bool {
        self.bytes > LIMIT_BYTES
    }

    fn see(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.seen_beyond = if self.is_beyond() { self.seen_beyond + 1 } else { 0 };
        if self.seen_beyond.is_power_of_two() {
            tracing::warn!(
                bytes,
                "the database is larger than {LIMIT_BYTES} bytes: slots are not settled any more, \
                 or are erased too late; `meter-agent status` shows what waits",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_beyond_its_limit_is_an_alarm_until_it_is_smaller() {
        let mut growth = Growth::default();
        let seen = [LIMIT_BYTES, LIMIT_BYTES + 1, LIMIT_BYTES].map(|bytes| {
            growth.see(bytes);
            growth.is_beyond()
        });
        assert_eq!(seen, [false, true, false]);
    }
}
