//! What a holder has answered, in memory and on its disk.

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Scheme};
use serde_bytes::ByteBuf;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::entry::Entry;
use crate::envelope::encode;
use crate::id::{Digest, Epoch, MeterId};
use crate::members::MemberSet;
use crate::message::{Answered, Share, Target};
use crate::portion::Portion;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Window};

use super::Reason;

/// What was answered for a slot, as the disk holds it.
#[derive(Serialize_tuple, Deserialize_tuple)]
pub(crate) struct AnsweredSet {
    pub(crate) members: MemberSet,
    pub(crate) share: Share,
}

/// What was answered to a request for bills, as the disk holds it.
#[derive(Serialize_tuple, Deserialize_tuple)]
pub(crate) struct AnsweredBills {
    /// What each owner claimed.
    pub(crate) claims: BTreeMap<MeterId, Digest>,
    pub(crate) share: Share,
}

struct Kept {
    members: MemberSet,
    share: Share,
    /// The signed request, if it came since this start.
    request: Option<Vec<u8>>,
}

pub(super) struct Ledger {
    sets: BTreeMap<Slot, Kept>,
    bills: BTreeMap<(Portion, Digest), Share>,
    claims: BTreeMap<(Portion, MeterId), Digest>,
}

/// The digest that stands for the sums of a claim, whatever proves them.
pub(super) fn claimed<S: Scheme>(scheme: &S, claim: &Entry<S>) -> Digest {
    let sums = claim.alone(scheme).into_iter();
    let sums = sums.map(|(register, sum)| (register, ByteBuf::from(sum.to_bytes())));
    Digest::of("claimed", &encode(&sums.collect::<BTreeMap<_, _>>()))
}

impl Ledger {
    pub(super) fn new() -> Self {
        let (sets, bills, claims) = Default::default();
        Self { sets, bills, claims }
    }

    /// Takes up what was kept of an epoch.
    pub(super) fn restore(&mut self, epoch: Epoch, kept: &Records) -> Result<(), Unreadable> {
        for (key, bytes) in kept.within(Sort::Answer, epoch) {
            let AnsweredSet { members, share } = record::read(key, bytes)?;
            self.sets.insert(Slot(key.position), Kept { members, share, request: None });
        }
        for (key, bytes) in kept.within(Sort::Bill, epoch) {
            let AnsweredBills { claims, share } = record::read(key, bytes)?;
            let portion = key.portion().ok_or(key)?;
            self.bills.insert((portion, share.request), share);
            self.note_claims(portion, claims);
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
    pub(super) fn record<S: Scheme>(
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
                let members = super::members(roster, entries);
                let answered = AnsweredSet { members, share };
                let record = encode(&answered);
                let AnsweredSet { members, share } = answered;
                let request = Some(message.to_vec());
                self.sets.insert(slot, Kept { members, share, request });
                record
            }
            Target::Bill(portion) => {
                let claims = entries.iter();
                let claims =
                    claims.map(|claim| (claim.meter.clone(), claimed(roster.scheme(), claim)));
                let answered = AnsweredBills { claims: claims.collect(), share };
                let record = encode(&answered);
                let AnsweredBills { claims, share } = answered;
                self.bills.insert((portion, share.request), share);
                self.note_claims(portion, claims);
                record
            }
        };
        Change::Write(key, record.into())
    }

    fn note_claims(&mut self, portion: Portion, claims: BTreeMap<MeterId, Digest>) {
        self.claims.extend(claims.into_iter().map(|(owner, sums)| ((portion, owner), sums)));
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

    /// What was answered for an owner and portion, as [`claimed`] gives it.
    pub(super) fn claim(&self, portion: Portion, owner: &MeterId) -> Option<Digest> {
        self.claims.get(&(portion, owner.clone())).copied()
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
