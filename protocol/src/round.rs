//! A round: one request's sums, from the first contribution to the result.
//! The subject is the region or single meters; the states are the same.

mod end;
mod entries;
mod help;
mod outcome;
mod said;

use std::collections::BTreeSet;

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

use entries::Entries;
use help::Helpers;

pub use end::{Abandoned, Combined, Ended};
pub use entries::Held;
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
        /// If holders were asked.
        request: Option<Digest>,
        end: Abandoned,
    },
}

/// One round. Its entries stay to the end: bills are checked against them.
pub struct Round<S: Scheme> {
    target: Target,
    entries: Entries<S>,
    state: State<S>,
}

impl<S: Scheme> Round<S> {
    /// A round that collects entries for `target`.
    #[must_use]
    pub fn collecting(target: Target) -> Self {
        Self { target, entries: Entries::none(), state: State::Collecting }
    }

    /// Offers an entry whose proofs were checked.
    pub fn admit(&mut self, entry: Entry<S>) -> Admission {
        if self.knows(&entry) {
            Admission::Known
        } else if self.has(&entry.meter) {
            Admission::Conflict
        } else if self.is_collecting() {
            self.entries.insert(entry);
            Admission::Counted
        } else {
            Admission::Late
        }
    }

    /// Whether an entry with these quantities is in the round, so that its
    /// proofs need no second check.
    #[must_use]
    pub fn knows(&self, entry: &Entry<S>) -> bool {
        self.entries.knows(entry)
    }

    /// Whether entries may still come in.
    #[must_use]
    pub fn is_collecting(&self) -> bool {
        matches!(self.state, State::Collecting)
    }

    /// Whether a member's entry is in the round.
    #[must_use]
    pub fn has(&self, meter: &MeterId) -> bool {
        self.entries.has(meter)
    }

    /// A member's entry in the round, whether or not the set is committed.
    #[must_use]
    pub fn entry(&self, roster: &AcceptedRoster<S>, meter: &MeterId) -> Option<Held<'_, S>> {
        self.entries.get(roster, meter)
    }

    /// The message of a member's entry.
    #[must_use]
    pub fn message(&self, meter: &MeterId) -> Option<&[u8]> {
        self.entries.message(meter)
    }

    /// Members whose entries are in the round.
    pub fn meters(&self) -> impl Iterator<Item = &MeterId> {
        self.entries.meters()
    }

    /// The digest of the request that has committed the set.
    #[must_use]
    pub fn committed(&self) -> Option<Digest> {
        match &self.state {
            State::Requesting(Requested { digest, .. }) => Some(*digest),
            State::Combined { request, .. } => Some(*request),
            State::Abandoned { request, .. } => *request,
            State::Collecting => None,
        }
    }

    /// Whether a meter's entry is in a set that is committed.
    #[must_use]
    pub fn is_counted(&self, meter: &MeterId) -> bool {
        self.committed().is_some() && self.has(meter)
    }

    /// Keeps of the contributions to a slot that is over their messages alone.
    pub fn put_away(&mut self) {
        self.entries.put_away();
    }

    /// Commits the set and turns to the holders. `seal` signs the request.
    pub fn commit(&mut self, roster: &AcceptedRoster<S>, seal: impl FnOnce(&Request) -> Vec<u8>) {
        let request = self.request_of(self.entries.messages());
        let message = seal(&request);
        self.ask(roster, &request, message);
    }

    /// The digest of the request that lists these members' entries; none if one
    /// of them is not in the round.
    #[must_use]
    pub fn digest_of(&self, members: &BTreeSet<&MeterId>) -> Option<Digest> {
        let messages: Option<Vec<_>> = members.iter().map(|member| self.message(member)).collect();
        Some(release::digest(&self.request_of(messages?)))
    }

    /// Drops the entries of all others; whose they were.
    pub fn keep(&mut self, members: &BTreeSet<&MeterId>) -> Vec<MeterId> {
        self.entries.keep(members)
    }

    fn request_of<'a>(&self, messages: impl IntoIterator<Item = &'a [u8]>) -> Request {
        let messages = messages.into_iter().map(ByteBuf::from);
        match self.target {
            Target::Region(slot) => Request::Region(slot, messages.collect()),
            Target::Bill(portion) => Request::Bill(portion, messages.collect()),
        }
    }

    /// Whether the entries in the round are those that a request lists.
    #[must_use]
    pub fn is_of(&self, request: &Request) -> bool {
        request.entries().iter().map(|message| message.as_slice()).eq(self.entries.messages())
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
        let sums = entry::sums(roster, self.target, self.entries.read());
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

    /// The sums, if they were opened at `since` or later.
    #[must_use]
    pub fn outcomes(&self, since: Timestamp) -> &[Outcome] {
        match &self.state {
            State::Combined { end, outcomes, .. } if end.at >= since => outcomes,
            _ => &[],
        }
    }
}
