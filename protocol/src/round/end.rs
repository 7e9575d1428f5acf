//! How a round ends: what is kept of it beside its request and shares.

use std::collections::BTreeMap;

use aggregation::Scheme;
use serde::{Deserialize, Serialize};

use crate::entry::{self, Sum};
use crate::id::{Digest, MeterId};
use crate::message::Target;
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Timestamp};

use super::entries::Entries;
use super::outcome::outcome;
use super::{Requested, Round, State};

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// Its sums were opened.
    Combined(Combined),
    /// There will be no result.
    Abandoned(Abandoned),
}

/// A round whose sums were opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combined {
    /// When.
    pub at: Timestamp,
    /// The sums in Wh, in the order in which holders answer for them.
    pub values: Vec<u64>,
    /// Holders whose shares opened them.
    pub helpers: Vec<MeterId>,
    /// Holders whose share had not come.
    pub unanswered: Vec<MeterId>,
    /// Holders with a share that does not verify.
    pub culprits: Vec<MeterId>,
    /// Whether it was said at the deadline who never answered.
    pub is_settled: bool,
}

/// A round without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandoned {
    /// When; records of the first versions do not say it.
    #[serde(default)]
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Holders whose share was missing.
    pub waiting_for: Vec<MeterId>,
    /// Holders with a share that does not verify.
    pub culprits: Vec<MeterId>,
}

impl<S: Scheme> Round<S> {
    /// The round of a slot that has ended, of the messages that its request
    /// lists.
    pub(crate) fn ended(
        roster: &AcceptedRoster<S>,
        (slot, request): (Slot, Digest),
        messages: BTreeMap<MeterId, Vec<u8>>,
        end: Ended,
    ) -> Self {
        let target = Target::Region(slot);
        let mut round =
            Self { target, entries: Entries::Messages(messages), state: State::Collecting };
        round.state = match end {
            Ended::Combined(end) => {
                // Whose they are, without what they add up to.
                let sums = entry::sums(roster, target, []);
                round.combined(roster, (request, &sums), end)
            }
            Ended::Abandoned(end) => State::Abandoned { request: Some(request), end },
        };
        round
    }

    /// Ends the round, which has turned to the holders if its sums are opened.
    pub fn finish(&mut self, roster: &AcceptedRoster<S>, end: Ended) {
        let request = self.committed();
        let state = std::mem::replace(&mut self.state, State::Collecting);
        self.state = match (state, end) {
            (State::Requesting(requested), Ended::Combined(end)) => {
                self.combined(roster, (requested.digest, &requested.sums), end)
            }
            (_, Ended::Abandoned(end)) => State::Abandoned { request, end },
            (state, Ended::Combined(_)) => state,
        };
    }

    fn combined(
        &self,
        roster: &AcceptedRoster<S>,
        (request, sums): (Digest, &[Sum<S>]),
        end: Combined,
    ) -> State<S> {
        let of = (self.target, &self.meters().collect());
        let opened = sums.iter().zip(&end.values);
        let outcomes = opened.map(|opened| outcome(roster, of, opened, &end)).collect();
        let missing = end.unanswered.iter().cloned().collect();
        State::Combined { request, end, outcomes, missing }
    }

    /// Gives the round up. Its set stays committed if holders were asked.
    pub fn abandon(&mut self, roster: &AcceptedRoster<S>, reason: String, now: Timestamp) {
        let (waiting_for, culprits) = match &self.state {
            State::Requesting(Requested { helpers, .. }) => {
                (helpers.missing(roster), helpers.culprits())
            }
            _ => (Vec::new(), Vec::new()),
        };
        let end = Abandoned { at: now, reason, waiting_for, culprits };
        self.finish(roster, Ended::Abandoned(end));
    }

    /// How the round ended, if it did.
    #[must_use]
    pub fn end(&self) -> Option<Ended> {
        match &self.state {
            State::Collecting | State::Requesting(_) => None,
            State::Combined { end, .. } => Some(Ended::Combined(end.clone())),
            State::Abandoned { end, .. } => Some(Ended::Abandoned(end.clone())),
        }
    }

    /// Whether there will be no result.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        matches!(self.state, State::Abandoned { .. })
    }

    /// Whether it was given up at `since` or later.
    #[must_use]
    pub fn is_abandoned_since(&self, since: Timestamp) -> bool {
        matches!(&self.state, State::Abandoned { end, .. } if end.at >= since)
    }

    /// Whether the sums are opened, some holders have not answered, and nobody
    /// has been told so at the deadline.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        matches!(&self.state, State::Combined { end, missing, .. }
            if !end.is_settled && !missing.is_empty())
    }

    /// Waits no longer for those that have not answered.
    pub fn settle(&mut self) {
        if let State::Combined { end, .. } = &mut self.state {
            end.is_settled = true;
        }
    }
}
