use super::*;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use protocol::message::Outcome;
use protocol::reading::Register;

fn human(colours: bool) -> Human {
    Human { meters: 3, slots: 20, source: "simulated readings", colours }
}

fn grid() -> Grid {
    Grid {
        slot_seconds: NonZeroU32::new(3).unwrap(),
        window_slots: NonZeroU32::new(10).unwrap(),
        origin: Slot(1000),
    }
}

fn checked(subject: Subject, sum_wh: u64) -> Checked {
    let meters = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let outcome = Outcome {
        subject,
        register: Register::Import,
        first_slot: Slot(1000),
        slots: 1,
        sum_wh,
        contributors: meters(&["m-01", "m-03"]),
        uncounted: meters(&["m-02"]),
        uncounted_slots: Vec::new(),
    };
    let latency = Duration::from_millis(7);
    Checked { outcome, expected: Some(5), latency, is_second: false }
}

fn of_region(sum_wh: u64) -> Checked {
    checked(Subject::Region("demo".parse().unwrap()), sum_wh)
}

#[test]
fn a_slot_is_one_line_with_sum_truth_and_who_is_absent() {
    let line = human(false).result(&of_region(5), &grid()).unwrap();
    assert_eq!(
        line,
        "     1/20  00:50:03          5          5  ok         2/3      7 ms  without m-02"
    );
}

#[test]
fn a_wrong_sum_is_called_wrong_in_colour_only_where_colours_are_wanted() {
    let plain = human(false).result(&of_region(6), &grid()).unwrap();
    assert!(plain.contains("WRONG") && !plain.contains('\x1b'), "{plain}");
    let coloured = human(true).result(&of_region(6), &grid()).unwrap();
    assert!(coloured.contains("\x1b[1;31mWRONG\x1b[0m"), "{coloured}");
}

#[test]
fn a_window_names_its_meters_and_those_without_a_sum() {
    let subject = |name: &str| (Subject::Meter(name.parse().unwrap()), Register::Import);
    let mut bill = checked(subject("m-01").0, 5);
    bill.outcome.contributors.truncate(1);
    let settled = Settled {
        target: Target::Bill(Window(0)),
        results: BTreeMap::from([(subject("m-01"), bill)]),
        missing: BTreeSet::from([subject("m-03")]),
        reason: None,
    };
    let table = human(false).settled(&settled, &grid()).unwrap();
    for part in ["Window 1 (slots 1 to 10)", "simulated", "m-01", "(5)", "MISSING m-03: nothing"] {
        assert!(table.contains(part), "{table}");
    }
}
