//! What is in a backup, file by file.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use host::{Keystore, clock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The manifest's file.
const FILE: &str = "manifest.json";
/// The form of backups. Another one is refused.
const FORM: u32 = 1;

/// What a backup holds.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    form: u32,
    /// When it was made, in UTC.
    pub(super) made: String,
    /// By which version of the program.
    version: String,
    pub(super) files: Vec<Entry>,
}

/// One file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// As `sha256sum` says it.
    sha256: String,
}

impl Manifest {
    /// Writes down what is in a folder.
    pub(super) fn write(backup: &Keystore) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(backup.dir())? {
            files.push(Entry::of(&entry?.path())?);
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let made = clock::utc(clock::now());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Self { form: FORM, made, version, files };
        backup.write(FILE, &serde_json::to_vec_pretty(&manifest)?)?;
        Ok(manifest)
    }

    /// Reads the manifest of a folder and compares each file with it.
    pub(super) fn check(backup: &Keystore) -> anyhow::Result<Self> {
        let text = backup.read(FILE)?;
        let text =
            text.with_context(|| format!("no {FILE}: this is no backup, or not all of one"))?;
        let manifest: Self = serde_json::from_slice(&text).context(FILE)?;
        ensure!(
            manifest.form == FORM,
            "{FILE}: form = {}: this program knows {FORM}",
            manifest.form
        );
        for expected in &manifest.files {
            ensure!(!expected.name.contains('/'), "{FILE}: {:?} is no file of its", expected.name);
            let found = Entry::of(&backup.dir().join(&expected.name))?;
            if (found.bytes, &found.sha256) != (expected.bytes, &expected.sha256) {
                bail!("{} is not what the manifest says: the backup is damaged", expected.name);
            }
        }
        Ok(manifest)
    }
}

impl Entry {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let (bytes, sha256) = digested(path).with_context(|| path.display().to_string())?;
        let name = path.file_name().context("a file without a name")?;
        Ok(Self { name: name.to_string_lossy().into_owned(), bytes, sha256 })
    }
}

/// How long a file is, and its digest.
fn digested(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let (mut bytes, mut chunk) = (0, vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((bytes, hex::encode(hash.finalize())));
        }
        bytes += read as u64;
        hash.update(chunk.get(..read).unwrap_or_default());
    }
}
