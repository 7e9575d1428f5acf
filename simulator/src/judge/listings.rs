//! What the judge makes of final listings.

use std::collections::BTreeMap;

use aggregation::Scheme;
use protocol::id::{Digest, Epoch, MeterId};
use protocol::listing::{self, Listed};
use protocol::members::MemberSet;
use protocol::message::{FinalListing, Listing, Outcome, Subject};
use protocol::portion::Portion;
use protocol::slot::Slot;

use super::{Judge, Violation};

impl<S: Scheme> Judge<S> {
    /// Takes a final listing: one for each portion, which agrees with every
    /// result.
    pub(super) fn see_final(&mut self, epoch: Epoch, body: &FinalListing) -> Result<(), Violation> {
        let Some(roster) = self.rosters.get(&epoch) else { return Ok(()) };
        let (listing, _) = listing::open_final(roster, body).map_err(Violation::NotFinal)?;
        let portion = listing.portion;
        if let Some(known) = self.finals.get(&(epoch, portion)) {
            let same = known.digest() == listing::digest(&listing);
            return if same { Ok(()) } else { Err(Violation::TwoListings(portion)) };
        }
        let joined = self.joined(epoch, &listing);
        let listed = Listed::read(roster, &listing, joined);
        let listed = listed.map_err(|error| Violation::Listing { portion, error })?;
        let results =
            self.said.values().filter(|outcome| listed.slots().contains(&outcome.first_slot));
        for outcome in results.filter(|outcome| matches!(outcome.subject, Subject::Region(_))) {
            self.agrees(&listed, epoch, outcome)?;
        }
        self.finals.insert((epoch, portion), listed);
        Ok(())
    }

    fn joined(&self, epoch: Epoch, listing: &Listing) -> BTreeMap<Slot, MemberSet> {
        let before = self.finals.iter().find(|((of, portion), listed)| {
            *of == epoch
                && portion.step == listing.portion.step
                && listed.digest() == listing.previous
                && listing.previous != Digest::NONE
        });
        before.map(|(_, listed)| listed.withheld()).unwrap_or_default()
    }

    /// The result of a slot counts whom its listing says.
    pub(super) fn check_listed(&self, outcome: &Outcome) -> Result<(), Violation> {
        let Some(roster) = self.roster_at(outcome.first_slot) else { return Ok(()) };
        let portion = listing::portion_of(roster, outcome.first_slot);
        let listed = portion.and_then(|portion| self.finals.get(&(roster.epoch(), portion)));
        listed.map_or(Ok(()), |listed| self.agrees(listed, roster.epoch(), outcome))
    }

    fn agrees(&self, listed: &Listed, epoch: Epoch, outcome: &Outcome) -> Result<(), Violation> {
        let slot = outcome.first_slot;
        let roster = self.rosters.get(&epoch);
        let of = |meter| roster.and_then(|roster| roster.member(meter)).map(|(of, _)| of);
        let set: MemberSet = outcome.contributors.iter().filter_map(of).collect();
        let listed = listed.set(slot).cloned().unwrap_or_default();
        if listed == set { Ok(()) } else { Err(Violation::Listed(slot)) }
    }

    /// Whether the final listing of a slot counts a meter; none while there is
    /// none.
    pub(crate) fn counts(&self, meter: &MeterId, slot: Slot) -> Option<bool> {
        let roster = self.roster_at(slot)?;
        let portion = listing::portion_of(roster, slot)?;
        let listed = self.finals.get(&(roster.epoch(), portion))?;
        let (of, _) = roster.member(meter)?;
        Some(listed.is_counted(slot, of))
    }

    #[cfg(test)]
    pub(crate) fn forget_listings(&mut self) {
        self.finals.clear();
    }

    /// Whether a portion has a final listing.
    pub(crate) fn is_listed(&self, epoch: Epoch, portion: Portion) -> bool {
        self.finals.contains_key(&(epoch, portion))
    }
}
