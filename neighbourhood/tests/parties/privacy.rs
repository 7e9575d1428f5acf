//! Nothing that leaves a meter tells a reading: every message of a real run is
//! taken apart, and every log and every answer about health is searched.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::rig::{Broker, METERS, Rig, Watch, agent, count, counted};
use ciborium::Value;
use protocol::envelope::Envelope;
use protocol::message::Kind;
use protocol::topic;
use rustix::process::Signal;

const SLOTS: u64 = 600;

/// Readings of five digits, each different from all others, that no sum of
/// three of them, no uptime of this machine and no size of a database is.
fn canaries() -> Vec<Vec<u64>> {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: u64 = uptime.split('.').next().unwrap().parse().unwrap();
    let base = if (9_000..19_000).contains(&uptime) { 25_001 } else { 13_001 };
    let meters = METERS as u64;
    (0..SLOTS).map(|slot| (0..meters).map(|meter| base + slot * meters + meter).collect()).collect()
}

fn readings(dir: &tempfile::TempDir, canaries: &[Vec<u64>]) -> PathBuf {
    let mut text = String::from("slot,a,b,c\n");
    for (slot, row) in canaries.iter().enumerate() {
        let cells: Vec<_> = row.iter().map(u64::to_string).collect();
        writeln!(text, "{slot},{}", cells.join(",")).unwrap();
    }
    let file = dir.path().join("canaries.csv");
    std::fs::write(&file, text).unwrap();
    file
}

/// Every integer in a CBOR item, also in messages within byte strings.
fn integers(value: &Value, found: &mut Vec<u64>, kinds: &mut BTreeSet<Kind>) {
    match value {
        Value::Integer(number) => found.extend(u64::try_from(*number).ok()),
        Value::Bytes(bytes) => {
            if let Ok(envelope) = Envelope::parse(bytes) {
                integers_of(&envelope, found, kinds);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| integers(item, found, kinds)),
        Value::Map(pairs) => pairs.iter().for_each(|(key, item)| {
            integers(key, found, kinds);
            integers(item, found, kinds);
        }),
        _ => {}
    }
}

fn integers_of(envelope: &Envelope, found: &mut Vec<u64>, kinds: &mut BTreeSet<Kind>) {
    kinds.insert(envelope.header().kind);
    integers(&ciborium::from_reader(envelope.payload()).unwrap(), found, kinds);
}

/// The words of a text, without the letters around their digits. A number
/// inside a hexadecimal word is none.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.map(|word| word.trim_matches(|letter: char| letter.is_ascii_alphabetic()))
}

#[tokio::test]
async fn no_message_view_or_log_tells_a_reading() {
    let dir = tempfile::tempdir().unwrap();
    let canaries = canaries();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir, &canaries));
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("two windows' bills", |seen| count(seen, "north", "meter") >= 6).await;
    let is_seen =
        |end| move |seen: &[(String, Vec<u8>)]| seen.iter().any(|(of, _)| of.ends_with(end));
    watch.until("an audit", is_seen("/proof")).await;
    rig.end("collector", Signal::KILL);
    // A collector that misses no slot asks for none.
    let contributed = |text: &str| counted(text, "hushgrid_contributed_until_timestamp_seconds{");
    let meter = agent("north", 0);
    let before = contributed(&rig.health(&meter, "/metrics").await);
    rig.until_health(&meter, "/metrics", |text| contributed(text) > before).await;
    // Members say once what they know: not before this subscriber is back.
    let rosters = |seen: &[(String, Vec<u8>)]| {
        seen.iter().filter(|(topic, _)| topic.ends_with("/c/roster")).count()
    };
    let agents: Vec<_> = (0..METERS).map(|at| agent("north", at)).collect();
    for name in &agents {
        rig.signal(name, Signal::STOP);
    }
    let before = rosters(&watch.seen);
    rig.start("collector", "collector");
    watch.until("the roster of the next start", |seen| rosters(seen) > before).await;
    for name in &agents {
        rig.signal(name, Signal::CONT);
    }
    watch.until("what members know after its start", is_seen("/recollection")).await;

    let canaries: BTreeSet<u64> = canaries.into_iter().flatten().collect();
    let texts: BTreeSet<String> = canaries.iter().map(u64::to_string).collect();
    let told = |text: &str| words(text).find(|word| texts.contains(*word)).map(str::to_owned);
    let mut kinds = BTreeSet::new();
    for (topic, payload) in &watch.seen {
        if topic::is_json(topic) {
            assert_eq!(told(std::str::from_utf8(payload).unwrap()), None, "{topic}");
            continue;
        }
        let mut found = Vec::new();
        integers_of(&Envelope::parse(payload).unwrap(), &mut found, &mut kinds);
        assert_eq!(found.iter().find(|number| canaries.contains(number)), None, "{topic}");
    }
    let silent = [
        Kind::Refusal,
        Kind::Omission,
        Kind::Complaint,
        Kind::Inquiry,
        Kind::Evidence,
        Kind::Unproven,
    ];
    let expected = Kind::ALL.iter().filter(|kind| !silent.contains(kind));
    let unseen: Vec<_> = expected.filter(|kind| !kinds.contains(kind)).collect();
    assert!(unseen.is_empty(), "but for what is said of a mishap alone: {unseen:?}");
    let logs = rig.logs();
    assert!(logs.contains("member of epoch 1"), "{logs}");
    assert_eq!(told(&logs), None);
}

#[tokio::test]
async fn no_answer_about_health_tells_a_reading_or_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let canaries = canaries();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir, &canaries));
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_all(&["north"]);
    watch.until("a window's bills", |seen| count(seen, "north", "meter") >= 3).await;
    let texts: BTreeSet<String> = canaries.into_iter().flatten().map(|wh| wh.to_string()).collect();
    for party in rig.names() {
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = rig.health(&party, path).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{party}{path}: {answer}");
            assert!(!words(&answer).any(|word| texts.contains(word)), "{party}{path}: {answer}");
            let mut words = answer.split(|letter: char| !letter.is_ascii_hexdigit());
            assert!(!words.any(|word| word.len() >= 64), "{party}{path}: {answer}");
        }
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let nested = Value::Array(vec![Value::Map(vec![(Value::from(1), Value::from(12_345))])]);
    let mut found = Vec::new();
    integers(&nested, &mut found, &mut BTreeSet::new());
    assert_eq!(found, [1, 12_345]);
    assert!(words(r#"{"a":12345}, 777Wh a12345b9"#).any(|word| word == "12345"));
    assert!(words("777Wh").eq(["777"]) && !words("a12345b9").any(|word| word == "12345"));
}
