//! `collector evidence`: what it shows, writes and checks.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that fails says so")]

use std::collections::BTreeMap;
use std::path::Path;

use collector::Config;
use collector::evidence::{Options, check, show};
use host::keystore::Keystore;
use host::store::{Readers, Sqlite, Store as _};
use protocol::Rng;
use protocol::envelope::seal;
use protocol::evidence::Evidence;
use protocol::id::{Digest, Epoch, RegionId, Sender};
use protocol::identity::Identity;
use protocol::message::Contribution;
use protocol::reading::Register;
use protocol::record::{Change, Key};
use protocol::slot::Slot;
use rand::SeedableRng as _;

const SAID: &str = "m-01 signed two contributions for slot 7 of region north in epoch 1";

fn evidence() -> Evidence {
    let identity = Identity::generate(&mut Rng::seed_from_u64(1));
    let (region, meter): (RegionId, _) = ("north".parse().unwrap(), "m-01".parse().unwrap());
    let place = (&region, Epoch(1), Sender::Meter(meter));
    let signed = |byte: u8| {
        let registers = BTreeMap::from([(Register::Import, vec![byte].into())]);
        seal(
            &identity,
            place.clone(),
            &Digest::NONE,
            &Contribution { slot: Slot(7), registers, range_proof: None },
        )
    };
    let (first, second) = (signed(1).into(), signed(2).into());
    Evidence { key: identity.key(), binding: Digest::NONE, first, second }
}

/// A collector's folder whose database is open and holds this evidence.
struct Kept {
    dir: tempfile::TempDir,
    config: Config,
    _running: Sqlite,
}

impl Kept {
    fn with(evidence: &[Evidence]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let text = format!(
            "state_dir = '{}'\n[broker]\n[[region]]\nname = \"north\"\nmembers = []\n",
            state.display()
        );
        let config: Config = toml::from_str(&text).unwrap();
        let mut store =
            Sqlite::open(&Keystore::open(&state).unwrap(), "region-north.db", Readers::OfTheFile)
                .unwrap();
        let write = |evidence: &Evidence| {
            let key = Key::evidence(Epoch(1), &evidence.digest());
            Change::Write(key, evidence.to_bytes().into())
        };
        store.commit(&evidence.iter().map(write).collect::<Vec<_>>()).unwrap();
        Self { dir, config, _running: store }
    }

    fn shown(&self, options: &Options) -> String {
        let mut output = Vec::new();
        show(&self.config, options, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }
}

fn checked(file: &Path) -> anyhow::Result<String> {
    let mut output = Vec::new();
    check(file, false, &mut output)?;
    Ok(String::from_utf8(output)?)
}

#[test]
fn evidence_is_shown_in_plain_words_while_the_collector_runs() {
    let kept = Kept::with(&[evidence()]);
    let said = kept.shown(&Options::default());
    assert!(said.starts_with(SAID), "{said}");
    assert!(said.contains(&evidence().key.to_string()), "{said}");
    let said = kept.shown(&Options { json: true, ..Options::default() });
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["accusation"], &said["party"]), (&SAID.into(), &"m-01".into()));
}

#[test]
fn no_evidence_is_said_to_be_none() {
    let kept = Kept::with(&[]);
    assert_eq!(kept.shown(&Options::default()), "no evidence\n");
    assert_eq!(kept.shown(&Options { json: true, ..Options::default() }), "");
}

#[test]
fn evidence_that_is_exported_is_checked_without_the_collector() {
    let kept = Kept::with(&[evidence()]);
    let folder = kept.dir.path().join("out");
    kept.shown(&Options { export: Some(folder.clone()), ..Options::default() });
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    assert!(checked(&file).unwrap().starts_with(SAID));
}

#[test]
fn a_file_that_was_altered_is_no_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("altered");
    let mut altered = evidence();
    altered.second = altered.first.clone();
    std::fs::write(&file, altered.to_bytes()).unwrap();
    let error = format!("{:#}", checked(&file).unwrap_err());
    assert!(error.contains("do not exclude each other"), "{error}");
    std::fs::write(&file, b"not evidence").unwrap();
    assert!(checked(&file).is_err());
}

#[test]
fn a_region_that_is_not_configured_is_refused() {
    let kept = Kept::with(&[]);
    let options = Options { region: Some("south".parse().unwrap()), ..Options::default() };
    let error = show(&kept.config, &options, Vec::new()).unwrap_err();
    assert!(error.to_string().contains("no region south"), "{error}");
}
