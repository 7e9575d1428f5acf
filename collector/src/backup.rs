//! `collector backup`: all that a collector needs to go on elsewhere, in a
//! folder.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use host::Keystore;
use host::clock;
use host::store::backup;
use indicatif::{ProgressBar, ProgressStyle};
use protocol::identity::IdentityKey;

use crate::config::Config;

mod manifest;
pub mod restore;

use manifest::Manifest;

/// The collector's own keys.
const KEYS: [&str; 2] = ["identity.key", "registrar.key"];
/// The configuration, as it was. A restore leaves it in the backup: the
/// configuration that it is given decides.
const CONFIGURATION: &str = "collector.toml";

/// Where from, and where to.
#[derive(Args, Debug)]
pub struct Backup {
    /// The configuration file.
    #[arg(long, default_value = "/etc/hushgrid/collector.toml")]
    pub config: PathBuf,
    /// The folder that is made, its owner's alone. It holds the keys of
    /// collector and registrar: keep it as they are kept.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// The manifest as a JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Backup {
    /// Makes the backup. It is there whole, or not at all.
    ///
    /// # Errors
    /// What went wrong, for a person.
    pub fn execute(&self, output: &mut impl Write) -> anyhow::Result<()> {
        let config: Config = host::config::load(&self.config)?;
        ensure!(!self.out.exists(), "--out {}: there is one already", self.out.display());
        let parent = self.out.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let staged = tempfile::Builder::new()
            .prefix(".backup-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent);
        let staged =
            staged.with_context(|| format!("--out: cannot write in {}", parent.display()))?;
        let manifest = self.fill(&config, &Keystore::open(staged.path())?)?;
        fs::rename(staged.path(), &self.out).context("--out")?;
        File::open(parent)?.sync_all()?;
        self.report(&manifest, output)
    }

    fn fill(&self, config: &Config, backup: &Keystore) -> anyhow::Result<Manifest> {
        let state = config.keystore()?;
        for name in KEYS {
            let key = state.read(name)?;
            let key = key.with_context(|| format!("{name}: no collector has run here yet"))?;
            backup.write(name, &key)?;
        }
        backup.write(CONFIGURATION, &fs::read(&self.config)?)?;
        let registrar = registrar(backup)?;
        for name in databases(state.dir())? {
            let progress = progress(&name);
            let copy = backup.private_file(&name)?;
            backup::copy(&state, &name, &copy, |done, all| {
                progress.set_length(all);
                progress.set_position(done);
            })?;
            progress.finish_and_clear();
            restore::check_database(&copy, &name, &registrar)?;
            File::open(copy)?.sync_all()?;
        }
        Manifest::write(backup)
    }

    fn report(&self, manifest: &Manifest, output: &mut impl Write) -> anyhow::Result<()> {
        if self.json {
            return Ok(writeln!(output, "{}", serde_json::to_string(manifest)?)?);
        }
        writeln!(output, "{}: a backup of {}", self.out.display(), manifest.made)?;
        for file in &manifest.files {
            writeln!(output, "  {:<24} {:>12} B", file.name, file.bytes)?;
        }
        writeln!(
            output,
            "It holds the keys of collector and registrar: keep it as they are kept. Not in it: \
             the broker's configuration, and requests for a next epoch. \
             `collector restore --from {}` makes it a collector's state.",
            self.out.display()
        )?;
        Ok(())
    }
}

/// The names of all databases in a folder, also of regions that the
/// configuration has no more.
fn databases(dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if restore::region_of(&name).is_some() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The registrar's key in a folder that has one.
fn registrar(keystore: &Keystore) -> anyhow::Result<IdentityKey> {
    let [_, name] = KEYS;
    Ok(keystore.identity(name, &mut clock::generator()?)?.key())
}

/// Pages copied, on standard error, where a person watches.
fn progress(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent} % {eta}");
    let bar = ProgressBar::new(0).with_prefix(name.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
