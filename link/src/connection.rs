//! One connection, from its first packet to its last.

use std::time::Duration;

use rumqttc::{AsyncClient, EventLoop, MqttOptions, NetworkOptions, QoS, SubscribeFilter};
use tokio::time::Instant;

use crate::sender::Publication;
use crate::{Options, Session};

/// Publishes that may wait for the broker's acknowledgement. Kept below the client's own limit
/// ([`PACKET_IDS`]), at which it would stop to send our acknowledgements as well.
const WINDOW: usize = 100;
/// Packet ids in use: more than the window, so that a broker which acknowledges out of order does
/// not make the client wait for a single id.
const PACKET_IDS: u16 = 1024;
/// Packets that the client may hold: the window, and acknowledgements of what we received.
const REQUESTS: usize = 4096;
/// For a TCP connection, and for a packet to leave this machine. A slow uplink needs some seconds
/// for a large one.
const NETWORK_TIMEOUT_S: u64 = 10;
/// For the broker to answer CONNECT and SUBSCRIBE.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// For the acknowledgements of the last publishes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// After which a connection counts as stable.
const STABLE: Duration = Duration::from_secs(10);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Subscribing {
        session_present: bool,
    },
    Online,
    /// Closing, while publishes are queued or unacknowledged.
    Draining,
    /// Closing, DISCONNECT on its way.
    Leaving,
}

/// The client packets are stuck: nothing leaves it any more.
#[derive(Debug)]
pub(crate) struct Stuck;

/// A connection's state beside the event loop that carries it.
pub(crate) struct Connection {
    pub(crate) client: AsyncClient,
    pub(crate) phase: Phase,
    /// Publishes without acknowledgement.
    pub(crate) unacknowledged: usize,
    keep_alive: Duration,
    heard: Instant,
    phase_since: Instant,
    online_since: Option<Instant>,
}

impl Connection {
    /// A connection and the event loop that has to be polled for it to come about.
    ///
    /// Every attempt builds both anew. A client that lives on would repeat what the owner repeats
    /// anyway, and keep a colliding packet id for ever.
    pub(crate) fn dial(options: &Options) -> (Self, EventLoop) {
        let (client, mut events) = AsyncClient::new(client_options(options), REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(NETWORK_TIMEOUT_S);
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let now = Instant::now();
        let connection = Self {
            client,
            phase: Phase::Connecting,
            unacknowledged: 0,
            keep_alive: options.keep_alive,
            heard: now,
            phase_since: now,
            online_since: None,
        };
        (connection, events)
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_since = Instant::now();
        if phase == Phase::Online {
            self.online_since = Some(self.phase_since);
        }
    }

    /// Something came from the broker.
    pub(crate) fn hear(&mut self) {
        self.heard = Instant::now();
    }

    /// When the broker is to be taken for dead.
    pub(crate) fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Connecting | Phase::Subscribing { .. } => self.phase_since + ANSWER_TIMEOUT,
            Phase::Online => self.heard + self.keep_alive * 3 / 2,
            Phase::Draining | Phase::Leaving => self.phase_since + CLOSE_TIMEOUT,
        }
    }

    pub(crate) fn was_online(&self) -> bool {
        self.online_since.is_some()
    }

    pub(crate) fn was_stable(&self) -> bool {
        self.online_since.is_some_and(|since| since.elapsed() >= STABLE)
    }

    pub(crate) fn has_window(&self) -> bool {
        self.unacknowledged < WINDOW
    }

    pub(crate) fn subscribe(&self, filters: &[String]) -> Result<(), Stuck> {
        let filters = filters
            .iter()
            .map(|filter| SubscribeFilter { path: filter.clone(), qos: QoS::AtLeastOnce });
        self.client.try_subscribe_many(filters).map_err(|_| Stuck)
    }

    pub(crate) fn publish(&mut self, publication: Publication) -> Result<(), Stuck> {
        let Publication { topic, payload, retain } = publication;
        self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(|_| Stuck)?;
        self.unacknowledged += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self) -> Result<(), Stuck> {
        self.client.try_disconnect().map_err(|_| Stuck)?;
        // The time of the close keeps running.
        self.phase = Phase::Leaving;
        Ok(())
    }
}

fn client_options(options: &Options) -> MqttOptions {
    let address = &options.address;
    let mut client = MqttOptions::new(&options.client_id, address.host(), address.port());
    client
        .set_keep_alive(options.keep_alive)
        .set_max_packet_size(options.max_packet, options.max_packet)
        .set_clean_session(options.session == Session::Clean)
        .set_inflight(PACKET_IDS)
        .set_manual_acks(true);
    client
}
