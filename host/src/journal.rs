//! What a state machine has to tell, into the log. Repeated troubles are
//! logged at their 1st, 2nd, 4th, 8th ... occurrence: a peer that sends
//! garbage fills no disk.

use std::collections::BTreeMap;

use protocol::output::Event;

/// Counts events and decides which of them are logged.
#[derive(Debug, Default)]
pub struct Journal(BTreeMap<&'static str, u64>);

impl Journal {
    /// Logs an event of a region's machine.
    pub fn note(&mut self, region: &str, event: &Event) {
        let count = self.0.entry(event.name()).or_default();
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
