//! The form of the tables, and the steps from one form to the next.

use anyhow::ensure;
use rusqlite::Connection;

/// Marks a file as one of this project's ("hush").
const APPLICATION: i32 = 0x6875_7368;

/// Step n leads from form n to form n + 1, in one transaction with the number.
/// A step that has been released never changes, and none leads back.
const STEPS: [&str; 2] = [
    "CREATE TABLE records (
        sort INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (sort, epoch, position, name)
    ) STRICT, WITHOUT ROWID",
    // Records in the order in which they came, and their keys apart: what is
    // added lies side by side. And whether the last owner has closed the file.
    "CREATE TABLE arrived (
        sort INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (sort, epoch, position, name)
    ) STRICT;
    INSERT INTO arrived SELECT sort, epoch, position, name, value FROM records;
    DROP TABLE records;
    ALTER TABLE arrived RENAME TO records;
    CREATE TABLE stop (is_clean INTEGER NOT NULL) STRICT;
    INSERT INTO stop VALUES (0)",
];

/// The newest form. A file of a newer one is refused.
pub(super) const NEWEST: usize = STEPS.len();

/// The form of a file of ours; 0 of an empty one.
pub(super) fn found(connection: &Connection) -> anyhow::Result<usize> {
    let application = number(connection, "application_id")?;
    let form = number(connection, "user_version")?;
    ensure!((application, form) == (0, 0) || application == APPLICATION, "another program's file");
    let form = usize::try_from(form)?;
    ensure!(
        form <= NEWEST,
        "its schema is {form} and this program knows {NEWEST}: install a newer one"
    );
    Ok(form)
}

/// Refuses a file that holds nothing yet.
pub(super) fn check_is_filled(connection: &Connection) -> anyhow::Result<()> {
    let form = found(connection)?;
    ensure!(form > 0, "it is empty: its owner is about to start, or nothing has run here yet");
    Ok(())
}

/// Takes a file to the newest form, step by step.
pub(super) fn migrate(connection: &mut Connection) -> anyhow::Result<()> {
    let form = found(connection)?;
    for (step, next) in STEPS.into_iter().zip(1..).skip(form) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", next)?;
        transaction.commit()?;
    }
    if (1..NEWEST).contains(&form) {
        tracing::info!("the database was of schema {form} and is of schema {NEWEST} now");
    }
    Ok(())
}

/// Whether the last owner has closed the file; no while one has it open.
pub(super) fn is_clean(connection: &Connection) -> anyhow::Result<bool> {
    if found(connection)? < 2 {
        return Ok(false);
    }
    Ok(connection.query_row("SELECT is_clean FROM stop", (), |row| row.get(0))?)
}

/// Notes whether the file is closed.
pub(super) fn set_clean(connection: &Connection, is_clean: bool) -> rusqlite::Result<()> {
    connection.execute("UPDATE stop SET is_clean = ?", (is_clean,)).map(|_| ())
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}
