//! What `meter-agent read` shows of every kind of source.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

use std::future::{Future, pending};
use std::io::{self, Write};

use meter_agent::Config;
use meter_agent::read::Read;
use meter_agent::source::SourceConfig;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A configuration whose broker and state folder are nowhere.
fn config(slot_seconds: u32, source: &str) -> Config {
    let text = format!(
        "region = \"north\"\nmeter = \"m-01\"\nstate_dir = \"/nowhere\"\n\
         registrar = \"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"\n\
         [broker]\nurl = \"mqtt://127.0.0.1:1\"\n\
         [floors]\nslot_seconds = {slot_seconds}\n[source]\n{source}\n"
    );
    toml::from_str(&text).unwrap()
}

/// Tells of every line that is written.
struct Lines(Vec<u8>, mpsc::UnboundedSender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend(bytes);
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            self.1.send(String::from_utf8(line).unwrap().trim_end().to_owned()).ok();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first `count` lines that reading shows, or fewer if it ends before.
async fn lines(
    config: &Config,
    json: bool,
    count: usize,
    meter: impl Future<Output = ()>,
) -> Vec<String> {
    let (sender, mut told) = mpsc::unbounded_channel();
    let mut shown = Vec::new();
    let stop = async {
        while shown.len() < count {
            shown.push(told.recv().await.unwrap());
        }
    };
    let mut out = Lines(Vec::new(), sender);
    let read = Read { json, seconds: None };
    tokio::select! {
        ended = read.run(config, &mut out, stop) => ended.unwrap(),
        () = meter => panic!("the meter ended"),
    }
    while let Ok(line) = told.try_recv() {
        shown.push(line);
    }
    shown
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn an_invented_reading_is_labelled_and_needs_neither_broker_nor_keys() {
    let config = config(900, "kind = \"simulated\"\nseed = 1");
    let shown = lines(&config, false, 2, pending()).await;
    assert!(shown[0].starts_with("simulated: energy of each slot of 900 s"), "{shown:?}");
    assert!(shown[1].contains(" kWh (+") && shown[1].ends_with("  simulated"), "{shown:?}");
    let shown = lines(&config, true, 1, pending()).await;
    let reading = parsed(&shown[0]);
    assert_eq!((&reading["event"], &reading["of"]), (&"reading".into(), &"slot".into()));
    assert_eq!(reading["source"], "simulated");
    assert!(reading["import_wh"].is_u64() && reading["export_wh"].is_u64());
    assert_eq!(reading["at"].as_u64().unwrap() % 900_000, 0);
}

#[tokio::test]
async fn a_file_is_shown_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("homes.csv");
    std::fs::write(&file, "slot,a\n0,0.001\n1,x\n").unwrap();
    let config = config(1, &format!("kind = \"csv\"\nhome = 0\nfile = {file:?}"));
    let shown = lines(&config, true, 9, pending()).await;
    assert_eq!(shown.len(), 1);
    let reading = parsed(&shown[0]);
    assert_eq!((&reading["import_wh"], &reading["export_wh"]), (&1.into(), &Value::Null));
    assert_eq!(reading["source"], "replayed from a file");
}

/// A meter that hangs up after each call and shows 1, 2, 4 Wh and so on.
async fn meter(listener: TcpListener) {
    for call in 0.. {
        let (mut stream, _) = listener.accept().await.unwrap();
        let telegram = format!("/ABC5\n1-0:1.8.0({}*Wh)\n!\n", 1 << call);
        stream.write_all(telegram.as_bytes()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn each_telegram_is_shown_and_a_lost_line_opened_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = config(900, &format!("kind = \"p1\"\ntcp = \"{address}\""));
    let shown = lines(&config, false, 4, meter(listener)).await;
    assert!(shown[0].starts_with("P1 port: totals of the meter's registers"), "{shown:?}");
    for (line, energy) in shown[1..].iter().zip(["0.001 kWh (+0", "0.002 kWh (+1", "0.004 kWh (+3"])
    {
        assert!(line.ends_with(&format!("UTC  import {energy} Wh)  P1 port")), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn json_of_a_telegram_has_the_registers_and_null_for_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = config(900, &format!("kind = \"p1\"\ntcp = \"{address}\""));
    let shown = lines(&config, true, 2, meter(listener)).await;
    let reading = parsed(&shown[1]);
    assert_eq!((&reading["import_wh"], &reading["export_wh"]), (&2.into(), &Value::Null));
    assert_eq!((&reading["of"], &reading["source"]), (&"register".into(), &"P1 port".into()));
}

#[tokio::test(start_paused = true)]
async fn a_capture_comes_at_its_own_pace_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.txt");
    let telegram = |s: u32| format!("/ABC5\n0-0:1.0.0(2401151200{s}W)\n1-0:1.8.0({s}*Wh)\n!\n");
    std::fs::write(&file, [10, 20, 40].map(telegram).concat()).unwrap();
    let config = config(900, &format!("kind = \"p1\"\nspeedup = 2\nfile = {file:?}"));
    let begin = tokio::time::Instant::now();
    let shown = lines(&config, true, 9, pending()).await;
    let energies: Vec<_> = shown.iter().map(|line| parsed(line)["import_wh"].clone()).collect();
    assert_eq!(energies, [10, 20, 40]);
    assert_eq!(begin.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn it_ends_by_itself_after_the_given_seconds() {
    let config = config(900, "kind = \"simulated\"\nseed = 1");
    let (mut out, read) = (Vec::new(), Read { json: true, seconds: Some(1) });
    read.run(&config, &mut out, pending()).await.unwrap();
    assert!(!out.is_empty());
}

#[tokio::test]
async fn a_line_that_cannot_be_opened_says_what_to_check() {
    let config = config(900, "kind = \"p1\"\ndevice = \"/nowhere\"");
    let (mut out, read) = (Vec::new(), Read { json: false, seconds: None });
    let error = read.run(&config, &mut out, pending()).await.unwrap_err();
    assert!(format!("{error:#}").contains("a running meter-agent"), "{error:#}");
}

/// The keys of the P1 table in the sample, without their `#`.
fn sample_keys() -> Vec<&'static str> {
    let sample = include_str!("../../docs/samples/meter-agent.toml");
    let table = &sample[sample.find("#kind = \"p1\"").unwrap()..];
    let keys = table.lines().filter_map(|line| line.strip_prefix('#'));
    keys.filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase())).collect()
}

#[test]
fn the_samples_p1_table_has_every_key_with_its_default() {
    let source = |omitted: &[&str]| {
        let is_kept = |line: &&&str| !omitted.iter().any(|key| line.starts_with(key));
        let text: Vec<_> = sample_keys().iter().filter(is_kept).copied().collect();
        toml::from_str::<SourceConfig>(&text.join("\n"))
    };
    let defaults = ["baud", "speedup", "interval_ms", "crc", "silence_s", "rating_w"];
    for (others, unread) in [
        (["tcp", "file"], &["speedup", "interval_ms"][..]),
        (["device", "file"], &["baud", "speedup", "interval_ms"]),
        (["device", "tcp"], &["baud"]),
    ] {
        let full = source(&[&others, unread].concat()).unwrap();
        assert_eq!(full, source(&[&others[..], &defaults].concat()).unwrap());
    }
    assert_eq!(sample_keys().len(), 1 + 3 + defaults.len());
}
