//! What is said of a round: where it stands.

use aggregation::Scheme;

use crate::id::MeterId;
use crate::message::{Phase, Status};
use crate::roster::AcceptedRoster;

use super::outcome::absent;
use super::{Abandoned, Requested, Round, State};

impl<S: Scheme> Round<S> {
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
            State::Abandoned { end: Abandoned { reason, waiting_for, culprits, .. }, .. } => {
                (Phase::Abandoned(reason.clone()), waiting_for.clone(), culprits.clone())
            }
        };
        Some(Status {
            target: self.target,
            phase,
            counted: self.meters().cloned().collect(),
            uncounted: absent(roster, |meter| self.has(meter)),
            waiting_for,
            culprits,
        })
    }
}
