//! Which listings a holder has endorsed, one for each portion for ever, and
//! which it knows to be final.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Participant, Scheme};

use crate::envelope::{Envelope, encode};
use crate::id::Digest;
use crate::listing::{self, Listed, StoredListing, slots_of};
use crate::members::MemberSet;
use crate::message::{Endorsement, Listing, Target};
use crate::portion::Portion;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Window};

use super::{Clock, Guard, Reason, Refused, check_time};

/// A holder's agreement with a listing.
#[derive(Debug)]
pub struct Endorsed {
    /// What it signs.
    pub endorsement: Endorsement,
    /// What must be durable before it leaves; none if it is already.
    pub change: Option<Change>,
}

struct EndorsedListing {
    digest: Digest,
    sets: BTreeMap<Slot, MemberSet>,
}

/// What is known of the listings of an epoch.
#[derive(Default)]
pub struct Listings {
    endorsed: BTreeMap<Portion, EndorsedListing>,
    /// Those that a sum can still need.
    finals: BTreeMap<Portion, Listed>,
    /// Every portion whose final listing was seen, with the slots of it in
    /// which this holder is counted, or that are void.
    settled: BTreeMap<Portion, BTreeSet<Slot>>,
}

impl Listings {
    /// The final listing of a portion, if it is known and needed still.
    #[must_use]
    pub fn final_of(&self, portion: Portion) -> Option<&Listed> {
        self.finals.get(&portion)
    }

    /// Whether the final listing of a portion was ever seen.
    #[must_use]
    pub fn is_settled(&self, portion: Portion) -> bool {
        self.settled.contains_key(&portion)
    }

    /// The slots of a settled portion whose energy this holder must not carry:
    /// it is counted there, or they are void. None where no final listing was
    /// seen.
    #[must_use]
    pub fn not_carried(&self, portion: Portion) -> Option<&BTreeSet<Slot>> {
        self.settled.get(&portion)
    }

    /// The latest final listing of each step, and those that a bill can need.
    pub fn finals(&self) -> impl Iterator<Item = &Listed> {
        self.finals.values()
    }

    /// The set of a slot by the listing that was endorsed or is final; none if
    /// there is no listing. Nobody is counted in a void slot.
    pub(super) fn set(&self, portion: Portion, slot: Slot) -> Option<MemberSet> {
        let found = match self.finals.get(&portion) {
            Some(listed) => listed.set(slot),
            None => self.endorsed.get(&portion)?.sets.get(&slot),
        };
        Some(found.cloned().unwrap_or_default())
    }

    /// The slots that join a listing. Its holder has seen the listing before
    /// become final and has endorsed no other one since: two listings that
    /// both took up the same withheld slots could open a slot twice.
    fn joined(&self, listing: &Listing) -> Result<BTreeMap<Slot, MemberSet>, Reason> {
        let Portion { window, step } = listing.portion;
        if listing.previous == Digest::NONE {
            return Ok(BTreeMap::new());
        }
        let of_step = |portion: &&Portion| portion.step == step;
        let latest = self.finals.keys().filter(of_step).rfind(|portion| portion.window < window);
        let before = latest.and_then(|latest| self.finals.get(latest));
        let before = before.filter(|before| before.digest() == listing.previous);
        let before = before.ok_or(Reason::Previous)?;
        let since = |portion: &&Portion| portion.window > before.portion().window;
        let mut since = self.endorsed.keys().filter(of_step).filter(since);
        if since.all(|portion| portion.window == window) {
            Ok(before.withheld())
        } else {
            Err(Reason::Previous)
        }
    }

    /// The slots that joined a final listing.
    fn joined_finally(&self, listing: &Listing) -> Result<BTreeMap<Slot, MemberSet>, Reason> {
        if listing.previous == Digest::NONE {
            return Ok(BTreeMap::new());
        }
        let mut finals = self.finals.values();
        let before = finals.find(|before| {
            before.digest() == listing.previous && before.portion().step == listing.portion.step
        });
        before.map(Listed::withheld).ok_or(Reason::Previous)
    }

    fn endorse<S: Scheme>(&mut self, roster: &AcceptedRoster<S>, listing: &Listing) -> Change {
        self.note(roster, listing);
        Change::Write(Key::listing(roster.epoch(), listing.portion), encode(listing).into())
    }

    fn note<S: Scheme>(&mut self, roster: &AcceptedRoster<S>, listing: &Listing) {
        let slots = slots_of(roster, listing.portion);
        let sets = slots.into_iter().zip(listing.sets.iter().cloned()).collect();
        let digest = listing::digest(listing);
        self.endorsed.insert(listing.portion, EndorsedListing { digest, sets });
    }

    /// Takes up what was kept of the roster's epoch.
    pub(super) fn restore<S: Scheme>(
        &mut self,
        roster: &AcceptedRoster<S>,
        own: Participant,
        kept: &Records,
    ) -> Result<(), Unreadable> {
        for (key, bytes) in kept.within(Sort::Listing, roster.epoch()) {
            self.note(roster, &record::read(key, bytes)?);
        }
        for listed in listing::known(roster, kept)? {
            self.take(own, listed);
        }
        Ok(())
    }

    fn take(&mut self, own: Participant, listed: Listed) {
        let own = |slot: &Slot| listed.is_counted(*slot, own) || listed.is_void(*slot);
        let slots = listed.slots().iter().copied().filter(|slot| own(slot)).collect();
        self.settled.insert(listed.portion(), slots);
        self.finals.insert(listed.portion(), listed);
    }

    /// Drops what no sum can need any more: the latest listing of each step
    /// stays, for the one that follows it.
    pub(super) fn forget(&mut self, before: Window) {
        retain_needed(&mut self.finals, before, &self.settled);
        retain_needed(&mut self.endorsed, before, &self.settled);
    }

    /// The slots that are withheld and may join a later listing.
    #[must_use]
    pub fn withheld(&self) -> BTreeSet<Slot> {
        let latest: BTreeMap<_, _> =
            self.finals.values().map(|listed| (listed.portion().step, listed)).collect();
        latest.values().flat_map(|listed| listed.withheld().into_keys()).collect()
    }
}

/// Keeps what lies in a window from `before` on, and the latest of each step;
/// and whatever the next listing of its step may name, as long as that one was
/// not seen.
fn retain_needed<T>(
    all: &mut BTreeMap<Portion, T>,
    before: Window,
    settled: &BTreeMap<Portion, BTreeSet<Slot>>,
) {
    let latest: BTreeMap<_, _> = all.keys().map(|portion| (portion.step, portion.window)).collect();
    all.retain(|portion, _| {
        let next = Portion { window: portion.window.plus(1), ..*portion };
        portion.window >= before
            || latest.get(&portion.step) == Some(&portion.window)
            || !settled.contains_key(&next)
    });
}

impl<S: Scheme> Guard<S> {
    /// Checks a listing, and agrees with it: one for each portion, for ever.
    ///
    /// # Errors
    /// The reason, with the listing if it was authentic.
    pub fn endorse(
        &mut self,
        roster: &AcceptedRoster<S>,
        envelope: &Envelope,
        clock: Clock,
    ) -> Result<Endorsed, Refused> {
        let listing: Listing = roster
            .open_from_collector(envelope)
            .map_err(|rejection| Refused { request: None, reason: rejection.into() })?;
        let (target, digest) = (Target::Bill(listing.portion), listing::digest(&listing));
        let refused = |reason| Refused { request: Some((digest, target)), reason };
        let change = self.agree(roster, (&listing, digest), clock).map_err(refused)?;
        let endorsement = Endorsement { portion: listing.portion, listing: digest };
        Ok(Endorsed { endorsement, change })
    }

    fn agree(
        &mut self,
        roster: &AcceptedRoster<S>,
        (listing, digest): (&Listing, Digest),
        clock: Clock,
    ) -> Result<Option<Change>, Reason> {
        check_time(roster, Target::Bill(listing.portion), clock)?;
        if let Some(known) = self.listings.endorsed.get(&listing.portion) {
            let same = known.digest == digest;
            return if same { Ok(None) } else { Err(Reason::Endorsed(known.digest)) };
        }
        let joined = self.listings.joined(listing)?;
        let listed = Listed::read(roster, listing, joined)?;
        for slot in listed.slots().iter().filter(|slot| !listed.is_void(**slot)) {
            let answered = self.ledger.set(*slot);
            if answered.is_some() && answered != listed.set(*slot) {
                return Err(Reason::Set(*slot));
            }
        }
        Ok(Some(self.listings.endorse(roster, listing)))
    }

    /// Takes a final listing; what must be kept of it, or none if it is known.
    ///
    /// # Errors
    /// The reason why it is none, or why it cannot be read yet:
    /// [`Reason::Previous`].
    pub fn settle(
        &mut self,
        roster: &AcceptedRoster<S>,
        message: &[u8],
    ) -> Result<Option<(Portion, Change)>, Reason> {
        let listing = listing::read_final(roster, message)?;
        let portion = listing.portion;
        if self.listings.is_settled(portion) {
            return Ok(None);
        }
        let joined = self.listings.joined_finally(&listing)?;
        let listed = Listed::read(roster, &listing, joined.clone())?;
        self.listings.take(self.own.0, listed);
        let record = encode(&StoredListing { listing, joined });
        Ok(Some((
            portion,
            Change::Write(Key::final_listing(roster.epoch(), portion), record.into()),
        )))
    }
}
