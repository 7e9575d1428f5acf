//! The demonstration from end to end, as a program over real MQTT.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails says so"
)]

mod common;

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use common::{Neighbourhood, of, real_data, results};
use serde_json::Value;

fn is_right(result: &Value) -> bool {
    result["sum_wh"].is_u64() && result["sum_wh"] == result["expected_wh"]
}

#[test]
fn every_slot_has_its_sum_and_a_run_ends_with_a_summary() {
    let run = Neighbourhood::start(&["--meters", "4", "--slots", "3", "--slot-seconds", "1"]);
    let ready = run.next();
    assert!(ready["event"] == "ready" && ready["port"].is_u64(), "{ready}");
    let (events, status, said) = run.end();
    let [slots @ .., summary] = events.as_slice() else { panic!("{said}") };
    let first = slots[0]["first_slot"].as_u64().unwrap();
    let positions: Vec<_> = slots.iter().map(|s| s["first_slot"].as_u64().unwrap()).collect();
    assert_eq!(positions, [first, first + 1, first + 2]);
    assert!(slots.iter().all(is_right), "{slots:?}");
    assert_eq!(slots[0]["subject"]["region"], "demo");
    assert_eq!(summary["event"], "summary");
    assert_eq!([&summary["wrong"], &summary["missing"], &summary["meter_results"]], [0, 0, 0]);
    assert!(status.success(), "{said}");
}

#[test]
fn every_meter_has_the_sum_of_a_full_window() {
    let run = Neighbourhood::start(&["--meters", "3", "--slots", "12", "--slot-seconds", "1"]);
    let (events, status, said) = run.end();
    let bills = results(&events, "meter");
    let mut meters: Vec<_> = bills.iter().map(|b| b["subject"]["meter"].clone()).collect();
    meters.sort_by_key(Value::to_string);
    assert_eq!(meters, ["m-01", "m-02", "m-03"], "{said}");
    assert!(bills.iter().all(|bill| is_right(bill)), "{bills:?}");
    let sums = results(&events, "region");
    assert!(sums.len() == 12 && sums.iter().all(|sum| is_right(sum)), "{sums:?}");
    assert!(status.success(), "{said}");
}

#[test]
fn a_taken_port_is_no_error() {
    // Where somebody else has it already, it is taken too.
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 1883));
    let run = Neighbourhood::start(&["--meters", "3", "--slots", "1", "--slot-seconds", "1"]);
    assert_ne!(run.next()["port"], 1883);
    let (_, status, said) = run.end();
    assert!(said.contains("port 1883 is taken"), "{said}");
    assert!(status.success(), "{said}");
}

#[test]
fn ctrl_c_ends_a_run_with_a_summary() {
    let run = Neighbourhood::start(&["--meters", "3", "--slots", "1000", "--slot-seconds", "1"]);
    let until_result = std::iter::from_fn(|| Some(run.next())).take(2).count();
    assert_eq!(until_result, 2);
    run.interrupt();
    let (events, status, said) = run.end();
    let summary = of(&events, "summary");
    assert_eq!(summary.len(), 1, "{said}");
    assert!(summary[0]["region_results"].as_u64() >= Some(1), "{summary:?}");
    assert!(status.success(), "{said}");
}

#[test]
fn a_party_that_ends_early_ends_the_run() {
    let run = Neighbourhood::start(&["--meters", "3", "--slots", "20", "--slot-seconds", "1"]);
    run.next();
    run.next();
    // The collector, `m-01`, `m-02`.
    common::kill(run.parties()[2]);
    let (events, status, said) = run.end();
    assert!(said.contains("m-02 has ended early") && said.contains("end of its log"), "{said}");
    assert!(of(&events, "summary")[0]["missing"].as_u64() > Some(0), "{events:?}");
    assert!(!status.success());
}

#[test]
fn the_broker_dies_with_a_demonstration_that_is_killed() {
    let run = Neighbourhood::start(&["--meters", "3", "--slots", "20", "--slot-seconds", "1"]);
    let port = u16::try_from(run.next()["port"].as_u64().unwrap()).unwrap();
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let collector = run.parties()[0];
    assert!(common::is_alive(collector));
    run.kill();
    // The broker's end closes it; so would its patience with a silent client.
    connection.read_to_end(&mut Vec::new()).ok();
    assert!(!common::is_alive(collector));
}

#[test]
fn a_bad_cell_leaves_its_meter_out_of_its_slot_alone() {
    let dir = tempfile::tempdir().unwrap();
    let homes = dir.path().join("homes.csv");
    // In the second slot the second home has no reading.
    std::fs::write(
        &homes,
        "slot,a,b,c,d\n0,.001,.002,.004,.008\n1,.016,?,.064,.128\n2,1,2,4,8\n".replace(",.", ",0."),
    )
    .unwrap();
    let homes = homes.to_str().unwrap();
    let run = Neighbourhood::start(&[
        "--csv",
        homes,
        "--meters",
        "4",
        "--slots",
        "3",
        "--slot-seconds",
        "1",
    ]);
    let (events, status, said) = run.end();
    let sums: Vec<_> = results(&events, "region").iter().map(|r| r["sum_wh"].clone()).collect();
    assert_eq!(sums, [15, 208, 15_000], "{said}");
    let second = results(&events, "region")[1]["contributors"].clone();
    assert_eq!(second, serde_json::json!(["m-01", "m-03", "m-04"]));
    assert!(status.success(), "{said}");
}

#[test]
fn a_file_of_too_few_homes_or_slots_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let homes = dir.path().join("homes.csv");
    std::fs::write(&homes, "slot,a,b,c\n0,1,2,4\n").unwrap();
    let refusal = |meters, slots| {
        let homes = homes.to_str().unwrap();
        let run = Neighbourhood::start(&["--csv", homes, "--meters", meters, "--slots", slots]);
        let (events, status, said) = run.end();
        assert!(events.is_empty() && !status.success(), "{said}");
        said
    };
    assert!(refusal("4", "1").contains("3 homes"));
    assert!(refusal("3", "2").contains("--slots 2: 1 slots are in the file"));
}

/// What the import register of a capture shows, in Wh, telegram by telegram.
fn register(capture: &str) -> Vec<u64> {
    let tariff = |code: &str| -> Vec<u64> {
        let lines = capture.lines().filter_map(|line| line.strip_prefix(code));
        lines.map(|line| line.trim_end_matches("*kWh)").replace('.', "").parse().unwrap()).collect()
    };
    let tariffs = tariff("1-0:1.8.1(").into_iter().zip(tariff("1-0:1.8.2("));
    tariffs.map(|(one, two)| one + two).collect()
}

#[test]
fn the_opened_sum_of_a_real_meter_is_what_its_register_rose() {
    let name = "the_opened_sum_of_a_real_meter_is_what_its_register_rose";
    let Some(capture) = real_data(name, "p1/capture-566-telegrams.txt") else { return };
    let file = capture.to_str().unwrap();
    let run = Neighbourhood::start(&[
        "--p1",
        file,
        "--meters",
        "3",
        "--slots",
        "12",
        "--slot-seconds",
        "2",
    ]);
    let (events, status, said) = run.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("m-03 is the P1 capture"), "{said}");
    let sums = results(&events, "region");
    assert_eq!(sums.len(), 12, "{said}");
    for sum in sums {
        assert!(is_right(sum), "{sum}");
        assert_eq!(sum["contributors"], serde_json::json!(["m-01", "m-02", "m-03"]));
    }
    let bill = results(&events, "meter").into_iter().find(|b| b["subject"]["meter"] == "m-03");
    let opened = &bill.unwrap()["sum_wh"];
    let p1 = serde_json::json!({"meter": "m-03", "register_wh": opened, "opened_wh": opened});
    assert_eq!(of(&events, "summary")[0]["p1"], p1);
    // Ten slots of 2 s, somewhere in the capture.
    let register = register(&std::fs::read_to_string(&capture).unwrap());
    let mut risen = register.windows(21).map(|telegrams| telegrams[20] - telegrams[0]);
    assert!(risen.any(|wh| opened == wh), "{opened}");
}

#[test]
fn a_meter_is_left_out_once_its_capture_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.txt");
    let telegram = |wh: u64| format!("/KMP5 A\r\n\r\n1-0:1.8.0(185.{wh:03}*kWh)\r\n!\r\n");
    std::fs::write(&file, (0..9).map(telegram).collect::<String>()).unwrap();
    let file = file.to_str().unwrap();
    let run = Neighbourhood::start(&[
        "--p1",
        file,
        "--meters",
        "3",
        "--slots",
        "11",
        "--slot-seconds",
        "1",
    ]);
    let (events, status, said) = run.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("the P1 capture has ended: m-03 is left out from slot"), "{said}");
    let sums = results(&events, "region");
    assert!(sums.len() == 11 && sums.iter().all(|sum| is_right(sum)), "{sums:?}");
    assert_eq!(sums[10]["contributors"], serde_json::json!(["m-01", "m-02"]));
    let p1 = &of(&events, "summary")[0]["p1"];
    assert_eq!(p1["register_wh"], p1["opened_wh"]);
}

#[test]
fn a_capture_that_cannot_be_told_to_the_wh_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.txt");
    std::fs::write(&file, "no telegram").unwrap();
    let run = Neighbourhood::start(&["--p1", file.to_str().unwrap()]);
    let (events, status, said) = run.end();
    assert!(events.is_empty() && !status.success(), "{said}");
    assert!(said.contains("0 telegrams in it are of use"), "{said}");
}

#[test]
fn epochs_follow_each_other_without_a_gap() {
    let run = Neighbourhood::start(&[
        "--meters",
        "4",
        "--slots",
        "20",
        "--slot-seconds",
        "1",
        "--epochs",
        "2",
    ]);
    let (events, status, said) = run.end();
    let sums = results(&events, "region");
    assert!(sums.len() == 20 && sums.iter().all(|sum| is_right(sum)), "{said}");
    let bills = results(&events, "meter");
    assert!(bills.iter().all(|bill| is_right(bill)), "{bills:?}");
    let summary = of(&events, "summary")[0];
    let counts = [&summary["epochs"], &summary["wrong"], &summary["missing"]];
    assert_eq!(counts, [2, 0, 0], "{said}");
    assert!(said.contains("epoch 2 follows"), "{said}");
    assert!(status.success(), "{said}");
}

#[test]
fn agents_that_are_killed_again_and_again_cost_no_region_sum() {
    let run = Neighbourhood::start(&[
        "--meters",
        "8",
        "--slots",
        "20",
        "--slot-seconds",
        "1",
        "--kill",
        "1",
        "--kill-seed",
        "26",
    ]);
    let (events, status, said) = run.end();
    let sums = results(&events, "region");
    assert!(sums.len() == 20 && sums.iter().all(|sum| is_right(sum)), "{said}");
    let summary = of(&events, "summary")[0];
    assert_eq!([&summary["wrong"], &summary["missing"]], [0, 0], "{said}");
    assert!(summary["kills"].as_u64() >= Some(2), "{said}");
    let absent = |sum: &&&Value| sum["contributors"].as_array().unwrap().len() == 7;
    assert!(sums.iter().any(|sum| absent(&sum)), "{sums:?}");
    assert!(status.success(), "{said}");
}

#[test]
fn more_kills_than_can_be_spared_are_refused() {
    let run = Neighbourhood::start(&["--meters", "8", "--kill", "2"]);
    let (events, status, said) = run.end();
    assert!(events.is_empty() && !status.success(), "{said}");
    assert!(said.contains("--kill 2") && said.contains("1 can be killed at a time"), "{said}");
}
