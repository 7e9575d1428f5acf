use super::*;
use crate::tariff::Step;

fn parameters(threshold: Threshold, max_corrupted: u16) -> Parameters {
    let number = |number| NonZeroU32::new(number).unwrap();
    Parameters {
        scheme: "plain".to_owned(),
        threshold,
        min_contributors: 2,
        max_corrupted,
        min_slots: 2,
        slot_seconds: number(900),
        window_slots: number(4),
        grace_s: 60,
        deadline_s: 7200,
        max_wh_per_slot: 65_535,
        registers: vec![Register::Import],
        range_proofs: RangeProofs::Off,
        tariff: Tariff::single(),
    }
}

/// The key that is refused for so many members.
fn refused(threshold: Threshold, max_corrupted: u16, members: usize) -> Option<&'static str> {
    let checked = parameters(threshold, max_corrupted).check(members);
    checked.err().map(|error| error.key)
}

fn floors(threshold: ThresholdRule) -> Floors {
    Floors {
        scheme: "plain".to_owned(),
        threshold,
        min_contributors: 2,
        max_corrupted: 0,
        min_slots: 2,
        slot_seconds: 1,
        range_proofs: RangeProofs::Off,
    }
}

const RULES: [ThresholdRule; 4] = [
    ThresholdRule::All,
    ThresholdRule::TwoThirds,
    ThresholdRule::Count(3),
    ThresholdRule::Count(4),
];

#[test]
fn two_thirds_are_rounded_up() {
    let thresholds = (3..=20).map(|members| ThresholdRule::TwoThirds.threshold(members));
    let expected = [2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11, 12, 12, 13, 14];
    assert!(thresholds.eq(expected.map(Threshold::Of)));
}

#[test]
fn the_most_that_may_collude_leave_every_check_in_place() {
    for members in 3..=20 {
        for rule in RULES.iter().filter(|rule| rule.threshold(members).of(members) <= members) {
            let (threshold, most) = (rule.threshold(members), rule.max_corrupted(members, 2));
            let common = 2 * threshold.of(members) > members;
            let expected = (!common).then_some("max_corrupted");
            assert_eq!(refused(threshold, most, members), expected, "{rule} of {members}");
            // One more leaves two quorums, or a sum, without an honest one.
            let one_more = refused(threshold, most + 1, members);
            let is_all = threshold == Threshold::All;
            assert!(one_more.is_some() || is_all, "{rule} of {members}");
        }
    }
}

#[test]
fn with_all_holders_none_may_collude_unless_it_is_said() {
    assert!((3..=20).all(|members| ThresholdRule::All.max_corrupted(members, 2) == 0));
    assert_eq!(refused(Threshold::All, 3, 5), None);
    assert_eq!(refused(Threshold::All, 4, 5), Some("members"));
}

#[test]
fn two_quorums_have_an_honest_member_in_common() {
    assert_eq!(refused(Threshold::Of(4), 2, 5), None);
    assert_eq!(refused(Threshold::Of(4), 3, 5), Some("max_corrupted"));
    assert_eq!(refused(Threshold::Of(3), 0, 5), None);
    assert_eq!(refused(Threshold::Of(3), 1, 5), Some("max_corrupted"));
    assert_eq!(refused(Threshold::Of(3), 0, 6), Some("max_corrupted"));
    let error = parameters(Threshold::Of(3), 1).check(5).unwrap_err().to_string();
    assert!(error.starts_with("max_corrupted = 1: accepted is less than 2 * threshold"));
}

#[test]
fn a_threshold_lies_between_two_and_all() {
    assert_eq!(refused(Threshold::Of(1), 0, 5), Some("threshold"));
    assert_eq!(refused(Threshold::Of(6), 0, 5), Some("threshold"));
    assert_eq!(refused(Threshold::Of(5), 0, 5), None);
    assert_eq!(refused(Threshold::Of(2), 0, 2), None);
}

#[test]
fn a_region_whose_secret_is_dealt_is_no_larger_than_its_dealings_allow() {
    let two_thirds = |members| refused(ThresholdRule::TwoThirds.threshold(members), 0, members);
    assert_eq!(two_thirds(DEALT_MEMBERS_MAX), None);
    assert_eq!(two_thirds(DEALT_MEMBERS_MAX + 1), Some("members"));
    assert_eq!(refused(Threshold::All, 0, DEALT_MEMBERS_MAX + 1), None);
}

#[test]
fn a_floor_of_every_rule_takes_as_many_holders_and_more() {
    for rule in RULES {
        let least = rule.threshold(6).of(6);
        let low = |holders| floors(rule).check(&parameters(holders, 0), 6).err();
        for holders in 2..=6_u16 {
            let key = low(Threshold::Of(holders)).map(|error| error.key);
            let below = usize::from(holders) < least;
            assert_eq!(key, below.then_some("threshold"), "{rule}: {holders}");
        }
        assert_eq!(low(Threshold::All), None, "{rule}");
    }
}

#[test]
fn range_proofs_below_the_floor_are_refused() {
    let given = parameters(Threshold::All, 0);
    let own = Floors { range_proofs: RangeProofs::Audit, ..floors(ThresholdRule::All) };
    let error = own.check(&given, 6).unwrap_err().to_string();
    assert_eq!(error, "range_proofs = off: accepted is at least audit, this agent's own floor");
    for range_proofs in [RangeProofs::Audit, RangeProofs::Each] {
        assert_eq!(own.check(&Parameters { range_proofs, ..given.clone() }, 6), Ok(()));
    }
}

#[test]
fn a_window_is_no_longer_than_its_listing_allows() {
    let refused = |window_slots, members| {
        let window_slots = NonZeroU32::new(window_slots).unwrap();
        let given = Parameters { window_slots, ..parameters(Threshold::All, 0) };
        given.check(members).err().map(|error| error.key)
    };
    // Sets of 20 and of 21 bytes, with 8 bytes around each, and everybody's
    // endorsement.
    assert_eq!(refused(35_136, 160), None);
    assert_eq!(refused(35_136, 161), Some("window_slots"));
    assert_eq!(refused(34_790, 161), None);
    assert_eq!(refused(34_791, 161), Some("window_slots"));
}

/// A peak of the given seconds of an hour, in windows of so many slots of
/// a minute.
fn peak(spans: &[(u32, u32)], window_slots: u32) -> Result<(), ParameterError> {
    let step = |name: &str, spans: &[_]| Step { name: name.parse().unwrap(), spans: spans.into() };
    let number = |number| NonZeroU32::new(number).unwrap();
    let steps = vec![step("peak", spans), step("rest", &[])];
    let given = Parameters {
        slot_seconds: number(60),
        window_slots: number(window_slots),
        tariff: Tariff::new(number(3600), steps).unwrap(),
        ..parameters(Threshold::All, 0)
    };
    given.check(6)
}

#[test]
fn a_step_has_slots_enough_for_a_bill_wherever_a_window_begins() {
    // Two slots of 60, and all but two.
    assert_eq!(peak(&[(600, 720)], 60), Ok(()));
    assert_eq!(peak(&[(0, 60), (3540, 3600)], 60), Ok(()));
    assert_eq!(peak(&[(0, 3480)], 60), Ok(()));
    assert_eq!(peak(&[(600, 720)], 120), Ok(()));
    // A window of 59 slots can begin between those of the peak.
    let error = peak(&[(600, 720)], 59).unwrap_err().to_string();
    assert!(error.contains("`peak` with 1 slots in a window of 59: accepted is"), "{error}");
    assert!(error.contains("min_slots = 2 of each") && error.contains("window_slots = 60 or"));
    let error = peak(&[(0, 3540)], 60).unwrap_err().to_string();
    assert!(error.contains("`rest` with 1 slots"), "{error}");
}

#[test]
fn a_step_in_which_no_slot_begins_is_refused() {
    let error = peak(&[(601, 659)], 60).unwrap_err().to_string();
    assert!(error.contains("`peak` with 0 slots"), "{error}");
}

#[test]
fn several_steps_need_a_cycle_of_whole_slots() {
    let number = |number| NonZeroU32::new(number).unwrap();
    let of = |tariff| {
        let slot_seconds = number(7 * 60);
        Parameters { slot_seconds, tariff, ..parameters(Threshold::All, 0) }.check(6)
    };
    let day = vec![
        Step { name: "day".parse().unwrap(), spans: vec![(0, 43_200)] },
        Step { name: "rest".parse().unwrap(), spans: Vec::new() },
    ];
    let error = of(Tariff::new(number(86_400), day).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("tariff.cycle_s = 86400: accepted is a multiple of slot_seconds"));
    assert_eq!(of(Tariff::single()), Ok(()));
}

#[test]
fn a_rule_reads_back_from_its_text() {
    for rule in RULES {
        assert_eq!(rule.to_string().parse(), Ok(rule));
    }
    for text in ["", "1", "0", "-2", "half", "65536", "All"] {
        let error = text.parse::<ThresholdRule>().unwrap_err().to_string();
        assert!(error.contains("\"two-thirds\""), "{error}");
    }
}
