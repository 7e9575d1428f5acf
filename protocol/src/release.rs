//! The release guard: the only place where a holder's key share is used, and
//! every check that comes before.
//!
//! What a holder answers is durable before the share leaves. A slot that ended
//! before this start gets nothing but an answer that was given before: where
//! an older disk was put back, its ledger may lack a set that was answered.

mod ledger;
mod listings;
mod reason;

use std::collections::BTreeSet;

use aggregation::{Canonical as _, Context, Participant, Rng, Scheme};
use serde_bytes::ByteBuf;

use crate::entry::{self, Entry, EntryError};
use crate::envelope::{Envelope, encode};
use crate::id::{Digest, MeterId};
use crate::listing::{Listed, portion_of};
use crate::members::MemberSet;
use crate::message::{Answered, Request, Share, Target};
use crate::portion::Portion;
use crate::record::{Change, Records, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Timestamp, Window};

use ledger::Ledger;
pub(crate) use ledger::{AnsweredBills, AnsweredSet};
pub use listings::Endorsed;
use listings::Listings;
pub use reason::{Reason, Refused};

/// What a request asks for.
#[must_use]
pub fn target(request: &Request) -> Target {
    match request {
        Request::Region(slot, _) => Target::Region(*slot),
        Request::Bill(portion, _) => Target::Bill(*portion),
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
    ledger: Ledger,
    listings: Listings,
}

impl<S: Scheme> Guard<S> {
    /// The guard of a key share, for an agent that started at `started`.
    #[must_use]
    pub fn new(secret: S::Secret, own: (Participant, MeterId), started: Timestamp) -> Self {
        Self { secret, own, started, ledger: Ledger::new(), listings: Listings::default() }
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
        self.listings.restore(roster, self.own.0, kept)?;
        self.ledger.restore(roster.epoch(), kept)
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
        let (target, digest, entries) = (target(&request), digest(&request), request.entries());
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
        let listed = match target {
            Target::Region(_) => None,
            Target::Bill(portion) => Some(self.listings.final_of(portion).ok_or(Reason::NotFinal)?),
        };
        let entries = read_set(roster, target, listed, asked.entries)?;
        self.check_set(roster, target, &entries, own)?;
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
        let asked = entry::request(roster, &entry::sums(roster, target, entries));
        let (participant, meter) = &self.own;
        let statement = roster.place().share(meter, &digest);
        let response = roster
            .scheme()
            .respond(&self.secret, *participant, &asked, Context(&statement), rng)
            .map_err(|_| Reason::Identity)?;
        Ok(Share { request: digest, response: ByteBuf::from(response.to_bytes()) })
    }

    /// The members of the set that this holder answered for a slot.
    #[must_use]
    pub fn set(&self, slot: Slot) -> Option<&MemberSet> {
        self.ledger.set(slot)
    }

    /// The set that this holder answered for a slot, with the request's digest.
    #[must_use]
    pub fn answered(&self, slot: Slot) -> Option<Answered> {
        self.ledger.answered(slot)
    }

    /// The signed request that this holder answered for a slot, if it came
    /// since this start.
    #[must_use]
    pub fn request(&self, slot: Slot) -> Option<&[u8]> {
        self.ledger.request(slot)
    }

    /// Whether this holder has answered a request for bills of a portion.
    #[must_use]
    pub fn has_billed(&self, portion: Portion) -> bool {
        self.ledger.has_billed(portion)
    }

    /// The listings that this holder has endorsed and that are final.
    #[must_use]
    pub fn listings(&self) -> &Listings {
        &self.listings
    }

    /// Drops targets whose deadline has passed.
    pub fn forget(&mut self, before: Window, first_slot: Slot) {
        self.ledger.forget(before, first_slot);
        self.listings.forget(before);
    }

    /// Checks a set against what this holder remembers.
    fn check_set(
        &self,
        roster: &AcceptedRoster<S>,
        target: Target,
        entries: &[Entry<S>],
        own: impl Fn(Slot) -> Option<Vec<u8>>,
    ) -> Result<(), Reason> {
        match target {
            Target::Region(slot) => {
                self.check_own(entries, own(slot).as_deref())?;
                self.check_listed(roster, slot, entries)
            }
            Target::Bill(portion) => self.check_claims(roster, portion, entries),
        }
    }

    fn check_own(&self, entries: &[Entry<S>], own: Option<&[u8]>) -> Result<(), Reason> {
        let listed = entries.iter().find(|entry| entry.meter == self.own.1);
        let unaltered = listed.is_none_or(|entry| own == Some(entry.message.as_slice()));
        if unaltered { Ok(()) } else { Err(Reason::OwnAltered) }
    }

    /// Once a slot is listed, its set is that of the listing for ever.
    fn check_listed(
        &self,
        roster: &AcceptedRoster<S>,
        slot: Slot,
        entries: &[Entry<S>],
    ) -> Result<(), Reason> {
        let members = members(roster, entries);
        let listed = portion_of(roster, slot).and_then(|of| self.listings.set(of, slot));
        if listed.is_none_or(|set| set == members) { Ok(()) } else { Err(Reason::Unlisted(slot)) }
    }

    /// An owner claims the sums of a portion once. What they cover follows
    /// from its final listing.
    fn check_claims(
        &self,
        roster: &AcceptedRoster<S>,
        portion: Portion,
        claims: &[Entry<S>],
    ) -> Result<(), Reason> {
        for claim in claims {
            let known = self.ledger.claim(portion, &claim.meter);
            if known.is_some_and(|known| known != ledger::claimed(roster.scheme(), claim)) {
                return Err(Reason::SecondClaim(claim.meter.clone()));
            }
        }
        Ok(())
    }
}

/// Reads the set of a request: everything that a holder checks without what it
/// remembers, but for the proofs of the entries, which [`entry::verify`]
/// checks. Bills come under the final listing of their portion.
pub(crate) fn read_set<S: Scheme>(
    roster: &AcceptedRoster<S>,
    target: Target,
    listed: Option<&Listed>,
    messages: &[ByteBuf],
) -> Result<Vec<Entry<S>>, Reason> {
    last_slot(roster, target)?;
    let read = |(at, message): (usize, &ByteBuf)| {
        let entry = read_entry(roster, listed, message);
        let entry = entry.map_err(|error| Reason::Entry { at, error })?;
        if entry.target == target { Ok(entry) } else { Err(Reason::Target(at)) }
    };
    let entries: Vec<_> = messages.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    let mut members = BTreeSet::new();
    if let Some(twice) = entries.iter().find(|entry| !members.insert(&entry.meter)) {
        return Err(Reason::Twice(twice.meter.clone()));
    }
    let (found, needed) = (entries.len(), roster.parameters().contributors_needed());
    match target {
        Target::Region(_) if found < needed => Err(Reason::TooFew { found, needed }),
        Target::Bill(_) if entries.is_empty() => Err(Reason::Empty),
        Target::Region(_) | Target::Bill(_) => Ok(entries),
    }
}

fn read_entry<S: Scheme>(
    roster: &AcceptedRoster<S>,
    listed: Option<&Listed>,
    message: &[u8],
) -> Result<Entry<S>, EntryError> {
    let envelope = Envelope::parse(message)?;
    match listed {
        None => Entry::contribution(roster, &envelope, message),
        Some(listed) => Entry::claim(roster, listed, &envelope, message),
    }
}

/// The members of a set of entries.
fn members<S: Scheme>(roster: &AcceptedRoster<S>, entries: &[Entry<S>]) -> MemberSet {
    let of = |entry: &Entry<S>| roster.member(&entry.meter).map(|(of, _)| of);
    entries.iter().filter_map(of).collect()
}

/// The end of a target, if now is the time for it.
fn check_time<S: Scheme>(
    roster: &AcceptedRoster<S>,
    target: Target,
    clock: Clock,
) -> Result<Timestamp, Reason> {
    let last = last_slot(roster, target)?;
    let end = roster.grid().end(last);
    if end > clock.now {
        return Err(Reason::NotEnded);
    }
    let deadline = roster.slot_deadline(last);
    if end <= clock.forgotten || deadline < clock.now {
        return Err(Reason::PastDeadline);
    }
    Ok(end)
}

/// The last slot of a target, if it lies in the epoch.
fn last_slot<S: Scheme>(roster: &AcceptedRoster<S>, target: Target) -> Result<Slot, Reason> {
    let last = match target {
        Target::Region(slot) => slot,
        Target::Bill(portion) => roster.grid().last_slot(portion.window),
    };
    if roster.covers(last) { Ok(last) } else { Err(Reason::Outside) }
}
