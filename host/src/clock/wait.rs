//! Waiting for a clock that can be believed.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Doubt;
use crate::health::{Check, Pulse};

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// Between two words about the same.
const SAY: Duration = Duration::from_mins(5);

/// Looks once a second, until nothing speaks against the clock. Why it still
/// waits is logged at once and every five minutes, and stands in the readiness.
/// systemd is told that the process serves: a machine's start must not wait for
/// a clock that may never be set. Cancel safe.
///
/// # Errors
/// Those of `look`.
pub async fn until_believed(
    pulse: &Pulse,
    mut look: impl FnMut() -> anyhow::Result<Option<Doubt>>,
) -> anyhow::Result<()> {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said: Option<Instant> = None;
    loop {
        let tick = ticks.tick().await;
        let doubt = look()?;
        pulse.moved();
        pulse.check(Check::Clock, doubt.as_ref());
        let Some(doubt) = doubt else { break };
        if said.is_none() {
            pulse.health().serving();
        }
        if said.is_none_or(|said| tick.duration_since(said) >= SAY) {
            tracing::warn!("waiting for the clock: {doubt}");
            said = Some(tick);
        }
    }
    if said.is_some() {
        tracing::info!("the clock is believed now");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::slot::Timestamp;

    use super::*;
    use crate::health::Health;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_after_an_hour_is_waited_for() {
        let pulse = Health::of("meter-agent", "1.2.3", &[]).pulse(None, &[Check::Clock]);
        let (start, mut looks) = (Instant::now(), 0);
        let look = || {
            looks += 1;
            let (now, recorded) = (Timestamp(0), Timestamp(1));
            let doubts = start.elapsed() < Duration::from_hours(1);
            Ok(doubts.then_some(Doubt::BehindRecords { now, recorded }))
        };
        until_believed(&pulse, look).await.unwrap();
        assert_eq!((start.elapsed(), looks), (Duration::from_hours(1), 3_601));
    }
}
