//! A folder's lock: two processes on one state would each answer what the
//! other has not written down.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, bail};

use crate::keystore::Keystore;

/// The lock's file. It stays when the lock is gone: the lock is the kernel's,
/// and ends with the process.
const FILE: &str = "lock";

/// That this process alone owns a folder, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a folder of private files.
    ///
    /// # Errors
    /// Where another process has it.
    pub fn take(keystore: &Keystore) -> anyhow::Result<Self> {
        let path = keystore.dir().join(FILE);
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("{} is in use: another process runs on it", keystore.dir().display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(&dir.path().join("state")).unwrap();
        let lock = Lock::take(&keystore).unwrap();
        let refused = Lock::take(&keystore).unwrap_err().to_string();
        assert!(refused.ends_with("is in use: another process runs on it"), "{refused}");
        drop(lock);
        Lock::take(&keystore).unwrap();
    }
}
