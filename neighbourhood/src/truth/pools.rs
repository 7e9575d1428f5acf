//! What meters may carry, as far as the listings tell.

use std::collections::BTreeMap;

use protocol::id::MeterId;
use protocol::message::{Outcome, Subject};
use protocol::reading::Register;

/// The energy of a meter's register that is in no sum.
#[derive(Default)]
struct Pool {
    /// Slots that were ever left out.
    slots: u32,
    waiting_wh: u64,
    /// All that was ever released to be carried.
    released_wh: u64,
}

/// The pools of all meters, at most: what is carried is not taken out of them.
#[derive(Default)]
pub(super) struct Pools(BTreeMap<(MeterId, Register), Pool>);

impl Pools {
    pub(super) fn add(&mut self, meter: &MeterId, register: Register, wh: u64) {
        let pool = self.0.entry((meter.clone(), register)).or_default();
        pool.slots += 1;
        pool.waiting_wh += wh;
    }

    /// Releases what a meter may carry from now on. A pool that has been of
    /// enough slots is carried with what joins it before the meter contributes
    /// again, and when that is no listing tells: so it stays released.
    pub(super) fn release(&mut self, meter: &MeterId, min_slots: u16) {
        let pools = self.0.iter_mut().filter(|((of, _), _)| of == meter);
        for (_, pool) in pools.filter(|(_, pool)| pool.slots >= u32::from(min_slots)) {
            pool.released_wh += std::mem::take(&mut pool.waiting_wh);
        }
    }

    /// The most that a result's contributors can have carried into it.
    pub(super) fn carried(&self, outcome: &Outcome) -> u64 {
        let one = |meter: &MeterId| {
            let pool = self.0.get(&(meter.clone(), outcome.register));
            pool.map_or(0, |pool| pool.released_wh)
        };
        match &outcome.subject {
            Subject::Region(_) => outcome.contributors.iter().map(one).sum(),
            Subject::Meter(meter) => one(meter),
        }
    }
}
