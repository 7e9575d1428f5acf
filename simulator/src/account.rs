//! What a meter was given to count, and what became of it: the other side of
//! what its machine says.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;
use protocol::meter::{Meter, Quantities};
use protocol::reading::Register;
use protocol::slot::Slot;

/// What one turn gave a meter. It counts once the turn is durable.
#[derive(Default)]
pub(crate) struct Given {
    /// The energy of slots.
    measured: Vec<(Slot, Quantities)>,
    /// What contributions hold that were made of readings.
    made: Vec<(Slot, Quantities)>,
    /// What they hold beside these readings.
    pub(crate) carried: Vec<((Register, Slot), u64)>,
    /// Contributions that were settled before what was due.
    pub(crate) settled: BTreeSet<Slot>,
    /// Whether the end of an epoch gave up what was not settled.
    pub(crate) was_erased: bool,
}

impl Given {
    /// Notes energy that the meter was given.
    pub(crate) fn measure(&mut self, slot: Slot, energy: Quantities) {
        self.measured.push((slot, energy));
    }

    /// Notes what a contribution holds that was made of a reading.
    pub(crate) fn contribute(&mut self, slot: Slot, reading: &Quantities, holds: &Quantities) {
        for (register, wh) in holds {
            let read = reading.get(register).copied().unwrap_or_default();
            self.carried.push(((*register, slot), wh - read));
        }
        self.made.push((slot, holds.clone()));
    }
}

/// A meter's energy, as its daemon sees it.
#[derive(Default)]
pub(crate) struct Account {
    /// Slots whose energy was given.
    given: BTreeSet<Slot>,
    /// All of that, in Wh.
    measured: Quantities,
    /// What unsettled contributions hold.
    open: BTreeMap<Slot, Quantities>,
    /// What settled contributions held of which nobody has looked up yet
    /// whether they are counted.
    settled: BTreeMap<Slot, Quantities>,
    /// What counted contributions held, in Wh.
    counted: Quantities,
    /// Whether an older disk was put in its place once.
    is_restored: bool,
}

impl Account {
    /// Takes what a turn gave, once it is durable.
    pub(crate) fn take(&mut self, given: Given) {
        for (slot, energy) in given.measured {
            if self.given.insert(slot) {
                add(&mut self.measured, &energy);
            }
        }
        self.open.extend(given.made);
    }

    /// Notes that the meter has forgotten what it did lately.
    pub(crate) fn restore(&mut self) {
        self.is_restored = true;
    }

    /// Contributions that the meter does not hold as unsettled any more.
    pub(crate) fn gone<S: Scheme>(&self, meter: &Meter<S>) -> BTreeSet<Slot> {
        let gone = self.open.keys().filter(|slot| meter.contents(**slot).is_none());
        gone.copied().collect()
    }

    /// Notes which contributions are settled. What an epoch's end gave up is
    /// none of them.
    pub(crate) fn settle<S: Scheme>(
        &mut self,
        meter: &Meter<S>,
        (settled, was_erased): (&BTreeSet<Slot>, bool),
    ) {
        for slot in self.gone(meter) {
            let Some(holds) = self.open.remove(&slot) else { continue };
            if !was_erased || settled.contains(&slot) || self.is_restored {
                self.settled.insert(slot, holds);
            }
        }
    }

    /// Looks up whether settled contributions are counted, where that is known.
    pub(crate) fn look_up(&mut self, is_counted: impl Fn(Slot) -> Option<bool>) {
        let known = self.settled.extract_if(.., |slot, _| is_counted(*slot).is_some());
        for (slot, holds) in known {
            if is_counted(slot) == Some(true) {
                add(&mut self.counted, &holds);
            }
        }
    }

    /// Energy in Wh that was given, and that which is accounted for: counted,
    /// as was looked up, or uncounted, as the meter says. None where nothing
    /// was lost and nothing counted twice. A meter that has forgotten what it
    /// did may give up what was counted: no more than was given is counted, nor
    /// will be once its pools hold nothing that it doubts (`is_over`).
    pub(crate) fn imbalance<S: Scheme>(
        &self,
        meter: &Meter<S>,
        register: Register,
        is_over: bool,
    ) -> Option<(u64, u64)> {
        let of = |quantities: &Quantities| quantities.get(&register).copied().unwrap_or_default();
        let uncounted = meter.uncounted().get(&register).copied().unwrap_or_default();
        let (measured, counted) = (of(&self.measured), of(&self.counted));
        if self.is_restored {
            let found = if is_over { counted + uncounted.pooled_wh } else { counted };
            return (found > measured).then_some((measured, found));
        }
        let waits = uncounted.unsettled_wh + uncounted.pooled_wh + uncounted.lost_wh;
        let found = counted + waits;
        (found != measured).then_some((measured, found))
    }
}

fn add(sum: &mut Quantities, energy: &Quantities) {
    for (register, wh) in energy {
        *sum.entry(*register).or_default() += wh;
    }
}
