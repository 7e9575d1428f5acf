//! Databases of older forms, and those that nobody can use any more.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use host::Keystore;
use host::store::{OpenError, Readers, Sqlite, Store as _, backup, set_aside};
use protocol::id::Epoch;
use protocol::record::{Key, Sort};
use protocol::slot::{Slot, Timestamp};
use rusqlite::Connection;

use crate::suite::{FILE, changes, commits, listed, sqlite, states};

fn folder() -> (tempfile::TempDir, Keystore) {
    let dir = tempfile::tempdir().unwrap();
    let keystore = Keystore::open(&dir.path().join("state")).unwrap();
    (dir, keystore)
}

fn opened(keystore: &Keystore) -> Result<Sqlite, OpenError> {
    Sqlite::open(keystore, FILE, Readers::OfTheFile)
}

/// Overwrites a page of records.
fn damage(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT pgoffset, pgsize FROM dbstat WHERE name = 'records' AND pagetype = 'leaf'";
    let (at, length) = connection
        .query_row(sql, (), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .map(|(at, length)| (usize::try_from(at).unwrap(), usize::try_from(length).unwrap()))
        .unwrap();
    drop(connection);
    let mut bytes = fs::read(path).unwrap();
    bytes[at..at + length].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

/// A folder whose database was filled and left so.
fn left(is_closed: bool) -> (tempfile::TempDir, Keystore) {
    let (dir, keystore) = folder();
    let mut store = opened(&keystore).unwrap();
    for steps in commits(1, 20, 9_000) {
        store.commit(&changes(&steps)).unwrap();
    }
    if is_closed {
        store.close().unwrap();
    }
    (dir, keystore)
}

#[test]
fn a_database_of_the_first_schema_is_taken_over_with_a_record_of_every_sort_that_it_had() {
    let (_dir, keystore) = folder();
    let path = keystore.private_file(FILE).unwrap();
    let old = Connection::open(path).unwrap();
    old.execute_batch(include_str!("schema-1.sql")).unwrap();
    drop(old);
    for _ in 0..2 {
        let records = opened(&keystore).unwrap().load().unwrap();
        for number in 1..=22 {
            let sort = Sort::of(number).unwrap();
            let found: Vec<_> = records.of(sort).map(|(_, value)| value).collect();
            assert_eq!(found, [[number]], "{sort:?}");
        }
        assert!(records.get(&Key::sent(Epoch(1), Slot(29_166_667))).is_some());
    }
}

#[test]
fn a_database_that_was_not_closed_is_checked_and_a_damaged_one_refused() {
    let (_dir, keystore) = left(false);
    damage(&keystore.dir().join(FILE));
    let refused = opened(&keystore).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
}

#[test]
fn a_database_that_was_closed_opens_without_a_check() {
    let (_dir, keystore) = left(true);
    damage(&keystore.dir().join(FILE));
    // Found by who reads it; the check would have found it before.
    assert!(opened(&keystore).is_ok());
    assert!(matches!(opened(&keystore), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_file_that_is_no_database_is_damaged_and_one_that_others_may_read_is_not() {
    let (_dir, keystore) = folder();
    keystore.write(FILE, &[7; 5_000]).unwrap();
    assert!(matches!(opened(&keystore), Err(OpenError::Damaged { .. })));
    let open_to_all = fs::Permissions::from_mode(0o644);
    fs::set_permissions(keystore.dir().join(FILE), open_to_all).unwrap();
    assert!(matches!(opened(&keystore), Err(OpenError::Unusable(_))));
}

#[test]
fn a_database_that_is_put_aside_is_whole_there_and_an_empty_one_takes_its_place() {
    let (_dir, keystore) = left(false);
    // What is in the log alone goes with it.
    let log = keystore.dir().join(format!("{FILE}-wal"));
    let running = opened(&keystore).unwrap();
    assert!(File::open(&log).is_ok());
    let aside = set_aside(&keystore, FILE, Timestamp(1_750_000_000_000)).unwrap();
    assert_eq!(aside, keystore.dir().join(format!("{FILE}.corrupt-20250615T150640Z")));
    assert!(File::open(log).is_err());
    drop(running);
    assert_eq!(listed(&opened(&keystore).unwrap().load().unwrap()), []);
    fs::rename(&aside, keystore.dir().join(FILE)).unwrap();
    assert_eq!(
        listed(&sqlite(keystore.dir(), Readers::OfTheFile).load().unwrap()),
        states(&commits(1, 20, 9_000))[20]
    );
}

#[test]
fn a_copy_is_of_one_moment_whatever_is_committed_meanwhile() {
    let (_dir, keystore) = folder();
    let before = commits(1, 24, 300_000);
    let mut running = opened(&keystore).unwrap();
    for steps in &before {
        running.commit(&changes(steps)).unwrap();
    }
    let copy = keystore.private_file("copy.db").unwrap();
    let mut later = commits(2, 3, 9_000).into_iter();
    backup::copy(&keystore, FILE, &copy, |_, _| {
        let steps = later.next().unwrap_or_default();
        running.commit(&changes(&steps)).unwrap();
    })
    .unwrap();
    assert!(later.len() < 3);
    let expected = &states(&before)[24];
    assert_eq!(listed(&backup::verify(&copy).unwrap()), *expected);
    assert_ne!(listed(&running.load().unwrap()), *expected);
}
