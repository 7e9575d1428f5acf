//! What a database takes up.

use host::store::{Readers, Store as _};

use crate::disk::folder;
use crate::suite::{FILE, Step, changes, sqlite};

/// What a meter keeps of a slot, in bytes.
const SLOT: [usize; 2] = [650, 300];

fn slot(position: u64) -> Vec<Step> {
    let write = |(at, bytes): (usize, &usize)| Step::Write {
        key: (4 + at, 1, position, 0),
        bytes: *bytes,
        fill: 7,
    };
    SLOT.iter().enumerate().map(write).collect()
}

#[test]
fn ten_thousand_slots_written_and_erased_take_up_no_more_than_those_that_are_kept() {
    const KEPT: u64 = 500;
    let dir = folder();
    let mut store = sqlite(&dir.path().join("state"), Readers::OfCopies);
    for position in 0..10_000_u64 {
        let mut steps = slot(position);
        if position.is_multiple_of(100) {
            let before = position.saturating_sub(KEPT);
            steps.extend((4..6).map(|sort| Step::EraseBefore((sort, 1, before))));
        }
        store.commit(&changes(&steps)).unwrap();
    }
    let kept = (KEPT + 100) * SLOT.iter().sum::<usize>() as u64;
    let file = std::fs::metadata(dir.path().join("state").join(FILE)).unwrap().len();
    assert!((kept / 2..2 * kept).contains(&file), "{file} bytes for {kept}");
    // The log is copied and begun again at 4 MiB.
    let all = store.size().unwrap();
    assert!(all - file < 9 << 19, "{} bytes of log", all - file);
}

#[test]
fn a_log_that_a_reader_held_is_cut_back_when_it_has_gone() {
    let dir = folder();
    let state = dir.path().join("state");
    let mut store = sqlite(&state, Readers::OfTheFile);
    let reader = rusqlite::Connection::open(state.join(FILE)).unwrap();
    let read = |sql: &str| reader.execute_batch(sql).unwrap();
    read("BEGIN; SELECT count(*) FROM records");
    let large = |position| [Step::Write { key: (4, 1, position, 0), bytes: 1 << 20, fill: 7 }];
    (0..20).for_each(|position| store.commit(&changes(&large(position))).unwrap());
    assert!(log_bytes(&state) > 20 << 20);
    read("COMMIT");
    (20..23).for_each(|position| store.commit(&changes(&large(position))).unwrap());
    assert!(log_bytes(&state) <= 8 << 20, "{} bytes", log_bytes(&state));
}

fn log_bytes(state: &std::path::Path) -> u64 {
    std::fs::metadata(state.join(format!("{FILE}-wal"))).unwrap().len()
}
