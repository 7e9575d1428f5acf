//! What a holder has answered, in memory and on its disk.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;
use serde_bytes::ByteBuf;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::entry::Entry;
use crate::envelope::{Envelope, encode};
use crate::id::{Digest, MeterId};
use crate::message::{Share, Target};
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

struct Answered {
    members: BTreeSet<MeterId>,
    share: Share,
    /// The signed request, if it came since this start.
    request: Option<Vec<u8>>,
}

type Claimed<S> = BTreeMap<Register, <S as Scheme>::Aggregate>;

pub(super) struct Ledger<S: Scheme> {
    sets: BTreeMap<Slot, Answered>,
    bills: BTreeMap<(Window, Digest), Share>,
    claims: BTreeMap<(Window, MeterId), Claimed<S>>,
}

impl<S: Scheme> Ledger<S> {
    pub(super) fn new() -> Self {
        let (sets, bills, claims) = Default::default();
        Self { sets, bills, claims }
    }

    /// Takes up what was kept of the roster's epoch.
    pub(super) fn restore(
        &mut self,
        roster: &AcceptedRoster<S>,
        kept: &Records,
    ) -> Result<(), Unreadable> {
        for (key, bytes) in kept.within(Sort::Answer, roster.epoch()) {
            let AnsweredSet { members, share } = record::read(key, bytes)?;
            let members = members.into_iter().collect();
            self.sets.insert(Slot(key.position), Answered { members, share, request: None });
        }
        for (key, bytes) in kept.within(Sort::Bill, roster.epoch()) {
            let AnsweredBills { claims, share } = record::read(key, bytes)?;
            for message in claims {
                let envelope = Envelope::parse(&message).map_err(|_| Unreadable::from(key))?;
                let claim = Entry::claim(roster, &envelope, &message);
                self.claimed(roster, Window(key.position), &claim.map_err(|_| key)?);
            }
            self.bills.insert((Window(key.position), share.request), share);
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
            Target::Bill(window) => return Ok(self.bills.get(&(window, digest)).cloned()),
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
                let members: BTreeSet<_> =
                    entries.iter().map(|entry| entry.meter.clone()).collect();
                let listed = members.iter().cloned().collect();
                let record = encode(&AnsweredSet { members: listed, share: share.clone() });
                let request = Some(message.to_vec());
                self.sets.insert(slot, Answered { members, share, request });
                record
            }
            Target::Bill(window) => {
                for claim in entries {
                    self.claimed(roster, window, claim);
                }
                let claims = entries.iter().map(|claim| claim.message.clone().into()).collect();
                let record = encode(&AnsweredBills { claims, share: share.clone() });
                self.bills.insert((window, share.request), share);
                record
            }
        };
        Change::Write(key, record.into())
    }

    fn claimed(&mut self, roster: &AcceptedRoster<S>, window: Window, claim: &Entry<S>) {
        self.claims.insert((window, claim.meter.clone()), claim.alone(roster.scheme()));
    }

    /// The members of the set that was answered for a slot.
    pub(super) fn set(&self, slot: Slot) -> Option<&BTreeSet<MeterId>> {
        self.sets.get(&slot).map(|answered| &answered.members)
    }

    /// The signed request that was answered for a slot, if it is at hand.
    pub(super) fn request(&self, slot: Slot) -> Option<&[u8]> {
        self.sets.get(&slot)?.request.as_deref()
    }

    /// The sums that were answered for an owner and window.
    pub(super) fn claim(&self, window: Window, owner: &MeterId) -> Option<&Claimed<S>> {
        self.claims.get(&(window, owner.clone()))
    }

    /// Whether bills of a window were answered.
    pub(super) fn has_billed(&self, window: Window) -> bool {
        let all = (window, Digest::NONE)..=(window, Digest::LAST);
        self.bills.range(all).next().is_some()
    }

    pub(super) fn forget(&mut self, before: Window, first_slot: Slot) {
        self.sets = self.sets.split_off(&first_slot);
        self.bills.retain(|(window, _), _| *window >= before);
        self.claims.retain(|(window, _), _| *window >= before);
    }
}
