//! Members that hide what no reading can be, and what their proofs tell.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

mod common;

use std::collections::BTreeSet;

use common::{count, events, meter, nth, open, plan, summed, within};
use protocol::id::Epoch;
use protocol::message::Lapse;
use protocol::output::Event;
use protocol::parameters::{Parameters, RangeProofs};
use protocol::reading::Register;
use simulator::{Faults, Party, Plan, Report};

const LIAR: u16 = 3;

/// More than a contribution may hold.
const TOO_MUCH: u64 = 70_000;

/// Two epochs of twenty slots each, in which any eight of twelve open a sum.
fn two_epochs(seed: u64, range_proofs: RangeProofs) -> Plan {
    let plan = plan(seed);
    let parameters = Parameters { range_proofs, ..plan.parameters.clone() };
    Plan { parameters, epoch_windows: 2, epochs: 2, ..plan }.with_threshold(8)
}

/// Who was named because it had no proof, and what it did instead.
fn named(report: &Report) -> BTreeSet<(String, Lapse)> {
    let named = events(report, Party::Collector, "unproven").into_iter();
    let of = |event: &Event| match event {
        Event::Unproven { meter, why, .. } => (meter.to_string(), *why),
        other => panic!("{other}"),
    };
    named.map(of).collect()
}

#[test]
fn where_each_proves_its_range_a_liar_is_in_no_sum() {
    let (mut world, grid) = open(two_epochs(301, RangeProofs::Each));
    world.run_until(within(&grid, 5, 30)).unwrap();
    world.pretend(LIAR, TOO_MUCH);
    let report = world.run().unwrap();
    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    for at in 5..40 {
        let sum = report.region(Register::Import, nth(&grid, at)).unwrap();
        assert_eq!(sum.uncounted, [meter(LIAR)], "{at}");
    }
    assert!(report.rejections["range-proof"] >= 35);
    assert_eq!(named(&report), BTreeSet::new());
}

#[test]
fn a_liar_that_is_audited_is_left_out_of_the_next_epoch() {
    // The second epoch's ceremony begins after the first window.
    let plan = Plan { epoch_windows: 3, ..two_epochs(302, RangeProofs::Audit) };
    let (mut world, grid) = open(plan);
    world.run_until(within(&grid, 5, 30)).unwrap();
    world.pretend(LIAR, TOO_MUCH);
    let report = world.run().unwrap();
    // What it hides is in the sums of its own epoch, and the judge knows it.
    assert_eq!(summed(&report, &grid), (0..40).collect::<Vec<_>>());
    let sum = report.region(Register::Import, nth(&grid, 5)).unwrap();
    assert!(sum.contributors.contains(&meter(LIAR)) && sum.sum_wh > TOO_MUCH);
    assert_eq!(named(&report), BTreeSet::from([(meter(LIAR).to_string(), Lapse::Bad)]));
    let second = &report.rosters[&Epoch(2)];
    let members: Vec<_> = second.members.iter().map(|member| member.meter.clone()).collect();
    let honest = (0..12).filter(|number| *number != LIAR).map(meter);
    assert_eq!(members, honest.collect::<Vec<_>>());
}

#[test]
fn nobody_honest_is_named_on_a_network_that_loses_repeats_and_reorders() {
    for seed in 303..=304 {
        let plan = two_epochs(seed, RangeProofs::Audit);
        let parameters = Parameters { grace_s: 30, ..plan.parameters };
        let (world, _) = open(Plan { parameters, faults: Faults::moderate(), ..plan });
        let report = world.run().unwrap();
        assert!(count(&report, "challenged") >= 4, "seed {seed}");
        assert_eq!(named(&report), BTreeSet::new(), "seed {seed}");
    }
}
