//! Slots in which a meter may have contributed what its disk has lost.
//!
//! The pools of a disk that was put back hold what was carried since, and
//! would carry it once more. So no pool is drawn before final listings have
//! settled every slot that ended between the meter's mark and its start. If one
//! of them counts the meter, the disk is an older one, and what waits on it is
//! given up.

use std::collections::{BTreeMap, BTreeSet};

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::envelope::encode;
use crate::id::Epoch;
use crate::portion::Portion;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::slot::Slot;

use super::outbox::Standing;

/// Slots in a row.
#[derive(Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(super) struct Doubt {
    pub(super) end: Slot,
    /// Portions that no final listing settled yet.
    pub(super) pending: BTreeSet<Portion>,
    /// Whether a final listing counts the meter in one of them, or calls it
    /// void: then the doubt stays as long as its epoch.
    pub(super) is_counted: bool,
}

impl Doubt {
    /// The change that keeps it, by its epoch and first slot.
    pub(super) fn written(&self, (epoch, first): (Epoch, Slot)) -> Change {
        Change::Write(Key::doubt(epoch, first), encode(self).into())
    }
}

/// The doubts of all epochs, by their first slots.
pub(super) struct Doubts(pub(super) BTreeMap<(Epoch, Slot), Doubt>);

impl Doubts {
    pub(super) fn restore(kept: &Records) -> Result<Self, Unreadable> {
        let read = |(key, bytes): (&Key, _)| {
            Ok(((key.epoch, Slot(key.position)), record::read(key, bytes)?))
        };
        Ok(Self(kept.of(Sort::Doubt).map(read).collect::<Result<_, Unreadable>>()?))
    }

    /// Whether what waits in the pools may have been carried before.
    pub(super) fn hold_pools(&self) -> bool {
        self.0.values().any(|doubt| !doubt.is_counted)
    }

    /// Portions of an epoch that doubts wait for.
    pub(super) fn portions(&self, epoch: Epoch) -> impl Iterator<Item = Portion> {
        let waits =
            move |((of, _), doubt): &(&(Epoch, Slot), &Doubt)| *of == epoch && !doubt.is_counted;
        let of_epoch = self.0.iter().filter(waits);
        of_epoch.flat_map(|(_, doubt)| doubt.pending.iter().copied())
    }

    /// What becomes of a slot: where the disk is known to be an older one, the
    /// energy of what came before may have been carried already.
    pub(super) fn without_carry(&self, slot: Slot, standing: Standing) -> Standing {
        let is_older = self.0.values().any(|doubt| doubt.is_counted && slot < doubt.end);
        if is_older && standing == Standing::Pooled { Standing::Void } else { standing }
    }
}
