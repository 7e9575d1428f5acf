//! Listings: who was counted in which slots of a portion, and which of them
//! may be billed.
//!
//! Exact region sums and exact bills are equations over the same readings. A
//! bill is opened only over slots of a listing that is final, and among them
//! only over those of [`Listed::open`]: then no sum that can be formed of all
//! that is published tells fewer than several readings.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Participant, Scheme};
use serde_bytes::ByteBuf;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use thiserror::Error;

use crate::attendance::{self, Rule};
use crate::envelope::{Envelope, Rejection, encode};
use crate::evidence::About;
use crate::id::{Digest, MeterId, Sender};
use crate::members::MemberSet;
use crate::message::{Endorsement, FinalListing, Listing};
use crate::portion::Portion;
use crate::record::{self, Key, Records, Sort, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::Slot;

/// Why a listing is none that anybody may agree with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ListingError {
    /// Its form or signature.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A portion outside the epoch, or without slots.
    #[error("the portion lies outside the epoch, or has no slots")]
    Outside,
    /// Not one set for each slot of the portion.
    #[error("it lists {found} slots of {expected}")]
    Slots {
        /// Slots that it lists.
        found: usize,
        /// Slots of the portion.
        expected: usize,
    },
    /// A set of strangers, or of fewer members than a sum has.
    #[error("the set of slot {0} is none of a sum")]
    Set(Slot),
    /// A void slot that is none of the portion, has a set, or is called void
    /// without evidence.
    #[error("slot {0} is called void without evidence")]
    Void(Slot),
    /// Fewer holders than the threshold have endorsed it.
    #[error("{found} holders of at least {needed} have endorsed it")]
    NotFinal {
        /// Holders that have.
        found: usize,
        /// The threshold.
        needed: usize,
    },
}

/// The digest that stands for a listing.
#[must_use]
pub fn digest(listing: &Listing) -> Digest {
    Digest::of("listing", &encode(listing))
}

/// What a listing says, with the slots that join it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    portion: Portion,
    digest: Digest,
    /// Every slot of the portion itself.
    slots: Vec<Slot>,
    void: BTreeSet<Slot>,
    counted: BTreeMap<Slot, MemberSet>,
    open: BTreeSet<Slot>,
}

impl Listed {
    /// Checks everything in a listing that anyone can check, and finds out
    /// which slots may be billed. `joined` are the withheld slots of the
    /// listing that it names as the one before.
    ///
    /// # Errors
    /// See [`ListingError`].
    pub fn read<S: Scheme>(
        roster: &AcceptedRoster<S>,
        listing: &Listing,
        joined: BTreeMap<Slot, MemberSet>,
    ) -> Result<Self, ListingError> {
        let portion = listing.portion;
        let slots = slots_of(roster, portion);
        if slots.is_empty() {
            return Err(ListingError::Outside);
        }
        if slots.len() != listing.sets.len() {
            let (found, expected) = (listing.sets.len(), slots.len());
            return Err(ListingError::Slots { found, expected });
        }
        let own: BTreeMap<_, _> = slots.iter().copied().zip(&listing.sets).collect();
        check_void(roster, listing, &own)?;
        let mut counted = joined;
        for (slot, set) in own.into_iter().filter(|(_, set)| **set != MemberSet::default()) {
            let members = roster.body().members.len();
            if !set.fits(members) || set.count() < roster.parameters().contributors_needed() {
                return Err(ListingError::Set(slot));
            }
            counted.insert(slot, set.clone());
        }
        let open = attendance::open(&counted, rule(roster));
        let void = listing.void.keys().copied().collect();
        Ok(Self { portion, digest: digest(listing), slots, void, counted, open })
    }

    /// The portion.
    #[must_use]
    pub fn portion(&self) -> Portion {
        self.portion
    }

    /// The digest of the listing.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The slots of the portion itself, in order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether a slot of the portion is void.
    #[must_use]
    pub fn is_void(&self, slot: Slot) -> bool {
        self.void.contains(&slot)
    }

    /// Who was counted in a slot; none if nobody was.
    #[must_use]
    pub fn set(&self, slot: Slot) -> Option<&MemberSet> {
        self.counted.get(&slot)
    }

    /// Whether a member was counted in a slot.
    #[must_use]
    pub fn is_counted(&self, slot: Slot, of: Participant) -> bool {
        self.counted.get(&slot).is_some_and(|set| set.contains(of))
    }

    /// The slots that may be billed: `open(W)`.
    #[must_use]
    pub fn open(&self) -> &BTreeSet<Slot> {
        &self.open
    }

    /// The slots that a bill of this member covers.
    #[must_use]
    pub fn billed(&self, of: Participant) -> Vec<Slot> {
        self.open.iter().copied().filter(|slot| self.is_counted(*slot, of)).collect()
    }

    /// The slots in which this member is counted, and that are in no bill of
    /// it yet.
    #[must_use]
    pub fn withheld_from(&self, of: Participant) -> Vec<Slot> {
        let slots = self.counted.keys().copied();
        slots.filter(|slot| !self.open.contains(slot) && self.is_counted(*slot, of)).collect()
    }

    /// The slots that join the next listing of the step, with their sets.
    #[must_use]
    pub fn withheld(&self) -> BTreeMap<Slot, MemberSet> {
        let withheld = self.counted.iter().filter(|(slot, _)| !self.open.contains(slot));
        withheld.map(|(slot, set)| (*slot, set.clone())).collect()
    }
}

/// The slots of a portion; none if it does not lie in the epoch.
pub fn slots_of<S: Scheme>(roster: &AcceptedRoster<S>, portion: Portion) -> Vec<Slot> {
    if roster.covers(roster.grid().last_slot(portion.window)) {
        roster.step_slots(portion.window, portion.step)
    } else {
        Vec::new()
    }
}

/// The portion that a slot of the epoch belongs to.
pub fn portion_of<S: Scheme>(roster: &AcceptedRoster<S>, slot: Slot) -> Option<Portion> {
    let window = roster.grid().window_of(slot)?;
    Some(Portion { window, step: roster.step_of(slot) })
}

/// Opens a final listing: the collector's listing and the holders that have
/// endorsed it, in the order of the messages.
///
/// # Errors
/// See [`ListingError`].
pub fn open_final<S: Scheme>(
    roster: &AcceptedRoster<S>,
    body: &FinalListing,
) -> Result<(Listing, Vec<MeterId>), ListingError> {
    let listing: Listing = roster.open_from_collector(&Envelope::parse(&body.listing)?)?;
    let expected = Endorsement { portion: listing.portion, listing: digest(&listing) };
    let mut holders = Vec::with_capacity(body.endorsements.len());
    for message in &body.endorsements {
        let (holder, endorsement): (MeterId, Endorsement) =
            roster.open_from_member(&Envelope::parse(message)?)?;
        if endorsement != expected {
            return Err(Rejection::Body.into());
        }
        holders.push(holder);
    }
    if !holders.is_sorted_by(|a, b| a < b) {
        return Err(Rejection::NotCanonical.into());
    }
    let (found, needed) = (holders.len(), usize::from(roster.scheme().threshold()));
    if found < needed {
        Err(ListingError::NotFinal { found, needed })
    } else {
        Ok((listing, holders))
    }
}

/// Reads the signed message of a final listing.
///
/// # Errors
/// See [`ListingError`].
pub fn read_final<S: Scheme>(
    roster: &AcceptedRoster<S>,
    message: &[u8],
) -> Result<Listing, ListingError> {
    let body: FinalListing = roster.open_from_collector(&Envelope::parse(message)?)?;
    Ok(open_final(roster, &body)?.0)
}

/// A final listing, as the disk of a collector holds it.
#[derive(Clone, Debug, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct StoredFinal {
    /// The signed message.
    pub(crate) message: ByteBuf,
    /// The withheld slots of the listing before, which join this one.
    pub(crate) joined: BTreeMap<Slot, MemberSet>,
}

/// A final listing, as the disk of a meter holds it: what claims and bills need,
/// without the endorsements, which were checked when it came.
#[derive(Clone, Debug, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct StoredListing {
    pub(crate) listing: Listing,
    /// The withheld slots of the listing before, which join this one.
    pub(crate) joined: BTreeMap<Slot, MemberSet>,
}

/// The final listings of an epoch that a meter has kept, in the order of their
/// windows.
///
/// # Errors
/// The record that is not what was written.
pub(crate) fn known<S: Scheme>(
    roster: &AcceptedRoster<S>,
    kept: &Records,
) -> Result<Vec<Listed>, Unreadable> {
    let read = |(key, bytes): (&Key, &[u8])| {
        let StoredListing { listing, joined } = record::read(key, bytes)?;
        Ok(Listed::read(roster, &listing, joined).map_err(|_| key)?)
    };
    kept.within(Sort::Final, roster.epoch()).map(read).collect()
}

/// The final listings of an epoch that a collector has kept, each with its
/// signed message, in the order of their windows.
///
/// # Errors
/// The record that is not what was written.
pub fn kept<S: Scheme>(
    roster: &AcceptedRoster<S>,
    kept: &Records,
) -> Result<Vec<(Listed, Vec<u8>)>, Unreadable> {
    let read = |(key, bytes): (&Key, &[u8])| {
        let StoredFinal { message, joined } = record::read(key, bytes)?;
        let listing = read_final(roster, &message).map_err(|_| key)?;
        let listed = Listed::read(roster, &listing, joined).map_err(|_| key)?;
        Ok((listed, message.into_vec()))
    };
    kept.within(Sort::Final, roster.epoch()).map(read).collect()
}

fn rule<S: Scheme>(roster: &AcceptedRoster<S>) -> Rule {
    let parameters = roster.parameters();
    Rule { min_slots: parameters.min_slots, contributors_needed: parameters.contributors_needed() }
}

fn check_void<S: Scheme>(
    roster: &AcceptedRoster<S>,
    listing: &Listing,
    own: &BTreeMap<Slot, &MemberSet>,
) -> Result<(), ListingError> {
    for (slot, evidence) in &listing.void {
        let has_no_set = own.get(slot).is_some_and(|set| **set == MemberSet::default());
        let is_ours =
            evidence.key == roster.body().collector && evidence.binding == *roster.digest();
        let shown = evidence.check().is_ok_and(|accusation| {
            accusation.party == Sender::Collector && accusation.about == About::Sets(*slot)
        });
        if !(has_no_set && is_ours && shown) {
            return Err(ListingError::Void(*slot));
        }
    }
    Ok(())
}
