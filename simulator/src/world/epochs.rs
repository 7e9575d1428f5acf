//! The epochs of a world, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregation::Scheme;
use protocol::roster::AcceptedRoster;
use protocol::slot::Timestamp;

use crate::judge::{Judge, Violation};
use crate::node::Cause;
use crate::plan::{NextEpochError, Party, StartError};
use crate::report::Report;

use super::{Failure, World};

impl<S: Scheme> World<S> {
    /// Asks the collector for an epoch of these meters, which follows as soon as
    /// a window ends.
    ///
    /// # Errors
    /// See [`NextEpochError`].
    pub fn next_epoch(
        &mut self,
        members: impl IntoIterator<Item = u16>,
    ) -> Result<(), NextEpochError> {
        self.members = members.into_iter().collect();
        let (terms, now) = (self.terms()?, self.now);
        let node = self.nodes.get_mut(&Party::Collector);
        let node = node.ok_or(StartError::Unknown(Party::Collector))?;
        node.next_epoch(terms, now).map_err(StartError::from)?;
        Ok(self.turn(Party::Collector, Cause::Time)?)
    }

    /// Runs until every deadline of the plan's epochs has passed.
    ///
    /// # Errors
    /// The failure condition that held.
    pub fn run(mut self) -> Result<Report, Failure> {
        if self.grid().is_none() {
            self.open()?;
        }
        // An epoch opens before the one before it ends.
        while let Some(end) = self.end().filter(|end| *end > self.now) {
            self.run_until(end)?;
        }
        self.weigh()?;
        let watched = self.watched().map(AcceptedRoster::end_slot);
        let mut report = self.report();
        report.results.retain(|key, _| watched.is_none_or(|end| key.first_slot < end));
        Ok(report)
    }

    /// What the world has come to.
    #[must_use]
    pub fn report(self) -> Report {
        let Judge { results, abandoned, rosters, .. } = self.judge;
        let rosters: BTreeMap<_, _> =
            rosters.into_iter().map(|(epoch, roster)| (epoch, roster.body().clone())).collect();
        let first = rosters.keys().next().copied();
        let of_first = abandoned.iter().filter(|((epoch, _), _)| Some(*epoch) == first);
        Report {
            results,
            abandoned: of_first.map(|((_, target), status)| (*target, status.clone())).collect(),
            all_abandoned: abandoned,
            rosters,
            trace: Some(self.trace),
            ..self.report
        }
    }

    /// Checks that no meter's energy was lost or counted twice: all that it
    /// measured is counted, waits, or was given up.
    ///
    /// # Errors
    /// [`Violation::Energy`], in a [`Failure`].
    pub fn weigh(&mut self) -> Result<(), Failure> {
        self.weigh_if(true)
    }

    /// The same; amid what happens nothing is over.
    pub(super) fn weigh_if(&mut self, is_over: bool) -> Result<(), Failure> {
        let registers = self.plan.parameters.registers.clone();
        let mut found = None;
        for (party, node) in &mut self.nodes {
            let (Party::Meter(number), false) = (party, node.is_busy()) else { continue };
            let Some(id) = self.ids.get(usize::from(*number)) else { continue };
            node.account.look_up(|slot| self.judge.counts(id, slot));
            let Some(meter) = node.meter() else { continue };
            found = found.or_else(|| {
                registers.iter().find_map(|register| {
                    let (measured, found) = node.account.imbalance(meter, *register, is_over)?;
                    let (meter, register) = (id.clone(), *register);
                    Some(Violation::Energy { meter, register, measured, found })
                })
            });
        }
        found.map_or(Ok(()), |violation| Err(self.failure(violation)))
    }

    /// The last epoch that is watched, of those that have opened.
    fn watched(&self) -> Option<&AcceptedRoster<S>> {
        self.judge.rosters.values().take(self.plan.epochs as usize).last()
    }

    /// Some time after the last deadline of the last epoch that is watched.
    fn end(&self) -> Option<Timestamp> {
        Some(self.watched()?.last_deadline() + Duration::from_mins(2))
    }
}
