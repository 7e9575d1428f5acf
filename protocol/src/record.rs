//! What a machine keeps: records under keys, and the changes that make them.
//!
//! A machine hands out changes and never reads its disk; its owner makes them
//! durable in order, and hands all records back at the next start. The changes
//! of one turn belong together: all of them survive, or none.

mod key;
mod sort;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::id::Epoch;

pub use key::{Key, Part};
pub use sort::Sort;

/// A record that is not what was written.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the record {sort:?} of epoch {epoch} at {position} is malformed")]
pub struct Unreadable {
    /// What it holds.
    pub sort: Sort,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its slot or window.
    pub position: u64,
}

impl From<&Key> for Unreadable {
    fn from(key: &Key) -> Self {
        Self { sort: key.sort, epoch: key.epoch, position: key.position }
    }
}

/// Reads an encoded record.
pub(crate) fn read<T: DeserializeOwned>(key: &Key, bytes: &[u8]) -> Result<T, Unreadable> {
    ciborium::from_reader(bytes).map_err(|_| key.into())
}

/// A change of what is kept.
pub enum Change {
    /// A record, in place of the one under its key if there is one.
    Write(Key, Zeroizing<Vec<u8>>),
    /// No record under the key any more.
    Erase(Key),
    /// No record of a sort and epoch any more at a position before this one.
    EraseBefore(Sort, Epoch, u64),
}

/// A record may be secret: Debug says where it stands and no more.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(key, _) => write!(f, "Write({key:?}, ..)"),
            Self::Erase(key) => write!(f, "Erase({key:?})"),
            Self::EraseBefore(sort, epoch, position) => {
                write!(f, "EraseBefore({sort:?}, {epoch}, {position})")
            }
        }
    }
}

/// All records of a machine.
#[derive(Default)]
pub struct Records(BTreeMap<Key, Zeroizing<Vec<u8>>>);

impl Records {
    /// Makes a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Write(key, value) => {
                self.0.insert(key, value);
            }
            Change::Erase(key) => {
                self.0.remove(&key);
            }
            Change::EraseBefore(sort, epoch, position) => self.0.retain(|key, _| {
                (key.sort, key.epoch) != (sort, epoch) || key.position >= position
            }),
        }
    }

    /// The record under a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&[u8]> {
        self.0.get(key).map(|value| value.as_slice())
    }

    /// All records of a sort, in the order of their keys.
    pub fn of(&self, sort: Sort) -> impl Iterator<Item = (&Key, &[u8])> {
        self.from(sort, Epoch::default()).take_while(move |(key, _)| key.sort == sort)
    }

    /// All records of a sort in an epoch, in the order of their keys.
    pub fn within(&self, sort: Sort, epoch: Epoch) -> impl Iterator<Item = (&Key, &[u8])> {
        let is_within = move |key: &Key| (key.sort, key.epoch) == (sort, epoch);
        self.from(sort, epoch).take_while(move |(key, _)| is_within(key))
    }

    fn from(&self, sort: Sort, epoch: Epoch) -> impl Iterator<Item = (&Key, &[u8])> {
        let records = self.0.range(Key::at(sort, epoch, 0, String::new())..);
        records.map(|(key, value)| (key, value.as_slice()))
    }
}

impl FromIterator<(Key, Zeroizing<Vec<u8>>)> for Records {
    fn from_iter<I: IntoIterator<Item = (Key, Zeroizing<Vec<u8>>)>>(records: I) -> Self {
        Self(records.into_iter().collect())
    }
}

/// Records may be secret: Debug counts them and no more.
impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::slot::Slot;

    use super::*;

    fn records(slots: impl IntoIterator<Item = u64>) -> Records {
        let record = |slot| (Key::sent(Epoch(1), Slot(slot)), vec![7].into());
        slots.into_iter().map(record).collect()
    }

    #[test]
    fn what_lies_before_a_position_is_erased_in_its_epoch_alone() {
        let mut records = records(0..4);
        records.apply(Change::Write(Key::sent(Epoch(2), Slot(0)), vec![7].into()));
        records.apply(Change::EraseBefore(Sort::Sent, Epoch(1), 3));
        let left: Vec<_> =
            records.of(Sort::Sent).map(|(key, _)| (key.epoch.0, key.position)).collect();
        assert_eq!(left, [(1, 3), (2, 0)]);
    }

    #[test]
    fn no_debug_shows_what_a_record_holds() {
        let change = Change::Write(Key::key_share(Epoch(1)), b"secret".to_vec().into());
        let shown = format!("{change:?} {:?}", records(0..2));
        assert!(!shown.contains("115") && shown.contains("Records(2)"), "{shown}");
    }
}
