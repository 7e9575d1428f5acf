use super::*;

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use protocol::message::Outcome;
use protocol::reading::Register;

fn human(colours: bool) -> Human {
    let source = "simulated readings".to_owned();
    Human { meters: 3, slots: 20, source, captured: None, colours }
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
        step: None,
        uncounted_slots: Vec::new(),
        withheld_slots: Vec::new(),
        joined_slots: Vec::new(),
        helpers: Vec::new(),
        unanswered: Vec::new(),
        culprits: Vec::new(),
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

fn subject(name: &str) -> Sum {
    (Subject::Meter(name.parse().unwrap()), Register::Import)
}

/// A window in which `names` have sums.
fn window(names: &[&str]) -> Settled {
    let bill = |name: &&str| {
        let mut bill = checked(subject(name).0, 5);
        bill.outcome.contributors = vec![name.parse().unwrap()];
        (subject(name), bill)
    };
    let results = names.iter().map(bill).collect();
    let (span, missing) = (Span::Window(Slot(1000), Slot(1009)), BTreeSet::new());
    Settled { span, results, missing, without_bill: BTreeSet::new(), reason: None }
}

#[test]
fn a_window_names_its_meters_and_those_without_a_sum() {
    let mut settled = window(&["m-01"]);
    settled.missing = BTreeSet::from([subject("m-03")]);
    let table = human(false).settled(&settled, &grid()).unwrap();
    for part in ["Window 1 (slots 1 to 10)", "simulated", "m-01", "(5)", "MISSING m-03: nothing"] {
        assert!(table.contains(part), "{table}");
    }
}

#[test]
fn a_window_names_those_that_are_counted_in_too_few_slots() {
    let without_bill = BTreeSet::from(["m-03".parse().unwrap()]);
    let said = human(false).settled(&Settled { without_bill, ..window(&[]) }, &grid()).unwrap();
    assert!(said.contains("without a sum: m-03, counted in too few slots"), "{said}");
    let said = human(false).settled(&window(&[]), &grid()).unwrap();
    assert!(!said.contains("without a sum"), "{said}");
}

#[test]
fn a_captured_meter_has_a_line_and_a_label_of_its_own() {
    let mut human = human(false);
    human.label("m-03".parse().unwrap());
    let table = human.settled(&window(&["m-01", "m-02", "m-03"]), &grid()).unwrap();
    let lines: Vec<_> = table.lines().filter(|line| line.contains("ok")).collect();
    let [simulated, captured] = lines.as_slice() else { panic!("{table}") };
    assert!(simulated.contains("m-01") && simulated.contains("m-02"), "{table}");
    assert!(captured.contains("m-03") && captured.ends_with("  P1 capture"), "{table}");
    assert!(table.contains("simulated readings, m-03's from the P1 capture"), "{table}");
}

#[test]
fn a_summary_compares_register_and_opened_sums() {
    let meter = "m-03".parse().unwrap();
    let billed = Billed { meter, windows: 2, register_wh: 7, opened_wh: 7 };
    let (counts, took) = (crate::tally::Counts::default(), Duration::from_mins(1));
    let summary =
        Summary { counts, took, latencies: None, billed: Some(billed), balance: None, audit: None };
    let said = human(false).summary(&summary);
    let line = "register difference over 2 windows: 7 Wh, opened: 7 Wh";
    assert!(said.contains(line), "{said}");
}

#[test]
fn a_summary_says_where_the_energy_is() {
    let balance = Balance {
        measured_wh: 100,
        counted_wh: 90,
        pooled_wh: 7,
        unsettled_wh: 2,
        lost_wh: 1,
        unopened: 0,
    };
    let said = |balance| {
        let (counts, took) = (crate::tally::Counts::default(), Duration::from_mins(1));
        let (latencies, billed, balance, audit) = (None, None, Some(balance), None);
        human(false).summary(&Summary { counts, took, latencies, billed, balance, audit })
    };
    assert!(said(balance).contains("no Wh is lost or counted twice"));
    assert!(said(Balance { counted_wh: 91, ..balance }).contains("NOT all there"));
    assert!(said(Balance { unopened: 1, ..balance }).contains("not weighed"));
}
