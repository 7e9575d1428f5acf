//! Records in an SQLite database.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use protocol::id::Epoch;
use protocol::record::{Change, Key, Records, Sort};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use zeroize::Zeroizing;

use super::{CommitError, Store};
use crate::keystore::Keystore;

/// Marks a file as one of this project's ("hush").
const APPLICATION: i32 = 0x6875_7368;
/// The form of the tables. A file of a newer one is refused.
const SCHEMA: i32 = 1;

/// A database in a file of its owner's alone.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
}

impl Sqlite {
    /// Opens the database `name` in a folder of private files, and makes it if
    /// there is none.
    ///
    /// # Errors
    /// Where it cannot be opened, may be read by others, or is of a newer
    /// version.
    pub fn open(keystore: &Keystore, name: &str) -> anyhow::Result<Self> {
        let path = keystore.private_file(name)?;
        let connection = Connection::open(&path);
        Self::prepare(&path, connection).with_context(|| path.display().to_string())
    }

    /// Opens the database `name` to look at, also while its owner runs.
    ///
    /// # Errors
    /// As [`Sqlite::open`], and where there is none.
    pub fn open_to_read(keystore: &Keystore, name: &str) -> anyhow::Result<Self> {
        let path = keystore.dir().join(name);
        ensure!(path.exists(), "{} does not exist: nothing has run here yet", path.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        check_version(&connection).with_context(|| path.display().to_string())?;
        Ok(Self { path, connection })
    }

    fn prepare(path: &Path, connection: rusqlite::Result<Connection>) -> anyhow::Result<Self> {
        let mut connection = connection?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // A commit is on the disk before it returns.
        connection.pragma_update(None, "synchronous", "full")?;
        // What is erased is overwritten, as far as the disk does so.
        connection.pragma_update(None, "secure_delete", "on")?;
        if version(&connection, "user_version")? == 0 {
            let transaction = connection.transaction()?;
            transaction.execute_batch(
                "CREATE TABLE records (
                    sort INTEGER NOT NULL,
                    epoch INTEGER NOT NULL,
                    position INTEGER NOT NULL,
                    name TEXT NOT NULL,
                    value BLOB NOT NULL,
                    PRIMARY KEY (sort, epoch, position, name)
                ) STRICT, WITHOUT ROWID",
            )?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
            transaction.commit()?;
        }
        check_version(&connection)?;
        Ok(Self { path: path.to_owned(), connection })
    }
}

impl Sqlite {
    /// The records under the keys that are wanted. Only these are read.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn load_some(&self, wanted: impl Fn(&Key) -> bool) -> anyhow::Result<Records> {
        let mut statement =
            self.connection.prepare("SELECT sort, epoch, position, name, value FROM records")?;
        let mut rows = statement.query(())?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let number: u8 = row.get(0)?;
            let Some(sort) = Sort::of(number) else {
                bail!("records of the unknown sort {number}")
            };
            let (epoch, position) = (Epoch(row.get(1)?), unsigned(row.get(2)?));
            let key = Key { sort, epoch, position, name: row.get(3)? };
            if wanted(&key) {
                records.push((key, Zeroizing::new(row.get::<_, Vec<u8>>(4)?)));
            }
        }
        Ok(records.into_iter().collect())
    }
}

impl Store for Sqlite {
    fn load(&self) -> anyhow::Result<Records> {
        self.load_some(|_| true)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), CommitError> {
        let made = self.make_all(changes);
        made.map_err(|error| {
            let reason = format!("{}: {error}", self.path.display());
            // A transaction that could not be rolled back is no certain end.
            if self.connection.is_autocommit() && leaves_the_disk_as_it_was(&error) {
                CommitError::Full { reason }
            } else {
                CommitError::Uncertain { reason }
            }
        })
    }
}

impl Sqlite {
    fn make_all(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        changes.iter().try_for_each(|change| make(&transaction, change))?;
        transaction.commit()
    }
}

/// Whether a transaction that failed so has certainly changed nothing: there is
/// no space, no permission, or no turn among those who write. An error of a
/// read, a write or an fsync is none of these, nor is one that is not known.
fn leaves_the_disk_as_it_was(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else { return false };
    // The index of the log beside the database, which no fsync concerns, has no
    // space to grow.
    error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
        || matches!(
            error.code,
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
        )
}

fn make(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Write(Key { sort, epoch, position, name }, value) => transaction
            .prepare_cached("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)")?
            .execute(params![sort.number(), epoch.0, signed(*position), name, value.as_slice()]),
        Change::Erase(Key { sort, epoch, position, name }) => transaction
            .prepare_cached(
                "DELETE FROM records WHERE sort = ? AND epoch = ? AND position = ? AND name = ?",
            )?
            .execute(params![sort.number(), epoch.0, signed(*position), name]),
        Change::EraseBefore(sort, epoch, position) => transaction
            .prepare_cached("DELETE FROM records WHERE sort = ? AND epoch = ? AND position < ?")?
            .execute(params![sort.number(), epoch.0, signed(*position)]),
    }
    .map(|_| ())
}

/// SQLite's integers are signed: the same order, half of it below zero.
fn signed(position: u64) -> i64 {
    (position ^ (1 << 63)).cast_signed()
}

fn unsigned(position: i64) -> u64 {
    position.cast_unsigned() ^ (1 << 63)
}

fn version(connection: &Connection, pragma: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

fn check_version(connection: &Connection) -> anyhow::Result<()> {
    let (application, schema) =
        (version(connection, "application_id")?, version(connection, "user_version")?);
    ensure!(
        (application, schema) != (0, 0),
        "it is empty: its owner is about to start, or nothing has run here yet"
    );
    ensure!(application == APPLICATION, "another program's database");
    ensure!(
        schema <= SCHEMA,
        "its version is {schema} and this program knows {SCHEMA}: install a newer one"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use protocol::slot::Slot;

    use super::*;

    fn folder() -> (tempfile::TempDir, Keystore) {
        let dir = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(&dir.path().join("state")).unwrap();
        (dir, keystore)
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
        let mut store = Sqlite::open(&keystore, "meter.db").unwrap();
        store.commit(&[sent(1, 1), sent(u64::MAX, 2), sent(1, 3)]).unwrap();
        drop(store);
        let records = Sqlite::open(&keystore, "meter.db").unwrap().load().unwrap();
        let found: Vec<_> = records.of(Sort::Sent).map(|(key, v)| (key.position, v[0])).collect();
        assert_eq!(found, [(1, 3), (u64::MAX, 2)]);
    }

    #[test]
    fn records_are_loaded_that_are_wanted_and_no_others() {
        let (_dir, keystore) = folder();
        let mut store = Sqlite::open(&keystore, "meter.db").unwrap();
        store.commit(&(0..5).map(|slot| sent(slot, 1)).collect::<Vec<_>>()).unwrap();
        let records = store.load_some(|key| key.position > 2).unwrap();
        let found: Vec<_> = records.of(Sort::Sent).map(|(key, _)| key.position).collect();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn erased_records_are_gone_from_the_file() {
        let (_dir, keystore) = folder();
        let mut store = Sqlite::open(&keystore, "meter.db").unwrap();
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
        let mut store = Sqlite::open(&keystore, "meter.db").unwrap();
        store.commit(&(0..5).map(|slot| sent(slot, 1)).collect::<Vec<_>>()).unwrap();
        store.commit(&[Change::EraseBefore(Sort::Sent, Epoch(1), 3)]).unwrap();
        assert_eq!(slots(&store), [3, 4]);
    }

    #[test]
    fn a_database_is_its_owners_alone_and_can_be_looked_at_meanwhile() {
        let (_dir, keystore) = folder();
        let mut store = Sqlite::open(&keystore, "meter.db").unwrap();
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
            [("user_version", SCHEMA + 1, "newer"), ("application_id", 7, "another program")]
        {
            let store = Sqlite::open(&keystore, pragma).unwrap();
            store.connection.pragma_update(None, pragma, value).unwrap();
            drop(store);
            let error = format!("{:#}", Sqlite::open(&keystore, pragma).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    fn is_full(made: &Result<(), CommitError>) -> bool {
        matches!(made, Err(CommitError::Full { .. }))
    }

    #[test]
    fn a_commit_without_space_changes_nothing_and_may_be_tried_again() {
        let (_dir, keystore) = folder();
        let mut store = Sqlite::open(&keystore, "meter.db").unwrap();
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
        let mut store = Sqlite::open(&keystore, "meter.db").unwrap();
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
        let mut store = Sqlite::open(&keystore, "meter.db").unwrap();
        store.connection.execute_batch("DROP TABLE records").unwrap();
        let made = store.commit(&[sent(1, 1)]);
        assert!(matches!(made, Err(CommitError::Uncertain { .. })), "{made:?}");
        for code in [rusqlite::ffi::SQLITE_IOERR_FSYNC, rusqlite::ffi::SQLITE_CORRUPT] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            assert!(!leaves_the_disk_as_it_was(&error), "{error}");
        }
    }
}
