//! The stores, and commits to try them with.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use host::Keystore;
use host::store::{CommitError, Readers, Sqlite, Store};
use protocol::Rng;
use protocol::id::Epoch;
use protocol::record::{Change, Key, Records, Sort};
use rand::{RngExt as _, SeedableRng as _};

/// How an implementation opens what is in a folder.
type Opening = fn(&Path) -> Box<dyn Closing>;

/// Every implementation, with its name.
pub(crate) const STORES: &[(&str, Opening)] = &[
    ("sqlite, read in place", |dir| Box::new(sqlite(dir, Readers::OfTheFile))),
    ("sqlite, read in copies", |dir| Box::new(sqlite(dir, Readers::OfCopies))),
];

/// A store that can be closed.
pub(crate) trait Closing: Store {
    /// Takes leave of what is kept.
    fn close(self: Box<Self>) -> Result<(), CommitError>;
}

impl Closing for Sqlite {
    fn close(self: Box<Self>) -> Result<(), CommitError> {
        (*self).close()
    }
}

/// The file of an SQLite store.
pub(crate) const FILE: &str = "meter.db";

pub(crate) fn sqlite(dir: &Path, readers: Readers) -> Sqlite {
    Sqlite::open(&Keystore::open(dir).unwrap(), FILE, readers).unwrap()
}

/// A change as plain numbers, of which any number of changes can be made.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Write { key: (usize, u32, u64, u8), bytes: usize, fill: u8 },
    Erase((usize, u32, u64, u8)),
    EraseBefore((usize, u32, u64)),
}

impl Step {
    pub(crate) fn change(&self) -> Change {
        match self {
            Self::Write { key, bytes, fill } => {
                Change::Write(record_key(*key), vec![*fill; *bytes].into())
            }
            Self::Erase(key) => Change::Erase(record_key(*key)),
            Self::EraseBefore((sort, epoch, position)) => {
                Change::EraseBefore(sort_of(*sort), Epoch(*epoch), *position)
            }
        }
    }
}

fn sort_of(number: usize) -> Sort {
    Sort::ALL[number % Sort::ALL.len()]
}

fn record_key((sort, epoch, position, name): (usize, u32, u64, u8)) -> Key {
    let name = if name == 0 { String::new() } else { format!("m-{name}") };
    Key { sort: sort_of(sort), epoch: Epoch(epoch), position, name }
}

pub(crate) fn changes(steps: &[Step]) -> Vec<Change> {
    steps.iter().map(Step::change).collect()
}

/// Commits as a meter makes them, one of eight with values of up to `large`
/// bytes; the same for the same seed.
pub(crate) fn commits(seed: u64, count: u64, large: usize) -> Vec<Vec<Step>> {
    let mut rng = Rng::seed_from_u64(seed);
    let mut commit = |position: u64| {
        let large = if position % 8 == 7 { large } else { 700 };
        let mut write = |sort, position| Step::Write {
            key: (sort, 1, position, 0),
            bytes: rng.random_range(1..large),
            fill: rng.random(),
        };
        let mut steps = vec![write(4, position), write(3, 0), write(5, position / 2)];
        if position.is_multiple_of(10) {
            steps.push(Step::EraseBefore((4, 1, position.saturating_sub(15))));
            steps.push(Step::Erase((5, 1, position / 4, 0)));
        }
        steps
    };
    (0..count).map(&mut commit).collect()
}

/// What a store holds, as it is compared: keys, with lengths and digests of the
/// values.
pub(crate) type State = Vec<(Key, usize, u64)>;

/// What is kept after each number of commits, from none on.
pub(crate) fn states(commits: &[Vec<Step>]) -> Vec<State> {
    let mut records = Records::default();
    let mut states = vec![listed(&records)];
    for steps in commits {
        for change in changes(steps) {
            records.apply(change);
        }
        states.push(listed(&records));
    }
    states
}

/// What records are, to be compared.
pub(crate) fn listed(records: &Records) -> State {
    let digest = |value: &[u8]| {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    };
    let all = Sort::ALL.iter().flat_map(|sort| records.of(*sort));
    all.map(|(key, value)| (key.clone(), value.len(), digest(value))).collect()
}
