use super::*;

use aggregation::{ElGamal, Scheme as _};
use meter_agent::source::SourceConfig;
use meter_agent::source::simulated::SimulatedConfig;
use protocol::id::Digest;
use protocol::identity::Identity;
use protocol::message::Member;
use protocol::parameters::{Parameters, RangeProofs, Threshold};
use protocol::slot::Slot;
use protocol::tariff::Tariff;
use serde_bytes::ByteBuf;
use std::num::NonZeroU32;

const ORIGIN: Slot = Slot(1000);
const FIRST: Epoch = Epoch(1);
const METERS: [&str; 2] = ["m-1", "m-2"];

struct Run {
    tally: Tally,
    truth: Truth,
}

/// A run of two meters over `slots` slots of 1 s in windows of 10.
fn run(slots: u32) -> Run {
    let roster = roster();
    let grid = roster.parameters.grid(ORIGIN);
    let config = |seed| {
        let home = SimulatedConfig { seed, solar_peak_w: 0, speedup: 900 };
        SourceConfig::Simulated(home)
    };
    let meters = [(METERS[0].parse().unwrap(), config(1)), (METERS[1].parse().unwrap(), config(2))];
    let sources = meters.iter().map(|(meter, config)| (meter, config));
    let truth = Truth::open(sources, grid, 65_535, None).unwrap();
    let tally = Tally::new(&"demo".parse().unwrap(), (FIRST, &roster), slots);
    Run { tally, truth }
}

fn roster() -> Roster {
    roster_of(METERS.into_iter(), 2)
}

/// A roster of 20 slots of which `needed` members have to be there.
pub(crate) fn roster_of<'a>(names: impl Iterator<Item = &'a str>, needed: u16) -> Roster {
    let key = Identity::from_seed(&[1; 32]).key();
    let member = |name: &str| {
        let meter = name.parse().unwrap();
        Member { meter, key, part: ByteBuf::new() }
    };
    Roster {
        previous: Digest::NONE,
        attempt: 0,
        invitation: Digest::NONE,
        dealings: Digest::NONE,
        collector: key,
        first_slot: ORIGIN,
        end_slot: ORIGIN.plus(20),
        parameters: Parameters {
            scheme: ElGamal::NAME.to_owned(),
            threshold: Threshold::Of(needed),
            min_contributors: 2,
            max_corrupted: 0,
            min_slots: 5,
            slot_seconds: NonZeroU32::MIN,
            window_slots: NonZeroU32::new(10).unwrap(),
            grace_s: 1,
            deadline_s: 20,
            max_wh_per_slot: 65_535,
            registers: vec![Register::Import],
            range_proofs: RangeProofs::Off,
            tariff: Tariff::single(),
        },
        group_key: ByteBuf::new(),
        members: names.map(member).collect(),
    }
}

/// The millisecond at which a slot ends.
fn end(position: u64) -> Timestamp {
    Timestamp((ORIGIN.0 + position + 1) * 1000)
}

impl Run {
    /// The right result for a slot of the region, or a window of a meter.
    fn right(&mut self, subject: Subject, first: u64) -> Outcome {
        let slots = if matches!(subject, Subject::Region(_)) { 1 } else { 10 };
        let mut outcome = Outcome {
            subject,
            register: Register::Import,
            first_slot: ORIGIN.plus(first),
            slots,
            sum_wh: 0,
            contributors: METERS.iter().map(|name| name.parse().unwrap()).collect(),
            uncounted: Vec::new(),
            step: None,
            uncounted_slots: Vec::new(),
            withheld_slots: Vec::new(),
            joined_slots: Vec::new(),
            helpers: Vec::new(),
            unanswered: Vec::new(),
            culprits: Vec::new(),
        };
        outcome.sum_wh = self.truth.expected(&outcome).unwrap();
        outcome
    }

    fn of_region(&mut self, position: u64) -> Outcome {
        self.right(Subject::Region("demo".parse().unwrap()), position)
    }

    fn take(&mut self, outcome: Outcome, at: Timestamp) -> Option<Checked> {
        self.tally.take((FIRST, outcome), at, &mut self.truth)
    }

    fn counts(&self) -> Counts {
        self.tally.counts(Ending::Complete)
    }
}

#[test]
fn a_right_result_completes_its_slot() {
    let mut run = run(1);
    let outcome = run.of_region(0);
    let checked = run.take(outcome, Timestamp(end(0).0 + 42)).unwrap();
    assert!(checked.is_right());
    assert_eq!(checked.latency, Duration::from_millis(42));
    assert_eq!(run.tally.settle(end(0)).len(), 1);
    assert!(run.tally.is_complete());
    assert_eq!(run.counts(), Counts { region_results: 1, epochs: 1, ..Counts::default() });
}

#[test]
fn a_wrong_sum_is_counted() {
    let mut run = run(1);
    let mut outcome = run.of_region(0);
    outcome.sum_wh += 1;
    assert!(!run.take(outcome, end(0)).unwrap().is_right());
    assert_eq!(run.counts().wrong, 1);
}

#[test]
fn a_repeated_result_counts_once_and_a_different_one_is_wrong() {
    let mut run = run(1);
    let outcome = run.of_region(0);
    run.take(outcome.clone(), end(0)).unwrap();
    assert!(run.take(outcome.clone(), end(0)).is_none());
    let mut other = outcome;
    other.contributors.pop();
    other.sum_wh = run.truth.expected(&other).unwrap();
    assert!(!run.take(other, end(0)).unwrap().is_right());
    assert_eq!(run.counts().wrong, 1);
}

#[test]
fn slots_beyond_the_run_and_windows_that_it_cuts_off_are_nobodys() {
    let mut run = run(19);
    let beyond = run.of_region(19);
    assert!(run.take(beyond, end(19)).is_none());
    let cut_off = run.right(Subject::Meter("m-1".parse().unwrap()), 10);
    assert!(run.take(cut_off, end(19)).is_none());
    // 19 slots, and two meters over one window.
    assert_eq!(run.counts().missing, 21);
}

#[test]
fn a_result_is_given_up_at_its_deadline() {
    let mut run = run(1);
    // Grace, deadline, and what may be under way.
    let give_up = Timestamp(end(0).0 + 24_000);
    assert!(run.tally.settle(Timestamp(give_up.0 - 1)).is_empty());
    assert_eq!(run.tally.settle(give_up).len(), 1);
    assert_eq!(run.counts().missing, 1);
    assert_eq!(run.tally.counts(Ending::Interrupted).missing, 1);
}

#[test]
fn an_abandoned_round_is_missing_at_once_with_its_reason() {
    let mut run = run(2);
    let status = Status {
        target: Target::Region(ORIGIN),
        phase: Phase::Abandoned("too few".to_owned()),
        counted: Vec::new(),
        uncounted: Vec::new(),
        waiting_for: Vec::new(),
        culprits: Vec::new(),
    };
    run.tally.note(FIRST, status, end(0));
    let settled = run.tally.settle(end(0));
    assert_eq!(settled.first().unwrap().reason.as_deref(), Some("too few"));
    assert_eq!(run.counts().missing, 2);
    // The second slot is not waited for any more.
    assert_eq!(run.tally.counts(Ending::Interrupted).missing, 1);
}

impl Run {
    /// The final listing of the first window, in which `m-2` was counted in so
    /// many slots.
    fn list(&mut self, slots: u64) {
        let first = |count| (0..count).map(|position| ORIGIN.plus(position)).collect();
        let billable = METERS.iter().zip([first(10), first(slots)]);
        let billable = billable.map(|(name, slots)| (name.parse().unwrap(), slots)).collect();
        self.tally.note_listed(FIRST, Window(0), billable);
    }

    fn bill(&mut self, name: &str) -> Option<Checked> {
        let bill = self.right(Subject::Meter(name.parse().unwrap()), 0);
        self.take(bill, end(9))
    }
}

#[test]
fn a_meter_of_too_few_slots_owes_no_bill() {
    let mut run = run(10);
    run.list(4);
    // Ten slots, and the bill of the other meter.
    assert_eq!(run.counts().missing, 11);
    let settled = run.tally.settle(Timestamp(end(9).0 + 60_000));
    assert!(settled.last().unwrap().without_bill.contains(&METERS[1].parse().unwrap()));
}

#[test]
fn a_bill_of_other_slots_than_its_listing_opens_is_wrong() {
    for slots in [9, 10] {
        let mut run = run(10);
        run.list(slots);
        assert_eq!(run.bill("m-2").unwrap().is_right(), slots == 10);
    }
    assert!(!run(10).bill("m-1").unwrap().is_right());
}

#[test]
fn bills_that_killed_agents_did_not_claim_are_not_missing() {
    let mut run = run(10);
    run.tally.expect_kills();
    run.tally.settle(Timestamp(end(9).0 + 60_000));
    assert_eq!((run.counts().missing, run.counts().unclaimed), (10, 2));
}

#[test]
fn each_epoch_has_its_members_and_its_windows() {
    let mut run = run(30);
    let second = Roster { first_slot: ORIGIN.plus(20), end_slot: ORIGIN.plus(30), ..roster() };
    let second = Roster { members: second.members[..1].to_vec(), ..second };
    run.tally.open(Epoch(2), &second);
    // 30 slots, two meters over two windows, one meter over one.
    assert_eq!(run.counts().missing, 30 + 4 + 1);
    let mut outcome = run.of_region(20);
    outcome.contributors.truncate(1);
    outcome.sum_wh = run.truth.expected(&outcome).unwrap();
    let mut take = |epoch, outcome: &Outcome| {
        run.tally.take((Epoch(epoch), outcome.clone()), end(20), &mut run.truth)
    };
    assert!(take(2, &outcome).unwrap().is_right());
    assert!(take(3, &outcome).is_none());
    let slots = (20..30).map(|position| ORIGIN.plus(position)).collect();
    run.tally.note_listed(Epoch(2), Window(0), [(METERS[0].parse().unwrap(), slots)].into());
    let bill = run.right(Subject::Meter("m-1".parse().unwrap()), 20);
    assert!(run.tally.take((Epoch(2), bill), end(29), &mut run.truth).unwrap().is_right());
    assert_eq!(run.counts().epochs, 1);
}

#[test]
fn a_result_outside_its_epoch_or_with_other_members_is_wrong() {
    let wrong = |epoch: u32, position, alter: fn(&mut Outcome)| {
        let mut run = run(30);
        let second = Roster { first_slot: ORIGIN.plus(20), end_slot: ORIGIN.plus(30), ..roster() };
        run.tally.open(Epoch(2), &second);
        let mut outcome = run.of_region(position);
        alter(&mut outcome);
        outcome.sum_wh = run.truth.expected(&outcome).unwrap();
        let taken = run.tally.take((Epoch(epoch), outcome), end(position), &mut run.truth);
        !taken.unwrap().is_right()
    };
    assert!(!wrong(1, 3, |_| {}) && !wrong(2, 23, |_| {}));
    assert!(wrong(2, 3, |_| {}) && wrong(1, 23, |_| {}));
    assert!(wrong(1, 3, |outcome| outcome.contributors.truncate(1)));
}
