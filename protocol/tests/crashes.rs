//! Machines that crash at any point, and a meter whose disk was put back:
//! energy is counted once, or given up, and never counted twice.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::Plain;
use common::home::{HOME, Home};
use common::region::{MEMBERS, Region};
use common::{copy, dealt, meter_id, region_id};
use protocol::message::{Outcome, Subject};
use protocol::parameters::Parameters;
use protocol::record::{Records, Sort};

/// Windows of eight slots, of which a pool and a bill need three.
fn eight_slots() -> Parameters {
    Parameters { window_slots: NonZeroU32::new(8).unwrap(), ..dealt::<Plain>() }
}

/// A window in which the home's agent is not heard, then down for some slots;
/// a window in which that is carried; and one to settle it. The agent crashes
/// at one of its commits, before or after it is durable.
fn three_windows(crash: Option<(usize, bool)>) -> Home {
    let mut home = Home::open(eight_slots());
    let disk = &mut home.street.disks[HOME];
    disk.commits = 0;
    if let Some((commit, is_durable)) = crash {
        disk.crash_at(commit, is_durable);
    }
    home.let_pass(0..2, true, true);
    home.let_pass(2..4, true, false);
    home.let_pass(4..6, false, false);
    home.start(None);
    home.let_pass(6..24, true, true);
    home.fill_gap(24);
    // A listing that was lost in a crash is asked for after half the deadline.
    home.street.run_until(home.street.now + Duration::from_mins(65));
    home
}

#[test]
fn energy_of_a_gap_and_of_uncounted_slots_is_counted_once() {
    let home = three_windows(None);
    let left = home.uncounted();
    assert_eq!((left.unsettled_wh, left.pooled_wh, left.lost_wh), (0, 0, 0));
    assert_eq!(home.counted(), home.used());
}

#[test]
fn a_crash_at_any_commit_neither_loses_energy_nor_counts_it_twice() {
    let commits = three_windows(None).street.disks[HOME].commits;
    assert!(commits > 2 * 20, "{commits}");
    for commit in 1..=commits {
        for is_durable in [false, true] {
            let home = three_windows(Some((commit, is_durable)));
            assert!(home.street.disks[HOME].crash.is_none());
            let left = home.uncounted();
            let all = home.counted() + left.unsettled_wh + left.pooled_wh;
            let lost = (home.used() - home.given(), left.lost_wh);
            assert_eq!((all, lost), (home.used(), (0, 0)), "commit {commit}, {is_durable}");
        }
    }
}

/// A home whose pool is carried, and its disk before that.
fn carried() -> (Home, Records) {
    let mut home = Home::open(eight_slots());
    home.let_pass(0..4, true, false);
    home.let_pass(4..8, true, true);
    home.street.run_until(home.street.now + Duration::from_mins(5));
    let before = copy(&home.street.disks[HOME], Sort::ALL);
    assert!(home.uncounted().pooled_wh > 0);
    (home, before)
}

#[test]
fn a_pool_of_an_older_disk_is_not_carried_again() {
    let (mut home, before) = carried();
    home.let_pass(8..12, true, true);
    home.start(Some(before));
    home.let_pass(12..24, true, true);
    home.street.run_until(home.street.now + Duration::from_mins(5));
    let left = home.uncounted();
    assert_eq!((left.unsettled_wh, left.pooled_wh), (0, 0));
    assert!(home.counted() < home.used() && home.used() <= home.counted() + left.lost_wh);
}

#[test]
fn what_an_older_disk_has_not_settled_is_not_carried_again() {
    let mut home = Home::open(eight_slots());
    home.let_pass(0..4, true, false);
    let before = copy(&home.street.disks[HOME], Sort::ALL);
    home.let_pass(4..12, true, true);
    home.start(Some(before));
    home.let_pass(12..32, true, true);
    home.street.run_until(home.street.now + Duration::from_mins(5));
    let left = home.uncounted();
    assert_eq!((left.unsettled_wh, left.pooled_wh), (0, 0));
    assert!(home.counted() <= home.used() && home.used() <= home.counted() + left.lost_wh);
}

#[test]
fn after_an_outage_a_pool_waits_for_the_listings_and_is_carried() {
    let (mut home, _) = carried();
    let pooled = home.uncounted().pooled_wh;
    home.let_pass(8..10, false, false);
    home.start(None);
    home.let_pass(10..16, true, true);
    assert!(home.uncounted().pooled_wh >= pooled);
    home.street.run_until(home.street.now + Duration::from_mins(5));
    home.let_pass(16..24, true, true);
    home.street.run_until(home.street.now + Duration::from_mins(5));
    let left = home.uncounted();
    assert_eq!((left.lost_wh, home.counted() + left.pooled_wh), (0, home.used()));
    assert!(left.pooled_wh < pooled);
}

#[test]
fn a_doubt_survives_restarts_until_it_is_settled() {
    let (mut home, before) = carried();
    home.let_pass(8..12, true, true);
    home.start(Some(before));
    home.let_pass(12..14, true, true);
    // The mark has moved on: only the doubt tells of the slots before it.
    home.start(None);
    home.street.run_until(home.street.now + Duration::from_mins(1));
    home.let_pass(14..16, true, true);
    let said = home.street.meters[HOME].counters();
    assert_eq!(said.get("disk-is-older"), Some(&1));
    home.start(None);
    home.let_pass(16..24, true, true);
    assert!(home.counted() < home.used());
}

/// Two windows of four slots of a collector that crashes at one of its commits.
/// A member is late in the second slot.
fn two_windows(crash: Option<(usize, bool)>) -> Region<Plain> {
    let mut street = Region::<Plain>::open_with(MEMBERS, dealt::<Plain>());
    street.disk.commits = 0;
    if let Some((commit, is_durable)) = crash {
        street.disk.crash_at(commit, is_durable);
    }
    for position in 0..8 {
        street.offline = (position == 1).then_some(HOME).into_iter().collect();
        let slot = street.run_slot(position);
        street.close(slot);
        street.offline.clear();
        street.meters[HOME].handle_connected(street.now);
    }
    street.run_until(street.now + Duration::from_mins(65));
    street
}

/// What a sum has to be: meter i contributes 2^i to each slot.
fn expected(result: &Outcome) -> u64 {
    let reads = |at: usize| 1 << at;
    let all = 0..MEMBERS;
    match &result.subject {
        Subject::Region(_) => {
            let counted = all.filter(|at| result.contributors.contains(&meter_id(*at)));
            counted.map(reads).sum()
        }
        Subject::Meter(meter) => {
            let at = all.into_iter().find(|at| meter_id(*at) == *meter).unwrap();
            u64::from(result.slots) * reads(at)
        }
    }
}

#[test]
fn a_collector_that_crashes_at_any_commit_finds_every_result_and_each_once() {
    let commits = two_windows(None).disk.commits;
    assert!(commits > 2 * 8, "{commits}");
    for commit in 1..=commits {
        for is_durable in [false, true] {
            let street = two_windows(Some((commit, is_durable)));
            assert!(street.disk.crash.is_none());
            let mut found: BTreeMap<_, Outcome> = BTreeMap::new();
            for result in street.results() {
                assert_eq!(result.sum_wh, expected(&result), "commit {commit}, {is_durable}");
                let key = (result.subject.clone(), result.first_slot);
                let known = found.insert(key, result.clone());
                assert!(known.is_none_or(|known| known.contributors == result.contributors));
            }
            let regions = (0..8).map(|at| (Subject::Region(region_id()), street.slot(at)));
            let meters = (0..MEMBERS).map(|at| Subject::Meter(meter_id(at)));
            let bills = meters.flat_map(|of| [0, 4].map(|at| (of.clone(), street.slot(at))));
            let all: BTreeSet<_> = regions.chain(bills).collect();
            assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), all, "commit {commit}");
            assert_eq!(street.disk.of(Sort::Evidence).count(), 0);
        }
    }
}
