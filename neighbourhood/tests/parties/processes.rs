//! Parties as processes: one collector for several regions, brokers that go
//! and come back, restarts, and clean ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::mosquitto::has_mosquitto;
use crate::rig::{Broker, Rig, Watch, agent, count, counted, results};
use protocol::topic;
use rustix::process::Signal;

/// Meter `i` reads 10^i Wh in every slot: a sum shows who is in it.
pub(crate) fn readings(dir: &tempfile::TempDir) -> PathBuf {
    let rows = (0..600).map(|slot| format!("{slot},1,10,100\n"));
    let file = dir.path().join("readings.csv");
    std::fs::write(&file, format!("slot,a,b,c\n{}", rows.collect::<String>())).unwrap();
    file
}

fn sums_are_right(seen: &[(String, Vec<u8>)], region: &str) -> bool {
    let one = |result: &serde_json::Value| {
        let slots = result["slots"].as_u64().unwrap();
        match result["subject"]["meter"].as_str() {
            Some(meter) => 10_u64.pow(meter["m-".len()..].parse().unwrap()) * slots,
            None => 111,
        }
    };
    results(seen, region).iter().all(|result| result["sum_wh"] == one(result))
}

#[tokio::test]
async fn one_collector_serves_two_regions() {
    let dir = tempfile::tempdir().unwrap();
    let regions = ["north", "south"];
    let mut rig = Rig::new(&regions, Broker::Embedded, &readings(&dir));
    let mut watch = Watch::on(rig.port, &regions);
    rig.start_all(&regions);
    let both = |seen: &[(String, Vec<u8>)], subject, least| {
        regions.iter().all(|region| count(seen, region, subject) >= least)
    };
    watch.until("bills of both regions", |seen| both(seen, "meter", 3)).await;
    assert!(both(&watch.seen, "region", 4));
    assert!(regions.iter().all(|region| sums_are_right(&watch.seen, region)));
}

#[tokio::test]
async fn every_party_ends_cleanly_on_sigterm_and_on_sigint() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir));
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("a region sum", |seen| count(seen, "north", "region") > 0).await;
    for (at, name) in rig.names().iter().rev().enumerate() {
        let signal = if at % 2 == 0 { Signal::TERM } else { Signal::INT };
        assert!(rig.end(name, signal).success(), "{name}: {}", rig.logs());
    }
}

#[tokio::test]
async fn a_restarted_agent_is_the_same_member_and_its_files_are_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir));
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("a region sum", |seen| count(seen, "north", "region") > 0).await;
    let identity = rig.identity("north", 1);
    rig.end(&agent("north", 1), Signal::KILL);
    let before = count(&watch.seen, "north", "region");
    rig.start("agent", &agent("north", 1));
    watch.until("sums after it", |seen| count(seen, "north", "region") >= before + 4).await;
    watch.until("a bill after it", |seen| count(seen, "north", "meter") >= 3).await;
    assert_eq!(rig.identity("north", 1), identity);
    for file in ["identity.key", "meter.db", "meter.db-wal"] {
        let file = rig.path(&agent("north", 1)).join(file);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    assert!(sums_are_right(&watch.seen, "north"));
}

#[tokio::test]
async fn a_restarted_collector_goes_on_with_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir));
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("a region sum", |seen| count(seen, "north", "region") > 0).await;
    rig.end("collector", Signal::KILL);
    let before = watch.seen.len();
    rig.start("collector", "collector");
    watch.until("sums after it", |seen| count(&seen[before..], "north", "region") >= 5).await;
    watch.until("bills after it", |seen| count(&seen[before..], "north", "meter") >= 3).await;
    assert!(sums_are_right(&watch.seen, "north"));
    assert!(results(&watch.seen, "north").iter().all(|result| result["epoch"] == 1));
}

#[tokio::test]
async fn another_broker_may_go_and_come_back() {
    if !has_mosquitto("another_broker_may_go_and_come_back") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&["north"], Broker::Mosquitto, &readings(&dir));
    rig.start_mosquitto();
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("a region sum", |seen| count(seen, "north", "region") > 0).await;
    rig.end("mosquitto", Signal::KILL);
    let before = watch.seen.len();
    rig.start_mosquitto();
    watch.until("sums after it", |seen| count(&seen[before..], "north", "region") >= 3).await;
    watch.until("bills after it", |seen| count(&seen[before..], "north", "meter") >= 3).await;
    assert!(sums_are_right(&watch.seen, "north"));
}

#[tokio::test]
async fn garbage_on_every_topic_is_counted_and_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir));
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("a region sum", |seen| count(seen, "north", "region") > 0).await;
    let region = crate::rig::region_id("north");
    let meter = "m-0".parse().unwrap();
    let mut topics = topic::meter_subscriptions(&region, &meter);
    topics.extend(
        topic::collector_subscriptions(&region).iter().map(|topic| topic.replace('+', "m-0")),
    );
    for topic in &topics {
        for (byte, length) in [(0, 0), (b'g', 7), (0x9f, 10_000), (0xff, 500_000)] {
            watch.sender.publish(topic.as_str(), vec![byte; length], false).await.unwrap();
        }
    }
    let before = count(&watch.seen, "north", "region");
    watch.until("sums after it", |seen| count(seen, "north", "region") >= before + 3).await;
    watch.until("bills after it", |seen| count(seen, "north", "meter") >= 3).await;
    assert!(sums_are_right(&watch.seen, "north"));
    for party in ["collector", "north-m-0"] {
        let log = rig.log(party);
        assert!(
            log.contains("is no COSE_Sign1") || log.contains("no COSE_Sign1"),
            "{party}: {log}"
        );
        assert!(log.contains("reason=\"malformed\""), "{party}: {log}");
    }
}

#[tokio::test]
async fn a_collector_whose_store_another_program_locks_is_not_ready_until_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir));
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("a region sum", |seen| count(seen, "north", "region") > 0).await;
    rig.until_health("collector", "/readyz", |answer| answer.starts_with("HTTP/1.1 200 ")).await;
    let other = rusqlite::Connection::open(rig.path("collector").join("region-north.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = r#""check":"store","ok":false,"reason":""#;
    rig.until_health("collector", "/readyz", |answer| answer.contains(refused)).await;
    assert!(rig.health("collector", "/livez").await.starts_with("HTTP/1.1 200 "));
    other.execute_batch("ROLLBACK").unwrap();
    rig.until_health("collector", "/readyz", |answer| answer.starts_with("HTTP/1.1 200 ")).await;
}

#[tokio::test]
async fn every_party_counts_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir));
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("a window's bills", |seen| count(seen, "north", "meter") >= 3).await;
    let collector = rig.health("collector", "/metrics").await;
    let agent = rig.health(&agent("north", 0), "/metrics").await;
    for series in [
        "hushgrid_contributions_total{region=\"north\"}",
        "hushgrid_receipts_total{region=\"north\"}",
        "hushgrid_events_total{region=\"north\",event=\"combined\"}",
        "hushgrid_database_bytes{region=\"north\"}",
    ] {
        assert!(counted(&collector, series) >= Some(3.0), "{series} in\n{collector}");
    }
    for series in ["hushgrid_database_bytes{", "hushgrid_contributed_until_timestamp_seconds{"] {
        assert!(counted(&agent, series) >= Some(3.0), "{series} in\n{agent}");
    }
    for series in ["hushgrid_commit_age_seconds{", "hushgrid_slots{"] {
        assert!(counted(&agent, series) >= Some(0.0), "{series} in\n{agent}");
    }
}
