//! What is known once the epoch is open.

use std::time::Duration;

use host::clock;

use super::Run;
use crate::args::Options;
use crate::balance;
use crate::billed::Billed;
use crate::floors::WINDOW_SLOTS;
use crate::household::Household;
use crate::killer::Killer;
use crate::tally::Tally;
use crate::truth::{Played, Truth};
use crate::watch::Sighting;

/// What is known once the epoch is open.
pub(super) struct Books {
    pub(super) truth: Truth,
    pub(super) published: balance::Books,
    pub(super) tally: Tally,
    pub(super) billed: Option<Billed>,
    pub(super) killer: Killer,
}

impl Run<'_> {
    pub(super) fn open_books(
        &mut self,
        sighting: Sighting,
        household: &Household,
    ) -> anyhow::Result<()> {
        match sighting {
            Sighting::Opened(epoch, roster) => {
                let grid = roster.parameters.grid(roster.first_slot);
                let sources = household.agents.iter().map(|agent| (&agent.meter, &agent.source));
                let played = household.captured().cloned().zip(self.bridge.take());
                let played = played.map(|(meter, bridge)| Played::new(meter, bridge));
                let most = roster.parameters.max_wh_per_slot;
                let truth = Truth::open(sources, grid, most, played)?;
                let first = (epoch, &*roster);
                let mut tally = Tally::new(&household.region, first, self.options.slots);
                if self.options.kill > 0 {
                    tally.expect_kills();
                }
                self.display.opened(&roster)?;
                let billed = household.captured().cloned().map(Billed::new);
                let killer = self.killer(household);
                let published = balance::Books::default();
                self.books = Some(Books { truth, published, tally, billed, killer });
            }
            Sighting::Trouble(text) => self.display.note(&text)?,
            _ => {}
        }
        Ok(())
    }

    fn killer(&self, household: &Household) -> Killer {
        let Options { kill, kill_seed, slot_seconds, .. } = *self.options;
        let meters = household.agents.iter().map(|agent| agent.meter.clone()).collect();
        let window = Duration::from_secs((slot_seconds * WINDOW_SLOTS).into());
        let grace = Duration::from_secs(self.lowered.grace_s().into());
        Killer::new(meters, (kill, kill_seed), (window, grace), clock::now())
    }
}
