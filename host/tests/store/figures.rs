//! What commits cost, for `docs/decisions/0022`: `cargo test --release -p host
//! --test store figures -- --ignored --nocapture`.

use std::fmt::Write as _;

use host::clock;
use host::store::{Sqlite, Store as _};

use crate::suite::{Step, changes, sqlite};

/// Bytes that this process has had written, by the kernel's count.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    line.parse().unwrap()
}

/// A folder on the disk that is built on: the one for temporary files may be
/// in memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[expect(clippy::print_stderr, reason = "what a measurement says")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn write(sort: usize, position: u64, name: u8, bytes: usize) -> Step {
    Step::Write { key: (sort, 1, position, name), bytes, fill: 7 }
}

/// Commits a hundred thousand records; how many in a second.
fn contributions(store: &mut Sqlite, bytes: usize, batch: u64) -> f64 {
    const ALL: u32 = 100_000;
    let begun = clock::monotonic();
    for first in (0..u64::from(ALL)).step_by(usize::try_from(batch).unwrap()) {
        let steps: Vec<_> = (first..first + batch)
            .map(|at| write(9, at / 200, u8::try_from(at % 200).unwrap(), bytes))
            .collect();
        store.commit(&changes(&steps)).unwrap();
    }
    f64::from(ALL) / begun.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement: run it alone, built for release"]
fn figures_of_a_collector() {
    for (bytes, batch) in [(120, 256), (120, 1_000), (500, 256), (500, 1_000)] {
        let dir = folder();
        let rate = contributions(&mut sqlite(&dir.path().join("state")), bytes, batch);
        say(&format!("{bytes} B, {batch} in a commit: {rate:.0} records/s"));
    }
}

#[test]
#[ignore = "a measurement: run it alone, built for release"]
fn figures_of_a_meter() {
    const ERASED: u64 = 400;
    const MEASURED: u64 = 2_000;
    let dir = folder();
    let mut store = sqlite(&dir.path().join("state"));
    let mut said = String::new();
    for (order, first) in [("answer first", 0), ("contribution first", 10_000)] {
        let mut bytes = [0; 2];
        for position in first..first + MEASURED {
            let before = written();
            let mut contribution = vec![write(4, position, 0, 450), write(3, 0, 0, 40)];
            if position % 100 == 0 {
                let erased = position.saturating_sub(ERASED);
                contribution.extend((4..6).map(|sort| Step::EraseBefore((sort, 1, erased))));
            }
            store.commit(&changes(&contribution)).unwrap();
            let between = written();
            let mut answer = [write(5, position, 0, 300), write(4, position, 0, 650)];
            if first > 0 {
                answer.reverse();
            }
            store.commit(&changes(&answer)).unwrap();
            bytes[0] += between - before;
            bytes[1] += written() - between;
        }
        let [one, two] = bytes.map(|bytes| bytes / MEASURED);
        writeln!(said, "{order}: {one} B for a contribution, {two} B for an answer").unwrap();
    }
    say(&said);
}

#[test]
#[ignore = "a measurement: run it alone, built for release"]
fn figures_of_a_check() {
    let dir = folder();
    let state = dir.path().join("state");
    let mut store = sqlite(&state);
    contributions(&mut store, 900, 1_000);
    let size = store.size().unwrap();
    drop(store);
    let begun = clock::monotonic();
    drop(sqlite(&state));
    say(&format!("{size} B: opened and checked in {:?}", begun.elapsed()));
}
