//! What commits cost, for `docs/decisions/0022`: `cargo test --release -p host
//! --test store figures -- --ignored --nocapture`.

use std::time::Duration;

use host::clock;
use host::store::{Readers, Sqlite, Store as _};

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
        let rate =
            contributions(&mut sqlite(&dir.path().join("state"), Readers::OfTheFile), bytes, batch);
        say(&format!("{bytes} B, {batch} in a commit: {rate:.0} records/s"));
    }
}

/// A slot of a meter among 50 in windows of ten, with records as long as theirs.
fn slot_of_a_meter(store: &mut Sqlite, position: u64) {
    let mut contribution = vec![write(4, position, 0, 544), write(3, 0, 0, 19)];
    let window = position / 10;
    if position % 10 == 3 && window > 2 {
        let over = (window - 2) * 10;
        contribution.extend((over - 10..over).map(|slot| Step::Erase((4, 1, slot, 0))));
        contribution.push(Step::EraseBefore((5, 1, over)));
        contribution.extend((6..9).map(|sort| Step::EraseBefore((sort, 1, window - 2))));
    }
    let answer = vec![write(5, position, 0, 142), write(4, position, 0, 544)];
    let listing = vec![write(14, window, 0, 120)];
    let last = vec![write(15, window, 0, 122), write(8, window, 0, 131), write(7, window, 0, 264)];
    let bills = vec![write(6, window, 1, 3_655)];
    let is_last = position % 10 == 9;
    let ends = [listing, last, bills].into_iter().filter(|_| is_last);
    for steps in [contribution, answer].into_iter().chain(ends) {
        store.commit(&changes(&steps)).unwrap();
    }
}

/// Bytes written for each of so many slots.
#[expect(clippy::disallowed_methods, reason = "how long nothing is written is what matters")]
fn written_for_slots(store: &mut Sqlite, slots: std::ops::Range<u64>, pause: Duration) -> u64 {
    let (before, all) = (written(), slots.end - slots.start);
    for position in slots {
        slot_of_a_meter(store, position);
        std::thread::sleep(pause);
    }
    (written() - before) / all
}

#[test]
#[ignore = "a measurement: run it alone, built for release; it takes 25 minutes"]
fn figures_of_a_meter() {
    // What is older than 30 s the system writes back within 5 s: what it keeps
    // of a file is written again for every slot that comes later.
    const PAUSE: Duration = Duration::from_secs(36);
    let dir = folder();
    let mut store = sqlite(&dir.path().join("state"), Readers::OfCopies);
    for (said, slots, pause) in [
        ("first slots, in one go", 0..20, Duration::ZERO),
        ("first slots, each after 36 s", 20..40, PAUSE),
        ("in one go", 40..2_000, Duration::ZERO),
        ("each after 36 s", 2_000..2_020, PAUSE),
    ] {
        say(&format!("{said}: {} B a slot", written_for_slots(&mut store, slots, pause)));
    }
}

#[test]
#[ignore = "a measurement: run it alone, built for release"]
fn figures_of_a_check() {
    let dir = folder();
    let state = dir.path().join("state");
    let mut store = sqlite(&state, Readers::OfTheFile);
    contributions(&mut store, 900, 1_000);
    let size = store.size().unwrap();
    drop(store);
    let begun = clock::monotonic();
    drop(sqlite(&state, Readers::OfTheFile));
    say(&format!("{size} B: opened and checked in {:?}", begun.elapsed()));
}
