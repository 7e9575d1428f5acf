//! What a meter was given to count, and what became of it: the other side of
//! what its machine says.

use std::collections::BTreeMap;

use aggregation::Scheme;
use protocol::meter::{Meter, Quantities};
use protocol::reading::Register;
use protocol::slot::Slot;

/// A meter's energy, as its daemon sees it.
#[derive(Default)]
pub(crate) struct Account {
    /// All that was given, in Wh.
    measured: BTreeMap<Register, u64>,
    /// What unsettled contributions hold.
    open: BTreeMap<Slot, Quantities>,
    /// What settled contributions held.
    settled: BTreeMap<Slot, Quantities>,
    /// What contributions hold beside their readings.
    pub(crate) carried: BTreeMap<(Register, Slot), u64>,
}

impl Account {
    /// Notes energy that the meter was given.
    pub(crate) fn measure(&mut self, energy: &Quantities) {
        for (register, wh) in energy {
            *self.measured.entry(*register).or_default() += wh;
        }
    }

    /// Notes what a contribution holds that was made of a reading.
    pub(crate) fn contribute(&mut self, slot: Slot, reading: &Quantities, holds: &Quantities) {
        for (register, wh) in holds {
            let read = reading.get(register).copied().unwrap_or_default();
            self.carried.insert((*register, slot), wh - read);
        }
        self.open.insert(slot, holds.clone());
    }

    /// Notes which contributions are settled. What an epoch's end gave up is
    /// none of them.
    pub(crate) fn settle<S: Scheme>(&mut self, meter: &Meter<S>, was_erased: bool) {
        let gone = self.open.extract_if(.., |slot, _| meter.contents(*slot).is_none());
        let gone: Vec<_> = gone.collect();
        if !was_erased {
            self.settled.extend(gone);
        }
    }

    /// Energy in Wh that was given, and that which is accounted for: counted,
    /// as `is_counted` says of settled slots, or uncounted, as the meter says.
    pub(crate) fn balance<S: Scheme>(
        &self,
        meter: &Meter<S>,
        register: Register,
        is_counted: impl Fn(Slot) -> bool,
    ) -> (u64, u64) {
        let measured = self.measured.get(&register).copied().unwrap_or_default();
        let counted = self.settled.iter().filter(|(slot, _)| is_counted(**slot));
        let counted: u64 = counted.filter_map(|(_, holds)| holds.get(&register)).sum();
        let uncounted = meter.uncounted().get(&register).copied().unwrap_or_default();
        let rest = uncounted.unsettled_wh + uncounted.pooled_wh + uncounted.lost_wh;
        (measured, counted + rest)
    }
}
