//! What a daemon's machines keep: whole commits, durable before anything that
//! follows them leaves the machine.

mod aside;
pub mod backup;
mod beside;
mod damage;
mod log;
mod rows;
mod schema;
mod sqlite;
mod turns;

use std::path::{Path, PathBuf};

use protocol::record::{Change, Records};
use thiserror::Error;

pub use aside::set_aside;
pub use beside::read_copy;
pub use sqlite::{Readers, Sqlite};
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

/// Why a database cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// What is in the file is not what was written.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be opened, may be read by others, or is of a newer version.
    #[error("{0:#}")]
    Unusable(anyhow::Error),
}

impl OpenError {
    fn of(path: &Path, error: anyhow::Error) -> Self {
        if damage::is_found(&error) {
            Self::Damaged { path: path.to_owned(), reason: format!("{error:#}") }
        } else {
            Self::Unusable(error.context(path.display().to_string()))
        }
    }
}
