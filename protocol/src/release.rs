//! The release guard: the only place where a holder's key share is used, and
//! every check that comes before.
//!
//! What a holder has answered it remembers for as long as it runs; a slot or
//! window that ended before this start is refused, because what was answered
//! for it is not known any more.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Canonical as _, Context, Participant, Rng, Scheme};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::entry::{self, Entry, EntryError};
use crate::envelope::{Envelope, Rejection, encode};
use crate::id::{Digest, MeterId};
use crate::message::{Request, Share, Target};
use crate::reading::Register;
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Timestamp, Window};
use crate::slots::SlotSet;

/// Why a holder does not help. It depends on public data only.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Reason {
    /// The request itself.
    #[error("the request: {0}")]
    Rejected(#[from] Rejection),
    /// A slot or window outside the epoch.
    #[error("the target lies outside the epoch")]
    Outside,
    /// The target has not ended by this holder's clock.
    #[error("the target has not ended")]
    NotEnded,
    /// The target ended before this agent started.
    #[error("the target ended before this agent started")]
    BeforeStart,
    /// The time to open the target has passed.
    #[error("the target's deadline has passed")]
    PastDeadline,
    /// Another request was answered for the target.
    #[error("another request was answered for this target: {0}")]
    Answered(Digest),
    /// An entry that does not hold.
    #[error("entry {at}: {error}")]
    Entry {
        /// Its position in the request.
        at: usize,
        /// What is wrong with it.
        error: EntryError,
    },
    /// An entry of another slot or window.
    #[error("entry {0} belongs to another target")]
    Target(usize),
    /// A member twice.
    #[error("{0} stands in the request twice")]
    Twice(MeterId),
    /// Proofs that do not verify.
    #[error("the proofs of {0:?} do not verify")]
    Proof(Vec<MeterId>),
    /// Fewer contributors than a sum must have.
    #[error("{found} contributors of at least {needed}")]
    TooFew {
        /// Contributors in the request.
        found: usize,
        /// Contributors that a sum has at least.
        needed: usize,
    },
    /// This holder's own contribution is not the one that it made.
    #[error("this holder's own contribution was altered")]
    OwnAltered,
    /// A claim whose slots are not those in which its owner was counted.
    #[error("{0} claims slots that differ from those in which it was counted")]
    ClaimedSlots(MeterId),
    /// A second, different claim.
    #[error("{0} claims another sum for a window that was answered")]
    SecondClaim(MeterId),
    /// A request without entries.
    #[error("the request is empty")]
    Empty,
    /// A sum that no honest contribution explains.
    #[error("a requested sum is the identity point")]
    Identity,
}

impl Reason {
    /// A short name for counters and refusals.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.name(),
            Self::Outside => "outside",
            Self::NotEnded => "not-ended",
            Self::BeforeStart => "before-start",
            Self::PastDeadline => "past-deadline",
            Self::Answered(_) => "answered",
            Self::Entry { error, .. } => error.name(),
            Self::Target(_) => "target",
            Self::Twice(_) => "twice",
            Self::Proof(_) => "proof",
            Self::TooFew { .. } => "too-few",
            Self::OwnAltered => "own-altered",
            Self::ClaimedSlots(_) => "claimed-slots",
            Self::SecondClaim(_) => "second-claim",
            Self::Empty => "empty",
            Self::Identity => "identity-point",
        }
    }
}

/// A refused request, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was asked for, where the request was authentic.
    pub request: Option<(Digest, Target)>,
    /// Why not.
    pub reason: Reason,
}

/// What a request asks for.
#[must_use]
pub fn target(request: &Request) -> Target {
    match request {
        Request::Region(slot, _) => Target::Region(*slot),
        Request::Bill(window, _) => Target::Bill(*window),
    }
}

/// The digest that stands for a request.
#[must_use]
pub fn digest(request: &Request) -> Digest {
    Digest::of("request", &encode(request))
}

type Claimed<S> = BTreeMap<Register, <S as Scheme>::Aggregate>;

/// A holder's key share, and what it has answered.
pub struct Guard<S: Scheme> {
    secret: S::Secret,
    own: (Participant, MeterId),
    started: Timestamp,
    /// Everything before this slot is forgotten, and refused whatever the
    /// clock says later.
    forgotten: Slot,
    regions: BTreeMap<Slot, (BTreeSet<MeterId>, Share)>,
    bills: BTreeMap<(Window, Digest), Share>,
    claims: BTreeMap<(Window, MeterId), Claimed<S>>,
}

impl<S: Scheme> Guard<S> {
    /// The guard of a key share, for an agent that started at `started`.
    #[must_use]
    pub fn new(secret: S::Secret, own: (Participant, MeterId), started: Timestamp) -> Self {
        let (regions, bills, claims) = Default::default();
        Self { secret, own, started, forgotten: Slot(0), regions, bills, claims }
    }

    /// Checks a request and answers it: the only caller of the share
    /// computation. `own` holds this meter's contributions as it sent them.
    ///
    /// # Errors
    /// The reason, with the request if it was authentic.
    pub fn release(
        &mut self,
        roster: &AcceptedRoster<S>,
        envelope: &Envelope,
        own: impl Fn(Slot) -> Option<Vec<u8>>,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Result<(Target, Share), Refused> {
        let unread = |rejection: Rejection| Refused { request: None, reason: rejection.into() };
        let request: Request = roster.open_from_collector(envelope).map_err(unread)?;
        let (target, messages) = match &request {
            Request::Region(slot, messages) => (Target::Region(*slot), messages),
            Request::Bill(window, messages) => (Target::Bill(*window), messages),
        };
        let digest = digest(&request);
        let refuse = |reason| Refused { request: Some((digest, target)), reason };
        self.check_time(roster, target, now).map_err(refuse)?;
        if let Some(share) = self.answered(target, digest).map_err(refuse)? {
            return Ok((target, share));
        }
        let entries = read_entries(roster, target, messages).map_err(refuse)?;
        self.check_entries(roster, target, &entries, own).map_err(refuse)?;
        entry::verify(roster, &entries, rng).map_err(Reason::Proof).map_err(refuse)?;

        let sums: Vec<_> = entry::sums(roster, target, &entries);
        let aggregates: Vec<_> = sums.into_iter().map(|sum| sum.aggregate).collect();
        let (participant, meter) = &self.own;
        let asked = roster.scheme().request(&aggregates, *participant);
        let statement = roster.place().share(meter, &digest);
        let response = roster
            .scheme()
            .respond(&self.secret, *participant, &asked, Context(&statement), rng)
            .map_err(|_| refuse(Reason::Identity))?;
        let share = Share { request: digest, response: ByteBuf::from(response.to_bytes()) };
        self.record(roster, target, &entries, &share);
        Ok((target, share))
    }

    /// The positions in `window` at which this holder answered a set that
    /// lists `meter`.
    #[must_use]
    pub fn counted(&self, roster: &AcceptedRoster<S>, window: Window, meter: &MeterId) -> SlotSet {
        let listed = self.sets(roster, window).filter(|(_, set)| set.contains(meter));
        listed.map(|(position, _)| position).collect()
    }

    /// Whether this holder has answered the region's request for a slot.
    #[must_use]
    pub fn has_answered(&self, slot: Slot) -> bool {
        self.regions.contains_key(&slot)
    }

    /// Whether this holder has answered a request for bills of a window.
    #[must_use]
    pub fn has_billed(&self, window: Window) -> bool {
        let all = (window, Digest::NONE)..=(window, Digest::LAST);
        self.bills.range(all).next().is_some()
    }

    /// Forgets targets whose deadline has passed; from then on they are
    /// refused.
    pub fn forget(&mut self, before: Window, first_slot: Slot) {
        self.forgotten = self.forgotten.max(first_slot);
        self.regions = self.regions.split_off(&first_slot);
        self.bills.retain(|(window, _), _| *window >= before);
        self.claims.retain(|(window, _), _| *window >= before);
    }

    fn sets<'a>(
        &'a self,
        roster: &'a AcceptedRoster<S>,
        window: Window,
    ) -> impl Iterator<Item = (u32, &'a BTreeSet<MeterId>)> {
        let first = roster.grid().first_slot(window);
        let answered = self.regions.range(first..=roster.grid().last_slot(window));
        answered.filter_map(move |(slot, (set, _))| {
            Some((u32::try_from(slot.since(first)?).ok()?, set))
        })
    }

    fn check_time(
        &self,
        roster: &AcceptedRoster<S>,
        target: Target,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let grid = roster.grid();
        let last = match target {
            Target::Region(slot) => slot,
            Target::Bill(window) => grid.last_slot(window),
        };
        if !roster.covers(last) {
            return Err(Reason::Outside);
        }
        let end = grid.end(last);
        if end > now {
            return Err(Reason::NotEnded);
        }
        if end <= self.started {
            return Err(Reason::BeforeStart);
        }
        let deadline = roster.slot_closes(last) + roster.parameters().deadline();
        if last < self.forgotten || deadline < now {
            return Err(Reason::PastDeadline);
        }
        Ok(())
    }

    fn answered(&self, target: Target, digest: Digest) -> Result<Option<Share>, Reason> {
        match target {
            Target::Region(slot) => match self.regions.get(&slot) {
                Some((_, share)) if share.request != digest => Err(Reason::Answered(share.request)),
                known => Ok(known.map(|(_, share)| share.clone())),
            },
            Target::Bill(window) => Ok(self.bills.get(&(window, digest)).cloned()),
        }
    }

    fn check_entries(
        &self,
        roster: &AcceptedRoster<S>,
        target: Target,
        entries: &[Entry<S>],
        own: impl Fn(Slot) -> Option<Vec<u8>>,
    ) -> Result<(), Reason> {
        let mut members = BTreeSet::new();
        for entry in entries {
            if !members.insert(&entry.meter) {
                return Err(Reason::Twice(entry.meter.clone()));
            }
        }
        match target {
            Target::Region(slot) => {
                let (found, needed) = (entries.len(), roster.parameters().contributors_needed());
                if found < needed {
                    return Err(Reason::TooFew { found, needed });
                }
                let listed = entries.iter().find(|entry| entry.meter == self.own.1);
                match listed {
                    Some(entry) if own(slot).as_ref() != Some(&entry.message) => {
                        Err(Reason::OwnAltered)
                    }
                    _ => Ok(()),
                }
            }
            Target::Bill(_) if entries.is_empty() => Err(Reason::Empty),
            Target::Bill(window) => {
                entries.iter().try_for_each(|claim| self.check_claim(roster, window, claim))
            }
        }
    }

    fn check_claim(
        &self,
        roster: &AcceptedRoster<S>,
        window: Window,
        claim: &Entry<S>,
    ) -> Result<(), Reason> {
        let agrees = |(position, set): (u32, &BTreeSet<MeterId>)| {
            set.contains(&claim.meter) == claim.slots.contains(position)
        };
        if !self.sets(roster, window).all(agrees) {
            return Err(Reason::ClaimedSlots(claim.meter.clone()));
        }
        match self.claims.get(&(window, claim.meter.clone())) {
            Some(known) if *known != claim.alone(roster.scheme()) => {
                Err(Reason::SecondClaim(claim.meter.clone()))
            }
            _ => Ok(()),
        }
    }

    fn record(
        &mut self,
        roster: &AcceptedRoster<S>,
        target: Target,
        entries: &[Entry<S>],
        share: &Share,
    ) {
        match target {
            Target::Region(slot) => {
                let set = entries.iter().map(|entry| entry.meter.clone()).collect();
                self.regions.insert(slot, (set, share.clone()));
            }
            Target::Bill(window) => {
                self.bills.insert((window, share.request), share.clone());
                for claim in entries {
                    let sums = claim.alone(roster.scheme());
                    self.claims.insert((window, claim.meter.clone()), sums);
                }
            }
        }
    }
}

fn read_entries<S: Scheme>(
    roster: &AcceptedRoster<S>,
    target: Target,
    messages: &[ByteBuf],
) -> Result<Vec<Entry<S>>, Reason> {
    let read = |(at, message): (usize, &ByteBuf)| {
        let entry =
            Envelope::parse(message).map_err(EntryError::from).and_then(|envelope| match target {
                Target::Region(_) => Entry::contribution(roster, &envelope, message),
                Target::Bill(_) => Entry::claim(roster, &envelope, message),
            });
        let entry = entry.map_err(|error| Reason::Entry { at, error })?;
        if entry.target == target { Ok(entry) } else { Err(Reason::Target(at)) }
    };
    messages.iter().enumerate().map(read).collect()
}
