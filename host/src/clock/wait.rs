//! Waiting for a clock that can be believed.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Doubt;

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// Between two words about the same.
const SAY: Duration = Duration::from_mins(5);

/// Looks once a second, until nothing speaks against the clock. Why it still
/// waits is logged at once and every five minutes. Cancel safe.
pub async fn until_believed(mut look: impl FnMut() -> Option<Doubt>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said: Option<Instant> = None;
    loop {
        let tick = ticks.tick().await;
        let Some(doubt) = look() else { break };
        if said.is_none_or(|said| tick.duration_since(said) >= SAY) {
            tracing::warn!("waiting for the clock: {doubt}");
            said = Some(tick);
        }
    }
    if said.is_some() {
        tracing::info!("the clock is believed now");
    }
}

#[cfg(test)]
mod tests {
    use protocol::slot::Timestamp;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_after_an_hour_is_waited_for() {
        let start = Instant::now();
        let mut looks = 0;
        until_believed(|| {
            looks += 1;
            let (now, recorded) = (Timestamp(0), Timestamp(1));
            (start.elapsed() < Duration::from_hours(1))
                .then_some(Doubt::BehindRecords { now, recorded })
        })
        .await;
        assert_eq!((start.elapsed(), looks), (Duration::from_hours(1), 3_601));
    }
}
