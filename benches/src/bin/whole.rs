//! Runs a whole neighbourhood and writes what it took: latencies as its own
//! output has them, processor time and memory of every party from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// Slots of a billing window of every neighbourhood.
const WINDOW_SLOTS: u64 = 10;

/// Runs a whole neighbourhood and writes what it took.
#[derive(Parser)]
struct Args {
    /// Where to write to.
    #[arg(long)]
    out: PathBuf,
    /// How many meters.
    #[arg(long, default_value_t = 50)]
    meters: u64,
    /// Length of a slot in seconds.
    #[arg(long, default_value_t = 5)]
    slot_seconds: u64,
    /// How many slots.
    #[arg(long, default_value_t = 60)]
    slots: u64,
    /// The folder of the workspace that the neighbourhood belongs to.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line {
    Result(Opened),
    Summary {
        seconds: f64,
        wrong: u64,
        missing: u64,
        refused: u64,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Opened {
    subject: Value,
    first_slot: u64,
    sum_wh: u64,
    expected_wh: Option<u64>,
    contributors: Vec<String>,
    latency_ms: u64,
}

/// Results of one sort.
#[derive(Default)]
struct Results {
    right: u64,
    /// First slots of the results that everybody is in.
    full: BTreeSet<u64>,
    latencies: Vec<u64>,
}

impl Results {
    fn take(&mut self, opened: &Opened, everybody: u64) {
        self.right += u64::from(opened.expected_wh == Some(opened.sum_wh));
        if opened.contributors.len() as u64 == everybody {
            self.full.insert(opened.first_slot);
        }
        self.latencies.push(opened.latency_ms);
    }

    /// How many of so many slots make a window in which everybody is counted
    /// in every slot: in others slots may be withheld.
    fn whole_windows(&self, slots: u64) -> u64 {
        let first = self.full.first().copied().unwrap_or_default();
        let starts = (0..slots / WINDOW_SLOTS).map(|window| first + window * WINDOW_SLOTS);
        let is_whole = |start: &u64| (*start..start + WINDOW_SLOTS).all(|s| self.full.contains(&s));
        starts.filter(is_whole).count() as u64
    }

    fn count(&self) -> u64 {
        self.latencies.len() as u64
    }

    fn summary(&mut self, expected: u64, slot_ms: u64) -> Value {
        self.latencies.sort_unstable();
        let late = self.latencies.iter().filter(|latency| **latency >= slot_ms).count();
        json!({
            "expected": expected,
            "results": self.count(),
            "right": self.right,
            "of_everybody": self.full.len(),
            "after_the_next_slot": late,
            "p50_ms": percentile(&self.latencies, 50),
            "p99_ms": percentile(&self.latencies, 99),
            "max_ms": self.latencies.last(),
        })
    }
}

/// The nearest rank.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

/// What a party's process has used.
#[derive(Clone, Default)]
struct Usage {
    cpu_ms: u64,
    memory_bytes: u64,
    /// Bytes that had gone to the disk by each region sum.
    written: Vec<u64>,
}

impl Usage {
    /// Bytes that went to the disk from one region sum to the next.
    fn written_per_slot(&self) -> Vec<u64> {
        self.written.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// The parties' processes, seen from outside.
struct Parties {
    system: System,
    of: Pid,
    usage: BTreeMap<(String, Pid), Usage>,
}

impl Parties {
    fn of(neighbourhood: &Child) -> anyhow::Result<Self> {
        let of = Pid::from_u32(neighbourhood.id());
        Ok(Self { system: System::new()?, of, usage: BTreeMap::new() })
    }

    /// Notes processor time so far and the most memory seen, and what was
    /// written by a region sum that has just come.
    fn look(&mut self, is_region_sum: bool) {
        let what = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_disk_usage()
            .with_cmd(UpdateKind::OnlyIfNotSet)
            .without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        for (pid, process) in self.system.processes() {
            if process.parent() != Some(self.of) {
                continue;
            }
            let role = process.cmd().get(1).map(|role| role.to_string_lossy().into_owned());
            let usage = self.usage.entry((role.unwrap_or_default(), *pid)).or_default();
            usage.cpu_ms = usage.cpu_ms.max(process.accumulated_cpu_time());
            usage.memory_bytes = usage.memory_bytes.max(process.memory());
            let written = is_region_sum.then(|| process.disk_usage().total_written_bytes);
            usage.written.extend(written);
        }
    }

    fn summary(&self, role: &str) -> Value {
        let all = self.usage.iter().filter(|((found, _), _)| found == role);
        let all: Vec<_> = all.map(|(_, usage)| usage).collect();
        let count = all.len().max(1) as u64;
        let cpu = all.iter().map(|usage| usage.cpu_ms);
        let memory = all.iter().map(|usage| usage.memory_bytes);
        let written: Vec<_> = all.iter().map(|usage| usage.written_per_slot()).collect();
        let mut written: Vec<_> = written.concat();
        written.sort_unstable();
        json!({
            "processes": all.len(),
            "written_per_slot_mean": written.iter().sum::<u64>() / written.len().max(1) as u64,
            "written_per_slot_median": percentile(&written, 50),
            "written_per_slot_p99": percentile(&written, 99),
            "cpu_ms_mean": cpu.clone().sum::<u64>() / count,
            "cpu_ms_max": cpu.max(),
            "memory_bytes_mean": memory.clone().sum::<u64>() / count,
            "memory_bytes_max": memory.max(),
        })
    }
}

fn command(args: &Args) -> Vec<String> {
    let of_program = ["run", "--release", "--locked", "-p", "neighbourhood", "--", "--json"];
    let mut words: Vec<_> = of_program.map(str::to_owned).into();
    for (option, value) in
        [("meters", args.meters), ("slot-seconds", args.slot_seconds), ("slots", args.slots)]
    {
        words.extend([format!("--{option}"), value.to_string()]);
    }
    words
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let words = command(&args);
    // Cargo makes way for the program that it runs: the process stays the same.
    let mut child = Command::new("cargo")
        .args(&words)
        .current_dir(&args.workspace)
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo")?;
    let output = child.stdout.take().context("no output")?;
    let mut parties = Parties::of(&child)?;
    let (mut regions, mut bills) = (Results::default(), Results::default());
    let mut ending = None;
    for line in BufReader::new(output).lines() {
        match serde_json::from_str(&line?)? {
            Line::Result(opened) if opened.subject.get("region").is_some() => {
                regions.take(&opened, args.meters);
                parties.look(true);
            }
            Line::Result(opened) => {
                bills.take(&opened, 1);
                if bills.count() % args.meters == 0 {
                    parties.look(false);
                }
            }
            Line::Summary { seconds, wrong, missing, refused } => {
                ending = Some(json!({
                    "seconds": seconds, "wrong": wrong, "missing": missing, "refused": refused,
                }));
            }
            Line::Other => {}
        }
    }
    let status = child.wait()?;
    let slot_ms = 1000 * args.slot_seconds;
    let expected_bills = args.meters * regions.whole_windows(args.slots);
    let whole = json!({
        "command": format!("cargo {}", words.join(" ")),
        "meters": args.meters,
        "slots": args.slots,
        "slot_seconds": args.slot_seconds,
        "success": status.success(),
        "regions": regions.summary(args.slots, slot_ms),
        "bills": bills.summary(expected_bills, slot_ms),
        "ending": ending,
        "collector": parties.summary("collector"),
        "agent": parties.summary("agent"),
        "load_1m_after": System::load_average()?.one,
    });
    serde_json::to_writer_pretty(File::create(&args.out)?, &whole)?;
    ensure!(status.success(), "the neighbourhood failed: {status}");
    Ok(())
}
