//! A neighbourhood as a program, and what it says.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The longest wait for a line: for the start of all parties on a busy
/// machine, or a bill that comes late.
const PATIENCE: Duration = Duration::from_mins(2);

/// A run with `--json`. Dropping it kills it, and its parties with it.
pub(crate) struct Neighbourhood {
    child: Child,
    lines: Receiver<String>,
    /// Takes the folders that failed runs leave behind.
    _dir: TempDir,
}

impl Neighbourhood {
    /// Starts the program with further arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_neighbourhood"))
            .args(arguments)
            .arg("--json")
            .env("TMPDIR", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        Self { child, lines, _dir: dir }
    }

    /// Waits for the next event.
    pub(crate) fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Asks the program to end, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// The processes of the parties: the collector's, then the agents'.
    pub(crate) fn parties(&self) -> Vec<i32> {
        let own = self.child.id();
        let parties = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
        parties.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    /// Kills the demonstration itself.
    pub(crate) fn kill(&self) {
        kill(Pid::from_child(&self.child).as_raw_pid());
    }

    /// Waits for the end: the events not read yet, the exit status, and what
    /// went to standard error.
    pub(crate) fn end(mut self) -> (Vec<Value>, ExitStatus, String) {
        let mut events = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => events.push(serde_json::from_str(&line).unwrap()),
                Err(end) => {
                    assert_eq!(end, std::sync::mpsc::RecvTimeoutError::Disconnected);
                    break;
                }
            }
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        (events, status, said)
    }
}

impl Drop for Neighbourhood {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// Kills one process of a run.
pub(crate) fn kill(process: i32) {
    kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
}

/// Whether a process still has memory of its own; one that has ended has none,
/// even before anybody has waited for it.
pub(crate) fn is_alive(process: i32) -> bool {
    std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        // Ends early once nobody listens.
        lines.map_while(|line| sender.send(line).ok()).for_each(drop);
    });
    receiver
}

/// The events of one sort.
pub(crate) fn of<'a>(events: &'a [Value], sort: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == sort).collect()
}

/// The results of the region, or of meters.
pub(crate) fn results<'a>(events: &'a [Value], subject: &str) -> Vec<&'a Value> {
    let results = of(events, "result").into_iter();
    results.filter(|result| result["subject"][subject].is_string()).collect()
}

/// A file of the real data that stand beside the workspace or where
/// `HUSHGRID_DATA` says. Where they are missing, `test` is reported as
/// skipped; with `CI=true` it fails instead.
pub(crate) fn real_data(test: &str, file: &str) -> Option<PathBuf> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").into();
    let path = std::env::var_os("HUSHGRID_DATA").unwrap_or_else(beside);
    let path = PathBuf::from(path).join(file);
    if path.exists() {
        return Some(path);
    }
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "{test} needs {}", path.display());
    // Written directly, since the harness swallows what a passing test prints.
    writeln!(std::io::stderr(), "SKIPPED {test}: no {}", path.display()).ok();
    None
}
