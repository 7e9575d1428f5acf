//! What an agent sees of itself, for those who look after it.

use std::time::Duration;

use aggregation::ElGamal;
use host::clock::{Doubt, Lookout, Marker};
use host::health::{Check, Pulse, Standing};
use host::store::{Sqlite, Turns};
use protocol::message::State;
use protocol::meter::Meter;
use protocol::output::Output;
use protocol::record::{Change, Sort};
use protocol::slot::{Grid, Slot, Timestamp};

use crate::growth::Growth;
use crate::slots::Slots;

/// What an agent's readiness depends on.
pub(crate) const CHECKS: [Check; 5] =
    [Check::Broker, Check::Clock, Check::Store, Check::Epoch, Check::Source];

/// The agent's look at itself.
pub(crate) struct Vigil {
    pulse: Pulse,
    lookout: Lookout,
    marker: Marker,
    /// The length of a slot, until an epoch says it.
    slot_seconds: u32,
    doubt: Option<Doubt>,
    contributed: Option<Slot>,
}

impl Vigil {
    pub(crate) fn of(pulse: Pulse, marker: Marker, slot_seconds: u32) -> Self {
        let (lookout, doubt, contributed) = (Lookout::default(), None, None);
        Self { pulse, lookout, marker, slot_seconds, doubt, contributed }
    }

    /// Why the link is down; none if it is up.
    pub(crate) fn link(&self, reason: Option<&str>) {
        self.pulse.check(Check::Broker, reason);
    }

    /// The loop has moved: looks at all that it depends on.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub(crate) fn look_at(
        &mut self,
        (meter, slots): (&Meter<ElGamal>, &Slots),
        (turns, growth): (&Turns<Sqlite>, &Growth),
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let grid = meter.grid();
        self.look_at_clock(grid.as_ref(), now);
        let is_member = grid.is_some_and(|of| meter.takes_part(of.slot_at(now).max(of.origin)));
        let outside = (!is_member).then_some("this meter is a member of no epoch that runs now");
        self.pulse.check(Check::Epoch, outside);
        self.pulse.check(Check::Source, slots.trouble());
        self.pulse.moved();
        let grown = growth.is_beyond().then_some("the database is larger than it should be");
        self.pulse.check(Check::Store, turns.refusal().or(grown));
        self.pulse.ask(turns.store())
    }

    /// What the machine hands out, before it is carried out.
    pub(crate) fn hear(&mut self, output: &Output) {
        if let Output::Persist(Change::Write(key, _)) = output
            && key.sort == Sort::Sent
        {
            self.contributed = self.contributed.max(Some(Slot(key.position)));
        }
    }

    /// What was handed out is on the disk.
    pub(crate) fn committed(&self, grid: Option<&Grid>) {
        self.pulse.committed();
        if let Some((grid, slot)) = grid.zip(self.contributed) {
            self.pulse.contributed_until(grid.end(slot).0 / 1_000);
        }
    }

    /// What the meter's slots wait for, as it was published.
    pub(crate) fn note(&self, state: &State) {
        for (standing, slots) in [
            (Standing::Unsettled, state.unsettled_slots),
            (Standing::Withheld, state.withheld_slots),
            (Standing::Pooled, state.pooled_slots),
            (Standing::Lost, state.lost_slots),
        ] {
            self.pulse.slots(standing, slots);
        }
    }

    fn look_at_clock(&mut self, grid: Option<&Grid>, now: Timestamp) {
        let slot = grid.map_or(self.slot_seconds, |grid| grid.slot_seconds.get());
        let doubt = self.lookout.look(now, Duration::from_secs(slot.into()), self.marker.look());
        self.pulse.check(Check::Clock, doubt.as_ref());
        if let (Some(doubt), None) = (&doubt, &self.doubt) {
            tracing::warn!("{doubt}; no slot is measured twice");
        }
        self.doubt = doubt;
    }
}

#[cfg(test)]
mod tests {
    use host::health::Health;

    use super::*;

    #[test]
    fn a_clock_that_goes_back_by_more_than_a_slot_is_told_until_it_has_caught_up() {
        let pulse = Health::of("meter-agent", "1.2.3", &[]).pulse(None, &[Check::Clock]);
        let mut vigil = Vigil::of(pulse.clone(), Marker::NONE, 900);
        let mut line_at = |now| {
            vigil.look_at_clock(None, Timestamp(now));
            pulse.health().in_a_line()
        };
        assert_eq!(line_at(1_800_001_000_000), "all is well");
        let back =
            "clock: the clock was set back from 2027-01-15T08:16:40Z to 2027-01-15T08:00:00Z";
        assert_eq!(line_at(1_800_000_000_000), back);
        assert_eq!(line_at(1_800_001_000_000), "all is well");
    }
}
