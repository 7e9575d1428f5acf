//! What a daemon's machines keep: whole commits, durable before anything that
//! follows them leaves the machine.

mod sqlite;
mod turns;

use protocol::record::{Change, Records};
use thiserror::Error;

pub use sqlite::Sqlite;
pub use turns::Turns;

/// Where a machine's records survive.
pub trait Store {
    /// All records.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn load(&self) -> anyhow::Result<Records>;

    /// Makes changes durable, all of them or none.
    ///
    /// # Errors
    /// [`CommitError`], which says whether the same changes may be tried again.
    fn commit(&mut self, changes: &[Change]) -> Result<(), CommitError>;
}

/// Why changes are not known to be durable. Neither says what they hold.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CommitError {
    /// None of them was made, and the same ones may be tried again: space or a
    /// permission is missing that may come back.
    #[error("{reason}; nothing is lost, and it is tried again until there is space: free some")]
    Full {
        /// Where, and what the store says.
        reason: String,
    },
    /// What is on the disk is not known any more. After a write or an fsync
    /// that failed the operating system may have dropped what it held, and a
    /// second attempt that succeeds proves nothing: the process ends, and the
    /// next one reads what is there.
    #[error("{reason}; what is on the disk is not certain, so this process ends")]
    Uncertain {
        /// Where, and what the store says.
        reason: String,
    },
}
