//! Databases read beside their owners.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use protocol::record::Records;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::{log, rows, schema};
use crate::keystore::Keystore;

/// How often a copy is begun.
const ATTEMPTS: u32 = 5;

/// Files in memory: where POSIX shared memory lives on Linux.
const MEMORY: &str = "/dev/shm";

/// The bytes at the beginning of a log that change when it is begun anew.
const LOG_HEADER: usize = 32;

/// All records of the database `name`, whose owner may run and keep it locked:
/// they are read from a copy, which is gone when this returns.
///
/// # Errors
/// Where there is none, or it cannot be copied or read.
pub fn read_copy(keystore: &Keystore, name: &str) -> anyhow::Result<Records> {
    let path = keystore.dir().join(name);
    let read = || {
        check_is_there(&path)?;
        let folder = folder(keystore)?;
        let copy = folder.path().join(name);
        for _ in 0..ATTEMPTS {
            if copied(&path, &copy, || ())? {
                let connection = Connection::open(&copy)?;
                schema::check_is_filled(&connection)?;
                return rows::load(&connection, |_| true);
            }
        }
        bail!("it changes faster than it can be copied: try again")
    };
    read().with_context(|| path.display().to_string())
}

/// Where a copy lies for a moment: in memory, since it holds secrets that are
/// erased from the database one day; beside it where the system has no folder
/// for that.
fn folder(keystore: &Keystore) -> std::io::Result<TempDir> {
    let mut private = tempfile::Builder::new();
    private.permissions(Permissions::from_mode(0o700));
    private.tempdir_in(MEMORY).or_else(|_| private.tempdir_in(keystore.dir()))
}

/// A connection that writes nothing.
pub(super) fn open_to_read(path: &Path) -> anyhow::Result<Connection> {
    check_is_there(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(path, flags)?)
}

fn check_is_there(path: &Path) -> anyhow::Result<()> {
    ensure!(path.exists(), "it does not exist: nothing has run here yet");
    Ok(())
}

/// Copies a database, and then its log: whether they fit together.
///
/// What the owner changes in the database meanwhile it takes from the log, and
/// as long as that is not begun anew it still holds all of it. So the copied log
/// puts right what was copied half. Its last commit may be there in half, and is
/// none then, as after a crash. `between` is called after the one and before the
/// other.
fn copied(path: &Path, copy: &Path, between: impl FnOnce()) -> anyhow::Result<bool> {
    let (from, to) = (log::path_of(path), log::path_of(copy));
    let before = header(&from)?;
    fs::copy(path, copy)?;
    between();
    match fs::copy(&from, &to) {
        Err(error) if error.kind() == ErrorKind::NotFound => File::create(&to).map(|_| 0)?,
        bytes => bytes?,
    };
    Ok(header(&from)? == before)
}

/// The beginning of a log; nothing where there is none.
fn header(log: &Path) -> std::io::Result<Vec<u8>> {
    let mut header = Vec::new();
    match File::open(log) {
        Ok(file) => file.take(LOG_HEADER as u64).read_to_end(&mut header).map(|_| header),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(header),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::Epoch;
    use protocol::record::{Change, Key, Sort};
    use protocol::slot::Slot;

    use super::super::{Readers, Sqlite, Store as _};
    use super::*;

    const FILE: &str = "meter.db";

    /// A folder with an owner that has made so many commits.
    fn owner(commits: u64) -> (TempDir, Sqlite) {
        let dir = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(&dir.path().join("state")).unwrap();
        let mut store = Sqlite::open(&keystore, FILE, Readers::OfCopies).unwrap();
        (0..commits).for_each(|commit| write(&mut store, commit));
        (dir, store)
    }

    /// A commit of 1 MiB in place of what the record before the last one held:
    /// the log is copied with every fourth, and begun anew with the next.
    fn write(store: &mut Sqlite, commit: u64) {
        let fill = u8::try_from(commit).unwrap();
        let change =
            |slot, bytes| Change::Write(Key::sent(Epoch(1), Slot(slot)), vec![fill; bytes].into());
        store.commit(&[change(commit % 2, 1 << 20), change(2, 8)]).unwrap();
    }

    /// A copy that is made while the owner makes the commits of a range, if its
    /// parts fit together: the number of the last commit in each record.
    fn copy(commits: u64, meanwhile: u64) -> Option<Vec<u8>> {
        let (dir, mut store) = owner(commits);
        let path = dir.path().join("state").join(FILE);
        let copy = dir.path().join("copy");
        let go_on = || (commits..commits + meanwhile).for_each(|at| write(&mut store, at));
        if !copied(&path, &copy, go_on).unwrap() {
            return None;
        }
        let connection = Connection::open(&copy).unwrap();
        super::super::damage::check(&connection).unwrap();
        let records = rows::load(&connection, |_| true).unwrap();
        Some(records.of(Sort::Sent).map(|(_, value)| value[0]).collect())
    }

    #[test]
    fn a_copy_is_its_readers_alone() {
        let (dir, _store) = owner(1);
        let keystore = Keystore::open(&dir.path().join("state")).unwrap();
        let folder = folder(&keystore).unwrap();
        let copy = folder.path().join(FILE);
        copied(&keystore.dir().join(FILE), &copy, || ()).unwrap();
        for (path, expected) in
            [(folder.path(), 0o700), (&copy, 0o600), (&log::path_of(&copy), 0o600)]
        {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, expected, "{}", path.display());
        }
    }

    #[test]
    fn a_copy_holds_all_that_was_committed_before_its_log_was_copied() {
        assert_eq!(copy(2, 0), Some(vec![0, 1, 1]));
        assert_eq!(copy(2, 1), Some(vec![2, 1, 2]));
    }

    #[test]
    fn a_copy_is_whole_when_the_log_was_copied_into_the_database_meanwhile() {
        assert_eq!(copy(1, 3), Some(vec![2, 3, 3]));
    }

    #[test]
    fn a_copy_whose_log_was_begun_anew_meanwhile_is_none() {
        assert_eq!(copy(2, 3), None);
        assert_eq!(copy(0, 6), None);
    }
}
