//! How long a collector takes to start with the records of a large region, and
//! how much memory. By hand, alone on the machine:
//! `cargo test --release -p protocol --test replay how_long -- --ignored --nocapture`
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;

use aggregation::ElGamal;
use common::disk::Disk;
use common::region::{Region, messages, region_request};
use common::{meter_ids, parameters};
use protocol::envelope::encode;
use protocol::id::Epoch;
use protocol::message::Target;
use protocol::parameters::Parameters;
use protocol::record::{Change, Key, Part, Records, Sort};
use protocol::round::{Combined, Ended};
use serde_bytes::ByteBuf;

const METERS: usize = 200;

/// A month of quarter hours.
const SLOTS: u64 = 2_976;

/// One line of what the kernel says of this process, in MiB.
fn memory(of: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(of)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Processor time of this process so far, in hundredths of a second.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Puts the records of a slot to which everybody contributed on the disk.
fn keep_slot(street: &mut Region<ElGamal>, disk: &mut Disk, position: u64) {
    let (slot, epoch) = (street.end_slot(position), street.roster.epoch());
    let all = messages(&street.play_all(slot, 0..METERS));
    let ids = meter_ids(0..METERS);
    let mut listed: Vec<_> = ids.iter().zip(&all).collect();
    listed.sort();
    for (meter, message) in &listed {
        disk.apply(Change::Write(Key::counted(epoch, slot, meter), (*message).clone().into()));
    }
    let sorted: Vec<_> = listed.iter().map(|(_, message)| (*message).clone()).collect();
    let request = street.by_collector(&region_request(slot, &sorted));
    let end = Combined {
        at: street.now,
        values: vec![1],
        helpers: ids,
        unanswered: Vec::new(),
        culprits: Vec::new(),
        is_settled: true,
    };
    for (part, record) in [(Part::Request, request), (Part::End, encode(&Ended::Combined(end)))] {
        disk.apply(Change::Write(Key::round(epoch, Target::Region(slot), &part), record.into()));
    }
}

/// Where a process of its own finds the records that it is to start with.
const RECORDS: &str = "HUSHGRID_REPLAY_RECORDS";

/// A record as a file holds it: sort, epoch, position, name, value.
type Written = (u8, u32, u64, String, ByteBuf);

fn write(records: &Records, path: &Path) {
    let all = Sort::ALL.iter().flat_map(|sort| records.of(*sort));
    let all = all.map(|(key, value)| {
        let Key { sort, epoch, position, name } = key.clone();
        (sort.number(), epoch.0, position, name, ByteBuf::from(value))
    });
    std::fs::write(path, encode(&all.collect::<Vec<Written>>())).unwrap();
}

fn read(path: &Path) -> Records {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let all: Vec<Written> = ciborium::from_reader(file).unwrap();
    let record = |(sort, epoch, position, name, value): Written| {
        let sort = Sort::of(sort).unwrap();
        (Key { sort, epoch: Epoch(epoch), position, name }, value.into_vec().into())
    };
    all.into_iter().map(record).collect()
}

fn month() -> Region<ElGamal> {
    let window_slots = NonZeroU32::new(u32::try_from(SLOTS).unwrap()).unwrap();
    let parameters = Parameters { window_slots, deadline_s: 864_000, ..parameters::<ElGamal>() };
    Region::<ElGamal>::open_with(METERS, parameters)
}

/// Starts a collector with these records in a process of its own.
fn start_with(records: &Records, what: &str) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("replay");
    write(records, &file);
    let mut child = Command::new(std::env::current_exe().unwrap());
    let test = ["--exact", "a_start_with_the_records_of_a_file", "--ignored", "--nocapture"];
    let output = child.args(test).env(RECORDS, &file).output().unwrap();
    std::fs::remove_file(file).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find(|line| line.starts_with("records"));
    println!("{what}: {}", line.unwrap_or_else(|| panic!("{said}")));
}

#[test]
#[ignore = "is run by the test below, in a process of its own"]
fn a_start_with_the_records_of_a_file() {
    let Some(path) = std::env::var_os(RECORDS) else { return };
    let mut street = month();
    street.now = street.roster.grid().end(street.slot(SLOTS - 1));
    street.disk.records = read(Path::new(&path));
    let (before, began) = (memory("VmRSS"), processor_time());
    let collector = street.started_again().unwrap();
    let (took, after) = ((processor_time() - began) * 10, memory("VmRSS"));
    assert!(collector.poll_timeout().is_some());
    let (more, peak) = (after - before, memory("VmHWM"));
    println!("records {before} MiB; a start takes {took} ms and {more} MiB; peak {peak} MiB");
}

#[test]
#[ignore = "takes minutes and some GB"]
fn how_long_a_start_takes_with_the_records_of_a_month() {
    let mut street = month();
    let mut disk = std::mem::take(&mut street.disk);
    for position in 0..SLOTS - 1 {
        keep_slot(&mut street, &mut disk, position);
    }
    street.disk = disk;
    start_with(&street.disk, "all records");
    // With its last slot the window is over, and its running sums are kept.
    street.collector = street.started_again().unwrap();
    street.offline.extend(0..METERS);
    street.open_slot(SLOTS - 1);
    assert_eq!(street.disk.of(Sort::Snapshot).count(), 1);
    start_with(&street.disk, "with a snapshot");
}
