//! Records as rows of a database, and changes as statements.

use anyhow::bail;
use protocol::id::Epoch;
use protocol::record::{Change, Key, Records, Sort};
use rusqlite::{Connection, Transaction, params};
use zeroize::Zeroizing;

/// The records under the keys that are wanted.
pub(super) fn load(
    connection: &Connection,
    wanted: impl Fn(&Key) -> bool,
) -> anyhow::Result<Records> {
    let mut statement =
        connection.prepare("SELECT sort, epoch, position, name, value FROM records")?;
    let mut rows = statement.query(())?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let number: u8 = row.get(0)?;
        let Some(sort) = Sort::of(number) else { bail!("records of the unknown sort {number}") };
        let (epoch, position) = (Epoch(row.get(1)?), unsigned(row.get(2)?));
        let key = Key { sort, epoch, position, name: row.get(3)? };
        if wanted(&key) {
            records.push((key, Zeroizing::new(row.get::<_, Vec<u8>>(4)?)));
        }
    }
    Ok(records.into_iter().collect())
}

/// Makes a change.
pub(super) fn make(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Write(Key { sort, epoch, position, name }, value) => transaction
            .prepare_cached(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
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

pub(super) fn unsigned(position: i64) -> u64 {
    position.cast_unsigned() ^ (1 << 63)
}
