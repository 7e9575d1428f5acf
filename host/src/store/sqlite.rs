//! Records in an SQLite database.

use std::fs::File;
use std::path::{Path, PathBuf};

use protocol::record::{Change, Key, Records, Sort};
use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi};

use super::beside::open_to_read;
use super::rows::{load, make, unsigned};
use super::{CommitError, OpenError, Store, damage, log, schema};
use crate::keystore::Keystore;

/// The least that is written at once. A commit of a meter changes two to four
/// places: with pages of 4,096 bytes it writes twice as much.
const PAGE_BYTES: u32 = 512;

/// How other processes read a database while its owner runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// The file itself. Beside it is an index of the log, in a file that all
    /// share: 12 KB of it change with a commit, and go to the disk as soon as
    /// the operating system writes what is 30 s old.
    OfTheFile,
    /// A copy, by [`super::read_copy`]. The index is in the owner's memory.
    OfCopies,
}

/// A database in a file of its owner's alone.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
}

impl Sqlite {
    /// Opens the database `name` in a folder of private files, and makes it if
    /// there is none. One that its last owner has not closed is checked first.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(keystore: &Keystore, name: &str, readers: Readers) -> Result<Self, OpenError> {
        let path = keystore.private_file(name).map_err(OpenError::Unusable)?;
        match prepared(&path, readers) {
            Ok(connection) => Ok(Self { path, connection }),
            Err(error) => Err(OpenError::of(&path, error)),
        }
    }

    /// Opens the database `name` to look at, also while its owner runs, if that
    /// lets readers in.
    ///
    /// # Errors
    /// As [`Sqlite::open`], and where there is none.
    pub fn open_to_read(keystore: &Keystore, name: &str) -> Result<Self, OpenError> {
        let path = keystore.dir().join(name);
        let connection = open_to_read(&path).and_then(|connection| {
            schema::check_is_filled(&connection)?;
            Ok(connection)
        });
        match connection {
            Ok(connection) => Ok(Self { path, connection }),
            Err(error) => Err(OpenError::of(&path, error)),
        }
    }

    /// The latest position of a record of this sort, in any epoch.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn newest(&self, sort: Sort) -> anyhow::Result<Option<u64>> {
        let sql = "SELECT max(position) FROM records WHERE sort = ?";
        let newest: Option<i64> =
            self.connection.query_row(sql, (sort.number(),), |row| row.get(0))?;
        Ok(newest.map(unsigned))
    }

    /// The records under the keys that are wanted. Only these are read.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn load_some(&self, wanted: impl Fn(&Key) -> bool) -> anyhow::Result<Records> {
        load(&self.connection, wanted)
    }

    /// How many bytes the database and its log take up.
    ///
    /// # Errors
    /// Where that cannot be found out.
    pub fn size(&self) -> anyhow::Result<u64> {
        let bytes = |path: &Path| Ok::<_, std::io::Error>(std::fs::metadata(path)?.len());
        Ok(bytes(&self.path)? + bytes(&log::path_of(&self.path))?)
    }

    /// Takes a turn among the readers and reads the header: for an owner that
    /// has nothing to commit, and wants to know whether the database answers.
    ///
    /// # Errors
    /// As of a commit that changes nothing.
    pub fn answer(&self) -> Result<(), CommitError> {
        let pages = self.connection.pragma_query_value(None, "page_count", |row| row.get(0));
        pages.map(|_: i64| ()).map_err(|error| self.refusal(&error))
    }

    /// Closes the database: the next owner need not check it.
    ///
    /// # Errors
    /// Where that could not be noted; all that was committed is durable.
    pub fn close(self) -> Result<(), CommitError> {
        let closed = schema::set_clean(&self.connection, true);
        closed.map_err(|error| self.refusal(&error))
    }
}

/// A connection to a database that is whole and of the newest form.
fn prepared(path: &Path, readers: Readers) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(path)?;
    if readers == Readers::OfCopies {
        // Before the log is looked at: its index is in memory then.
        connection.pragma_update(None, "locking_mode", "exclusive")?;
    }
    // Without effect on a file that has pages already.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    log::set_journal(&connection, "wal")?;
    // A commit is on the disk before it returns.
    connection.pragma_update(None, "synchronous", "full")?;
    // What is erased is overwritten, as far as the disk does so.
    connection.pragma_update(None, "secure_delete", "on")?;
    // Nothing of a record goes into a file elsewhere.
    connection.pragma_update(None, "temp_store", "memory")?;
    log::limit(&mut connection)?;
    if !schema::is_clean(&connection)? {
        damage::check_timed(&connection, path)?;
    }
    schema::migrate(&mut connection)?;
    schema::set_clean(&connection, false)?;
    // The log's name; SQLite does not look whether that could be written.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    Ok(connection)
}

impl Store for Sqlite {
    fn load(&self) -> anyhow::Result<Records> {
        self.load_some(|_| true)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), CommitError> {
        self.make_all(changes).map_err(|error| self.refusal(&error))
    }
}

impl Sqlite {
    fn make_all(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        changes.iter().try_for_each(|change| make(&transaction, change))?;
        transaction.commit()
    }

    fn refusal(&self, error: &rusqlite::Error) -> CommitError {
        let reason = format!("{}: {error}", self.path.display());
        // A transaction that could not be rolled back is no certain end.
        if self.connection.is_autocommit() && leaves_the_disk_as_it_was(error) {
            CommitError::Full { reason }
        } else {
            CommitError::Uncertain { reason }
        }
    }
}

/// Whether a transaction that failed so has certainly changed nothing: there is
/// no space, no permission, or no turn among those who write. An error of a
/// read, a write or an fsync is none of these, nor is one that is not known.
pub(super) fn leaves_the_disk_as_it_was(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else { return false };
    // The index of the log beside the database, which no fsync concerns, has no
    // space to grow.
    error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
        || matches!(
            error.code,
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
        )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use protocol::id::Epoch;
    use protocol::slot::Slot;

    use super::*;

    fn folder() -> (tempfile::TempDir, Keystore) {
        let dir = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(&dir.path().join("state")).unwrap();
        (dir, keystore)
    }

    fn opened(keystore: &Keystore) -> Sqlite {
        Sqlite::open(keystore, "meter.db", Readers::OfTheFile).unwrap()
    }

    fn sent(slot: u64, value: u8) -> Change {
        Change::Write(Key::sent(Epoch(1), Slot(slot)), vec![value].into())
    }

    fn slots(store: &impl Store) -> Vec<u64> {
        store.load().unwrap().of(Sort::Sent).map(|(key, _)| key.position).collect()
    }

    #[test]
    fn what_was_committed_is_there_after_a_restart() {
        let (_dir, keystore) = folder();
        let mut store = opened(&keystore);
        store.commit(&[sent(1, 1), sent(u64::MAX, 2), sent(1, 3)]).unwrap();
        drop(store);
        let records = opened(&keystore).load().unwrap();
        let found: Vec<_> = records.of(Sort::Sent).map(|(key, v)| (key.position, v[0])).collect();
        assert_eq!(found, [(1, 3), (u64::MAX, 2)]);
    }

    #[test]
    fn records_are_loaded_that_are_wanted_and_no_others() {
        let (_dir, keystore) = folder();
        let mut store = opened(&keystore);
        store.commit(&(0..5).map(|slot| sent(slot, 1)).collect::<Vec<_>>()).unwrap();
        let records = store.load_some(|key| key.position > 2).unwrap();
        let found: Vec<_> = records.of(Sort::Sent).map(|(key, _)| key.position).collect();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn erased_records_are_gone_from_the_file() {
        let (_dir, keystore) = folder();
        let mut store = opened(&keystore);
        let secret = b"a key share that is erased at its epoch's end".to_vec();
        let key = Key::key_share(Epoch(1));
        store.commit(&[Change::Write(key.clone(), secret.clone().into())]).unwrap();
        store.commit(&[Change::Erase(key)]).unwrap();
        drop(store);
        let file = std::fs::read(keystore.dir().join("meter.db")).unwrap();
        assert!(!file.windows(secret.len()).any(|bytes| bytes == secret));
    }

    #[test]
    fn what_lies_before_a_position_is_erased() {
        let (_dir, keystore) = folder();
        let mut store = opened(&keystore);
        store.commit(&(0..5).map(|slot| sent(slot, 1)).collect::<Vec<_>>()).unwrap();
        store.commit(&[Change::EraseBefore(Sort::Sent, Epoch(1), 3)]).unwrap();
        assert_eq!(slots(&store), [3, 4]);
    }

    #[test]
    fn a_database_is_its_owners_alone_and_can_be_looked_at_meanwhile() {
        let (_dir, keystore) = folder();
        let mut store = opened(&keystore);
        store.commit(&[sent(1, 1)]).unwrap();
        for file in ["meter.db", "meter.db-wal"] {
            let mode = std::fs::metadata(keystore.dir().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        assert_eq!(slots(&Sqlite::open_to_read(&keystore, "meter.db").unwrap()), [1]);
    }

    #[test]
    fn a_database_of_a_newer_version_or_another_program_is_refused() {
        let (_dir, keystore) = folder();
        for (pragma, value, said) in
            [("user_version", 1_000, "newer"), ("application_id", 7, "another program")]
        {
            let store = Sqlite::open(&keystore, pragma, Readers::OfTheFile).unwrap();
            store.connection.pragma_update(None, pragma, value).unwrap();
            drop(store);
            let error =
                format!("{:#}", Sqlite::open(&keystore, pragma, Readers::OfTheFile).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    fn is_full(made: &Result<(), CommitError>) -> bool {
        matches!(made, Err(CommitError::Full { .. }))
    }

    #[test]
    fn a_commit_without_space_changes_nothing_and_may_be_tried_again() {
        let (_dir, keystore) = folder();
        let mut store = opened(&keystore);
        store.commit(&[sent(1, 1)]).unwrap();
        let limit = |store: &Sqlite, pages: i32| {
            store.connection.pragma_update(None, "max_page_count", pages).unwrap();
        };
        limit(&store, 1);
        let large: Vec<_> = (1..50)
            .map(|slot| Change::Write(Key::sent(Epoch(1), Slot(slot)), vec![2; 1_000].into()))
            .collect();
        assert!(is_full(&store.commit(&large)));
        assert_eq!(slots(&store), [1]);
        limit(&store, i32::MAX);
        store.commit(&large).unwrap();
        assert_eq!(slots(&store).len(), 49);
    }

    #[test]
    fn a_commit_while_another_program_writes_may_be_tried_again() {
        let (_dir, keystore) = folder();
        let mut store = opened(&keystore);
        store.connection.busy_timeout(std::time::Duration::ZERO).unwrap();
        let other = Connection::open(keystore.dir().join("meter.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(is_full(&store.commit(&[sent(1, 1)])));
        other.execute_batch("ROLLBACK").unwrap();
        store.commit(&[sent(1, 1)]).unwrap();
    }

    #[test]
    fn every_other_error_leaves_the_disk_uncertain() {
        let (_dir, keystore) = folder();
        let mut store = opened(&keystore);
        store.connection.execute_batch("DROP TABLE records").unwrap();
        let made = store.commit(&[sent(1, 1)]);
        assert!(matches!(made, Err(CommitError::Uncertain { .. })), "{made:?}");
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_CORRUPT] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert!(!leaves_the_disk_as_it_was(&error), "{error}");
        }
    }
}
