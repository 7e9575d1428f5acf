//! A round: one request's sums, from the first contribution to the result.
//! The subject is the region or single meters; the states are the same.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Canonical as _, CombineError, Context, Participant, Scheme};
use serde_bytes::ByteBuf;

use crate::entry::{self, Entry, Sum};
use crate::id::{Digest, MeterId};
use crate::message::{Outcome, Phase, Request, Share, Status, Subject, Target};
use crate::reading::Register;
use crate::release;
use crate::roster::AcceptedRoster;
use crate::slot::Timestamp;

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

/// Why a share is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareError {
    /// The round asks for no shares now, or for none of this sender.
    NotAsked,
    /// The share does not verify.
    Bad,
}

/// What the holders were asked, and what they answered.
struct Requested<S: Scheme> {
    digest: Digest,
    message: Vec<u8>,
    sums: Vec<Sum<S>>,
    accepted: BTreeMap<Participant, S::Accepted>,
    culprits: BTreeSet<MeterId>,
}

enum State<S: Scheme> {
    Collecting,
    Requesting(Requested<S>),
    Combined { at: Timestamp, outcomes: Vec<Outcome> },
    Abandoned { reason: String, committed: bool, waiting_for: Vec<MeterId>, culprits: Vec<MeterId> },
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
            Some(known) if known.hidden == entry.hidden && known.slots == entry.slots => {
                Admission::Known
            }
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
        self.entries
            .get(&entry.meter)
            .is_some_and(|known| known.hidden == entry.hidden && known.slots == entry.slots)
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
            | State::Abandoned { committed: true, .. } => self.entries.get(meter),
            State::Collecting | State::Abandoned { committed: false, .. } => None,
        }
    }

    /// Commits the set and turns to the holders. `seal` signs the request.
    pub fn commit(&mut self, roster: &AcceptedRoster<S>, seal: impl FnOnce(&Request) -> Vec<u8>) {
        let messages = self.entries.values();
        let messages = messages.map(|entry| ByteBuf::from(entry.message.clone())).collect();
        let request = match self.target {
            Target::Region(slot) => Request::Region(slot, messages),
            Target::Bill(window) => Request::Bill(window, messages),
        };
        self.state = State::Requesting(Requested {
            digest: release::digest(&request),
            message: seal(&request),
            sums: entry::sums(roster, self.target, self.entries.values()),
            accepted: BTreeMap::new(),
            culprits: BTreeSet::new(),
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
    pub fn asked(&self, request: &Digest) -> bool {
        matches!(&self.state, State::Requesting(requested) if requested.digest == *request)
    }

    /// Takes a holder's share.
    ///
    /// # Errors
    /// See [`ShareError`]; a holder of a bad share is remembered as culprit.
    pub fn take(
        &mut self,
        roster: &AcceptedRoster<S>,
        holder: &MeterId,
        share: &Share,
    ) -> Result<(), ShareError> {
        let State::Requesting(requested) = &mut self.state else {
            return Err(ShareError::NotAsked);
        };
        let (of, _) = roster.member(holder).ok_or(ShareError::NotAsked)?;
        if requested.digest != share.request {
            return Err(ShareError::NotAsked);
        }
        if requested.accepted.contains_key(&of) {
            return Ok(());
        }
        let aggregates: Vec<_> = requested.sums.iter().map(|sum| sum.aggregate.clone()).collect();
        let asked = roster.scheme().request(&aggregates, of);
        let statement = roster.place().share(holder, &requested.digest);
        let accepted = S::Response::from_bytes(&share.response).ok().and_then(|response| {
            roster.scheme().accept(of, &asked, &response, Context(&statement)).ok()
        });
        let Some(accepted) = accepted else {
            requested.culprits.insert(holder.clone());
            return Err(ShareError::Bad);
        };
        requested.culprits.remove(holder);
        requested.accepted.insert(of, accepted);
        Ok(())
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
        let State::Requesting(requested) = &self.state else { return None };
        let sums: Vec<_> = requested
            .sums
            .iter()
            .map(|sum| {
                let forecast = forecast(&sum.subject, sum.register);
                (sum.aggregate.clone(), sum.range(forecast))
            })
            .collect();
        let values = match roster.scheme().combine(decoder, &sums, &requested.accepted) {
            Err(CombineError::Missing(_)) => return None,
            Err(error) => return Some(Err(error)),
            Ok(values) => values,
        };
        let opened = requested.sums.iter().zip(values);
        let outcomes = opened.map(|(sum, value)| self.outcome(roster, sum, value)).collect();
        self.state = State::Combined { at: now, outcomes };
        Some(Ok(()))
    }

    /// The sums, if they were opened at `since` or later.
    #[must_use]
    pub fn outcomes(&self, since: Timestamp) -> &[Outcome] {
        match &self.state {
            State::Combined { at, outcomes } if *at >= since => outcomes,
            _ => &[],
        }
    }

    fn outcome(&self, roster: &AcceptedRoster<S>, sum: &Sum<S>, sum_wh: u64) -> Outcome {
        let (first_slot, contributors, uncounted, uncounted_slots) =
            match (&sum.subject, self.target) {
                (Subject::Meter(meter), Target::Bill(window)) => {
                    let first = roster.grid().first_slot(window);
                    let slots = self.entries.get(meter).map(|claim| &claim.slots);
                    let left_out = (0..roster.parameters().window_slots.get())
                        .filter(|position| slots.is_none_or(|slots| !slots.contains(*position)));
                    let left_out = left_out.map(|position| first.plus(position.into())).collect();
                    (first, vec![meter.clone()], Vec::new(), left_out)
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
        }
    }

    fn uncounted(&self, roster: &AcceptedRoster<S>) -> Vec<MeterId> {
        let absent = |meter: &&MeterId| !self.entries.contains_key(*meter);
        roster.participants().map(|(_, meter)| meter).filter(absent).cloned().collect()
    }

    fn waiting_for(&self, roster: &AcceptedRoster<S>) -> Vec<MeterId> {
        let State::Requesting(requested) = &self.state else { return Vec::new() };
        let absent = |(of, _): &(Participant, _)| !requested.accepted.contains_key(of);
        roster.participants().filter(absent).map(|(_, meter)| meter.clone()).collect()
    }

    /// Gives the round up. Its set stays committed if holders were asked.
    pub fn abandon(&mut self, roster: &AcceptedRoster<S>, reason: String) {
        let waiting_for = self.waiting_for(roster);
        let (committed, culprits) = match &self.state {
            State::Requesting(requested) => (true, requested.culprits.iter().cloned().collect()),
            _ => (false, Vec::new()),
        };
        self.state = State::Abandoned { reason, committed, waiting_for, culprits };
    }

    /// Where the round stands; none while it collects.
    #[must_use]
    pub fn status(&self, roster: &AcceptedRoster<S>) -> Option<Status> {
        let (phase, waiting_for, culprits) = match &self.state {
            State::Collecting => return None,
            State::Requesting(requested) => {
                let culprits = requested.culprits.iter().cloned().collect();
                (Phase::Requesting, self.waiting_for(roster), culprits)
            }
            State::Combined { .. } => (Phase::Combined, Vec::new(), Vec::new()),
            State::Abandoned { reason, waiting_for, culprits, .. } => {
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
