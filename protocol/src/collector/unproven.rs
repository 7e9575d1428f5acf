//! Members that have not proved what they were asked to: they are left out of
//! the epochs that follow, until they have another identity key or their
//! operator lets them in again.

use std::collections::BTreeMap;

use aggregation::Scheme;
use serde::{Deserialize, Serialize};

use crate::envelope::encode;
use crate::id::{Epoch, MeterId};
use crate::identity::IdentityKey;
use crate::keygen::Conviction;
use crate::message::Unproven;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};

use super::Core;

/// What is kept of a member that has not proved what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The epoch of the slots.
    pub epoch: Epoch,
    /// The key that the member signed with.
    pub key: IdentityKey,
    /// What was said of it.
    pub said: Unproven,
}

/// The members of a region that have not proved what they were asked to; of
/// each the latest time.
///
/// # Errors
/// The record that is not what was written.
pub fn of(kept: &Records) -> Result<BTreeMap<MeterId, Kept>, Unreadable> {
    let read = |(key, bytes): (&Key, &[u8])| {
        let kept: Kept = record::read(key, bytes)?;
        Ok((kept.said.meter.clone(), kept))
    };
    kept.of(Sort::Unproven).map(read).collect()
}

impl<S: Scheme> Core<S> {
    /// Keeps that a member has not proved what it was asked to.
    pub(super) fn keep_unproven(&mut self, epoch: Epoch, key: IdentityKey, said: &Unproven) {
        let kept = Kept { epoch, key, said: said.clone() };
        self.persist(Change::Write(Key::unproven(&said.meter), encode(&kept).into()));
        self.unproven.insert(said.meter.clone(), kept);
    }

    /// The members that are left out of the next epoch: by their key, unless
    /// the operator lets them in again.
    pub(super) fn left_out(&self) -> BTreeMap<MeterId, Conviction> {
        let members = self.terms.members.iter().filter_map(|member| {
            let kept = self.unproven.get(&member.meter).filter(|kept| kept.key == member.key)?;
            let readmitted = self.terms.readmitted.get(&member.meter);
            let is_out = readmitted.is_none_or(|until| kept.epoch > *until);
            is_out.then(|| (member.meter.clone(), Conviction::Unproven(kept.epoch)))
        });
        members.collect()
    }
}
