//! Who has helped with a request, and who sent a share that does not verify.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Canonical as _, Context, Participant, Scheme};

use crate::id::{Digest, MeterId};
use crate::message::Share;
use crate::roster::AcceptedRoster;
use crate::slot::Timestamp;

use super::Combined;

/// What became of a share that answers a round's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// It verifies and helps to open the sums.
    Accepted,
    /// It came after the sums were opened, and its proof was not checked.
    Noted,
    /// There is one of this holder already.
    Known,
}

/// Why a share is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareError {
    /// The round asks for no shares now, or for none of this sender.
    NotAsked,
    /// The share does not verify; the first one of this holder.
    Bad,
    /// The share does not verify, and its holder is a culprit already.
    BadAgain,
}

/// The accepted shares of a request, and the holders of bad ones.
pub(super) struct Helpers<S: Scheme> {
    accepted: BTreeMap<Participant, S::Accepted>,
    culprits: BTreeSet<MeterId>,
}

impl<S: Scheme> Default for Helpers<S> {
    fn default() -> Self {
        Self { accepted: BTreeMap::new(), culprits: BTreeSet::new() }
    }
}

/// Checks a holder's share of what a request asks for; none if it does not
/// verify.
pub(crate) fn accept<S: Scheme>(
    roster: &AcceptedRoster<S>,
    (digest, asked): (&Digest, &S::Request),
    (of, holder): (Participant, &MeterId),
    share: &Share,
) -> Option<S::Accepted> {
    let statement = roster.place().share(holder, digest);
    let response = S::Response::from_bytes(&share.response).ok()?;
    roster.scheme().accept(of, asked, &response, Context(&statement)).ok()
}

impl<S: Scheme> Helpers<S> {
    /// Takes a holder's share of what a request asks for.
    pub(super) fn take(
        &mut self,
        roster: &AcceptedRoster<S>,
        request: (&Digest, &S::Request),
        holder: &MeterId,
        share: &Share,
    ) -> Result<Help, ShareError> {
        let (of, _) = roster.member(holder).ok_or(ShareError::NotAsked)?;
        if self.accepted.contains_key(&of) {
            return Ok(Help::Known);
        }
        let Some(accepted) = accept(roster, request, (of, holder), share) else {
            let is_first = self.culprits.insert(holder.clone());
            return Err(if is_first { ShareError::Bad } else { ShareError::BadAgain });
        };
        self.culprits.remove(holder);
        self.accepted.insert(of, accepted);
        Ok(Help::Accepted)
    }

    pub(super) fn accepted(&self) -> &BTreeMap<Participant, S::Accepted> {
        &self.accepted
    }

    pub(super) fn count(&self) -> usize {
        self.accepted.len()
    }

    pub(super) fn culprits(&self) -> Vec<MeterId> {
        self.culprits.iter().cloned().collect()
    }

    /// Holders without an accepted share.
    pub(super) fn missing(&self, roster: &AcceptedRoster<S>) -> Vec<MeterId> {
        self.named(roster, false)
    }

    /// The end of a round whose sums these shares have opened.
    pub(super) fn combined(
        &self,
        roster: &AcceptedRoster<S>,
        at: Timestamp,
        values: Vec<u64>,
    ) -> Combined {
        let mut unanswered = self.missing(roster);
        unanswered.retain(|holder| !self.culprits.contains(holder));
        Combined {
            at,
            values,
            helpers: self.named(roster, true),
            unanswered,
            culprits: self.culprits(),
            is_settled: false,
        }
    }

    fn named(&self, roster: &AcceptedRoster<S>, has_helped: bool) -> Vec<MeterId> {
        let fits = |(of, _): &(Participant, _)| self.accepted.contains_key(of) == has_helped;
        roster.participants().filter(fits).map(|(_, meter)| meter.clone()).collect()
    }
}
