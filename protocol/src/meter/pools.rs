//! Energy that no sum has counted: it waits in a pool for each register and
//! tariff step until it is carried.
//!
//! A pool is carried whole, and never before it holds the energy of
//! `min_slots` slots: where all others are known, as at night where all
//! exports are zero, what is carried at once would tell a single reading.

use std::collections::BTreeMap;

use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use zeroize::{Zeroize as _, Zeroizing};

use crate::envelope::encode;
use crate::reading::Register;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::tariff::StepName;

/// Energy of one register in some slots of one tariff step.
#[derive(Clone, Default, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct Pool {
    /// Slots whose energy waits.
    pub(crate) slots: u32,
    /// Their energy in Wh.
    pub(crate) waiting_wh: u64,
    /// Energy in Wh of enough slots, on its way into contributions.
    pub(crate) carried_wh: u64,
    /// Slots that no final listing settles, or that are void.
    pub(crate) lost_slots: u32,
    /// Their energy in Wh: it is never carried.
    pub(crate) lost_wh: u64,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.waiting_wh.zeroize();
        self.carried_wh.zeroize();
        self.lost_wh.zeroize();
    }
}

impl Pool {
    /// Energy in Wh that is neither counted nor given up.
    pub(crate) fn pooled_wh(&self) -> u64 {
        self.waiting_wh.saturating_add(self.carried_wh)
    }

    /// Takes what a contribution carries: an equal part of the rest for each
    /// slot that is left, and no more than there is room for.
    fn draw(&mut self, min_slots: u16, slots_left: u64, room: u64) -> u64 {
        if self.slots >= u32::from(min_slots) {
            self.carried_wh = self.pooled_wh();
            (self.slots, self.waiting_wh) = (0, 0);
        }
        let part = self.carried_wh.div_ceil(slots_left.max(1)).min(room);
        self.carried_wh -= part;
        part
    }
}

/// The pools of a meter. They outlive epochs.
#[derive(Default)]
pub(super) struct Pools(BTreeMap<(Register, StepName), Pool>);

impl Pools {
    pub(super) fn restore(kept: &Records) -> Result<Self, Unreadable> {
        let read = |(key, bytes)| Ok((place(key)?, record::read(key, bytes)?));
        Ok(Self(kept.of(Sort::Pool).map(read).collect::<Result<_, Unreadable>>()?))
    }

    /// What a contribution of one register carries beside its reading.
    pub(super) fn draw(
        &mut self,
        (register, step): (Register, &StepName),
        min_slots: u16,
        slots_left: u64,
        room: u64,
    ) -> (u64, Option<Change>) {
        let key = (register, step.clone());
        let Some(pool) = self.0.get_mut(&key) else { return (0, None) };
        let before = pool.clone();
        let part = pool.draw(min_slots, slots_left, room);
        let change = (*pool != before).then(|| written(register, step, pool));
        (part, change)
    }

    /// Takes the energy of slots that a final listing leaves uncounted.
    pub(super) fn add(
        &mut self,
        register: Register,
        step: &StepName,
        (slots, wh): (u32, u64),
    ) -> Change {
        self.change(register, step, |pool| {
            pool.slots = pool.slots.saturating_add(slots);
            pool.waiting_wh = pool.waiting_wh.saturating_add(wh);
        })
    }

    /// Gives up the energy of slots that stay unsettled, or that are void.
    pub(super) fn lose(
        &mut self,
        register: Register,
        step: &StepName,
        (slots, wh): (u32, u64),
    ) -> Change {
        self.change(register, step, |pool| {
            pool.lost_slots = pool.lost_slots.saturating_add(slots);
            pool.lost_wh = pool.lost_wh.saturating_add(wh);
        })
    }

    /// Gives up all energy that waits: it may be in a sum already.
    pub(super) fn lose_all(&mut self) -> Vec<Change> {
        let waiting = self.0.iter_mut().filter(|(_, pool)| pool.pooled_wh() > 0);
        let lose = |((register, step), pool): (&(Register, StepName), &mut Pool)| {
            pool.lost_slots = pool.lost_slots.saturating_add(pool.slots);
            pool.lost_wh = pool.lost_wh.saturating_add(pool.pooled_wh());
            (pool.slots, pool.waiting_wh, pool.carried_wh) = (0, 0, 0);
            written(*register, step, pool)
        };
        waiting.map(lose).collect()
    }

    fn change(
        &mut self,
        register: Register,
        step: &StepName,
        change: impl FnOnce(&mut Pool),
    ) -> Change {
        let pool = self.0.entry((register, step.clone())).or_default();
        change(pool);
        written(register, step, pool)
    }

    /// Slots whose energy waits, and slots that are given up. Registers share
    /// their slots.
    pub(super) fn slots(&self) -> (u32, u32) {
        let mut of_register: BTreeMap<Register, (u32, u32)> = BTreeMap::new();
        for ((register, _), pool) in &self.0 {
            let (waiting, lost) = of_register.entry(*register).or_default();
            *waiting = waiting.saturating_add(pool.slots);
            *lost = lost.saturating_add(pool.lost_slots);
        }
        of_register.into_values().max().unwrap_or_default()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&(Register, StepName), &Pool)> {
        self.0.iter()
    }
}

/// What pool a record holds.
pub(crate) fn place(key: &Key) -> Result<(Register, StepName), Unreadable> {
    let parts = key.name.split_once('/');
    let place =
        parts.and_then(|(register, step)| Some((register.parse().ok()?, step.parse().ok()?)));
    place.ok_or_else(|| key.into())
}

fn written(register: Register, step: &StepName, pool: &Pool) -> Change {
    Change::Write(Key::pool(register, step), Zeroizing::new(encode(pool)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(slots: u32, waiting_wh: u64) -> Pool {
        Pool { slots, waiting_wh, ..Pool::default() }
    }

    #[test]
    fn a_pool_of_too_few_slots_waits() {
        let mut few = pool(9, 900);
        assert_eq!(few.draw(10, 5, 1000), 0);
        assert!(few == pool(9, 900));
    }

    #[test]
    fn a_pool_of_enough_slots_is_spread_over_the_slots_left() {
        let mut enough = pool(10, 10);
        let carried: Vec<_> = (1..=4).rev().map(|left| enough.draw(10, left, 1000)).collect();
        assert_eq!(carried, [3, 3, 2, 2]);
        assert!(enough == Pool::default());
    }

    #[test]
    fn what_does_not_fit_stays() {
        let mut large = pool(10, 100);
        assert_eq!((large.draw(10, 1, 30), large.draw(10, 1, 30)), (30, 30));
        assert_eq!(large.pooled_wh(), 40);
        // It is of ten slots still: what joins it waits for itself.
        large.slots = 1;
        large.waiting_wh = 7;
        assert_eq!(large.draw(10, 1, 1000), 40);
        assert_eq!(large.pooled_wh(), 7);
    }
}
