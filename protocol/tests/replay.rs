//! How long a collector takes to start with the records of a large region, and
//! how much memory. By hand, alone on the machine:
//! `cargo test --release -p protocol --test replay -- --ignored --nocapture`
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

use aggregation::ElGamal;
use common::region::{Disk, Region, messages, region_request};
use common::{meter_ids, parameters};
use protocol::envelope::encode;
use protocol::message::Target;
use protocol::parameters::Parameters;
use protocol::record::{Change, Key, Part};
use protocol::round::{Combined, Ended};

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

#[test]
#[ignore = "takes minutes and some GB"]
fn how_long_a_start_takes_with_the_records_of_a_month() {
    let window_slots = NonZeroU32::new(u32::try_from(SLOTS).unwrap()).unwrap();
    let parameters = Parameters { window_slots, deadline_s: 864_000, ..parameters::<ElGamal>() };
    let mut street = Region::<ElGamal>::open_with(METERS, parameters);
    let mut disk = std::mem::take(&mut street.disk);
    for position in 0..SLOTS - 1 {
        keep_slot(&mut street, &mut disk, position);
    }
    street.disk = disk;
    let (before, began) = (memory("VmRSS"), processor_time());
    let collector = street.started_again().unwrap();
    let (took, after) = ((processor_time() - began) * 10, memory("VmRSS"));
    println!("with records {before} MiB; a start takes {took} ms and {} MiB", after - before);
    println!("at most {} MiB", memory("VmHWM"));
    assert!(collector.poll_timeout().is_some());
}
