//! What final listings make of the slots in which this meter may have
//! contributed without knowing it.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;

use crate::id::Epoch;
use crate::listing::portion_of;
use crate::output::Event;
use crate::portion::Portion;
use crate::record::{Change, Key};
use crate::slot::{Slot, Timestamp};

use super::super::Core;
use super::super::doubts::Doubt;
use super::Membership;

impl<S: Scheme> Membership<S> {
    /// Doubts the slots of the epoch that ended between the mark and this
    /// start. It is durable with whatever comes next, and so before the mark
    /// moves on.
    pub(in crate::meter) fn begin_doubt(&mut self, core: &mut Core) {
        if core.marks.measured == Timestamp(0) {
            return;
        }
        let grid = self.roster.grid();
        let first = grid.slot_at(core.marks.measured).max(self.roster.body().first_slot);
        let end = grid.slot_at(core.started).min(self.roster.end_slot());
        let portions = (first.0..end.0).filter_map(|slot| portion_of(&self.roster, Slot(slot)));
        let pending: BTreeSet<_> = portions.collect();
        if pending.is_empty() {
            return;
        }
        let place = (self.roster.epoch(), first);
        let is_counted = core.doubts.0.get(&place).is_some_and(|known| known.is_counted);
        let doubt = Doubt { end, pending: pending.clone(), is_counted };
        core.defer(doubt.written(place));
        core.doubts.0.insert(place, doubt);
        for portion in pending {
            self.settle_doubts(core, portion);
        }
    }

    /// Notes what a final listing makes of the doubts.
    pub(super) fn settle_doubts(&mut self, core: &mut Core, portion: Portion) {
        let Some(slots) = self.guard.listings().not_carried(portion) else { return };
        let epoch = self.roster.epoch();
        let of_epoch = core.doubts.0.iter_mut().filter(|((of, _), _)| *of == epoch);
        let mut changed = Vec::new();
        for ((_, first), doubt) in of_epoch {
            if doubt.pending.remove(&portion) {
                let is_counted = slots.range(*first..doubt.end).next().is_some();
                changed.push((*first, is_counted));
            }
        }
        for (first, is_counted) in changed {
            if is_counted {
                self.confirm_doubt(core, first);
            }
            self.keep_doubt(core, first);
        }
    }

    /// Gives up what may have been carried into slots that stay unsettled.
    pub(super) fn give_up_doubts(&mut self, core: &mut Core) {
        let epoch = self.roster.epoch();
        let of_epoch: Vec<_> =
            core.doubts.0.keys().filter(|(of, _)| *of == epoch).copied().collect();
        for (_, first) in of_epoch {
            self.confirm_doubt(core, first);
            core.doubts.0.remove(&(epoch, first));
        }
    }

    /// The disk is an older one, or may be: what waits on it may be in a sum.
    fn confirm_doubt(&self, core: &mut Core, first: Slot) {
        let Some(doubt) = core.doubts.0.get_mut(&(self.roster.epoch(), first)) else { return };
        if std::mem::replace(&mut doubt.is_counted, true) {
            return;
        }
        let end = doubt.end;
        let following = confirm_what_follows(&mut core.doubts.0, end);
        for change in following.into_iter().chain(core.pools.lose_all()) {
            core.persist(change);
        }
        core.event(Event::DiskIsOlder { first, end });
    }

    /// Keeps a doubt as long as it matters.
    fn keep_doubt(&self, core: &mut Core, first: Slot) {
        let place = (self.roster.epoch(), first);
        let Some(doubt) = core.doubts.0.get(&place) else { return };
        let mut change = doubt.written(place);
        if doubt.pending.is_empty() && !doubt.is_counted {
            core.doubts.0.remove(&place);
            change = Change::Erase(Key::doubt(place.0, first));
        }
        core.persist(change);
    }
}

/// What ended before the same start in the next epochs was measured with it: a
/// part of that energy is counted, and nobody knows which.
fn confirm_what_follows(doubts: &mut BTreeMap<(Epoch, Slot), Doubt>, mut end: Slot) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some((place, doubt)) = doubts.iter_mut().find(|((_, first), _)| *first == end) {
        doubt.is_counted = true;
        changes.push(doubt.written(*place));
        end = doubt.end;
    }
    changes
}
