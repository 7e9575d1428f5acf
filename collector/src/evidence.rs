//! Shows what the collector has kept as evidence, writes it to files, and
//! checks such a file anywhere.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use host::store::{Sqlite, Store as _};
use protocol::evidence::{Accusation, Evidence};
use protocol::id::RegionId;
use protocol::record::Sort;
use serde_json::json;

use crate::config::{Config, RegionConfig};
use crate::region;

/// What to show, and where to.
#[derive(Args, Debug, Default)]
pub struct Options {
    /// One region; without it all of them.
    #[arg(long)]
    pub region: Option<RegionId>,
    /// One JSON object for each piece.
    #[arg(long)]
    pub json: bool,
    /// Writes each piece to a file in this folder, to hand on.
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
    /// Checks such a file. Needs no configuration.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["region", "export"])]
    pub check: Option<PathBuf>,
}

/// Shows the evidence in the databases of a configuration, also while the
/// collector runs.
///
/// # Errors
/// Where a database cannot be read, a kept piece shows nothing, or a file
/// cannot be written.
pub fn show(config: &Config, options: &Options, mut output: impl Write) -> anyhow::Result<()> {
    let is_meant = |region: &&RegionConfig| {
        options.region.as_ref().is_none_or(|wanted| *wanted == region.name)
    };
    let regions: Vec<_> = config.regions.iter().filter(is_meant).collect();
    if let Some(wanted) = &options.region {
        ensure!(!regions.is_empty(), "the configuration has no region {wanted}");
    }
    let mut found = 0_usize;
    for region in regions {
        for evidence in kept(config, region)? {
            found += 1;
            let shown = evidence.check().context("a kept piece of evidence")?;
            let file = options.export.as_ref().map(|dir| export(dir, &shown, &evidence));
            let file = file.transpose()?;
            say(&mut output, (&evidence, &shown), file.as_deref(), options.json)?;
        }
    }
    if found == 0 && !options.json {
        writeln!(output, "no evidence")?;
    }
    Ok(())
}

/// Checks a file of evidence, and says in plain words what it shows.
///
/// # Errors
/// Where the file cannot be read, or is no evidence.
pub fn check(file: &Path, as_json: bool, mut output: impl Write) -> anyhow::Result<()> {
    let name = || file.display().to_string();
    let bytes = std::fs::read(file).with_context(name)?;
    let evidence = Evidence::from_bytes(&bytes).with_context(name)?;
    let shown = evidence.check().with_context(name)?;
    say(&mut output, (&evidence, &shown), None, as_json)
}

fn kept(config: &Config, region: &RegionConfig) -> anyhow::Result<Vec<Evidence>> {
    let store = Sqlite::open_to_read(&config.keystore()?, &region::database(&region.name))?;
    let records = store.load()?;
    let read = |(_, bytes)| Evidence::from_bytes(bytes).context("a kept piece of evidence");
    records.of(Sort::Evidence).map(read).collect()
}

fn export(dir: &Path, shown: &Accusation, evidence: &Evidence) -> anyhow::Result<PathBuf> {
    let digest = evidence.digest().to_string();
    let short = digest.get(..16).unwrap_or(&digest);
    let Accusation { party, region, .. } = shown;
    let path = dir.join(format!("{region}-{party}-{short}.evidence"));
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    std::fs::write(&path, evidence.to_bytes()).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn say(
    output: &mut impl Write,
    (evidence, shown): (&Evidence, &Accusation),
    file: Option<&Path>,
    as_json: bool,
) -> anyhow::Result<()> {
    let Accusation { party, region, epoch, .. } = shown;
    let (key, digest) = (evidence.key.to_string(), evidence.digest().to_string());
    let file = file.map(|path| path.display().to_string());
    if as_json {
        let said = json!({
            "accusation": shown.to_string(), "party": party.to_string(), "region": region,
            "epoch": epoch, "key": key, "digest": digest, "file": file,
        });
        return Ok(writeln!(output, "{said}")?);
    }
    writeln!(output, "{shown}.")?;
    writeln!(output, "  Both signatures verify under the key {key}.")?;
    writeln!(output, "  It accuses {party} if that is {party}'s key: compare it with the roster.")?;
    writeln!(output, "  digest {digest}")?;
    if let Some(file) = file {
        writeln!(output, "  written to {file}")?;
    }
    Ok(())
}
