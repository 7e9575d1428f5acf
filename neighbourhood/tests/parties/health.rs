//! What parties tell about themselves: to systemd, and to those who ask.

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::rig::{Broker, Rig, agent};
use crate::systemd::Systemd;

/// A collector and its meters, none of which runs.
fn rig() -> Rig {
    Rig::new(&["north"], Broker::Embedded, Path::new("/nowhere.csv"))
}

/// A rig whose first agent has this in its configuration, and where to find
/// readings.
fn rig_with_agent(dir: &tempfile::TempDir, from: &str, to: &str) -> Rig {
    let readings = dir.path().join("readings.csv");
    std::fs::write(&readings, "slot,a,b,c\n0,1,10,100\n").unwrap();
    let rig = Rig::new(&["north"], Broker::Embedded, &readings);
    let config = rig.path("north-m-0.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&config, text.replacen(from, to, 1)).unwrap();
    rig
}

/// An agent that waits for its clock, and the marker that it waits for.
fn agent_without_time(dir: &tempfile::TempDir, systemd: &Systemd) -> (Rig, PathBuf) {
    let marker = dir.path().join("synchronized");
    let asks = format!("synchronised = true\nmarker = \"{}\"", marker.display());
    let mut rig = rig_with_agent(dir, "synchronised = false", &asks);
    rig.start_under(systemd, "agent", &agent("north", 0));
    systemd.until("READY", |line| line == "READY=1");
    (rig, marker)
}

#[test]
fn systemd_hears_that_a_collector_serves_and_lives_and_ends() {
    let (systemd, mut rig) = (Systemd::new(), rig());
    rig.start_under(&systemd, "collector", "collector");
    systemd.until("READY", |line| line == "READY=1");
    systemd.until("what it waits for", |line| line == "STATUS=north epoch: no epoch is open yet");
    systemd.until("a sign of life", |line| line == "WATCHDOG=1");
    assert!(rig.end("collector", Signal::TERM).success());
    systemd.until("STOPPING", |line| line == "STOPPING=1");
}

#[test]
fn the_watchdog_is_not_fed_any_more_once_a_region_hangs() {
    let (systemd, mut rig) = (Systemd::new(), rig());
    rig.start_under(&systemd, "collector", "collector");
    systemd.until("READY", |line| line == "READY=1");
    systemd.until("a sign of life", |line| line == "WATCHDOG=1");
    // The region's thread looks there for the next epoch, and reads a pipe that nobody writes to.
    let pipe = rig.path("collector").join("next-north-1.toml");
    let made = Command::new("mkfifo").arg("-m").arg("600").arg(pipe).status();
    assert!(made.unwrap().success());
    systemd.until_watchdog_bites();
    let log = rig.log("collector");
    assert!(log.contains("the watchdog is not fed: north has not moved for"), "{log}");
}

#[tokio::test]
async fn a_collector_whose_broker_is_dead_inside_it_ends_with_an_error() {
    let (systemd, mut rig) = (Systemd::new(), rig());
    rig.start_under(&systemd, "collector", "collector");
    systemd.until("READY", |line| line == "READY=1");
    // A topic that does not begin with ASCII is the end of rumqttd's router.
    let mut client = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    client.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x").unwrap();
    client.write_all("\x30\x06\x00\u{2}\u{e9}\x01\x02".as_bytes()).unwrap();
    let status = rig.ended("collector").await;
    let log = rig.log("collector");
    assert!(!status.success(), "{log}");
    assert!(log.lines().any(|line| line.starts_with("Error: the broker ")), "{log}");
}

#[tokio::test]
async fn an_agent_without_the_time_waits_and_says_so_until_it_is_told() {
    let (systemd, dir) = (Systemd::new(), tempfile::tempdir().unwrap());
    let (rig, marker) = agent_without_time(&dir, &systemd);
    systemd.until("the reason", |line| line.contains("clock: the clock is not synchronised"));
    systemd.until("a sign of life", |line| line == "WATCHDOG=1");
    let name = agent("north", 0);
    assert!(rig.health(&name, "/livez").await.starts_with("HTTP/1.1 200 OK"));
    let ready = rig.health(&name, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.contains(r#""check":"clock","ok":false,"reason":"the clock is not"#), "{ready}");
    assert!(rig.log(&name).contains("waiting for the clock: the clock is not synchronised"));
    File::create(marker).unwrap();
    systemd.until("the end of it", |line| {
        line.starts_with("STATUS=") && !line.contains("clock") && !line.contains("not known")
    });
    assert!(rig.log(&name).contains("the clock is believed now"));
}

#[test]
fn an_agent_that_waits_for_its_clock_still_ends_on_sigterm() {
    let (systemd, dir) = (Systemd::new(), tempfile::tempdir().unwrap());
    let (mut rig, _) = agent_without_time(&dir, &systemd);
    assert!(rig.end(&agent("north", 0), Signal::TERM).success());
}

#[test]
fn an_agent_whose_port_is_taken_says_so_and_serves() {
    let (systemd, dir) = (Systemd::new(), tempfile::tempdir().unwrap());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut rig = rig_with_agent(&dir, "127.0.0.1:0", &address);
    rig.start_under(&systemd, "agent", &agent("north", 0));
    systemd.until("READY", |line| line == "READY=1");
    systemd.until("a sign of life", |line| line == "WATCHDOG=1");
    let said = format!("nobody can ask for the health on {address}");
    assert!(rig.log(&agent("north", 0)).contains(&said));
}

#[test]
fn the_units_take_the_daemons_at_their_word() {
    for unit in [
        include_str!("../../../systemd/collector.service"),
        include_str!("../../../systemd/meter-agent.service"),
    ] {
        for line in ["Type=notify", "NotifyAccess=main", "WatchdogSec=5min"] {
            assert!(unit.lines().any(|of| of == line), "{line} in\n{unit}");
        }
    }
}
