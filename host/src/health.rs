//! What a daemon knows about itself, for those who look after it: whether its
//! loops move, whether it can do its work, and what it has counted. Never a
//! reading, a sum, a plaintext or a key.
//!
//! Loops write here and never read; the endpoint and the watchdog read, on a
//! thread of their own, so that a loop that hangs cannot keep them from saying
//! so.

mod config;
mod endpoint;
mod metrics;
mod pulse;
mod systemd;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock;

pub use config::{HealthConfig, Listen};
pub use endpoint::Endpoint;
pub use metrics::Standing;
pub use pulse::Pulse;

use metrics::Metrics;

/// A loop that has not moved for so long is taken for stuck. The longest turn
/// is that of a ceremony: a minute for 900 members on a small computer.
const LIVE_WITHIN: Duration = Duration::from_mins(2);
/// How often a store is asked to answer, where it has nothing to commit.
const ASK_STORE: Duration = Duration::from_secs(10);

/// What readiness depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The link to the broker is up.
    Broker,
    /// The clock is believed.
    Clock,
    /// The store takes commits.
    Store,
    /// There is an epoch, and the daemon has its part in it.
    Epoch,
    /// The meter tells what it measures.
    Source,
}

impl Check {
    fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Clock => "clock",
            Self::Store => "store",
            Self::Epoch => "epoch",
            Self::Source => "source",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a daemon knows about itself, shared by all that write and read it.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Loops of several threads write, the endpoint reads; nobody waits for
    /// anything while holding it.
    loops: Mutex<BTreeMap<String, Loop>>,
    metrics: Metrics,
    /// Within which systemd wants to hear of this process, if it does.
    watchdog: Option<Duration>,
}

/// One loop, by its region; an empty name is the process's own.
#[derive(Debug)]
struct Loop {
    since: Instant,
    moved: Instant,
    has_store: bool,
    /// When its store answered last.
    answered: Option<Instant>,
    /// When a turn with changes was last durable.
    committed: Option<Instant>,
    checks: BTreeMap<Check, Result<(), String>>,
}

/// A check as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Checked {
    #[serde(skip_serializing_if = "String::is_empty")]
    region: String,
    check: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Health {
    /// Of a daemon of this name and version. `labels` stand beside every
    /// metric.
    #[must_use]
    pub fn of(
        daemon: &'static str,
        version: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Self {
        Self::watched(sd_notify::watchdog_enabled(), Metrics::of((daemon, version), labels))
    }

    fn watched(watchdog: Option<Duration>, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { loops: Mutex::default(), metrics, watchdog }))
    }

    /// A loop that is to be watched from now on, and what its readiness depends
    /// on. None is the loop of the process itself.
    #[must_use]
    pub fn pulse(&self, region: Option<&str>, checks: &[Check]) -> Pulse {
        let now = clock::monotonic();
        let unknown = |check: &Check| (*check, Err("not known yet".to_owned()));
        let of = Loop {
            moved: now,
            since: now,
            has_store: checks.contains(&Check::Store),
            answered: None,
            committed: None,
            checks: checks.iter().map(unknown).collect(),
        };
        let region = region.unwrap_or_default().to_owned();
        self.loops().insert(region.clone(), of);
        Pulse::of(self.clone(), region)
    }

    /// The longest that a loop may sleep: it moves four times before anybody
    /// takes it for stuck.
    #[must_use]
    pub fn longest_sleep(&self, otherwise: Duration) -> Duration {
        self.0.watchdog.map_or(otherwise, |span| otherwise.min(span / 8))
    }

    /// Tells systemd that the process serves. What it waits for is said by its
    /// status.
    pub fn serving(&self) {
        systemd::ready(&self.in_a_line());
    }

    /// Tells systemd that the process is about to end.
    pub fn stopping(&self) {
        systemd::stopping();
    }

    /// The loops that have not moved within a span, in words.
    fn stuck(&self, now: Instant, within: Duration) -> Vec<String> {
        let loops = self.loops();
        let late = loops.iter().map(|(region, of)| (region, now.duration_since(of.moved)));
        let late = late.filter(|(_, since)| *since > within);
        late.map(|(region, since)| {
            format!("{} has not moved for {} s", name(region), since.as_secs())
        })
        .collect()
    }

    /// The stores that have not answered within a span, in words.
    fn unanswered(&self, now: Instant, within: Duration) -> Vec<String> {
        let loops = self.loops();
        let asked = loops.iter().filter(|(_, of)| of.has_store);
        let since = |of: &Loop| now.duration_since(of.answered.unwrap_or(of.since));
        let late = asked.map(|(region, of)| (region, since(of)));
        let late = late.filter(|(_, since)| *since > within);
        late.map(|(region, since)| {
            format!("the store of {} has not answered for {} s", name(region), since.as_secs())
        })
        .collect()
    }

    fn checked(&self) -> Vec<Checked> {
        let loops = self.loops();
        let all = loops.iter().flat_map(|(region, of)| of.checks.iter().map(move |c| (region, c)));
        all.map(|(region, (check, state))| Checked {
            region: region.clone(),
            check: check.as_str(),
            ok: state.is_ok(),
            reason: state.clone().err(),
        })
        .collect()
    }

    /// What it waits for, in one line for a person.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        let waits: Vec<_> = self.checked().into_iter().filter_map(Checked::in_words).collect();
        if waits.is_empty() { "all is well".to_owned() } else { waits.join("; ") }
    }

    /// All metrics, as text.
    fn metrics(&self, now: Instant) -> Result<String, fmt::Error> {
        let metrics = &self.0.metrics;
        for (region, of) in &*self.loops() {
            metrics.age(region, now.duration_since(of.moved));
            if let Some(answered) = of.answered {
                metrics.store_age(region, now.duration_since(answered));
            }
            if let Some(committed) = of.committed {
                metrics.commit_age(region, now.duration_since(committed));
            }
        }
        for checked in self.checked() {
            metrics.check(&checked.region, checked.check, checked.ok);
        }
        metrics.text()
    }

    fn with<T>(&self, region: &str, change: impl FnOnce(&mut Loop) -> T) -> Option<T> {
        self.loops().get_mut(region).map(change)
    }

    /// A loop that panicked leaves nothing half written.
    fn loops(&self) -> MutexGuard<'_, BTreeMap<String, Loop>> {
        self.0.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checked {
    fn in_words(self) -> Option<String> {
        let Self { region, check, reason, .. } = self;
        let reason = reason?;
        Some(if region.is_empty() {
            format!("{check}: {reason}")
        } else {
            format!("{region} {check}: {reason}")
        })
    }
}

fn name(region: &str) -> &str {
    if region.is_empty() { "the process" } else { region }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Health under a watchdog of a minute, with a loop that has a store and
    /// one that has none.
    pub(super) fn two_loops() -> (Health, Pulse, Pulse) {
        let metrics = Metrics::of(("collector", "1.2.3"), &[]);
        let health = Health::watched(Some(Duration::from_mins(1)), metrics);
        let own = health.pulse(None, &[Check::Broker]);
        let north = health.pulse(Some("north"), &[Check::Store, Check::Epoch]);
        (health, own, north)
    }

    #[test]
    fn a_loop_that_does_not_move_is_named_and_one_that_does_is_not() {
        let (health, own, _north) = two_loops();
        let later = clock::monotonic() + Duration::from_secs(90);
        own.moved_at(later);
        let stuck = health.stuck(later, Duration::from_mins(1));
        assert_eq!(stuck, ["north has not moved for 90 s"]);
    }

    #[test]
    fn what_nobody_has_said_is_not_ready() {
        let (health, own, north) = two_loops();
        own.check(Check::Broker, None::<&str>);
        north.check(Check::Store, None::<&str>);
        assert_eq!(health.in_a_line(), "north epoch: not known yet");
        north.check(Check::Epoch, None::<&str>);
        assert_eq!(health.in_a_line(), "all is well");
        own.check(Check::Broker, Some("not connected"));
        assert_eq!(health.in_a_line(), "broker: not connected");
    }

    #[test]
    fn a_loop_moves_eight_times_while_the_watchdog_waits() {
        let (health, ..) = two_loops();
        assert_eq!(health.longest_sleep(Duration::from_secs(10)), Duration::from_millis(7_500));
        assert_eq!(health.longest_sleep(Duration::from_secs(2)), Duration::from_secs(2));
    }
}
