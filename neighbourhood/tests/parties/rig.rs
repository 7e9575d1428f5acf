//! Real parties over a real broker: processes, their files, and everything
//! that they publish.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::disk::Disk;
use crate::systemd::Systemd;
use host::{Keystore, clock};
use protocol::id::RegionId;
use protocol::topic;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Slots of one second, windows of four, three meters to a region.
pub(crate) const METERS: usize = 3;
const WINDOW_SLOTS: u32 = 4;

/// Each party answers for its health on a port of its own, which its log names.
const HEALTH: &str = "[health]\nlisten = \"127.0.0.1:0\"\n";

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A collector and its meters, prepared in a folder and not started.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    running: BTreeMap<String, Child>,
}

/// Which broker the collector uses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broker {
    Embedded,
    Mosquitto,
}

impl Rig {
    pub(crate) fn new(regions: &[&str], broker: Broker, readings: &Path) -> Self {
        let rig =
            Self { dir: tempfile::tempdir().unwrap(), port: free_port(), running: BTreeMap::new() };
        let collector = rig.write_collector(regions, broker);
        for region in regions {
            for at in 0..METERS {
                rig.write_agent(region, at, &collector, readings);
            }
        }
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a meter's own key file holds.
    pub(crate) fn identity(&self, region: &str, at: usize) -> String {
        fs::read_to_string(self.path(&agent(region, at)).join("identity.key")).unwrap()
    }

    /// The public key of one of a party's key files, which is drawn if need be.
    pub(crate) fn key(&self, party: &str, file: &str) -> String {
        let keystore = Keystore::open(&self.path(party)).unwrap();
        let identity = keystore.identity(file, &mut clock::generator().unwrap()).unwrap();
        identity.key().to_string()
    }

    fn write_collector(&self, regions: &[&str], broker: Broker) -> String {
        let dir = self.dir.path().display();
        fs::write(self.path("broker.toml"), include_str!("../../../broker.toml")).unwrap();
        let mut text = format!("state_dir = \"{dir}/collector\"\n[broker]\n");
        match broker {
            Broker::Embedded => {
                writeln!(text, "config = \"{dir}/broker.toml\"\nport = {}", self.port)
            }
            Broker::Mosquitto => writeln!(text, "url = \"mqtt://127.0.0.1:{}\"", self.port),
        }
        .unwrap();
        text.push_str(HEALTH);
        for region in regions {
            let members: Vec<_> = (0..METERS)
                .map(|at| {
                    let key = self.key(&agent(region, at), "identity.key");
                    format!("{{ id = \"m-{at}\", key = \"{key}\" }}")
                })
                .collect();
            write!(
                text,
                "[[region]]\nname = \"{region}\"\nslot_seconds = 1\nwindow_slots = {WINDOW_SLOTS}\n\
                 grace_s = 1\ndeadline_s = 8\naudit_percent = 100\nmin_contributors = 3\n\
                 min_slots = 3\nmembers = [{}]\n",
                members.join(", ")
            )
            .unwrap();
        }
        fs::write(self.path("collector.toml"), text).unwrap();
        self.key("collector", "registrar.key")
    }

    pub(crate) fn write_agent(&self, region: &str, at: usize, registrar: &str, readings: &Path) {
        let name = agent(region, at);
        let text = format!(
            "region = \"{region}\"\nmeter = \"m-{at}\"\nregistrar = \"{registrar}\"\n\
             state_dir = \"{}\"\nstate_interval_s = 1\n\
             [broker]\nurl = \"mqtt://127.0.0.1:{}\"\n\
             [clock]\nsynchronised = false\n{HEALTH}\
             [floors]\nmin_contributors = 3\nmin_slots = 3\nslot_seconds = 1\n\
             [source]\nkind = \"csv\"\nhome = {at}\nunit = \"wh\"\nfile = \"{}\"\n",
            self.path(&name).display(),
            self.port,
            readings.display()
        );
        fs::write(self.path(&format!("{name}.toml")), text).unwrap();
    }

    pub(crate) fn start_all(&mut self, regions: &[&str]) {
        self.start("collector", "collector");
        for region in regions {
            for at in 0..METERS {
                self.start("agent", &agent(region, at));
            }
        }
    }

    /// Starts the party of a configuration file; its log goes to a file.
    pub(crate) fn start(&mut self, role: &str, name: &str) {
        self.start_in(role, name, []);
    }

    /// The same, as systemd would do it.
    pub(crate) fn start_under(&mut self, systemd: &Systemd, role: &str, name: &str) {
        self.start_in(role, name, systemd.environment());
    }

    /// The same, on a disk that fails as it is told to.
    pub(crate) fn start_on(&mut self, disk: &Disk, role: &str, name: &str) {
        self.start_in(role, name, disk.environment());
    }

    fn start_in(
        &mut self,
        role: &str,
        name: &str,
        environment: impl IntoIterator<Item = (&'static str, OsString)>,
    ) {
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log")));
        let child = Command::new(env!("CARGO_BIN_EXE_neighbourhood"))
            .arg(role)
            .arg("--config")
            .arg(self.path(&format!("{name}.toml")))
            .arg("--parent")
            .arg(std::process::id().to_string())
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.running.insert(name.to_owned(), child.unwrap());
    }

    pub(crate) fn start_mosquitto(&mut self) {
        let config = self.path("mosquitto.conf");
        let text = format!("listener {} 127.0.0.1\nallow_anonymous true\n", self.port);
        fs::write(&config, text).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.running.insert("mosquitto".to_owned(), child.unwrap());
    }

    /// Sends a signal and waits for the end of the process.
    pub(crate) fn end(&mut self, name: &str, signal: Signal) -> ExitStatus {
        let mut child = self.running.remove(name).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap()
    }

    /// Sends a signal that does not end the process.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        kill_process(Pid::from_child(&self.running[name]), signal).unwrap();
    }

    /// Waits for a party to end by itself.
    pub(crate) async fn ended(&mut self, name: &str) -> ExitStatus {
        let mut child = self.running.remove(name).unwrap();
        let waiting = tokio::task::spawn_blocking(move || child.wait().unwrap());
        timeout(PATIENCE, waiting).await.unwrap().unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.running.keys().cloned().collect()
    }

    /// What a party has logged so far.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap()
    }

    /// What a running party answers about its health under a path.
    pub(crate) async fn health(&self, name: &str, path: &str) -> String {
        let log = self.log(name);
        let (_, after) = log.split_once("health: http://").unwrap();
        let address = after.split('/').next().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Asks until the answer is so.
    pub(crate) async fn until_health(&self, name: &str, path: &str, is_so: impl Fn(&str) -> bool) {
        let mut answer = String::new();
        let asking = async {
            while !is_so(&answer) {
                answer = self.health(name, path).await;
            }
        };
        let in_time = timeout(PATIENCE, asking).await;
        assert!(in_time.is_ok(), "waited in vain; {name}{path} says {answer}");
    }

    /// Everything that all parties have logged so far.
    pub(crate) fn logs(&self) -> String {
        let files = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
        logs.map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // It may have ended already.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// The name of a meter's folder, configuration and log.
pub(crate) fn agent(region: &str, at: usize) -> String {
    format!("{region}-m-{at}")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A subscriber that sees all that a region's parties publish.
pub(crate) struct Watch {
    receiver: link::Receiver,
    pub(crate) sender: link::Sender,
    /// Topics and payloads, in the order of arrival.
    pub(crate) seen: Vec<(String, Vec<u8>)>,
}

impl Watch {
    pub(crate) fn on(port: u16, regions: &[&str]) -> Self {
        let address = format!("mqtt://127.0.0.1:{port}").parse().unwrap();
        let mut options = link::Options::new(address, "watch");
        let filters = regions.iter().map(|region| topic::everything(&region_id(region)));
        options.subscriptions = filters.collect();
        let (sender, receiver) = link::open(options, clock::generator().unwrap()).unwrap();
        Self { receiver, sender, seen: Vec::new() }
    }

    /// Waits until what was seen satisfies a condition.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&[(String, Vec<u8>)]) -> bool,
    ) {
        let waiting = async {
            while !done(&self.seen) {
                match self.receiver.recv().await {
                    Some(link::Event::Message { topic, payload }) => {
                        self.seen.push((topic, payload));
                    }
                    Some(_) => {}
                    None => panic!("the link has ended"),
                }
            }
        };
        let in_time = timeout(PATIENCE, waiting).await;
        assert!(in_time.is_ok(), "waited in vain for {what}; seen: {:?}", topics(&self.seen));
    }
}

/// The number of a series in an answer about metrics.
pub(crate) fn counted(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_default();
    line.rsplit(' ').next().and_then(|number| number.parse().ok())
}

fn topics(seen: &[(String, Vec<u8>)]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (topic, _) in seen {
        *counts.entry(topic.as_str()).or_default() += 1;
    }
    counts
}

pub(crate) fn region_id(name: &str) -> RegionId {
    name.parse().unwrap()
}

/// The JSON views of a region's results that were seen.
pub(crate) fn results(seen: &[(String, Vec<u8>)], region: &str) -> Vec<serde_json::Value> {
    let topic =
        topic::json(&topic::of_collector(&region_id(region), &topic::CollectorTopic::Result));
    let views = seen.iter().filter(|(of, _)| *of == topic);
    views.map(|(_, payload)| serde_json::from_slice(payload).unwrap()).collect()
}

/// The results of whole regions, or those of single meters.
pub(crate) fn count(seen: &[(String, Vec<u8>)], region: &str, subject: &str) -> usize {
    results(seen, region).iter().filter(|result| result["subject"][subject].is_string()).count()
}
