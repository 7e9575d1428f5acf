//! Databases copied while their owners run, and looked into before they are
//! used.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use protocol::record::Records;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{beside, damage, log, rows, schema};
use crate::keystore::Keystore;

/// Pages between two reports of progress: 512 KiB.
const CHUNK: i32 = 1_024;

/// Copies the database `name` as it is now to the file `to`, which is there and
/// empty. `report` is told how many pages of how many are copied.
///
/// # Errors
/// Where it cannot be read, or the copy not be written.
pub fn copy(
    keystore: &Keystore,
    name: &str,
    to: &Path,
    mut report: impl FnMut(u64, u64),
) -> anyhow::Result<()> {
    let source = beside::open_to_read(&keystore.dir().join(name))?;
    // One state of the database, whatever is written meanwhile: a copy that
    // begins again with each commit would never end.
    let snapshot = source.unchecked_transaction()?;
    schema::check_is_filled(&source)?;
    let mut target = Connection::open(to)?;
    target.pragma_update(None, "synchronous", "full")?;
    {
        let backup = Backup::new(&source, &mut target)?;
        loop {
            match backup.step(CHUNK)? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => bail!("{name} is locked by another program: try again"),
            }
            let progress = backup.progress();
            let (all, left) = (progress.pagecount, progress.remaining);
            report(u64::try_from(all - left)?, u64::try_from(all)?);
        }
    }
    snapshot.finish()?;
    // One file that is whole without a log beside it.
    log::set_journal(&target, "delete")?;
    target.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// All records of a copy, once it is whole, of ours and of a known schema.
/// Nothing is written.
///
/// # Errors
/// What is wrong with it.
pub fn verify(copy: &Path) -> anyhow::Result<Records> {
    let found = || {
        // Nobody writes a copy: no lock is taken and no file made beside it.
        let uri = format!("file:{}?immutable=1", escaped(copy)?);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri, flags)?;
        schema::check_is_filled(&connection)?;
        damage::check(&connection)?;
        rows::load(&connection, |_| true)
    };
    found().with_context(|| copy.display().to_string())
}

/// A path as a part of a URI.
fn escaped(path: &Path) -> anyhow::Result<String> {
    let path = path.to_str().context("a path that is not UTF-8")?;
    ensure!(!path.is_empty(), "no path");
    Ok(path.replace('%', "%25").replace('?', "%3f").replace('#', "%23"))
}
