//! The release guard: the only place where a holder's key share is used, and
//! every check that comes before.
//!
//! What a holder answers is durable before the share leaves. A slot that ended
//! before this start gets nothing but an answer that was given before: where
//! an older disk was put back, its ledger may lack a set that was answered.

mod ledger;
mod reason;

use std::collections::BTreeSet;

use aggregation::{Canonical as _, Context, Participant, Rng, Scheme};
use serde_bytes::ByteBuf;

use crate::entry::{self, Entry, EntryError};
use crate::envelope::{Envelope, encode};
use crate::id::{Digest, MeterId};
use crate::message::{Request, Share, Target};
use crate::record::{Change, Records, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Timestamp, Window};

use ledger::Ledger;
pub(crate) use ledger::{AnsweredBills, AnsweredSet};
pub use reason::{Reason, Refused};

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

/// A holder's help.
#[derive(Debug)]
pub struct Released {
    /// What was asked for.
    pub target: Target,
    /// The help.
    pub share: Share,
    /// What must be durable before the share leaves; none if it is already.
    pub change: Option<Change>,
}

/// Where a holder stands in time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What its clock says.
    pub now: Timestamp,
    /// Everything that ended by then is forgotten, whatever the clock says.
    pub forgotten: Timestamp,
}

/// A signed request as it came.
struct Asked<'a> {
    target: Target,
    digest: Digest,
    entries: &'a [ByteBuf],
    message: &'a [u8],
}

/// A holder's key share, and what it has answered.
pub struct Guard<S: Scheme> {
    secret: S::Secret,
    own: (Participant, MeterId),
    started: Timestamp,
    ledger: Ledger<S>,
}

impl<S: Scheme> Guard<S> {
    /// The guard of a key share, for an agent that started at `started`.
    #[must_use]
    pub fn new(secret: S::Secret, own: (Participant, MeterId), started: Timestamp) -> Self {
        Self { secret, own, started, ledger: Ledger::new() }
    }

    /// Takes up what was answered in the roster's epoch before this start.
    ///
    /// # Errors
    /// The record that is not what was written.
    pub fn restore(
        &mut self,
        roster: &AcceptedRoster<S>,
        kept: &Records,
    ) -> Result<(), Unreadable> {
        self.ledger.restore(roster, kept)
    }

    /// Checks a request and answers it: the only caller of the share
    /// computation. `own` holds this meter's contributions as it sent them.
    ///
    /// # Errors
    /// The reason, with the request if it was authentic.
    pub fn release(
        &mut self,
        roster: &AcceptedRoster<S>,
        (envelope, message): (&Envelope, &[u8]),
        own: impl Fn(Slot) -> Option<Vec<u8>>,
        clock: Clock,
        rng: &mut Rng,
    ) -> Result<Released, Refused> {
        let request: Request = roster
            .open_from_collector(envelope)
            .map_err(|rejection| Refused { request: None, reason: rejection.into() })?;
        let (Request::Region(_, entries) | Request::Bill(_, entries)) = &request;
        let (target, digest) = (target(&request), digest(&request));
        self.answer(roster, &Asked { target, digest, entries, message }, own, clock, rng)
            .map_err(|reason| Refused { request: Some((digest, target)), reason })
    }

    fn answer(
        &mut self,
        roster: &AcceptedRoster<S>,
        asked: &Asked<'_>,
        own: impl Fn(Slot) -> Option<Vec<u8>>,
        clock: Clock,
        rng: &mut Rng,
    ) -> Result<Released, Reason> {
        let Asked { target, digest, message, .. } = *asked;
        let end = check_time(roster, target, clock)?;
        if let Some(share) = self.ledger.answer(target, digest, message)? {
            return Ok(Released { target, share, change: None });
        }
        // Bills need what the ledger holds; a slot must be missing from it.
        if matches!(target, Target::Region(_)) && end <= self.started {
            return Err(Reason::BeforeStart);
        }
        let entries = read_entries(roster, target, asked.entries)?;
        self.check_entries(roster, target, &entries, own)?;
        entry::verify(roster, &entries, rng).map_err(Reason::Proof)?;
        let share = self.respond(roster, (target, digest), &entries, rng)?;
        let change = Some(self.ledger.record(roster, (target, message), &entries, &share));
        Ok(Released { target, share, change })
    }

    fn respond(
        &self,
        roster: &AcceptedRoster<S>,
        (target, digest): (Target, Digest),
        entries: &[Entry<S>],
        rng: &mut Rng,
    ) -> Result<Share, Reason> {
        let sums = entry::sums(roster, target, entries);
        let aggregates: Vec<_> = sums.into_iter().map(|sum| sum.aggregate).collect();
        let (participant, meter) = &self.own;
        let asked = roster.scheme().request(&aggregates, *participant);
        let statement = roster.place().share(meter, &digest);
        let response = roster
            .scheme()
            .respond(&self.secret, *participant, &asked, Context(&statement), rng)
            .map_err(|_| Reason::Identity)?;
        Ok(Share { request: digest, response: ByteBuf::from(response.to_bytes()) })
    }

    /// The members of the set that this holder answered for a slot.
    #[must_use]
    pub fn set(&self, slot: Slot) -> Option<&BTreeSet<MeterId>> {
        self.ledger.set(slot)
    }

    /// The signed request that this holder answered for a slot, if it came
    /// since this start.
    #[must_use]
    pub fn request(&self, slot: Slot) -> Option<&[u8]> {
        self.ledger.request(slot)
    }

    /// The first slot of a window for which this holder answered no set with
    /// every member in it.
    #[must_use]
    pub fn uncounted(&self, roster: &AcceptedRoster<S>, window: Window) -> Option<Slot> {
        let members = roster.body().members.len();
        // A set that was answered holds distinct members of the roster.
        let is_whole = |slot| self.ledger.set(slot).is_some_and(|set| set.len() == members);
        let (first, last) = (roster.grid().first_slot(window), roster.grid().last_slot(window));
        (first.0..=last.0).map(Slot).find(|slot| !is_whole(*slot))
    }

    /// Whether this holder has answered a request for bills of a window.
    #[must_use]
    pub fn has_billed(&self, window: Window) -> bool {
        self.ledger.has_billed(window)
    }

    /// Drops targets whose deadline has passed.
    pub fn forget(&mut self, before: Window, first_slot: Slot) {
        self.ledger.forget(before, first_slot);
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
            Target::Region(slot) => self.check_set(roster, entries, own(slot).as_deref()),
            Target::Bill(_) if entries.is_empty() => Err(Reason::Empty),
            Target::Bill(window) => self.check_claims(roster, window, entries),
        }
    }

    fn check_set(
        &self,
        roster: &AcceptedRoster<S>,
        entries: &[Entry<S>],
        own: Option<&[u8]>,
    ) -> Result<(), Reason> {
        let (found, needed) = (entries.len(), roster.parameters().contributors_needed());
        if found < needed {
            return Err(Reason::TooFew { found, needed });
        }
        let listed = entries.iter().find(|entry| entry.meter == self.own.1);
        let unaltered = listed.is_none_or(|entry| own == Some(entry.message.as_slice()));
        if unaltered { Ok(()) } else { Err(Reason::OwnAltered) }
    }

    /// Region sums minus bills tell the sum of whoever is counted and not
    /// billed. So a window opens only where everybody is counted everywhere,
    /// and claims all of it.
    fn check_claims(
        &self,
        roster: &AcceptedRoster<S>,
        window: Window,
        claims: &[Entry<S>],
    ) -> Result<(), Reason> {
        if let Some(slot) = self.uncounted(roster, window) {
            return Err(Reason::Uncounted(slot));
        }
        for claim in claims {
            // Its slots lie inside the window.
            if claim.slots.count() != roster.parameters().window_slots.get() {
                return Err(Reason::ClaimedSlots(claim.meter.clone()));
            }
            let known = self.ledger.claim(window, &claim.meter);
            if known.is_some_and(|known| *known != claim.alone(roster.scheme())) {
                return Err(Reason::SecondClaim(claim.meter.clone()));
            }
        }
        Ok(())
    }
}

/// The end of a target, if now is the time for it.
fn check_time<S: Scheme>(
    roster: &AcceptedRoster<S>,
    target: Target,
    clock: Clock,
) -> Result<Timestamp, Reason> {
    let last = match target {
        Target::Region(slot) => slot,
        Target::Bill(window) => roster.grid().last_slot(window),
    };
    if !roster.covers(last) {
        return Err(Reason::Outside);
    }
    let end = roster.grid().end(last);
    if end > clock.now {
        return Err(Reason::NotEnded);
    }
    let deadline = roster.slot_closes(last) + roster.parameters().deadline();
    if end <= clock.forgotten || deadline < clock.now {
        return Err(Reason::PastDeadline);
    }
    Ok(end)
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
