//! What a meter measured while it contributed nothing.
//!
//! A gap is pooled only once final listings have settled every slot of it,
//! count the meter in none and call none void: a disk that was put back may
//! have lost that the meter contributed after all.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use zeroize::{Zeroize, Zeroizing};

use crate::envelope::encode;
use crate::id::Epoch;
use crate::listing::portion_of;
use crate::output::Event;
use crate::portion::Portion;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::slot::Slot;

use super::super::outbox::Standing;
use super::super::{Core, Quantities};
use super::Membership;
use super::listings::move_energy;

/// Slots in a row, and their energy.
#[derive(Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct Gap {
    pub(crate) end: Slot,
    /// Their energy in Wh together.
    pub(crate) energy: Quantities,
    /// Portions that no final listing settled yet.
    pub(crate) pending: BTreeSet<Portion>,
    /// Whether a final listing counts the meter in one of them, or calls it
    /// void.
    is_counted: bool,
}

impl Drop for Gap {
    fn drop(&mut self) {
        self.energy.values_mut().for_each(Zeroize::zeroize);
    }
}

/// The gaps of an epoch, by their first slots.
#[derive(Default)]
pub(super) struct Gaps(BTreeMap<Slot, Gap>);

impl Gaps {
    pub(super) fn restore(epoch: Epoch, kept: &Records) -> Result<Self, Unreadable> {
        let read = |(key, bytes): (&Key, _)| Ok((Slot(key.position), record::read(key, bytes)?));
        Ok(Self(kept.within(Sort::Gap, epoch).map(read).collect::<Result<_, Unreadable>>()?))
    }

    /// Portions that gaps wait for.
    pub(super) fn portions(&self) -> impl Iterator<Item = Portion> {
        self.0.values().flat_map(|gap| gap.pending.iter().copied())
    }

    /// The energy of all gaps.
    pub(super) fn energy(&self) -> impl Iterator<Item = &Quantities> {
        self.0.values().map(|gap| &gap.energy)
    }
}

impl<S: Scheme> Membership<S> {
    /// Takes the energy of slots from `first` to before `end`, which lie in
    /// the epoch and to which this meter contributes nothing. What is more than
    /// they can hold is a source's mistake: it would be carried for ever.
    pub(in crate::meter) fn take_gap(
        &mut self,
        core: &mut Core,
        (first, end): (Slot, Slot),
        mut energy: Quantities,
    ) {
        let registers = &self.roster.parameters().registers;
        energy.retain(|register, _| registers.contains(register));
        let slots = end.since(first).unwrap_or(0);
        let most = slots.saturating_mul(self.roster.parameters().max_wh_per_slot.into());
        if energy.values().any(|wh| *wh > most) {
            return core.event(Event::GapRefused { first, end });
        }
        if energy.is_empty() {
            return;
        }
        let portions = (first.0..end.0).filter_map(|slot| portion_of(&self.roster, Slot(slot)));
        let all: BTreeSet<_> = portions.collect();
        let mut gap = Gap { end, energy, pending: all.clone(), is_counted: false };
        for portion in all {
            self.note_settled(first, &mut gap, portion);
        }
        self.keep_gap(core, first, gap);
    }

    /// Notes what a final listing makes of the gaps.
    pub(super) fn settle_gaps(&mut self, core: &mut Core, portion: Portion) {
        let waits = |(_, gap): &(&Slot, &Gap)| gap.pending.contains(&portion);
        let waiting: Vec<_> = self.gaps.0.iter().filter(waits).map(|(slot, _)| *slot).collect();
        for first in waiting {
            let Some(mut gap) = self.gaps.0.remove(&first) else { continue };
            self.note_settled(first, &mut gap, portion);
            self.keep_gap(core, first, gap);
        }
    }

    /// Gives up the energy of gaps that stay unsettled.
    pub(super) fn give_up_gaps(&mut self, core: &mut Core) {
        for (first, gap) in std::mem::take(&mut self.gaps.0) {
            self.move_gap(core, Standing::Void, first, &gap);
        }
    }

    fn note_settled(&self, first: Slot, gap: &mut Gap, portion: Portion) {
        let Some(slots) = self.guard.listings().not_carried(portion) else { return };
        gap.pending.remove(&portion);
        gap.is_counted |= slots.range(first..gap.end).next().is_some();
    }

    /// Keeps a gap while it waits; then its energy waits in the pools.
    fn keep_gap(&mut self, core: &mut Core, first: Slot, gap: Gap) {
        let key = Key::gap(self.roster.epoch(), first);
        if !gap.pending.is_empty() {
            core.persist(Change::Write(key, Zeroizing::new(encode(&gap))));
            self.gaps.0.insert(first, gap);
            return;
        }
        let standing = if gap.is_counted { Standing::Void } else { Standing::Pooled };
        self.move_gap(core, standing, first, &gap);
        core.persist(Change::Erase(key));
    }

    /// Moves the energy of a gap, spread evenly over its slots, to the pools
    /// of their steps.
    fn move_gap(&self, core: &mut Core, standing: Standing, first: Slot, gap: &Gap) {
        let slots = gap.end.since(first).unwrap_or(0).max(1);
        for (at, slot) in (first.0..gap.end.0).map(Slot).enumerate() {
            let Some(step) = portion_of(&self.roster, slot).and_then(|of| self.step_name(of))
            else {
                continue;
            };
            let standing = core.doubts.without_carry(slot, standing);
            for (register, wh) in &gap.energy {
                let share = wh / slots + u64::from((at as u64) < wh % slots);
                move_energy(core, standing, (*register, &step), (1, share));
            }
        }
    }
}
