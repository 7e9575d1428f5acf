//! A region in which one home alone uses energy, behind a register that only
//! counts up: then the region's sums tell what of it was counted, and how often.

use std::collections::BTreeMap;

use aggregation::Plain;
use protocol::id::Digest;
use protocol::message::Subject;
use protocol::meter::{Measured, Quantities, Stand, Stands, Uncounted};
use protocol::parameters::Parameters;
use protocol::slot::Slot;

use super::region::{IMPORT, MEMBERS, Region};

/// The meter of the home.
pub(crate) const HOME: usize = MEMBERS - 1;

pub(crate) struct Home {
    pub(crate) street: Region<Plain>,
    /// What the register shows at the end of each position, in Wh.
    register: Vec<u64>,
    /// Sums of the region by slot, as they were said first.
    sums: BTreeMap<Slot, u64>,
}

fn import(wh: u64) -> Quantities {
    Quantities::from([(IMPORT, wh)])
}

fn stands(wh: u64) -> Stands {
    Stands::from([(IMPORT, Stand { series: Digest::LAST, wh })])
}

impl Home {
    pub(crate) fn open(parameters: Parameters) -> Self {
        let mut street = Region::open_with(MEMBERS, parameters);
        let first = street.slot(0);
        let measured = Measured { energy: &Quantities::new(), stands: Some(&stands(0)) };
        street.meters[HOME].handle_gap((first, first), measured);
        street.drain(HOME);
        Self { street, register: Vec::new(), sums: BTreeMap::new() }
    }

    /// Lets slots pass in which the home uses more each time. Its agent runs
    /// if `is_up`, and is heard if `is_heard`.
    pub(crate) fn let_pass(
        &mut self,
        positions: std::ops::Range<u64>,
        is_up: bool,
        is_heard: bool,
    ) {
        for position in positions {
            let before = self.shown_at(position);
            self.register.push(before + 10 + position);
            let slot = self.street.end_slot(position);
            self.street.offline = (!(is_up && is_heard)).then_some(HOME).into_iter().collect();
            for at in 0..HOME {
                self.street.meters[at].handle_reading(slot, &import(0), self.street.now);
            }
            if is_up {
                self.hand_in(position);
            }
            self.street.close(slot);
            self.note_sums();
        }
        self.street.offline.clear();
    }

    /// The agent starts again, with an older disk if there is one.
    pub(crate) fn start(&mut self, disk: Option<protocol::record::Records>) {
        match disk {
            Some(disk) => drop(self.street.roll_back(HOME, disk)),
            None => drop(self.street.restart(HOME)),
        }
        self.street.meters[HOME].handle_connected(self.street.now);
        self.street.deliver();
    }

    /// What the register shows at the start of a position.
    fn shown_at(&self, position: u64) -> u64 {
        let last = usize::try_from(position).unwrap().checked_sub(1);
        last.map_or(0, |last| self.register[last])
    }

    /// What the agent does at the end of a slot: what was not given before is
    /// a gap, and the slot is a reading.
    fn hand_in(&mut self, position: u64) {
        self.fill_gap(position);
        let slot = self.street.slot(position);
        let used = self.shown_at(position + 1) - self.shown_at(position);
        let (energy, shown) = (import(used), stands(self.shown_at(position + 1)));
        let measured = Measured { energy: &energy, stands: Some(&shown) };
        self.street.meters[HOME].handle_reading(slot, measured, self.street.now);
        self.street.deliver();
    }

    /// Gives what was used before a position and not given.
    pub(crate) fn fill_gap(&mut self, position: u64) {
        let slot = self.street.slot(position);
        let grid = *self.street.roster.grid();
        let until = self.street.meters[HOME].measured_until().unwrap();
        if until < grid.start(slot) {
            let energy = import(self.shown_at(position) - self.given());
            let shown = stands(self.shown_at(position));
            let measured = Measured { energy: &energy, stands: Some(&shown) };
            let first = grid.slot_at(until);
            self.street.meters[HOME].handle_gap((first, slot), measured);
            self.street.deliver();
        }
    }

    fn note_sums(&mut self) {
        for result in self.street.results() {
            if matches!(result.subject, Subject::Region(_)) {
                self.sums.insert(result.first_slot, result.sum_wh);
            }
        }
    }

    /// Energy in Wh that sums of the region hold.
    pub(crate) fn counted(&self) -> u64 {
        self.sums.values().sum()
    }

    pub(crate) fn uncounted(&self) -> Uncounted {
        self.street.meters[HOME].uncounted().get(&IMPORT).copied().unwrap_or_default()
    }

    /// Energy in Wh that the meter was given.
    pub(crate) fn given(&self) -> u64 {
        self.street.meters[HOME].stands().unwrap()[&IMPORT].wh
    }

    /// Energy in Wh that the register has counted.
    pub(crate) fn used(&self) -> u64 {
        self.register.last().copied().unwrap_or(0)
    }
}
