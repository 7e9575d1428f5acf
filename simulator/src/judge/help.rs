//! What the judge makes of who helped.

use aggregation::Scheme;
use protocol::message::Outcome;
use protocol::roster::AcceptedRoster;
use protocol::slot::Slot;

use super::{Judge, Violation};

impl<S: Scheme> Judge<S> {
    /// As many holders as the threshold says have handed out shares of a slot.
    /// Whom a result names as its helpers belongs here too.
    pub(super) fn check_help(&self, slot: Slot) -> Result<(), Violation> {
        let needed = self
            .roster_at(slot)
            .map_or(0, |roster| roster.parameters().threshold.of(roster.body().members.len()));
        let found = self.sets.keys().filter(|(_, helped)| *helped == slot).count();
        if found >= needed { Ok(()) } else { Err(Violation::TooFewHelpers { slot, found, needed }) }
    }

    pub(super) fn check_holders(&self, outcome: &Outcome) -> Result<(), Violation> {
        let slot = outcome.first_slot;
        let mut holders = outcome.helpers.clone();
        holders.extend_from_slice(&outcome.unanswered);
        holders.extend_from_slice(&outcome.culprits);
        holders.sort();
        if holders != self.members(slot) {
            return Err(Violation::Holders(slot));
        }
        let found = outcome.helpers.len();
        let scheme = self.roster_at(slot).map(AcceptedRoster::scheme);
        let needed = scheme.map_or(0, |scheme| usize::from(scheme.threshold()));
        if found < needed {
            return Err(Violation::TooFewHelpers { slot, found, needed });
        }
        Ok(())
    }
}
