//! The collector's process, and what it uses.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Serialize;

/// Clock ticks a second, as the kernel tells them to every program.
const TICKS: u64 = 100;

/// A collector that is running. Dropping it kills it.
pub(crate) struct Hub(Child);

/// What a process has used.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Usage {
    pub(crate) memory_peak_bytes: u64,
    pub(crate) cpu_ms: u64,
}

impl Hub {
    /// Starts the collector's program; what it says goes to a file.
    pub(crate) fn start(program: &Path, config: &Path, log: &Path) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self(child))
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.0.kill().and_then(|()| self.0.wait()).context("the collector")?;
        Ok(())
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(ended.is_none(), "the collector has ended: {ended:?}");
        Ok(())
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.0.id())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Fails only for a process that has ended.
        self.kill().ok();
    }
}

/// What a process has used, with all of its threads.
pub(crate) fn usage(process: u32) -> anyhow::Result<Usage> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).context("no VmHWM")?;
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    let of_cpu = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks = of_cpu.sum::<Result<u64, _>>()?;
    Ok(Usage { memory_peak_bytes: 1024 * peak.parse::<u64>()?, cpu_ms: 1000 * ticks / TICKS })
}
