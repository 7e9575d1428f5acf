//! Lines that `meter-agent probe` looks at, and what it says of them.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

use std::future::pending;
use std::path::Path;

use clap::Parser;
use meter_agent::probe::Probe;
use meter_agent::source::SourceConfig;
use meter_agent::source::p1::{Baud, Line};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

const TELEGRAM: &[u8] = include_bytes!("telegrams/dsmr50.txt");
const SML: [u8; 10] = [0x76, 0x1b, 0x1b, 0x1b, 0x1b, 0x01, 0x01, 0x01, 0x01, 0x76];

/// What probing gives: its end, and what was written.
async fn probe(args: &[&str], dev: &Path) -> (Result<(), String>, String) {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        probe: Probe,
    }
    let args = ["probe"].iter().chain(args);
    let (mut out, probe) = (Vec::new(), Cli::try_parse_from(args).unwrap().probe);
    let ended = probe.run(dev, &mut out, false, pending()).await;
    (ended.map_err(|error| format!("{error:#}")), String::from_utf8(out).unwrap())
}

/// What probing says of a bridge that sends `bytes` once.
async fn probe_bridge(bytes: &[u8], args: &[&str]) -> (Result<(), String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let send = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(bytes).await.unwrap();
    };
    let args = [["--tcp", &address].as_slice(), args].concat();
    let (probed, ()) = tokio::join!(probe(&args, Path::new("/nowhere")), send);
    probed
}

/// The line that a configuration of one `[source]` describes.
fn pasted(text: &str) -> Line {
    #[derive(Deserialize)]
    struct Table {
        source: SourceConfig,
    }
    let block = &text[text.find("[source]\n").unwrap()..];
    match toml::from_str::<Table>(block).unwrap().source {
        SourceConfig::P1(config) => config.line,
        _ => panic!("not P1"),
    }
}

#[tokio::test]
async fn a_p1_meter_is_described_and_its_block_can_be_pasted() {
    let (ended, says) = probe_bridge(&TELEGRAM.repeat(3), &[]).await;
    assert_eq!(ended, Ok(()));
    for part in ["P1: 3 telegrams", "with a checksum", "import: 1-0:1.8.1 + 1-0:1.8.2"] {
        assert!(says.contains(part), "{says}");
    }
    let address = says.lines().next().unwrap().to_owned();
    assert_eq!(pasted(&says), Line::Tcp { address });
}

#[tokio::test]
async fn neither_readings_nor_serial_numbers_are_shown() {
    for args in [&[][..], &["--json"]] {
        let (_, says) = probe_bridge(&TELEGRAM.repeat(3), args).await;
        for secret in ["4242", "3131", "7373", "53594E", "SYNTHETIC", "0.244"] {
            assert!(!says.contains(secret), "{secret} in {says}");
        }
    }
}

#[tokio::test]
async fn json_is_one_object_for_each_line() {
    let (ended, says) = probe_bridge(&TELEGRAM.repeat(3), &["--json"]).await;
    assert_eq!((ended, says.lines().count()), (Ok(()), 1));
    let json: Value = serde_json::from_str(&says).unwrap();
    assert_eq!((&json["event"], &json["verdict"]), (&"line".into(), &"p1".into()));
    assert_eq!((&json["telegrams"], &json["checksum"]), (&3.into(), &true.into()));
    assert_eq!(json["export"], serde_json::json!(["1-0:2.8.1", "1-0:2.8.2"]));
    let address = json["line"].as_str().unwrap().to_owned();
    assert_eq!(pasted(json["source"].as_str().unwrap()), Line::Tcp { address });
}

#[tokio::test]
async fn sml_is_named_and_not_taken() {
    let (ended, says) = probe_bridge(&SML, &[]).await;
    assert_eq!(ended, Err("no P1 meter was found".to_owned()));
    assert!(says.contains("this is SML, not supported yet") && !says.contains("[source]"));
}

#[tokio::test]
async fn noise_silence_and_broken_telegrams_get_a_hint_each() {
    let broken = [&TELEGRAM[..300], b"8", &TELEGRAM[301..]].concat();
    for (bytes, hint) in [
        (&[0xf0, 0x80, 0x2f, 0x00][..], "4 bytes came and no telegram: another speed"),
        (&[], "no byte came: is the bridge's own cable"),
        (&broken, "none is accepted: its checksum is wrong"),
    ] {
        let (ended, says) = probe_bridge(bytes, &[]).await;
        assert!(ended.is_err() && says.contains(hint), "{says}");
    }
}

#[tokio::test]
async fn a_bridge_that_is_not_there_is_no_dead_end() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (ended, says) = probe(&["--tcp", &nobody.to_string()], Path::new("/nowhere")).await;
    assert!(ended.is_err() && says.contains("Is the bridge switched on"), "{says}");
}

#[tokio::test]
async fn nothing_connected_says_what_to_check() {
    let dev = tempfile::tempdir().unwrap();
    let (ended, says) = probe(&[], dev.path()).await;
    let error = ended.unwrap_err();
    for part in ["no serial port", "cable", "/dev/serial/by-id", "--tcp HOST:PORT"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(says, "");
}

#[tokio::test]
async fn a_capture_is_recognised_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("capture.txt");
    std::fs::write(&file, TELEGRAM).unwrap();
    let (ended, says) = probe(&["--file", file.to_str().unwrap()], dir.path()).await;
    assert!(ended.is_ok() && says.contains("1 telegram, interval not seen"), "{says}");
    assert_eq!(pasted(&says), Line::File { path: file, speedup: 1, interval_ms: 1_000 });
}

/// A serial port whose other end sends `bytes` for ever, by its lasting name.
async fn probe_port(bytes: &[u8]) -> (Result<(), String>, String, Line) {
    use tokio_serial::{SerialPort as _, SerialStream};
    let (mut meter, port) = SerialStream::pair().unwrap();
    let dev = tempfile::tempdir().unwrap();
    let by_id = dev.path().join("serial/by-id");
    std::fs::create_dir_all(&by_id).unwrap();
    std::os::unix::fs::symlink(port.name().unwrap(), by_id.join("usb-meter")).unwrap();
    drop(port);
    let send = async {
        loop {
            // The port is closed between two speeds: what is sent then is lost.
            meter.write_all(bytes).await.ok();
            tokio::task::yield_now().await;
        }
    };
    let (ended, says) = tokio::select! {
        probed = probe(&["--seconds", "1"], dev.path()) => probed,
        () = send => unreachable!("it sends for ever"),
    };
    let line = Line::Device { path: by_id.join("usb-meter"), baud: Baud::B115200 };
    (ended, says, line)
}

#[tokio::test]
async fn a_serial_port_is_found_by_its_lasting_name() {
    let (ended, says, line) = probe_port(TELEGRAM).await;
    assert!(ended.is_ok() && says.contains("usb-meter at 115200 8N1\n"), "{says}");
    assert_eq!(pasted(&says), line);
}

#[tokio::test]
async fn sml_on_a_serial_port_is_named() {
    let (ended, says, _) = probe_port(&SML).await;
    assert!(ended.is_err() && says.contains("this is SML, not supported yet"), "{says}");
}

#[tokio::test]
async fn whoever_stops_it_sees_what_was_found_so_far() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = Some(listener.local_addr().unwrap().to_string());
    let probe = Probe { device: None, tcp, file: None, seconds: 3_600, json: false };
    let (mut out, dev) = (Vec::new(), Path::new("/nowhere"));
    // Once the bridge is called, someone presses Ctrl-C.
    let called = async { drop(listener.accept().await.map(std::mem::forget)) };
    let ended = probe.run(dev, &mut out, false, called).await;
    assert_eq!(ended.unwrap_err().to_string(), "no P1 meter was found");
    assert!(String::from_utf8(out).unwrap().contains("no byte came"));
}
