//! The configuration that ships, and the refusals of every other.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

use collector::Config;
use protocol::id::Epoch;
use protocol::parameters::RangeProofs;

const SAMPLE: &str = include_str!("../../docs/samples/collector.toml");

fn load(text: &str) -> anyhow::Result<Config> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("collector.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

/// A region of `members` members, with more lines before them.
fn region(name: &str, members: usize, lines: &str) -> String {
    let key = "5866666666666666666666666666666666666666666666666666666666666666";
    let member = |at| format!("{{ id = \"m-{at}\", key = \"{key}\" }}");
    let members: Vec<_> = (0..members).map(member).collect();
    format!("[[region]]\nname = \"{name}\"\n{lines}\nmembers = [{}]\n", members.join(", "))
}

fn refusal(text: &str) -> String {
    format!("{:#}", load(text).unwrap_err())
}

#[test]
fn the_sample_is_accepted() {
    assert!(!load(SAMPLE).unwrap().regions.is_empty());
}

#[test]
fn health_is_for_this_machine_alone_and_has_a_port_of_its_own() {
    let (sample, without) = (load(SAMPLE).unwrap(), load(&region("north", 10, "")).unwrap());
    assert_eq!(without.listen(), sample.listen());
    let text = refusal(&SAMPLE.replace("127.0.0.1:9870", "192.0.2.7:9870"));
    assert!(text.contains("loopback") && text.contains("listen = "), "{text}");
}

#[test]
fn defaults_make_a_region_of_ten_members() {
    let config = load(&region("north", 10, "")).unwrap();
    let parameters = config.regions[0].terms().parameters;
    assert_eq!((parameters.slot_seconds.get(), parameters.deadline_s), (900, 9_000));
    assert_eq!((parameters.min_contributors, parameters.min_slots), (10, 10));
}

/// The lines of the sample's other tariff, without the `#` before them.
fn other_tariff() -> String {
    let lines = SAMPLE.lines().skip_while(|line| *line != "#window_slots = 672");
    let lines = lines.take_while(|line| line.starts_with('#')).map(|line| &line[1..]);
    lines.take(5).collect::<Vec<_>>().join("\n")
}

/// The tariff of a region with these lines, as text.
fn tariff(lines: &str) -> String {
    let config = load(&region("north", 10, lines)).unwrap();
    config.regions[0].terms().parameters.tariff.to_string()
}

#[test]
fn a_tariff_has_one_step_unless_more_are_given() {
    assert_eq!(tariff(""), "all");
    assert_eq!(tariff(&other_tariff()), "day mon-fri 06:00-21:00; rest");
}

#[test]
fn a_tariff_may_recur_after_another_time_than_a_week() {
    let steps =
        "tariff.steps = [{ name = \"peak\", times = [\"01:00-05:00\"] }, { name = \"rest\" }]";
    let lines = format!("tariff.cycle_s = 28800\nwindow_slots = 32\n{steps}");
    assert_eq!(tariff(&lines), "peak 01:00-05:00; rest");
}

#[test]
fn a_tariff_that_is_none_is_refused_with_the_reason() {
    let tariff = other_tariff();
    for (from, to, reason) in [
        ("mon-fri", "mo-fr", "step `day`: times `mo-fr 06:00-21:00`: `mo-fr` are no days"),
        ("21:00", "25:00", "`25:00` is no time: HH:MM or HH:MM:SS, from 00:00 to 24:00"),
        ("\"rest\"", "\"day\"", "two steps are named `day`"),
        ("\"rest\"", "\"Rest\"", "`Rest` is no name of a step"),
        (", times = [\"mon-fri 06:00-21:00\"]", "", "step `day` has no times"),
        ("\"rest\"", "\"rest\", times = [\"sun 00:00-24:00\"]", "leave its times out"),
        ("times", "time", "unknown field `time`"),
        ("window_slots = 672", "tariff.cycle_s = 86400", "days are for a cycle of 604800 s"),
        ("window_slots = 672", "tariff.cycle_s = 604801", "from 1 to 604800"),
        ("window_slots = 672", "", "`day` with 0 slots in a window of 10"),
        ("window_slots = 672", "window_slots = 671\nmin_slots = 300", "`day` with 299 slots"),
        ("window_slots = 672", "slot_seconds = 1100", "a multiple of slot_seconds = 1100"),
    ] {
        assert!(tariff.contains(from), "{from}");
        let text = refusal(&region("north", 10, &tariff.replacen(from, to, 1)));
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn one_in_twenty_is_audited_unless_it_is_said() {
    let config = load(&region("north", 10, "")).unwrap();
    let terms = config.regions[0].terms();
    assert_eq!((terms.parameters.range_proofs, terms.audit_percent), (RangeProofs::Audit, 5));
    let text = refusal(&region("north", 10, "audit_percent = 101"));
    assert!(text.contains("0 to 100"), "{text}");
}

#[test]
fn a_member_is_let_in_again_up_to_an_epoch() {
    let lines = "readmit = [{ id = \"m-7\", epoch = 3 }]";
    let config = load(&region("north", 10, lines)).unwrap();
    let readmitted = config.regions[0].terms().readmitted;
    assert_eq!(readmitted, [("m-7".parse().unwrap(), Epoch(3))].into());
    let text = refusal(&region("north", 10, "readmit = [{ id = \"m-7\" }]"));
    assert!(text.contains("missing field `epoch`"), "{text}");
    let text = refusal(&region("north", 10, "readmit = [{ id = \"m-77\", epoch = 3 }]"));
    assert!(text.contains("readmit: id = \"m-77\" is no member"), "{text}");
}

#[test]
fn range_proofs_of_no_mode_are_refused() {
    let text = refusal(&region("north", 10, "range_proofs = \"always\""));
    assert!(text.contains("expected one of `off`, `audit`, `each`"), "{text}");
}

#[test]
fn values_outside_their_range_are_refused_with_key_value_and_range() {
    for (line, range) in [
        ("slot_seconds = 0", "1 to 86400"),
        ("window_slots = 1", "2 to 35136"),
        ("grace_s = -1", "0 to 86400"),
        ("max_wh_per_slot = 1000", "65535 to 4294967295"),
        ("min_slots = 40000", "2 to 35136"),
    ] {
        let text = refusal(&region("north", 10, line));
        assert!(text.contains(line) && text.contains(range), "{text}");
    }
}

#[test]
fn values_that_do_not_go_together_are_refused_with_the_reason() {
    for (members, line, reason) in [
        (9, "", "members = 9: accepted is 10 to"),
        (10, "max_corrupted = 1", "members = 10: accepted is 11 to"),
        (10, "window_slots = 9", "min_slots = 10: accepted is 2 to 9"),
        (10, "max_wh_per_slot = 70000", "max_wh_per_slot = 70000: accepted is 65535 or 4294967295"),
        (10, "registers = [\"import\", \"import\"]", "registers = import, import: accepted is"),
    ] {
        let text = refusal(&region("north", members, line));
        assert!(text.contains("region north") && text.contains(reason), "{text}");
    }
}

#[test]
fn a_region_or_member_that_stands_there_twice_is_refused() {
    let twice = [region("north", 10, ""), region("north", 10, "")].concat();
    assert!(refusal(&twice).contains("name = \"north\" stands there twice"));
    let member = region("north", 10, "").replace("m-9", "m-8");
    assert!(refusal(&member).contains("member id = \"m-8\" stands there twice"));
}

#[test]
fn a_configuration_without_a_region_is_refused() {
    assert!(refusal("").contains("missing field `region`"));
    assert!(refusal("region = []").contains("at least one [[region]]"));
}
