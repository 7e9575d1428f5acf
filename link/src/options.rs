//! How to connect, and what every broker accepts.

use std::time::Duration;

use crate::Address;

/// The longest client id. MQTT 3.1.1 (section 3.1.3.1) obliges a broker to accept only 23 bytes,
/// but those in use accept 64.
const LONGEST_CLIENT_ID: usize = 64;
/// The longest topic or filter (section 1.5.3).
const LONGEST_TOPIC: usize = 65_535;
/// The longest packet (section 2.2.3), and the shortest that leaves room for a message.
const PACKET_SIZES: std::ops::RangeInclusive<usize> = 1024..=268_435_455;
/// One mebibyte of payload, and the longest topic.
const DEFAULT_MAX_PACKET: usize = 1024 * 1024 + 65_536;

/// What a link needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the broker listens.
    pub address: Address,
    /// This client's name at the broker: 1 to 64 ASCII letters, digits, `-` or `_`. Two links with
    /// the same name throw each other out for ever.
    pub client_id: String,
    /// The topic filters to subscribe to, with `QoS` 1.
    pub subscriptions: Vec<String>,
    /// The largest packet in bytes, either way: a larger publish is refused, a larger message from
    /// the broker ends the connection. Has to be the same for everyone at a broker.
    pub max_packet: usize,
    /// Silence after which the link pings, in whole seconds; a broker that stays silent for one
    /// and a half times as long is taken for dead.
    pub keep_alive: Duration,
    /// What the broker keeps while this client is away.
    pub session: Session,
    /// How long to wait at most before the first attempt after a connection that has held. Where
    /// thousands lose the same broker, [`crate::SPREAD`] keeps them from returning at once.
    pub spread: Duration,
}

/// What the broker keeps while a client is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Nothing.
    Clean,
    /// The subscriptions, and messages for them, as long as the broker lives and has room.
    Persistent,
}

/// An option that some broker would refuse, or choke on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Brokers disagree about other characters, and rumqttd stops listening over some of them.
    #[error("client id {0:?}: accepted are 1 to 64 ASCII letters, digits, `-` and `_`")]
    ClientId(String),
    /// See [`Options::subscriptions`].
    #[error(
        "topic filter {0:?}: accepted are 1 to 65535 visible ASCII characters that do not start \
         with `/` or `$`, with `+` for a level and `#` for the last ones"
    )]
    Filter(String),
    /// See [`Options::keep_alive`].
    #[error("keep-alive of {0:?}: accepted are 1 to 43200 whole seconds")]
    KeepAlive(Duration),
    /// See [`Options::max_packet`].
    #[error("largest packet of {0} bytes: accepted are 1024 to 268435455")]
    MaxPacket(usize),
}

impl Options {
    /// Options with a persistent session, a keep-alive of 30 s, packets of up to 1 MiB and 64 KiB,
    /// no spread and no subscription.
    #[must_use]
    pub fn new(address: Address, client_id: impl Into<String>) -> Self {
        Self {
            address,
            client_id: client_id.into(),
            subscriptions: Vec::new(),
            max_packet: DEFAULT_MAX_PACKET,
            keep_alive: Duration::from_secs(30),
            session: Session::Persistent,
            spread: Duration::ZERO,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        if !is_client_id(&self.client_id) {
            return Err(OptionsError::ClientId(self.client_id.clone()));
        }
        if let Some(filter) = self.subscriptions.iter().find(|filter| !is_filter(filter)) {
            return Err(OptionsError::Filter(filter.clone()));
        }
        let seconds = self.keep_alive.as_secs();
        if self.keep_alive.subsec_nanos() != 0 || !(1..=43_200).contains(&seconds) {
            return Err(OptionsError::KeepAlive(self.keep_alive));
        }
        if !PACKET_SIZES.contains(&self.max_packet) {
            return Err(OptionsError::MaxPacket(self.max_packet));
        }
        Ok(())
    }
}

/// Whether a message may be published under `topic`: a non-ASCII one kills rumqttd's router.
pub(crate) fn is_topic(topic: &str) -> bool {
    is_plain(topic) && !rumqttc::has_wildcards(topic)
}

fn is_filter(filter: &str) -> bool {
    is_plain(filter) && rumqttc::valid_filter(filter)
}

fn is_plain(text: &str) -> bool {
    (1..=LONGEST_TOPIC).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !text.starts_with(['/', '$'])
}

fn is_client_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=LONGEST_CLIENT_ID).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new("mqtt://broker".parse().unwrap(), "meter-1")
    }

    #[test]
    fn the_defaults_pass() {
        assert_eq!(options().check(), Ok(()));
    }

    #[test]
    fn a_client_id_that_would_hurt_a_broker_is_refused() {
        for client_id in ["", "a+b", "a b", "ä", &"x".repeat(65)] {
            let options = Options { client_id: client_id.into(), ..options() };
            assert_eq!(options.check(), Err(OptionsError::ClientId(client_id.into())));
        }
    }

    #[test]
    fn a_filter_outside_the_portable_profile_is_refused() {
        for filter in ["", "a/#/b", "a+", "/a", "$share/g/a", "é", "a b", &"x".repeat(65_536)] {
            let options = Options { subscriptions: vec![filter.into()], ..options() };
            assert_eq!(options.check(), Err(OptionsError::Filter(filter.into())));
        }
        let accepted = ["#", "a/+/b", "hushgrid/v1/r/#"].map(String::from).to_vec();
        assert_eq!(Options { subscriptions: accepted, ..options() }.check(), Ok(()));
    }

    #[test]
    fn a_keep_alive_is_whole_seconds() {
        for keep_alive in [Duration::ZERO, Duration::from_millis(1500), Duration::from_secs(43_201)]
        {
            let refused = Options { keep_alive, ..options() }.check();
            assert_eq!(refused, Err(OptionsError::KeepAlive(keep_alive)));
        }
    }

    #[test]
    fn a_topic_has_no_wildcard() {
        assert!(is_topic("hushgrid/v1/r/m/1/state"));
        assert!(!["a/+", "a/#", "", "/a", "$SYS/a", "é/a", "a\0"].into_iter().any(is_topic));
    }
}
