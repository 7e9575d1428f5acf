//! Brokers to test against, and waits that end.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use link::{Event, Options, Receiver, Sender};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::process::{Child, Command};

/// Longer than anything here takes; only a failing test waits for so long.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("{what} did not happen within {PATIENCE:?}"))
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

pub fn options(port: u16, client_id: &str, filters: &[&str]) -> Options {
    let address = format!("mqtt://127.0.0.1:{port}").parse().unwrap();
    let subscriptions = filters.iter().copied().map(String::from).collect();
    Options { subscriptions, ..Options::new(address, client_id) }
}

pub fn open(options: Options) -> (Sender, Receiver) {
    link::open(options, ChaCha20Rng::seed_from_u64(1)).unwrap()
}

/// A link that is connected.
pub async fn connect(options: Options) -> (Sender, Receiver) {
    let (sender, mut receiver) = open(options);
    connected(&mut receiver).await;
    (sender, receiver)
}

pub async fn next(receiver: &mut Receiver) -> Event {
    patiently("an event", receiver.recv()).await.expect("the link is open")
}

/// Passes over failed attempts; tells whether the broker had kept the session.
pub async fn connected(receiver: &mut Receiver) -> bool {
    let attempts = async {
        loop {
            match receiver.recv().await {
                Some(Event::Connected { session_present }) => return session_present,
                Some(Event::Disconnected { .. }) => {}
                event => panic!("{event:?} before the connection"),
            }
        }
    };
    patiently("a connection", attempts).await
}

pub async fn disconnected(receiver: &mut Receiver) -> String {
    match next(receiver).await {
        Event::Disconnected { reason } => reason,
        event => panic!("{event:?} while waiting for the end of the connection"),
    }
}

pub async fn message(receiver: &mut Receiver) -> (String, Vec<u8>) {
    match next(receiver).await {
        Event::Message { topic, payload } => (topic, payload),
        event => panic!("{event:?} while waiting for a message"),
    }
}

/// Numbers as payloads, as many as asked for.
pub async fn numbers(receiver: &mut Receiver, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let (_, payload) = message(receiver).await;
        numbers.push(u32::from_be_bytes(payload.try_into().unwrap()));
    }
    numbers
}

/// The shipped configuration of the embedded broker, on a free port. Lives as long as the process.
pub fn rumqttd() -> u16 {
    let port = free_port();
    let mut config: rumqttd::Config = toml::from_str(include_str!("../../../broker.toml")).unwrap();
    for listener in config.v4.as_mut().unwrap().values_mut() {
        listener.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    }
    std::thread::spawn(move || rumqttd::Broker::new(config).start().unwrap());
    port
}

/// A mosquitto that dies with this value.
pub struct Mosquitto {
    child: Child,
    port: u16,
    config: tempfile::NamedTempFile,
}

impl Mosquitto {
    /// `None`, with a note, where mosquitto is not installed; CI has to have it.
    pub fn start(story: &str) -> Option<Self> {
        let port = free_port();
        let config = tempfile::NamedTempFile::new().unwrap();
        let text =
            format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n");
        std::fs::write(config.path(), text).unwrap();
        match spawn(&config) {
            Ok(child) => Some(Self { child, port, config }),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{error}");
                println!("SKIPPED {story}: mosquitto does not start: {error}");
                None
            }
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub async fn kill(&mut self) {
        patiently("mosquitto's end", self.child.kill()).await.unwrap();
    }

    pub fn restart(&mut self) {
        self.child = spawn(&self.config).unwrap();
    }
}

fn spawn(config: &tempfile::NamedTempFile) -> std::io::Result<Child> {
    let mut mosquitto = Command::new("mosquitto");
    mosquitto.arg("-c").arg(config.path()).stderr(Stdio::null()).kill_on_drop(true).spawn()
}
