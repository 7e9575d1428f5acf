//! The only reader of the machine's clock and of its randomness.

mod doubt;
mod wait;

use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::Context as _;
use protocol::Rng;
use protocol::slot::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::SysRng;

pub use doubt::{BUILT, ClockConfig, Doubt, Lookout, Marker, Synchronised, doubt};
pub use wait::until_believed;

/// The time now; zero on a machine whose clock lies before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the daemons' clock")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An instant for a person, as RFC 3339 says it, in UTC and whole seconds.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    // The last second that the format can say, for instants beyond it.
    let seconds = (at.0 / 1_000).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// An instant as it stands in names of files: without colons.
#[must_use]
pub fn compact_utc(at: Timestamp) -> String {
    utc(at).replace([':', '-'], "")
}

/// A clock that nobody sets, to measure how long something took.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the daemons' clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// How long it is until `then`; zero if it is past.
#[must_use]
pub fn until(then: Timestamp) -> Duration {
    then.since(now())
}

/// A generator seeded by the operating system.
///
/// # Errors
/// Where the operating system gives no randomness.
pub fn generator() -> anyhow::Result<Rng> {
    Rng::try_from_rng(&mut SysRng).context("the operating system gives no randomness")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_said_in_utc_and_the_last_one_too() {
        assert_eq!(utc(Timestamp(1_750_000_000_999)), "2025-06-15T15:06:40Z");
        assert_eq!(utc(Timestamp(u64::MAX)), "9999-12-31T23:59:59Z");
        assert_eq!(compact_utc(Timestamp(1_750_000_000_999)), "20250615T150640Z");
    }
}
