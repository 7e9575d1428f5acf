//! What a source has measured. Each slot's energy is taken once, with its
//! contribution or in a gap, and in one turn with what the source's registers
//! showed then: the next gap begins there.

use std::collections::BTreeMap;

use aggregation::Scheme;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use zeroize::{Zeroize as _, Zeroizing};

use crate::envelope::encode;
use crate::id::Digest;
use crate::output::Event;
use crate::reading::Register;
use crate::record::{self, Change, Key, Records, Unreadable};
use crate::slot::{Slot, Timestamp};

use super::{Core, Meter};

/// Energy in Wh of some slots, by register, before it becomes readings.
pub type Quantities = BTreeMap<Register, u64>;

/// What a cumulative register shows. It has no Debug: a stand reaches no log.
#[derive(Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Stand {
    /// Tells stands that only count up from those of any other register: of
    /// another meter, or read in another way.
    pub series: Digest,
    /// Energy in Wh.
    pub wh: u64,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.wh.zeroize();
    }
}

/// What a source's cumulative registers show at an instant.
pub type Stands = BTreeMap<Register, Stand>;

/// Energy of some slots.
#[derive(Clone, Copy)]
pub struct Measured<'a> {
    /// How much, as far as it is known.
    pub energy: &'a Quantities,
    /// The stands at their end; none of a source without registers.
    pub stands: Option<&'a Stands>,
}

impl<'a> From<&'a Quantities> for Measured<'a> {
    fn from(energy: &'a Quantities) -> Self {
        Self { energy, stands: None }
    }
}

impl<S: Scheme> Meter<S> {
    /// Takes the energy of slots from `first` to before `end` to which this
    /// meter contributed nothing: of the source's own registers, whatever they
    /// counted while nobody asked. It is spread evenly over the slots. What
    /// begins before [`Self::measured_until`] was given before, and is not
    /// taken again.
    pub fn handle_gap<'a>(
        &mut self,
        (first, end): (Slot, Slot),
        measured: impl Into<Measured<'a>>,
    ) {
        let Measured { energy, stands } = measured.into();
        let Some(grid) = self.grid() else { return };
        if end < first || grid.start(first) < self.core.marks.measured {
            return;
        }
        let slots = u128::from((end.0 - first.0).max(1));
        for membership in self.epochs.values_mut() {
            let from = first.max(membership.roster().body().first_slot);
            let to = end.min(membership.roster().end_slot());
            if from < to {
                // Rounded so that parts of several epochs add up to the whole.
                let until = |wh: u64, slot: Slot| {
                    let part = u128::from(wh) * u128::from(slot.since(first).unwrap_or(0)) / slots;
                    u64::try_from(part).unwrap_or(u64::MAX)
                };
                let part = |(register, wh): (&Register, &u64)| {
                    (*register, until(*wh, to) - until(*wh, from))
                };
                let energy = energy.iter().map(part).collect();
                membership.take_gap(&mut self.core, (from, to), energy);
            }
        }
        self.core.note_measured(grid.start(end), stands);
        if !energy.is_empty() {
            self.core.event(Event::Gap { first, end });
        }
    }

    /// The end of the latest slot whose energy this meter was given; none
    /// before the first.
    #[must_use]
    pub fn measured_until(&self) -> Option<Timestamp> {
        self.core.marks.measured_until()
    }

    /// What the source's registers showed at [`Self::measured_until`], if they
    /// were given with it.
    #[must_use]
    pub fn stands(&self) -> Option<&Stands> {
        self.core.stands.as_ref()
    }
}

impl Core {
    /// Notes up to when energy was given, and what the registers showed then.
    pub(super) fn note_measured(&mut self, until: Timestamp, stands: Option<&Stands>) {
        if until > self.marks.measured {
            self.marks.measured = until;
            self.keep_stands(stands.cloned());
        }
        self.persist(self.marks.written());
    }

    fn keep_stands(&mut self, stands: Option<Stands>) {
        match &stands {
            Some(stands) => {
                let record = Zeroizing::new(encode(stands));
                self.persist(Change::Write(Key::stands(), record));
            }
            None if self.stands.is_some() => self.persist(Change::Erase(Key::stands())),
            None => {}
        }
        self.stands = stands;
    }
}

/// The stands that were kept.
pub(super) fn restore(kept: &Records) -> Result<Option<Stands>, Unreadable> {
    let key = Key::stands();
    kept.get(&key).map(|bytes| record::read(&key, bytes)).transpose()
}
