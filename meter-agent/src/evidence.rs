//! `meter-agent evidence`: what this meter holds against others, each piece
//! two signed messages that exclude each other.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use protocol::envelope::encode;
use protocol::evidence::{Accusation, Evidence};
use protocol::history;
use serde_json::json;

use crate::config::Config;
use crate::sent::records;

/// How to show it, and where to put it.
#[derive(Args, Debug)]
#[group(skip)]
pub struct Show {
    /// One JSON object per line, with both messages in hexadecimal.
    #[arg(long)]
    pub json: bool,
    /// Writes each piece into a file of this folder, named after its digest:
    /// CBOR with the key, what both messages are bound to, and the messages.
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
}

impl Show {
    /// Writes what evidence there is, also while the agent runs.
    ///
    /// # Errors
    /// Where there is no database that can be read, or nowhere to write.
    pub fn run(&self, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
        let all = history::evidence(&records(config)?)?;
        if all.is_empty() && !self.json {
            writeln!(out, "no evidence against anyone")?;
        }
        for (evidence, accusation) in &all {
            let file = self.export(evidence)?;
            if self.json {
                writeln!(out, "{}", as_json(evidence, accusation))?;
            } else {
                writeln!(out, "{accusation}\n  digest {}", evidence.digest())?;
                if let Some(file) = file {
                    writeln!(out, "  written to {}", file.display())?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }

    fn export(&self, evidence: &Evidence) -> anyhow::Result<Option<PathBuf>> {
        let Some(folder) = &self.export else { return Ok(None) };
        let file = folder.join(format!("{}.cbor", evidence.digest()));
        DirBuilder::new()
            .recursive(true)
            .create(folder)
            .and_then(|()| fs::write(&file, encode(evidence)))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Some(file))
    }
}

fn as_json(evidence: &Evidence, accusation: &Accusation) -> serde_json::Value {
    json!({
        "event": "evidence",
        "region": accusation.region,
        "epoch": accusation.epoch,
        "party": accusation.party.to_string(),
        "about": accusation.about.to_string(),
        "digest": evidence.digest().to_string(),
        "key": evidence.key.to_string(),
        "binding": evidence.binding.to_string(),
        "first": hex::encode(&evidence.first),
        "second": hex::encode(&evidence.second),
    })
}
