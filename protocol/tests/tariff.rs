//! Tariff steps: which instant lies in which, what is no tariff, and times as
//! people write them.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

use std::num::NonZeroU32;

use ciborium::value::Value;
use proptest::prelude::*;
use protocol::slot::{Slot, Timestamp};
use protocol::tariff::{
    SPANS_MAX, Step, StepId, Tariff, TariffError, WEEK_S, read_times, write_times,
};

const DAY_S: u32 = 86_400;

fn seconds(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn step(name: &str, spans: &[(u32, u32)]) -> Step {
    Step { name: name.parse().unwrap(), spans: spans.to_vec() }
}

fn read(texts: &[&str]) -> Vec<(u32, u32)> {
    read_times(texts, WEEK_S).unwrap()
}

/// Steps of a week by their times; the last takes the rest.
fn week(times: &[(&str, &[&str])]) -> Tariff {
    let steps = times.iter().map(|(name, times)| step(name, &read(times)));
    Tariff::new(WEEK_S, steps.chain([step("rest", &[])]).collect()).unwrap()
}

/// The step at a second of the week that begins on Monday 2023-11-13.
fn step_in_week(tariff: &Tariff, second: u32) -> StepId {
    tariff.step_at(Timestamp((1_699_833_600 + u64::from(second)) * 1000))
}

/// What is read of an encoded tariff: nothing, or what is wrong.
fn decoded(cycle_s: u32, steps: &[(&str, &[(u32, u32)])]) -> Option<String> {
    let encoded = encoded(&(cycle_s, steps));
    ciborium::from_reader::<Tariff, _>(&*encoded).err().map(|error| error.to_string())
}

fn encoded(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// Legal spans of a cycle of 1000 seconds, made of every other run of the cuts.
fn spans() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let cuts = proptest::collection::btree_set(0_u32..=1000, 2..20);
    cuts.prop_map(|cuts| {
        let cuts: Vec<_> = cuts.into_iter().collect();
        cuts.chunks_exact(2).map(|cut| (cut[0], cut[1])).collect()
    })
}

/// Legal spans of a week, on whole minutes.
fn week_spans() -> impl Strategy<Value = Vec<(u32, u32)>> {
    spans().prop_map(|spans| {
        let minute = |cut| (cut * 10_080 / 1000) * 60;
        spans.into_iter().map(|(from, to)| (minute(from), minute(to))).collect()
    })
}

proptest! {
    #[test]
    fn every_instant_lies_in_exactly_one_step(spans in spans(), at in 0_u64..100_000_000) {
        let others: Vec<_> = spans.windows(2).map(|two| (two[0].1, two[1].0)).collect();
        let steps = vec![step("one", &spans), step("other", &others), step("rest", &[])];
        prop_assume!(!others.is_empty());
        let tariff = Tariff::new(seconds(1000), steps).unwrap();
        // The first Monday is second 600 of a thousand.
        let second = u32::try_from((at + 1000 - 600) % 1000).unwrap();
        let holds = |spans: &[(u32, u32)]| spans.iter().any(|s| (s.0..s.1).contains(&second));
        let expected = match (holds(&spans), holds(&others)) {
            (true, false) => 0,
            (false, true) => 1,
            (false, false) => 2,
            (true, true) => panic!("the spans overlap"),
        };
        prop_assert_eq!(tariff.step_at(Timestamp(at * 1000 + 999)), StepId(expected));
    }

    #[test]
    fn times_read_back_as_written(spans in spans(), week in week_spans()) {
        for (spans, cycle) in [(spans, seconds(1000)), (week, WEEK_S)] {
            let texts = write_times(&spans, cycle);
            prop_assert_eq!(read_times(&texts, cycle).unwrap(), spans, "{:?}", texts);
        }
    }

    #[test]
    fn a_tariff_has_one_encoding(spans in spans()) {
        let tariff = Tariff::new(seconds(1000), vec![step("one", &spans), step("rest", &[])]);
        let bytes = encoded(&tariff.clone().unwrap());
        let read: Tariff = ciborium::from_reader(&*bytes).unwrap();
        prop_assert_eq!(read, tariff.unwrap());
    }
}

#[test]
fn a_slot_belongs_to_the_step_in_which_it_begins() {
    let tariff = week(&[("day", &["mon-fri 07:00-22:00"])]);
    let step_of = |slot| tariff.step_of(Slot(slot), seconds(900));
    // Monday 2023-11-13, 06:45 to 07:00 and 07:00 to 07:15.
    let monday = 1_699_833_600 / 900;
    assert_eq!([step_of(monday + 27), step_of(monday + 28)], [StepId(1), StepId(0)]);
    assert_eq!([step_of(monday + 87), step_of(monday + 88)], [StepId(0), StepId(1)]);
    assert_eq!(step_of(monday + 5 * 96 + 40), StepId(1));
}

#[test]
fn a_slot_over_the_end_of_a_step_is_of_the_step_before() {
    let tariff = week(&[("day", &["07:05-22:00"])]);
    assert_eq!(tariff.step_of(Slot(1_699_833_600 / 900 + 28), seconds(900)), StepId(1));
}

#[test]
fn a_single_step_takes_all_time() {
    let single = Tariff::single();
    assert_eq!((single.len(), single.to_string().as_str()), (1, "all"));
    let instants = [0, 1, 345_599_999, 345_600_000, 1_800_000_000_000, u64::MAX];
    assert!(instants.iter().all(|at| single.step_at(Timestamp(*at)) == StepId(0)));
}

#[test]
fn steps_have_places_and_names() {
    let tariff = week(&[("day", &["07:00-22:00"])]);
    assert_eq!(tariff.ids().collect::<Vec<_>>(), [StepId(0), StepId(1)]);
    let name = |step| tariff.name(StepId(step)).map(ToString::to_string);
    assert_eq!([name(0), name(1), name(2)], [Some("day".into()), Some("rest".into()), None]);
    assert_eq!(tariff.to_string(), "day 07:00-22:00; rest");
}

#[test]
fn the_week_begins_on_monday_at_midnight_utc() {
    let tariff = week(&[("monday", &["mon 00:00-24:00"])]);
    assert_eq!(step_in_week(&tariff, 0), StepId(0));
    assert_eq!(step_in_week(&tariff, DAY_S - 1), StepId(0));
    assert_eq!(step_in_week(&tariff, DAY_S), StepId(1));
    assert_eq!(tariff.step_at(Timestamp(4 * 86_400_000)), StepId(0));
    assert_eq!(tariff.step_at(Timestamp(4 * 86_400_000 - 1)), StepId(1));
}

#[test]
fn times_are_spans_of_the_week() {
    let hours = |from: u32, to: u32| (from * 3600, to * 3600);
    assert_eq!(read(&["00:00-24:00"]), [(0, 7 * DAY_S)]);
    assert_eq!(read(&["sat-sun 00:00-24:00"]), [(5 * DAY_S, 7 * DAY_S)]);
    assert_eq!(read(&["tue 07:00-22:00"]), [hours(31, 46)]);
    assert_eq!(read(&["sun 07:00:01-07:00:02"]), [(6 * DAY_S + 25_201, 6 * DAY_S + 25_202)]);
    assert_eq!(read(&["tue 00:00-01:00", "mon 23:00-24:00"]), [hours(23, 25)]);
    assert_eq!(read(&["mon-fri 07:00-22:00"])[4], hours(4 * 24 + 7, 4 * 24 + 22));
}

#[test]
fn times_over_midnight_end_on_the_day_after() {
    let hours = |from: u32, to: u32| (from * 3600, to * 3600);
    assert_eq!(read(&["mon 22:00-06:00"]), [hours(22, 30)]);
    assert_eq!(read(&["mon 22:00-00:00"]), [hours(22, 24)]);
    assert_eq!(read(&["sun 22:00-06:00"]), [hours(0, 6), hours(166, 168)]);
    assert_eq!(read(&["sat-mon 22:00-23:00"]), [hours(22, 23), hours(142, 143), hours(166, 167)]);
}

#[test]
fn times_of_another_cycle_count_from_its_beginning() {
    let read = |text: &str, cycle| read_times(&[text], seconds(cycle));
    assert_eq!(read("00:00:20-00:01", 90).unwrap(), [(20, 60)]);
    assert_eq!(read("00:01-00:00:20", 90).unwrap(), [(0, 20), (60, 90)]);
    assert_eq!(read("30:00-48:00", 172_800).unwrap(), [(108_000, 172_800)]);
    let error = read("mon 07:00-22:00", DAY_S).unwrap_err().to_string();
    assert!(error.contains("days are for a cycle of 604800 s"), "{error}");
}

#[test]
fn a_text_that_names_no_times_is_refused_with_what_is_wrong() {
    for (text, wrong) in [
        ("", "FROM-TO"),
        ("07:00", "FROM-TO"),
        ("mon", "FROM-TO"),
        ("mon-fri", "`mon` is no time"),
        ("mo 07:00-22:00", "`mo` are no days: mon, tue"),
        ("mon-fre 07:00-22:00", "`mon-fre` are no days"),
        ("mon,tue 07:00-22:00", "`mon,tue` are no days"),
        ("mon 07:00 - 22:00", "`07:00 ` is no time"),
        ("7:00-22:00", "`7:00` is no time: HH:MM or HH:MM:SS, from 00:00 to 23:59:59"),
        ("07:00-24:01", "`24:01` is no time: HH:MM or HH:MM:SS, from 00:00 to 24:00"),
        ("24:00-06:00", "`24:00` is no time"),
        ("07:60-22:00", "`07:60` is no time"),
        ("07:00:60-22:00", "`07:00:60` is no time"),
        ("+7:00-22:00", "`+7:00` is no time"),
        ("07:00:00:00-22:00", "is no time"),
        ("99999999999:00-22:00", "is no time"),
        ("07:00-07:00", "00:00-24:00 is all of it"),
    ] {
        let error = read_times(&[text], WEEK_S).unwrap_err().to_string();
        assert!(error.starts_with(&format!("times `{text}`: ")), "{error}");
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn an_encoding_is_a_tariff_or_says_why_not() {
    let (day, rest): (&[_], (&str, &[_])) = (&[(10, 20), (30, 100)], ("rest", &[]));
    assert_eq!(decoded(100, &[("day", day), rest]), None);
    assert_eq!(decoded(100, &[("day", day), ("noon", &[(20, 30)]), rest]), None);
    let spans: Vec<_> = (0..=84).map(|at| (at * 2, at * 2 + 1)).collect();
    let nine: Vec<_> = "abcdefghi".split("").filter(|name| !name.is_empty()).collect();
    let nine: Vec<(&str, &[_])> = nine.into_iter().map(|name| (name, day)).collect();
    for (wrong, cycle, steps) in [
        ("expected", 0, vec![rest]),
        ("cycle of 604801 s", 604_801, vec![rest]),
        ("0 steps", 100, vec![]),
        ("9 steps", 100, nine),
        ("170 spans", 200, vec![("day", &spans[..]), ("noon", &spans), rest]),
        ("named `day`", 100, vec![("day", day), ("noon", &[(0, 1)]), ("day", &[])]),
        ("`Day` is no name", 100, vec![("Day", day), rest]),
        ("leave its times out", 100, vec![("day", day)]),
        ("`day` has no times", 100, vec![("day", &[]), rest]),
        ("from second 20 to 20", 100, vec![("day", &[(20, 20)]), rest]),
        ("from second 20 to 10", 100, vec![("day", &[(20, 10)]), rest]),
        ("from second 20 to 101", 100, vec![("day", &[(20, 101)]), rest]),
        ("touch", 100, vec![("day", &[(10, 20), (20, 30)]), rest]),
        ("overlap", 100, vec![("day", &[(10, 21), (20, 30)]), rest]),
        ("out of order", 100, vec![("day", &[(20, 30), (10, 15)]), rest]),
        ("`day` and `noon` have", 100, vec![("day", day), ("noon", &[(15, 25)]), rest]),
        ("`day` and `noon` have", 100, vec![("day", day), ("noon", &[(10, 20)]), rest]),
    ] {
        let error = decoded(cycle, &steps).unwrap();
        assert!(error.contains(wrong), "{error}, not {wrong}");
    }
}

#[test]
fn a_tariff_without_its_steps_is_none() {
    for value in [Value::Null, Value::Array(vec![]), Value::Array(vec![100.into()])] {
        assert!(ciborium::from_reader::<Tariff, _>(&*encoded(&value)).is_err(), "{value:?}");
    }
}

#[test]
fn spans_are_at_most_one_for_each_hour_of_a_week() {
    let spans: Vec<_> = (0..=84).map(|hour| (hour * 7200, hour * 7200 + 3600)).collect();
    let tariff = |one: usize, other: usize| {
        let shifted: Vec<_> = spans.iter().map(|(from, to)| (from + 3600, to + 3600)).collect();
        let steps =
            [step("even", &spans[..one]), step("odd", &shifted[..other]), step("rest", &[])];
        Tariff::new(WEEK_S, steps.to_vec())
    };
    assert!(tariff(84, 84).is_ok());
    assert_eq!(tariff(84, 85).unwrap_err(), TariffError::Spans(SPANS_MAX + 1));
}

#[test]
fn a_step_has_a_short_name() {
    use protocol::tariff::StepName;
    for good in ["day", "a", "0-1", "sixteen-letters-"] {
        assert_eq!(good.parse::<StepName>().unwrap().as_str(), good);
    }
    for bad in ["", "Day", "day time", "tag/nacht", "früh", "seventeen-letters"] {
        let error = bad.parse::<StepName>().unwrap_err().to_string();
        assert!(error.contains("1 to 16 of a-z"), "{error}");
    }
}
