//! `meter-agent sent`: what this household has sent and helped to open, from
//! its own database. Shows no reading.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use clap::Args;
use host::store;
use protocol::history::{self, History, OfPortion, OfSlot};
use protocol::record::Records;
use protocol::slot::Timestamp;
use serde::Serialize;

use crate::config::Config;
use crate::home::DATABASE;

/// How to show it.
#[derive(Args, Debug)]
#[group(skip)]
pub struct Sent {
    /// One JSON object per line: `event` is `slot` or `portion`, the slots of
    /// one tariff step in a window, and instants are in milliseconds since 1970.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Slot(Placed<'a, OfSlot>),
    Portion(Placed<'a, OfPortion>),
}

/// Something with its place in time.
#[derive(Serialize)]
struct Placed<'a, T> {
    region: &'a str,
    epoch: u32,
    start_ms: u64,
    end_ms: u64,
    members: usize,
    #[serde(flatten)]
    of: &'a T,
}

impl Sent {
    /// Writes what was sent and opened, also while the agent runs.
    ///
    /// # Errors
    /// Where there is no database that can be read, or nowhere to write.
    pub fn run(&self, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
        let epochs = history::of(&records(config)?)?;
        if self.json {
            epochs.iter().try_for_each(|epoch| write_json(epoch, out))?;
        } else {
            let is_empty = |epoch: &History| epoch.slots.is_empty() && epoch.portions.is_empty();
            if epochs.iter().all(is_empty) {
                writeln!(out, "nothing was sent or opened whose deadline has not passed")?;
            }
            epochs.iter().try_for_each(|epoch| write_words(epoch, out))?;
        }
        out.flush()?;
        Ok(())
    }
}

/// What the agent keeps, as it is now.
///
/// # Errors
/// Where there is no database that can be read.
pub fn records(config: &Config) -> anyhow::Result<Records> {
    store::read_copy(&config.keystore()?, DATABASE)
}

fn write_json(epoch: &History, out: &mut impl Write) -> anyhow::Result<()> {
    let (grid, region) = (epoch.grid(), epoch.region.as_str());
    let (number, members) = (epoch.epoch.0, epoch.members);
    for of in &epoch.slots {
        let (start_ms, end_ms) = (grid.start(of.slot).0, grid.end(of.slot).0);
        let placed = Placed { region, epoch: number, start_ms, end_ms, members, of };
        writeln!(out, "{}", serde_json::to_string(&Line::Slot(placed))?)?;
    }
    for of in &epoch.portions {
        let start_ms = grid.start(grid.first_slot(of.window)).0;
        let end_ms = grid.window_end(of.window).0;
        let placed = Placed { region, epoch: number, start_ms, end_ms, members, of };
        writeln!(out, "{}", serde_json::to_string(&Line::Portion(placed))?)?;
    }
    Ok(())
}

fn write_words(epoch: &History, out: &mut impl Write) -> io::Result<()> {
    let History { region, epoch: number, members, slot_seconds, window_slots, .. } = epoch;
    writeln!(
        out,
        "region {region}, epoch {number}: {members} members, slots of {slot_seconds} s, \
         windows of {window_slots} slots, times in UTC"
    )?;
    let grid = epoch.grid();
    for of in &epoch.slots {
        let (start, end) = (utc(grid.start(of.slot)), utc(grid.end(of.slot)));
        let (sent, helped) = (sent(of), helped(of));
        writeln!(out, "  slot {}, {start} to {end}: {sent}; {helped}", of.slot)?;
    }
    for of in &epoch.portions {
        let start = utc(grid.start(grid.first_slot(of.window)));
        let end = utc(grid.window_end(of.window));
        let claimed = if of.claimed { "claimed" } else { "not claimed" };
        let bills = match of.bills {
            0 => "helped to open no bill".to_owned(),
            1 => "helped to open the bill of 1 member".to_owned(),
            bills => format!("helped to open the bills of {bills} members"),
        };
        let OfPortion { window, step, .. } = of;
        writeln!(out, "  window {window}, {start} to {end}, step {step}: {claimed}; {bills}")?;
    }
    Ok(())
}

fn sent(of: &OfSlot) -> String {
    match (of.sent_bytes, of.on_time) {
        (None, _) => "nothing sent".to_owned(),
        (Some(bytes), None) => format!("{bytes} bytes sent, no receipt noted"),
        (Some(bytes), Some(true)) => format!("{bytes} bytes sent, on time by their receipt"),
        (Some(bytes), Some(false)) => format!("{bytes} bytes sent, late by their receipt"),
    }
}

fn helped(of: &OfSlot) -> String {
    match of.contributors {
        None => "helped to open no sum".to_owned(),
        Some(contributors) => format!("helped to open the sum of {contributors} members"),
    }
}

/// An instant as people write it, without its second where that is 0.
pub(crate) fn utc(at: Timestamp) -> String {
    let instant = SystemTime::UNIX_EPOCH + Duration::from_millis(at.0);
    let text = humantime::format_rfc3339_seconds(instant).to_string().replace('T', " ");
    let text = text.trim_end_matches('Z');
    text.strip_suffix(":00").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc() {
        assert_eq!(utc(Timestamp(1_705_316_405_999)), "2024-01-15 11:00:05");
        assert_eq!(utc(Timestamp(1_705_316_400_000)), "2024-01-15 11:00");
    }
}
