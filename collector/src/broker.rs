//! The embedded broker: rumqttd, on loopback, MQTT 3.1.1 only.
//!
//! It has no access rules and no TLS, so it listens where only this machine reaches it. It cannot
//! be stopped inside a process: [`Broker`] has no end but the process's own, and a port that it has
//! taken stays taken. What it can do is die: of a bad packet its router or its listener panics
//! while the process lives on. [`Broker::died`] notices both.

mod echo;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::topic;
use tokio::select;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tracing::{info, warn};

/// Everything that `broker.toml` may contain; `*` stands for the listener's name.
const KEYS: [&str; 16] = [
    "id",
    "router",
    "router.max_connections",
    "router.max_outgoing_packet_count",
    "router.max_segment_count",
    "router.max_segment_size",
    "v4",
    "v4.*",
    "v4.*.connections",
    "v4.*.connections.connection_timeout_ms",
    "v4.*.connections.dynamic_filters",
    "v4.*.connections.max_inflight_count",
    "v4.*.connections.max_payload_size",
    "v4.*.listen",
    "v4.*.name",
    "v4.*.next_connection_delay_ms",
];

/// Between two attempts to reach a broker that is starting.
const START_INTERVAL: Duration = Duration::from_millis(20);
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at a broker that runs.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);
/// Until the next look at one that did not answer.
const AGAIN: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Looks in a row without an answer after which the broker is dead, and not merely busy.
const MISSES: u32 = 3;

/// What the broker keeps of the watch: without a limit of its own it would be as much as of the
/// meters' messages, a payload of 4 bytes every 10 s for years.
const WATCH_LOG: rumqttd::SegmentConfig =
    rumqttd::SegmentConfig { max_segment_size: 1024, max_segment_count: 2 };

/// The checked content of `broker.toml`.
#[derive(Clone, Debug)]
pub struct Settings {
    config: rumqttd::Config,
    listen: SocketAddr,
}

/// A broker that runs in this process, until the process ends.
#[derive(Debug)]
pub struct Broker {
    listen: SocketAddr,
    ended: oneshot::Receiver<String>,
    misses: u32,
    next_look: Instant,
    /// Counts the names under which the watch has connected.
    watch: u32,
    /// Counts the looks, so that none takes another's answer for its own.
    looks: u32,
}

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Of the file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The text is not TOML, or a key is missing or of the wrong type.
    #[error("broker settings: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    /// A key that this broker has no use for, or must not have.
    #[error(
        "broker settings: `{0}` is not accepted: this broker speaks MQTT 3.1.1 without TLS on \
         loopback, and has no MQTT 5, websockets, console, metrics, bridge or cluster"
    )]
    Key(String),
    /// A value out of range.
    #[error("broker settings: `{key}` is {value}; accepted is {accepted}")]
    Value {
        /// With the tables it stands in.
        key: String,
        /// As given.
        value: String,
        /// For a person.
        accepted: String,
    },
    /// Another program listens, or the port is reserved.
    #[error("port {port} is taken: {source}")]
    PortTaken {
        /// Of the listener.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("the broker's thread does not start: {0}")]
    Thread(io::Error),
    /// The broker's thread ended.
    #[error("the broker ended: {0}")]
    Ended(String),
    /// Connections are not answered.
    #[error("the broker on port {port} does not answer")]
    Silent {
        /// Of the listener.
        port: u16,
    },
}

/// Reads and checks `broker.toml`.
///
/// # Errors
/// `Read`, `Syntax`, `Key` and `Value` of [`Error`]; they name the file or the key.
pub fn load(path: &Path) -> Result<Settings, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Settings::parse(&text)
}

impl Settings {
    /// Reads and checks the text of a `broker.toml`.
    ///
    /// # Errors
    /// `Syntax`, `Key` and `Value` of [`Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let table: toml::Table = toml::from_str(text).map_err(Box::new)?;
        check_keys(&table, "", "")?;
        let config: rumqttd::Config = toml::from_str(text).map_err(Box::new)?;
        check_router(&config.router)?;
        let listen = check_listeners(&config)?;
        Ok(Self { config, listen })
    }

    /// The same settings on another port. 0 finds no port by itself: rumqttd would not tell which.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.listen.set_port(port);
        for listener in self.config.v4.iter_mut().flat_map(|listeners| listeners.values_mut()) {
            listener.listen = self.listen;
        }
        self
    }

    /// Where clients on this machine reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The port to listen on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listen.port()
    }
}

impl Broker {
    /// Starts the broker in a thread of its own and waits until it answers a client.
    ///
    /// # Errors
    /// `PortTaken`, `Thread`, `Ended`, or `Silent` after 10 s.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let Settings { mut config, listen } = settings;
        config.router.custom_segment = Some(HashMap::from([(topic::of_watch(), WATCH_LOG)]));
        // rumqttd would only log that it cannot bind.
        TcpListener::bind(listen)
            .map_err(|source| Error::PortTaken { port: listen.port(), source })?;
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || {
                let reason = match rumqttd::Broker::new(config).start() {
                    Ok(()) => "its listener stopped".into(),
                    Err(error) => error.to_string(),
                };
                if end.send(reason).is_err() {
                    warn!("the broker ended, and nobody watches it");
                }
            })
            .map_err(Error::Thread)?;
        let mut broker =
            Self { listen, ended, misses: 0, next_look: Instant::now(), watch: 0, looks: 0 };
        timeout(START_TIMEOUT, broker.answers())
            .await
            .unwrap_or(Err(Error::Silent { port: listen.port() }))?;
        info!(%listen, "the broker listens");
        Ok(broker)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listen.port()
    }

    /// Waits until the broker is dead, which it should never be, and tells why: `Ended` at once,
    /// `Silent` after three round trips in a row that did not come back, within 44 s of its death.
    /// The process should end then. Not cancel safe: a look that
    /// is given up leaves the broker a client without an answer, of which its listener can die.
    pub async fn died(mut self) -> Error {
        loop {
            select! {
                error = ended(&mut self.ended) => return error,
                () = sleep_until(self.next_look) => {}
            }
            if self.answers_once().await {
                self.misses = 0;
                self.next_look = Instant::now() + WATCH_INTERVAL;
                continue;
            }
            self.misses += 1;
            self.next_look = Instant::now() + AGAIN;
            warn!(port = self.port(), misses = self.misses, "the broker does not answer");
            if self.misses >= MISSES {
                return Error::Silent { port: self.port() };
            }
        }
    }

    async fn answers(&mut self) -> Result<(), Error> {
        let mut ticks = interval(START_INTERVAL);
        loop {
            select! {
                error = ended(&mut self.ended) => return Err(error),
                _ = ticks.tick() => {}
            }
            if self.answers_once().await {
                return Ok(());
            }
        }
    }

    async fn answers_once(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        let round_trip = echo::round_trip(self.listen, (self.watch, self.looks));
        let answer = timeout(ANSWER_TIMEOUT, round_trip).await;
        let answered = matches!(answer, Ok(Ok(())));
        if !answered {
            // A client that left before its CONNACK and comes back under the same name can kill
            // rumqttd's listener. The one that was answered keeps its name: each costs memory.
            self.watch = self.watch.wrapping_add(1);
        }
        answered
    }
}

async fn ended(ended: &mut oneshot::Receiver<String>) -> Error {
    Error::Ended(ended.await.unwrap_or_else(|_| "its thread panicked".into()))
}

/// rumqttd ignores keys that it does not know, misspelt ones as well.
fn check_keys(table: &toml::Table, path: &str, pattern: &str) -> Result<(), Error> {
    for (name, value) in table {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let form = match pattern {
            "" => name.clone(),
            "v4" => "v4.*".into(),
            _ => format!("{pattern}.{name}"),
        };
        if !KEYS.contains(&form.as_str()) {
            return Err(Error::Key(key));
        }
        if let toml::Value::Table(table) = value {
            check_keys(table, &key, &form)?;
        }
    }
    Ok(())
}

fn check_router(router: &rumqttd::RouterConfig) -> Result<(), Error> {
    check_range("router.max_connections", router.max_connections, 16..=100_000)?;
    check_range("router.max_segment_size", router.max_segment_size, 1_048_576..=1_073_741_824)?;
    check_range("router.max_segment_count", router.max_segment_count, 2..=1024)?;
    let packets = usize::try_from(router.max_outgoing_packet_count).unwrap_or(usize::MAX);
    check_range("router.max_outgoing_packet_count", packets, 1..=10_000)
}

fn check_listeners(config: &rumqttd::Config) -> Result<SocketAddr, Error> {
    let mut listeners = config.v4.iter().flatten();
    let (Some((name, listener)), None) = (listeners.next(), listeners.next()) else {
        let value = format!("{} listeners", config.v4.iter().flatten().count());
        return Err(value_error("v4", &value, "exactly one listener"));
    };
    let listen = listener.listen;
    if !listen.ip().is_loopback() {
        let accepted = "a loopback address: 127.0.0.0/8 or [::1]";
        return Err(value_error(format!("v4.{name}.listen"), &listen, accepted));
    }
    let connections = &listener.connections;
    let key = |key: &str| format!("v4.{name}.connections.{key}");
    let timeout_ms = usize::from(connections.connection_timeout_ms);
    check_range(key("connection_timeout_ms"), timeout_ms, 100..=60_000)?;
    check_range(key("max_payload_size"), connections.max_payload_size, 1_114_112..=268_435_455)?;
    check_range(key("max_inflight_count"), connections.max_inflight_count, 1..=10_000)?;
    Ok(listen)
}

fn check_range(
    key: impl Into<String>,
    value: usize,
    accepted: RangeInclusive<usize>,
) -> Result<(), Error> {
    if accepted.contains(&value) {
        return Ok(());
    }
    Err(value_error(key, &value, format!("{} to {}", accepted.start(), accepted.end())))
}

fn value_error(
    key: impl Into<String>,
    value: &impl ToString,
    accepted: impl Into<String>,
) -> Error {
    Error::Value { key: key.into(), value: value.to_string(), accepted: accepted.into() }
}
