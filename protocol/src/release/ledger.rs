//! What a holder has answered, in memory and on its disk.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;
use serde_bytes::ByteBuf;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::entry::Entry;
use crate::envelope::{Envelope, encode};
use crate::id::{Digest, MeterId};
use crate::listing::Listed;
use crate::members::MemberSet;
use crate::message::{Answered, Share, Target};
use crate::portion::Portion;
use crate::reading::Register;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Window};

use super::Reason;

/// What was answered for a slot, as the disk holds it.
#[derive(Serialize_tuple, Deserialize_tuple)]
pub(crate) struct AnsweredSet {
    pub(crate) members: Vec<MeterId>,
    pub(crate) share: Share,
}

/// What was answered to a request for bills, as the disk holds it.
#[derive(Serialize_tuple, Deserialize_tuple)]
pub(crate) struct AnsweredBills {
    /// The claims' messages, whole.
    pub(crate) claims: Vec<ByteBuf>,
    pub(crate) share: Share,
}

struct Kept {
    members: MemberSet,
    share: Share,
    /// The signed request, if it came since this start.
    request: Option<Vec<u8>>,
}

type Claimed<S> = BTreeMap<Register, <S as Scheme>::Aggregate>;

pub(super) struct Ledger<S: Scheme> {
    sets: BTreeMap<Slot, Kept>,
    bills: BTreeMap<(Portion, Digest), Share>,
    claims: BTreeMap<(Portion, MeterId), Claimed<S>>,
}

impl<S: Scheme> Ledger<S> {
    pub(super) fn new() -> Self {
        let (sets, bills, claims) = Default::default();
        Self { sets, bills, claims }
    }

    /// Takes up what was kept of the roster's epoch.
    pub(super) fn restore<'a>(
        &mut self,
        roster: &AcceptedRoster<S>,
        final_of: impl Fn(Portion) -> Option<&'a Listed>,
        kept: &Records,
    ) -> Result<(), Unreadable> {
        for (key, bytes) in kept.within(Sort::Answer, roster.epoch()) {
            let AnsweredSet { members, share } = record::read(key, bytes)?;
            let members = members.iter().filter_map(|meter| roster.member(meter));
            let members = members.map(|(of, _)| of).collect();
            self.sets.insert(Slot(key.position), Kept { members, share, request: None });
        }
        for (key, bytes) in kept.within(Sort::Bill, roster.epoch()) {
            let AnsweredBills { claims, share } = record::read(key, bytes)?;
            let portion = key.portion().ok_or(key)?;
            // Bills are answered under a final listing, which is forgotten
            // with them.
            let Some(listed) = final_of(portion) else { continue };
            for message in claims {
                let envelope = Envelope::parse(&message).map_err(|_| Unreadable::from(key))?;
                let claim = Entry::claim(roster, listed, &envelope, &message);
                self.claimed(roster, portion, &claim.map_err(|_| key)?);
            }
            self.bills.insert((portion, share.request), share);
        }
        Ok(())
    }

    /// The share that a request got; none if nothing was answered for its
    /// target. `message` is the signed request.
    pub(super) fn answer(
        &mut self,
        target: Target,
        digest: Digest,
        message: &[u8],
    ) -> Result<Option<Share>, Reason> {
        let slot = match target {
            Target::Region(slot) => slot,
            Target::Bill(portion) => return Ok(self.bills.get(&(portion, digest)).cloned()),
        };
        let Some(answered) = self.sets.get_mut(&slot) else { return Ok(None) };
        if answered.share.request != digest {
            return Err(Reason::Answered(answered.share.request));
        }
        answered.request.get_or_insert_with(|| message.to_vec());
        Ok(Some(answered.share.clone()))
    }

    /// Notes an answer; the change that makes it durable.
    pub(super) fn record(
        &mut self,
        roster: &AcceptedRoster<S>,
        (target, message): (Target, &[u8]),
        entries: &[Entry<S>],
        share: &Share,
    ) -> Change {
        let share = share.clone();
        let key = Key::answer(roster.epoch(), target, &share.request);
        let record = match target {
            Target::Region(slot) => {
                let listed: BTreeSet<_> = entries.iter().map(|entry| &entry.meter).collect();
                let listed = listed.into_iter().cloned().collect();
                let record = encode(&AnsweredSet { members: listed, share: share.clone() });
                let members = super::members(roster, entries);
                let request = Some(message.to_vec());
                self.sets.insert(slot, Kept { members, share, request });
                record
            }
            Target::Bill(portion) => {
                for claim in entries {
                    self.claimed(roster, portion, claim);
                }
                let claims = entries.iter().map(|claim| claim.message.clone().into()).collect();
                let record = encode(&AnsweredBills { claims, share: share.clone() });
                self.bills.insert((portion, share.request), share);
                record
            }
        };
        Change::Write(key, record.into())
    }

    fn claimed(&mut self, roster: &AcceptedRoster<S>, portion: Portion, claim: &Entry<S>) {
        self.claims.insert((portion, claim.meter.clone()), claim.alone(roster.scheme()));
    }

    /// The members of the set that was answered for a slot.
    pub(super) fn set(&self, slot: Slot) -> Option<&MemberSet> {
        self.sets.get(&slot).map(|answered| &answered.members)
    }

    /// The set that was answered for a slot, with the request's digest.
    pub(super) fn answered(&self, slot: Slot) -> Option<Answered> {
        let Kept { members, share, .. } = self.sets.get(&slot)?;
        Some(Answered { request: share.request, set: members.clone() })
    }

    /// The signed request that was answered for a slot, if it is at hand.
    pub(super) fn request(&self, slot: Slot) -> Option<&[u8]> {
        self.sets.get(&slot)?.request.as_deref()
    }

    /// The sums that were answered for an owner and portion.
    pub(super) fn claim(&self, portion: Portion, owner: &MeterId) -> Option<&Claimed<S>> {
        self.claims.get(&(portion, owner.clone()))
    }

    /// Whether bills of a portion were answered.
    pub(super) fn has_billed(&self, portion: Portion) -> bool {
        let all = (portion, Digest::NONE)..=(portion, Digest::LAST);
        self.bills.range(all).next().is_some()
    }

    pub(super) fn forget(&mut self, before: Window, first_slot: Slot) {
        self.sets = self.sets.split_off(&first_slot);
        self.bills.retain(|(portion, _), _| portion.window >= before);
        self.claims.retain(|(portion, _), _| portion.window >= before);
    }
}
