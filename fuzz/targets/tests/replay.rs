//! Every file of the corpora through its target. What a name begins with says
//! what is to become of it: `good-` is accepted, `bad-` is refused, and
//! `found-` and `regression-` came out of fuzzing.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that fails says so")]

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

const FILES_MAX: usize = 70;
const BYTES_MAX: usize = 300 << 10;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// The files of a folder with their names, in order.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    };
    let mut files: Vec<_> = entries.map(|entry| read(entry.unwrap().path())).collect();
    files.sort();
    files
}

#[test]
fn every_file_of_every_corpus_is_replayed() {
    for (target, run) in TARGETS {
        for (name, bytes) in files(&corpora().join(target)) {
            let accepted = run(&bytes);
            let expected = match name.split('-').next() {
                Some("good") => true,
                Some("bad") => false,
                Some("found" | "regression") => accepted,
                _ => panic!("{target}/{name}: no such prefix"),
            };
            assert_eq!(accepted, expected, "{target}/{name}");
        }
    }
}

#[test]
fn every_target_has_a_corpus_of_good_and_bad_and_no_other_stands_there() {
    let mut targets: Vec<_> = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    targets.sort();
    let folders = fs::read_dir(corpora()).unwrap();
    let mut folders: Vec<_> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    assert_eq!(folders, targets);
    for target in targets {
        let files = files(&corpora().join(&target));
        let begins = |prefix| files.iter().any(|(name, _)| name.starts_with(prefix));
        assert!(begins("good-") && begins("bad-"), "{target}");
    }
}

#[test]
fn the_corpora_stay_small() {
    let mut total = 0;
    for (target, _) in TARGETS {
        let files = files(&corpora().join(target));
        assert!(files.len() <= FILES_MAX, "{target}: {} files", files.len());
        total += files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(total < BYTES_MAX, "{total} bytes");
}

#[test]
fn a_binary_stands_for_each_target() {
    let binaries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
    assert_eq!(fs::read_dir(&binaries).unwrap().count(), TARGETS.len());
    for (target, _) in TARGETS {
        let source = fs::read_to_string(binaries.join(format!("{target}.rs"))).unwrap();
        assert!(source.contains(&format!("fuzz_targets::{target}(data)")), "{target}");
    }
}

#[test]
fn what_is_said_of_a_message_moves_no_terminal() {
    for (name, message) in files(&corpora().join("envelope")) {
        let line = format!("hushgrid/v1/north-01/x {}\n", hex::encode(message));
        let mut said = Vec::new();
        collector::decode::lines(line.as_bytes(), &mut said, false).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{name}: {said:?}");
    }
}
