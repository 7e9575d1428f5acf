//! What is said of a round: its results, and where it stands.

use aggregation::Scheme;

use crate::entry::Sum;
use crate::id::MeterId;
use crate::message::{Outcome, Phase, Status, Subject, Target};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Window};

use super::{Abandoned, Combined, Requested, Round, State};

impl<S: Scheme> Round<S> {
    pub(super) fn outcome(
        &self,
        roster: &AcceptedRoster<S>,
        sum: &Sum<S>,
        sum_wh: u64,
        end: &Combined,
    ) -> Outcome {
        let (first_slot, contributors, uncounted, uncounted_slots) =
            match (&sum.subject, self.target) {
                (Subject::Meter(meter), Target::Bill(window)) => {
                    let left_out = self.left_out(roster, meter, window);
                    (roster.grid().first_slot(window), vec![meter.clone()], Vec::new(), left_out)
                }
                (_, Target::Bill(window)) => {
                    (roster.grid().first_slot(window), Vec::new(), Vec::new(), Vec::new())
                }
                (_, Target::Region(slot)) => {
                    (slot, self.meters().cloned().collect(), self.uncounted(roster), Vec::new())
                }
            };
        Outcome {
            subject: sum.subject.clone(),
            register: sum.register,
            first_slot,
            slots: sum.slots,
            sum_wh,
            contributors,
            uncounted,
            uncounted_slots,
            helpers: end.helpers.clone(),
            unanswered: end.unanswered.clone(),
            culprits: end.culprits.clone(),
        }
    }

    /// Slots of a window that a member's claim does not cover.
    fn left_out(&self, roster: &AcceptedRoster<S>, meter: &MeterId, window: Window) -> Vec<Slot> {
        let first = roster.grid().first_slot(window);
        let slots = self.entries.get(meter).map(|claim| &claim.slots);
        (0..roster.parameters().window_slots.get())
            .filter(|position| slots.is_none_or(|slots| !slots.contains(*position)))
            .map(|position| first.plus(position.into()))
            .collect()
    }

    pub(super) fn uncounted(&self, roster: &AcceptedRoster<S>) -> Vec<MeterId> {
        let absent = |meter: &&MeterId| !self.entries.contains_key(*meter);
        roster.participants().map(|(_, meter)| meter).filter(absent).cloned().collect()
    }

    /// How many holders have helped, and which have not.
    #[must_use]
    pub fn help(&self, roster: &AcceptedRoster<S>) -> (usize, Vec<MeterId>) {
        match &self.state {
            State::Requesting(Requested { helpers, .. }) => {
                (helpers.count(), helpers.missing(roster))
            }
            _ => (0, Vec::new()),
        }
    }

    /// Where the round stands; none while it collects.
    #[must_use]
    pub fn status(&self, roster: &AcceptedRoster<S>) -> Option<Status> {
        let (phase, waiting_for, culprits) = match &self.state {
            State::Collecting => return None,
            State::Requesting(Requested { helpers, .. }) => {
                (Phase::Requesting, helpers.missing(roster), helpers.culprits())
            }
            State::Combined { end, missing, .. } => {
                (Phase::Combined, missing.iter().cloned().collect(), end.culprits.clone())
            }
            State::Abandoned { end: Abandoned { reason, waiting_for, culprits }, .. } => {
                (Phase::Abandoned(reason.clone()), waiting_for.clone(), culprits.clone())
            }
        };
        Some(Status {
            target: self.target,
            phase,
            counted: self.meters().cloned().collect(),
            uncounted: self.uncounted(roster),
            waiting_for,
            culprits,
        })
    }
}
