//! What the judge makes of results: sums over meters, and sums over slots.

use std::collections::BTreeSet;

use aggregation::Scheme;
use protocol::id::MeterId;
use protocol::message::{Outcome, Subject};
use protocol::portion::Portion;
use protocol::roster::AcceptedRoster;
use protocol::slot::Slot;

use super::{Judge, Violation};

impl<S: Scheme> Judge<S> {
    pub(super) fn check_region(&self, outcome: &Outcome) -> Result<(), Violation> {
        let slot = outcome.first_slot;
        let mut members = outcome.contributors.clone();
        members.extend_from_slice(&outcome.uncounted);
        members.sort();
        if members != self.members(slot) || outcome.slots != 1 {
            return Err(Violation::Members(slot));
        }
        let (found, needed) = (outcome.contributors.len(), self.contributors_needed(slot));
        if found < needed {
            return Err(Violation::TooFewContributors { slot, found, needed });
        }
        self.check_help(slot)?;
        self.check_listed(outcome)?;
        let (register, said) = (outcome.register, outcome.sum_wh);
        let read = |meter| self.wh(meter, register, slot);
        let truth = outcome.contributors.iter().map(read).sum();
        if said == truth {
            Ok(())
        } else {
            Err(Violation::RegionSum { slot, register, said, truth })
        }
    }

    pub(super) fn check_bill(&self, meter: &MeterId, outcome: &Outcome) -> Result<(), Violation> {
        let (register, said, first_slot) = (outcome.register, outcome.sum_wh, outcome.first_slot);
        let slots = self.slots_of_bill(outcome).ok_or(Violation::Span(first_slot))?;
        let roster = self.roster_at(first_slot);
        let min_slots = roster.map_or(0, |roster| usize::from(roster.parameters().min_slots));
        let is_member = roster.is_some_and(|roster| roster.member(meter).is_some());
        let named = is_member && outcome.contributors == [meter.clone()];
        if slots.len() != outcome.slots as usize || slots.len() < min_slots || !named {
            return Err(Violation::Span(first_slot));
        }
        let truth = slots.iter().map(|slot| self.wh(meter, register, *slot)).sum();
        if said == truth {
            Ok(())
        } else {
            let meter = meter.clone();
            Err(Violation::Bill { meter, first_slot, register, said, truth })
        }
    }

    /// The slots that a bill covers; none if they are not those that its final
    /// listing opens.
    fn slots_of_bill(&self, outcome: &Outcome) -> Option<BTreeSet<Slot>> {
        let roster = self.roster_at(outcome.first_slot)?;
        let window = roster.grid().window_of(outcome.first_slot)?;
        let first = roster.grid().first_slot(window) == outcome.first_slot;
        let tariff = &roster.parameters().tariff;
        let step = tariff.ids().find(|step| tariff.name(*step) == outcome.step.as_ref())?;
        let own = roster.step_slots(window, step).into_iter();
        let left_out = |slot: &Slot| {
            outcome.uncounted_slots.contains(slot) || outcome.withheld_slots.contains(slot)
        };
        let covered = own.filter(|slot| !left_out(slot));
        let covered: BTreeSet<_> = covered.chain(outcome.joined_slots.iter().copied()).collect();
        let Subject::Meter(meter) = &outcome.subject else { return None };
        let (of, _) = roster.member(meter)?;
        let listed = self.finals.get(&(roster.epoch(), Portion { window, step }))?;
        (first && listed.billed(of).iter().eq(&covered)).then_some(covered)
    }

    /// A bill covers no slot whose own result does not count the meter.
    pub(super) fn check_agreement(&self, new: &Outcome) -> Result<(), Violation> {
        let is_other = |known: &&Outcome| {
            known.register == new.register
                && matches!(known.subject, Subject::Region(_))
                    != matches!(new.subject, Subject::Region(_))
        };
        let mut others = self.said.values().filter(is_other);
        match &new.subject {
            Subject::Region(_) => {
                // No bill covers a slot of a later window.
                let window = self.roster_at(new.first_slot).map_or(0, window_slots);
                let mut others =
                    others.filter(|bill| bill.first_slot.plus(window) > new.first_slot);
                others.try_for_each(|bill| check_pair(bill, self.slots_of_bill(bill).as_ref(), new))
            }
            Subject::Meter(_) => {
                let covered = self.slots_of_bill(new);
                others.try_for_each(|region| check_pair(new, covered.as_ref(), region))
            }
        }
    }
}

/// Whether a bill and the result of a slot that it covers agree.
fn check_pair(
    bill: &Outcome,
    covered: Option<&BTreeSet<Slot>>,
    region: &Outcome,
) -> Result<(), Violation> {
    let slot = region.first_slot;
    match &bill.subject {
        Subject::Meter(meter)
            if covered.is_some_and(|slots| slots.contains(&slot))
                && !region.contributors.contains(meter) =>
        {
            Err(Violation::Disagreement { meter: meter.clone(), slot })
        }
        _ => Ok(()),
    }
}

/// A result lies within its epoch. Slots of another one are somebody else's.
pub(super) fn check_epoch<S: Scheme>(
    roster: &AcceptedRoster<S>,
    outcome: &Outcome,
) -> Result<(), Violation> {
    let (epoch, slot) = (roster.epoch(), outcome.first_slot);
    let grid = roster.grid();
    let last = match outcome.subject {
        Subject::Region(_) => Some(slot),
        Subject::Meter(_) => grid.window_of(slot).map(|window| grid.last_slot(window)),
    };
    let is_within = roster.covers(slot) && last.is_some_and(|last| roster.covers(last));
    if is_within { Ok(()) } else { Err(Violation::OutsideEpoch { epoch, slot }) }
}

fn window_slots<S: Scheme>(roster: &AcceptedRoster<S>) -> u64 {
    roster.grid().window_slots.get().into()
}
