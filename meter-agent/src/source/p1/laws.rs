//! What slots and registers owe each other, and the stories of a meter's life.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use protocol::reading::Register;
use protocol::slot::{Grid, Slot, Timestamp};

use super::super::Quantities;
use super::Misfit;
use super::series::{Answer, Event, LeftOut, Series, Terms};
use super::telegram::Telegram;

/// A boundary of slots of any of these tests: 2023-11-14T22:00:00Z.
pub(super) const START: Timestamp = Timestamp(1_699_999_200_000);

pub(super) fn after(ms: u64) -> Timestamp {
    Timestamp(START.0 + ms)
}

pub(super) fn series(slot_seconds: u64) -> Series {
    let terms = Terms {
        slot_ms: slot_seconds * 1_000,
        rating_w: 17_250,
        silence: Duration::from_mins(1),
        compare_clocks: false,
    };
    Series::new(terms, START)
}

/// A telegram of `meter` with so many Wh imported.
pub(super) fn telegram(meter: &str, wh: u64, stamp: &str) -> Telegram {
    with_lines(meter, stamp, &format!("1-0:1.8.0({wh}*Wh)"))
}

pub(super) fn with_lines(meter: &str, stamp: &str, lines: &str) -> Telegram {
    let text = format!("/ABC5\n0-0:96.1.1({meter})\n0-0:1.0.0({stamp})\n{lines}\n!");
    Telegram::parse(text.as_bytes()).ok().unwrap()
}

fn grid(slot_seconds: u32) -> Grid {
    let slot_seconds = NonZeroU32::new(slot_seconds).unwrap();
    let one = NonZeroU32::MIN;
    Grid { slot_seconds, window_slots: one, origin: Slot(0) }
}

/// The slots from `start` on, long after: import where it is known.
pub(super) fn ready(
    series: &mut Series,
    slot_seconds: u32,
    start: Timestamp,
    slots: u64,
) -> Vec<Option<u64>> {
    let known = |answer| match answer {
        Answer::Ready(energy) => Some(energy[&Register::Import]),
        Answer::LeftOut(_) => None,
        Answer::Pending(_) => panic!("nothing is pending long after"),
    };
    answers(series, slot_seconds, start, slots).into_iter().map(known).collect()
}

fn answers(series: &Series, slot_seconds: u32, start: Timestamp, slots: u64) -> Vec<Answer> {
    let grid = grid(slot_seconds);
    let first = grid.slot_at(start);
    let late = Timestamp(start.0 + 1_000_000_000);
    (0..slots).map(|slot| series.read(&grid, first.plus(slot), late)).collect()
}

fn events(series: &mut Series) -> Vec<Event> {
    std::iter::from_fn(|| series.poll_event()).collect()
}

/// A telegram every second from `from_s` to `to_s`, 1 Wh each; the register
/// shows `wh` at `START`.
fn run(series: &mut Series, meter: &str, wh: u64, seconds: std::ops::RangeInclusive<u64>) {
    for second in seconds {
        series.handle_telegram(&telegram(meter, wh + second, ""), after(second * 1_000));
    }
}

proptest! {
    #[test]
    fn slots_sum_to_the_register_whatever_the_spacing_up_to_a_minute(
        steps in vec((1_u64..=60_000, 0_u64..=4_000), 1..400),
        slot_seconds in prop::sample::select(vec![1_u32, 3, 60, 900]),
    ) {
        let mut series = series(slot_seconds.into());
        let (mut at, mut wh) = (0, 77);
        series.handle_telegram(&telegram("A", wh, ""), START);
        for (gap, milli) in steps {
            at += gap;
            // Up to 14.4 kW, in whole Wh.
            wh += gap * milli / 1_000_000;
            series.handle_telegram(&telegram("A", wh, ""), after(at));
        }
        let slot_ms = u64::from(slot_seconds) * 1_000;
        let end = at.div_ceil(slot_ms) * slot_ms;
        let boundary_in_reach = end - at <= 60_000;
        series.handle_telegram(&telegram("A", wh, ""), after(end));
        let slots = (end / slot_ms).min(1_000);
        let energy = ready(&mut series, slot_seconds, after(end - slots * slot_ms), slots);
        if boundary_in_reach {
            prop_assert!(energy.iter().all(Option::is_some));
            if slots * slot_ms == end {
                prop_assert_eq!(energy.iter().flatten().sum::<u64>(), wh - 77);
            }
        }
        let most = (slot_ms + 60_000) * 17_250 / 3_600_000 + 2;
        prop_assert!(energy.iter().flatten().all(|wh| *wh <= most));
    }

    #[test]
    fn any_telegrams_at_any_time_add_up_to_no_more_than_full_load(
        telegrams in vec((0_u64..3, 0_u64..5_000, 0_u64..2_000_000), 0..200),
    ) {
        let mut series = series(900);
        for (meter, wh, ms) in telegrams {
            let meter = ["A", "B", "C"][usize::try_from(meter).unwrap()];
            series.handle_telegram(&telegram(meter, wh, ""), after(ms));
            events(&mut series);
        }
        let energy = ready(&mut series, 900, START, 3);
        // A minute and a slot at 17,250 W; registers of whole kWh owe one.
        prop_assert!(energy.iter().flatten().all(|wh| *wh <= 4_601 + 1_000), "{:?}", energy);
    }
}

#[test]
fn an_agent_that_starts_in_mid_slot_invents_nothing() {
    let mut series = series(900);
    run(&mut series, "A", 5_000, 300..=1_900);
    let answers = answers(&series, 900, START, 2);
    assert_eq!(answers[0], Answer::LeftOut(LeftOut::NotSeen));
    assert_eq!(answers[1], Answer::Ready(Quantities::from([(Register::Import, 900)])));
}

#[test]
fn a_slot_waits_for_the_telegram_after_its_end() {
    let mut series = series(900);
    run(&mut series, "A", 5_000, 0..=895);
    let (grid, slot) = (grid(900), grid(900).slot_at(START));
    let read = |series: &Series, s: u64| series.read(&grid, slot, after(s * 1_000));
    assert_eq!(read(&series, 899), Answer::Pending(after(900_000)));
    assert_eq!(read(&series, 900), Answer::Pending(after(960_001)));
    assert_eq!(read(&series, 960), Answer::Pending(after(960_001)));
    assert_eq!(read(&series, 961), Answer::LeftOut(LeftOut::End));
    run(&mut series, "A", 5_000, 905..=905);
    let ready = Answer::Ready(Quantities::from([(Register::Import, 900)]));
    assert_eq!(read(&series, 905), ready);
}

#[test]
fn a_boundary_needs_a_telegram_within_a_minute_on_either_side() {
    for (last, next, known) in [(840, 960, true), (839, 960, false), (840, 961, false)] {
        let mut series = series(900);
        run(&mut series, "A", 5_000, 0..=last);
        run(&mut series, "A", 5_000, next..=1_900);
        let energy = ready(&mut series, 900, START, 2);
        assert_eq!(energy, if known { [Some(900); 2] } else { [None; 2] }, "{last} {next}");
    }
}

#[test]
fn an_outage_leaves_its_slots_out_and_invents_no_spike() {
    let mut series = series(900);
    run(&mut series, "A", 5_000, 0..=1_000);
    run(&mut series, "A", 5_000, 2_600..=4_500);
    assert_eq!(events(&mut series), []);
    let energy = ready(&mut series, 900, START, 5);
    assert_eq!(energy, [Some(900), None, None, Some(900), Some(900)]);
}

#[test]
fn a_swapped_meter_begins_a_new_series() {
    let mut series = series(900);
    run(&mut series, "A", 5_000_000, 0..=1_000);
    run(&mut series, "B", 5_010_000, 1_001..=3_600);
    let (aside, anew) = (Event::SetAside(Misfit::Meter), Event::NewSeries(Misfit::Meter));
    assert_eq!(events(&mut series), [aside, anew]);
    assert_eq!(answers(&series, 900, START, 2)[1], Answer::LeftOut(LeftOut::NewSeries));
    let energy = ready(&mut series, 900, START, 4);
    assert_eq!(energy, [Some(900), None, Some(900), Some(900)]);
}

#[test]
fn a_register_that_was_reset_begins_a_new_series() {
    let mut series = series(900);
    run(&mut series, "A", 5_000_000, 0..=1_000);
    run(&mut series, "A", 0, 1_001..=2_700);
    let back = Misfit::Back(Register::Import);
    assert_eq!(events(&mut series), [Event::SetAside(back), Event::NewSeries(back)]);
    assert_eq!(ready(&mut series, 900, START, 3), [Some(900), None, Some(900)]);
}

#[test]
fn a_jump_is_refused_and_never_counted() {
    let mut series = series(900);
    run(&mut series, "A", 5_000, 0..=1_000);
    run(&mut series, "A", 6_000_000, 1_001..=1_001);
    run(&mut series, "A", 5_000, 1_002..=2_700);
    let jump = Misfit::Jump(Register::Import);
    assert_eq!(events(&mut series), [Event::SetAside(jump)]);
    assert_eq!(ready(&mut series, 900, START, 3), [Some(900); 3]);
    run(&mut series, "A", 6_000_000, 2_701..=4_500);
    assert_eq!(events(&mut series), [Event::SetAside(jump), Event::NewSeries(jump)]);
    let energy = ready(&mut series, 900, after(2_700_000), 2);
    assert_eq!(energy, [None, Some(900)]);
}

#[test]
fn a_tariff_that_is_missing_once_changes_nothing() {
    let mut series = series(10);
    for second in 0..=20_u64 {
        let peak = if second == 7 { String::new() } else { "\n1-0:1.8.2(400000*Wh)".to_owned() };
        let lines = format!("1-0:1.8.1({}*Wh){peak}", 1_000 + second);
        series.handle_telegram(&with_lines("A", "", &lines), after(second * 1_000));
    }
    let basis = Misfit::Basis(Register::Import);
    assert_eq!(events(&mut series), [Event::SetAside(basis)]);
    assert_eq!(ready(&mut series, 10, START, 2), [Some(10), Some(10)]);
}

#[test]
fn a_register_that_is_missing_at_a_boundary_is_not_zero() {
    let mut series = series(10);
    for second in 0..=40_u64 {
        let export = format!("\n1-0:2.8.0({}*Wh)", 300 + second * 2);
        let export = if second == 20 { String::new() } else { export };
        let lines = format!("1-0:1.8.0({}*Wh){export}", 1_000 + second);
        series.handle_telegram(&with_lines("A", "", &lines), after(second * 1_000));
    }
    let answers = answers(&series, 10, START, 4);
    let both = Quantities::from([(Register::Import, 10), (Register::Export, 20)]);
    let (ready, missing) = (Answer::Ready(both), LeftOut::Register(Register::Export));
    let missing = Answer::LeftOut(missing);
    assert_eq!(answers, [ready.clone(), missing.clone(), missing, ready]);
}

#[test]
fn stands_are_known_at_boundaries_where_no_register_is_missing() {
    let mut series = series(900);
    run(&mut series, "A", 5_000, 300..=1_000);
    let known = [0, 899, 900, 1_800].map(|s| series.stands(after(s * 1_000)).is_some());
    assert_eq!(known, [false, false, true, false]);
}

#[test]
fn silence_is_an_alarm_once_and_its_end_too() {
    let mut series = series(900);
    run(&mut series, "A", 5_000, 0..=10);
    for second in 10..=600 {
        series.handle_timeout(after(second * 1_000));
    }
    assert_eq!(events(&mut series), [Event::Silent]);
    assert!(series.is_silent() && series.poll_timeout().is_none());
    run(&mut series, "A", 5_000, 601..=602);
    assert_eq!(events(&mut series), [Event::Heard(Duration::from_secs(591))]);
    assert_eq!(series.poll_timeout(), Some(after(662_000)));
}

#[test]
fn a_bridge_that_repeats_its_last_telegram_is_silent() {
    let mut series = series(900);
    let last = telegram("A", 5_000, "231114230000W");
    for second in 0..=3_600 {
        series.handle_telegram(&last, after(second * 1_000));
        series.handle_timeout(after(second * 1_000));
    }
    assert_eq!(events(&mut series), [Event::Silent]);
    // What was used meanwhile comes at once, and is no jump after an hour.
    let next = telegram("A", 9_000, "231115000001W");
    series.handle_telegram(&next, after(3_601_000));
    assert_eq!(events(&mut series), [Event::Heard(Duration::from_secs(3_601))]);
    assert_eq!(ready(&mut series, 900, START, 4), [None; 4]);
}

#[test]
fn an_agents_clock_that_goes_back_begins_a_new_series() {
    let mut series = series(900);
    run(&mut series, "A", 5_000, 3_600..=5_400);
    for second in 0..=1_800 {
        series.handle_telegram(&telegram("A", 6_801 + second, ""), after(second * 1_000));
    }
    assert_eq!(events(&mut series), [Event::ClockBack]);
    assert_eq!(ready(&mut series, 900, START, 2), [Some(900), Some(900)]);
    assert_eq!(ready(&mut series, 900, after(3_600_000), 2), [None, None]);
}

#[test]
fn an_agents_clock_that_is_corrected_by_a_little_loses_nothing() {
    let mut series = series(900);
    run(&mut series, "A", 5_000, 0..=500);
    for second in 501..=2_710_u64 {
        series.handle_telegram(&telegram("A", 5_000 + second, ""), after((second - 10) * 1_000));
    }
    assert_eq!(events(&mut series), []);
    let energy: Vec<u64> = ready(&mut series, 900, START, 3).into_iter().flatten().collect();
    assert_eq!(energy, [910, 900, 900]);
}

#[test]
fn clocks_that_differ_are_told_once() {
    let terms = Terms {
        slot_ms: 900_000,
        rating_w: 17_250,
        silence: Duration::from_mins(1),
        compare_clocks: true,
    };
    let mut series = Series::new(terms, START);
    for (second, stamp) in
        ["231114230000W", "231114220001W", "231114220002W", "231114230003W"].iter().enumerate()
    {
        let at = after(u64::try_from(second).unwrap() * 1_000);
        series.handle_telegram(&telegram("A", 5_000, stamp), at);
    }
    assert_eq!(events(&mut series), [Event::ClocksApart, Event::ClocksAgree]);
}

#[test]
fn nothing_that_is_told_repeats_a_stand() {
    let jump = Event::SetAside(Misfit::Jump(Register::Import)).to_string();
    assert_eq!(
        jump,
        "a telegram is not counted: the import register went up by more than rating_w allows"
    );
    assert_eq!(LeftOut::End.to_string(), "no telegrams within 60 s of its end");
}
