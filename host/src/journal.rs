//! What a state machine has to tell, into the log. Repeated troubles are
//! logged at their 1st, 2nd, 4th, 8th ... occurrence: a peer that sends
//! garbage fills no disk.

use std::collections::BTreeMap;

use protocol::output::Event;

use crate::health::Pulse;

/// Counts events, also for the metrics, and decides which of them are logged.
#[derive(Debug)]
pub struct Journal {
    counts: BTreeMap<&'static str, u64>,
    pulse: Pulse,
}

impl Journal {
    /// Nothing has happened yet in the loop of this pulse.
    #[must_use]
    pub fn of(pulse: Pulse) -> Self {
        Self { counts: BTreeMap::new(), pulse }
    }

    /// Logs an event of a region's machine.
    pub fn note(&mut self, region: &str, event: &Event) {
        self.pulse.event(event.name());
        let count = self.counts.entry(event.name()).or_default();
        *count += 1;
        if event.is_routine() {
            tracing::info!(region, "{event}");
        } else if matches!(event, Event::LeftOut { .. }) {
            // Each one ends an attempt at a ceremony: none floods the log, and
            // each names somebody else.
            tracing::warn!(region, reason = event.name(), "{event}");
        } else if count.is_power_of_two() {
            tracing::warn!(region, reason = event.name(), count = *count, "{event}");
        }
    }
}
