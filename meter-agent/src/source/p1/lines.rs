//! Lines that come and go, as tasks: a bridge, a serial port, a capture.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::time::Duration;

use protocol::Rng;
use protocol::reading::Register;
use protocol::slot::{Grid, Slot, Timestamp};
use rand::SeedableRng as _;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::series::Answer;
use super::vectors::DSMR50;
use super::{P1, P1Config, P1Error};

/// The virtual clock: whole hours after 1970 where tokio's clock begins.
fn clock() -> Timestamp {
    std::thread_local!(static BEGIN: Instant = Instant::now());
    let since = BEGIN.with(Instant::elapsed);
    Timestamp(1_699_999_200_000) + since
}

fn open(toml: &str) -> Result<P1, P1Error> {
    let config: P1Config = toml::from_str(toml).unwrap();
    P1::open(&config, NonZeroU32::new(60).unwrap(), Rng::seed_from_u64(1), clock)
}

async fn until(p1: &mut P1, counter: &str, count: u64) {
    while p1.counters().get(counter).is_none_or(|counted| *counted < count) {
        p1.arrival().await;
    }
}

#[tokio::test]
async fn a_bridge_that_hangs_up_is_called_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut p1 = open(&format!("tcp = \"{}\"", listener.local_addr().unwrap())).unwrap();
    for call in 1..=2 {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(DSMR50).await.unwrap();
        stream.write_all(&DSMR50[..99]).await.unwrap();
        drop(stream);
        until(&mut p1, "p1-lost", call).await;
        let counters = p1.counters();
        assert_eq!((counters["p1-telegrams"], counters["p1-cut-off"]), (call, call));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_is_not_there_is_called_ever_less_often() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut p1 = open(&format!("tcp = \"{nobody}\"")).unwrap();
    let begin = Instant::now();
    until(&mut p1, "p1-lost", 8).await;
    // After pauses of 0.5 to 1 times 1, 2, 4, 8, 16, 32 and 60 s.
    let waited = begin.elapsed().as_secs();
    assert!((61..=123).contains(&waited), "{waited}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_serial_port_is_read_and_its_loss_is_noticed() {
    use tokio_serial::{SerialPort as _, SerialStream};
    let (mut meter, port) = SerialStream::pair().unwrap();
    let path = port.name().unwrap();
    let mut p1 = open(&format!("device = \"{path}\"")).unwrap();
    drop(port);
    // The first attempt may find the port still held by this test.
    let mut telegrams = 0;
    while telegrams == 0 {
        AsyncWriteExt::write_all(&mut meter, DSMR50).await.unwrap();
        let beat = tokio::time::timeout(Duration::from_millis(200), p1.arrival());
        beat.await.ok();
        telegrams = p1.counters()["p1-telegrams"];
    }
    let lost = p1.counters().get("p1-lost").copied().unwrap_or(0);
    drop(meter);
    until(&mut p1, "p1-lost", lost + 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_line_is_opened_again_and_is_an_alarm_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut p1 = open(&format!("tcp = \"{address}\"\nsilence_s = 30")).unwrap();
    until(&mut p1, "p1-lost", 3).await;
    let due = p1.poll_timeout().unwrap();
    assert!(due <= clock());
    for _ in 0..10 {
        p1.handle_timeout(clock());
    }
    let counters = p1.counters();
    assert_eq!((counters["p1-silences"], counters["p1-silent"]), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_real_capture_is_replayed_at_its_own_pace_and_faster() {
    let name = "a_real_capture_is_replayed_at_its_own_pace_and_faster";
    let Some(file) = super::super::real_data(name, "p1/capture-566-telegrams.txt") else {
        return;
    };
    // The clock begins with the capture, so that its minutes are slots.
    clock();
    for speedup in [1_u32, 10] {
        let file = file.display();
        let toml = format!("file = \"{file}\"\ncrc = \"require\"\nspeedup = {speedup}");
        let mut p1 = open(&toml).unwrap();
        let begin = Instant::now();
        let start = clock();
        while !p1.has_ended() {
            p1.arrival().await;
        }
        assert_eq!(begin.elapsed().as_millis() / 100, 5_660 / u128::from(speedup));
        let counters = p1.counters();
        assert_eq!((counters["p1-telegrams"], counters["p1-cut-off"]), (566, 1));
        assert_eq!(counters.len(), 3, "{counters:?}");
        if speedup == 1 {
            assert_eq!(minutes(&mut p1, start), [7, 8, 9, 9, 10, 10, 11, 12, 12]);
        }
    }
}

/// The import of every minute since `start`.
fn minutes(p1: &mut P1, start: Timestamp) -> Vec<u64> {
    let one = NonZeroU32::MIN;
    let grid =
        Grid { slot_seconds: NonZeroU32::new(60).unwrap(), window_slots: one, origin: Slot(0) };
    let late = clock() + Duration::from_hours(1);
    let slots = (0..20).map(|slot| p1.read(&grid, grid.slot_at(start).plus(slot), late));
    let known = |answer| match answer {
        Answer::Ready(energy) => Some(energy[&Register::Import]),
        _ => None,
    };
    slots.filter_map(known).collect()
}

#[tokio::test(start_paused = true)]
async fn a_capture_without_stamps_comes_at_the_interval() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for kwh in 0..5 {
        write!(file, "/ABC5\n1-0:1.8.0({kwh}*Wh)\n!\n").unwrap();
    }
    let toml = format!("file = \"{}\"\ninterval_ms = 10000\nspeedup = 2", file.path().display());
    let mut p1 = open(&toml).unwrap();
    let begin = Instant::now();
    while !p1.has_ended() {
        p1.arrival().await;
    }
    assert_eq!(begin.elapsed().as_secs(), 20);
    assert_eq!(p1.poll_timeout(), None);
    assert_eq!(p1.label(), "replayed from a P1 capture");
}

#[tokio::test]
async fn what_is_no_capture_is_named() {
    let says = |toml| open(toml).err().unwrap().to_string();
    assert!(says("file = \"nowhere\"").starts_with("cannot read nowhere: "));
    assert!(says("file = \"/\"").starts_with("/ is no regular file"));
}
