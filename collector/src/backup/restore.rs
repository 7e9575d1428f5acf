//! `collector restore`: a backup, checked and made a collector's state.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use aggregation::ElGamal;
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use host::lock::Lock;
use host::store::backup;
use host::{Keystore, clock};
use protocol::id::RegionId;
use protocol::identity::IdentityKey;
use protocol::record::Sort;
use protocol::roster::AcceptedRoster;
use serde_json::json;

use super::manifest::Manifest;
use super::{CONFIGURATION, KEYS, registrar};
use crate::config::Config;

/// Where files wait until all of them are there.
const STAGED: &str = "restoring";
/// How folders begin that hold what was there before.
const ASIDE: &str = "set-aside-";
/// The file of the folder's lock.
const LOCK: &str = "lock";

/// Where from, and where to.
#[derive(Args, Debug)]
pub struct Restore {
    /// The configuration file, whose `state_dir` is filled.
    #[arg(long, default_value = "/etc/hushgrid/collector.toml")]
    pub config: PathBuf,
    /// The folder that `collector backup` has made.
    #[arg(long, value_name = "FOLDER")]
    pub from: PathBuf,
    /// Moves what is in `state_dir` into a folder in it, where nothing uses it.
    #[arg(long)]
    pub set_aside: bool,
    /// What was done as a JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Restore {
    /// Checks the backup and puts it into place. A backup that does not pass
    /// changes nothing.
    ///
    /// # Errors
    /// What went wrong, for a person.
    pub fn execute(&self, output: &mut impl Write) -> anyhow::Result<()> {
        let config: Config = host::config::load(&self.config)?;
        let state = config.keystore()?;
        let _lock = Lock::take(&state)?;
        let from = || format!("--from {}", self.from.display());
        ensure!(self.from.is_dir(), "{}: there is no such folder", from());
        let backup = Keystore::open(&self.from).with_context(from)?;
        let manifest = checked(&backup).with_context(from)?;
        let present = present(state.dir())?;
        let aside = match (present.is_empty(), self.set_aside) {
            (true, _) => None,
            (false, true) => Some(set_aside(&state, &present)?),
            (false, false) => bail!(
                "{} holds a state: {}. With --set-aside it is moved into a folder there",
                state.dir().display(),
                present.join(", ")
            ),
        };
        place(&backup, &manifest, &state)?;
        self.report(&manifest, aside.as_deref(), output)
    }

    fn report(
        &self,
        manifest: &Manifest,
        aside: Option<&Path>,
        output: &mut impl Write,
    ) -> anyhow::Result<()> {
        let names: Vec<_> = restored(manifest).collect();
        if self.json {
            let done = json!({ "made": manifest.made, "restored": names, "set_aside": aside });
            return Ok(writeln!(output, "{done}")?);
        }
        if let Some(aside) = aside {
            writeln!(output, "What was there is in {} now.", aside.display())?;
        }
        writeln!(output, "Restored as of {}: {}.", manifest.made, names.join(", "))?;
        writeln!(
            output,
            "Start the collector: it asks its members for what is newer than the backup. They \
             keep it until the last deadline of its window; the log says what came in."
        )?;
        Ok(())
    }
}

/// Refuses a state folder that a restore has not filled to the end.
///
/// # Errors
/// Where there is one.
pub(crate) fn check_is_done(state: &Keystore) -> anyhow::Result<()> {
    ensure!(
        !state.dir().join(STAGED).exists(),
        "{}: a restore was interrupted; repeat it with `collector restore --set-aside`",
        state.dir().display()
    );
    Ok(())
}

/// The region of a database, by its file's name.
pub(super) fn region_of(name: &str) -> Option<RegionId> {
    name.strip_prefix("region-")?.strip_suffix(".db")?.parse().ok()
}

/// Checks the copy of a region's database: it is whole, of a known schema, and
/// the registrar has signed each of its rosters.
pub(super) fn check_database(
    copy: &Path,
    name: &str,
    registrar: &IdentityKey,
) -> anyhow::Result<()> {
    let region = region_of(name).with_context(|| format!("{name} is no region's database"))?;
    let records = backup::verify(copy)?;
    for sort in [Sort::Roster, Sort::PastRoster] {
        for (key, signed) in records.of(sort) {
            AcceptedRoster::<ElGamal>::open(signed, &region, registrar)
                .with_context(|| format!("{name}: the roster of epoch {}", key.epoch))?;
        }
    }
    Ok(())
}

/// The manifest of a backup that can be used.
fn checked(backup: &Keystore) -> anyhow::Result<Manifest> {
    let manifest = Manifest::check(backup)?;
    for key in KEYS {
        ensure!(restored(&manifest).any(|name| name == key), "{key} is not in it");
    }
    let registrar = registrar(backup)?;
    for name in restored(&manifest).filter(|name| !KEYS.contains(name)) {
        check_database(&backup.dir().join(name), name, &registrar)?;
    }
    Ok(manifest)
}

/// The files that become the collector's state.
fn restored(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let names = manifest.files.iter().map(|file| file.name.as_str());
    names.filter(|name| *name != CONFIGURATION)
}

/// What a restore would write over.
fn present(state: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(state)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != LOCK && !name.starts_with(ASIDE) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn set_aside(state: &Keystore, present: &[String]) -> anyhow::Result<PathBuf> {
    let aside = state.dir().join(format!("{ASIDE}{}", clock::compact_utc(clock::now())));
    let aside = Keystore::open(&aside)?.dir().to_owned();
    for name in present {
        let to = aside.join(name);
        fs::rename(state.dir().join(name), &to).with_context(|| to.display().to_string())?;
    }
    File::open(&aside)?.sync_all()?;
    File::open(state.dir())?.sync_all()?;
    Ok(aside)
}

/// Copies all files beside their places, durably, and then moves them there. A
/// collector does not start before the last one has its place.
fn place(backup: &Keystore, manifest: &Manifest, state: &Keystore) -> anyhow::Result<()> {
    let staged = Keystore::open(&state.dir().join(STAGED))?;
    for name in restored(manifest) {
        let copied = copy(&backup.dir().join(name), &staged.private_file(name)?);
        copied.with_context(|| format!("cannot restore {name}"))?;
    }
    File::open(staged.dir())?.sync_all()?;
    for name in restored(manifest) {
        fs::rename(staged.dir().join(name), state.dir().join(name))?;
    }
    File::open(state.dir())?.sync_all()?;
    fs::remove_dir(staged.dir())?;
    File::open(state.dir())?.sync_all()?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut file = File::options().write(true).open(to)?;
    let bytes = std::io::copy(&mut File::open(from)?, &mut file)?;
    if bytes != fs::metadata(from)?.len() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    file.sync_all()
}
