//! Databases that are not what was written.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::clock;

/// What an integrity check has found.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Damage(String);

/// Refuses a damaged database, with the first thing that is wrong.
pub(super) fn check(connection: &Connection) -> anyhow::Result<()> {
    let sql = "PRAGMA integrity_check(1)";
    let said: String = connection.query_row(sql, (), |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(Damage(said).into()) }
}

/// The same, and says how long it took; an empty database is whole.
pub(super) fn check_timed(connection: &Connection, path: &Path) -> anyhow::Result<()> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages == 0 {
        return Ok(());
    }
    let begun = clock::monotonic();
    check(connection)?;
    tracing::info!(
        path = %path.display(),
        ms = begun.elapsed().as_millis(),
        "the database was not closed, and is whole",
    );
    Ok(())
}

/// Whether an error says that what is in the file is not what was written.
pub(super) fn is_found(error: &anyhow::Error) -> bool {
    let code = || error.downcast_ref::<rusqlite::Error>()?.sqlite_error_code();
    error.is::<Damage>()
        || matches!(code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
