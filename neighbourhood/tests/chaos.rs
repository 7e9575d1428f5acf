//! Faults at random as a program over real MQTT, for some seconds.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails says so"
)]

mod common;
#[path = "common/mosquitto.rs"]
mod mosquitto;

use common::{Neighbourhood, of};
use mosquitto::has_mosquitto;
use serde_json::Value;

/// The summary of some seconds of faults.
fn summary(arguments: &[&str]) -> Value {
    let short = ["chaos", "--seconds", "12", "--slot-seconds", "1", "--deadline-s", "20"];
    let run = Neighbourhood::start(&[&short, arguments].concat());
    let (events, status, said) = run.end();
    let summary = of(&events, "summary")[0].clone();
    assert!(status.success(), "{said}{summary}");
    summary
}

/// Nothing is lost, and nothing is counted twice.
fn is_whole(summary: &Value) -> bool {
    let nothing = ["wrong", "missing", "uneven_meters", "damaged_databases", "lost_wh"];
    nothing.iter().all(|what| summary[what] == 0)
        && summary["settled_s"].as_f64() <= summary["bound_s"].as_f64()
        && summary["opened"].as_u64() >= Some(10)
        && summary["receipts"].as_u64() >= Some(100)
}

#[test]
fn whatever_happens_to_collector_and_agents_nothing_is_lost() {
    let summary = summary(&["--seed", "26"]);
    assert!(is_whole(&summary), "{summary}");
    assert!(summary["kills"]["collector"]["all"].as_u64() >= Some(1), "{summary}");
    assert!(summary["kills"]["agent"]["all"].as_u64() >= Some(1), "{summary}");
}

#[test]
fn whatever_happens_to_mosquitto_collector_and_agents_nothing_is_lost() {
    if !has_mosquitto("whatever_happens_to_mosquitto_collector_and_agents_nothing_is_lost") {
        return;
    }
    let summary = summary(&["--mosquitto", "--seed", "46"]);
    assert!(is_whole(&summary), "{summary}");
    for role in ["mosquitto", "collector", "agent"] {
        assert!(summary["kills"][role]["all"].as_u64() >= Some(1), "{summary}");
    }
}
