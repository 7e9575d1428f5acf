//! A neighbourhood as a program, and what it says.

use std::io::{BufRead as _, BufReader, Read as _};
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
            .arg("--json")
            .args(arguments)
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

    /// Kills a process of the run: itself, or one of its parties by the place
    /// at which they were started.
    pub(crate) fn kill(&self, party: Option<usize>) {
        let own = self.child.id();
        let parties = format!("/proc/{own}/task/{own}/children");
        let parties = std::fs::read_to_string(parties).unwrap();
        let parties: Vec<i32> = parties.split_whitespace().map(|id| id.parse().unwrap()).collect();
        let of_party = |place: usize| Pid::from_raw(parties[place]).unwrap();
        let victim = party.map_or(Pid::from_child(&self.child), of_party);
        kill_process(victim, Signal::KILL).unwrap();
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
