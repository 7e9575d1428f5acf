//! Where a meter's readings come from: registers that count on while it is
//! down.

use aggregation::Scheme;
use protocol::meter::{Meter, Quantities};
use protocol::slot::{Grid, Slot, Timestamp};

use crate::account::Given;

/// Gives a meter the slots that have ended by its clock, in order: first what
/// was measured while it was down.
pub(super) fn read<S: Scheme>(
    meter: &mut Meter<S>,
    next_slot: &mut Option<Slot>,
    clock: Timestamp,
    read: impl Fn(Slot) -> Option<Quantities>,
    given: &mut Given,
) {
    let Some(grid) = meter.grid() else { return };
    if next_slot.is_none() {
        let next = grid.slot_at(clock).max(grid.origin);
        give_gap(meter, &grid, next, &read, given);
        *next_slot = Some(next);
    }
    let next = next_slot.get_or_insert(grid.origin);
    while grid.end(*next) <= clock {
        if let Some(quantities) = read(*next) {
            give(meter, (&grid, *next), quantities, clock, given);
        }
        *next = next.plus(1);
    }
}

/// Gives a meter the reading of a slot, and notes what it makes of it.
fn give<S: Scheme>(
    meter: &mut Meter<S>,
    (grid, slot): (&Grid, Slot),
    reading: Quantities,
    now: Timestamp,
    given: &mut Given,
) {
    let is_new = |meter: &Meter<S>| meter.measured_until().is_none_or(|to| to < grid.end(slot));
    let was_new = is_new(meter);
    meter.handle_reading(slot, &reading, now);
    if was_new && !is_new(meter) {
        if let Some(holds) = meter.contents(slot) {
            given.contribute(slot, &reading, holds);
        }
        given.measure(slot, reading);
    }
}

/// Gives a meter that has just started what its registers counted while it was
/// down: each run of slots in which it was a member.
fn give_gap<S: Scheme>(
    meter: &mut Meter<S>,
    grid: &Grid,
    next: Slot,
    read: impl Fn(Slot) -> Option<Quantities>,
    given: &mut Given,
) {
    let Some(first) = meter.measured_until().map(|until| grid.slot_at(until)) else { return };
    let slots: Vec<_> = (first.0..next.0).map(Slot).collect();
    let runs = slots.chunk_by(|a, b| meter.takes_part(*a) == meter.takes_part(*b));
    for run in runs.map(<[Slot]>::to_vec).collect::<Vec<_>>() {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        if !meter.takes_part(*first) {
            continue;
        }
        let mut energy = Quantities::new();
        for (slot, quantities) in run.iter().filter_map(|slot| Some((*slot, read(*slot)?))) {
            for (register, wh) in &quantities {
                *energy.entry(*register).or_default() += wh;
            }
            given.measure(slot, quantities);
        }
        meter.handle_gap((*first, last.plus(1)), &energy);
    }
}
