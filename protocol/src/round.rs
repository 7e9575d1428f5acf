//! A round: one request's sums, from the first contribution to the result.
//! The subject is the region or single meters; the states are the same.

mod end;
mod help;
mod outcome;
mod said;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{CombineError, Scheme};
use serde_bytes::ByteBuf;

use crate::entry::{self, Entry, Sum};
use crate::envelope::Rejection;
use crate::id::{Digest, MeterId};
use crate::message::{Outcome, Request, Share, Subject, Target};
use crate::reading::Register;
use crate::release;
use crate::roster::AcceptedRoster;
use crate::slot::Timestamp;

use help::Helpers;

pub use end::{Abandoned, Combined, Ended};
pub(crate) use help::accept;
pub use help::{Help, ShareError};
pub(crate) use outcome::{outcome, with_slots};

/// What became of an entry that was offered to a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The entry is in the round.
    Counted,
    /// The same quantities were in the round already.
    Known,
    /// The meter has another entry in the round; the first one stays.
    Conflict,
    /// The round is closed, without this meter.
    Late,
}

/// What the holders were asked, and what they answered.
struct Requested<S: Scheme> {
    digest: Digest,
    message: Vec<u8>,
    sums: Vec<Sum<S>>,
    asked: S::Request,
    helpers: Helpers<S>,
}

enum State<S: Scheme> {
    Collecting,
    Requesting(Requested<S>),
    Combined {
        request: Digest,
        end: Combined,
        outcomes: Vec<Outcome>,
        /// Holders whose share has not come yet.
        missing: BTreeSet<MeterId>,
    },
    Abandoned {
        is_committed: bool,
        end: Abandoned,
    },
}

/// One round. Its entries stay to the end: bills are checked against them.
pub struct Round<S: Scheme> {
    target: Target,
    entries: BTreeMap<MeterId, Entry<S>>,
    state: State<S>,
}

impl<S: Scheme> Round<S> {
    /// A round that collects entries for `target`.
    #[must_use]
    pub fn collecting(target: Target) -> Self {
        Self { target, entries: BTreeMap::new(), state: State::Collecting }
    }

    /// Offers an entry whose proofs were checked.
    pub fn admit(&mut self, entry: Entry<S>) -> Admission {
        match self.entries.get(&entry.meter) {
            Some(_) if self.knows(&entry) => Admission::Known,
            Some(_) => Admission::Conflict,
            None if matches!(self.state, State::Collecting) => {
                self.entries.insert(entry.meter.clone(), entry);
                Admission::Counted
            }
            None => Admission::Late,
        }
    }

    /// Whether an entry with these quantities is in the round, so that its
    /// proofs need no second check.
    #[must_use]
    pub fn knows(&self, entry: &Entry<S>) -> bool {
        self.entries.get(&entry.meter).is_some_and(|known| {
            known.hidden == entry.hidden
                && known.range_proof == entry.range_proof
                && known.listing == entry.listing
        })
    }

    /// Whether entries may still come in.
    #[must_use]
    pub fn is_collecting(&self) -> bool {
        matches!(self.state, State::Collecting)
    }

    /// Whether a member's entry is in the round.
    #[must_use]
    pub fn has(&self, meter: &MeterId) -> bool {
        self.entries.contains_key(meter)
    }

    /// A member's entry in the round, whether or not the set is committed.
    #[must_use]
    pub fn entry(&self, meter: &MeterId) -> Option<&Entry<S>> {
        self.entries.get(meter)
    }

    /// Members whose entries are in the round.
    pub fn meters(&self) -> impl Iterator<Item = &MeterId> {
        self.entries.keys()
    }

    /// The entry of a meter, once the set is committed by a request.
    #[must_use]
    pub fn counted(&self, meter: &MeterId) -> Option<&Entry<S>> {
        match self.state {
            State::Requesting(_)
            | State::Combined { .. }
            | State::Abandoned { is_committed: true, .. } => self.entries.get(meter),
            State::Collecting | State::Abandoned { is_committed: false, .. } => None,
        }
    }

    /// Commits the set and turns to the holders. `seal` signs the request.
    pub fn commit(&mut self, roster: &AcceptedRoster<S>, seal: impl FnOnce(&Request) -> Vec<u8>) {
        let request = self.request_of(self.entries.values());
        let message = seal(&request);
        self.ask(roster, &request, message);
    }

    /// The digest of the request that lists these members' entries; none if one
    /// of them is not in the round.
    #[must_use]
    pub fn digest_of(&self, members: &BTreeSet<&MeterId>) -> Option<Digest> {
        let entries: Option<Vec<_>> =
            members.iter().map(|member| self.entries.get(*member)).collect();
        Some(release::digest(&self.request_of(entries?)))
    }

    /// Drops the entries of all others; whose they were.
    pub fn keep(&mut self, members: &BTreeSet<&MeterId>) -> Vec<MeterId> {
        let dropped = self.entries.extract_if(.., |meter, _| !members.contains(meter));
        dropped.map(|(meter, _)| meter).collect()
    }

    fn request_of<'a>(&self, entries: impl IntoIterator<Item = &'a Entry<S>>) -> Request {
        let messages = entries.into_iter().map(|entry| ByteBuf::from(entry.message.clone()));
        match self.target {
            Target::Region(slot) => Request::Region(slot, messages.collect()),
            Target::Bill(portion) => Request::Bill(portion, messages.collect()),
        }
    }

    /// Whether the entries in the round are those that a request lists.
    #[must_use]
    pub fn is_of(&self, request: &Request) -> bool {
        let messages = self.entries.values().map(|entry| entry.message.as_slice());
        request.entries().iter().map(|message| message.as_slice()).eq(messages)
    }

    /// Turns to the holders again with a set that was committed before, by a
    /// request whose entries are in the round; `message` is the signed request.
    ///
    /// # Errors
    /// If the request is for another set.
    pub fn resume(
        &mut self,
        roster: &AcceptedRoster<S>,
        request: &Request,
        message: Vec<u8>,
    ) -> Result<(), Rejection> {
        if !self.is_of(request) {
            return Err(Rejection::Body);
        }
        self.ask(roster, request, message);
        Ok(())
    }

    fn ask(&mut self, roster: &AcceptedRoster<S>, request: &Request, message: Vec<u8>) {
        let sums = entry::sums(roster, self.target, self.entries.values());
        self.state = State::Requesting(Requested {
            digest: release::digest(request),
            message,
            asked: entry::request(roster, &sums),
            sums,
            helpers: Helpers::default(),
        });
    }

    /// The signed request, while shares are wanted.
    #[must_use]
    pub fn request(&self) -> Option<&[u8]> {
        match &self.state {
            State::Requesting(requested) => Some(&requested.message),
            _ => None,
        }
    }

    /// Whether a share or refusal answers this round's request.
    #[must_use]
    pub fn asked(&self, digest: &Digest) -> bool {
        match &self.state {
            State::Requesting(requested) => requested.digest == *digest,
            State::Combined { request, .. } => request == digest,
            _ => false,
        }
    }

    /// Takes a holder's share. Once the sums are opened it is only noted.
    ///
    /// # Errors
    /// See [`ShareError`]; a holder of a bad share is remembered as culprit.
    pub fn take(
        &mut self,
        roster: &AcceptedRoster<S>,
        holder: &MeterId,
        share: &Share,
    ) -> Result<Help, ShareError> {
        if !self.asked(&share.request) {
            return Err(ShareError::NotAsked);
        }
        if let State::Requesting(requested) = &mut self.state {
            let Requested { digest, asked, helpers, .. } = requested;
            return helpers.take(roster, (digest, asked), holder, share);
        }
        Ok(if self.note(holder) { Help::Noted } else { Help::Known })
    }

    /// Notes that a holder's share came after the sums were opened; whether
    /// that is news.
    pub fn note(&mut self, holder: &MeterId) -> bool {
        match &mut self.state {
            State::Combined { missing, .. } => missing.remove(holder),
            _ => false,
        }
    }

    /// Opens the sums once there are enough shares; none before. `forecast`
    /// says where to look for a sum.
    ///
    /// # Errors
    /// [`CombineError::OutOfRange`] with the sums that have no value.
    pub fn combine(
        &mut self,
        roster: &AcceptedRoster<S>,
        decoder: &S::Decoder,
        forecast: impl Fn(&Subject, Register) -> u64,
        now: Timestamp,
    ) -> Option<Result<(), CombineError>> {
        let State::Requesting(Requested { sums, helpers, .. }) = &self.state else { return None };
        if helpers.count() < usize::from(roster.scheme().threshold()) {
            return None;
        }
        let in_range =
            |sum: &Sum<S>| (sum.aggregate.clone(), sum.range(forecast(&sum.subject, sum.register)));
        let sums: Vec<_> = sums.iter().map(in_range).collect();
        let values = match roster.scheme().combine(decoder, &sums, helpers.accepted()) {
            Err(CombineError::Missing(_)) => return None,
            Err(error) => return Some(Err(error)),
            Ok(values) => values,
        };
        let end = helpers.combined(roster, now, values);
        self.finish(roster, Ended::Combined(end));
        Some(Ok(()))
    }

    /// Ends the round, which has turned to the holders if its sums are opened.
    pub fn finish(&mut self, roster: &AcceptedRoster<S>, end: Ended) {
        let state = std::mem::replace(&mut self.state, State::Collecting);
        self.state = match (state, end) {
            (State::Requesting(requested), Ended::Combined(end)) => {
                let opened = requested.sums.iter().zip(&end.values);
                let of = (self.target, &self.meters().collect());
                let outcomes = opened.map(|opened| outcome(roster, of, opened, &end)).collect();
                let missing = end.unanswered.iter().cloned().collect();
                State::Combined { request: requested.digest, end, outcomes, missing }
            }
            (state, Ended::Abandoned(end)) => {
                let is_committed = matches!(state, State::Requesting(_));
                State::Abandoned { is_committed, end }
            }
            (state, Ended::Combined(_)) => state,
        };
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

    /// The sums, if they were opened at `since` or later.
    #[must_use]
    pub fn outcomes(&self, since: Timestamp) -> &[Outcome] {
        match &self.state {
            State::Combined { end, outcomes, .. } if end.at >= since => outcomes,
            _ => &[],
        }
    }
}
