//! How often a meter has something to make durable: every commit costs an SD
//! card its blocks.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use aggregation::Plain;
use common::region::{HOLDER, MEMBERS, Region};
use common::{both_registers, parameters, peak};
use protocol::parameters::Parameters;
use protocol::record::Sort;

/// Slots in a window.
const WINDOW: u64 = 8;

/// Commits of a meter in each of four windows in which all goes well.
fn commits(parameters: Parameters) -> Vec<usize> {
    let window_slots = u32::try_from(WINDOW).unwrap().try_into().unwrap();
    let mut street = Region::<Plain>::open_with(MEMBERS, Parameters { window_slots, ..parameters });
    let mut in_window = |window: u64| {
        let before = street.disks[HOLDER].commits;
        for position in window * WINDOW..(window + 1) * WINDOW {
            let slot = street.run_slot(position);
            // Whatever is due is done, such as forgetting what is over.
            street.close(slot);
        }
        street.disks[HOLDER].commits - before
    };
    let commits = (0..4).map(&mut in_window).collect();
    // What is over was erased, and needed no commit of its own.
    let first = street.slot(2 * WINDOW).0;
    assert!(street.disks[HOLDER].of(Sort::Sent).all(|(key, _)| key.position >= first));
    commits
}

#[test]
fn a_meter_commits_twice_for_a_slot_three_times_for_a_portion_and_twice_for_an_epoch() {
    let two_steps = Parameters { tariff: peak(4, 8), ..parameters::<Plain>() };
    let both = both_registers::<Plain>();
    for (parameters, portions) in [(parameters::<Plain>(), 1), (both, 1), (two_steps, 2)] {
        let window = usize::try_from(2 * WINDOW).unwrap() + 3 * portions;
        // The next epoch is opened in the third window.
        assert_eq!(commits(parameters), [window, window, window + 2, window]);
    }
}

#[test]
fn a_contributions_record_keeps_its_length_when_its_receipt_comes() {
    let mut street = Region::<Plain>::open(MEMBERS);
    street.run_slot(0);
    let slot = street.end_slot(1);
    (0..MEMBERS).for_each(|at| drop(street.read(at, slot, 1 << at)));
    let kept = |street: &Region<Plain>| {
        let (_, record) = street.disks[HOLDER].of(Sort::Sent).last().unwrap();
        record.to_vec()
    };
    let without = kept(&street);
    (0..MEMBERS).for_each(|at| street.meters[at].handle_connected(street.now));
    street.deliver();
    street.close(slot);
    let with = kept(&street);
    assert_ne!(without, with);
    assert_eq!(without.len(), with.len());
}
