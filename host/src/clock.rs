//! The only reader of the machine's clock and of its randomness.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use protocol::Rng;
use protocol::slot::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::SysRng;

/// The time now; zero on a machine whose clock lies before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the daemons' clock")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
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
