//! What speaks against the machine's clock: a small computer without a battery
//! starts in 1970, or where it was cut off, until somebody tells it the time.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use protocol::slot::Timestamp;
use serde::Deserialize;
use thiserror::Error;

use super::utc;

/// A date before which this version did not exist, moved on with a release:
/// 2026-04-16, when the compiler that it takes came out.
const RELEASED_S: u64 = 1_776_297_600;

/// When this program was built: `SOURCE_DATE_EPOCH` where the build sets it, as
/// those of packages do, and never before the version that it is. The same
/// source gives the same date.
pub const BUILT: Timestamp = Timestamp(1_000 * built(option_env!("SOURCE_DATE_EPOCH")));

/// `systemd-timesyncd` touches it whenever it has set the clock by a server.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";

/// How old the latest synchronisation may be: five polls of `systemd-timesyncd`
/// at its longest interval, 2,048 s.
const LATEST_WITHIN: Duration = Duration::from_secs(5 * 2_048);

/// What is asked of the clock.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockConfig {
    /// Whether to wait until the clock is synchronised.
    pub synchronised: bool,
    /// The file that whatever synchronises the clock touches when it does.
    pub marker: PathBuf,
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self { synchronised: true, marker: TIMESYNC.into() }
    }
}

impl ClockConfig {
    /// Where to look, if anywhere.
    #[must_use]
    pub fn marker(&self) -> Marker {
        Marker(self.synchronised.then(|| self.marker.clone()))
    }
}

/// The file that tells when the clock was synchronised; none where nobody
/// asks.
///
/// A file, and not the kernel's own word: the units forbid the calls that set
/// the clock (`ProtectClock=`), and the one that would tell is among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker(Option<PathBuf>);

impl Marker {
    /// A marker for those that do not ask.
    pub const NONE: Self = Self(None);

    /// What it says now.
    #[must_use]
    pub fn look(&self) -> Synchronised {
        let Some(file) = &self.0 else { return Synchronised::NotAsked };
        let touched = std::fs::metadata(file).and_then(|metadata| metadata.modified());
        match touched {
            Ok(at) => {
                let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
                Synchronised::At(Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
            }
            Err(_) => Synchronised::Never { marker: file.clone() },
        }
    }
}

/// What is known of the clock's synchronisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Synchronised {
    /// Nobody asks.
    NotAsked,
    /// Not since the machine started.
    Never {
        /// The file that is missing.
        marker: PathBuf,
    },
    /// The last time.
    At(Timestamp),
}

/// Why a clock is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Doubt {
    /// It says less than when the program was made.
    #[error("the clock says {}, and this program was built {}", utc(*now), utc(*built))]
    BeforeBuild {
        /// What it says.
        now: Timestamp,
        /// When the program was built.
        built: Timestamp,
    },
    /// It says less than when the latest durable slot ended.
    #[error("the clock says {}, and the latest slot on disk ended {}", utc(*now), utc(*recorded))]
    BehindRecords {
        /// What it says.
        now: Timestamp,
        /// The end of that slot.
        recorded: Timestamp,
    },
    /// Nobody has set it since the machine started.
    #[error("the clock is not synchronised: there is no {}", marker.display())]
    NeverSynchronised {
        /// The file that is missing.
        marker: PathBuf,
    },
    /// Nobody has set it for long.
    #[error("the clock was last synchronised {}", utc(*at))]
    NoLongerSynchronised {
        /// The last time.
        at: Timestamp,
    },
    /// It went back by more than a slot.
    #[error("the clock was set back from {} to {}", utc(*latest), utc(*now))]
    SetBack {
        /// The latest that it said.
        latest: Timestamp,
        /// What it says.
        now: Timestamp,
    },
}

/// What speaks against starting by a clock that says `now`: slots are cut by it.
///
/// A clock that was synchronised once since the machine started will do: it
/// drifts by seconds in a day, and a household without its uplink still has
/// its slots.
#[must_use]
pub fn doubt(
    now: Timestamp,
    built: Timestamp,
    recorded: Option<Timestamp>,
    synchronised: Synchronised,
) -> Option<Doubt> {
    if now < built {
        return Some(Doubt::BeforeBuild { now, built });
    }
    if let Some(recorded) = recorded.filter(|recorded| now < *recorded) {
        return Some(Doubt::BehindRecords { now, recorded });
    }
    match synchronised {
        Synchronised::Never { marker } => Some(Doubt::NeverSynchronised { marker }),
        Synchronised::NotAsked | Synchronised::At(_) => None,
    }
}

/// Looks after a clock that was believed at the start.
#[derive(Debug, Default)]
pub struct Lookout {
    latest: Timestamp,
}

impl Lookout {
    /// What speaks against the clock while the loop runs. Nothing stops
    /// because of it: no slot is measured twice, whatever the clock says.
    pub fn look(
        &mut self,
        now: Timestamp,
        slot: Duration,
        synchronised: Synchronised,
    ) -> Option<Doubt> {
        let latest = self.latest;
        if latest.since(now) > slot {
            return Some(Doubt::SetBack { latest, now });
        }
        self.latest = latest.max(now);
        match synchronised {
            Synchronised::Never { marker } => Some(Doubt::NeverSynchronised { marker }),
            Synchronised::At(at) if now.since(at) > LATEST_WITHIN => {
                Some(Doubt::NoLongerSynchronised { at })
            }
            Synchronised::NotAsked | Synchronised::At(_) => None,
        }
    }
}

const fn built(source_date_epoch: Option<&str>) -> u64 {
    let Some(text) = source_date_epoch else { return RELEASED_S };
    match u64::from_str_radix(text, 10) {
        Ok(seconds) if seconds > RELEASED_S => seconds,
        _ => RELEASED_S,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const SLOT: Duration = Duration::from_mins(15);

    fn earlier(by: Duration) -> Timestamp {
        Timestamp(NOW.0 - u64::try_from(by.as_millis()).unwrap())
    }

    fn never() -> Synchronised {
        Synchronised::Never { marker: "/run/marker".into() }
    }

    #[test]
    fn a_clock_before_the_programs_build_is_not_believed() {
        let boot = Timestamp(0);
        let doubt = doubt(boot, BUILT, None, Synchronised::NotAsked);
        assert_eq!(doubt, Some(Doubt::BeforeBuild { now: boot, built: BUILT }));
    }

    #[test]
    fn a_clock_behind_the_latest_durable_slot_is_not_believed_until_it_has_passed() {
        let recorded = Some(NOW);
        let now = earlier(Duration::from_millis(1));
        let found = doubt(now, BUILT, recorded, Synchronised::NotAsked);
        assert_eq!(found, Some(Doubt::BehindRecords { now, recorded: NOW }));
        assert_eq!(doubt(NOW, BUILT, recorded, Synchronised::NotAsked), None);
    }

    #[test]
    fn a_clock_that_nobody_has_set_is_not_believed_unless_nobody_asks() {
        let marker = PathBuf::from("/run/marker");
        assert_eq!(doubt(NOW, BUILT, None, never()), Some(Doubt::NeverSynchronised { marker }));
        for synchronised in [Synchronised::NotAsked, Synchronised::At(Timestamp(1))] {
            assert_eq!(doubt(NOW, BUILT, None, synchronised), None);
        }
    }

    #[test]
    fn a_step_back_of_more_than_a_slot_is_noticed_until_it_is_made_up_for() {
        let mut lookout = Lookout::default();
        let mut look = |now| lookout.look(now, SLOT, Synchronised::NotAsked);
        assert_eq!(look(NOW), None);
        assert_eq!(look(earlier(SLOT)), None);
        let now = earlier(SLOT + Duration::from_secs(1));
        assert_eq!(look(now), Some(Doubt::SetBack { latest: NOW, now }));
        assert_eq!(look(NOW), None);
    }

    #[test]
    fn a_clock_that_is_no_longer_synchronised_is_noticed() {
        let mut lookout = Lookout::default();
        let mut look = |since| lookout.look(NOW, SLOT, Synchronised::At(earlier(since)));
        assert_eq!(look(LATEST_WITHIN), None);
        let late = LATEST_WITHIN + Duration::from_millis(1);
        assert_eq!(look(late), Some(Doubt::NoLongerSynchronised { at: earlier(late) }));
    }

    #[test]
    fn a_marker_tells_when_it_was_touched_and_whether_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let marker = dir.path().join("synchronized");
        let config = ClockConfig { synchronised: true, marker: marker.clone() };
        assert_eq!(config.marker().look(), Synchronised::Never { marker: marker.clone() });
        let file = std::fs::File::create(&marker).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_millis(NOW.0)).unwrap();
        assert_eq!(config.marker().look(), Synchronised::At(NOW));
        let config = ClockConfig { synchronised: false, ..config };
        assert_eq!(config.marker().look(), Synchronised::NotAsked);
    }

    #[test]
    fn the_date_of_the_build_is_that_of_the_source_and_not_before_the_version() {
        assert_eq!(built(None), RELEASED_S);
        assert_eq!(built(Some("1800000000")), 1_800_000_000);
        for text in ["", "yesterday", "-1", "0"] {
            assert_eq!(built(Some(text)), RELEASED_S, "{text}");
        }
    }
}
