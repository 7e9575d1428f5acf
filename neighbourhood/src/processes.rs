//! The parties' processes: started, watched, and ended within a bound.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{interval, timeout};

/// How long a party may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at parties that are ending.
const LOOK: Duration = Duration::from_millis(10);
/// Lines of a log that are worth showing.
const TAIL_LINES: usize = 15;

/// The running parties. Dropping them kills them.
pub(crate) struct Processes {
    program: PathBuf,
    logs: PathBuf,
    running: Vec<Process>,
}

struct Process {
    role: Role,
    name: String,
    child: Child,
}

/// What a party is, in the order in which parties end: the agents take leave
/// while there is a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// A meter's agent.
    Agent,
    /// The collector, with its broker if that is embedded.
    Collector,
    /// Debian's mosquitto.
    Mosquitto,
}

impl Role {
    /// All of them, in that order.
    pub(crate) const ALL: [Self; 3] = [Self::Agent, Self::Collector, Self::Mosquitto];

    /// Its subcommand of this program.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Collector => "collector",
            Self::Mosquitto => "mosquitto",
        }
    }
}

impl Processes {
    /// No party yet; logs will be in `logs`.
    pub(crate) fn none(logs: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file")?;
        Ok(Self { program, logs: logs.to_owned(), running: Vec::new() })
    }

    /// Starts a party; its log has its name.
    pub(crate) fn start(&mut self, role: Role, name: &str, config: &Path) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log(name));
        let log = log.context("a party's log")?;
        let child = Command::new(&self.program)
            .arg(role.as_str())
            .arg("--config")
            .arg(config)
            .args(["--parent", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the demonstration, which then asks its parties.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.running.push(Process { role, name: name.to_owned(), child });
        Ok(())
    }

    /// Kills one party, which [`Self::start`] brings back.
    pub(crate) fn kill_one(&mut self, name: &str) -> anyhow::Result<()> {
        let Some(place) = self.running.iter().position(|process| process.name == name) else {
            return Ok(());
        };
        let mut process = self.running.remove(place);
        process.child.kill().and_then(|()| process.child.wait()).context("a party to be killed")?;
        Ok(())
    }

    /// Freezes a party, or lets it go on.
    pub(crate) fn freeze(&self, name: &str, is_frozen: bool) -> anyhow::Result<()> {
        let process = self.running.iter().find(|process| process.name == name);
        let signal = if is_frozen { Signal::STOP } else { Signal::CONT };
        // Its id is its own for as long as nobody has waited for it.
        process.map_or(Ok(()), |process| kill_process(Pid::from_child(&process.child), signal))?;
        Ok(())
    }

    /// The parties that have ended by themselves, each once.
    pub(crate) fn poll_ended(&mut self) -> Vec<(Role, String)> {
        let ended = self.running.extract_if(.., |process| !process.is_running());
        ended.map(|process| (process.role, process.name)).collect()
    }

    /// Refuses to go on once a party has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for process in &mut self.running {
            if let Some(status) = process.child.try_wait()? {
                let name = process.name.clone();
                self.running.retain(|process| process.name != name);
                return Err(self.died(&name, status));
            }
        }
        Ok(())
    }

    /// Whether no party runs.
    pub(crate) fn are_none(&self) -> bool {
        self.running.is_empty()
    }

    /// Ends all parties, role by role. What does not end is killed.
    pub(crate) async fn stop(&mut self) {
        let mut all = std::mem::take(&mut self.running);
        for role in Role::ALL {
            self.running = all.extract_if(.., |process| process.role == role).collect();
            self.running.iter_mut().for_each(Process::ask_to_end);
            if timeout(PATIENCE, self.all_ended()).await.is_err() {
                self.kill();
            }
            self.running.clear();
        }
    }

    async fn all_ended(&mut self) {
        let mut looks = interval(LOOK);
        while !self.running.is_empty() {
            looks.tick().await;
            self.running.retain_mut(Process::is_running);
        }
    }

    fn kill(&mut self) {
        for process in &mut self.running {
            // Both fail only for a process that has ended.
            process.child.kill().and_then(|()| process.child.wait()).ok();
        }
    }

    fn died(&self, name: &str, status: ExitStatus) -> anyhow::Error {
        anyhow!("{name} has ended early ({status}); the end of its log:\n{}", self.tail(name))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The last lines of a party's log, indented.
    pub(crate) fn tail(&self, name: &str) -> String {
        let text = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let skipped = text.lines().count().saturating_sub(TAIL_LINES);
        text.lines().skip(skipped).fold(String::new(), |mut tail, line| {
            // Writing to memory cannot fail.
            writeln!(tail, "  {line}").ok();
            tail
        })
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn ask_to_end(&mut self) {
        // Its id is its own for as long as nobody has waited for it.
        if self.is_running() {
            // Fails only for a process that has ended.
            kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_end_of_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::none(dir.path()).unwrap();
        let lines: Vec<String> = (0..40).map(|line| line.to_string()).collect();
        fs::write(dir.path().join("m-01.log"), lines.join("\n")).unwrap();
        let tail = processes.tail("m-01");
        assert!(tail.starts_with("  25\n") && tail.ends_with("  39\n"), "{tail}");
        assert_eq!(processes.tail("m-02"), "");
    }
}
