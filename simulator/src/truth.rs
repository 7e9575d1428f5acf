//! What the meters read.

use std::collections::BTreeMap;

use protocol::reading::Register;
use protocol::slot::Slot;

#[derive(Clone, Copy)]
enum Pattern {
    Powers(u32),
    Always(u64),
}

/// Every reading of a world, in Wh.
#[derive(Clone)]
pub struct Truth {
    pattern: Pattern,
    corrections: BTreeMap<(u16, Register, Slot), u64>,
}

impl Truth {
    /// Readings that prove by their sum what is in it: meter i reads
    /// 2^((i + slot) mod `digits`). In a slot no two of up to `digits` meters
    /// read the same, nor does a meter in two of up to `digits` slots in a
    /// row: a sum of distinct powers has one explanation, and what is added
    /// twice or left out shows. The export register is one power ahead.
    #[must_use]
    pub fn powers(digits: u32) -> Self {
        Self { pattern: Pattern::Powers(digits.max(1)), corrections: BTreeMap::new() }
    }

    /// The same reading everywhere.
    #[must_use]
    pub fn always(wh: u64) -> Self {
        Self { pattern: Pattern::Always(wh), corrections: BTreeMap::new() }
    }

    /// Sets one reading.
    pub fn correct(&mut self, meter: u16, register: Register, slot: Slot, wh: u64) {
        self.corrections.insert((meter, register, slot), wh);
    }

    /// What a meter reads.
    #[must_use]
    pub fn wh(&self, meter: u16, register: Register, slot: Slot) -> u64 {
        if let Some(wh) = self.corrections.get(&(meter, register, slot)) {
            return *wh;
        }
        match self.pattern {
            Pattern::Always(wh) => wh,
            Pattern::Powers(digits) => {
                let ahead = u64::from(register == Register::Export);
                1 << ((u64::from(meter) + slot.0 + ahead) % u64::from(digits))
            }
        }
    }
}
