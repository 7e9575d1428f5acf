//! A party's disk: what was committed survives, whole or not at all. That
//! holds of the store of the daemons by a suite of its own.

use std::collections::VecDeque;

use protocol::record::{Change, Records, Sort};

/// How many commits a disk that lies holds back.
const HELD_BACK: usize = 6;

/// The records of a party.
#[derive(Default)]
pub(crate) struct Disk {
    records: Records,
    /// Commits that the disk says are durable, and are not.
    unsynced: VecDeque<Vec<Change>>,
    is_lying: bool,
}

impl Disk {
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// From now on the last commits are lost with the power, although the disk
    /// says that they are durable: what no promise survives, to put the judge
    /// on trial.
    pub(crate) fn lie(&mut self) {
        self.is_lying = true;
    }

    /// Makes the changes of one turn durable.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) {
        self.unsynced.push_back(changes);
        let held_back = if self.is_lying { HELD_BACK } else { 0 };
        while self.unsynced.len() > held_back {
            let durable = self.unsynced.pop_front();
            durable.into_iter().flatten().for_each(|change| self.records.apply(change));
        }
    }

    /// Loses what is not durable.
    pub(crate) fn lose_power(&mut self) {
        self.unsynced.clear();
    }

    /// A copy of all that is durable.
    pub(crate) fn backup(&self) -> Records {
        let all = Sort::ALL.iter().flat_map(|sort| self.records.of(*sort));
        all.map(|(key, value)| (key.clone(), value.to_vec().into())).collect()
    }

    /// Puts a copy in the place of all that is on the disk.
    pub(crate) fn restore(&mut self, backup: Records) {
        self.unsynced.clear();
        self.records = backup;
    }
}
