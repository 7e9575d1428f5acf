//! What systemd is told, where it has started the daemon (`Type=notify`,
//! `WatchdogSec=`).

use std::time::Instant;

use sd_notify::NotifyState;

use super::Health;

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Systemd {
    status: String,
    is_silent: bool,
}

/// What there is to tell.
#[derive(Debug, Default, PartialEq, Eq)]
struct Word {
    status: Option<String>,
    /// All loops move and all stores answer.
    is_alive: bool,
}

impl Systemd {
    /// Tells the status when it is another one, and feeds the watchdog.
    pub(super) fn tell(&mut self, health: &Health, now: Instant) {
        let Word { status, is_alive } = self.word(health, now);
        let status = status.as_deref().map(NotifyState::Status);
        notify(
            &status
                .into_iter()
                .chain(is_alive.then_some(NotifyState::Watchdog))
                .collect::<Vec<_>>(),
        );
    }

    /// A watchdog that hears nothing for its whole span ends the process: half
    /// of the span is for the loops, the other half for this thread.
    fn word(&mut self, health: &Health, now: Instant) -> Word {
        let late = health.0.watchdog.map(|span| {
            let mut late = health.stuck(now, span / 2);
            late.extend(health.unanswered(now, span / 2));
            late
        });
        let is_alive = late.as_ref().is_some_and(Vec::is_empty);
        if let Some(late) = late.filter(|late| !late.is_empty() && !self.is_silent) {
            tracing::error!("the watchdog is not fed: {}", late.join("; "));
        }
        self.is_silent = !is_alive;
        let status = health.in_a_line();
        let status = (status != self.status).then(|| status.clone_into(&mut self.status));
        Word { status: status.map(|()| self.status.clone()), is_alive }
    }
}

pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(words: &[NotifyState<'_>]) {
    if !words.is_empty()
        && let Err(error) = sd_notify::notify(words)
    {
        tracing::warn!("systemd is not told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Check;
    use super::super::tests::two_loops;
    use super::*;
    use crate::clock;

    const HALF: Duration = Duration::from_secs(30);
    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn the_watchdog_is_fed_while_all_loops_move_and_all_stores_answer() {
        let (health, own, north) = two_loops();
        let later = clock::monotonic() + HALF + MOMENT;
        own.moved_at(later);
        north.moved_at(later);
        north.store_answered_at(later);
        assert!(Systemd::default().word(&health, later).is_alive);
    }

    #[test]
    fn a_loop_that_hangs_or_a_store_that_does_not_answer_ends_that() {
        let later = clock::monotonic() + HALF + HALF;
        for hangs in ["the process", "north", "the store"] {
            let (health, own, north) = two_loops();
            if hangs != "the process" {
                own.moved_at(later);
            }
            if hangs != "north" {
                north.moved_at(later);
            }
            if hangs != "the store" {
                north.store_answered_at(later);
            }
            assert!(!Systemd::default().word(&health, later).is_alive, "{hangs}");
        }
    }

    #[test]
    fn a_status_is_told_when_it_is_another_one() {
        let (health, own, north) = two_loops();
        let (mut systemd, now) = (Systemd::default(), clock::monotonic());
        for check in [Check::Store, Check::Epoch] {
            north.check(check, None::<&str>);
        }
        own.check(Check::Broker, Some("not connected"));
        let told = systemd.word(&health, now).status;
        assert_eq!(told.as_deref(), Some("broker: not connected"));
        assert_eq!(systemd.word(&health, now).status, None);
    }
}
