//! Results: what follows from a round's entries, how it ended, and the final
//! listing of its bills. Whoever publishes a result and whoever checks one
//! find it here.

use std::collections::BTreeSet;

use aggregation::Scheme;

use crate::entry::Sum;
use crate::id::MeterId;
use crate::listing::Listed;
use crate::message::{Outcome, Subject, Target};
use crate::roster::AcceptedRoster;

use super::Combined;

/// The result of a sum with its value, in a round of these meters' entries.
/// Which slots a bill covers, its listing says: see [`with_slots`].
pub(crate) fn outcome<S: Scheme>(
    roster: &AcceptedRoster<S>,
    (target, meters): (Target, &BTreeSet<&MeterId>),
    (sum, value): (&Sum<S>, &u64),
    end: &Combined,
) -> Outcome {
    let (first_slot, contributors, uncounted) = match (&sum.subject, target) {
        (_, Target::Region(slot)) => {
            let counted = meters.iter().copied().cloned().collect();
            (slot, counted, absent(roster, |meter| meters.contains(meter)))
        }
        (subject, Target::Bill(portion)) => {
            let owner = match subject {
                Subject::Meter(meter) => vec![meter.clone()],
                Subject::Region(_) => Vec::new(),
            };
            (roster.grid().first_slot(portion.window), owner, Vec::new())
        }
    };
    Outcome {
        subject: sum.subject.clone(),
        register: sum.register,
        first_slot,
        slots: sum.slots,
        sum_wh: *value,
        contributors,
        uncounted,
        step: None,
        uncounted_slots: Vec::new(),
        withheld_slots: Vec::new(),
        joined_slots: Vec::new(),
        helpers: end.helpers.clone(),
        unanswered: end.unanswered.clone(),
        culprits: end.culprits.clone(),
    }
}

/// A bill's result with what its final listing says of the slots.
pub(crate) fn with_slots<S: Scheme>(
    roster: &AcceptedRoster<S>,
    listed: &Listed,
    mut outcome: Outcome,
) -> Outcome {
    let Subject::Meter(meter) = &outcome.subject else { return outcome };
    let Some((of, _)) = roster.member(meter) else { return outcome };
    let uncounted = |slot: &&_| !listed.is_counted(**slot, of);
    outcome.uncounted_slots = listed.slots().iter().filter(uncounted).copied().collect();
    let first = outcome.first_slot;
    outcome.joined_slots = listed.billed(of);
    outcome.joined_slots.retain(|slot| *slot < first);
    outcome.withheld_slots = listed.withheld_from(of);
    outcome.step = roster.parameters().tariff.name(listed.portion().step).cloned();
    outcome
}

/// The members that are not among these, in their order.
pub(super) fn absent<S: Scheme>(
    roster: &AcceptedRoster<S>,
    is_there: impl Fn(&MeterId) -> bool,
) -> Vec<MeterId> {
    let meters = roster.participants().map(|(_, meter)| meter);
    meters.filter(|meter| !is_there(meter)).cloned().collect()
}
