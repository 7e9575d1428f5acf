//! Databases that are put aside, whole, and never used again.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Context as _;
use protocol::slot::Timestamp;

use crate::clock;
use crate::keystore::Keystore;

/// What belongs to a database beside its file.
const BESIDE: [&str; 3] = ["-journal", "-shm", "-wal"];

/// Renames a database and what belongs to it to `NAME.corrupt-TIME`, so that it
/// can still be looked into there; its new path.
///
/// # Errors
/// Where it cannot be renamed.
pub fn set_aside(keystore: &Keystore, name: &str, now: Timestamp) -> anyhow::Result<PathBuf> {
    let aside = keystore.dir().join(format!("{name}.corrupt-{}", clock::compact_utc(now)));
    // The log first: it has no meaning beside another database.
    for end in BESIDE.iter().rev().chain([&""]) {
        let from = keystore.dir().join(format!("{name}{end}"));
        if from.exists() {
            let to = format!("{}{end}", aside.display());
            fs::rename(&from, &to).with_context(|| format!("cannot rename {}", from.display()))?;
        }
    }
    File::open(keystore.dir())?.sync_all()?;
    Ok(aside)
}
