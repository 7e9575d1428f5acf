//! The configuration that ships, and the refusals of every other.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

use std::path::PathBuf;

use host::clock::ClockConfig;
use meter_agent::Config;
use protocol::parameters::RangeProofs;

const SAMPLE: &str = include_str!("../../docs/samples/meter-agent.toml");

fn load(text: &str) -> anyhow::Result<Config> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("meter-agent.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

/// The refusal of the sample with one piece of it replaced.
fn refusal(from: &str, to: &str) -> String {
    assert!(SAMPLE.contains(from), "the sample has no {from:?}");
    format!("{:#}", load(&SAMPLE.replacen(from, to, 1)).unwrap_err())
}

#[test]
fn the_sample_is_accepted() {
    let config = load(SAMPLE).unwrap();
    assert_eq!(config.floors.floors().min_contributors, 10);
}

#[test]
fn the_sample_shows_what_holds_without_its_tables_of_health_and_clock() {
    let sample = load(SAMPLE).unwrap();
    let lines = SAMPLE.lines().map(|line| match line {
        "[clock]" | "[health]" => "",
        line if ["synchronised", "marker", "listen"].iter().any(|key| line.starts_with(key)) => "",
        line => line,
    });
    let without = load(&lines.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(sample.clock, ClockConfig::default());
    assert_eq!(without.clock, sample.clock);
    assert_eq!(without.listen(), sample.listen());
}

#[test]
fn health_is_for_this_machine_alone() {
    let text = refusal("listen = \"127.0.0.1", "listen = \"0.0.0.0");
    assert!(text.contains("loopback") && text.contains("listen = "), "{text}");
}

#[test]
fn a_floor_outside_its_range_is_refused_with_key_value_and_range() {
    let text = refusal("min_contributors = 10", "min_contributors = 1");
    for part in ["min_contributors = 1", "`1`", "an integer from 2 to 65535"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_floor_of_range_proofs_is_a_mode() {
    let text = refusal("range_proofs = \"off\"", "range_proofs = \"on\"");
    assert!(text.contains("expected one of `off`, `audit`, `each`"), "{text}");
    let config =
        load(&SAMPLE.replace("range_proofs = \"off\"", "range_proofs = \"each\"")).unwrap();
    assert_eq!(config.floors.floors().range_proofs, RangeProofs::Each);
}

#[test]
fn an_unknown_key_is_refused_with_those_that_exist() {
    let text = refusal("state_interval_s", "state_intervall_s");
    assert!(text.contains("unknown field `state_intervall_s`"), "{text}");
    assert!(text.contains("`state_interval_s`"), "{text}");
}

#[test]
fn a_broker_address_of_another_form_is_refused_with_the_form() {
    let text = refusal("mqtt://127.0.0.1:1883", "https://127.0.0.1");
    assert!(text.contains("mqtt://HOST:PORT"), "{text}");
}

#[test]
fn a_name_that_could_be_a_topic_is_refused() {
    let text = refusal("meter = \"m-01\"", "meter = \"m/01\"");
    assert!(text.contains("`m/01` is no name: 1 to 31 of a-z, 0-9"), "{text}");
}

#[test]
fn a_registrar_key_that_is_no_key_is_refused() {
    let key = SAMPLE.split("registrar = \"").nth(1).unwrap().split('"').next().unwrap();
    let text = refusal(key, "00ff");
    assert!(text.contains("64 hexadecimal digits"), "{text}");
}
