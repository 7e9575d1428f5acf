//! `collector verify`: whether the results of rounds are right, by their
//! transcripts and the roster alone.

use std::io::Write;
use std::path::{Path, PathBuf};

use aggregation::ElGamal;
use anyhow::Context as _;
use clap::Args;
use protocol::envelope::Envelope;
use protocol::id::MeterId;
use protocol::identity::IdentityKey;
use protocol::roster::AcceptedRoster;
use protocol::transcript::{Transcript, Verified, VerifiedSum};
use serde_json::{Value, json};

use crate::round::Round;

/// What to verify, and by which roster.
#[derive(Args, Debug)]
pub struct Options {
    /// The transcripts, as `collector transcript export` writes them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The signed roster of their epoch, as the collector exports or publishes
    /// it.
    #[arg(long, value_name = "FILE")]
    pub roster: PathBuf,
    /// The registrar's key. Without it nobody vouches for the roster: compare
    /// its digest with one from a source that you trust.
    #[arg(long, value_name = "KEY")]
    pub registrar: Option<IdentityKey>,
    /// One JSON object for each transcript.
    #[arg(long)]
    pub json: bool,
}

/// Verifies each transcript in turn, and says what it shows.
///
/// # Errors
/// The first thing that is wrong, with its file.
pub fn verify(options: &Options, mut output: impl Write) -> anyhow::Result<()> {
    let roster = read_file(&options.roster, |bytes| open(bytes, options.registrar.as_ref()))?;
    for file in &options.files {
        let verify = |bytes: &[u8]| Ok(Transcript::from_bytes(bytes)?.verify(&roster)?);
        let shown = Shown { roster: &roster, verified: read_file(file, verify)? };
        if options.json {
            let file = file.display().to_string();
            writeln!(output, "{}", shown.json(&file, options.registrar.as_ref()))?;
        } else {
            shown.write(&mut output)?;
        }
    }
    if options.json { Ok(()) } else { say_roster(&roster, options.registrar.as_ref(), output) }
}

fn read_file<T>(path: &Path, read: impl Fn(&[u8]) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(name)?;
    read(&bytes).with_context(name)
}

fn open(bytes: &[u8], registrar: Option<&IdentityKey>) -> anyhow::Result<AcceptedRoster<ElGamal>> {
    let Some(registrar) = registrar else { return Ok(AcceptedRoster::peek(bytes)?) };
    let envelope = Envelope::parse(bytes).context("roster")?;
    Ok(AcceptedRoster::open(bytes, &envelope.header().region, registrar)?)
}

fn say_roster(
    roster: &AcceptedRoster<ElGamal>,
    registrar: Option<&IdentityKey>,
    mut output: impl Write,
) -> anyhow::Result<()> {
    writeln!(output, "all is right under the roster {}", roster.digest())?;
    match registrar {
        Some(key) => writeln!(output, "  signed by the registrar {key}")?,
        None => writeln!(
            output,
            "  Its signature is not checked, for want of --registrar: compare the digest."
        )?,
    }
    Ok(())
}

/// A round that was verified.
struct Shown<'a> {
    roster: &'a AcceptedRoster<ElGamal>,
    verified: Verified,
}

impl Shown<'_> {
    fn round(&self) -> Round<'_> {
        let Self { roster, verified } = self;
        let (region, epoch) = (roster.region(), roster.epoch());
        Round { region, epoch, target: verified.target, roster: roster.body() }
    }

    /// Members that are not in the round.
    fn others(&self) -> Vec<&MeterId> {
        let members = self.roster.participants().map(|(_, meter)| meter);
        members.filter(|meter| !self.verified.contributors.contains(meter)).collect()
    }

    fn write(&self, output: &mut impl Write) -> anyhow::Result<()> {
        let Verified { contributors, helpers, sums, .. } = &self.verified;
        let threshold = self.roster.parameters().threshold.of(self.roster.body().members.len());
        writeln!(output, "{}", self.round())?;
        for VerifiedSum { subject, register, slots, sum_wh } in sums {
            writeln!(output, "  {register} of {subject}: {sum_wh} Wh in {}", counted(*slots))?;
        }
        writeln!(output, "  contributed: {}", named(contributors))?;
        writeln!(output, "  did not: {}", named(self.others()))?;
        writeln!(output, "  helped: {}; it takes {threshold}", named(helpers))?;
        Ok(())
    }

    fn json(&self, file: &str, registrar: Option<&IdentityKey>) -> Value {
        let Verified { contributors, helpers, sums, .. } = &self.verified;
        let sum = |VerifiedSum { subject, register, slots, sum_wh }: &VerifiedSum| {
            json!({ "subject": subject, "register": register.to_string(), "slots": slots,
                "sum_wh": sum_wh })
        };
        let sums: Vec<_> = sums.iter().map(sum).collect();
        let mut fields = self.round().fields();
        let more = [
            ("file", json!(file)),
            ("sums", json!(sums)),
            ("contributors", json!(contributors)),
            ("uncounted", json!(self.others())),
            ("helpers", json!(helpers)),
            ("roster", json!(self.roster.digest().to_string())),
            ("registrar", json!(registrar.map(ToString::to_string))),
        ];
        fields.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(fields)
    }
}

fn counted(slots: u32) -> String {
    if slots == 1 { "1 slot".to_owned() } else { format!("{slots} slots") }
}

/// How many, and who.
fn named<'a>(meters: impl IntoIterator<Item = &'a MeterId>) -> String {
    let names: Vec<_> = meters.into_iter().map(MeterId::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        format!("{}: {}", names.len(), names.join(", "))
    }
}
