//! Writes the `good-` and `bad-` files of the corpora anew, from the golden
//! messages, the sample configurations and the test telegrams. Files that came
//! out of fuzzing stay as they are.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

mod texts;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

/// The seeds of one target: each is put under the prefix that its target
/// gives it.
struct Corpus {
    target: &'static str,
    seeds: Vec<(String, Vec<u8>)>,
}

impl Corpus {
    fn of(target: &'static str) -> Self {
        Self { target, seeds: Vec::new() }
    }

    fn add(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        self.seeds.push((name.to_owned(), bytes.as_ref().to_vec()));
    }

    fn write(self) {
        let folder = top().join("fuzz/corpus").join(self.target);
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with("good-") || name.starts_with("bad-") {
                fs::remove_file(path).unwrap();
            }
        }
        let (_, run) = TARGETS.into_iter().find(|(name, _)| *name == self.target).unwrap();
        for (name, bytes) in self.seeds {
            let prefix = if run(&bytes) { "good" } else { "bad" };
            fs::write(folder.join(format!("{prefix}-{name}")), bytes).unwrap();
        }
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
#[ignore = "writes into the corpora"]
fn write_the_seeds() {
    wire::envelopes().write();
    wire::messages().write();
    wire::rosters().write();
    wire::key_shares().write();
    texts::telegrams().write();
    texts::files_of_homes().write();
    texts::agent_configs().write();
    texts::collector_configs().write();
    texts::broker_configs().write();
}
