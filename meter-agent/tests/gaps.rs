//! What a meter counts while its agent is down, or hears nothing of it, goes
//! into the meter's machine once.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use common::street::{START, Street, parameters};
use meter_agent::slots::Slots;
use meter_agent::source::p1::P1;
use meter_agent::source::{Source, SourceConfig};
use protocol::Rng;
use protocol::record::Sort;
use protocol::slot::Timestamp;
use rand::SeedableRng as _;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Homes whose slot at position i takes 2^i Wh, but for rows that are none.
fn homes(bad: &[u32]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "slot,a").unwrap();
    for row in 0..16 {
        let cell = if bad.contains(&row) { "none".to_owned() } else { (1 << row).to_string() };
        writeln!(file, "{row},{cell}").unwrap();
    }
    file
}

/// The agent's source, just started.
fn started(file: &NamedTempFile) -> Slots {
    let config = json!({ "kind": "csv", "file": file.path(), "home": 0, "unit": "wh" });
    Slots::open(&serde_json::from_value(config).unwrap(), 900).unwrap()
}

/// A street, and the homes that its first meter is one of.
struct Homes {
    street: Street,
    file: NamedTempFile,
    slots: Slots,
}

impl Homes {
    fn open(bad: &[u32]) -> Self {
        Self::open_at(bad, START)
    }

    fn open_at(bad: &[u32], start: Timestamp) -> Self {
        let (file, street) = (homes(bad), Street::open_at(parameters(), start));
        let mut homes = Self { street, slots: started(&file), file };
        homes.street.hand_in(&mut homes.slots, start);
        homes
    }

    fn end(&mut self, positions: Range<u64>) {
        for position in positions {
            let now = self.street.end(position);
            self.street.hand_in(&mut self.slots, now);
        }
    }

    /// The agent starts in the slot at a position.
    fn restart_in(&mut self, position: u64) {
        let now = self.start_in(position);
        self.street.hand_in(&mut self.slots, now);
    }

    /// It starts, and nothing that it does becomes durable.
    fn crash_in(&mut self, position: u64) {
        let now = self.start_in(position);
        self.slots.hand_in(&mut self.street.meters[0], now).unwrap();
    }

    fn start_in(&mut self, position: u64) -> Timestamp {
        let now = self.street.grid().start(self.street.slot(position)) + SECOND;
        self.street.restart(now);
        self.slots = started(&self.file);
        now
    }

    fn energy(&self) -> u64 {
        self.street.uncounted().unsettled_wh
    }

    fn gaps(&self) -> usize {
        self.street.disk.of(Sort::Gap).count()
    }
}

#[test]
fn what_a_meter_counted_while_its_agent_was_down_is_one_gap() {
    let mut homes = Homes::open(&[]);
    homes.end(0..1);
    homes.restart_in(3);
    homes.end(3..5);
    assert_eq!((homes.energy(), homes.gaps()), (0b1_1111, 1));
}

#[test]
fn an_agent_that_goes_on_leaves_no_gap() {
    let mut homes = Homes::open(&[]);
    homes.end(0..3);
    homes.restart_in(3);
    homes.end(3..5);
    assert_eq!((homes.energy(), homes.gaps()), (0b1_1111, 0));
}

#[test]
fn a_clock_that_steps_back_gives_no_slot_twice() {
    let mut homes = Homes::open(&[]);
    homes.end(0..4);
    homes.end(1..4);
    assert_eq!(homes.energy(), 0b1111);
    homes.restart_in(2);
    homes.end(2..6);
    assert_eq!((homes.energy(), homes.gaps()), (0b11_1111, 0));
}

/// Where clocks on the wall go forward and back by an hour.
const ZONE: &str = "Europe/Berlin";

#[test]
fn daylight_saving_changes_no_slot() {
    if std::env::var_os("TZ").is_none_or(|zone| zone != ZONE) {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let again = again.env("TZ", ZONE).args(["--exact", "daylight_saving_changes_no_slot"]);
        let run = again.output().unwrap();
        assert!(
            run.status.success() && String::from_utf8(run.stdout).unwrap().contains("1 passed")
        );
    }
    // An hour before 2025-03-30 and 2025-10-26, 01:00 UTC.
    for start in [1_743_292_800_000, 1_761_436_800_000] {
        let mut homes = Homes::open_at(&[], Timestamp(start));
        homes.end(0..12);
        assert_eq!((homes.energy(), homes.gaps()), (0xfff, 0));
    }
}

#[test]
fn what_was_counted_since_the_first_epoch_began_is_a_gap_and_nothing_before() {
    let mut homes = Homes::open(&[]);
    homes.restart_in(2);
    homes.end(2..3);
    assert_eq!((homes.energy(), homes.gaps()), (0b111, 1));
}

#[test]
fn a_gap_is_handed_in_once_wherever_the_agent_crashes() {
    let mut homes = Homes::open(&[]);
    homes.end(0..1);
    for position in [2, 3, 5, 8] {
        homes.crash_in(position);
        homes.restart_in(position);
        homes.restart_in(position);
        homes.end(position..position + 1);
        homes.end(position..position + 1);
        assert_eq!(homes.energy(), (1 << (position + 1)) - 1);
    }
}

#[test]
fn a_row_without_a_reading_is_no_energy() {
    let mut homes = Homes::open(&[1, 3]);
    homes.end(0..3);
    homes.restart_in(5);
    homes.end(5..6);
    assert_eq!((homes.energy(), homes.gaps()), (0b11_0101, 1));
}

/// The virtual clock: whole hours after 1970 where tokio's clock begins.
fn clock() -> Timestamp {
    std::thread_local!(static BEGIN: Instant = Instant::now());
    START + BEGIN.with(Instant::elapsed)
}

/// A meter that counts 1 Wh a second from 15:00 on, heard every 10 s for half
/// an hour from now on, and not at all in some seconds after 15:00.
fn port(serial: &str, silent: Range<u64>) -> Slots {
    let mut capture = String::new();
    let seconds = (0..1800).step_by(10).map(|after| clock().since(START).as_secs() + after);
    for second in seconds.filter(|second| !silent.contains(second)) {
        let (wh, stamp) = (5_000 + second, format!("25061515{:02}{:02}", second / 60, second % 60));
        let lines = format!("0-0:1.0.0({stamp}S)\n1-0:1.8.0({wh}*Wh)");
        write!(capture, "/ABC5\n0-0:96.1.1({serial})\n{lines}\n!\n").unwrap();
    }
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(capture.as_bytes()).unwrap();
    let config = json!({ "kind": "p1", "file": file.path() });
    let config: SourceConfig = serde_json::from_value(config).unwrap();
    let SourceConfig::P1(p1) = &config else { panic!("another source") };
    let minute = NonZeroU32::new(60).unwrap();
    let p1 = P1::open(p1, minute, Rng::seed_from_u64(1), clock).unwrap();
    Slots::of((config, Source::P1(Box::new(p1))), minute)
}

/// A street of slots of a minute, and the port of its first meter.
struct Ported {
    street: Street,
    slots: Slots,
}

impl Ported {
    fn open(silent: Range<u64>) -> Self {
        clock();
        let slot_seconds = NonZeroU32::new(60).unwrap();
        let parameters = protocol::parameters::Parameters { slot_seconds, ..parameters() };
        Self { street: Street::open_with(parameters), slots: port("A", silent) }
    }

    /// Lives until so many seconds after 15:00.
    async fn live(&mut self, until: u64) {
        while clock() < START + Duration::from_secs(until) {
            tokio::select! {
                () = self.slots.arrival() => {}
                () = tokio::time::sleep(SECOND) => {}
            }
            self.street.hand_in(&mut self.slots, clock());
        }
    }

    /// Is down until so many seconds after 15:00.
    async fn sleep(&mut self, until: u64, serial: &str) {
        tokio::time::sleep((START + Duration::from_secs(until)).since(clock())).await;
        self.street.restart(clock());
        self.slots = port(serial, 0..0);
    }

    /// The energy that the machine has, and how much the meter counted as far
    /// as it was measured.
    fn energy(&self) -> (u64, u64) {
        let until = self.street.meters[0].measured_until().unwrap();
        let counted = until.since(self.street.grid().start(self.street.slot(0))).as_secs();
        (self.street.uncounted().unsettled_wh, counted)
    }

    fn unknown(&self) -> u64 {
        self.slots.counters()["gap-unknown"]
    }
}

#[tokio::test(start_paused = true)]
async fn what_registers_counted_while_the_agent_was_down_is_a_gap() {
    let mut ported = Ported::open(0..0);
    ported.live(200).await;
    ported.sleep(390, "A").await;
    ported.live(560).await;
    // From the end of slot 2 to the first boundary that was seen again.
    assert_eq!((ported.energy(), ported.unknown()), ((480, 480), 0));
    let gaps: Vec<_> = ported.street.disk.of(Sort::Gap).map(|(key, _)| key.position).collect();
    assert_eq!(gaps, [ported.street.slot(2).0]);
}

#[tokio::test(start_paused = true)]
async fn what_registers_counted_while_the_line_was_silent_is_a_gap() {
    let mut ported = Ported::open(170..400);
    ported.live(560).await;
    assert_eq!((ported.energy(), ported.unknown()), ((480, 480), 0));
    assert_eq!(ported.street.disk.of(Sort::Gap).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn registers_lose_nothing_however_often_the_agent_starts() {
    let mut ported = Ported::open(0..0);
    for start in (90..1_000).step_by(70) {
        ported.live(start).await;
        ported.sleep(start + start % 30, "A").await;
    }
    ported.live(1_200).await;
    assert_eq!(ported.energy(), (1_080, 1_080));
}

#[tokio::test(start_paused = true)]
async fn another_meters_registers_are_no_energy_of_a_gap() {
    let mut ported = Ported::open(0..0);
    ported.live(200).await;
    ported.sleep(390, "B").await;
    ported.live(560).await;
    // Slots 2 to 5 are not known.
    assert_eq!((ported.energy(), ported.unknown()), ((240, 480), 1));
    assert_eq!(ported.street.disk.of(Sort::Gap).count(), 0);
}
