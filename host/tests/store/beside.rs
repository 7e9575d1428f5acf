//! Databases that are read beside their owners.

use std::fs;
use std::path::Path;

use host::Keystore;
use host::store::{Readers, Sqlite, Store as _, read_copy};

use crate::disk::folder;
use crate::suite::{FILE, State, changes, commits, listed, sqlite, states};

fn copied(state: &Path) -> State {
    listed(&read_copy(&Keystore::open(state).unwrap(), FILE).unwrap())
}

fn files(state: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let names = fs::read_dir(state).unwrap().map(name);
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_committed_is_read_from_a_copy_while_its_owner_runs_and_afterwards() {
    let dir = folder();
    let state = dir.path().join("state");
    let all = commits(2, 20, 9_000);
    let mut store = sqlite(&state, Readers::OfCopies);
    for steps in &all {
        store.commit(&changes(steps)).unwrap();
    }
    assert_eq!(files(&state), [FILE.to_owned(), format!("{FILE}-wal")]);
    assert_eq!(copied(&state), states(&all)[20]);
    store.close().unwrap();
    assert_eq!(copied(&state), states(&all)[20]);
    assert_eq!(files(&state), [FILE]);
}

#[test]
fn nobody_reads_the_file_of_an_owner_that_has_it_read_in_copies() {
    let dir = folder();
    let state = dir.path().join("state");
    let keystore = Keystore::open(&state).unwrap();
    let store = sqlite(&state, Readers::OfCopies);
    let refused = Sqlite::open_to_read(&keystore, FILE).unwrap_err();
    assert!(format!("{refused:#}").contains("locked"), "{refused:#}");
    drop(store);
    Sqlite::open_to_read(&keystore, FILE).unwrap();
}

#[test]
fn a_database_that_is_not_there_is_not_copied() {
    let dir = folder();
    let state = dir.path().join("state");
    let error = read_copy(&Keystore::open(&state).unwrap(), FILE).unwrap_err();
    assert!(format!("{error:#}").contains("nothing has run here yet"), "{error:#}");
    assert_eq!(files(&state), [""; 0]);
}
