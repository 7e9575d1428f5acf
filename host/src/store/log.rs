//! The log beside a database, which SQLite calls WAL: what was committed is in
//! it until it is copied into the database.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::sqlite::leaves_the_disk_as_it_was;

/// The log is copied into the database once it is of this size. A larger one
/// saves little: each page that was added is copied once at least.
const LOG_BYTES: u32 = 4 << 20;

/// The log of the database at a path.
pub(super) fn path_of(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", database.display()))
}

/// Chooses the kind of journal: `wal` is a log beside the database. The mode is
/// said first, and whether it could be written comes with the statement's end:
/// who takes the first row alone goes on with the old one.
pub(super) fn set_journal(connection: &Connection, mode: &str) -> anyhow::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA journal_mode = {mode}"))?;
    let said = statement.query_map((), |row| row.get(0))?;
    let modes = said.collect::<rusqlite::Result<Vec<String>>>()?;
    ensure!(modes == [mode], "its journal cannot be {mode}: it is {modes:?}");
    Ok(())
}

/// Copies the log into the database when it is long enough. SQLite would do so
/// by itself, and swallow an fsync that fails.
pub(super) fn limit(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_size_limit", 2 * LOG_BYTES)?;
    let page: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let most = i32::try_from(LOG_BYTES / page).unwrap_or(i32::MAX);
    connection.wal_hook(Some(
        move |log: &mut Wal, pages| {
            if pages < most { Ok(()) } else { log.checkpoint().or_else(forgive) }
        },
    ))
}

/// The commit itself is made: what has no space, or a reader in its way, is
/// tried again after the next one.
fn forgive(error: rusqlite::Error) -> rusqlite::Result<()> {
    if leaves_the_disk_as_it_was(&error) { Ok(()) } else { Err(error) }
}
